//! POSIX locks and flock: who waits for whom, and how a lock manager is told.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::object::lock_flags::{FL_FLOCK, FL_POSIX, FL_SLEEP};
use crate::reference::object::{Errno, File, FileLock, FileLockContext, Inode, LeaseKind, Result, leaf};
use crate::reference::task::{Task, invoke};

/// `F_SETLK`, as a command of `->lock`.
pub(crate) const F_SETLK: i32 = 6;

/// What a request for a lock comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granted {
    /// It is held.
    Now,
    /// The lock manager will be told.
    Later,
}

/// A new lock of a file, for whoever the task is.
pub(crate) fn locks_alloc(t: &Task, file: &'static File, flags: u32, kind: LeaseKind) -> &'static FileLock {
    let lock = t.kernel.slabs.locks.allocate();
    lock.fl_file.set(Some(file));
    lock.fl_flags.store(flags, SeqCst);
    lock.fl_type.store(kind as u32, SeqCst);
    lock.fl_owner.store(u64::from(t.id), SeqCst);
    lock
}

/// Frees a lock; a file system may have something of its own on it.
pub(crate) fn locks_free(t: &Task, lock: &'static FileLock) {
    let _frame = t.frame("locks_release_private");
    if let Some(callback) = lock.fl_ops.get().and_then(|ops| ops.fl_release_private) {
        invoke!(t, FlReleasePrivate, callback, lock);
    }
    t.kernel.rcu.call(Box::new(move |t| t.kernel.slabs.locks.free(lock)));
}

/// Copies a lock, and lets the file system copy what is its own, with the inode's `i_lock` held.
fn locks_copy_lock(t: &Task, from: &'static FileLock) -> Option<&'static FileLock> {
    let _frame = t.frame("locks_copy_lock");
    let file = from.fl_file.get()?;
    let new = t.kernel.slabs.locks.allocate();
    new.fl_file.set(Some(file));
    for (to, from) in [(&new.fl_flags, &from.fl_flags), (&new.fl_type, &from.fl_type)] {
        to.store(from.load(SeqCst), SeqCst);
    }
    for (to, from) in [(&new.fl_owner, &from.fl_owner), (&new.fl_start, &from.fl_start), (&new.fl_end, &from.fl_end)] {
        to.store(from.load(SeqCst), SeqCst);
    }
    new.fl_ops.set(from.fl_ops.get());
    new.fl_lmops.set(from.fl_lmops.get());
    let inode = file.inode();
    inode.i_lock.lock(t);
    if let Some(callback) = from.fl_ops.get().and_then(|ops| ops.fl_copy_lock) {
        invoke!(t, FlCopyLock, callback, new, from);
    }
    inode.i_lock.release(t);
    Some(new)
}

/// Asks for a POSIX lock, of the file system where that has an op of its own.
pub(crate) fn vfs_lock_file(t: &Task, file: &'static File, request: &'static FileLock) -> Result<()> {
    let _frame = t.frame("vfs_lock_file");
    match file.ops().lock {
        Some(callback) => {
            let command = F_SETLK;
            invoke!(t, Lock, callback, file, command, request)
        }
        None => posix_lock_file(t, file.inode(), request).map(|_| ()),
    }
}

/// Asks for a flock.
pub(crate) fn vfs_flock(t: &Task, file: &'static File, request: &'static FileLock) -> Result<()> {
    let _frame = t.frame("do_flock");
    match file.ops().flock {
        Some(callback) => {
            let command = F_SETLK;
            invoke!(t, Flock, callback, file, command, request)
        }
        None => flock_lock_inode(t, file.inode(), request),
    }
}

/// The first lock that excludes a request.
fn conflict(list: &[&'static FileLock], request: &'static FileLock) -> Option<&'static FileLock> {
    list.iter().copied().find(|held| held.conflicts(request))
}

/// Takes or gives up a POSIX lock; the request itself is the caller's.
pub(crate) fn posix_lock_file(t: &Task, inode: &'static Inode, request: &'static FileLock) -> Result<Granted> {
    let _frame = t.frame("posix_lock_inode");
    let context = &inode.i_flctx;
    if request.kind() == LeaseKind::Unlock {
        unlock_posix(t, context, request);
        return Ok(Granted::Now);
    }
    let new = locks_copy_lock(t, request).ok_or(Errno::EBADF)?;
    loop {
        context.flc_lock.lock(t);
        let Some(blocker) = conflict(&leaf(&context.flc_posix), request) else { break };
        if expires(t, blocker) {
            context.flc_lock.release(t);
            expire(t, blocker);
            continue;
        }
        if request.fl_flags.load(SeqCst) & FL_SLEEP == 0 {
            context.flc_lock.release(t);
            locks_free(t, new);
            return Err(Errno::EAGAIN);
        }
        block_on(t, blocker, request);
        context.flc_lock.release(t);
        if request.fl_lmops.get().is_some_and(|ops| ops.lm_grant.is_some()) {
            locks_free(t, new);
            return Ok(Granted::Later);
        }
        t.wait(&request.fl_wait, "a POSIX lock", || request.fl_blocker.get().is_none());
    }
    replace_own(context, request);
    leaf(&context.flc_posix).push(new);
    context.flc_lock.release(t);
    Ok(Granted::Now)
}

/// A lock of the same owner over the same range gives way to the new one.
fn replace_own(context: &'static FileLockContext, request: &'static FileLock) {
    let same = |held: &&'static FileLock| {
        held.fl_owner.load(SeqCst) == request.fl_owner.load(SeqCst)
            && held.fl_start.load(SeqCst) == request.fl_start.load(SeqCst)
            && held.fl_end.load(SeqCst) == request.fl_end.load(SeqCst)
    };
    leaf(&context.flc_posix).retain(|held| !same(held));
}

/// Whether the manager of a lock says that its holder may be gone; with `flc_lock` held.
fn expires(t: &Task, held: &'static FileLock) -> bool {
    let callback = held.fl_lmops.get().and_then(|ops| ops.lm_lock_expirable);
    callback.is_some_and(|callback| invoke!(t, LmLockExpirable, callback, held))
}

/// Lets the manager end what has expired; it may sleep for that. What it leaves is removed here.
fn expire(t: &Task, held: &'static FileLock) {
    let _frame = t.frame("posix_lock_inode");
    if let Some(callback) = held.fl_lmops.get().and_then(|ops| ops.lm_expire_lock) {
        invoke!(t, LmExpireLock, callback);
    }
    if let Some(file) = held.fl_file.get() {
        let context = &file.inode().i_flctx;
        context.flc_lock.lock(t);
        let found = take(context, held);
        context.flc_lock.release(t);
        wake_blocked(t, held);
        if found {
            locks_free(t, held);
        }
    }
}

fn take(context: &'static FileLockContext, lock: &'static FileLock) -> bool {
    let mut list = leaf(&context.flc_posix);
    let before = list.len();
    list.retain(|other| !std::ptr::eq(*other, lock));
    before != list.len()
}

/// Puts a request behind the lock that blocks it.
fn block_on(t: &Task, blocker: &'static FileLock, request: &'static FileLock) {
    let _frame = t.frame("locks_insert_block");
    let lock = &t.kernel.globals.blocked_lock_lock;
    lock.lock(t);
    request.fl_blocker.set(Some(blocker));
    leaf(&blocker.fl_blocked_requests).push(request);
    lock.release(t);
}

/// Wakes the requests behind a lock; a manager is told instead, under `blocked_lock_lock`.
fn wake_blocked(t: &Task, blocker: &'static FileLock) {
    let _frame = t.frame("locks_wake_up_blocks");
    let lock = &t.kernel.globals.blocked_lock_lock;
    lock.lock(t);
    let waiting = std::mem::take(&mut *leaf(&blocker.fl_blocked_requests));
    for request in waiting {
        request.fl_blocker.set(None);
        if let Some(callback) = request.fl_lmops.get().and_then(|ops| ops.lm_notify) {
            invoke!(t, LmNotify, callback, request);
        } else {
            t.wake_all(&request.fl_wait);
        }
    }
    lock.release(t);
}

fn unlock_posix(t: &Task, context: &'static FileLockContext, request: &'static FileLock) {
    context.flc_lock.lock(t);
    let owner = request.fl_owner.load(SeqCst);
    let (gone, kept) = leaf(&context.flc_posix).drain(..).partition::<Vec<_>, _>(|held| {
        held.fl_owner.load(SeqCst) == owner
            && held.fl_start.load(SeqCst) <= request.fl_end.load(SeqCst)
            && request.fl_start.load(SeqCst) <= held.fl_end.load(SeqCst)
    });
    *leaf(&context.flc_posix) = kept;
    context.flc_lock.release(t);
    for lock in gone {
        wake_blocked(t, lock);
        locks_free(t, lock);
    }
}

/// A manager that was told tries again, and passes the result on.
pub(crate) fn retry_deferred(t: &Task, request: &'static FileLock) -> Result<Granted> {
    let _frame = t.frame("nlmsvc_grant_blocked");
    let file = request.fl_file.get().ok_or(Errno::EBADF)?;
    let granted = posix_lock_file(t, file.inode(), request)?;
    if granted == Granted::Now
        && let Some(callback) = request.fl_lmops.get().and_then(|ops| ops.lm_grant)
    {
        let result = 0;
        invoke!(t, LmGrant, callback, request, result)?;
    }
    Ok(granted)
}

/// Takes or gives up a flock.
pub(crate) fn flock_lock_inode(t: &Task, inode: &'static Inode, request: &'static FileLock) -> Result<()> {
    let _frame = t.frame("flock_lock_inode");
    let context = &inode.i_flctx;
    context.flc_lock.lock(t);
    let file = request.fl_file.get();
    let same = |held: &&'static FileLock| match (held.fl_file.get(), file) {
        (Some(a), Some(b)) => std::ptr::eq(a, b),
        _ => false,
    };
    let (gone, kept) = leaf(&context.flc_flock).drain(..).partition::<Vec<_>, _>(same);
    let blocked = request.kind() != LeaseKind::Unlock
        && kept.iter().any(|held| held.kind() == LeaseKind::Write || request.kind() == LeaseKind::Write);
    *leaf(&context.flc_flock) = kept;
    let result = if blocked {
        leaf(&context.flc_flock).extend(&gone);
        Err(Errno::EAGAIN)
    } else {
        if request.kind() != LeaseKind::Unlock {
            let new = locks_alloc(t, request.fl_file.get().ok_or(Errno::EBADF)?, FL_FLOCK, request.kind());
            new.fl_ops.set(request.fl_ops.get());
            leaf(&context.flc_flock).push(new);
        }
        Ok(())
    };
    context.flc_lock.release(t);
    if result.is_ok() {
        for lock in gone {
            locks_free(t, lock);
        }
    }
    result
}

