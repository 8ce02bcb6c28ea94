//! Fact readers: runs a hook's plan over the arguments of one invocation.
//!
//! Roles and lock words are kept in the task's own map value: the stack is small, and zeroing it costs more than the rest.

use vfs_audit_common::{
    ERRORS_FROM, FLAG_AND_MASK, FLAG_ARGUMENT_REACHES, FLAG_ATOMIC, FLAG_IN_INTERRUPT, FLAG_IN_RCU_WALK,
    FLAG_IN_SYSCALL, FLAG_IS_DIRECTORY, FLAG_MEMBER_EQUALS, FLAG_MEMBER_MASK, FLAG_ON_STACK, FLAG_PRESENT,
    FLAG_ROLES_DIFFER, FLAG_VMA_LOCKED, FLAG_WITHIN, FLAGS_MAX, FROM_CONSTANT, FROM_ROLE, FlagReader, HISTORY_COMPLETE,
    HookPlan, LOCK_MUTEX, LOCK_RCU, LOCK_RWSEM, LOCK_UNTRACKED, OF_HEAD_PAGE, ROLE_STEPS_MAX, ROLES_MAX, RoleReader,
    SLOT_ABSENT, SLOT_OFFSETS_MAX, SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_NONE, SLOT_TRACKED_SHARED, SLOT_UNTRACKED,
    SLOT_WORD_FREE, SLOT_WORD_READERS, SLOT_WORD_SELF, SlotReader, Stat, TaskLocks,
};

use crate::{
    context::{self, Context},
    held, lockdep,
    maps::{count, offset},
    memory::fast_u64,
    watch, words,
};

/// Register arguments of an x86-64 call, then the result, padded to a power of two for masked indexing.
pub(crate) type Args = [u64; 8];

const S_IFMT: u64 = 0o170_000;
const S_IFDIR: u64 = 0o040_000;
/// A flag's value: not so.
pub(crate) const NO: u64 = 0;
/// A flag's value: so.
pub(crate) const YES: u64 = 1;
/// Of the surroundings: the function that is looked for is among the callers.
const ON_STACK: u64 = 4;
/// Of the surroundings: in the system call that is asked for.
const IN_SYSCALL: u64 = 8;
/// Of the surroundings: within a callback that is asked for.
const WITHIN: u64 = 16;
/// Of the surroundings: the area that is asked for is locked.
const AREA_LOCKED: u64 = 32;
/// Of the surroundings: there is no area.
const AREA_UNREAD: u64 = 64;
/// A flag's value: could not be read.
pub(crate) const UNREAD: u64 = 1 << 16;

/// The object of role `index` of the invocation under way.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn role(locks: *const TaskLocks, index: u8) -> u64 {
    // SAFETY: by the caller; the index is masked below the array's size.
    unsafe { (*locks).roles[usize::from(index) & (ROLES_MAX - 1)] }
}

/// The object that `reader` reaches; 0 = none, or the chain could not be read.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn object(plan: &HookPlan, reader: &RoleReader, args: &Args, locks: *const TaskLocks) -> u64 {
    let mut address = if reader.source & FROM_ROLE != 0 {
        // SAFETY: by the caller.
        unsafe { role(locks, reader.source) }
    } else if reader.source & FROM_CONSTANT != 0 {
        plan.constants[usize::from(reader.source) & 1]
    } else {
        args[usize::from(reader.source) & 7]
    };
    for step in 0..ROLE_STEPS_MAX {
        if step >= usize::from(reader.steps) || address == 0 || address >= ERRORS_FROM {
            break;
        }
        address = fast_u64(address + u64::from(reader.offset[step]));
    }
    if address == 0 || address >= ERRORS_FROM { 0 } else { address + u64::from(reader.add) }
}

/// Reads the object of every role of the plan into the task's scratch.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn roles<const MOST: usize>(plan: &HookPlan, args: &Args, locks: *mut TaskLocks, at_exit: bool) {
    for index in 0..MOST {
        if index >= usize::from(plan.roles_len) {
            break;
        }
        let reader = &plan.roles[index];
        // SAFETY: by the caller; the index is below the array's size.
        unsafe {
            (*locks).roles[index] =
                if reader.at_exit_only != 0 && !at_exit { 0 } else { object(plan, reader, args, locks) };
        }
    }
}

/// Whether a slot of the object's `table` holds the function that runs: else it was called directly.
#[inline(always)]
pub(crate) fn is_in_table(plan: &HookPlan, table: u64) -> bool {
    if plan.slot_offsets_len == 0 {
        return true;
    }
    for index in 0..SLOT_OFFSETS_MAX {
        if index >= usize::from(plan.slot_offsets_len) {
            break;
        }
        if fast_u64(table + u64::from(plan.slot_offsets[index])) == plan.function {
            return true;
        }
    }
    false
}

/// The table as keys name it.
#[inline(always)]
pub(crate) fn table_of_key(plan: &HookPlan, table: u64) -> u64 {
    if plan.is_own_table == 0 { table } else { 0 }
}

