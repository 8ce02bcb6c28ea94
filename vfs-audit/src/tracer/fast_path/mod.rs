//! The fast path: a program for all usual callbacks, made of their plans when it is attached (two where the kernel offers one
//! probe for entry and exit), and one for each function that interrupts call.
//!
//! A plan is a small program of fact readers, and the program `callback_entry` its interpreter. Here most plans are compiled:
//! the same readings, in straight code, for what is usual. What is not goes to the interpreter, which begins anew: another
//! context than the self-test's, a task whose history is incomplete or that an interrupt borrows, a lock in a state that needs
//! a search, an address that cannot be read, a key that was not counted before at its place.
//!
//! So this path counts a key that the interpreter has counted before, or a direct call, and opens a frame where the callback is
//! watched, and nothing else: it ships no event, and where it does not come to its end it has changed nothing. Should the
//! interpreter not be there, the invocation is lost, and counted as that.

mod assembler;
mod body;
mod compiled;
mod counting;
mod interrupt;
#[cfg(test)]
mod machine;
mod shape;
#[cfg(test)]
mod tests;

use std::{
    io,
    mem::{offset_of, size_of},
    os::fd::{OwnedFd, RawFd},
};

use vfs_audit_common::{
    Control, ENABLED_FAST, HISTORY_COMPLETE, HOOK_PLACES_LEN, HookPlace, HookPlan, KernelOffsets, Loss, SPREAD,
    TASK_SLOTS, TaskLocks, WATCH_EXIT,
};

use self::{
    assembler::{Alu, Assembler, Helper, If, Label, Reg, Width, small},
    shape::Shape,
};
pub(super) use self::{compiled::Compiled, interrupt::OfHook};
use super::{
    object::Object,
    sys::{self, Purpose},
};

/// The map whose one program is the interpreter; those that the kernel calls in another way have one of their own.
const INTERPRETER: &str = "INTERPRETER";
const INTERPRETER_OF_BOTH: &str = "INTERPRETER_OF_BOTH";
/// The map whose one program is that for exits.
const EXIT_OF_BOTH: &str = "EXIT_OF_BOTH";
/// Instructions after which no further plan is compiled: jumps reach 32,767 of them.
const INSTRUCTIONS_MAX: usize = 30_000;

/// Functions begin on such boundaries (`CONFIG_FUNCTION_ALIGNMENT`).
const FUNCTION_ALIGNMENT: i32 = 16;

/// Where the program keeps what it knows of the invocation: bytes below the frame pointer, 8 each.
mod local {
    pub(super) const INDEX: i16 = 8;
    pub(super) const STACK_POINTER: i16 = 16;
    pub(super) const CALLER: i16 = 24;
    pub(super) const TABLE: i16 = 32;
    pub(super) const SUPERBLOCK: i16 = 40;
    pub(super) const FLAGS: i16 = 48;
    pub(super) const SLOTS: i16 = 56;
    pub(super) const LOCK: i16 = 64;
    pub(super) const WORD: i16 = 72;
    pub(super) const FUNCTION: i16 = 80;
    pub(super) const CODE: i16 = 88;
    pub(super) const ARGUMENT: i16 = 96;
    pub(super) const ROLES: i16 = 104;
}

/// Registers of the x86-64 `struct pt_regs`, by byte offset.
mod register {
    pub(super) const ARGUMENTS: [usize; 6] = [112, 104, 96, 88, 72, 64];
    pub(super) const INSTRUCTION_POINTER: usize = 128;
    pub(super) const FLAGS: usize = 144;
    pub(super) const STACK_POINTER: usize = 152;
}

/// A compiled program, and for each of the hooks that it was made for the number of its code there.
pub(super) struct FastPath {
    /// For kprobe.multi or kprobe.session.
    pub(super) program: OwnedFd,
    shapes: Vec<Shape>,
}

