//! Data of files in memory: reading, writing, holes, copies, and everything that is done to an open file.

use super::{expect_data, expect_error, pattern};
use crate::reference::object::open_flags::{FASYNC, O_APPEND, O_CREAT, O_RDONLY, O_RDWR};
use crate::reference::object::{Errno, PAGE_SIZE, Result};
use crate::reference::task::Task;
use crate::reference::vfs::attr::ioctl_fiemap;
use crate::reference::vfs::open::{reopen, setfl};
use crate::reference::vfs::reclaim::{memory_failure, migrate_pages, shrink_page_list};
use crate::reference::vfs::rw::{
    Transfer, do_splice_from, do_splice_to, kernel_sendpage, page_of, show_fdinfo, vfs_fadvise, vfs_ioctl, vfs_poll,
    vfs_transfer,
};
use crate::reference::vfs::types::Pipe;
use crate::reference::vfs::types::falloc::{KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE};
use crate::reference::workload::user::User;

const PAGE: u64 = PAGE_SIZE as u64;

pub(super) fn memory(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    let mut model = pattern(t.below(u64::MAX), 5 * PAGE_SIZE + 123);
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &model, 0)?;
    expect_data(t, "what was just written", &user.read(file, model.len() + 10, 0)?, &model);
    user.fallocate(file, PUNCH_HOLE | KEEP_SIZE, PAGE + 7, 2 * PAGE)?;
    model[PAGE_SIZE + 7..3 * PAGE_SIZE + 7].fill(0);
    expect_data(t, "a hole", &user.read(file, model.len(), 0)?, &model);
    user.fallocate(file, ZERO_RANGE, 100, 50)?;
    model[100..150].fill(0);
    user.fsync(file)?;
    shrink_page_list(t, file.mapping());
    expect_data(t, "after the cache was dropped", &user.read(file, model.len(), 0)?, &model);
    user.truncate("file", 2 * PAGE + 5)?;
    model.truncate(2 * PAGE_SIZE + 5);
    user.truncate("file", 4 * PAGE)?;
    model.resize(4 * PAGE_SIZE, 0);
    expect_data(t, "cut off and made longer", &user.read(file, model.len(), 0)?, &model);
    user.fallocate(file, 0, 0, 5 * PAGE)?;
    user.seek(file, -4, 2)?;
    expect_data(t, "the end", &user.read_on(file, 10)?, &[0; 4]);
    user.close(file)?;
    user.unlink("file")?;
    user.umount(false)
}

pub(super) fn transfers(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    let data = pattern(t.below(u64::MAX), 3 * PAGE_SIZE);
    let (a, b) = (user.open("a", O_CREAT | O_RDWR)?, user.open("b", O_CREAT | O_RDWR)?);
    user.write(a, &data, 0)?;
    t.syscalls("copy_file_range", || vfs_transfer(t, Transfer::Copy, (a, 10), (b, 20), 5000))?;
    expect_data(t, "a copy", &user.read(b, 5000, 20)?, &data[10..5010]);
    t.syscalls("ioctl", || vfs_transfer(t, Transfer::Remap, (a, PAGE), (b, 0), PAGE_SIZE))?;
    expect_data(t, "a shared range", &user.read(b, PAGE_SIZE, 0)?, &data[PAGE_SIZE..2 * PAGE_SIZE]);
    let whole = t.syscalls("ioctl", || vfs_transfer(t, Transfer::Remap, (a, 1), (b, 0), PAGE_SIZE));
    expect_error(t, "sharing parts of pages", whole, Errno::EINVAL);
    t.syscalls("copy_file_range", || vfs_transfer(t, Transfer::Copy, (a, 0), (a, 2 * PAGE), 100))?;
    let pipe = Pipe::default();
    t.syscalls("splice", || do_splice_to(t, a, 0, &pipe, 1000))?;
    t.syscalls("splice", || do_splice_from(t, &pipe, b, 0, 1000))?;
    expect_data(t, "through a pipe", &user.read(b, 1000, 0)?, &data[..1000]);
    let page = t.syscalls("", || page_of(t, a, 1))?;
    let page = page.page;
    let at = b.inode().size();
    t.syscalls("sendfile", || kernel_sendpage(t, b, page, 64))?;
    expect_data(t, "a page that was sent", &user.read(b, 64, at)?, &data[PAGE_SIZE..PAGE_SIZE + 64]);
    user.close(a)?;
    user.close(b)?;
    user.umount(false)
}

pub(super) fn odds(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    let data = pattern(1, 2 * PAGE_SIZE);
    user.write(file, &data, 0)?;
    t.syscalls("poll", || vfs_poll(t, file));
    for compat in [false, true] {
        t.syscalls("ioctl", || vfs_ioctl(t, file, 2, 0, compat))?;
        expect_error(t, "an unknown command", vfs_ioctl(t, file, 99, 0, compat), Errno::ENOTTY);
    }
    t.syscalls("read", || show_fdinfo(t, file));
    t.syscalls("fcntl", || setfl(t, file, FASYNC))?;
    t.syscalls("fcntl", || setfl(t, file, O_APPEND))?;
    t.syscalls("fcntl", || setfl(t, file, FASYNC))?;
    t.syscalls("ioctl", || ioctl_fiemap(t, file, 0, u64::MAX))?;
    user.fsync(file)?;
    for advice in [3, 4, 0] {
        t.syscalls("fadvise64", || vfs_fadvise(t, file, 0, PAGE, advice))?;
    }
    let path = file.path();
    let again = t.syscalls("openat", || reopen(t, &path, O_RDONLY))?;
    expect_data(t, "another open file", &user.read(again, PAGE_SIZE, 0)?, &data[..PAGE_SIZE]);
    user.close(again)?;
    let stale = file.mapping().page(0);
    if let Some(page) = stale {
        page.clear(crate::reference::object::PageFlag::UPTODATE);
        expect_data(t, "a page that went stale", &user.read(file, 10, 0)?, &data[..10]);
    }
    migrate_pages(t, file.mapping());
    user.fsync(file)?;
    let _ = memory_failure(t, file.mapping(), 0);
    expect_data(t, "after a memory failure", &user.read(file, 10, 0)?, &data[..10]);
    shrink_page_list(t, file.mapping());
    user.write(file, b"x", 0)?;
    shrink_page_list(t, file.mapping());
    user.close(file)?;
    user.umount(false)
}
