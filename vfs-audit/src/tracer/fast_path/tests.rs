//! Compiled plans, run on a machine: what they count, and what they leave.

use std::{
    collections::{BTreeSet, HashMap},
    mem::{offset_of, size_of},
};

use vfs_audit_common::{
    COUNTED_KEY_READY, Control, CountedKey, CountedPlace, FLAG_AND_MASK, FLAG_ATOMIC, FLAG_IN_INTERRUPT,
    FLAG_IS_DIRECTORY, FLAG_MEMBER_EQUALS, FLAG_MEMBER_MASK, FLAG_ON_STACK, FLAG_PRESENT, FLAG_ROLES_DIFFER, FROM_ROLE,
    FlagReader, HeldLock, HookPlan, LOCK_FOLIO, LOCK_MUTEX, LOCK_RWSEM, LOCK_SPIN, LOCK_UNTRACKED, ObservationKey,
    RoleReader, SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_NONE, SLOT_TRACKED_SHARED, SLOT_UNTRACKED, SLOT_WORD_FREE,
    SLOT_WORD_OTHER, SLOT_WORD_READERS, SLOT_WORD_SELF, SLOT_WORD_TAKEN, SLOTS_MAX, SlotReader, TaskLocks,
    WATCH_ACQUIRE, WATCH_EXIT, WATCH_SLEEP, WATCH_UNLOCK, WatchFrame, WatchReader, hook_place, key_place, lock_place,
};

use super::{
    Kind, Shape, assemble, interrupt,
    machine::{
        CALLER, CONTROL, COUNTED, DIRECT, EXIT, End, FUNCTION, HOOK, INODE, INTERPRETER, IS_RETURN, Machine,
        OTHER_INODE, OWN, PER_CPU, PER_CPU_OFFSETS, PLACES, REGISTERS, STACK, STACK_POINTER, SUPERBLOCK, TABLE, TASK,
        TGID, THROUGH_TABLE, base, ground, of_task,
    },
};

/// Where the keys of the place of `key` are.
fn at_place(key: &ObservationKey) -> u64 {
    base(COUNTED) + u64::from(key_place(key)) * size_of::<CountedPlace>() as u64
}

/// An inode's op whose first argument it is, with its table and superblock.
fn plan() -> HookPlan {
    let follow =
        |offset: u16| RoleReader { source: FROM_ROLE, steps: 1, offset: [offset, 0, 0, 0], ..RoleReader::default() };
    HookPlan { roles_len: 1, table: follow(32), sb: follow(40), function: FUNCTION, ..HookPlan::default() }
}

fn with_slot(kind: u8) -> HookPlan {
    let mut plan = HookPlan { slots_len: 1, ..plan() };
    plan.slots[0] = SlotReader { role: 0, kind, offset: 128 };
    plan
}

fn with_flag(flag: FlagReader) -> HookPlan {
    let mut plan = HookPlan { flags_len: 1, all_flags_len: 1, ..plan() };
    plan.flags[0] = flag;
    plan
}

fn key() -> ObservationKey {
    ObservationKey {
        hook: HOOK,
        history_complete: 1,
        point: 0,
        flags: 0,
        caller: CALLER,
        table: TABLE,
        sb: SUPERBLOCK,
        slots: [0; SLOTS_MAX],
    }
}

fn with_state(state: u8) -> ObservationKey {
    let mut key = key();
    key.slots[0] = state;
    key
}

fn code_of(plan: &HookPlan) -> Vec<u8> {
    let kind = if plan.watched & WATCH_EXIT == 0 {
        Kind::Entry { interpreter: 0 }
    } else {
        Kind::Both { interpreter: 0, exit: 0, is_return: IS_RETURN }
    };
    assemble(&ground(), &mut vec![Shape::of(plan).expect("this plan is compiled")], kind).unwrap()
}

