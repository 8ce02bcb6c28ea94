//! What the daemon tells the kernel side to read at one hook: a small bounded program of fact readers.
//!
//! A plan says where a fact lies, never what it should be.

use crate::{FLAGS_MAX, ROLE_STEPS_MAX, ROLES_MAX, SLOT_OFFSETS_MAX, SLOTS_MAX};

/// Lock kind of a slot: `struct rw_semaphore` (count, owner).
pub const LOCK_RWSEM: u8 = 1;
/// Lock kind of a slot: `struct mutex` (owner).
pub const LOCK_MUTEX: u8 = 2;
/// Added to a lock kind whose primitives are not probed in this run: the word is the only witness.
pub const LOCK_UNTRACKED: u8 = 0x80;

/// Flag: argument `a` AND `mask` is not zero.
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

/// Places of [`HookPlace`]s: a power of two.
pub const HOOK_PLACES_LEN: usize = 16_384;

/// A hook found by its function's address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookPlace {
    /// Address of the function; 0 = nothing here.
    pub function: u64,
    /// Hook number.
    pub hook: u64,
}

/// The place of `function` among [`HOOK_PLACES_LEN`].
pub const fn hook_place(function: u64) -> u32 {
    (function.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HOOK_PLACES_LEN.trailing_zeros())) as u32
}

/// How to reach a role's object: start at a source, then follow pointers.
///
/// The object is `source` after `steps` dereferences, each reading 8 bytes at `offset` bytes into what came before, plus
/// `add` bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleReader {
    /// Argument index (0–5), or `0x80 | role` to start from an earlier role.
    pub source: u8,
    /// Dereferences to make, at most [`ROLE_STEPS_MAX`].
    pub steps: u8,
    /// Byte offset of each dereference.
    pub offset: [u16; ROLE_STEPS_MAX],
    /// Bytes to add at the end: an object embedded in the last one.
    pub add: u16,
    /// Always zero.
    pub pad: u16,
}

/// A lock of a role's object.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotReader {
    /// Role whose object embeds the lock.
    pub role: u8,
    /// [`LOCK_RWSEM`] or [`LOCK_MUTEX`].
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
    /// Argument or role, by kind.
    pub a: u8,
    /// Second role, for [`FLAG_ROLES_DIFFER`].
    pub b: u8,
    /// Always zero.
    pub pad: u8,
    /// Mask, for [`FLAG_AND_MASK`].
    pub mask: u32,
}

/// The plan of one hook. Role 0 is the object whose operations table and superblock identify the call.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookPlan {
    /// Roles in use.
    pub roles_len: u8,
    /// Lock slots in use.
    pub slots_len: u8,
    /// Flags in use.
    pub flags_len: u8,
    /// 1 when the callback is watched from entry to exit, else 0.
    pub watched: u8,
    /// Bit set of flags of which all must be set for an invocation to be watched.
    pub watch_mask: u8,
    /// Entries of `slot_offsets` in use; 0 = the table is not asked.
    pub slot_offsets_len: u8,
    /// 1 when calls through the table are counted by hook: of functions that may mostly be called directly.
    pub is_shared: u8,
    /// 1 when one of the flags is [`FLAG_ATOMIC`].
    pub reads_context: u8,
    /// Address of the function.
    pub function: u64,
    /// Byte offsets of the slots of the table that hold the function when it is called through the table.
    pub slot_offsets: [u16; SLOT_OFFSETS_MAX],
    /// The operations table.
    pub table: RoleReader,
    /// The superblock.
    pub sb: RoleReader,
    /// Fact readers of objects.
    pub roles: [RoleReader; ROLES_MAX],
    /// Fact readers of locks.
    pub slots: [SlotReader; SLOTS_MAX],
    /// Fact readers of conditions.
    pub flags: [FlagReader; FLAGS_MAX],
}
