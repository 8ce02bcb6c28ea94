//! What lockdep says of the locks that were read, on a kernel that has it, when the daemon asks.
//!
//! Its answers become part of the key, beside what both witnesses say, and are judged by nobody here. Not asked, it is a test of
//! a constant that the verifier takes out with everything behind it.

use core::ptr::read_volatile;

use vfs_audit_common::{
    LOCK_MUTEX, LOCK_RCU, LOCK_RWSEM, LOCK_SPIN, LOCK_UNTRACKED, SLOT_ABSENT, SLOT_LOCKDEP_EXCLUSIVE,
    SLOT_LOCKDEP_MASK, SLOT_LOCKDEP_NONE, SLOT_LOCKDEP_SHARED, SLOT_LOCKDEP_UNASKED, SlotReader, TaskLocks,
};

use crate::{
    facts,
    maps::{LOCKDEP, constant},
    memory::fast_u64,
};

/// Locks that lockdep keeps of one task (`MAX_LOCK_DEPTH`).
const HELD_MAX: u64 = 48;
/// What was found of a lock: above the bits of the answer, how many entries it has.
const ONE_ENTRY: u64 = 0x100;

/// One offset of lockdep's by name.
macro_rules! lockdep {
    ($field:ident) => {
        u64::from(constant(&raw const LOCKDEP.$field))
    };
}

/// Whether the daemon wants lockdep's answers.
#[inline(always)]
pub(crate) fn is_asked() -> bool {
    lockdep!(task_held_locks) != 0
}

/// Where lockdep's map of the lock of `kind` at `address` is; 0 = it knows no such locks.
#[inline(always)]
fn map_of(kind: u8, address: u64) -> u64 {
    match kind & !LOCK_UNTRACKED {
        LOCK_RWSEM => address + lockdep!(rwsem_map),
        LOCK_MUTEX => address + lockdep!(mutex_map),
        LOCK_SPIN => address + lockdep!(spin_map),
        // SAFETY: a field of a static that is always initialised; volatile as in `constant`.
        LOCK_RCU => unsafe { read_volatile(&raw const LOCKDEP.rcu_lock_map) },
        _ => 0,
    }
}

/// The mode and the number of the entries that `task` has of the lock whose map is `map`.
///
/// # Safety
/// `locks` is a live map value of the task.
#[inline(always)]
unsafe fn look_up(map: u64, locks: *mut TaskLocks, task: u64) -> u64 {
    let mut found = 0;
    for index in 0..HELD_MAX {
        // Verifier: read anew each time, as in `held::position`.
        if index >= fast_u64(task + lockdep!(task_lockdep_depth)) & 0xffff_ffff {
            break;
        }
        let entry = task + lockdep!(task_held_locks) + index * lockdep!(held_bytes);
        if fast_u64(entry + lockdep!(held_instance)) == map {
            let bits = fast_u64(entry + lockdep!(held_bits)) & 0xffff_ffff;
            let is_shared = bits >> (lockdep!(read_shift) & 31) & 3 != 0;
            found |= u64::from(if is_shared { SLOT_LOCKDEP_SHARED } else { SLOT_LOCKDEP_EXCLUSIVE });
            found += ONE_ENTRY;
        }
        // Verifier: one way on, whatever was found.
        // SAFETY: by the caller.
        found = unsafe { facts::blur(locks, found) };
    }
    found
}

/// What an answer is made of what was found; of read sides of RCU, `own_rcu` are those of probing itself.
#[inline(always)]
fn answer(kind: u8, found: u64, own_rcu: u64) -> u8 {
    if kind == LOCK_RCU {
        return if found / ONE_ENTRY > own_rcu { SLOT_LOCKDEP_SHARED } else { SLOT_LOCKDEP_NONE };
    }
    if found == 0 { SLOT_LOCKDEP_NONE } else { found as u8 & SLOT_LOCKDEP_MASK }
}

/// Lockdep's answers for the locks of `readers` that were read as `states`, a byte each as there.
///
/// # Safety
/// `locks` is a live map value of `task`, which is the current one, its roles read; `readers` are `MOST` at least.
#[inline(never)]
pub(crate) unsafe fn answers<const MOST: usize>(
    readers: *const SlotReader,
    states: u64,
    locks: *mut TaskLocks,
    task: u64,
    own_rcu: u64,
) -> u64 {
    // SAFETY: by the caller.
    unsafe {
        if fast_u64(task + lockdep!(task_lockdep_recursion)) as u32 != 0 {
            return 0;
        }
        let mut answers = 0;
        for index in 0..MOST {
            let mut said = SLOT_LOCKDEP_UNASKED;
            if (states >> (8 * index)) as u8 != SLOT_ABSENT {
                let reader = &*readers.add(index);
                let address = facts::role(locks, reader.role) + u64::from(reader.offset);
                let map = facts::blur(locks, map_of(reader.kind, address));
                if map != 0 {
                    said = answer(reader.kind, look_up(map, locks, task), own_rcu);
                }
            }
            // Verifier: as in `look_up`.
            answers = facts::blur(locks, answers | u64::from(said) << (8 * index));
        }
        answers
    }
}