/// A kernel in which a callback is entered as usual, and its key was counted at way number `way` of its place.
fn kernel(known: &ObservationKey, way: usize) -> Machine {
    let mut m = Machine { words: HashMap::new(), is_return: false };
    let control = |field: usize| base(CONTROL) + field as u64;
    m.put(control(offset_of!(Control, enabled)), 2);
    m.put_half(control(offset_of!(Control, preempt_unadjusted)), 1);
    m.put_half(control(offset_of!(Control, rcu_base)), 1);
    m.put(PER_CPU_OFFSETS + 8, PER_CPU);
    m.put(PER_CPU + 0x40, 0x8000_0001);
    m.put(TASK + 0x400, 1);
    m.put(of_task(offset_of!(TaskLocks, task)), TASK);
    m.put_half(of_task(offset_of!(TaskLocks, tgid)), TGID);
    m.put_half(of_task(offset_of!(TaskLocks, history_complete)), 1);
    m.put(of_task(offset_of!(TaskLocks, stack_base)), STACK);
    let place = base(PLACES) + 16 * u64::from(hook_place(FUNCTION));
    m.put(place, FUNCTION);
    m.put_half(place + 8, HOOK.into());
    m.put_half(place + 12, 1);
    for (register, value) in [(112, INODE), (104, 0x11), (128, FUNCTION + 4), (144, 0x202), (152, STACK_POINTER)] {
        m.put(REGISTERS + register, value);
    }
    m.put(STACK_POINTER, CALLER);
    m.put(INODE + 32, TABLE);
    m.put(INODE + 40, SUPERBLOCK);
    let entry = at_place(known) + (way * size_of::<CountedKey>()) as u64;
    m.put(entry + offset_of!(CountedKey, state) as u64, COUNTED_KEY_READY);
    let words = [
        u64::from(known.hook) | u64::from(known.history_complete) << 16 | u64::from(known.flags) << 32,
        known.caller,
        known.table,
        known.sb,
        u64::from_ne_bytes(known.slots),
    ];
    for (number, word) in (0..).zip(words) {
        m.put(entry + offset_of!(CountedKey, key) as u64 + 8 * number, word);
    }
    m
}

fn count(m: &Machine, key: &ObservationKey, way: usize) -> u64 {
    m.get(at_place(key) + (way * size_of::<CountedKey>() + offset_of!(CountedKey, count)) as u64)
}

/// Runs `plan` where `known` was counted before; says whether it was counted once more, or left to the interpreter.
fn is_counted(plan: &HookPlan, known: &ObservationKey, prepare: impl FnOnce(&mut Machine)) -> bool {
    let mut m = kernel(known, 0);
    prepare(&mut m);
    match (m.run(&code_of(plan)), count(&m, known, 0)) {
        (End::Exited, 1) => true,
        (End::LeftTo(INTERPRETER), 0) => false,
        other => panic!("{other:?}"),
    }
}

fn note_exclusive(m: &mut Machine) {
    let place = u64::from(lock_place(INODE + 128));
    let at = of_task(offset_of!(TaskLocks, exclusive)) + place * size_of::<HeldLock>() as u64;
    m.put(at, INODE + 128);
}

fn note_shared(m: &mut Machine, lock: u64) {
    m.put_half(of_task(offset_of!(TaskLocks, held_len)), 1);
    m.put(of_task(offset_of!(TaskLocks, held)), lock);
}

#[test]
fn a_usual_invocation_is_counted_at_either_way_of_its_place() {
    for way in [0, 1] {
        let mut m = kernel(&key(), way);
        assert_eq!((m.run(&code_of(&plan())), count(&m, &key(), way)), (End::Exited, 1));
    }
}

#[test]
fn a_key_that_was_not_counted_before_is_left() {
    let others = [
        ObservationKey { hook: HOOK + 1, ..key() },
        ObservationKey { caller: CALLER + 1, ..key() },
        ObservationKey { table: TABLE + 8, ..key() },
        ObservationKey { sb: SUPERBLOCK + 64, ..key() },
        ObservationKey { flags: 1, ..key() },
        with_state(SLOT_WORD_FREE),
    ];
    for other in others {
        // At the place of the key that is read, or it would not be looked at.
        let mut m = kernel(&other, 0);
        let (from, to) = (at_place(&other), at_place(&key()));
        for word in 0..7 {
            let value = m.get(from + 8 * word);
            m.put(to + 8 * word, value);
        }
        assert_eq!(m.run(&code_of(&plan())), End::LeftTo(INTERPRETER), "{other:?}");
    }
}

#[test]
fn what_is_unusual_about_the_task_is_left() {
    let is_left = |prepare: &dyn Fn(&mut Machine)| !is_counted(&plan(), &key(), |m| prepare(m));
    assert!(!is_left(&|_| ()));
    assert!(is_left(&|m| m.put(base(CONTROL), 1)), "not to be used yet");
    assert!(is_left(&|m| m.put(of_task(0), TASK + 64)), "another task's place");
    assert!(is_left(&|m| m.put_half(of_task(offset_of!(TaskLocks, history_complete)), 0)));
    assert!(is_left(&|m| m.put(of_task(offset_of!(TaskLocks, stack_base)), STACK + 0x10_0000)), "an interrupt's stack");
    assert!(
        is_left(&|m| m.put(base(PLACES) + 16 * u64::from(hook_place(FUNCTION)), FUNCTION + 16)),
        "another function"
    );
    assert!(is_left(&|m| m.put_half(base(PLACES) + 16 * u64::from(hook_place(FUNCTION)) + 12, 0)), "not compiled");
}

