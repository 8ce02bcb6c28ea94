//! Workloads of several tasks that get in each other's way: renames, truncation against faults, unmounting, freezing, leases,
//! and a mix of everything.
//!
//! Calls may fail, since others change what they speak of; what must not happen is a deadlock, a fault of the lock model,
//! wrong data, or something left behind.

use crate::reference::object::open_flags::{O_CREAT, O_RDONLY, O_RDWR};
use crate::reference::object::{Errno, LeaseKind, PAGE_SIZE, Path, Result};
use crate::reference::task::Task;
use crate::reference::vfs::memory::exit_mmap;
use crate::reference::vfs::mount::{
    enter_mount, freeze_super, iterate_supers, leave_mount, sync_filesystem, thaw_super,
};
use crate::reference::vfs::reclaim::shrink_page_list;
use crate::reference::vfs::types::falloc::{KEEP_SIZE, PUNCH_HOLE};
use crate::reference::vfs::types::rename_flags::RENAME_EXCHANGE;
use crate::reference::vfs::writeback::writeback_sb_inodes;

use super::user::User;

const PAGE: u64 = PAGE_SIZE as u64;

/// One workload.
pub(crate) struct Contention {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// The file system that it runs on.
    pub(crate) fs: &'static str,
    /// Done once, before the tasks.
    pub(crate) before: fn(&User<'_, '_>) -> Result<()>,
    /// The tasks; each is given how many steps to make.
    pub(crate) tasks: &'static [(&'static str, fn(&User<'_, '_>, u64) -> Result<()>)],
}

/// All of them.
pub(crate) const CONTENTIONS: &[Contention] = &[
    Contention {
        name: "rename",
        fs: "memory",
        before: make_tree,
        tasks: &[("mover", move_across), ("digger", move_directories), ("walker", walk_around)],
    },
    Contention {
        name: "truncate",
        fs: "disk",
        before: make_pages,
        tasks: &[("cutter", cut), ("mapper", map), ("reader", read_and_reclaim)],
    },
    Contention {
        name: "umount",
        fs: "memory",
        before: make_tree,
        tasks: &[("unmounter", unmount), ("writer", write_while_mounted), ("flusher", flush)],
    },
    Contention {
        name: "freeze",
        fs: "memory",
        before: make_tree,
        tasks: &[("freezer", freeze), ("writer", write_while_mounted), ("mover", move_across)],
    },
    Contention {
        name: "lease",
        fs: "memory",
        before: make_tree,
        tasks: &[("holder", hold_leases), ("breaker", break_leases), ("walker", walk_around)],
    },
];

/// Errors that come of what others do meanwhile.
fn tolerate<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(
            Errno::ENOENT
            | Errno::EEXIST
            | Errno::ENOTEMPTY
            | Errno::EINVAL
            | Errno::EAGAIN
            | Errno::EBUSY
            | Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::EFAULT
            | Errno::ELOOP
            | Errno::ESTALE,
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_tree(user: &User<'_, '_>) -> Result<()> {
    for name in ["a", "b", "a/c", "a/c/deep", "b/d"] {
        user.mkdir(name)?;
    }
    for name in ["a/1", "a/2", "b/3", "a/c/4"] {
        let file = user.open(name, O_CREAT | O_RDWR)?;
        user.close(file)?;
    }
    Ok(())
}

const FILES: [&str; 5] = ["a/1", "a/2", "b/3", "a/c/4", "b/d/5"];
const DIRECTORIES: [&str; 4] = ["a/c", "b/d", "b/c", "a/c/deep"];

fn pick<'n>(t: &Task, names: &[&'n str]) -> &'n str {
    names[t.below(names.len() as u64) as usize]
}

fn move_across(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps {
        let (from, to) = (pick(user.t, &FILES), pick(user.t, &FILES));
        let flags = if user.t.below(4) == 0 { RENAME_EXCHANGE } else { 0 };
        tolerate(user.rename(from, to, flags))?;
        tolerate(user.link(pick(user.t, &FILES), pick(user.t, &FILES)))?;
    }
    Ok(())
}

fn move_directories(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps {
        let flags = if user.t.below(4) == 0 { RENAME_EXCHANGE } else { 0 };
        tolerate(user.rename(pick(user.t, &DIRECTORIES), pick(user.t, &DIRECTORIES), flags))?;
        tolerate(user.rmdir(pick(user.t, &DIRECTORIES)))?;
        tolerate(user.mkdir(pick(user.t, &DIRECTORIES)))?;
    }
    Ok(())
}

fn walk_around(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps {
        tolerate(user.stat(pick(user.t, &FILES)))?;
        let name = if user.t.below(2) == 0 { pick(user.t, &FILES) } else { pick(user.t, &DIRECTORIES) };
        if let Some(file) = tolerate(user.open(name, O_RDONLY))? {
            tolerate(user.list(file).map(|_| ()).or_else(|_| user.read(file, 10, 0).map(|_| ())))?;
            user.close(file)?;
        }
        tolerate(user.unlink(pick(user.t, &FILES)))?;
        tolerate(user.open(pick(user.t, &FILES), O_CREAT | O_RDWR).and_then(|file| user.close(file)))?;
    }
    Ok(())
}

