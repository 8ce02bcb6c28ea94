//! The code of one shape: the readings of `facts`, `words`, `context` and `watch` of the eBPF programs, each where it is usual.

use std::mem::{offset_of, size_of};

use vfs_audit_common::{
    ERRORS_FROM, FLAG_AND_MASK, FLAG_IS_DIRECTORY, FLAG_MEMBER_EQUALS, FLAG_MEMBER_MASK, FLAG_PRESENT,
    FLAG_ROLES_DIFFER, FROM_ROLE, FlagReader, HEAD_MASK_UPPER, HELD_LOCKS_MAX, HeldLock, LOCK_FOLIO, LOCK_MUTEX,
    LOCK_RWSEM, LOCK_SPIN, LOCK_UNTRACKED, OWNER_FLAGS, RWSEM_READER_SHIFT, RWSEM_WRITER, RoleReader, SLOT_ABSENT,
    SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_NONE, SLOT_TRACKED_SHARED, SLOT_UNTRACKED, SLOT_WORD_FREE, SLOT_WORD_OTHER,
    SLOT_WORD_READERS, SLOT_WORD_SELF, SLOT_WORD_TAKEN, SlotReader, TaskLocks, WATCH_EXIT, WATCH_NONE,
    WATCH_OBJECTS_MAX, WATCH_UNLOCK, WatchFrame,
};

use super::{
    End, Ground,
    assembler::{Alu, Assembler, If, Label, Reg, Width, small},
    counting::{count, find_room_for_frame},
    increment, local, read, register,
    shape::Shape,
    spread,
};

/// The first watched frame of a task.
pub(super) const FRAME: usize = offset_of!(TaskLocks, watched);

/// One body in the making.
struct Body<'a> {
    asm: &'a mut Assembler,
    ground: &'a Ground<'a>,
    shape: &'a Shape,
    slow: Label,
    /// Whether the arguments are those of an interrupt's program.
    is_interrupt: bool,
}

/// Emits the code of `shape`. On its way to `slow` nothing has been changed.
pub(super) fn emit(asm: &mut Assembler, ground: &Ground<'_>, shape: &Shape, [slow, out]: [Label; 2]) {
    let mut body = Body { asm, ground, shape, slow, is_interrupt: false };
    body.identity(out);
    for (number, flag) in shape.flags.iter().enumerate() {
        body.flag(number, flag);
    }
    for (number, slot) in shape.slots.iter().enumerate() {
        body.slot(number, *slot);
    }
}

/// Emits the code of `shape` where an interrupt's program knows its flags: reading the rest, and counting.
pub(super) fn emit_interrupt(asm: &mut Assembler, ground: &Ground<'_>, shape: &Shape, [slow, out]: [Label; 2]) {
    let mut body = Body { asm, ground, shape, slow, is_interrupt: true };
    body.identity(out);
    // Nothing is said of the history of a task that an interrupt borrows.
    count(asm, ground, 0, slow);
    asm.jump(out);
}

/// Emits what becomes of a key once it is read; `shape` is one of those that have this end.
pub(super) fn emit_end(asm: &mut Assembler, ground: &Ground<'_>, shape: &Shape, [slow, out]: [Label; 2]) {
    let end = End::of(shape);
    if end.watched != WATCH_NONE {
        find_room_for_frame(asm, ground, slow);
    } else if end.op_bits != 0 {
        // Open frames are told of the op.
        asm.load(Width::Word, Reg::R1, Reg::R7, offset_of!(TaskLocks, watched_len));
        asm.jump_if_value(Reg::R1, If::NotEqual, 0, slow);
    }
    count(asm, ground, 1, slow);
    if end.watched != WATCH_NONE {
        let mut body = Body { asm, ground, shape, slow, is_interrupt: false };
        body.open_frame(end);
    }
    if end.is_shared {
        asm.copy(Reg::R1, Reg::R9);
        increment(asm, ground.through_table, out);
    }
    asm.jump(out);
}

