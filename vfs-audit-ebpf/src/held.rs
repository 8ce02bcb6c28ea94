//! The held-lock table: acquire, release, downgrade, look up.

use vfs_audit_common::{HELD_LOCKS_MAX, HeldLock, Loss, ModeBits, TaskLocks};

use crate::maps::lose;

// Verifier: an index masked to the table's size, so that the access is provably inside.
const MASK: usize = HELD_LOCKS_MAX - 1;

/// Finds `instance` among the held locks, newest first.
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

/// Notes that the task holds `instance`; a lock already held exclusively is the same holding (nested primitives).
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn acquire(locks: *mut TaskLocks, instance: u64, mode: ModeBits, site: impl FnOnce() -> u64) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        if let Some(index) = position(locks, instance) {
            let held = &mut (*locks).held[index];
            if mode as u32 == ModeBits::Shared as u32 && held.mode == mode as u32 {
                held.depth += 1;
            } else {
                held.mode = mode as u32;
            }
            return;
        }
        let len = (*locks).held_len as usize;
        if len >= HELD_LOCKS_MAX {
            (*locks).history_complete = 0;
            lose(Loss::HeldTableFull);
            return;
        }
        (*locks).held[len & MASK] = HeldLock { instance, acquire_site: site(), mode: mode as u32, depth: 1 };
        (*locks).held_len = (len + 1) as u32;
    }
}

/// Notes that the task no longer holds `instance`.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn release(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        let Some(index) = position(locks, instance) else { return };
        let depth = (*locks).held[index].depth;
        if depth > 1 {
            (*locks).held[index].depth = depth - 1;
            return;
        }
        let last = ((*locks).held_len as usize - 1) & MASK;
        if index != last {
            // Field by field: a whole copy would be a loop over bytes.
            let moved = &raw const (*locks).held[last];
            let hole = &raw mut (*locks).held[index];
            (*hole).instance = (*moved).instance;
            (*hole).acquire_site = (*moved).acquire_site;
            (*hole).mode = (*moved).mode;
            (*hole).depth = (*moved).depth;
        }
        (*locks).held_len = last as u32;
    }
}

/// Drops `instance` at whatever depth, and with it the task's claim to a complete history.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn forget(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe {
        (*locks).history_complete = 0;
        if let Some(index) = position(locks, instance) {
            (*locks).held[index].depth = 1;
            release(locks, instance);
        }
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

/// The mode in which the table holds `instance`; 0 = not at all.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn mode_of(locks: *const TaskLocks, instance: u64) -> u32 {
    // SAFETY: by the caller's contract; indices are masked below the table's size.
    unsafe { position(locks, instance).map_or(0, |index| (*locks).held[index].mode) }
}