fn make_pages(user: &User<'_, '_>) -> Result<()> {
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &[1; 4 * PAGE_SIZE], 0)?;
    user.fsync(file)?;
    shrink_page_list(user.t, file.mapping());
    user.close(file)
}

fn cut(user: &User<'_, '_>, steps: u64) -> Result<()> {
    let file = user.open("file", O_RDWR)?;
    for _ in 0..steps {
        let page = user.t.below(4);
        user.truncate("file", page * PAGE + user.t.below(2) * 100)?;
        user.truncate("file", 4 * PAGE)?;
        user.fallocate(file, PUNCH_HOLE | KEEP_SIZE, page * PAGE, PAGE)?;
    }
    user.close(file)
}

/// Stores to mapped memory; what is loaded is what somebody stored, or nothing.
fn map(user: &User<'_, '_>, steps: u64) -> Result<()> {
    let file = user.open("file", O_RDWR)?;
    let at = user.mmap(file, 4 * PAGE, true)?;
    for _ in 0..steps {
        let address = at + user.t.below(4) * PAGE + 5;
        tolerate(user.touch(address, Some(1)))?;
        if let Some(byte) = tolerate(user.touch(address, None))?
            && byte > 1
        {
            super::each::expect_data(user.t, "a byte that nobody stored", &[byte], &[1]);
        }
    }
    user.munmap(at)?;
    user.t.syscalls("exit_group", || exit_mmap(user.t));
    user.close(file)
}

fn read_and_reclaim(user: &User<'_, '_>, steps: u64) -> Result<()> {
    let file = user.open("file", O_RDWR)?;
    for _ in 0..steps {
        let data = user.read(file, PAGE_SIZE, user.t.below(4) * PAGE)?;
        if data.iter().any(|byte| *byte > 1) {
            super::each::expect_data(user.t, "data that nobody wrote", &data, &[]);
        }
        user.write(file, &[1; 100], user.t.below(4) * PAGE)?;
        user.t.syscalls("", || shrink_page_list(user.t, file.mapping()));
        user.fsync(file)?;
    }
    user.close(file)
}

/// Unmounts as soon as nobody is there; gives up after a while, and whoever set the workload up unmounts.
fn unmount(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps * 4 {
        if tolerate(user.umount(false))?.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn inside<T>(user: &User<'_, '_>, body: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    if tolerate(user.t.syscalls("chdir", || enter_mount(user.t, &user.root)))?.is_none() {
        return Ok(None);
    }
    let result = body();
    user.t.syscalls("chdir", || leave_mount(&user.root));
    result.map(Some)
}

fn write_while_mounted(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps {
        inside(user, || {
            if let Some(file) = tolerate(user.open(pick(user.t, &FILES), O_CREAT | O_RDWR))? {
                user.write(file, b"data", 0)?;
                user.close(file)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A flusher thread, and somebody who syncs everything.
fn flush(user: &User<'_, '_>, steps: u64) -> Result<()> {
    let t = user.t;
    for _ in 0..steps {
        t.syscalls("", || iterate_supers(t, false, |sb| _ = writeback_sb_inodes(t, sb, false)));
        t.syscalls("sync", || iterate_supers(t, true, |sb| _ = sync_filesystem(t, sb)));
    }
    Ok(())
}

fn freeze(user: &User<'_, '_>, steps: u64) -> Result<()> {
    let (t, sb) = (user.t, user.sb());
    for _ in 0..steps {
        if tolerate(t.syscalls("ioctl", || freeze_super(t, sb)))?.is_some() {
            t.syscalls("ioctl", || thaw_super(t, sb))?;
        }
    }
    Ok(())
}

fn hold_leases(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps {
        let Some(file) = tolerate(user.open(pick(user.t, &FILES), O_RDONLY))? else { continue };
        let kind = if user.t.below(2) == 0 { LeaseKind::Read } else { LeaseKind::Write };
        tolerate(user.lease(file, kind, u64::from(user.t.id)))?;
        if user.t.below(2) == 0 {
            tolerate(user.lease(file, LeaseKind::Unlock, 0))?;
        }
        user.close(file)?;
    }
    Ok(())
}

fn break_leases(user: &User<'_, '_>, steps: u64) -> Result<()> {
    for _ in 0..steps {
        if let Some(file) = tolerate(user.open(pick(user.t, &FILES), O_RDWR))? {
            user.close(file)?;
        }
        tolerate(user.truncate(pick(user.t, &FILES), 0))?;
    }
    Ok(())
}

/// A mount that a task works on, whoever made it.
pub(crate) fn view<'t, 'k>(t: &'t Task<'k>, root: Path) -> User<'t, 'k> {
    User { t, root }
}
