//! Data on disk blocks, and the disk.

use super::names::DISK_BLOCKS;
use super::{expect_data, expect_error, pattern};
use crate::reference::fs::{BLKGETSIZE, blockdev_inode, new_device, spoil};
use crate::reference::object::open_flags::{O_CREAT, O_DIRECT, O_RDWR};
use crate::reference::object::{Errno, PAGE_SIZE, PageFlag, Result, WritebackControl};
use crate::reference::task::Task;
use crate::reference::vfs::attr::{ioctl_fibmap, ioctl_fiemap};
use crate::reference::vfs::block::{
    bdev_direct_access, blkdev_get, blkdev_getgeo, blkdev_ioctl, blkdev_put, swap_slot_free, swapoff, swapon,
    unlock_native_capacity,
};
use crate::reference::vfs::mount::{freeze_super, sync_super, thaw_super};
use crate::reference::vfs::reclaim::{memory_failure, migrate_pages, shrink_page_list};
use crate::reference::vfs::rw::io_poll;
use crate::reference::vfs::types::falloc::PUNCH_HOLE;
use crate::reference::vfs::writeback::{do_writepages, writeback_sb_inodes};
use crate::reference::workload::user::User;

const PAGE: u64 = PAGE_SIZE as u64;

fn mounted<'t, 'k>(t: &'t Task<'k>) -> Result<User<'t, 'k>> {
    t.uid.set(0);
    let device = new_device(t.kernel, DISK_BLOCKS, t.below(u64::MAX));
    User::mount(t, "disk", Some(device))
}

pub(super) fn data(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let mut model = pattern(t.below(u64::MAX), 6 * PAGE_SIZE + 77);
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &model, 0)?;
    user.fsync(file)?;
    shrink_page_list(t, file.mapping());
    expect_data(t, "read back from the disk", &user.read(file, model.len() + 10, 0)?, &model);
    user.fallocate(file, PUNCH_HOLE, PAGE, PAGE + 11)?;
    model[PAGE_SIZE..2 * PAGE_SIZE + 11].fill(0);
    expect_data(t, "a hole on the disk", &user.read(file, model.len(), 0)?, &model);
    t.syscalls("ioctl", || ioctl_fiemap(t, file, 0, u64::MAX))?;
    t.syscalls("ioctl", || ioctl_fibmap(t, file, 1))?;
    user.truncate("file", PAGE + 100)?;
    model.truncate(PAGE_SIZE + 100);
    user.truncate("file", 3 * PAGE)?;
    model.resize(3 * PAGE_SIZE, 0);
    expect_data(t, "cut off on the disk", &user.read(file, model.len(), 0)?, &model);
    user.close(file)?;
    let direct = user.open("file", O_RDWR | O_DIRECT)?;
    let block = pattern(5, 1024);
    user.write(direct, &block, 512)?;
    model[512..1536].copy_from_slice(&block);
    expect_data(t, "past the cache", &user.read(direct, model.len(), 0)?, &model);
    t.syscalls("io_uring_enter", || io_poll(t, direct))?;
    user.close(direct)?;
    user.umount(false)
}

/// A sector that cannot be read: whoever wants it is told, others are not, and writing it anew makes it good.
pub(super) fn bad_sector(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let data = pattern(t.below(u64::MAX), 3 * PAGE_SIZE);
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &data, 0)?;
    user.fsync(file)?;
    let block = t.syscalls("ioctl", || ioctl_fibmap(t, file, PAGE / 1024))?;
    if let Some(device) = user.sb().s_bdev.get() {
        spoil(device, block * 2)?;
    }
    shrink_page_list(t, file.mapping());
    expect_data(t, "before the bad sector", &user.read(file, PAGE_SIZE, 0)?, &data[..PAGE_SIZE]);
    expect_error(t, "the bad sector", user.read(file, 10, PAGE), Errno::EIO);
    expect_error(t, "the bad sector, written in part", user.write(file, b"part", PAGE + 5), Errno::EIO);
    user.write(file, &data[..PAGE_SIZE], PAGE)?;
    user.fsync(file)?;
    shrink_page_list(t, file.mapping());
    expect_data(t, "the sector, written anew", &user.read(file, PAGE_SIZE, PAGE)?, &data[..PAGE_SIZE]);
    user.close(file)?;
    user.umount(false)
}