#[test]
fn the_daemons_own_calls_are_neither_counted_nor_left() {
    let mut m = kernel(&key(), 0);
    m.put_half(of_task(offset_of!(TaskLocks, tgid)), OWN);
    assert_eq!((m.run(&code_of(&plan())), count(&m, &key(), 0)), (End::Exited, 0));
}

#[test]
fn a_context_in_which_sleeping_is_not_allowed_is_left() {
    for kind in [FLAG_ATOMIC, FLAG_IN_INTERRUPT] {
        let plan = with_flag(FlagReader { kind, ..FlagReader::default() });
        let is_left = |prepare: &dyn Fn(&mut Machine)| !is_counted(&plan, &key(), |m| prepare(m));
        assert!(!is_left(&|_| ()));
        assert!(is_left(&|m| m.put(PER_CPU + 0x40, 0x8000_0002)), "preemption is off");
        assert!(is_left(&|m| m.put(PER_CPU + 0x40, 0x8000_0100)), "a soft interrupt");
        assert!(is_left(&|m| m.put(TASK + 0x400, 2)), "an RCU read side");
        assert!(is_left(&|m| m.put(REGISTERS + 144, 0x002)), "interrupts are off");
    }
}

#[test]
fn an_rwsem_is_read_by_both_witnesses() {
    let plan = with_slot(LOCK_RWSEM);
    let lock = INODE + 128;
    let own = |m: &mut Machine| {
        m.put(lock, 1);
        m.put(lock + 8, TASK);
    };
    let readers = |m: &mut Machine| m.put(lock, 2 << 8);
    let held = |word: u8, table: u8| with_state(word | table);
    assert!(is_counted(&plan, &held(SLOT_WORD_SELF, SLOT_TRACKED_EXCLUSIVE), |m| {
        own(m);
        note_exclusive(m);
    }));
    assert!(!is_counted(&plan, &held(SLOT_WORD_SELF, SLOT_TRACKED_EXCLUSIVE), own), "its acquisition is not noted");
    assert!(!is_counted(&plan, &held(SLOT_WORD_SELF, SLOT_TRACKED_EXCLUSIVE), |m| {
        m.put(lock, 1);
        m.put(lock + 8, TASK + 0x1000);
        note_exclusive(m);
    }));
    assert!(is_counted(&plan, &held(SLOT_WORD_READERS, SLOT_TRACKED_SHARED), |m| {
        readers(m);
        note_shared(m, lock);
    }));
    assert!(is_counted(&plan, &held(SLOT_WORD_READERS, SLOT_TRACKED_NONE), readers));
    assert!(!is_counted(&plan, &held(SLOT_WORD_READERS, SLOT_TRACKED_NONE), |m| {
        readers(m);
        note_shared(m, lock + 64);
    }));
    assert!(is_counted(&plan, &held(SLOT_WORD_FREE, SLOT_TRACKED_NONE), |m| m.put(lock + 24, lock + 24)));
    assert!(!is_counted(&plan, &held(SLOT_WORD_FREE, SLOT_TRACKED_NONE), |_| ()), "perhaps it cannot be read");
    assert!(!is_counted(&plan, &held(SLOT_WORD_FREE, SLOT_TRACKED_NONE), |m| {
        m.put(lock + 24, lock + 24);
        note_shared(m, lock);
    }));
}

