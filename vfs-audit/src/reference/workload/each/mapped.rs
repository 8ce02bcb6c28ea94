//! Mapped files: faults of every kind, truncation against them, and memory that is a device's.

use super::names::DISK_BLOCKS;
use super::{expect_data, pattern};
use crate::reference::fs::new_device;
use crate::reference::object::fault_flags::FAULT_FLAG_WRITE;
use crate::reference::object::open_flags::{O_CREAT, O_RDWR};
use crate::reference::object::{Errno, File, PAGE_SIZE, Result, Slot, VmFault, leaf};
use crate::reference::task::{Task, invoke};
use crate::reference::vfs::directory::Make;
use crate::reference::vfs::memory::{access_process_vm, dup_mmap, exit_mmap, mm_of};
use crate::reference::vfs::pagecache::unlock_page;
use crate::reference::vfs::reclaim::shrink_page_list;
use crate::reference::workload::user::User;

const PAGE: u64 = PAGE_SIZE as u64;

pub(super) fn memory(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    mapped(&user)?;
    user.umount(false)
}

pub(super) fn disk(t: &Task) -> Result<()> {
    t.uid.set(0);
    let device = new_device(t.kernel, DISK_BLOCKS, t.below(u64::MAX));
    let user = User::mount(t, "disk", Some(device))?;
    mapped(&user)?;
    user.umount(false)
}

fn mapped(user: &User<'_, '_>) -> Result<()> {
    let t = user.t;
    let data = pattern(9, 6 * PAGE_SIZE);
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &data, 0)?;
    user.fsync(file)?;
    t.syscalls("", || shrink_page_list(t, file.mapping()));
    let at = user.mmap(file, 6 * PAGE, true)?;
    for page in [0, 1, 5] {
        let byte = user.touch(at + page * PAGE + 3, None)?;
        expect_data(t, "a byte of mapped memory", &[byte], &data[(page * PAGE) as usize + 3..][..1]);
    }
    // Written to after it was read, and written to at once.
    user.touch(at + 3, Some(1))?;
    user.touch(at + 3 * PAGE, Some(2))?;
    user.fsync(file)?;
    expect_data(t, "what was stored", &user.read(file, 1, 3)?, &[1]);
    expect_data(t, "what was stored, elsewhere", &user.read(file, 1, 3 * PAGE)?, &[2]);
    truncated_write(user, file, at)?;
    user.truncate("file", 2 * PAGE)?;
    super::expect_error(t, "beyond the end", user.touch(at + 4 * PAGE, None), Errno::EFAULT);
    fork(user)?;
    user.munmap(at)?;
    let at = user.mmap(file, PAGE, true)?;
    user.touch(at, Some(7))?;
    t.syscalls("exit_group", || exit_mmap(t));
    user.close(file)
}

/// A page is truncated between the fault that found it and the write: the handler must see that.
fn truncated_write(user: &User<'_, '_>, file: &'static File, at: u64) -> Result<()> {
    let t = user.t;
    user.touch(at + 5 * PAGE, None)?;
    let page = file.mapping().page(5).ok_or(Errno::EIO)?;
    user.truncate("file", 5 * PAGE)?;
    let area = leaf(&mm_of(t).areas).iter().copied().find(|area| area.contains(at)).ok_or(Errno::EFAULT)?;
    let fault = VmFault { vma: area, address: at + 5 * PAGE, pgoff: 5, flags: FAULT_FLAG_WRITE, page: Slot::default() };
    fault.page.set(Some(page));
    let callback = area.ops().page_mkwrite.ok_or(Errno::EINVAL)?;
    t.syscalls("", || {
        let _frame = t.frame("do_page_mkwrite");
        let mm = area.mm();
        mm.mmap_lock.read(t);
        let fault = &fault;
        invoke!(t, PageMkwrite, callback, fault);
        if t.holds(&page.lock) {
            unlock_page(t, page);
        }
        mm.mmap_lock.release(t);
    });
    user.truncate("file", 6 * PAGE)
}

fn fork(user: &User<'_, '_>) -> Result<()> {
    let t = user.t;
    let parent = t.syscalls("clone", || dup_mmap(t))?;
    t.syscalls("exit_group", || exit_mmap(t));
    t.mm.set(Some(parent));
    Ok(())
}

pub(super) fn devices(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    user.make("device", Make::Node(0o600, 9))?;
    let file = user.open("device", O_RDWR)?;
    let at = user.mmap(file, 2 * PAGE, true)?;
    user.touch(at, None)?;
    user.touch(at + PAGE, Some(3))?;
    let mm = mm_of(t);
    let mut buffer = *b"poke";
    t.syscalls("ptrace", || access_process_vm(t, mm, at + 8, &mut buffer, true))?;
    let mut found = [0; 4];
    t.syscalls("ptrace", || access_process_vm(t, mm, at + 8, &mut found, false))?;
    expect_data(t, "what a debugger reads", &found, b"poke");
    user.munmap(at)?;
    t.syscalls("exit_group", || exit_mmap(t));
    user.close(file)?;
    user.umount(false)
}
