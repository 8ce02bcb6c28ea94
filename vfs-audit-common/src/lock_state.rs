//! One byte per lock slot: what the word says and what the task's table says, folded so that equal states are equal keys.
//!
//! These are readings, not judgements: nothing here knows what a lock should be.

/// Bits of a slot byte that hold the reading of the lock word.
pub const SLOT_WORD_MASK: u8 = 0x0f;
/// The role has no object (a negative dentry, a null pointer): there is no lock to read.
pub const SLOT_ABSENT: u8 = 0;
/// The word could not be read (bad address).
pub const SLOT_WORD_UNREAD: u8 = 1;
/// The word proves the lock free.
pub const SLOT_WORD_FREE: u8 = 2;
/// The word names the current task as the exclusive holder.
pub const SLOT_WORD_SELF: u8 = 3;
/// The word proves an exclusive holder other than the current task.
pub const SLOT_WORD_OTHER: u8 = 4;
/// The word counts readers; which tasks they are it does not say.
pub const SLOT_WORD_READERS: u8 = 5;
/// The word says taken and knows no owner (spinlock, bit of a page or buffer).
pub const SLOT_WORD_TAKEN: u8 = 6;

/// Bits of a slot byte that hold the reading of the task's held-lock table.
pub const SLOT_TRACKED_MASK: u8 = 0x30;
/// The table does not hold this lock instance.
pub const SLOT_TRACKED_NONE: u8 = 0x00;
/// The table holds it shared.
pub const SLOT_TRACKED_SHARED: u8 = 0x10;
/// The table holds it exclusive.
pub const SLOT_TRACKED_EXCLUSIVE: u8 = 0x20;

/// Locks of this kind are not tracked in this run.
pub const SLOT_UNTRACKED: u8 = 0x30;

/// Bits of a slot byte that hold what lockdep says of this lock and the task, where it was asked.
pub const SLOT_LOCKDEP_MASK: u8 = 0xc0;
/// Lockdep was not asked, or does not know locks of this kind.
pub const SLOT_LOCKDEP_UNASKED: u8 = 0x00;
/// The task does not hold it.
pub const SLOT_LOCKDEP_NONE: u8 = 0x40;
/// The task holds it shared.
pub const SLOT_LOCKDEP_SHARED: u8 = 0x80;
/// The task holds it exclusive.
pub const SLOT_LOCKDEP_EXCLUSIVE: u8 = 0xc0;

/// Mode of a held lock on the wire; that of a lock which one task alone can hold says how its word names the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ModeBits {
    /// Held shared (a reader).
    Shared = 1,
    /// An rwsem, held exclusive.
    Exclusive = 2,
    /// A mutex.
    Mutex = 3,
}