/// Every way that a dirty page is written.
pub(super) fn writeback(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    let other = user.open("other", O_CREAT | O_RDWR)?;
    user.write(other, &pattern(3, PAGE_SIZE), 0)?;
    let data = pattern(2, 8 * PAGE_SIZE);
    user.write(file, &data, 0)?;
    t.syscalls("", || writeback_sb_inodes(t, user.sb(), false))?;
    // Dirty again while the disk still writes it: the flusher leaves it, a sync waits.
    user.write(file, &data[..100], 0)?;
    let gentle = WritebackControl::new(false, 4);
    t.syscalls("", || do_writepages(t, file.mapping(), &gentle))?;
    user.write(file, &data[..200], 0)?;
    t.syscalls("", || do_writepages(t, file.mapping(), &WritebackControl::new(false, 16)))?;
    user.write(file, &data[..300], 0)?;
    user.fsync(file)?;
    user.write(file, &data, 0)?;
    t.syscalls("", || shrink_page_list(t, file.mapping()));
    t.syscalls("syncfs", || sync_super(t, user.sb()))?;
    expect_data(t, "after all kinds of writeback", &user.read(file, data.len(), 0)?, &data);
    user.close(file)?;
    user.close(other)?;
    user.umount(false)
}

/// Pages that move, fail and go.
pub(super) fn pages(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    let data = pattern(4, 6 * PAGE_SIZE);
    user.write(file, &data, 0)?;
    for _ in 0..3 {
        t.syscalls("move_pages", || migrate_pages(t, file.mapping()));
    }
    expect_data(t, "after pages have moved", &user.read(file, data.len(), 0)?, &data);
    user.fsync(file)?;
    t.syscalls("madvise", || memory_failure(t, file.mapping(), 2))?;
    expect_data(t, "after a page has failed", &user.read(file, data.len(), 0)?, &data);
    if let Some(page) = file.mapping().page(1) {
        page.clear(PageFlag::UPTODATE);
    }
    expect_data(t, "a page that is read again", &user.read(file, data.len(), 0)?, &data);
    shrink_page_list(t, file.mapping());
    user.close(file)?;
    user.umount(false)
}

/// The disk as a device, and as a file of blocks.
pub(super) fn device(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let Some(device) = user.sb().s_bdev.get() else { return Ok(()) };
    t.syscalls("openat", || blkdev_get(t, device, 1))?;
    t.syscalls("ioctl", || blkdev_ioctl(t, device, BLKGETSIZE, 0, false))?;
    t.syscalls("ioctl", || blkdev_ioctl(t, device, BLKGETSIZE, 0, true))?;
    t.syscalls("ioctl", || blkdev_getgeo(t, device))?;
    t.syscalls("", || bdev_direct_access(t, device, 0))?;
    t.syscalls("ioctl", || unlock_native_capacity(t, device));
    let blocks = User::mount(t, "blockdev", Some(device))?;
    let file = t.syscalls("openat", || blockdev_inode(t, &blocks.root))?;
    let first = blocks.read(file, 512, 0)?;
    let direct = t.syscalls("", || bdev_direct_access(t, device, 0))?;
    expect_data(t, "the first sector, two ways", &first, &direct);
    t.syscalls("", || shrink_page_list(t, file.mapping()));
    blocks.close(file)?;
    blocks.umount(false)?;
    t.syscalls("close", || blkdev_put(t, device, 1));
    user.umount(false)
}

pub(super) fn swap(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let file = user.open("swapfile", O_CREAT | O_RDWR)?;
    user.write(file, &vec![1; 4 * PAGE_SIZE], 0)?;
    user.fsync(file)?;
    t.syscalls("swapon", || swapon(t, file))?;
    if let Some(device) = user.sb().s_bdev.get() {
        t.syscalls("", || swap_slot_free(t, device, 3));
    }
    t.syscalls("swapoff", || swapoff(t, file));
    user.close(file)?;
    user.umount(false)
}

pub(super) fn freeze(t: &Task) -> Result<()> {
    let user = mounted(t)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, b"before", 0)?;
    t.syscalls("ioctl", || freeze_super(t, user.sb()))?;
    expect_data(t, "reading while frozen", &user.read(file, 6, 0)?, b"before");
    t.syscalls("ioctl", || thaw_super(t, user.sb()))?;
    user.write(file, b"after!", 0)?;
    user.close(file)?;
    let memory = User::mount(t, "memory", None)?;
    t.syscalls("ioctl", || freeze_super(t, memory.sb()))?;
    t.syscalls("ioctl", || thaw_super(t, memory.sb()))?;
    memory.umount(false)?;
    user.umount(false)
}