#[test]
fn locks_without_a_tracked_holder_are_read_by_their_words() {
    let lock = INODE + 128;
    let state = |word: u8| with_state(word | SLOT_UNTRACKED);
    let mutex = with_slot(LOCK_MUTEX | LOCK_UNTRACKED);
    assert!(is_counted(&mutex, &state(SLOT_WORD_SELF), |m| m.put(lock, TASK | 1)));
    assert!(is_counted(&mutex, &state(SLOT_WORD_OTHER), |m| m.put(lock, TASK + 0x1000)));
    assert!(is_counted(&mutex, &state(SLOT_WORD_FREE), |m| m.put(lock + 24, lock + 24)));
    assert!(!is_counted(&mutex, &state(SLOT_WORD_FREE), |_| ()), "perhaps it cannot be read");
    let rwsem = with_slot(LOCK_RWSEM | LOCK_UNTRACKED);
    assert!(is_counted(&rwsem, &state(SLOT_WORD_READERS), |m| m.put(lock, 1 << 8)));
    for kind in [LOCK_SPIN, LOCK_FOLIO] {
        assert!(is_counted(&with_slot(kind), &state(SLOT_WORD_TAKEN), |m| m.put(lock, 1)));
        assert!(!is_counted(&with_slot(kind), &state(SLOT_WORD_TAKEN), |_| ()), "kind {kind} is free");
    }
    assert!(!is_counted(&with_slot(LOCK_SPIN), &state(SLOT_WORD_TAKEN), |m| m.put(lock, 1 << 32)), "not its word");
}

#[test]
fn a_lock_of_no_object_is_absent() {
    let mut plan = with_slot(LOCK_RWSEM);
    (plan.roles_len, plan.slots[0].role) = (2, 1);
    plan.roles[1] = RoleReader { source: 0, steps: 1, offset: [48, 0, 0, 0], add: 8, ..RoleReader::default() };
    assert!(is_counted(&plan, &key(), |_| ()));
    assert!(is_counted(&plan, &key(), |m| m.put(INODE + 48, u64::MAX - 3)), "an error is no object");
    let held = with_state(SLOT_WORD_READERS | SLOT_TRACKED_NONE);
    assert!(is_counted(&plan, &held, |m| {
        m.put(INODE + 48, OTHER_INODE);
        m.put(OTHER_INODE + 8 + 128, 1 << 8);
    }));
}

#[test]
fn flags_are_what_their_readers_say() {
    let yes = ObservationKey { flags: 1, ..key() };
    let flag = |kind: u8, width: u8, value: u64| FlagReader { kind, width, value, offset: 64, ..FlagReader::default() };
    let check = |reader: FlagReader, is_so: &dyn Fn(&mut Machine), is_not: &dyn Fn(&mut Machine)| {
        let plan = with_flag(reader);
        assert!(is_counted(&plan, &yes, |m| is_so(m)), "kind {} is so", reader.kind);
        assert!(is_counted(&plan, &key(), |m| is_not(m)), "kind {} is not", reader.kind);
        assert!(!is_counted(&plan, &key(), |m| is_so(m)), "kind {} does not count as not so", reader.kind);
    };
    let mask = FlagReader { a: 1, ..flag(FLAG_AND_MASK, 4, 0x10) };
    check(mask, &|_| (), &|m| m.put(REGISTERS + 104, 0x10_0000_0001));
    check(flag(FLAG_IS_DIRECTORY, 0, 0), &|m| m.put(INODE, 0o040_755), &|m| m.put(INODE, 0o100_644));
    check(flag(FLAG_MEMBER_MASK, 2, 0x80), &|m| m.put(INODE + 64, 0x81), &|m| m.put(INODE + 64, 0x80_0000));
    check(flag(FLAG_MEMBER_EQUALS, 4, 7), &|m| m.put(INODE + 64, 0x1_0000_0007), &|m| m.put(INODE + 64, 6));
}

#[test]
fn flags_compare_the_objects_of_roles() {
    let yes = ObservationKey { flags: 1, ..key() };
    for kind in [FLAG_ROLES_DIFFER, FLAG_PRESENT] {
        let mut plan = with_flag(FlagReader { kind, a: 1, b: 0, ..FlagReader::default() });
        plan.roles_len = 2;
        plan.roles[1] = RoleReader { source: 1, ..RoleReader::default() };
        assert!(is_counted(&plan, &yes, |m| m.put(REGISTERS + 104, OTHER_INODE)));
        let not = if kind == FLAG_PRESENT { u64::MAX } else { INODE };
        assert!(is_counted(&plan, &key(), |m| m.put(REGISTERS + 104, not)));
    }
}

#[test]
fn a_direct_call_is_counted_as_one() {
    let mut plan = HookPlan { slot_offsets_len: 2, is_shared: 1, ..plan() };
    plan.slot_offsets[..2].copy_from_slice(&[16, 24]);
    let of_hook = |map: i32| base(map) + 8 * u64::from(HOOK);
    let mut m = kernel(&key(), 0);
    m.put(TABLE + 24, FUNCTION);
    assert_eq!(m.run(&code_of(&plan)), End::Exited);
    assert_eq!((count(&m, &key(), 0), m.get(of_hook(THROUGH_TABLE)), m.get(of_hook(DIRECT))), (1, 1, 0));
    let mut m = kernel(&key(), 0);
    assert_eq!(m.run(&code_of(&plan)), End::Exited);
    assert_eq!((count(&m, &key(), 0), m.get(of_hook(THROUGH_TABLE)), m.get(of_hook(DIRECT))), (0, 0, 1));
}

