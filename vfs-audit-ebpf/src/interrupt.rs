//! Callbacks that interrupts call: by trampolines, since a kprobe's program is not run while another one runs on the CPU.
//!
//! What the interrupted task has in its table is not the interrupt's, and may just be in use by the program that was
//! interrupted: everything lies in a scratch of the CPU's, and locks are known by their words alone. The program is small,
//! and the kernel proves it once for all functions of a type: what is attached to each only jumps to it.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::bpf_get_func_ip,
    macros::{fentry, map},
    maps::ProgramArray,
    programs::FEntryContext,
};
use vfs_audit_common::{
    Control, INTERRUPT_FLAGS_MAX, INTERRUPT_ROLES_MAX, INTERRUPT_SLOTS_MAX, Loss, ObservationKey, TaskLocks,
};

use crate::{
    callback::{count_key, hook_by_address},
    context::Context,
    event, facts,
    locks::return_address_at,
    maps::{INTERRUPTS, INTERRUPTS_NESTED, PLANS, enabled, lose},
    memory::{exchange, fast_u64},
    task,
};

/// Counts the invocation.
///
/// # Safety
/// `scratch` is a live map value that no other program uses meanwhile.
#[inline(always)]
unsafe fn observe(ctx: &FEntryContext, control: &'static Control, scratch: *mut TaskLocks) {
    let Some(hook) = hook_by_address(ctx.as_ptr()) else { return lose(Loss::PlanMissing) };
    let Some(plan) = PLANS.get(hook) else { return lose(Loss::PlanMissing) };
    // SAFETY: by the caller.
    unsafe {
        // Verifier: through a map value, pointers become numbers.
        let stack_pointer = facts::blur(scratch, return_address_at(ctx));
        let first: u64 = ctx.arg(0);
        let args: facts::Args = [facts::blur(scratch, first), 0, 0, 0, 0, 0, 0, 0];
        facts::roles::<INTERRUPT_ROLES_MAX>(plan, &args, scratch, false);
        let table = facts::object(plan, &plan.table, &args, scratch);
        if !facts::is_in_table(plan, table) {
            return;
        }
        let sb = facts::object(plan, &plan.sb, &args, scratch);
        let context = Context { control, task: task::current(), processor_flags: u64::MAX, stack_pointer, lockdep: 0 };
        let key = ObservationKey {
            hook: hook as u16,
            history_complete: 0,
            point: 0,
            flags: facts::flags::<INTERRUPT_FLAGS_MAX>(plan, &args, scratch, &context, sb),
            caller: fast_u64(stack_pointer),
            table: facts::table_of_key(plan, table),
            sb,
            slots: facts::slots::<INTERRUPT_SLOTS_MAX>(plan, scratch, &context).to_le_bytes(),
        };
        if count_key(&key) {
            event::first_sight(ctx, &key, scratch);
        }
    }
}

/// A scratch of this CPU's that no program uses, marked as in use.
#[inline(always)]
fn free_scratch() -> Option<*mut TaskLocks> {
    for index in 0..INTERRUPTS_NESTED {
        let scratch = INTERRUPTS.get_ptr_mut(index)?;
        // SAFETY: a live map value; what interrupts or preempts us here finds the mark or leaves none.
        if unsafe { exchange(&raw mut (*scratch).task, 1) } == 0 {
            return Some(scratch);
        }
    }
    None
}

/// The entry of a callback that interrupts call; its first argument is all that is read.
#[fentry(function = "vfs_create")]
pub(crate) fn callback_interrupt(ctx: FEntryContext) -> i32 {
    let Some(control) = enabled().filter(|control| control.tgid == 0) else { return 0 };
    let Some(scratch) = free_scratch() else {
        lose(Loss::InterruptNested);
        return 0;
    };
    // SAFETY: a live map value that is marked as ours.
    unsafe {
        observe(&ctx, control, scratch);
        core::ptr::write_volatile(&raw mut (*scratch).task, 0);
    }
    0
}

/// [`callback_interrupt`], loaded for one function of a type; a map has programs of one type only.
#[map]
pub(crate) static INTERRUPT_PROGRAM_0: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// The same for another type.
#[map]
pub(crate) static INTERRUPT_PROGRAM_1: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// A jump that never comes back; where there is nothing to jump to, the invocation is lost.
#[inline(always)]
fn jump(ctx: &FEntryContext, to: &ProgramArray) -> i32 {
    // SAFETY: the helper takes the context only; nothing here waits for an end.
    unsafe {
        // The trampoline keeps the function's address only for a program that asks for it, and the one that is jumped to, which
        // does, is none of its own.
        bpf_get_func_ip(ctx.as_ptr());
        to.tail_call(ctx, 0);
    }
    lose(Loss::PlanMissing);
    0
}

/// The entry of a callback whose type has its program in the first map.
#[fentry(function = "vfs_create")]
pub(crate) fn callback_interrupt_0(ctx: FEntryContext) -> i32 {
    jump(&ctx, &INTERRUPT_PROGRAM_0)
}

/// The same for the second map.
#[fentry(function = "vfs_create")]
pub(crate) fn callback_interrupt_1(ctx: FEntryContext) -> i32 {
    jump(&ctx, &INTERRUPT_PROGRAM_1)
}
