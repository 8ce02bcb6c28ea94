//! What lockdep says of the locks that are read, on a kernel that has it, when the daemon asks.
//!
//! Its answers become part of the key, beside what both witnesses say, and are judged by nobody here. Not asked, it is a test of
//! a constant that the verifier takes out with everything behind it.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{macros::map, maps::PerCpuArray};
use vfs_audit_common::{
    LOCK_MUTEX, LOCK_RCU, LOCK_RWSEM, LOCK_SPIN, LOCK_UNTRACKED, SLOT_ABSENT, SLOT_LOCKDEP_EXCLUSIVE,
    SLOT_LOCKDEP_MASK, SLOT_LOCKDEP_NONE, SLOT_LOCKDEP_SHARED, SLOTS_MAX, SlotReader, TaskLocks,
};

use crate::{
    context::Context,
    facts,
    maps::{LOCKDEP, constant},
    memory::fast_u64,
};

/// Locks that lockdep keeps of one task (`MAX_LOCK_DEPTH`).
const HELD_MAX: u64 = 48;
/// Places for them, a power of two: many more, since two that find one pair taken are not told.
const PLACES: usize = 256;

/// A held lock at its place.
#[derive(Clone, Copy)]
struct Held {
    /// Number of the look that put it here.
    look: u64,
    /// Address of its lockdep map.
    map: u64,
    /// A `SLOT_LOCKDEP_*`.
    mode: u64,
}

/// What the last look at a task found.
///
/// Verifier: at places that a hash gives, since a search for each slot on each way to it is a million instructions (6.12).
struct HeldLocks {
    /// Number of the look; 0 = its answers are none.
    look: u64,
    /// Looks so far.
    looks: u64,
    /// Read sides of RCU.
    rcu: u64,
    /// The locks: each at its place or at the one beside it.
    places: [Held; PLACES],
}

#[map]
static HELD: PerCpuArray<HeldLocks> = PerCpuArray::with_max_entries(1, 0);

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

#[inline(always)]
fn rcu_map() -> u64 {
    // SAFETY: a field of a static that is always initialised; volatile as in `constant`.
    unsafe { read_volatile(&raw const LOCKDEP.rcu_lock_map) }
}

