//! Leases, and breaking them.

use std::sync::atomic::Ordering::SeqCst;

use super::filelock::locks_free;
use super::operations::LockManagerOperations;
use crate::reference::object::{Errno, File, FileLock, Inode, LeaseKind, Result, leaf};
use crate::reference::observe::Function;
use crate::reference::task::{Task, invoke};

/// Rounds that a holder is given to give its lease up before it is taken.
const BREAK_ROUNDS: u32 = 4;

fn manager(lease: &'static FileLock) -> &'static LockManagerOperations {
    lease.fl_lmops.get().unwrap_or(&LockManagerOperations::NONE)
}

/// Asks for a lease, or gives one up, of the file system where that has an op of its own.
pub(crate) fn vfs_setlease(
    t: &Task,
    file: &'static File,
    kind: LeaseKind,
    lease: Option<&'static FileLock>,
) -> Result<()> {
    let _frame = t.frame("vfs_setlease");
    let argument = i64::from(kind as u32);
    match file.ops().setlease {
        Some(callback) => invoke!(t, Setlease, callback, file, argument, lease),
        None => generic_setlease(t, file, argument, lease),
    }
}

/// Records a lease.
pub(crate) fn generic_setlease(
    t: &Task,
    file: &'static File,
    argument: i64,
    lease: Option<&'static FileLock>,
) -> Result<()> {
    let _frame = t.frame("generic_setlease");
    t.called(Function::GenericSetlease, file.inode().address());
    let kind = LeaseKind::of(argument.cast_unsigned() as u32);
    if kind == LeaseKind::Unlock {
        return if remove_lease(t, file) { Ok(()) } else { Err(Errno::EAGAIN) };
    }
    let lease = lease.ok_or(Errno::EINVAL)?;
    let inode = file.inode();
    let context = &inode.i_flctx;
    context.flc_lock.lock(t);
    let writers = inode.i_writecount.load(SeqCst);
    let own = i32::from(file.f_writes.load(SeqCst));
    let others = leaf(&context.flc_lease)
        .iter()
        .any(|held| held.kind() == LeaseKind::Write || kind == LeaseKind::Write || held.fl_breaking.load(SeqCst));
    let refused = others || (kind == LeaseKind::Read && writers > 0) || (kind == LeaseKind::Write && writers > own);
    if !refused {
        leaf(&context.flc_lease).push(lease);
    }
    context.flc_lock.release(t);
    if refused { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// Gives up the leases of an open file; whether there was any.
pub(crate) fn remove_lease(t: &Task, file: &'static File) -> bool {
    let _frame = t.frame("generic_delete_lease");
    let context = &file.inode().i_flctx;
    context.flc_lock.lock(t);
    let mine = |lease: &&'static FileLock| lease.fl_file.get().is_some_and(|held| std::ptr::eq(held, file));
    let leases: Vec<_> = leaf(&context.flc_lease).iter().copied().filter(mine).collect();
    for lease in &leases {
        change(t, lease, LeaseKind::Unlock);
    }
    context.flc_lock.release(t);
    for lease in &leases {
        locks_free(t, lease);
    }
    t.wake_all(&context.wait);
    !leases.is_empty()
}

/// Changes a lease through its manager; the caller holds `flc_lock`.
fn change(t: &Task, lease: &'static FileLock, to: LeaseKind) {
    let _frame = t.frame("lease_modify");
    let kind = to as u32;
    let changed = match manager(lease).lm_change {
        Some(callback) => invoke!(t, LmChange, callback, lease, kind),
        None => Ok(()),
    };
    if changed.is_ok() {
        lease.fl_type.store(kind, SeqCst);
    }
    if to == LeaseKind::Unlock
        && let Some(file) = lease.fl_file.get()
    {
        leaf(&file.inode().i_flctx.flc_lease).retain(|other| !std::ptr::eq(*other, lease));
    }
}

/// Breaks the leases that stand against an open or a change, and waits until they are gone.
pub(crate) fn break_lease(t: &Task, inode: &'static Inode, write: bool, nonblock: bool) -> Result<()> {
    let context = &inode.i_flctx;
    if leaf(&context.flc_lease).is_empty() {
        return Ok(());
    }
    let _frame = t.frame("__break_lease");
    for round in 0..=BREAK_ROUNDS {
        context.flc_lock.lock(t);
        let against = against(t, inode, write);
        for lease in &against {
            if round == BREAK_ROUNDS {
                // The holder has had its time.
                change(t, lease, LeaseKind::Unlock);
            } else if !lease.fl_breaking.swap(true, SeqCst)
                && let Some(callback) = manager(lease).lm_break
                && invoke!(t, LmBreak, callback, *lease)
            {
                change(t, lease, LeaseKind::Unlock);
            }
        }
        let left = leaf(&context.flc_lease).iter().any(|lease| against.iter().any(|one| std::ptr::eq(*one, *lease)));
        context.flc_lock.release(t);
        for lease in against {
            if lease.kind() == LeaseKind::Unlock {
                locks_free(t, lease);
            }
        }
        if !left {
            return Ok(());
        }
        if nonblock {
            return Err(Errno::EAGAIN);
        }
        t.schedule("a lease that is being broken");
    }
    Ok(())
}

/// The leases that stand against it; a holder does not break its own.
fn against(t: &Task, inode: &'static Inode, write: bool) -> Vec<&'static FileLock> {
    let leases = leaf(&inode.i_flctx.flc_lease).clone();
    let owned = |lease: &'static FileLock| match manager(lease).lm_breaker_owns_lease {
        Some(callback) => invoke!(t, LmBreakerOwnsLease, callback, lease),
        None => false,
    };
    let stands = |lease: &&'static FileLock| (write || lease.kind() == LeaseKind::Write) && !owned(lease);
    leases.into_iter().filter(stands).collect()
}
