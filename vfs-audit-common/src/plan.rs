//! What the daemon tells the kernel side to read at one hook: a small bounded program of fact readers.
//!
//! A plan says where a fact lies, never what it should be.

use crate::{
    CONSTANTS_MAX, EXIT_SLOTS_MAX, FLAGS_MAX, HOOK_PLACES_LEN, ORDERS_MAX, ROLE_STEPS_MAX, ROLES_MAX, SLOT_OFFSETS_MAX,
    SLOTS_MAX, WATCH_OBJECTS_MAX,
};

/// Lock kind of a slot: `struct rw_semaphore` (count, owner).
pub const LOCK_RWSEM: u8 = 1;
/// Lock kind of a slot: `struct mutex` (owner).
pub const LOCK_MUTEX: u8 = 2;
/// Lock kind of a slot: `spinlock_t` (the queued spinlock's value).
pub const LOCK_SPIN: u8 = 3;
/// Lock kind of a slot: `PG_locked` of a folio.
pub const LOCK_FOLIO: u8 = 4;
/// Lock kind of a slot: `PG_locked` of a page, which is its folio's.
pub const LOCK_PAGE: u8 = 5;
/// Lock kind of a slot: `BH_Lock` of a buffer head.
pub const LOCK_BUFFER: u8 = 6;
/// Lock kind of a slot: the task's RCU read sides; the role does not matter.
pub const LOCK_RCU: u8 = 7;
/// Added to a lock kind whose primitives are not probed in this run: the word is the only witness.
pub const LOCK_UNTRACKED: u8 = 0x80;

/// Flag: argument `a` AND `value` is not zero.
pub const FLAG_AND_MASK: u8 = 1;
/// Flag: the objects of roles `a` and `b` are not the same.
pub const FLAG_ROLES_DIFFER: u8 = 2;
/// Flag: role `a` has an object.
pub const FLAG_PRESENT: u8 = 3;
/// Flag: role `a` is an inode and its `i_mode` says directory.
pub const FLAG_IS_DIRECTORY: u8 = 4;

/// Flag: sleeping is not allowed where the callback is entered: preemption, soft interrupts or interrupts are off, or an RCU
/// read side was entered.
pub const FLAG_ATOMIC: u8 = 5;
/// Flag: `width` bytes at `offset` of role `a`'s object AND `value` are not zero.
pub const FLAG_MEMBER_MASK: u8 = 6;
/// Flag: `width` bytes at `offset` of role `a`'s object are `value`.
pub const FLAG_MEMBER_EQUALS: u8 = 7;
/// Flag: the callback runs in a hard or soft interrupt.
pub const FLAG_IN_INTERRUPT: u8 = 8;
/// Flag: a return address from `value` on, within `offset` times 16 bytes, is among the nearest words of the stack.
pub const FLAG_ON_STACK: u8 = 9;
/// Flag: the task is in one of the system calls whose numbers, plus one, are the 16-bit parts of `value`.
pub const FLAG_IN_SYSCALL: u8 = 10;
/// Flag: the task walks a path in rcu-walk mode.
pub const FLAG_IN_RCU_WALK: u8 = 11;
/// Flag of the exit: the task slept since the entry.
pub const FLAG_SLEPT: u8 = 12;
/// Flag of the exit: the result, `width` bytes, is negative.
pub const FLAG_RESULT_NEGATIVE: u8 = 13;
/// Flag of the exit: the result is an error pointer.
pub const FLAG_RESULT_ERROR_POINTER: u8 = 14;
/// Flag of the exit: the result, `width` bytes, is `value`.
pub const FLAG_RESULT_EQUALS: u8 = 15;
/// Flag of the exit: the result, `width` bytes, AND `value` are not zero.
pub const FLAG_RESULT_MASK: u8 = 16;
/// Flag of the exit: one of the functions or ops whose bits are `value` was called since the entry.
pub const FLAG_CALLED: u8 = 17;
/// Flag of the exit: order `a` of the plan was kept.
pub const FLAG_ORDER: u8 = 18;
/// Flag of the exit: what is waited for at watch object `a` has happened, or the word of its lock (kind `b`, 0 = none) says
/// that it must have.
pub const FLAG_HAPPENED: u8 = 19;
/// Flag of the exit: the page or folio of role `a`, at `offset`, locked as kind `b`, is unlocked; if it is not yet, that is
/// waited for.
pub const FLAG_PENDING: u8 = 20;