/// Whether the flag is zero wherever the fast path comes to its end.
fn is_of_context(flag: &FlagReader) -> bool {
    !matches!(
        flag.kind,
        FLAG_AND_MASK | FLAG_ROLES_DIFFER | FLAG_PRESENT | FLAG_IS_DIRECTORY | FLAG_MEMBER_MASK | FLAG_MEMBER_EQUALS
    )
}

/// Whether a role is an argument as it is.
fn is_argument(reader: &RoleReader) -> bool {
    reader.source & FROM_ROLE == 0 && reader.steps == 0 && reader.add == 0
}

fn local_of_role(role: u8) -> i16 {
    local::ROLES + 8 * i16::from(role)
}

impl Body<'_> {
    /// Finds the objects, the table and the superblock; a direct call ends here.
    fn identity(&mut self, out: Label) {
        self.roles();
        // What cannot be reached reads as null, for the interpreter too; an error that is not null is no key of its.
        self.chain(&self.shape.table, None);
        self.asm.store_local(local::TABLE, Reg::R0);
        self.unless_direct(out);
        self.chain(&self.shape.superblock, None);
        self.asm.store_local(local::SUPERBLOCK, Reg::R0);
    }

    /// `to` = argument number `number`.
    fn argument(&mut self, to: Reg, number: u8) {
        if self.is_interrupt {
            self.asm.load_local(to, local::ARGUMENT);
        } else {
            self.asm.load(Width::Double, to, Reg::R6, register::ARGUMENTS[usize::from(number)]);
        }
    }

    /// `to` = the object of `role`, which may be null or an error.
    fn role(&mut self, to: Reg, role: u8) {
        let reader = &self.shape.roles[usize::from(role)];
        if is_argument(reader) {
            self.argument(to, reader.source);
        } else {
            self.asm.load_local(to, local_of_role(role));
        }
    }

    /// Finds every role that is more than an argument.
    fn roles(&mut self) {
        for (number, reader) in (0..).zip(&self.shape.roles) {
            if is_argument(reader) {
                continue;
            }
            let (none, found) = (self.asm.label(), self.asm.label());
            self.chain(reader, Some(none));
            self.asm.jump(found);
            self.asm.bind(none);
            self.asm.set(Reg::R0, 0);
            self.asm.bind(found);
            self.asm.store_local(local_of_role(number), Reg::R0);
        }
    }

    /// R0 = the object that `reader` reaches; goes to `none` where there is none, when that is asked for.
    fn chain(&mut self, reader: &RoleReader, none: Option<Label>) {
        // Added to null it would be an object.
        let none = none.or((reader.add != 0).then_some(self.slow));
        if reader.source & FROM_ROLE != 0 {
            self.role(Reg::R0, reader.source & !FROM_ROLE);
        } else {
            self.argument(Reg::R0, reader.source);
        }
        self.unless_error(Reg::R0, none);
        for offset in &reader.offset[..usize::from(reader.steps)] {
            self.asm.copy(Reg::R1, Reg::R0);
            self.asm.alu_by(Alu::Add, Reg::R1, i32::from(*offset));
            read(self.asm, self.ground);
            self.unless_error(Reg::R0, none);
        }
        if reader.add != 0 {
            self.asm.alu_by(Alu::Add, Reg::R0, i32::from(reader.add));
        }
    }

    /// Counts a direct call, and goes to `out`, where the table holds another function: see `facts::is_in_table`.
    fn unless_direct(&mut self, out: Label) {
        if self.shape.table_slots.is_empty() {
            return;
        }
        let through_table = self.asm.label();
        for offset in &self.shape.table_slots {
            self.asm.load_local(Reg::R1, local::TABLE);
            self.asm.alu_by(Alu::Add, Reg::R1, i32::from(*offset));
            read(self.asm, self.ground);
            self.asm.load_local(Reg::R1, local::FUNCTION);
            self.asm.jump_if(Reg::R0, If::Equal, Reg::R1, through_table);
        }
        self.asm.copy(Reg::R1, Reg::R9);
        increment(self.asm, self.ground.direct, out);
        self.asm.jump(out);
        self.asm.bind(through_table);
    }

    fn unless_error(&mut self, object: Reg, none: Option<Label>) {
        if let Some(none) = none {
            self.unless_object(object, none);
        }
    }

    /// Goes to `none` when `object` is null or an error.
    fn unless_object(&mut self, object: Reg, none: Label) {
        self.asm.jump_if_value(object, If::Equal, 0, none);
        self.asm.jump_if_value(object, If::NotBelow, ERRORS_FROM as i32, none);
    }

    /// R1 = the object of `role`; goes to `none` when it has none.
    fn object(&mut self, role: u8, none: Label) {
        self.role(Reg::R1, role);
        self.unless_object(Reg::R1, none);
    }

    /// R0 = what stands `offset` bytes into the object of `role`; goes to `none` when there is no object.
    fn member(&mut self, role: u8, offset: u32, none: Label) {
        self.object(role, none);
        self.asm.alu_by(Alu::Add, Reg::R1, offset.cast_signed());
        read(self.asm, self.ground);
    }

    /// Adds the bit of flag `number` where it is so.
    fn flag(&mut self, number: usize, reader: &FlagReader) {
        if is_of_context(reader) {
            return;
        }
        let (slow, so, not) = (self.slow, self.asm.label(), self.asm.label());
        match reader.kind {
            FLAG_AND_MASK => {
                self.argument(Reg::R0, reader.a);
                self.any_bit(reader, so);
            }
            FLAG_ROLES_DIFFER => {
                self.role_or_null(reader.a);
                self.asm.copy(Reg::R0, Reg::R1);
                self.role_or_null(reader.b);
                self.asm.jump_if(Reg::R0, If::NotEqual, Reg::R1, so);
            }
            FLAG_PRESENT => self.object(reader.a, not),
            FLAG_IS_DIRECTORY => {
                self.member(reader.a, self.ground.offsets.inode_mode, not);
                self.asm.alu_by(Alu::And, Reg::R0, 0o170_000);
                self.asm.jump_if_value(Reg::R0, If::Equal, 0o040_000, so);
            }
            FLAG_MEMBER_MASK => {
                self.member(reader.a, reader.offset.into(), slow);
                self.any_bit(reader, so);
            }
            _ => {
                self.member(reader.a, reader.offset.into(), slow);
                self.narrow(reader.width);
                self.asm.set(Reg::R1, reader.value);
                self.asm.jump_if(Reg::R0, If::Equal, Reg::R1, so);
            }
        }
        // What is not reachable the verifier refuses.
        if reader.kind != FLAG_PRESENT {
            self.asm.jump(not);
        }
        self.asm.bind(so);
        self.add_bits(local::FLAGS, 1 << number);
        self.asm.bind(not);
    }

    /// R1 = the object of `role`, null where it has none.
    fn role_or_null(&mut self, role: u8) {
        let (none, found) = (self.asm.label(), self.asm.label());
        self.object(role, none);
        self.asm.jump(found);
        self.asm.bind(none);
        self.asm.set(Reg::R1, 0);
        self.asm.bind(found);
    }

    /// Goes to `so` when the low bytes of R0 have a bit of the reader's value.
    fn any_bit(&mut self, reader: &FlagReader, so: Label) {
        self.asm.set(Reg::R1, reader.value & low_bytes(reader.width));
        self.asm.jump_if(Reg::R0, If::AnyBit, Reg::R1, so);
    }

    /// R0 = its low bytes.
    fn narrow(&mut self, width: u8) {
        if width != 8 {
            self.asm.set(Reg::R1, low_bytes(width));
            self.asm.alu(Alu::And, Reg::R0, Reg::R1);
        }
    }

    fn add_bits(&mut self, to: i16, bits: u64) {
        self.asm.load_local(Reg::R1, to);
        self.asm.set(Reg::R2, bits);
        self.asm.alu(Alu::Or, Reg::R1, Reg::R2);
        self.asm.store_local(to, Reg::R1);
    }

    /// Opens the task's first frame: see `watch::enter`.
    fn open_frame(&mut self, end: End) {
        let asm = &mut *self.asm;
        asm.store(Width::Word, Reg::R7, FRAME + offset_of!(WatchFrame, hook), Reg::R9);
        asm.store_value(Width::Word, Reg::R7, FRAME + offset_of!(WatchFrame, sleeps), 0);
        asm.store_value(Width::Word, Reg::R7, FRAME + offset_of!(WatchFrame, happened), 0);
        asm.store_value(Width::Double, Reg::R7, FRAME + offset_of!(WatchFrame, called), 0);
        asm.store_value(Width::Double, Reg::R7, FRAME + offset_of!(WatchFrame, watched), end.watched.into());
        asm.set(Reg::R1, end.op_bits);
        asm.store(Width::Double, Reg::R7, FRAME + offset_of!(WatchFrame, op_bits), Reg::R1);
        asm.load_local(Reg::R1, local::FLAGS);
        asm.store(Width::Word, Reg::R7, FRAME + offset_of!(WatchFrame, flags), Reg::R1);
        let mut copy = |local: i16, field: usize| {
            asm.load_local(Reg::R1, local);
            asm.store(Width::Double, Reg::R7, FRAME + field, Reg::R1);
        };
        copy(local::STACK_POINTER, offset_of!(WatchFrame, stack_pointer));
        copy(local::CALLER, offset_of!(WatchFrame, caller));
        copy(local::TABLE, offset_of!(WatchFrame, table));
        copy(local::SUPERBLOCK, offset_of!(WatchFrame, sb));
        if end.watched & WATCH_EXIT != 0 {
            self.keep_arguments();
            self.keep_objects();
        }
        self.asm.store_value(Width::Word, Reg::R7, offset_of!(TaskLocks, watched_len), 1);
    }

    fn keep_arguments(&mut self) {
        for (number, register) in register::ARGUMENTS.into_iter().enumerate() {
            self.asm.load(Width::Double, Reg::R1, Reg::R6, register);
            let place = FRAME + offset_of!(WatchFrame, args) + 8 * number;
            self.asm.store(Width::Double, Reg::R7, place, Reg::R1);
        }
    }

    /// What is watched, see `watch::object`.
    fn keep_objects(&mut self) {
        let place = |number: usize| FRAME + offset_of!(WatchFrame, objects) + 8 * number;
        for number in 0..WATCH_OBJECTS_MAX {
            self.asm.store_value(Width::Double, Reg::R7, place(number), 0);
        }
        for (number, watch) in self.shape.watches.iter().enumerate() {
            let none = self.asm.label();
            self.object(watch.role, none);
            if watch.kind == WATCH_UNLOCK {
                self.unless_locked_page(none);
            } else {
                self.asm.alu_by(Alu::Add, Reg::R1, i32::from(watch.offset));
            }
            self.asm.store(Width::Double, Reg::R7, place(number), Reg::R1);
            self.asm.bind(none);
        }
    }

    /// R1 = the folio of the page in R1; goes to `none` when it is not locked.
    fn unless_locked_page(&mut self, none: Label) {
        let (ground, asm) = (self.ground, &mut *self.asm);
        let (is_head, is_mask) = (asm.label(), asm.label());
        asm.store_local(local::LOCK, Reg::R1);
        asm.alu_by(Alu::Add, Reg::R1, ground.offsets.page_compound_head.cast_signed());
        read(asm, ground);
        asm.copy(Reg::R1, Reg::R0);
        asm.alu_by(Alu::And, Reg::R1, 1);
        asm.jump_if_value(Reg::R1, If::Equal, 0, is_head);
        // As `head_page` has it: the upper half of a mask is all ones, of an address never.
        asm.copy(Reg::R1, Reg::R0);
        asm.alu_by(Alu::ShiftRight, Reg::R1, 32);
        asm.set(Reg::R2, HEAD_MASK_UPPER);
        asm.jump_if(Reg::R1, If::Equal, Reg::R2, is_mask);
        asm.alu_by(Alu::Sub, Reg::R0, 1);
        asm.store_local(local::LOCK, Reg::R0);
        asm.jump(is_head);
        asm.bind(is_mask);
        asm.load_local(Reg::R1, local::LOCK);
        asm.alu(Alu::And, Reg::R1, Reg::R0);
        asm.store_local(local::LOCK, Reg::R1);
        asm.bind(is_head);
        asm.load_local(Reg::R1, local::LOCK);
        read(asm, ground);
        asm.set(Reg::R1, 1 << (ground.offsets.page_locked_bit & 63));
        asm.alu(Alu::And, Reg::R0, Reg::R1);
        asm.jump_if_value(Reg::R0, If::Equal, 0, none);
        asm.load_local(Reg::R1, local::LOCK);
    }

    /// Adds the byte of lock slot `number`.
    fn slot(&mut self, number: usize, reader: SlotReader) {
        let done = self.asm.label();
        let absent = if SLOT_ABSENT == 0 { done } else { self.slow };
        self.object(reader.role, absent);
        self.asm.alu_by(Alu::Add, Reg::R1, i32::from(reader.offset));
        self.asm.store_local(local::LOCK, Reg::R1);
        read(self.asm, self.ground);
        match reader.kind & !LOCK_UNTRACKED {
            LOCK_RWSEM => self.rwsem(number, reader.kind == LOCK_RWSEM, done),
            LOCK_MUTEX => self.mutex(number, done),
            LOCK_FOLIO => {
                let bit = self.ground.offsets.page_locked_bit & 63;
                self.taken(number, 1 << bit);
            }
            LOCK_SPIN => self.taken(number, u32::MAX.into()),
            _ => unreachable!("no such shape is compiled"),
        }
        self.asm.bind(done);
    }

    /// A lock without an owner, whose word is in R0: taken when it has one of `bits`.
    fn taken(&mut self, number: usize, bits: u64) {
        self.asm.set(Reg::R1, bits);
        self.asm.alu(Alu::And, Reg::R0, Reg::R1);
        self.asm.jump_if_value(Reg::R0, If::Equal, 0, self.slow);
        self.state(number, SLOT_WORD_TAKEN | SLOT_UNTRACKED);
    }

    fn state(&mut self, number: usize, state: u8) {
        self.add_bits(local::SLOTS, u64::from(state) << (8 * number));
    }

    /// An untracked mutex, whose owner is in R0.
    fn mutex(&mut self, number: usize, done: Label) {
        let (free, own) = (self.asm.label(), self.asm.label());
        self.asm.jump_if_value(Reg::R0, If::Equal, 0, free);
        self.asm.jump_if_value(Reg::R0, If::NotAbove, OWNER_FLAGS as i32, self.slow);
        self.asm.alu(Alu::Sub, Reg::R0, Reg::R8);
        self.asm.jump_if_value(Reg::R0, If::NotAbove, OWNER_FLAGS as i32, own);
        self.state(number, SLOT_WORD_OTHER | SLOT_UNTRACKED);
        self.asm.jump(done);
        self.asm.bind(own);
        self.state(number, SLOT_WORD_SELF | SLOT_UNTRACKED);
        self.asm.jump(done);
        self.asm.bind(free);
        self.unless_readable();
        self.state(number, SLOT_WORD_FREE | SLOT_UNTRACKED);
    }

    /// An rwsem, whose count is in R0.
    fn rwsem(&mut self, number: usize, is_tracked: bool, done: Label) {
        let (not_written, free) = (self.asm.label(), self.asm.label());
        self.asm.store_local(local::WORD, Reg::R0);
        self.asm.copy(Reg::R1, Reg::R0);
        self.asm.alu_by(Alu::And, Reg::R1, RWSEM_WRITER as i32);
        self.asm.jump_if_value(Reg::R1, If::Equal, 0, not_written);
        self.asm.load_local(Reg::R1, local::LOCK);
        self.asm.alu_by(Alu::Add, Reg::R1, 8);
        read(self.asm, self.ground);
        self.asm.alu(Alu::Sub, Reg::R0, Reg::R8);
        self.asm.jump_if_value(Reg::R0, If::Above, OWNER_FLAGS as i32, self.slow);
        if is_tracked {
            self.unless_acquired_exclusively();
        }
        self.state(number, SLOT_WORD_SELF | if is_tracked { SLOT_TRACKED_EXCLUSIVE } else { SLOT_UNTRACKED });
        self.asm.jump(done);
        self.asm.bind(not_written);
        // The top bit only says that a reader's fast path must fail.
        self.asm.alu_by(Alu::ShiftLeft, Reg::R0, 1);
        self.asm.alu_by(Alu::ShiftRight, Reg::R0, RWSEM_READER_SHIFT.cast_signed() + 1);
        self.asm.jump_if_value(Reg::R0, If::Equal, 0, free);
        if is_tracked {
            let none = self.asm.label();
            self.asm.load(Width::Word, Reg::R1, Reg::R7, offset_of!(TaskLocks, held_len));
            self.asm.jump_if_value(Reg::R1, If::Equal, 0, none);
            self.unless_acquired_last();
            self.state(number, SLOT_WORD_READERS | SLOT_TRACKED_SHARED);
            self.asm.jump(done);
            self.asm.bind(none);
            self.state(number, SLOT_WORD_READERS | SLOT_TRACKED_NONE);
        } else {
            self.state(number, SLOT_WORD_READERS | SLOT_UNTRACKED);
        }
        self.asm.jump(done);
        self.asm.bind(free);
        if is_tracked {
            // With shared holdings in the table it takes a search.
            self.asm.load(Width::Word, Reg::R1, Reg::R7, offset_of!(TaskLocks, held_len));
            self.asm.jump_if_value(Reg::R1, If::NotEqual, 0, self.slow);
        }
        self.asm.load_local(Reg::R0, local::WORD);
        self.unless_readable();
        self.state(number, SLOT_WORD_FREE | if is_tracked { SLOT_TRACKED_NONE } else { SLOT_UNTRACKED });
    }

    /// Leaves the fast path where the lock's word is zero, in R0, and so seems all that stands behind it: perhaps nothing could
    /// be read, see `words::read`.
    fn unless_readable(&mut self) {
        let readable = self.asm.label();
        self.asm.jump_if_value(Reg::R0, If::NotEqual, 0, readable);
        self.asm.load_local(Reg::R1, local::LOCK);
        self.asm.alu_by(Alu::Add, Reg::R1, 24);
        read(self.asm, self.ground);
        self.asm.jump_if_value(Reg::R0, If::Equal, 0, self.slow);
        self.asm.bind(readable);
    }

    /// Leaves the fast path unless the lock is noted at the first of its places: see `held::was_acquired_exclusively`.
    fn unless_acquired_exclusively(&mut self) {
        self.asm.load_local(Reg::R3, local::LOCK);
        self.asm.copy(Reg::R1, Reg::R3);
        // `lock_place`.
        self.asm.alu_by(Alu::ShiftRight, Reg::R1, 3);
        spread(self.asm, HELD_LOCKS_MAX);
        self.unless_noted(offset_of!(TaskLocks, exclusive));
    }

    /// Leaves the fast path unless the lock is the shared holding acquired last; the number of holdings is in R1.
    fn unless_acquired_last(&mut self) {
        self.asm.load_local(Reg::R3, local::LOCK);
        self.asm.alu_by(Alu::Sub, Reg::R1, 1);
        self.asm.alu_by(Alu::And, Reg::R1, small(HELD_LOCKS_MAX) - 1);
        self.unless_noted(offset_of!(TaskLocks, held));
    }

    /// Leaves the fast path unless the lock in R3 stands at place R1 of the holdings that begin at `table`.
    fn unless_noted(&mut self, table: usize) {
        self.asm.alu_by(Alu::Mul, Reg::R1, small(size_of::<HeldLock>()));
        self.asm.alu(Alu::Add, Reg::R1, Reg::R7);
        self.asm.load(Width::Double, Reg::R1, Reg::R1, table + offset_of!(HeldLock, instance));
        self.asm.jump_if(Reg::R1, If::NotEqual, Reg::R3, self.slow);
    }
}

/// A mask of the low `width` bytes.
fn low_bytes(width: u8) -> u64 {
    match width {
        8 => u64::MAX,
        4 => u32::MAX.into(),
        2 => u16::MAX.into(),
        _ => u8::MAX.into(),
    }
}