#[inline(always)]
fn place(map: u64) -> usize {
    ((map >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize & (PLACES - 1)
}

/// Looks at what the current task, `task`, holds; the number of the look, 0 when lockdep is not asked.
#[inline(always)]
pub(crate) fn look(task: u64) -> u64 {
    if is_asked() { look_at(task) } else { 0 }
}

#[inline(never)]
fn look_at(task: u64) -> u64 {
    let Some(held) = HELD.get_ptr_mut(0) else { return 0 };
    // SAFETY: a per-CPU map value; whoever comes between has another number, and is noticed by it.
    unsafe {
        let look = read_volatile(&raw const (*held).looks) + 1;
        write_volatile(&raw mut (*held).looks, look);
        write_volatile(&raw mut (*held).rcu, 0);
        // A task for which lockdep is off for a while has locks that are not noted.
        let is_off = fast_u64(task + lockdep!(task_lockdep_recursion)) as u32 != 0;
        write_volatile(&raw mut (*held).look, if is_off { 0 } else { look });
        let mut entry = task + lockdep!(task_held_locks);
        for index in 0..HELD_MAX {
            // Verifier: read anew each time, as in `held::position`.
            if index >= fast_u64(task + lockdep!(task_lockdep_depth)) & 0xffff_ffff {
                break;
            }
            note(held, entry);
            entry += lockdep!(held_bytes);
        }
        read_volatile(&raw const (*held).look)
    }
}

/// Puts the held lock at `entry` to its place.
///
/// # Safety
/// `held` is a live map value.
#[inline(always)]
unsafe fn note(held: *mut HeldLocks, entry: u64) {
    // SAFETY: by the caller; indices are masked below the array's size.
    unsafe {
        let map = fast_u64(entry + lockdep!(held_instance));
        if map == rcu_map() {
            write_volatile(&raw mut (*held).rcu, read_volatile(&raw const (*held).rcu) + 1);
            return;
        }
        let bits = fast_u64(entry + lockdep!(held_bits)) & 0xffff_ffff;
        let is_shared = bits >> (lockdep!(read_shift) & 31) & 3 != 0;
        let mode = if is_shared { SLOT_LOCKDEP_SHARED } else { SLOT_LOCKDEP_EXCLUSIVE };
        let look = read_volatile(&raw const (*held).look);
        for beside in 0..2 {
            let here = &raw mut (*held).places[place(map) ^ beside];
            if read_volatile(&raw const (*here).look) != look || read_volatile(&raw const (*here).map) == map {
                write_volatile(&raw mut (*here).look, look);
                write_volatile(&raw mut (*here).map, map);
                write_volatile(&raw mut (*here).mode, mode.into());
                return;
            }
        }
        // No room: then what is not found is not known to be free.
        write_volatile(&raw mut (*held).look, 0);
    }
}

/// Takes the answers out of an invocation's slots: an interrupt borrows a task that has locks of its own.
#[inline(always)]
pub(crate) fn forget_answers(slots: &mut [u8; SLOTS_MAX]) {
    if is_asked() {
        let answers = u64::from_ne_bytes([SLOT_LOCKDEP_MASK; SLOTS_MAX]);
        *slots = (u64::from_ne_bytes(*slots) & !answers).to_ne_bytes();
    }
}

/// Where lockdep's map of the lock of `kind` at `address` is; 0 = it knows no such locks.
#[inline(always)]
fn map_of(kind: u8, address: u64) -> u64 {
    match kind & !LOCK_UNTRACKED {
        LOCK_RWSEM => address + lockdep!(rwsem_map),
        LOCK_MUTEX => address + lockdep!(mutex_map),
        LOCK_SPIN => address + lockdep!(spin_map),
        LOCK_RCU => rcu_map(),
        _ => 0,
    }
}

/// Both witnesses of a lock, `state`, with lockdep's answer, when it is asked.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
pub(crate) unsafe fn with_answer(reader: &SlotReader, state: u8, locks: *mut TaskLocks, context: &Context) -> u8 {
    if !is_asked() || state == SLOT_ABSENT {
        return state;
    }
    // SAFETY: by the caller.
    unsafe {
        // Verifier: what follows is one way for every state and kind of lock.
        let state = facts::blur(locks, state.into());
        let address = facts::role(locks, reader.role) + u64::from(reader.offset);
        let map = facts::blur(locks, map_of(reader.kind, address));
        let answer = if map == 0 { 0 } else { answer(map, context.lockdep, context.control.rcu_base) };
        (state | facts::blur(locks, answer)) as u8
    }
}

/// The answer by look number `look`; `own_rcu`: read sides of RCU that are those of probing itself.
#[inline(never)]
fn answer(map: u64, look: u64, own_rcu: u32) -> u64 {
    let Some(held) = HELD.get_ptr_mut(0) else { return 0 };
    // SAFETY: a per-CPU map value; indices are masked below the array's size.
    unsafe {
        // Another task's look came between, or this one's was in vain.
        if look == 0 || read_volatile(&raw const (*held).looks) != look {
            return 0;
        }
        if map == rcu_map() {
            let is_more = read_volatile(&raw const (*held).rcu) > u64::from(own_rcu);
            return u64::from(if is_more { SLOT_LOCKDEP_SHARED } else { SLOT_LOCKDEP_NONE });
        }
        for beside in 0..2 {
            let here = &raw const (*held).places[place(map) ^ beside];
            if read_volatile(&raw const (*here).look) == look && read_volatile(&raw const (*here).map) == map {
                return read_volatile(&raw const (*here).mode) & u64::from(SLOT_LOCKDEP_MASK);
            }
        }
        SLOT_LOCKDEP_NONE.into()
    }
}
