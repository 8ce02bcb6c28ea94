//! Programs on functions that callbacks must, or must not, have called: they mark the open frames of their task.

use aya_ebpf::{
    EbpfContext,
    bindings::pt_regs,
    helpers::generated::bpf_get_attach_cookie,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use vfs_audit_common::{ORDERS_MAX, TaskLocks, UNLOCKING_BITS, WATCH_EXIT, WATCH_OBJECTS_MAX, WATCHED_MAX, WatchFrame};

use crate::{
    context,
    exit::ORDERS_SHIFT,
    maps::{PLANS, enabled, offset},
    memory::fast_u64,
    task,
};

// Verifier: an index masked to the array's size, so that the access is provably inside.
const MASK: usize = WATCHED_MAX - 1;
/// `task_struct.flags`: the task frees memory, for itself or others: what it writes then belongs to no callback above.
const PF_MEMALLOC: u64 = 0x800;

/// Marks the orders of the frame's plan for a call of the functions whose bit is `bit`.
///
/// # Safety
/// `frame` is within a live map value.
#[inline(always)]
unsafe fn mark_orders(frame: *mut WatchFrame, bit: u64, before: u64) {
    // SAFETY: by the caller.
    unsafe {
        let Some(plan) = PLANS.get((*frame).hook) else { return };
        for index in 0..ORDERS_MAX {
            if index >= usize::from(plan.orders_len) {
                break;
            }
            let order = &plan.orders[index];
            if order.second & bit != 0 {
                let state = if before & order.first != 0 { 1u32 } else { 2 };
                (*frame).happened |= state << (ORDERS_SHIFT + 2 * index as u32);
            }
        }
    }
}

/// Marks the objects of the frame that are `object`.
///
/// # Safety
/// `frame` is within a live map value.
#[inline(always)]
pub(crate) unsafe fn mark_object(frame: *mut WatchFrame, object: u64) {
    for index in 0..WATCH_OBJECTS_MAX {
        // SAFETY: by the caller; the index is below the array's size.
        unsafe {
            if (*frame).objects[index] == object {
                (*frame).happened |= 1 << index;
            }
        }
    }
}

/// Marks the frame when the function runs for a folio of another mapping than the plan's.
///
/// # Safety
/// `frame` is within a live map value.
#[inline(always)]
unsafe fn mark_stray(frame: *mut WatchFrame, bit: u64, folio: u64, task: u64) {
    // SAFETY: by the caller.
    unsafe {
        let Some(plan) = PLANS.get((*frame).hook) else { return };
        if plan.stray_bits & bit == 0 || fast_u64(task + u64::from(offset!(task_flags))) & PF_MEMALLOC != 0 {
            return;
        }
        // The mapping is watch object 0 of such a plan.
        let mapping = fast_u64(folio + u64::from(offset!(folio_mapping)));
        if mapping != (*frame).objects[0] {
            (*frame).happened |= 1;
        }
    }
}

/// Marks every open frame of the task: bits of functions, orders, the object that was unlocked.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
unsafe fn mark(locks: *mut TaskLocks, bit: u64, object: u64, task: u64) {
    // SAFETY: by the caller; indices are masked below the array's size.
    unsafe {
        for index in 0..WATCHED_MAX {
            // Verifier: as in `held::position`.
            let len = core::ptr::read_volatile(&raw const (*locks).watched_len) as usize;
            if index >= len {
                break;
            }
            let frame = &raw mut (*locks).watched[index & MASK];
            if (*frame).watched & u64::from(WATCH_EXIT) == 0 {
                continue;
            }
            let before = (*frame).called;
            (*frame).called = before | bit;
            mark_orders(frame, bit, before);
            // Of the functions that take a folio, these alone unlock it.
            if bit & UNLOCKING_BITS != 0 {
                mark_object(frame, object);
            }
            if index + 1 == len {
                mark_stray(frame, bit, object, task);
            }
        }
    }
}

/// A function that some rule asks for is entered; the cookie is the number of its bit.
#[kprobe]
pub(crate) fn function_called(ctx: ProbeContext) -> u32 {
    if enabled().is_none() {
        return 0;
    }
    let task = task::current();
    let Some(locks) = task::known(task) else { return 0 };
    let regs: *const pt_regs = ctx.regs;
    // SAFETY: the context of a kprobe is its registers; a live map value of the current task.
    unsafe {
        if (*locks).watched_len == 0 || context::is_on_another_stack((*regs).rsp, locks) {
            return 0;
        }
        let bit = bpf_get_attach_cookie(ctx.as_ptr()) & 63;
        mark(locks, 1 << bit, (*regs).rdi, task);
    }
    0
}

/// The same by fentry, with the same cookie.
#[fentry(function = "folio_unlock")]
pub(crate) fn function_called_fentry(ctx: FEntryContext) -> i32 {
    if enabled().is_none() {
        return 0;
    }
    let task = task::current();
    let Some(locks) = task::known(task) else { return 0 };
    // SAFETY: the helper takes the context only; a live map value of the current task.
    unsafe {
        let here = crate::locks::number(locks, ctx.as_ptr() as u64);
        if (*locks).watched_len == 0 || context::is_on_another_stack(here, locks) {
            return 0;
        }
        let bit = bpf_get_attach_cookie(ctx.as_ptr()) & 63;
        let object: u64 = ctx.arg(0);
        mark(locks, 1 << bit, crate::facts::blur(locks, object), task);
    }
    0
}