/// Flag: the task is inside a callback of the ops whose bits are `value`, for another superblock.
pub const FLAG_WITHIN: u8 = 21;
/// Flag: the own lock of role `a`'s area is held: an rwsem at `value` in what `offset` points to (`b` = 1), or a count at `offset`
/// of more than one (`b` = 2).
pub const FLAG_VMA_LOCKED: u8 = 22;
/// Argument `b` is at least as large as the member at `offset` of role `a`'s object, both signed 64-bit numbers.
pub const FLAG_ARGUMENT_REACHES: u8 = 23;

/// The callback is not watched beyond its entry.
pub const WATCH_NONE: u8 = 0;
/// The callback is watched for sleeping; its exit is not seen.
pub const WATCH_SLEEP: u8 = 1;
/// The callback is watched to its exit.
pub const WATCH_EXIT: u8 = 2;
/// The callback is watched so that what is called inside it can tell.
pub const WATCH_FRAME: u8 = 4;

/// Watch object: an rwsem that is acquired.
pub const WATCH_ACQUIRE: u8 = 1;
/// Watch object: a page or folio that is unlocked.
pub const WATCH_UNLOCK: u8 = 2;
/// Watch object: a mapping; one of the functions runs for a folio of another.
pub const WATCH_STRAY: u8 = 3;
/// Watch object: a lock of which only the word at the exit counts.
pub const WATCH_RELEASE: u8 = 4;

/// The number of the "argument" that is the callback's result.
pub const ARGUMENT_RESULT: u8 = 6;
/// Marks a role source that is another role.
pub const FROM_ROLE: u8 = 0x80;
/// Marks a role source that is one of the plan's constants.
pub const FROM_CONSTANT: u8 = 0x40;

/// All hooks that are found by their function's address, each at its place.
pub type HookPlaces = [HookPlace; HOOK_PLACES_LEN];

/// A hook found by its function's address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookPlace {
    /// Address of the function; 0 = nothing here.
    pub function: u64,
    /// Hook number.
    pub hook: u32,
    /// Number of the code that its plan was compiled to; 0 = to none.
    pub code: u32,
}

/// How to reach a role's object: start at a source, then follow pointers.
///
/// The object is `source` after `steps` dereferences, each reading 8 bytes at `offset` bytes into what came before, plus
/// `add` bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleReader {
    /// Argument index (0–5, or [`ARGUMENT_RESULT`]), or [`FROM_ROLE`] `| role` to start from an earlier role, or
    /// [`FROM_CONSTANT`] `| index`.
    pub source: u8,
    /// Dereferences to make, at most [`ROLE_STEPS_MAX`].
    pub steps: u8,
    /// Byte offset of each dereference.
    pub offset: [u16; ROLE_STEPS_MAX],
    /// Bytes to add at the end: an object embedded in the last one.
    pub add: u16,
    /// 1 when there is an object at the exit only.
    pub at_exit_only: u16,
    /// Always zero.
    pub pad: u16,
}

/// A lock of a role's object.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotReader {
    /// Role whose object embeds the lock.
    pub role: u8,
    /// One of the `LOCK_*` kinds.
    pub kind: u8,
    /// Byte offset of the lock in the object.
    pub offset: u16,
}

/// One bit of the key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagReader {
    /// One of the `FLAG_*` kinds.
    pub kind: u8,
    /// Argument, role or index, by kind.
    pub a: u8,
    /// Second role or lock kind, by kind.
    pub b: u8,
    /// Bytes of the member, argument or result: 1, 2, 4 or 8.
    pub width: u8,
    /// Byte offset, by kind.
    pub offset: u16,
    /// Always zero.
    pub pad: u16,
    /// Mask or value.
    pub value: u64,
}