/// What is known before the programs are made, and so stands in their code.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fixed {
    /// Address of the per-CPU offsets.
    pub(super) per_cpu_offsets: u64,
    /// Per-CPU address of the preemption count.
    pub(super) preempt_count: u64,
    /// Whether the probe saves the processor's flags.
    pub(super) flags_saved: bool,
    /// The daemon's process.
    pub(super) own_tgid: u32,
}

/// Maps and numbers of the running kernel.
struct Ground<'a> {
    offsets: &'a KernelOffsets,
    fixed: Fixed,
    /// Number of the kernel function `bpf_rdonly_cast`.
    cast: u32,
    control: i32,
    tasks: i32,
    places: i32,
    counted: i32,
    loss: i32,
    direct: i32,
    through_table: i32,
    interpreter: i32,
    exit: i32,
}

impl<'a> Ground<'a> {
    /// Everything, and `interpreter` for the map that leads to the interpreter.
    fn of(object: &'a Object, interpreter: &str, fixed: Fixed) -> Result<Self, String> {
        let (offsets, cast) = object.cast().ok_or("the kernel has no bpf_rdonly_cast")?;
        let map = |name| object.map(name).ok_or_else(|| format!("the eBPF object has no map {name}"));
        Ok(Self {
            offsets,
            fixed,
            cast,
            control: map("CONTROL")?,
            tasks: map("TASKS")?,
            places: map("HOOK_PLACES")?,
            counted: map("COUNTED")?,
            loss: map("LOSS")?,
            direct: map("DIRECT")?,
            through_table: map("THROUGH_TABLE")?,
            interpreter: map(interpreter)?,
            exit: map(EXIT_OF_BOTH)?,
        })
    }
}

/// The program of an interrupt's trampoline for `hook`, to be loaded for `purpose`, which leaves what it does not take to the
/// only program of `map`; `None` when that would take all, or the kernel refuses it.
pub(super) fn load_interrupt(object: &Object, map: &str, hook: OfHook<'_>, purpose: Purpose) -> Option<OwnedFd> {
    // Nothing of the task's is asked there.
    let code = interrupt::assemble(&Ground::of(object, map, Fixed::default()).ok()?, hook)?;
    sys::load("callback_interrupt", &code, purpose).ok()
}

/// What a program is attached to, and the programs that take over from it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Entries, by kprobe.multi.
    Entry {
        /// `callback_entry`.
        interpreter: RawFd,
    },
    /// Entries and exits, by kprobe.session.
    Both {
        /// `callback_entry`.
        interpreter: RawFd,
        /// `callback_exit`.
        exit: RawFd,
        /// Number of the kernel function `bpf_session_is_return`.
        is_return: u32,
    },
}

impl FastPath {
    /// Compiles `plans` and loads the program, which leaves what it does not take to the others of its kind.
    ///
    /// # Errors
    /// Why there can be none here, in words: the kernel has no `bpf_rdonly_cast`, does not tell contexts, or refuses the program.
    pub(super) fn load(object: &Object, plans: &[&HookPlan], kind: Kind, fixed: Fixed) -> Result<Self, String> {
        if fixed.per_cpu_offsets == 0 {
            return Err("the kernel does not say where its preemption count is".to_owned());
        }
        let (name, purpose, interpreter) = match kind {
            Kind::Entry { .. } => ("callback_fast", Purpose::KprobeMulti, INTERPRETER),
            Kind::Both { .. } => ("callback_both", Purpose::KprobeSession, INTERPRETER_OF_BOTH),
        };
        let ground = Ground::of(object, interpreter, fixed)?;
        let mut shapes = Vec::new();
        for shape in plans.iter().filter_map(|plan| Shape::of(plan)) {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        let code = assemble(&ground, &mut shapes, kind)?;
        let text = |error: io::Error| error.to_string();
        match kind {
            Kind::Entry { interpreter } => object.set_program(INTERPRETER, interpreter).map_err(text)?,
            Kind::Both { interpreter, exit, .. } => {
                object.set_program(INTERPRETER_OF_BOTH, interpreter).map_err(text)?;
                object.set_program(EXIT_OF_BOTH, exit).map_err(text)?;
            }
        }
        let program = sys::load(name, &code, purpose).map_err(text)?;
        Ok(Self { program, shapes })
    }

    /// The number of the code for `plan`, from 1 on; 0 = it is left to the interpreter.
    pub(super) fn code_of(&self, plan: &HookPlan) -> u32 {
        let shape = Shape::of(plan);
        let number = shape.and_then(|shape| self.shapes.iter().position(|known| *known == shape));
        number.map_or(0, |number| number as u32 + 1)
    }

    /// Different plans that were compiled.
    pub(super) fn len(&self) -> usize {
        self.shapes.len()
    }
}

/// What becomes of a key once it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    watched: u8,
    op_bits: u64,
    is_shared: bool,
}