/// The low `width` bytes of `value`.
#[inline(always)]
pub(crate) fn narrow(value: u64, width: u8) -> u64 {
    match width {
        8 => value,
        4 => value & 0xffff_ffff,
        2 => value & 0xffff,
        _ => value & 0xff,
    }
}

#[inline(always)]
fn yes_if(is: bool) -> u64 {
    if is { YES } else { NO }
}

/// A fact about a member of the object at `address`.
#[inline(always)]
fn member(reader: &FlagReader, address: u64) -> u64 {
    if address == 0 {
        return UNREAD;
    }
    let address = if reader.b == OF_HEAD_PAGE { words::head_of(address) } else { address };
    let value = narrow(fast_u64(address + u64::from(reader.offset)), reader.width);
    if reader.kind == FLAG_MEMBER_MASK { yes_if(value & reader.value != 0) } else { yes_if(value == reader.value) }
}

/// Where the callback was entered, as bits, and what else flags of the context need.
pub(crate) struct Surroundings<'a> {
    /// Where.
    pub(crate) context: &'a Context,
    /// See [`context::read`], and [`ON_STACK`], [`IN_SYSCALL`], [`WITHIN`].
    pub(crate) bits: u64,
}

/// Whether the own lock of an area is held: by this task where its table says so, by anybody where no table can.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
unsafe fn vma_locked(reader: &FlagReader, locks: *const TaskLocks) -> u64 {
    /// Readers of an area are counted below these bits of its count, one more than they are.
    const COUNT: u64 = 0x3fff_ffff;
    // SAFETY: by the caller.
    unsafe {
        let area = role(locks, reader.a);
        if area == 0 {
            return UNREAD;
        }
        let word = fast_u64(area + u64::from(reader.offset));
        if reader.b != 1 {
            return yes_if(word & COUNT > 1);
        }
        let lock = word + reader.value;
        if held::position(locks, lock).is_some() {
            return YES;
        }
        yes_if((*locks).history_complete != HISTORY_COMPLETE && fast_u64(lock) >> 8 != 0)
    }
}

/// A flag that can be read at any time.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
pub(crate) unsafe fn flag(reader: &FlagReader, args: &Args, locks: *mut TaskLocks, around: &Surroundings<'_>) -> u64 {
    // SAFETY: by the caller.
    unsafe {
        match reader.kind {
            FLAG_AND_MASK => yes_if(narrow(args[usize::from(reader.a) & 7], reader.width) & reader.value != 0),
            FLAG_ROLES_DIFFER => yes_if(role(locks, reader.a) != role(locks, reader.b)),
            FLAG_PRESENT => yes_if(role(locks, reader.a) != 0),
            FLAG_IS_DIRECTORY => {
                let inode = role(locks, reader.a);
                yes_if(inode != 0 && fast_u64(inode + u64::from(offset!(inode_mode))) & S_IFMT == S_IFDIR)
            }
            FLAG_MEMBER_MASK | FLAG_MEMBER_EQUALS => member(reader, role(locks, reader.a)),
            FLAG_ARGUMENT_REACHES => match role(locks, reader.a) {
                0 => UNREAD,
                object => {
                    let argument = args[usize::from(reader.b) & 7].cast_signed();
                    yes_if(argument >= fast_u64(object + u64::from(reader.offset)).cast_signed())
                }
            },
            FLAG_ATOMIC => yes_if(around.bits & context::ATOMIC != 0),
            FLAG_IN_INTERRUPT => yes_if(around.bits & context::INTERRUPT != 0),
            FLAG_ON_STACK => yes_if(around.bits & ON_STACK != 0),
            FLAG_IN_SYSCALL => yes_if(around.bits & IN_SYSCALL != 0),
            FLAG_WITHIN => yes_if(around.bits & WITHIN != 0),
            FLAG_VMA_LOCKED if around.bits & AREA_UNREAD != 0 => UNREAD,
            FLAG_VMA_LOCKED => yes_if(around.bits & AREA_LOCKED != 0),
            FLAG_IN_RCU_WALK => yes_if(context::is_in_rcu_walk(reader, around.context.task)),
            _ => UNREAD,
        }
    }
}

/// Passes a number through the task's map value.
///
/// Verifier: where ways that lead here with known values become one.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn blur(locks: *mut TaskLocks, value: u64) -> u64 {
    // SAFETY: by the caller.
    unsafe {
        core::ptr::write_volatile(&raw mut (*locks).facts_scratch, value);
        core::ptr::read_volatile(&raw const (*locks).facts_scratch)
    }
}