/// [`FlagReader::b`] of a member of a `struct page`: it is the head page's that counts.
pub const OF_HEAD_PAGE: u8 = 1;

/// Bits of the functions that unlock the page or folio that they are given.
pub const UNLOCKING_BITS: u64 = 0b11;

/// An object to be watched while the callback runs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchReader {
    /// One of [`WATCH_ACQUIRE`], [`WATCH_UNLOCK`], [`WATCH_STRAY`], [`WATCH_RELEASE`].
    pub kind: u8,
    /// Role whose object it is.
    pub role: u8,
    /// Byte offset into the object.
    pub offset: u16,
}

/// Functions of which one must run before any of others.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderReader {
    /// Bits of those that come first.
    pub first: u64,
    /// Bits of those that come after.
    pub second: u64,
}

/// The plan of one hook. Role 0 is the object whose operations table and superblock identify the call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookPlan {
    /// Roles in use.
    pub roles_len: u8,
    /// Lock slots in use at the entry.
    pub slots_len: u8,
    /// Flags read at the entry: the first ones of `flags`.
    pub flags_len: u8,
    /// Bits of [`WATCH_SLEEP`], [`WATCH_EXIT`], [`WATCH_FRAME`].
    pub watched: u8,
    /// Entries of `slot_offsets` in use; 0 = the table is not asked.
    pub slot_offsets_len: u8,
    /// 1 when calls through the table are counted by hook: of functions that may mostly be called directly.
    pub is_shared: u8,
    /// 1 when one of the flags needs the context.
    pub reads_context: u8,
    /// All flags, those of the exit after those of the entry.
    pub all_flags_len: u8,
    /// Lock slots in use at the exit.
    pub exit_slots_len: u8,
    /// Watch objects in use.
    pub watches_len: u8,
    /// Orders in use.
    pub orders_len: u8,
    /// One more than the number of the flag that searches the stack; 0 = none.
    pub stack_flag: u8,
    /// One more than the number of the flag that asks for a system call; 0 = none.
    pub syscall_flag: u8,
    /// One more than the number of the flag that asks what the task is within; 0 = none.
    pub within_flag: u8,
    /// One more than the number of the flag that asks for the lock of an area; 0 = none.
    pub area_flag: u8,
    /// Always zero.
    pub pad: [u8; 3],
    /// Whether the object is its own table (a buffer head with its `b_end_io`): keys then name no table, since each object
    /// would have keys of its own.
    pub is_own_table: u16,
    /// Bit set of flags of which all must be set for an invocation to be watched.
    pub watch_mask: u32,
    /// Address of the function.
    pub function: u64,
    /// Bits of the op among the functions and ops that are noted.
    pub op_bits: u64,
    /// Bits of the functions that may run for objects of the role only.
    pub stray_bits: u64,
    /// Byte offsets of the slots of the table that hold the function when it is called through the table.
    pub slot_offsets: [u16; SLOT_OFFSETS_MAX],
    /// Addresses that are the same for all invocations.
    pub constants: [u64; CONSTANTS_MAX],
    /// The operations table.
    pub table: RoleReader,
    /// The superblock.
    pub sb: RoleReader,
    /// Fact readers of objects.
    pub roles: [RoleReader; ROLES_MAX],
    /// Fact readers of locks.
    pub slots: [SlotReader; SLOTS_MAX],
    /// Fact readers of locks at the exit.
    pub exit_slots: [SlotReader; EXIT_SLOTS_MAX],
    /// Objects to be watched.
    pub watches: [WatchReader; WATCH_OBJECTS_MAX],
    /// Orders of functions.
    pub orders: [OrderReader; ORDERS_MAX],
    /// Fact readers of conditions.
    pub flags: [FlagReader; FLAGS_MAX],
}