#[test]
fn a_watched_callback_has_a_frame() {
    let mut plan = HookPlan { watched: WATCH_EXIT | WATCH_SLEEP, op_bits: 1 << 40, watches_len: 1, ..plan() };
    plan.watches[0] = WatchReader { kind: WATCH_ACQUIRE, role: 0, offset: 128 };
    let mut m = kernel(&key(), 0);
    let frame = |field: usize| of_task(offset_of!(TaskLocks, watched) + field);
    assert_eq!((m.run(&code_of(&plan)), count(&m, &key(), 0)), (End::Exited, 1));
    assert_eq!(m.get(of_task(offset_of!(TaskLocks, watched_len))) & 0xffff_ffff, 1);
    assert_eq!(m.get(frame(offset_of!(WatchFrame, hook))) & 0xffff_ffff, u64::from(HOOK));
    let expected = [
        (offset_of!(WatchFrame, stack_pointer), STACK_POINTER),
        (offset_of!(WatchFrame, watched), u64::from(WATCH_EXIT | WATCH_SLEEP)),
        (offset_of!(WatchFrame, op_bits), 1 << 40),
        (offset_of!(WatchFrame, caller), CALLER),
        (offset_of!(WatchFrame, table), TABLE),
        (offset_of!(WatchFrame, sb), SUPERBLOCK),
        (offset_of!(WatchFrame, args), INODE),
        (offset_of!(WatchFrame, args) + 8, 0x11),
        (offset_of!(WatchFrame, objects), INODE + 128),
        (offset_of!(WatchFrame, objects) + 8, 0),
    ];
    for (field, value) in expected {
        assert_eq!(m.get(frame(field)), value, "byte {field} of the frame");
    }
}

#[test]
fn a_frame_that_may_be_open_is_left_to_the_interpreter() {
    let plan = HookPlan { watched: WATCH_SLEEP, ..plan() };
    let frame = |field: usize| of_task(offset_of!(TaskLocks, watched) + field);
    let open = |m: &mut Machine, watched: u8, stack_pointer: u64, caller: u64| {
        m.put_half(of_task(offset_of!(TaskLocks, watched_len)), 1);
        m.put(frame(offset_of!(WatchFrame, watched)), watched.into());
        m.put(frame(offset_of!(WatchFrame, stack_pointer)), stack_pointer);
        m.put(frame(offset_of!(WatchFrame, caller)), caller);
        m.put(STACK_POINTER + 0x100, 0x77);
    };
    assert!(is_counted(&plan, &key(), |m| open(m, WATCH_SLEEP, STACK_POINTER - 8, 0x77)), "it has returned");
    assert!(is_counted(&plan, &key(), |m| open(m, WATCH_SLEEP, STACK_POINTER + 0x100, 0x78)), "its place is another's");
    assert!(!is_counted(&plan, &key(), |m| open(m, WATCH_SLEEP, STACK_POINTER + 0x100, 0x77)));
    assert!(!is_counted(&plan, &key(), |m| open(m, WATCH_EXIT, STACK_POINTER - 8, 0x77)), "its exit was missed");
    assert!(!is_counted(&plan, &key(), |m| m.put_half(of_task(offset_of!(TaskLocks, watched_len)), 2)));
}

#[test]
fn a_page_that_is_to_be_unlocked_is_known_by_its_head() {
    const LOCKED: u64 = 1;
    let mut plan = HookPlan { watched: WATCH_EXIT, watches_len: 1, ..plan() };
    plan.watches[0] = WatchReader { kind: WATCH_UNLOCK, role: 0, offset: 0 };
    plan.roles[0].add = 0x240;
    let page = INODE + 0x240;
    let by_mask = page & !0x7f_ffff;
    for (word, head) in [(0, page), (OTHER_INODE | 1, OTHER_INODE), (!0x7f_ffff | 1, by_mask)] {
        let mut m = kernel(&key(), 0);
        m.put(page + 32, TABLE);
        m.put(page + 40, SUPERBLOCK);
        m.put(page + 8, word);
        m.put(head, LOCKED);
        assert_eq!((m.run(&code_of(&plan)), count(&m, &key(), 0)), (End::Exited, 1));
        let object = offset_of!(TaskLocks, watched) + offset_of!(WatchFrame, objects);
        assert_eq!(m.get(of_task(object)), head, "by {word:#x}");
    }
}

