//! The held-lock table: acquire, release, downgrade, look up.
//!
//! Shared holdings are noted from acquire to release: no word names a reader. Of an exclusive holding only the acquisition is
//! noted, at a place that the lock's address gives: its own word says whether the task still has it, which saves a probe on
//! every release and a search on every acquisition.

use vfs_audit_common::{Event, HELD_LOCKS_MAX, HeldLock, Loss, ModeBits, OWNER_FLAGS, Stat, TaskLocks, lock_place};

use crate::{
    facts,
    maps::{count, lose},
    memory::fast_u64,
    words,
};

// Verifier: an index masked to the table's size, so that the access is provably inside.
const MASK: usize = HELD_LOCKS_MAX - 1;
/// Places at which an exclusive holding can be noted.
const WAYS: usize = 4;
/// Offset of `rw_semaphore.owner`; that of `mutex.owner` is 0. The daemon has compared both with BTF.
const RWSEM_OWNER: u64 = 8;
/// A flag in the owner word of an rwsem that says nothing of who holds it (`RWSEM_NONSPINNABLE`).
const NONSPINNABLE: u64 = 2;

/// Whether `task` still has the exclusive holding, by the lock's own word.
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
    if mode == ModeBits::Mutex as u32 {
        return fast_u64(instance) & !OWNER_FLAGS == task;
    }
    // The lowest bit stands for a reader, which may be the same task.
    fast_u64(instance + RWSEM_OWNER) & !NONSPINNABLE == task
}

/// Notes that `task` holds `instance` exclusively; what is noted at its places and goes on is kept.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn acquire_exclusive(locks: *mut TaskLocks, task: u64, instance: u64, mode: ModeBits, site: u64) {
    let first = lock_place(instance) as usize;
    for way in 0..WAYS {
        // SAFETY: by the caller's contract; the index is masked below the table's size.
        unsafe {
            let entry = &raw mut (*locks).exclusive[(first ^ way) & MASK];
            if (*entry).instance == instance || !goes_on(entry, task) {
                (*entry).instance = instance;
                (*entry).acquire_site = site;
                (*entry).mode = mode as u32;
                return;
            }
        }
    }
    // The word goes on to tell who holds it; where it was acquired is not known.
    // SAFETY: by the caller's contract.
    unsafe { (*locks).exclusive_dropped = 1 };
    count(Stat::SiteUnknown);
}

/// Whether an exclusive acquisition of `instance` is noted; only the word knows whether the task still holds it.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn was_acquired_exclusively(locks: *const TaskLocks, instance: u64) -> bool {
    let first = lock_place(instance) as usize;
    for way in 0..WAYS {
        // SAFETY: by the caller's contract; the index is masked below the table's size.
        if unsafe { (*locks).exclusive[(first ^ way) & MASK].instance } == instance {
            return true;
        }
    }
    false
}

/// Empties every place whose exclusive holding is over; 1 when one goes on.
#[inline(never)]
pub(crate) fn empty_released(locks: *mut TaskLocks, task: u64) -> u32 {
    let mut holds = 0;
    for index in 0..HELD_LOCKS_MAX {
        // SAFETY: every caller passes a live map value; the index is below the table's size.
        unsafe {
            let entry = &raw mut (*locks).exclusive[index];
            if goes_on(entry, task) {
                holds = 1;
            } else {
                (*entry).instance = 0;
            }
        }
    }
    holds
}

/// Copies the exclusive holdings that go on to `to`; the task's table stays as it is: whoever sleeps, or is interrupted, on
/// its way to a lock has noted the acquisition already.
#[inline(never)]
pub(crate) fn copy_exclusive(locks: *const TaskLocks, task: u64, to: *mut Event) {
    for index in 0..HELD_LOCKS_MAX {
        // SAFETY: every caller passes a live map value and a reserved record; the index is below the size of both arrays.
        unsafe {
            let entry = &raw const (*locks).exclusive[index];
            let place = &raw mut (*to).exclusive[index];
            (*place).instance = (*entry).instance;
            if !goes_on(entry, task) {
                (*place).instance = 0;
            }
            (*place).acquire_site = (*entry).acquire_site;
            (*place).mode = (*entry).mode;
            (*place).pad = 0;
        }
    }
}

/// Finds `instance` among the shared holdings, newest first: its index.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn position(locks: *const TaskLocks, instance: u64) -> Option<usize> {
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

/// Drops the shared holdings of locks that have no reader, by their words; returns how many are left.
#[inline(never)]
fn drop_free(locks: *mut TaskLocks) -> u32 {
    let mut kept = 0u64;
    for index in 0..HELD_LOCKS_MAX {
        // SAFETY: every caller passes a live map value; indices are masked below the table's size.
        unsafe {
            // Verifier: or every number of what was kept would be followed apart.
            kept = facts::blur(locks, kept);
            let entry = &raw const (*locks).held[index];
            if !words::has_readers(fast_u64((*entry).instance)) {
                continue;
            }
            let place = &raw mut (*locks).held[kept as usize & MASK];
            (*place).instance = (*entry).instance;
            (*place).acquire_site = (*entry).acquire_site;
            (*place).mode = (*entry).mode;
            kept += 1;
        }
    }
    kept as u32
}

/// Notes that the task holds `instance` shared; a lock taken twice has two entries.
///
/// Where there is no room, holdings whose lock's word says that nobody reads any more go first: their releases were missed. A
/// task of which there are none loses its complete history, which is counted; of one whose history is incomplete, what the
/// table says is in doubt anyway, and it begins anew.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn acquire_shared(locks: *mut TaskLocks, instance: u64, site: u64) {
    // SAFETY: by the caller's contract; the index is masked below the table's size.
    unsafe {
        let mut len = (*locks).held_len as usize;
        if len >= HELD_LOCKS_MAX {
            len = drop_free(locks) as usize;
            if len < HELD_LOCKS_MAX {
                count(Stat::ReleaseMissed);
                (*locks).history_complete = 0;
            } else if (*locks).history_complete != 0 {
                (*locks).history_complete = 0;
                return lose(Loss::HeldTableFull);
            } else {
                len = 0;
            }
        }
        let entry = &raw mut (*locks).held[len & MASK];
        (*entry).instance = instance;
        (*entry).acquire_site = site;
        (*entry).mode = ModeBits::Shared as u32;
        (*locks).held_len = (len + 1) as u32;
    }
}

/// Notes that the task holds `instance` shared once less.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn release(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller's contract.
    unsafe {
        if let Some(index) = position(locks, instance) {
            remove(locks, index);
        }
    }
}

/// Removes the shared holding at `index`, of which there is one.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
unsafe fn remove(locks: *mut TaskLocks, index: usize) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        // Verifier: one way on, wherever it was found.
        let index = facts::blur(locks, index as u64) as usize & MASK;
        let last = ((*locks).held_len as usize - 1) & MASK;
        if index != last {
            // Field by field: a whole copy would be a loop over bytes.
            let moved = &raw const (*locks).held[last];
            let hole = &raw mut (*locks).held[index];
            (*hole).instance = (*moved).instance;
            (*hole).acquire_site = (*moved).acquire_site;
            (*hole).mode = (*moved).mode;
        }
        (*locks).held_len = last as u32;
    }
}

/// Drops the shared holding at `index`, and with it the task's claim to a complete history.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn forget(locks: *mut TaskLocks, index: usize) {
    // SAFETY: by the caller's contract.
    unsafe {
        (*locks).history_complete = 0;
        remove(locks, index);
    }
}
