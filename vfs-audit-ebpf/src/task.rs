//! Tasks: their table's life from first sight to the task's end, and whether their lock history is complete.
//!
//! A history is complete when the task was born after every lock primitive was probed, or was since seen entering a
//! system call, where user tasks hold no lock.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use vfs_audit_common::{Loss, Stat, TaskLocks};

use crate::maps::{CONTROL, TASKS, count, lose, offsets};

static EMPTY: TaskLocks = TaskLocks {
    held_len: 0,
    history_complete: 0,
    watched_len: 0,
    pad: 0,
    stack_base: 0,
    stack_probe: 0,
    held: [vfs_audit_common::HeldLock { instance: 0, acquire_site: 0, mode: 0, depth: 0 }; vfs_audit_common::HELD_LOCKS_MAX],
    watched: [vfs_audit_common::WatchFrame { hook: 0, sleeps: 0, stack_pointer: 0, flags: 0, caller: 0, table: 0, sb: 0 };
        vfs_audit_common::WATCHED_MAX],
};

/// The current task's address.
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: the helper takes nothing and returns the current task.
    unsafe { bpf_get_current_task() }
}

/// Reads 8 bytes of kernel memory.
#[inline(always)]
pub(crate) fn read_u64(address: u64) -> Option<u64> {
    let mut value = 0u64;
    // SAFETY: the destination is 8 bytes of our stack; the helper tolerates any source.
    let failed = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _) };
    (failed == 0).then_some(value)
}

/// The held-lock table of `task`, made when there is none.
#[inline(always)]
pub(crate) fn locks_of(task: u64) -> Option<*mut TaskLocks> {
    if let Some(locks) = TASKS.get_ptr_mut(task) {
        return Some(locks);
    }
    first_sight(task)
}

#[inline(never)]
fn first_sight(task: u64) -> Option<*mut TaskLocks> {
    let _ = TASKS.insert(task, &EMPTY, BPF_NOEXIST.into());
    let Some(locks) = TASKS.get_ptr_mut(task) else {
        lose(Loss::TaskTableFull);
        return None;
    };
    let born = read_u64(task + u64::from(offsets().task_start_time)).unwrap_or(0);
    let since = CONTROL.get(1).copied().unwrap_or(0);
    // SAFETY: a map value of the current task, which only its own programs write.
    unsafe {
        (*locks).stack_base = read_u64(task + u64::from(offsets().task_stack)).unwrap_or(0);
        if since != 0 && born > since {
            (*locks).history_complete = 1;
        }
    }
    Some(locks)
}

/// A task is gone for good: its address may serve another.
#[raw_tracepoint(tracepoint = "sched_process_free")]
pub(crate) fn task_free(ctx: RawTracePointContext) -> i32 {
    let task: u64 = ctx.arg(0);
    let _ = TASKS.remove(task);
    0
}

/// The current task is known to hold no lock: whatever was missed before is mended.
#[inline(always)]
fn holds_nothing() {
    if CONTROL.get(1).is_none_or(|since| *since == 0) {
        return;
    }
    let Some(locks) = locks_of(current()) else { return };
    // SAFETY: a map value of the current task, which only its own programs write.
    unsafe {
        if (*locks).held_len != 0 && (*locks).history_complete != 0 {
            count(Stat::ReleaseMissed);
        }
        (*locks).held_len = 0;
        (*locks).watched_len = 0;
        (*locks).history_complete = 1;
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