/// A descriptor is closed: the process's POSIX locks on the file go.
pub(crate) fn remove_posix(t: &Task, file: &'static File) {
    let _frame = t.frame("locks_remove_posix");
    let mine = u64::from(t.id);
    let any = leaf(&file.inode().i_flctx.flc_posix).iter().any(|lock| lock.fl_owner.load(SeqCst) == mine);
    if any {
        let request = locks_alloc(t, file, FL_POSIX, LeaseKind::Unlock);
        // Giving up a lock cannot be refused.
        let _ = posix_lock_file(t, file.inode(), request);
        locks_free(t, request);
    }
}

/// An open file ends: its flocks and leases go.
pub(crate) fn remove_all(t: &Task, file: &'static File) {
    let _frame = t.frame("locks_remove_file");
    let context = &file.inode().i_flctx;
    if !leaf(&context.flc_flock).is_empty() {
        let request = locks_alloc(t, file, FL_FLOCK, LeaseKind::Unlock);
        let _ = flock_lock_inode(t, file.inode(), request);
        locks_free(t, request);
    }
    if !leaf(&context.flc_lease).is_empty() {
        super::lease::remove_lease(t, file);
    }
    let of_file = |lock: &&'static FileLock| lock.fl_file.get().is_some_and(|held| std::ptr::eq(held, file));
    let left: Vec<_> = leaf(&context.flc_posix).iter().copied().filter(of_file).collect();
    for lock in left {
        context.flc_lock.lock(t);
        let taken = take(context, lock);
        context.flc_lock.release(t);
        wake_blocked(t, lock);
        if taken {
            locks_free(t, lock);
        }
    }
}
