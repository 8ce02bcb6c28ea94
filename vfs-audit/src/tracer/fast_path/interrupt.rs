//! The fast path of a callback that interrupts call: a trampoline's program for one hook, of which all but the object is known.
//!
//! It needs nothing of the task, nor a scratch: what is unusual goes to the interpreter for interrupts.

use vfs_audit_common::{FLAG_ON_STACK, FlagReader, HookPlan, PROLOGUE_BYTES, WATCH_EXIT, WATCH_NONE};

use super::{
    Ground,
    assembler::{Alu, Assembler, Helper, If, Label, Reg},
    body, leave_to, local, read,
    shape::Shape,
    unless_allowed,
};

/// Where a trampoline (x86-64) keeps it, above its copy of one argument and the saved frame pointer; the caller's is next.
const OWN_RETURN_ADDRESS: i32 = 16;

/// A hook, for which the program is made.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct OfHook<'a> {
    pub(in super::super) number: usize,
    pub(in super::super) address: u64,
    pub(in super::super) plan: &'a HookPlan,
}

/// The code for `hook`, which leaves what it does not take to the only program of the ground's `interpreter`; `None` when that
/// takes all of it.
pub(super) fn assemble(ground: &Ground<'_>, hook: OfHook<'_>) -> Option<Vec<u8>> {
    let shape = Shape::of_interrupt(hook.plan)?;
    let mut asm = Assembler::default();
    let (slow, out) = (asm.label(), asm.label());
    asm.copy(Reg::R6, Reg::R1);
    unless_allowed(&mut asm, ground, slow);
    caller(&mut asm, ground, hook.address, slow);
    argument(&mut asm);
    asm.set(Reg::R9, hook.number as u64);
    asm.clear_local(local::SLOTS);
    flags(&mut asm, &shape.flags, slow);
    body::emit_interrupt(&mut asm, ground, &shape, [slow, out]);
    asm.bind(slow);
    // The trampoline keeps the function's address only for a program that asks for it, and the one that is jumped to, which
    // does, is none of its own.
    asm.copy(Reg::R1, Reg::R6);
    asm.call(Helper::FunctionAddress);
    leave_to(&mut asm, ground, ground.interpreter);
    asm.bind(out);
    asm.set(Reg::R0, 0);
    asm.exit();
    asm.finish().ok()
}

/// [`local::CALLER`] = who called the callback: see `locks::return_address_at` of the eBPF programs.
fn caller(asm: &mut Assembler, ground: &Ground<'_>, function: u64, slow: Label) {
    asm.copy(Reg::R1, Reg::R6);
    asm.alu_by(Alu::Add, Reg::R1, OWN_RETURN_ADDRESS);
    read(asm, ground);
    asm.set(Reg::R1, function);
    asm.alu(Alu::Sub, Reg::R0, Reg::R1);
    asm.jump_if_value(Reg::R0, If::Above, PROLOGUE_BYTES as i32, slow);
    asm.copy(Reg::R1, Reg::R6);
    asm.alu_by(Alu::Add, Reg::R1, OWN_RETURN_ADDRESS + 8);
    read(asm, ground);
    asm.store_local(local::CALLER, Reg::R0);
}

/// [`local::ARGUMENT`] = the first argument, as a number.
fn argument(asm: &mut Assembler) {
    asm.copy(Reg::R1, Reg::R6);
    asm.set(Reg::R2, 0);
    asm.copy(Reg::R3, Reg::R10);
    asm.alu_by(Alu::Add, Reg::R3, -i32::from(local::ARGUMENT));
    asm.call(Helper::FunctionArgument);
}

/// [`local::FLAGS`]: all of them ask who is among the callers, and usually the first is it.
fn flags(asm: &mut Assembler, flags: &[FlagReader], slow: Label) {
    for flag in flags {
        asm.load_local(Reg::R1, local::CALLER);
        asm.set(Reg::R2, flag.value);
        asm.alu(Alu::Sub, Reg::R1, Reg::R2);
        asm.jump_if_value(Reg::R1, If::NotBelow, 16 * i32::from(flag.offset), slow);
    }
    asm.set(Reg::R1, (1 << flags.len()) - 1);
    asm.store_local(local::FLAGS, Reg::R1);
}

impl Shape {
    /// The shape of a plan for interrupts; `None` when it is left to the interpreter.
    fn of_interrupt(plan: &HookPlan) -> Option<Self> {
        let flags = &plan.flags[..usize::from(plan.flags_len)];
        let is_taken = flags.iter().all(|flag| flag.kind == FLAG_ON_STACK)
            && plan.slots_len == 0
            && plan.is_shared == 0
            && plan.slot_offsets_len == 0
            && plan.watched & WATCH_EXIT == 0;
        // Interrupts open no frames; what asks for the stack is compiled here alone.
        let rest = HookPlan { flags_len: 0, stack_flag: 0, watched: WATCH_NONE, op_bits: 0, ..*plan };
        let mut shape = Self::of(&rest).filter(|shape| is_taken && shape.reads_first_argument_alone())?;
        shape.flags = flags.to_vec();
        Some(shape)
    }
}
