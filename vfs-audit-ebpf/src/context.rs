//! Where a callback was entered: may the task sleep there, is it an interrupt, which system call is it.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use vfs_audit_common::{
    CONTEXT_UNKNOWN, Control, FLAG_INTERRUPTS, FlagReader, PREEMPT_INTERRUPTS, PREEMPT_NEED_RESCHED, STACK_SEARCH_MAX,
    SYSCALLS_MAX, TaskLocks,
};

use crate::{
    maps::{CONTEXT, offset},
    memory::fast_u64,
};

/// [`read`]: sleeping is not allowed.
pub(crate) const ATOMIC: u64 = 1;
/// [`read`]: in an interrupt.
pub(crate) const INTERRUPT: u64 = 2;

/// Where the callback was entered.
pub(crate) struct Context {
    /// What the daemon said.
    pub(crate) control: &'static Control,
    /// The current task.
    pub(crate) task: u64,
    /// The processor's flags, where the probe saves them.
    pub(crate) processor_flags: u64,
    /// Stack pointer at the entry.
    pub(crate) stack_pointer: u64,
    /// Number of the look at lockdep's table, see [`crate::lockdep`]; 0 = none.
    pub(crate) lockdep: u64,
}

/// [`ATOMIC`] and [`INTERRUPT`], what probing itself adds left out.
///
/// Interrupts that are off are seen only where the probe saves the processor's flags.
#[inline(always)]
pub(crate) fn read(context: &Context) -> u64 {
    let control = context.control;
    if control.per_cpu_offsets == 0 {
        return 0;
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
    let rcu = rcu_nesting(context.task);
    if control.preempt_base == CONTEXT_UNKNOWN {
        note_context(unadjusted, preempt, rcu);
        return 0;
    }
    let interrupts_off = control.flags_saved != 0 && context.processor_flags & FLAG_INTERRUPTS == 0;
    let atomic = preempt > control.preempt_base || rcu > control.rcu_base || interrupts_off;
    u64::from(atomic) * ATOMIC + u64::from(unadjusted & PREEMPT_INTERRUPTS != 0) * INTERRUPT
}

/// Depth of the task's RCU read sides, ours included; 0 where the kernel does not count them.
#[inline(always)]
pub(crate) fn rcu_nesting(task: u64) -> u32 {
    let nesting = u64::from(offset!(task_rcu_nesting));
    if nesting == 0 { 0 } else { fast_u64(task + nesting) as u32 }
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

/// Whether `stack_pointer` is not on the task's own stack: then an interrupt borrows the task.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn is_on_another_stack(stack_pointer: u64, locks: *const TaskLocks) -> bool {
    // SAFETY: by the caller.
    stack_pointer.wrapping_sub(unsafe { (*locks).stack_base }) >= u64::from(offset!(thread_size))
}

/// Whether one of the nearest words of the stack is a return address into the reader's range.
#[inline(always)]
pub(crate) fn is_called_from(reader: &FlagReader, stack_pointer: u64) -> bool {
    let len = 16 * u64::from(reader.offset);
    for word in 0..STACK_SEARCH_MAX as u64 {
        if fast_u64(stack_pointer + 8 * word).wrapping_sub(reader.value) < len {
            return true;
        }
    }
    false
}

/// Whether the task is in one of the reader's system calls: its number is kept at the top of the task's stack.
///
/// # Safety
/// `locks` is a live map value.
#[inline(always)]
pub(crate) unsafe fn is_in_syscall(reader: &FlagReader, locks: *const TaskLocks) -> bool {
    // SAFETY: by the caller.
    let top = unsafe { (*locks).stack_base } + u64::from(offset!(thread_size));
    let number = fast_u64(top - u64::from(offset!(syscall_number_below_top)));
    for part in 0..SYSCALLS_MAX {
        let wanted = reader.value >> (16 * part) & 0xffff;
        if wanted != 0 && number + 1 == wanted {
            return true;
        }
    }
    false
}

/// Whether the task walks a path in rcu-walk mode (`value`: the flag of it).
#[inline(always)]
pub(crate) fn is_in_rcu_walk(reader: &FlagReader, task: u64) -> bool {
    let walk = fast_u64(task + u64::from(offset!(task_nameidata)));
    walk != 0 && fast_u64(walk + u64::from(offset!(nameidata_flags))) & reader.value != 0
}
