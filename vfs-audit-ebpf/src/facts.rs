//! Fact readers: runs a hook's plan over the arguments of one invocation.
//!
//! Roles and lock words are kept in the task's own map value: the stack is small, and zeroing it costs more than the rest.

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_probe_read_kernel};
use vfs_audit_common::{
    CONTEXT_UNKNOWN, Control, FLAG_AND_MASK, FLAG_ATOMIC, FLAG_IS_DIRECTORY, FLAG_PRESENT, FLAG_ROLES_DIFFER,
    FLAGS_MAX, FlagReader, HookPlan, LOCK_RWSEM, LOCK_UNTRACKED, ROLE_STEPS_MAX, ROLES_MAX, RoleReader, SLOT_ABSENT,
    SLOT_OFFSETS_MAX, SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_NONE, SLOT_TRACKED_SHARED, SLOT_UNTRACKED, SLOT_WORD_FREE,
    SLOT_WORD_OTHER, SLOT_WORD_READERS, SLOT_WORD_SELF, SLOT_WORD_UNREAD, SLOTS_MAX, SlotReader, Stat, TaskLocks,
};

use crate::{
    held,
    maps::{CONTEXT, count, offset},
    memory::fast_u64,
};

/// Register arguments of an x86-64 call, padded to a power of two for masked indexing.
pub(crate) type Args = [u64; 8];

/// Set in the preemption count of an x86 kernel while nobody wants the CPU.
const PREEMPT_NEED_RESCHED: u32 = 0x8000_0000;
/// The processor's flag that interrupts are on.
const FLAG_INTERRUPTS: u64 = 1 << 9;
const S_IFMT: u64 = 0o170_000;
const S_IFDIR: u64 = 0o040_000;
/// The writer bit of `rw_semaphore.count`.
const RWSEM_WRITER: u64 = 1;
/// Readers are counted from this bit of `rw_semaphore.count`.
const RWSEM_READER_SHIFT: u32 = 8;
/// Low bits of an owner word that are flags, for rwsem and mutex alike.
const OWNER_FLAGS: u64 = 7;
/// `ERR_PTR` values lie above this address.
const ERRORS_FROM: u64 = u64::MAX - 4095;

/// The object of role `index` of the invocation under way.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
unsafe fn role(locks: *const TaskLocks, index: u8) -> u64 {
    // SAFETY: by the caller; the index is masked below the array's size.
    unsafe { (*locks).roles[usize::from(index) & (ROLES_MAX - 1)] }
}

/// The object that `reader` reaches; 0 = none, or the chain could not be read.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn object(reader: &RoleReader, args: &Args, locks: *const TaskLocks) -> u64 {
    let mut address = if reader.source & 0x80 == 0 {
        args[usize::from(reader.source) & 7]
    } else {
        // SAFETY: by the caller.
        unsafe { role(locks, reader.source) }
    };
    for step in 0..ROLE_STEPS_MAX {
        if step >= usize::from(reader.steps) || address == 0 || address >= ERRORS_FROM {
            break;
        }
        address = fast_u64(address + u64::from(reader.offset[step]));
    }
    if address == 0 || address >= ERRORS_FROM { 0 } else { address + u64::from(reader.add) }
}

/// Reads the object of every role of the plan into the task's scratch.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn roles(plan: &HookPlan, args: &Args, locks: *mut TaskLocks) {
    for index in 0..ROLES_MAX {
        if index >= usize::from(plan.roles_len) {
            break;
        }
        // SAFETY: by the caller; the index is below the array's size.
        unsafe { (*locks).roles[index] = object(&plan.roles[index], args, locks) };
    }
}

/// Whether a slot of the object's `table` holds the function that runs: else it was called directly.
#[inline(always)]
pub(crate) fn is_in_table(plan: &HookPlan, table: u64) -> bool {
    if plan.slot_offsets_len == 0 {
        return true;
    }
    for index in 0..SLOT_OFFSETS_MAX {
        if index >= usize::from(plan.slot_offsets_len) {
            break;
        }
        if fast_u64(table + u64::from(plan.slot_offsets[index])) == plan.function {
            return true;
        }
    }
    false
}

/// Whether the inode at `address` is a directory.
#[inline(always)]
fn is_directory(address: u64) -> bool {
    address != 0 && fast_u64(address + u64::from(offset!(inode_mode))) & S_IFMT == S_IFDIR
}

