//! Callbacks that are watched: frames from entry to exit, and the switches between.
//!
//! A callback that is watched for sleeping only has no probe at its exit: its frame is over when its return address is no
//! longer where it was, or something that is called later lies above it.

use aya_ebpf::{EbpfContext, bindings::BPF_ANY, macros::raw_tracepoint, programs::RawTracePointContext};
use vfs_audit_common::{
    HookPlan, LOCK_FOLIO, Loss, ObservationKey, SLEEP_EVENTS_MAX, SLOTS_MAX, TaskLocks, WATCH_EXIT, WATCH_OBJECTS_MAX,
    WATCH_SLEEP, WATCH_UNLOCK, WATCHED_MAX, WatchFrame,
};

use crate::{
    event, exit,
    facts::{self, Args},
    function,
    maps::{SLEEPS, WAITING, enabled, lose, offset},
    memory::fast_u64,
    task, words,
};

// Verifier: an index masked to the array's size, so that the access is provably inside.
const MASK: usize = WATCHED_MAX - 1;

/// Whether the frame is watched to its exit, by a probe there.
#[inline(always)]
unsafe fn has_exit_probe(frame: *const WatchFrame) -> bool {
    // SAFETY: by the caller, within a live map value.
    unsafe { (*frame).watched & u64::from(WATCH_EXIT) != 0 }
}

/// Drops the frames whose callbacks have returned, as far as the top of the stack tells; returns how many are left.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
unsafe fn drop_returned(locks: *mut TaskLocks, hook: u32, stack_pointer: u64) -> usize {
    // SAFETY: by the caller; indices are masked below the array's size.
    unsafe {
        let mut len = (*locks).watched_len as usize;
        for _ in 0..WATCHED_MAX {
            let top = &raw const (*locks).watched[len.wrapping_sub(1) & MASK];
            if len == 0 {
                break;
            }
            if has_exit_probe(top) {
                // Equal stack pointers: one callback that ends in a jump to another, both still open; unless it is the
                // same callback again, whose exit was then missed.
                if (*top).stack_pointer > stack_pointer
                    || ((*top).stack_pointer == stack_pointer && (*top).hook != hook)
                {
                    break;
                }
                lose(Loss::ExitMissed);
            } else if (*top).stack_pointer > stack_pointer && fast_u64((*top).stack_pointer) == (*top).caller {
                break;
            }
            len -= 1;
        }
        len
    }
}

/// Opens a frame.
#[inline(always)]
pub(crate) fn enter(locks: *mut TaskLocks, plan: &HookPlan, key: &ObservationKey, args: &Args, stack_pointer: u64) {
    // SAFETY: a live map value of the current task; indices are masked below the array's size.
    unsafe {
        let len = drop_returned(locks, key.hook.into(), stack_pointer);
        if len >= WATCHED_MAX {
            (*locks).watched_len = len as u32;
            return lose(Loss::ExitMissed);
        }
        // Verifier: masked anew, where the compiler knows that it need not; 6.1 has lost sight of it by then.
        let frame = &raw mut (*locks).watched[facts::blur(locks, len as u64) as usize & MASK];
        (*frame).hook = key.hook.into();
        (*frame).sleeps = 0;
        (*frame).stack_pointer = stack_pointer;
        (*frame).flags = key.flags;
        (*frame).happened = 0;
        (*frame).called = 0;
        (*frame).watched = plan.watched.into();
        (*frame).op_bits = plan.op_bits;
        (*frame).caller = key.caller;
        (*frame).table = key.table;
        (*frame).sb = key.sb;
        if plan.watched & WATCH_EXIT != 0 {
            (*frame).args = [args[0], args[1], args[2], args[3], args[4], args[5]];
            for index in 0..WATCH_OBJECTS_MAX {
                (*frame).objects[index] =
                    if index < usize::from(plan.watches_len) { object(plan, index, locks) } else { 0 };
            }
        }
        (*locks).watched_len = (len + 1) as u32;
    }
}

/// Closes what lies at or above the frame of an invocation that is not watched itself: its return address may be that of an
/// earlier, watched one, made from the same place (a path walk asks for permission in rcu-walk, then again out of it).
#[inline(always)]
pub(crate) fn supersede(locks: *mut TaskLocks, hook: u32, stack_pointer: u64) {
    // SAFETY: every caller passes a live map value of the current task.
    unsafe {
        if (*locks).watched_len != 0 {
            (*locks).watched_len = drop_returned(locks, hook, stack_pointer) as u32;
        }
    }
}

/// The object that watch reader `index` of the plan names; 0 = none.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
unsafe fn object(plan: &HookPlan, index: usize, locks: *const TaskLocks) -> u64 {
    let reader = &plan.watches[index];
    // SAFETY: by the caller.
    let object = unsafe { facts::role(locks, reader.role) };
    if object == 0 {
        0
    } else if reader.kind == WATCH_UNLOCK {
        let folio = words::head_of(object);
        // What is not locked cannot be unlocked either: of that the rule on the entry speaks.
        if words::is_taken(LOCK_FOLIO, fast_u64(folio)) { folio } else { 0 }
    } else {
        object + u64::from(reader.offset)
    }
}

