//! What all shapes have alike: where the callback was entered, the key and its count, room for a frame.

use std::mem::{offset_of, size_of};

use vfs_audit_common::{
    COUNTED_KEY_READY, COUNTED_PLACES, COUNTED_WAYS, Control, CountedKey, FLAG_INTERRUPTS, KEY_SPREAD, ObservationKey,
    PREEMPT_INTERRUPTS, PREEMPT_NEED_RESCHED, TaskLocks, WATCH_EXIT, WatchFrame,
};

use super::{
    Ground,
    assembler::{Alu, Assembler, Helper, If, Label, Reg, Width, small},
    body::FRAME,
    local, look_up, read, register, spread,
};

/// Leaves the fast path unless sleeping is allowed here and this is no interrupt: see `context::read`.
pub(super) fn context(asm: &mut Assembler, ground: &Ground<'_>, slow: Label) {
    asm.call(Helper::ProcessorId);
    asm.copy(Reg::R1, Reg::R0);
    asm.alu_by(Alu::ShiftLeft, Reg::R1, 3);
    let control = |asm: &mut Assembler, to: Reg, width, field: usize| {
        asm.map_value(to, ground.control, field);
        asm.load(width, to, to, 0);
    };
    asm.set(Reg::R2, ground.fixed.per_cpu_offsets);
    asm.alu(Alu::Add, Reg::R1, Reg::R2);
    read(asm, ground);
    asm.set(Reg::R1, ground.fixed.preempt_count);
    asm.alu(Alu::Add, Reg::R1, Reg::R0);
    read(asm, ground);
    asm.set(Reg::R1, (!PREEMPT_NEED_RESCHED).into());
    asm.alu(Alu::And, Reg::R0, Reg::R1);
    asm.jump_if_value(Reg::R0, If::AnyBit, PREEMPT_INTERRUPTS.cast_signed(), slow);
    control(asm, Reg::R1, Width::Word, offset_of!(Control, preempt_unadjusted));
    asm.jump_if(Reg::R0, If::Above, Reg::R1, slow);
    if ground.offsets.task_rcu_nesting != 0 {
        // Of the task the kernel knows the type: no cast, and no test whether the address is good.
        asm.call(Helper::CurrentTaskTyped);
        asm.load(Width::Word, Reg::R0, Reg::R0, ground.offsets.task_rcu_nesting as usize);
        control(asm, Reg::R1, Width::Word, offset_of!(Control, rcu_base));
        asm.jump_if(Reg::R0, If::Above, Reg::R1, slow);
    }
    if ground.fixed.flags_saved {
        asm.load(Width::Double, Reg::R1, Reg::R6, register::FLAGS);
        asm.alu_by(Alu::And, Reg::R1, FLAG_INTERRUPTS as i32);
        asm.jump_if_value(Reg::R1, If::Equal, 0, slow);
    }
}

/// Counts the key at its place, see `callback::count_key`; leaves the fast path when it is not there.
pub(super) fn count(asm: &mut Assembler, ground: &Ground<'_>, history_complete: i32, slow: Label) {
    first_word(asm, history_complete);
    place(asm);
    look_up(asm, ground.counted, slow);
    let found = asm.label();
    for way in 0..COUNTED_WAYS {
        let other = if way + 1 < COUNTED_WAYS { asm.label() } else { slow };
        unless_equal(asm, other);
        if way + 1 < COUNTED_WAYS {
            asm.jump(found);
            asm.bind(other);
            asm.alu_by(Alu::Add, Reg::R0, small(size_of::<CountedKey>()));
        }
    }
    asm.bind(found);
    asm.load(Width::Double, Reg::R1, Reg::R0, offset_of!(CountedKey, count));
    asm.alu_by(Alu::Add, Reg::R1, 1);
    asm.store(Width::Double, Reg::R0, offset_of!(CountedKey, count), Reg::R1);
}

/// Goes to `other` when the entry that R0 points to is not ready, or not of the key.
fn unless_equal(asm: &mut Assembler, other: Label) {
    let at = |field: usize| offset_of!(CountedKey, key) + field;
    asm.load(Width::Double, Reg::R1, Reg::R0, offset_of!(CountedKey, state));
    asm.jump_if_value(Reg::R1, If::NotEqual, (COUNTED_KEY_READY as u32).cast_signed(), other);
    let mut compare = |local: i16, field: usize| {
        asm.load_local(Reg::R1, local);
        asm.load(Width::Double, Reg::R2, Reg::R0, at(field));
        asm.jump_if(Reg::R1, If::NotEqual, Reg::R2, other);
    };
    compare(local::WORD, offset_of!(ObservationKey, hook));
    compare(local::CALLER, offset_of!(ObservationKey, caller));
    compare(local::TABLE, offset_of!(ObservationKey, table));
    compare(local::SUPERBLOCK, offset_of!(ObservationKey, sb));
    compare(local::SLOTS, offset_of!(ObservationKey, slots));
}

/// [`local::WORD`] = the key's first word: hook, complete history, entry, flags.
fn first_word(asm: &mut Assembler, history_complete: i32) {
    asm.load_local(Reg::R1, local::FLAGS);
    asm.alu_by(Alu::ShiftLeft, Reg::R1, 32);
    asm.alu_by(Alu::Or, Reg::R1, history_complete << 16);
    asm.alu(Alu::Or, Reg::R1, Reg::R9);
    asm.store_local(local::WORD, Reg::R1);
}

/// R1 = the key's place: `key_place`.
fn place(asm: &mut Assembler) {
    let mix = |asm: &mut Assembler, local: i16| {
        asm.load_local(Reg::R2, local);
        asm.alu(Alu::Xor, Reg::R1, Reg::R2);
    };
    asm.load_local(Reg::R1, local::WORD);
    mix(asm, local::SLOTS);
    asm.set(Reg::R2, KEY_SPREAD);
    asm.alu(Alu::Mul, Reg::R1, Reg::R2);
    mix(asm, local::CALLER);
    mix(asm, local::SUPERBLOCK);
    asm.load_local(Reg::R2, local::TABLE);
    asm.alu_by(Alu::ShiftLeft, Reg::R2, 20);
    asm.alu(Alu::Xor, Reg::R1, Reg::R2);
    spread(asm, COUNTED_PLACES);
}

/// Leaves the fast path unless the task's first frame is free, or its callback has returned: see `watch::drop_returned`.
pub(super) fn find_room_for_frame(asm: &mut Assembler, ground: &Ground<'_>, slow: Label) {
    let free = asm.label();
    asm.load(Width::Word, Reg::R1, Reg::R7, offset_of!(TaskLocks, watched_len));
    asm.jump_if_value(Reg::R1, If::Equal, 0, free);
    asm.jump_if_value(Reg::R1, If::NotEqual, 1, slow);
    asm.load(Width::Double, Reg::R1, Reg::R7, FRAME + offset_of!(WatchFrame, watched));
    asm.jump_if_value(Reg::R1, If::AnyBit, WATCH_EXIT.into(), slow);
    asm.load(Width::Double, Reg::R1, Reg::R7, FRAME + offset_of!(WatchFrame, stack_pointer));
    asm.load_local(Reg::R2, local::STACK_POINTER);
    asm.jump_if(Reg::R1, If::NotAbove, Reg::R2, free);
    read(asm, ground);
    asm.load(Width::Double, Reg::R1, Reg::R7, FRAME + offset_of!(WatchFrame, caller));
    asm.jump_if(Reg::R0, If::Equal, Reg::R1, slow);
    asm.bind(free);
}
