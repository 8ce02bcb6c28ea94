//! Tasks: their table's life from first sight to the task's end, and whether their lock history is complete.
//!
//! A history is complete when the task was born after every lock primitive was probed, or was since seen entering a
//! system call, where user tasks hold no lock.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use vfs_audit_common::{HISTORY_COMPLETE, HISTORY_DOUBTED, Loss, Stat, TaskLocks, task_place};

use crate::{
    held,
    maps::{ASIDE_FREE, DOUBTED, PLACES, TASKS, TASKS_ASIDE, WAITING, count, lose, offset, tracked_since},
    memory::read_u64,
};

/// The current task's address.
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: the helper takes nothing and returns the current task.
    unsafe { bpf_get_current_task() }
}

/// The held-lock table of `task`, when there is one.
#[inline(always)]
pub(crate) fn known(task: u64) -> Option<*mut TaskLocks> {
    let locks = TASKS.get_ptr_mut(task_place(task))?;
    // SAFETY: a live map value; what other tasks write there is only their own address.
    if unsafe { (*locks).task } == task { Some(locks) } else { aside(task) }
}

/// The table of `task` when its place is another's.
#[inline(always)]
fn aside(task: u64) -> Option<*mut TaskLocks> {
    // SAFETY: the value is copied out; nobody changes it while the task lives.
    TASKS.get_ptr_mut(unsafe { *TASKS_ASIDE.get(task)? })
}

/// The held-lock table of `task`, the current one, made when there is none.
#[inline(always)]
pub(crate) fn locks_of(task: u64) -> Option<*mut TaskLocks> {
    let locks = TASKS.get_ptr_mut(task_place(task))?;
    // SAFETY: as in `known`.
    if unsafe { (*locks).task } == task { Some(locks) } else { seldom(task) }
}

#[inline(never)]
fn seldom(task: u64) -> Option<*mut TaskLocks> {
    if let Some(locks) = aside(task) {
        return Some(locks);
    }
    let locks = claim(task)?;
    let born = read_u64(task + u64::from(offset!(task_start_time))).unwrap_or(0);
    let since = tracked_since();
    // SAFETY: a map value of the current task, which only its own programs write.
    unsafe {
        core::ptr::write_volatile(&raw mut (*locks).task, task);
        (*locks).held_len = 0;
        (*locks).exclusive_dropped = 0;
        (*locks).watched_len = 0;
        (*locks).stack_base = read_u64(task + u64::from(offset!(task_stack))).unwrap_or(0);
        let is_doubted = DOUBTED.remove(task).is_ok() || is_somebody_waiting();
        let history = if is_doubted { HISTORY_DOUBTED } else { HISTORY_COMPLETE };
        (*locks).history_complete = if since != 0 && born > since { history } else { 0 };
        (*locks).tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    }
    Some(locks)
}

/// Whether a task waits in the middle of a program on this CPU, so that the kernel skips that program here.
#[inline(always)]
fn is_somebody_waiting() -> bool {
    WAITING.get(0).is_some_and(|waiting| *waiting != 0)
}

/// `task` runs while somebody waits: what it acquires and releases meanwhile may be missed.
#[inline(always)]
pub(crate) fn doubt(task: u64) {
    match known(task) {
        // SAFETY: a live map value; the task is about to run here, and none of its programs does meanwhile.
        Some(locks) => unsafe {
            if (*locks).history_complete != 0 {
                (*locks).history_complete = HISTORY_DOUBTED;
            }
        },
        None => {
            if DOUBTED.insert(task, 1, BPF_ANY.into()).is_err() {
                lose(Loss::TaskTableFull);
            }
        }
    }
}