/// Where the callback was entered.
pub(crate) struct Context {
    /// What the daemon said.
    pub(crate) control: &'static Control,
    /// The current task.
    pub(crate) task: u64,
    /// The processor's flags, where the probe saves them.
    pub(crate) processor_flags: u64,
}

/// Whether sleeping is not allowed, what probing itself adds left out.
///
/// Interrupts that are off are seen only where the probe saves the processor's flags.
#[inline(always)]
fn is_atomic(context: &Context) -> bool {
    let control = context.control;
    if control.per_cpu_offsets == 0 {
        return false;
    }
    // SAFETY: the helper takes nothing.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    let per_cpu = fast_u64(control.per_cpu_offsets + 8 * cpu);
    let unadjusted = fast_u64(per_cpu.wrapping_add(control.preempt_count)) as u32 & !PREEMPT_NEED_RESCHED;
    // Not above what the self-test saw whatever was subtracted there: nothing to subtract.
    let preempt = if unadjusted <= control.preempt_unadjusted && control.preempt_base != CONTEXT_UNKNOWN {
        0
    } else {
        unadjusted.saturating_sub(tracers(context.task))
    };
    let nesting = u64::from(offset!(task_rcu_nesting));
    let rcu = if nesting == 0 { 0 } else { fast_u64(context.task + nesting) as u32 };
    if control.preempt_base == CONTEXT_UNKNOWN {
        note_context(unadjusted, preempt, rcu);
        return false;
    }
    let interrupts_off = control.flags_saved != 0 && context.processor_flags & FLAG_INTERRUPTS == 0;
    preempt > control.preempt_base || rcu > control.rcu_base || interrupts_off
}

/// How many tracers of functions, we and others, have switched preemption off on the way here: each has its bit in the task's
/// `trace_recursion`.
#[inline(always)]
fn tracers(task: u64) -> u32 {
    /// Bits of callbacks of ftrace and of the list of them, five contexts each.
    const FTRACE: u32 = 0x3ff;
    let recursion = u64::from(offset!(task_trace_recursion));
    if recursion == 0 {
        return 0;
    }
    // The instruction set cannot count bits.
    let bits = fast_u64(task + recursion) as u32 & FTRACE;
    let pairs = bits - (bits >> 1 & 0x155);
    let fours = (pairs & 0x333) + (pairs >> 2 & 0x333);
    (fours & 0xf) + (fours >> 4 & 0xf) + (fours >> 8 & 0xf)
}

/// Keeps the least of what the self-test's calls were seen in.
#[inline(never)]
fn note_context(unadjusted: u32, preempt: u32, rcu: u32) {
    if let Some(least) = CONTEXT.get_ptr_mut(0) {
        // SAFETY: a live map value, written by the self-test's one thread.
        unsafe {
            if preempt < (*least).preempt {
                (*least).preempt = preempt;
            }
            if unadjusted < (*least).unadjusted {
                (*least).unadjusted = unadjusted;
            }
            if rcu < (*least).rcu {
                (*least).rcu = rcu;
            }
        }
    }
}

#[inline(always)]
unsafe fn flag(reader: &FlagReader, args: &Args, locks: *const TaskLocks, atomic: u64) -> bool {
    // SAFETY: by the caller.
    unsafe {
        match reader.kind {
            FLAG_AND_MASK => args[usize::from(reader.a) & 7] & u64::from(reader.mask) != 0,
            FLAG_ROLES_DIFFER => role(locks, reader.a) != role(locks, reader.b),
            FLAG_PRESENT => role(locks, reader.a) != 0,
            FLAG_IS_DIRECTORY => is_directory(role(locks, reader.a)),
            FLAG_ATOMIC => atomic != 0,
            _ => false,
        }
    }
}

/// The plan's flags as a bit set.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
pub(crate) unsafe fn flags(plan: &HookPlan, args: &Args, locks: *mut TaskLocks, context: &Context) -> u8 {
    let mut atomic = 0;
    if plan.reads_context != 0 {
        // SAFETY: by the caller.
        unsafe {
            // Verifier: once, ahead of the loop, and through a map value, where the ways that lead here become one.
            core::ptr::write_volatile(&raw mut (*locks).scratch, u64::from(is_atomic(context)));
            atomic = core::ptr::read_volatile(&raw const (*locks).scratch);
        }
    }
    let mut bits = 0;
    for index in 0..FLAGS_MAX {
        if index >= usize::from(plan.flags_len) {
            break;
        }
        // SAFETY: by the caller.
        if unsafe { flag(&plan.flags[index], args, locks, atomic) } {
            bits |= 1 << index;
        }
    }
    bits
}

