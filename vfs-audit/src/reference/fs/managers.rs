//! Lock managers: who is told when a lock frees up, and when a lease must go.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::object::{Errno, FileLock, Result};
use crate::reference::task::Task;
use crate::reference::vfs::operations::{FileLockOperations, LockManagerOperations, callback};

/// What the remote file system keeps on a lock: the server's name for it.
pub(crate) static REMOTE_LOCKS: FileLockOperations = FileLockOperations {
    fl_copy_lock: callback!(remote_copy_lock),
    fl_release_private: callback!(remote_release_private),
};

/// A lock server: requests that must wait are told later.
pub(crate) static LOCKD: LockManagerOperations = LockManagerOperations {
    lm_notify: callback!(lockd_notify),
    lm_grant: callback!(lockd_grant),
    lm_lock_expirable: callback!(lockd_lock_expirable),
    lm_expire_lock: callback!(lockd_expire_lock),
    ..LockManagerOperations::NONE
};

/// A program with a lease.
pub(crate) static LEASE_MANAGER: LockManagerOperations = LockManagerOperations {
    lm_break: callback!(lease_break_callback),
    lm_change: callback!(lease_change),
    lm_breaker_owns_lease: callback!(lease_breaker_owns_lease),
    ..LockManagerOperations::NONE
};

/// Values of a lock's private number: what the server has been told.
const TOLD: u64 = 1 << 32;
/// The holder of such a lock has not been heard of.
pub(crate) const HOLDER_IS_SILENT: u64 = 1 << 33;

fn remote_copy_lock(_: &Task, new: &'static FileLock, old: &'static FileLock) {
    new.fl_private.store(old.fl_private.load(SeqCst), SeqCst);
}

/// The server's name for the lock is given up.
fn remote_release_private(_: &Task, lock: &'static FileLock) {
    lock.fl_private.store(0, SeqCst);
}

/// The lock that stood in the way is gone; under a spinlock, so it is only noted.
fn lockd_notify(_: &Task, request: &'static FileLock) {
    request.fl_private.fetch_or(TOLD, SeqCst);
}

/// The client that waited is told.
fn lockd_grant(_: &Task, request: &'static FileLock, result: i32) -> Result<()> {
    if request.fl_private.fetch_and(!TOLD, SeqCst) & TOLD != 0 && result == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn lockd_lock_expirable(_: &Task, lock: &'static FileLock) -> bool {
    lock.fl_private.load(SeqCst) & HOLDER_IS_SILENT != 0
}

/// Clients that have not been heard of are given up, which takes its time.
fn lockd_expire_lock(t: &Task) {
    t.schedule("silent clients to expire");
}

/// The holder is signalled, and keeps the lease until it answers or its time is over.
fn lease_break_callback(_: &Task, lease: &'static FileLock) -> bool {
    lease.fl_private.fetch_or(TOLD, SeqCst);
    false
}

fn lease_change(_: &Task, lease: &'static FileLock, kind: u32) -> Result<()> {
    lease.fl_private.fetch_and(!TOLD, SeqCst);
    if kind <= 2 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn lease_breaker_owns_lease(t: &Task, lease: &'static FileLock) -> bool {
    lease.fl_owner.load(SeqCst) == u64::from(t.id)
}