/// An entry for a new task: its place when that is free, else one aside.
#[inline(always)]
fn claim(task: u64) -> Option<*mut TaskLocks> {
    let locks = TASKS.get_ptr_mut(task_place(task))?;
    // Two tasks may want it at the same time: the one whose insertion succeeds has it. (The compiler offers this target no
    // compare-and-exchange.)
    if PLACES.insert(task_place(task), task, BPF_NOEXIST.into()).is_ok() {
        // SAFETY: a live map value that is now this task's.
        unsafe { core::ptr::write_volatile(&raw mut (*locks).task, task) };
        return Some(locks);
    }
    let Ok(Some(place)) = ASIDE_FREE.pop() else {
        lose(Loss::TaskTableFull);
        return None;
    };
    if TASKS_ASIDE.insert(task, place, BPF_NOEXIST.into()).is_err() {
        // An interrupt's program was first, and its table serves as well; or there is no room.
        let _ = ASIDE_FREE.push(place, 0);
        let other = aside(task);
        if other.is_none() {
            lose(Loss::TaskTableFull);
        }
        return other;
    }
    TASKS.get_ptr_mut(place)
}

/// Whether the current task is one of user space (not a kernel thread).
#[inline(always)]
pub(crate) fn is_user(task: u64) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000;
    read_u64(task + u64::from(offset!(task_flags))).is_some_and(|flags| flags & PF_KTHREAD == 0)
}

/// Drops the table of `task`, which does not run.
#[inline(always)]
fn forget(task: u64) {
    if let Some(locks) = TASKS.get_ptr_mut(task_place(task)) {
        // SAFETY: a live map value; its owner does not run, and a plain store of one word frees it.
        unsafe {
            if (*locks).task == task {
                core::ptr::write_volatile(&raw mut (*locks).task, 0);
                let _ = PLACES.remove(task_place(task));
            }
        }
    }
    // Where an interrupt came in the middle of the task's claim, it has one aside, too.
    // SAFETY: the value is copied out.
    if let Some(place) = unsafe { TASKS_ASIDE.get(task).copied() }
        && TASKS_ASIDE.remove(task).is_ok()
    {
        let _ = ASIDE_FREE.push(place, 0);
    }
    let _ = DOUBTED.remove(task);
}

/// A task is gone for good: its address may serve another.
#[raw_tracepoint(tracepoint = "sched_process_free")]
pub(crate) fn task_free(ctx: RawTracePointContext) -> i32 {
    forget(ctx.arg(0));
    0
}

/// A task is made, and does not run yet. A table that its address has is that of a task whose end was missed: with its stack, all
/// that the new one does would be taken for an interrupt's.
#[raw_tracepoint(tracepoint = "task_newtask")]
pub(crate) fn task_new(ctx: RawTracePointContext) -> i32 {
    let task = ctx.arg(0);
    if known(task).is_some() {
        count(Stat::ReleaseMissed);
    }
    forget(task);
    0
}

/// The current task is known to hold no lock: whatever was missed before is mended.
#[inline(always)]
fn holds_nothing() {
    // While somebody waits, what comes next may be missed all the same.
    if tracked_since() == 0 || is_somebody_waiting() {
        return;
    }
    let task = current();
    let Some(locks) = locks_of(task) else { return };
    // SAFETY: a map value of the current task, which only its own programs write.
    let is_clean = unsafe {
        let in_use = (*locks).held_len | (*locks).watched_len | (*locks).exclusive_dropped;
        (*locks).history_complete == HISTORY_COMPLETE && in_use == 0
    };
    if is_clean {
        // Nothing to mend: of exclusive holdings the words say that they are over.
        return;
    }
    let holds = held::empty_released(locks, task);
    // SAFETY: a map value of the current task, which only its own programs write.
    unsafe {
        if (holds != 0 || (*locks).held_len != 0) && (*locks).history_complete != 0 {
            count(Stat::ReleaseMissed);
        }
        (*locks).held_len = 0;
        (*locks).watched_len = 0;
        (*locks).history_complete = HISTORY_COMPLETE;
        (*locks).exclusive_dropped = 0;
    }
}

/// A user task enters a system call.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub(crate) fn resync(ctx: RawTracePointContext) -> i32 {
    let _ = ctx.as_ptr();
    holds_nothing();
    0
}

/// A worker of a workqueue begins its next piece of work.
#[raw_tracepoint(tracepoint = "workqueue_execute_start")]
pub(crate) fn resync_worker(ctx: RawTracePointContext) -> i32 {
    let _ = ctx.as_ptr();
    holds_nothing();
    0
}