/// What the words of an rwsem (count, owner) say to `task`.
#[inline(always)]
fn rwsem_word(count: u64, owner: u64, task: u64) -> u8 {
    if count & RWSEM_WRITER != 0 {
        return if owner.wrapping_sub(task) <= OWNER_FLAGS { SLOT_WORD_SELF } else { SLOT_WORD_OTHER };
    }
    // The top bit only says that a reader's fast path must fail.
    if (count << 1) >> (RWSEM_READER_SHIFT + 1) != 0 { SLOT_WORD_READERS } else { SLOT_WORD_FREE }
}

/// What the word of a mutex (owner) says to `task`.
#[inline(always)]
fn mutex_word(owner: u64, task: u64) -> u8 {
    if owner <= OWNER_FLAGS {
        SLOT_WORD_FREE
    } else if owner.wrapping_sub(task) <= OWNER_FLAGS {
        SLOT_WORD_SELF
    } else {
        SLOT_WORD_OTHER
    }
}

#[inline(always)]
unsafe fn word(kind: u8, address: u64, task: u64, words: *mut [u64; 2]) -> u8 {
    // SAFETY: by the caller, `words` is 16 bytes of a map value; the helper tolerates any source.
    unsafe {
        (*words)[0] = fast_u64(address);
        (*words)[1] = fast_u64(address + 8);
        // Zeros may also mean that nothing could be read, and that must not pass for a free lock: a lock that can be read
        // has a list of waiters behind its word, which is never all zero; where it seems to be, ask the helper.
        if (*words)[0] == 0
            && fast_u64(address + 16) | fast_u64(address + 24) == 0
            && bpf_probe_read_kernel(words.cast(), 16, address as *const _) != 0
        {
            return SLOT_WORD_UNREAD;
        }
        if kind == LOCK_RWSEM { rwsem_word((*words)[0], (*words)[1], task) } else { mutex_word((*words)[0], task) }
    }
}

#[inline(always)]
unsafe fn slot(reader: &SlotReader, locks: *mut TaskLocks, task: u64, words: *mut [u64; 2]) -> u8 {
    // SAFETY: by the caller, a live map value of the current task.
    unsafe {
        let object = role(locks, reader.role);
        if object == 0 {
            return SLOT_ABSENT;
        }
        let address = object + u64::from(reader.offset);
        let word = word(reader.kind & !LOCK_UNTRACKED, address, task, words);
        let tracked = if reader.kind & LOCK_UNTRACKED != 0 {
            SLOT_UNTRACKED
        } else if word == SLOT_WORD_SELF {
            // Of exclusive holdings the table has the beginning only.
            if held::was_acquired_exclusively(locks, address) {
                SLOT_TRACKED_EXCLUSIVE
            } else if (*locks).exclusive_dropped != 0 {
                SLOT_UNTRACKED
            } else {
                SLOT_TRACKED_NONE
            }
        } else if held::is_shared(locks, address) {
            SLOT_TRACKED_SHARED
        } else {
            SLOT_TRACKED_NONE
        };
        if word == SLOT_WORD_FREE && tracked == SLOT_TRACKED_SHARED {
            // A release was missed: the word is right, and the rest of the table is in doubt until the task is next
            // seen to hold no lock.
            count(Stat::ReleaseMissed);
            held::forget(locks, address);
        }
        word | tracked
    }
}

/// Both witnesses of every lock slot of the plan, a byte each, the first slot lowest.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
pub(crate) unsafe fn slots(plan: &HookPlan, locks: *mut TaskLocks, task: u64) -> u64 {
    let mut states = 0u64;
    for index in 0..SLOTS_MAX {
        if index >= usize::from(plan.slots_len) {
            break;
        }
        // SAFETY: by the caller; the index is below the array's size.
        let state = unsafe { slot(&plan.slots[index], locks, task, &raw mut (*locks).words[index]) };
        states |= u64::from(state) << (8 * index);
    }
    states
}