impl End {
    fn of(shape: &Shape) -> Self {
        Self { watched: shape.watched, op_bits: shape.op_bits, is_shared: shape.is_shared }
    }

    /// Whether the code is the same for all shapes: no frame keeps objects of theirs.
    fn is_common(self) -> bool {
        self.watched & WATCH_EXIT == 0
    }
}

/// The whole program; `shapes` that found no room are taken out, and those that ask for no context come first.
fn assemble(ground: &Ground<'_>, shapes: &mut Vec<Shape>, kind: Kind) -> Result<Vec<u8>, String> {
    shapes.truncate(room(ground, shapes));
    shapes.sort_by_key(Shape::reads_context);
    let mut asm = Assembler::default();
    let [slow, out, asks] = [asm.label(), asm.label(), asm.label()];
    asm.copy(Reg::R6, Reg::R1);
    if let Kind::Both { is_return, .. } = kind {
        leave_if_return(&mut asm, ground, is_return);
    }
    prologue(&mut asm, ground, slow, out);
    let bodies: Vec<Label> = shapes.iter().map(|_| asm.label()).collect();
    let plain = shapes.iter().take_while(|shape| !shape.reads_context()).count();
    asm.jump_if_value(Reg::R1, If::Equal, 0, slow);
    if plain < shapes.len() {
        asm.jump_if_value(Reg::R1, If::Above, small(plain), asks);
    }
    choose(&mut asm, 1, &bodies[..plain], slow);
    if plain < shapes.len() {
        asm.bind(asks);
        asm.store_local(local::CODE, Reg::R1);
        counting::context(&mut asm, ground, slow);
        asm.load_local(Reg::R1, local::CODE);
        choose(&mut asm, small(plain) + 1, &bodies[plain..], slow);
    }
    let mut ends: Vec<(End, Label, &Shape)> = Vec::new();
    for (shape, label) in shapes.iter().zip(bodies) {
        asm.bind(label);
        body::emit(&mut asm, ground, shape, [slow, out]);
        let end = End::of(shape);
        if !end.is_common() {
            body::emit_end(&mut asm, ground, shape, [slow, out]);
            continue;
        }
        let known = ends.iter().find(|(known, ..)| *known == end).map(|(_, label, _)| *label);
        let label = known.unwrap_or_else(|| asm.label());
        if known.is_none() {
            ends.push((end, label, shape));
        }
        asm.jump(label);
    }
    for (_, label, shape) in ends {
        asm.bind(label);
        body::emit_end(&mut asm, ground, shape, [slow, out]);
    }
    asm.bind(slow);
    leave_to(&mut asm, ground, ground.interpreter);
    asm.bind(out);
    asm.set(Reg::R0, 0);
    asm.exit();
    asm.finish()
}