/// What flags need that take a search: each once, ahead of the flags.
///
/// Verifier: a search for each flag would be followed as often as there may be flags.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
unsafe fn surroundings(plan: &HookPlan, locks: *mut TaskLocks, context: &Context, sb: u64) -> u64 {
    let reader = |number: u8| &plan.flags[usize::from(number).wrapping_sub(1) & (FLAGS_MAX - 1)];
    // SAFETY: by the caller.
    unsafe {
        let mut bits = 0;
        if plan.reads_context != 0 {
            bits = blur(locks, context::read(context));
        }
        if plan.stack_flag != 0 && context::is_called_from(reader(plan.stack_flag), context.stack_pointer) {
            bits |= ON_STACK;
        }
        bits = blur(locks, bits);
        if plan.syscall_flag != 0 && context::is_in_syscall(reader(plan.syscall_flag), locks) {
            bits |= IN_SYSCALL;
        }
        bits = blur(locks, bits);
        if plan.within_flag != 0
            && watch::is_within(locks, reader(plan.within_flag).value, sb, context.stack_pointer) != 0
        {
            bits |= WITHIN;
        }
        bits = blur(locks, bits);
        if plan.area_flag != 0 {
            bits |= match vma_locked(reader(plan.area_flag), locks) {
                UNREAD => AREA_UNREAD,
                NO => 0,
                _ => AREA_LOCKED,
            };
        }
        blur(locks, bits)
    }
}

/// The plan's flags of the entry: values in the low half, in the high half those that could not be read.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
pub(crate) unsafe fn flags<const MOST: usize>(
    plan: &HookPlan,
    args: &Args,
    locks: *mut TaskLocks,
    context: &Context,
    sb: u64,
) -> u32 {
    // SAFETY: by the caller.
    unsafe {
        let around = Surroundings { context, bits: surroundings(plan, locks, context, sb) };
        let mut flags = 0u64;
        for index in 0..MOST {
            if index >= usize::from(plan.flags_len) {
                break;
            }
            let value = blur(locks, flag(&plan.flags[index], args, locks, &around));
            flags |= (value & (YES | UNREAD)) << index;
        }
        flags as u32
    }
}

/// What the task's table says of the rwsem or mutex at `address`, whose word says `word`.
#[inline(always)]
unsafe fn tracked(locks: *mut TaskLocks, address: u64, word: u8) -> u8 {
    // SAFETY: by the caller, a live map value of the current task.
    unsafe {
        if word == SLOT_WORD_SELF {
            // Of exclusive holdings the table has the beginning only.
            return if held::was_acquired_exclusively(locks, address) {
                SLOT_TRACKED_EXCLUSIVE
            } else if (*locks).exclusive_dropped != 0 {
                SLOT_UNTRACKED
            } else {
                SLOT_TRACKED_NONE
            };
        }
        let Some(place) = held::position(locks, address) else { return SLOT_TRACKED_NONE };
        if word == SLOT_WORD_FREE {
            // A release was missed: the word is right, and the rest of the table is in doubt until the task is next
            // seen to hold no lock.
            count(Stat::ReleaseMissed);
            held::forget(locks, place);
        }
        SLOT_TRACKED_SHARED
    }
}

/// The byte of one lock slot, whose words go to place `index` of the task's scratch: both witnesses, and lockdep's answer where
/// it is asked.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read; `index` is below the number of places.
#[inline(always)]
pub(crate) unsafe fn slot(reader: &SlotReader, locks: *mut TaskLocks, context: &Context, index: usize) -> u8 {
    // SAFETY: by the caller.
    unsafe {
        let state = witnesses(reader, locks, context, &raw mut (*locks).words[index]);
        lockdep::with_answer(reader, state, locks, context)
    }
}

/// Both witnesses of one lock.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read; `words` is part of it.
#[inline(always)]
unsafe fn witnesses(reader: &SlotReader, locks: *mut TaskLocks, context: &Context, words: *mut [u64; 2]) -> u8 {
    // SAFETY: by the caller.
    unsafe {
        if reader.kind == LOCK_RCU {
            let depth = context::rcu_nesting(context.task);
            (*words)[0] = u64::from(depth);
            return if depth > context.control.rcu_base {
                SLOT_WORD_READERS | SLOT_TRACKED_SHARED
            } else {
                SLOT_WORD_FREE | SLOT_UNTRACKED
            };
        }
        let object = role(locks, reader.role);
        if object == 0 {
            return SLOT_ABSENT;
        }
        let address = object + u64::from(reader.offset);
        let kind = reader.kind & !LOCK_UNTRACKED;
        let word = words::read(kind, address, context.task, words);
        if reader.kind != LOCK_RWSEM && reader.kind != LOCK_MUTEX {
            return word | SLOT_UNTRACKED;
        }
        // Verifier: or the search would be followed once for everything that the word may say.
        let word = blur(locks, word.into()) as u8;
        word | tracked(locks, address, word)
    }
}

/// The bytes of every lock slot of the plan, the first slot lowest.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
pub(crate) unsafe fn slots<const MOST: usize>(plan: &HookPlan, locks: *mut TaskLocks, context: &Context) -> u64 {
    let mut states = 0u64;
    for index in 0..MOST {
        if index >= usize::from(plan.slots_len) {
            break;
        }
        // SAFETY: by the caller; the index is below the array's size.
        let state = unsafe { blur(locks, slot(&plan.slots[index], locks, context, index).into()) };
        states |= (state & 0xff) << (8 * index);
    }
    states
}
