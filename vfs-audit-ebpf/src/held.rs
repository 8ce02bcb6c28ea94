//! The held-lock table: acquire, release, downgrade, look up.
//!
//! Shared holdings are noted from acquire to release: no word names a reader. An exclusive holding is noted when it is
//! acquired and never released here: its own word says whether the task still has it, which saves a probe on every
//! release. Entries whose word says otherwise are dropped when another one comes on top of them.

use vfs_audit_common::{HELD_LOCKS_MAX, HeldLock, Loss, ModeBits, TaskLocks};

use crate::{maps::lose, memory::fast_u64};

// Verifier: an index masked to the table's size, so that the access is provably inside.
const MASK: usize = HELD_LOCKS_MAX - 1;
/// Released entries on top that one acquisition drops.
const DROPPED_MAX: usize = 2;
/// Offset of `rw_semaphore.owner`; that of `mutex.owner` is 0. The daemon has compared both with BTF.
const RWSEM_OWNER: u64 = 8;
/// A flag in the owner word of an rwsem that says nothing of who holds it (`RWSEM_NONSPINNABLE`).
const NONSPINNABLE: u64 = 2;
/// Low bits of a mutex' owner word that are flags.
const MUTEX_FLAGS: u64 = 7;

/// Whether the entry's holding goes on, by the lock's own word where one task alone can hold it.
///
/// # Safety
/// `entry` is within a live map value.
#[inline(always)]
unsafe fn goes_on(entry: *const HeldLock, task: u64) -> bool {
    // SAFETY: by the caller's contract.
    let (instance, mode) = unsafe { ((*entry).instance, (*entry).mode) };
    if instance == 0 {
        return false;
    }
    if mode == ModeBits::Shared as u32 {
        return true;
    }
    if mode == ModeBits::Mutex as u32 {
        return fast_u64(instance) & !MUTEX_FLAGS == task;
    }
    // The lowest bit stands for a reader, which may be the same task.
    fast_u64(instance + RWSEM_OWNER) & !NONSPINNABLE == task
}

/// Finds `instance` among the entries, newest first.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
unsafe fn position(locks: *const TaskLocks, instance: u64) -> Option<usize> {
    for back in 0..HELD_LOCKS_MAX {
        // Verifier: read anew each time, or the compiler counts down from the smaller of both bounds, a loop whose end 6.1
        // cannot see.
        // SAFETY: by the caller's contract.
        let len = unsafe { core::ptr::read_volatile(&raw const (*locks).held_len) } as usize;
        if back >= len {
            return None;
        }
        let index = (len - 1 - back) & MASK;
        // SAFETY: the index is below the table's size.
        if unsafe { (*locks).held[index].instance } == instance {
            return Some(index);
        }
    }
    None
}

/// Notes that `task` holds `instance`; a shared lock taken twice has two entries.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn acquire(locks: *mut TaskLocks, task: u64, instance: u64, mode: ModeBits, site: u64) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        let mut len = (*locks).held_len as usize;
        for _ in 0..DROPPED_MAX {
            if len == 0 || goes_on(&raw const (*locks).held[(len - 1) & MASK], task) {
                break;
            }
            len -= 1;
        }
        let mut place = len;
        if len >= HELD_LOCKS_MAX {
            place = place_in_full(locks, task);
            if place >= HELD_LOCKS_MAX {
                (*locks).history_complete = 0;
                lose(Loss::HeldTableFull);
                return;
            }
        } else {
            len += 1;
        }
        let entry = &raw mut (*locks).held[place & MASK];
        (*entry).instance = instance;
        (*entry).acquire_site = site;
        (*entry).mode = mode as u32;
        (*locks).held_len = len as u32;
    }
}

/// Empties every entry whose holding is over; 1 when one goes on.
///
/// Verifier: entries stay where they are. Moving them together takes a count that 6.1 follows through every combination.
#[inline(never)]
pub(crate) fn empty_released(locks: *mut TaskLocks, task: u64) -> u32 {
    let mut holds = 0;
    for index in 0..HELD_LOCKS_MAX {
        // SAFETY: every caller passes a live map value; the index is below the table's size.
        unsafe {
            if index >= core::ptr::read_volatile(&raw const (*locks).held_len) as usize {
                break;
            }
            let entry = &raw mut (*locks).held[index];
            if goes_on(entry, task) {
                holds = 1;
            } else {
                (*entry).instance = 0;
            }
        }
    }
    holds
}

/// A place for one more in a full table, where one that is over can go.
#[inline(never)]
fn place_in_full(locks: *mut TaskLocks, task: u64) -> usize {
    empty_released(locks, task);
    for index in 0..HELD_LOCKS_MAX {
        // SAFETY: the caller passes a live map value; the index is below the table's size.
        if unsafe { (*locks).held[index].instance } == 0 {
            return index;
        }
    }
    HELD_LOCKS_MAX
}

/// Field by field: a whole copy would be a loop over bytes.
#[inline(always)]
unsafe fn copy(from: *const HeldLock, to: *mut HeldLock) {
    // SAFETY: by the caller, both are entries of a live map value.
    unsafe {
        (*to).instance = (*from).instance;
        (*to).acquire_site = (*from).acquire_site;
        (*to).mode = (*from).mode;
    }
}

/// Notes that the task holds `instance` once less.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn release(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        let Some(index) = position(locks, instance) else { return };
        let last = ((*locks).held_len as usize - 1) & MASK;
        if index != last {
            copy(&raw const (*locks).held[last], &raw mut (*locks).held[index]);
        }
        (*locks).held_len = last as u32;
    }
}

/// Drops `instance`, and with it the task's claim to a complete history.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn forget(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller's contract.
    unsafe {
        (*locks).history_complete = 0;
        release(locks, instance);
    }
}

/// Turns an exclusive holding into a shared one.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn downgrade(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        if let Some(index) = position(locks, instance) {
            (*locks).held[index].mode = ModeBits::Shared as u32;
        }
    }
}

/// The mode in which the table has `instance`; 0 = not at all. Of an exclusive one only its word knows whether it goes on.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn mode_of(locks: *const TaskLocks, instance: u64) -> u32 {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe { position(locks, instance).map_or(0, |index| (*locks).held[index].mode) }
}
