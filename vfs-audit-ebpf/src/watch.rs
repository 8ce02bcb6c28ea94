//! Callbacks that are watched for sleeping: frames from entry to exit, and the switches between.

use aya_ebpf::{EbpfContext, bindings::BPF_NOEXIST, macros::raw_tracepoint, programs::RawTracePointContext};
use vfs_audit_common::{Loss, ObservationKey, SLOTS_MAX, TaskLocks, WATCHED_MAX, WatchFrame};

use crate::{
    callback::count_in_table,
    event,
    maps::{SLEEPS, WAITING, lose, offset},
    memory::fast_u64,
    task,
};

// Verifier: an index masked to the array's size, so that the access is provably inside.
const MASK: usize = WATCHED_MAX - 1;

/// Opens a frame; frames whose stack is gone are dropped and counted.
#[inline(always)]
pub(crate) fn enter(locks: *mut TaskLocks, key: &ObservationKey, stack_pointer: u64) {
    // SAFETY: a live map value of the current task; indices are masked below the array's size.
    unsafe {
        let mut len = (*locks).watched_len as usize;
        for _ in 0..WATCHED_MAX {
            let top = &raw const (*locks).watched[len.wrapping_sub(1) & MASK];
            // Equal stack pointers: one callback that ends in a jump to another, both still open; unless it is the same
            // callback again, whose exit was then missed.
            if len == 0 || (*top).stack_pointer > stack_pointer {
                break;
            }
            if (*top).stack_pointer == stack_pointer && (*top).hook != key.hook {
                break;
            }
            len -= 1;
            lose(Loss::ExitMissed);
        }
        if len >= WATCHED_MAX {
            return lose(Loss::ExitMissed);
        }
        (*locks).watched[len & MASK] = WatchFrame {
            hook: key.hook,
            sleeps: 0,
            stack_pointer,
            flags: u64::from(key.flags),
            caller: key.caller,
            table: key.table,
            sb: key.sb,
        };
        (*locks).watched_len = (len + 1) as u32;
    }
}

/// The key of a frame's exit.
#[inline(always)]
fn exit_key(frame: &WatchFrame, history_complete: u32) -> ObservationKey {
    ObservationKey {
        hook: frame.hook,
        flags: frame.flags as u8,
        history_complete: history_complete as u8,
        point: 1,
        slept: u8::from(frame.sleeps != 0),
        caller: frame.caller,
        table: frame.table,
        sb: frame.sb,
        slots: [0; SLOTS_MAX],
    }
}

/// Closes the frame of `hook` and counts what happened in it; frames above it have missed their exit.
#[inline(always)]
pub(crate) fn leave<C: EbpfContext>(ctx: &C, hook: u32) {
    let Some(locks) = task::known(task::current()) else { return };
    // SAFETY: a live map value of the current task; indices are masked below the array's size.
    unsafe {
        let mut len = (*locks).watched_len as usize;
        for _ in 0..WATCHED_MAX {
            if len == 0 {
                return;
            }
            len -= 1;
            if (*locks).watched[len & MASK].hook == hook {
                (*locks).watched_len = len as u32;
                let key = exit_key(&(*locks).watched[len & MASK], (*locks).history_complete);
                if count_in_table(&key) {
                    event::first_sight(ctx, &key, locks);
                }
                return;
            }
        }
    }
}

/// `task_struct.flags`: a CPU's idle task.
const PF_IDLE: u64 = 2;

/// Marks the history of a task that runs while another one's program waits on this CPU: the kernel skips a program that is
/// already running on the CPU, so that something may be missed.
///
/// A task in a program of ours, or of anybody else, must not migrate, which is how it is known. Programs on tracepoints, this
/// one too, may count for the task that leaves: how much is seen at tasks that leave of their own will.
#[inline(always)]
fn doubt_what_runs_instead(previous: u64, is_preempted: bool, next: u64) {
    let migration_disabled = u64::from(offset!(task_migration_disabled));
    if migration_disabled == 0 {
        return;
    }
    let depth = |task: u64| fast_u64(task + migration_disabled) & 0xffff;
    let (Some(waiting), Some(usual)) = (WAITING.get_ptr_mut(0), WAITING.get_ptr_mut(1)) else { return };
    // SAFETY: a per-CPU map value, written by this tracepoint alone, which does not interrupt itself.
    unsafe {
        let mut count = *waiting;
        if !is_preempted {
            *usual = depth(previous) + 1;
        } else if *usual != 0 && depth(previous) >= *usual {
            count += 1;
        }
        if fast_u64(next + u64::from(offset!(task_flags))) & PF_IDLE != 0 {
            // Whoever was preempted here would run first.
            count = 0;
        } else if depth(next) != 0 {
            count = count.saturating_sub(1);
        } else if count != 0
            && let Some(locks) = task::known(next)
        {
            (*locks).history_complete = 0;
        }
        *waiting = count;
    }
}

/// A task leaves the CPU: of its own will, inside a watched callback?
#[raw_tracepoint(tracepoint = "sched_switch")]
pub(crate) fn sched_switch(ctx: RawTracePointContext) -> i32 {
    let preempted: u64 = ctx.arg(0);
    let previous: u64 = ctx.arg(1);
    doubt_what_runs_instead(previous, preempted & 0xff != 0, ctx.arg(2));
    if preempted & 0xff != 0 {
        return 0;
    }
    let Some(locks) = task::known(previous) else { return 0 };
    // SAFETY: a live map value of the switched task, which runs none of our programs meanwhile; indices are masked.
    unsafe {
        let len = (*locks).watched_len as usize;
        if len == 0 {
            return 0;
        }
        for index in 0..WATCHED_MAX {
            // Verifier: as in `held::position`.
            if index >= core::ptr::read_volatile(&raw const (*locks).watched_len) as usize {
                break;
            }
            (*locks).watched[index & MASK].sleeps += 1;
        }
        let frame = (*locks).watched[(len - 1) & MASK];
        if SLEEPS.insert(frame.hook, 1, BPF_NOEXIST.into()).is_ok() {
            event::sleep(&ctx, &exit_key(&frame, (*locks).history_complete), locks);
        }
    }
    0
}