/// How many of `shapes` there is room for: their code is made as a trial.
fn room(ground: &Ground<'_>, shapes: &[Shape]) -> usize {
    let mut trial = Assembler::default();
    let labels = [trial.label(), trial.label()];
    let mut fits = |shape: &&Shape| {
        body::emit(&mut trial, ground, shape, labels);
        body::emit_end(&mut trial, ground, shape, labels);
        trial.len() < INSTRUCTIONS_MAX
    };
    shapes.iter().take_while(|shape| fits(shape)).count()
}

/// Goes to the body whose number, from `first` on, is in R1: by halves.
fn choose(asm: &mut Assembler, first: i32, bodies: &[Label], slow: Label) {
    match bodies {
        [] => asm.jump(slow),
        [only] => asm.jump(*only),
        _ => {
            let (left, right) = bodies.split_at(bodies.len() / 2);
            let middle = first + small(left.len());
            let upper = asm.label();
            asm.jump_if_value(Reg::R1, If::NotBelow, middle, upper);
            choose(asm, first, left, slow);
            asm.bind(upper);
            choose(asm, middle, right, slow);
        }
    }
}

/// R0 = 8 bytes of kernel memory at the address in R1; 0 when they cannot be read.
fn read(asm: &mut Assembler, ground: &Ground<'_>) {
    asm.set(Reg::R2, ground.offsets.cast_type.into());
    asm.call_kernel(ground.cast);
    asm.load(Width::Double, Reg::R0, Reg::R0, 0);
}

/// R0 = the value of `map` at the index in R1; goes to `missing` when there is none.
fn look_up(asm: &mut Assembler, map: i32, missing: Label) {
    asm.store_local(local::INDEX, Reg::R1);
    asm.map(Reg::R1, map);
    asm.copy(Reg::R2, Reg::R10);
    asm.alu_by(Alu::Add, Reg::R2, -i32::from(local::INDEX));
    asm.call(Helper::MapLookup);
    asm.jump_if_value(Reg::R0, If::Equal, 0, missing);
}

/// R1 = the upper bits of R1 spread, as many as `places` needs.
fn spread(asm: &mut Assembler, places: usize) {
    asm.set(Reg::R2, SPREAD);
    asm.alu(Alu::Mul, Reg::R1, Reg::R2);
    asm.alu_by(Alu::ShiftRight, Reg::R1, 64 - places.trailing_zeros().cast_signed());
}

/// Leaves the fast path while it is not to be used; R6 = the context.
fn unless_allowed(asm: &mut Assembler, ground: &Ground<'_>, slow: Label) {
    asm.map_value(Reg::R1, ground.control, offset_of!(Control, enabled));
    asm.load(Width::Double, Reg::R1, Reg::R1, 0);
    asm.jump_if_value(Reg::R1, If::NotEqual, i32::from(ENABLED_FAST), slow);
}

