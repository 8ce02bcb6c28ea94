//! File locks, lock managers and leases.

use std::sync::atomic::Ordering::SeqCst;

use super::expect_error;
use crate::reference::fs::{HOLDER_IS_SILENT, LOCKD, REMOTE_LOCKS};
use crate::reference::object::lock_flags::{FL_POSIX, FL_SLEEP};
use crate::reference::object::open_flags::{O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR};
use crate::reference::object::{Errno, File, FileLock, LeaseKind, Result};
use crate::reference::task::Task;
use crate::reference::vfs::filelock::{Granted, locks_alloc, locks_free, posix_lock_file, retry_deferred};
use crate::reference::workload::user::User;

pub(super) fn posix(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "remote", None)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.lock(file, FL_POSIX, LeaseKind::Read)?;
    user.lock(file, FL_POSIX, LeaseKind::Unlock)?;
    user.flock(file, LeaseKind::Write)?;
    let second = user.open("file", O_RDWR)?;
    expect_error(t, "a flock that is taken", user.flock(second, LeaseKind::Write), Errno::EAGAIN);
    user.flock(file, LeaseKind::Unlock)?;
    managed(t, file)?;
    silent(t, file)?;
    user.close(second)?;
    user.close(file)?;
    user.umount(false)
}

/// A request of some client of a lock server.
fn request(t: &Task, file: &'static File, owner: u64, kind: LeaseKind) -> &'static FileLock {
    let lock = locks_alloc(t, file, FL_POSIX | FL_SLEEP, kind);
    lock.fl_owner.store(owner, SeqCst);
    lock.fl_ops.set(Some(&REMOTE_LOCKS));
    lock.fl_lmops.set(Some(&LOCKD));
    lock
}

/// One client waits for another, and the server is told when it is its turn.
fn managed(t: &Task, file: &'static File) -> Result<()> {
    t.syscalls("", || {
        let inode = file.inode();
        let (first, second) = (request(t, file, 101, LeaseKind::Write), request(t, file, 102, LeaseKind::Write));
        posix_lock_file(t, inode, first)?;
        if posix_lock_file(t, inode, second)? != Granted::Later {
            expect_error::<()>(t, "a lock that is taken", Ok(()), Errno::EAGAIN);
        }
        for (owner, waits) in [(101, Some(second)), (102, None)] {
            let unlock = request(t, file, owner, LeaseKind::Unlock);
            posix_lock_file(t, inode, unlock)?;
            locks_free(t, unlock);
            if let Some(second) = waits {
                retry_deferred(t, second)?;
            }
        }
        locks_free(t, first);
        locks_free(t, second);
        Ok(())
    })
}

/// A client has gone silent: its lock is taken away when another wants it.
fn silent(t: &Task, file: &'static File) -> Result<()> {
    t.syscalls("", || {
        let inode = file.inode();
        let first = request(t, file, 103, LeaseKind::Write);
        first.fl_private.store(HOLDER_IS_SILENT, SeqCst);
        posix_lock_file(t, inode, first)?;
        let second = request(t, file, 104, LeaseKind::Write);
        posix_lock_file(t, inode, second)?;
        let unlock = request(t, file, 104, LeaseKind::Unlock);
        posix_lock_file(t, inode, unlock)?;
        for lock in [first, second, unlock] {
            locks_free(t, lock);
        }
        Ok(())
    })
}

pub(super) fn leases(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.close(file)?;
    let holder = user.open("file", O_RDONLY)?;
    user.lease(holder, LeaseKind::Read, 500)?;
    expect_error(t, "an open that will not wait", user.open("file", O_RDWR | O_NONBLOCK), Errno::EAGAIN);
    let writer = user.open("file", O_RDWR)?;
    expect_error(t, "a lease against a writer", user.lease(holder, LeaseKind::Read, 500), Errno::EAGAIN);
    user.close(writer)?;
    user.lease(holder, LeaseKind::Read, u64::from(t.id))?;
    // Its own lease stands in nobody's way.
    user.truncate("file", 0)?;
    user.lease(holder, LeaseKind::Unlock, 0)?;
    user.lease(holder, LeaseKind::Write, 501)?;
    let reader = user.open("file", O_RDONLY)?;
    user.close(reader)?;
    user.lease(holder, LeaseKind::Read, 502)?;
    user.close(holder)?;
    user.umount(false)
}