#[test]
fn an_exit_goes_to_the_program_for_exits() {
    let plan = HookPlan { watched: WATCH_EXIT, ..plan() };
    let mut m = kernel(&key(), 0);
    m.is_return = true;
    assert_eq!((m.run(&code_of(&plan)), count(&m, &key(), 0)), (End::LeftTo(EXIT), 0));
}

#[test]
fn what_an_interrupt_calls_needs_nothing_of_the_task() {
    let plan = with_flag(FlagReader { kind: FLAG_ON_STACK, value: CALLER - 2, offset: 4, ..FlagReader::default() });
    let plan = HookPlan { stack_flag: 1, watched: WATCH_SLEEP, ..plan };
    let of_hook = interrupt::OfHook { number: HOOK.into(), address: FUNCTION, plan: &plan };
    let code = interrupt::assemble(&ground(), of_hook).expect("this plan is compiled");
    let known = ObservationKey { history_complete: 0, flags: 1, ..key() };
    // A trampoline's context: the argument, the frame pointer, where the function goes on, who called it.
    let entered = |caller: u64| {
        let mut m = kernel(&known, 0);
        m.put(of_task(0), 0);
        for (at, word) in (0..).zip([INODE, 0, FUNCTION + 9, caller]) {
            m.put(REGISTERS + 8 * at, word);
        }
        m
    };
    let mut m = entered(CALLER);
    assert_eq!((m.run(&code), count(&m, &known, 0)), (End::Exited, 1));
    assert_eq!(entered(CALLER + 64).run(&code), End::LeftTo(INTERPRETER), "somebody else is the caller");
    let mut m = entered(CALLER);
    m.put(REGISTERS + 16, FUNCTION + 99);
    assert_eq!(m.run(&code), End::LeftTo(INTERPRETER), "another tracer's trampoline");
}

/// The verifier refuses what cannot be reached, and jumps out of the program.
#[test]
fn every_instruction_can_be_reached() {
    let mut plans = vec![plan(), with_slot(LOCK_RWSEM), with_slot(LOCK_RWSEM | LOCK_UNTRACKED)];
    plans.extend([LOCK_MUTEX | LOCK_UNTRACKED, LOCK_SPIN, LOCK_FOLIO].map(with_slot));
    for kind in FLAG_AND_MASK..=FLAG_IN_INTERRUPT {
        plans.push(with_flag(FlagReader { kind, width: 4, value: 1, ..FlagReader::default() }));
    }
    plans.push(HookPlan { is_shared: 1, slot_offsets_len: 1, ..plan() });
    plans.push(HookPlan { op_bits: 1, ..plan() });
    let mut shapes: Vec<Shape> = plans.iter().map(|plan| Shape::of(plan).expect("this plan is compiled")).collect();
    check_reachability(&assemble(&ground(), &mut shapes, Kind::Entry { interpreter: 0 }).unwrap());
    for plan in plans {
        check_reachability(&code_of(&plan));
    }
    for kind in 1..=4 {
        let mut plan = HookPlan { watched: WATCH_EXIT, watches_len: 1, ..plan() };
        plan.watches[0] = WatchReader { kind, role: 0, offset: 0 };
        check_reachability(&code_of(&plan));
    }
}

fn check_reachability(code: &[u8]) {
    let code: Vec<[u8; 8]> = code.chunks_exact(8).map(|insn| insn.try_into().unwrap()).collect();
    let mut reached = BTreeSet::new();
    let mut next = vec![0usize];
    while let Some(at) = next.pop() {
        assert!(at < code.len(), "a jump out of the program");
        if !reached.insert(at) {
            continue;
        }
        let insn = code[at];
        let target = || (at + 1).checked_add_signed(i16::from_ne_bytes([insn[2], insn[3]]).into()).unwrap();
        match insn[0] {
            0x95 => {}
            0x05 => next.push(target()),
            0x18 => {
                reached.insert(at + 1);
                next.push(at + 2);
            }
            0x85 => next.push(at + 1),
            jump if jump & 7 == 5 => next.extend([at + 1, target()]),
            _ => next.push(at + 1),
        }
    }
    let unreached: Vec<usize> = (0..code.len()).filter(|at| !reached.contains(at)).collect();
    assert!(unreached.is_empty(), "not reached: {unreached:?}");
}