/// What every callback needs: R6 = the registers, R7 = the task's table, R8 = the task, R9 = the hook, R1 = the number of its
/// code; [`local::STACK_POINTER`] and [`local::CALLER`].
fn prologue(asm: &mut Assembler, ground: &Ground<'_>, slow: Label, out: Label) {
    unless_allowed(asm, ground, slow);
    asm.call(Helper::CurrentTask);
    asm.copy(Reg::R8, Reg::R0);
    // `task_place`.
    asm.copy(Reg::R1, Reg::R0);
    asm.alu_by(Alu::ShiftRight, Reg::R1, 6);
    spread(asm, TASK_SLOTS);
    look_up(asm, ground.tasks, slow);
    asm.copy(Reg::R7, Reg::R0);
    asm.load(Width::Double, Reg::R1, Reg::R7, offset_of!(TaskLocks, task));
    asm.jump_if(Reg::R1, If::NotEqual, Reg::R8, slow);
    // The daemon's own calls are not wanted; one process alone is never wanted here, see `ENABLED_FAST`.
    asm.load(Width::Word, Reg::R1, Reg::R7, offset_of!(TaskLocks, tgid));
    asm.jump_if_value(Reg::R1, If::Equal, ground.fixed.own_tgid.cast_signed(), out);
    asm.load(Width::Word, Reg::R1, Reg::R7, offset_of!(TaskLocks, history_complete));
    asm.jump_if_value(Reg::R1, If::NotEqual, HISTORY_COMPLETE.cast_signed(), slow);
    // On another stack an interrupt borrows the task.
    asm.load(Width::Double, Reg::R1, Reg::R6, register::STACK_POINTER);
    asm.store_local(local::STACK_POINTER, Reg::R1);
    asm.load(Width::Double, Reg::R2, Reg::R7, offset_of!(TaskLocks, stack_base));
    asm.copy(Reg::R3, Reg::R1);
    asm.alu(Alu::Sub, Reg::R3, Reg::R2);
    asm.jump_if_value(Reg::R3, If::NotBelow, ground.offsets.thread_size.cast_signed(), slow);
    read(asm, ground);
    asm.store_local(local::CALLER, Reg::R0);
    if ground.fixed.flags_saved {
        // All registers are, and the instruction pointer is that of the call at the function's beginning. A function that lies
        // elsewhere than others is not found by it.
        asm.load(Width::Double, Reg::R9, Reg::R6, register::INSTRUCTION_POINTER);
        asm.alu_by(Alu::And, Reg::R9, -FUNCTION_ALIGNMENT);
    } else {
        asm.copy(Reg::R1, Reg::R6);
        asm.call(Helper::FunctionAddress);
        asm.copy(Reg::R9, Reg::R0);
    }
    asm.store_local(local::FUNCTION, Reg::R9);
    // `hook_place`.
    asm.copy(Reg::R1, Reg::R9);
    spread(asm, HOOK_PLACES_LEN);
    asm.alu_by(Alu::Mul, Reg::R1, small(size_of::<HookPlace>()));
    asm.map_value(Reg::R0, ground.places, 0);
    asm.alu(Alu::Add, Reg::R0, Reg::R1);
    asm.load(Width::Double, Reg::R1, Reg::R0, offset_of!(HookPlace, function));
    asm.jump_if(Reg::R1, If::NotEqual, Reg::R9, slow);
    asm.clear_local(local::FLAGS);
    asm.clear_local(local::SLOTS);
    asm.load(Width::Word, Reg::R9, Reg::R0, offset_of!(HookPlace, hook));
    asm.load(Width::Word, Reg::R1, Reg::R0, offset_of!(HookPlace, code));
}

/// At a callback's exit: the program for exits does all.
fn leave_if_return(asm: &mut Assembler, ground: &Ground<'_>, is_return: u32) {
    let entry = asm.label();
    asm.call_kernel(is_return);
    // A `bool` is one byte.
    asm.alu_by(Alu::And, Reg::R0, 0xff);
    asm.jump_if_value(Reg::R0, If::Equal, 0, entry);
    leave_to(asm, ground, ground.exit);
    asm.set(Reg::R0, 0);
    asm.exit();
    asm.bind(entry);
}

/// The program in `map` takes over, with the registers as they were; where it cannot be reached, the invocation is lost.
fn leave_to(asm: &mut Assembler, ground: &Ground<'_>, map: i32) {
    asm.copy(Reg::R1, Reg::R6);
    asm.map(Reg::R2, map);
    asm.set(Reg::R3, 0);
    asm.call(Helper::TailCall);
    let end = asm.label();
    asm.set(Reg::R1, Loss::PlanMissing as u64);
    increment(asm, ground.loss, end);
    asm.bind(end);
}

/// Adds one to the value of `map` at the index in R1; goes to `missing` when there is none.
fn increment(asm: &mut Assembler, map: i32, missing: Label) {
    look_up(asm, map, missing);
    asm.load(Width::Double, Reg::R1, Reg::R0, 0);
    asm.alu_by(Alu::Add, Reg::R1, 1);
    asm.store(Width::Double, Reg::R0, 0, Reg::R1);
}