/// Whether the task is inside a callback of the ops whose bits are `bits`, for another superblock than `sb`.
#[inline(never)]
pub(crate) fn is_within(locks: *mut TaskLocks, bits: u64, sb: u64, stack_pointer: u64) -> u64 {
    for index in 0..WATCHED_MAX {
        // SAFETY: every caller passes a live map value; indices are masked below the array's size.
        unsafe {
            // Verifier: as in `held::position`.
            if index >= core::ptr::read_volatile(&raw const (*locks).watched_len) as usize {
                break;
            }
            let frame = &raw const (*locks).watched[index & MASK];
            let is_open = (*frame).stack_pointer > stack_pointer
                && (has_exit_probe(frame) || fast_u64((*frame).stack_pointer) == (*frame).caller);
            if is_open && (*frame).op_bits & bits != 0 && (*frame).sb != sb {
                return 1;
            }
        }
    }
    0
}

/// Notes that a callback with these bits was entered, in every frame that is open.
#[inline(never)]
pub(crate) fn note_op(locks: *mut TaskLocks, bits: u64) {
    for index in 0..WATCHED_MAX {
        // SAFETY: every caller passes a live map value; indices are masked below the array's size.
        unsafe {
            // Verifier: as in `held::position`.
            if index >= core::ptr::read_volatile(&raw const (*locks).watched_len) as usize {
                break;
            }
            (*locks).watched[index & MASK].called |= bits;
        }
    }
}

/// Notes that the task has acquired `instance`, in every frame that waits for it.
#[inline(never)]
pub(crate) fn note_acquired(locks: *mut TaskLocks, instance: u64) {
    for index in 0..WATCHED_MAX {
        // SAFETY: every caller passes a live map value; indices are masked below the array's size.
        unsafe {
            // Verifier: as in `held::position`.
            if index >= core::ptr::read_volatile(&raw const (*locks).watched_len) as usize {
                break;
            }
            let frame = &raw mut (*locks).watched[index & MASK];
            if has_exit_probe(frame) {
                function::mark_object(frame, instance);
            }
        }
    }
}

/// Closes the frame of `hook` and counts what happened in it; frames above it are over.
#[inline(always)]
pub(crate) fn leave<C: EbpfContext>(ctx: &C, hook: u32, result: u64) {
    let Some(control) = enabled() else { return };
    let task = task::current();
    let Some(locks) = task::known(task) else { return };
    // SAFETY: a live map value of the current task; indices are masked below the array's size.
    unsafe {
        let mut len = (*locks).watched_len as usize;
        let mut found = false;
        for _ in 0..WATCHED_MAX {
            if len == 0 {
                break;
            }
            len -= 1;
            let frame = &raw const (*locks).watched[len & MASK];
            if (*frame).hook == hook && has_exit_probe(frame) {
                found = true;
                break;
            }
        }
        if found {
            (*locks).watched_len = len as u32;
            // Verifier: as in `enter`.
            let index = facts::blur(locks, len as u64) as usize & MASK;
            exit::observe(ctx, &raw const (*locks).watched[index], result, locks, (control, task));
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
        } else {
            if depth(next) != 0 {
                // One that was waiting goes on.
                count = count.saturating_sub(1);
            }
            if count != 0 {
                task::doubt(next);
            }
        }
        *waiting = count;
    }
}

/// The key of a sleep inside a frame's callback.
///
/// # Safety
/// `frame` is within a live map value.
#[inline(always)]
unsafe fn sleep_key(frame: *const WatchFrame, history_complete: u32) -> ObservationKey {
    // SAFETY: by the caller.
    unsafe {
        ObservationKey {
            hook: (*frame).hook as u16,
            history_complete: history_complete as u8,
            point: 1,
            flags: (*frame).flags,
            caller: (*frame).caller,
            table: (*frame).table,
            sb: (*frame).sb,
            slots: [0; SLOTS_MAX],
        }
    }
}

/// Notes the sleep in every open frame; returns one more than the number of a frame that must not sleep and had not yet.
///
/// # Safety
/// `locks` is a live map value of a task that leaves the CPU, whose stack pointer is `stack_pointer`.
#[inline(always)]
unsafe fn note_sleep(locks: *mut TaskLocks, stack_pointer: u64) -> usize {
    let mut first = 0;
    for index in 0..WATCHED_MAX {
        // SAFETY: by the caller; indices are masked below the array's size.
        unsafe {
            // Verifier: as in `held::position`.
            if index >= core::ptr::read_volatile(&raw const (*locks).watched_len) as usize {
                break;
            }
            let frame = &raw mut (*locks).watched[index & MASK];
            let is_open = (*frame).stack_pointer > stack_pointer
                && (has_exit_probe(frame) || fast_u64((*frame).stack_pointer) == (*frame).caller);
            if !is_open {
                continue;
            }
            if (*frame).sleeps == 0 && (*frame).watched & u64::from(WATCH_SLEEP) != 0 && first == 0 {
                first = index + 1;
            }
            (*frame).sleeps += 1;
        }
    }
    first
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
        if (*locks).watched_len == 0 {
            return 0;
        }
        // The tracepoint's arguments lie on the task's stack.
        let stack_pointer = facts::blur(locks, ctx.as_ptr() as u64);
        let first = note_sleep(locks, stack_pointer);
        if first == 0 {
            return 0;
        }
        let frame = &raw const (*locks).watched[(first - 1) & MASK];
        let hook = (*frame).hook;
        let before = SLEEPS.get(&hook).copied().unwrap_or(0);
        if SLEEPS.insert(hook, before + 1, BPF_ANY.into()).is_ok() && before < SLEEP_EVENTS_MAX {
            event::sleep(&ctx, &sleep_key(frame, (*locks).history_complete), locks);
        }
    }
    0
}
