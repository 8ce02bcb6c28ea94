//! The wire layout shared by the eBPF programs and the daemon: plans going down, keys and events coming up.
//!
//! Everything here is plain `repr(C)` data without padding holes; size and offset of every struct are proved at compile
//! time. It holds no locking rule and no behaviour beyond reading a byte's meaning.
#![no_std]

mod config;
mod event;
mod kernel_words;
mod layout;
mod lock_state;
mod loss;
mod places;
mod plan;

pub use config::{KernelOffsets, LockdepOffsets};
pub use event::{
    CONTEXT_UNKNOWN, COUNTED_KEY_READY, ContextBase, Control, CountedKey, CountedPlace, ENABLED_FAST,
    EVENT_OBSERVATION, EVENT_SLEEP, Event, HISTORY_COMPLETE, HISTORY_DOUBTED, HeldLock, ObservationKey, Pending,
    TaskLocks, WatchFrame,
};
pub use kernel_words::{
    ERRORS_FROM, FLAG_INTERRUPTS, HEAD_MASK_UPPER, OWNER_FLAGS, PREEMPT_INTERRUPTS, PREEMPT_NEED_RESCHED,
    PROLOGUE_BYTES, RWSEM_READER_SHIFT, RWSEM_WRITER, head_page,
};
pub use lock_state::{
    ModeBits, SLOT_ABSENT, SLOT_LOCKDEP_EXCLUSIVE, SLOT_LOCKDEP_MASK, SLOT_LOCKDEP_NONE, SLOT_LOCKDEP_SHARED,
    SLOT_LOCKDEP_UNASKED, SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_MASK, SLOT_TRACKED_NONE, SLOT_TRACKED_SHARED,
    SLOT_UNTRACKED, SLOT_WORD_FREE, SLOT_WORD_MASK, SLOT_WORD_OTHER, SLOT_WORD_READERS, SLOT_WORD_SELF,
    SLOT_WORD_TAKEN, SLOT_WORD_UNREAD,
};
pub use loss::{LOSS_CAUSES, Loss, STATS_LEN, Stat};
pub use places::{HOOK_PLACES_LEN, SPREAD, hook_place, key_place, lock_place, task_place};
pub use plan::{
    ARGUMENT_RESULT, FLAG_AND_MASK, FLAG_ARGUMENT_REACHES, FLAG_ATOMIC, FLAG_CALLED, FLAG_HAPPENED, FLAG_IN_INTERRUPT,
    FLAG_IN_RCU_WALK, FLAG_IN_SYSCALL, FLAG_IS_DIRECTORY, FLAG_MEMBER_EQUALS, FLAG_MEMBER_MASK, FLAG_ON_STACK,
    FLAG_ORDER, FLAG_PENDING, FLAG_PRESENT, FLAG_RESULT_EQUALS, FLAG_RESULT_ERROR_POINTER, FLAG_RESULT_MASK,
    FLAG_RESULT_NEGATIVE, FLAG_ROLES_DIFFER, FLAG_SLEPT, FLAG_VMA_LOCKED, FLAG_WITHIN, FROM_CONSTANT, FROM_ROLE,
    FlagReader, HookPlace, HookPlaces, HookPlan, LOCK_BUFFER, LOCK_FOLIO, LOCK_MUTEX, LOCK_PAGE, LOCK_RCU, LOCK_RWSEM,
    LOCK_SPIN, LOCK_UNTRACKED, OF_HEAD_PAGE, OrderReader, RoleReader, SlotReader, UNLOCKING_BITS, WATCH_ACQUIRE,
    WATCH_EXIT, WATCH_FRAME, WATCH_NONE, WATCH_RELEASE, WATCH_SLEEP, WATCH_STRAY, WATCH_UNLOCK, WatchReader,
};

/// Version of this layout; the daemon refuses an eBPF object that carries another.
pub const WIRE_VERSION: u32 = 7;
/// Helper number that stands for the kernel function `bpf_rdonly_cast` until the loader puts that function's number in its
/// place; no kernel has so many helpers.
pub const CAST_CALL: i32 = 0x7ff1;
/// Shared holdings one task can have in its table (one more is counted as [`Loss::HeldTableFull`]), and places for exclusive
/// ones (one more is counted as [`Stat::SiteUnknown`]): a power of two.
pub const HELD_LOCKS_MAX: usize = 16;
/// Object roles one hook can read; a power of two, for masked indexing.
pub const ROLES_MAX: usize = 8;
/// Pointer dereferences on the way from an argument to a role's object.
pub const ROLE_STEPS_MAX: usize = 4;
/// Lock slots one hook can read.
pub const SLOTS_MAX: usize = 8;
/// Slots of a table that one function can be looked for in.
pub const SLOT_OFFSETS_MAX: usize = 4;
/// Condition flags one hook can read.
pub const FLAGS_MAX: usize = 16;
/// Roles, flags and lock slots that are read of a callback that interrupts call.
pub const INTERRUPT_ROLES_MAX: usize = 3;
/// See [`INTERRUPT_ROLES_MAX`].
pub const INTERRUPT_FLAGS_MAX: usize = 3;
/// See [`INTERRUPT_ROLES_MAX`].
pub const INTERRUPT_SLOTS_MAX: usize = 2;
/// Lock slots one hook can read at the callback's return.
pub const EXIT_SLOTS_MAX: usize = 4;
/// Objects whose acquisition or release is waited for while one callback runs: a power of two.
pub const WATCH_OBJECTS_MAX: usize = 4;
/// Addresses that one plan can have beside the arguments: locks that are variables of the kernel.
pub const CONSTANTS_MAX: usize = 2;
/// Orders of functions that one plan can ask for.
pub const ORDERS_MAX: usize = 2;
/// Functions whose calls are noted; each has a bit.
pub const FUNCTIONS_MAX: usize = 64;
/// System calls that one fact can name.
pub const SYSCALLS_MAX: usize = 3;
/// Words of the stack that are searched for a caller's return address.
pub const STACK_SEARCH_MAX: usize = 32;
/// Pages and folios whose unlocking is waited for beyond the callback's return; one more is counted as [`Loss::PendingFull`].
pub const PENDING_MAX: usize = 16_384;
/// Sleeps inside callbacks that must not sleep which are shipped, for each hook.
pub const SLEEP_EVENTS_MAX: u64 = 256;
/// Nested callbacks one task can be watched in: a power of two.
pub const WATCHED_MAX: usize = 8;
/// Bytes one read of kernel memory can bring up.
pub const PEEK_BYTES: usize = 4096;
/// Return addresses kept of a stack.
pub const STACK_DEPTH_MAX: usize = 32;
/// Hooks the plan table has room for.
pub const HOOKS_MAX: usize = 4096;
/// Entries of the first table of tasks, found by a hash of the task's address: a power of two.
pub const TASK_SLOTS: usize = 8_192;
/// Tasks whose entry there is another task's, kept aside; one more is counted as [`Loss::TaskTableFull`].
pub const TASKS_ASIDE_MAX: usize = 8_192;
/// Distinct observations kept; one more is counted as [`Loss::KeyTableFull`].
pub const KEYS_MAX: usize = 16_384;
/// Places of keys that are counted the quick way on one CPU, a power of two.
pub const COUNTED_PLACES: usize = 2_048;
/// What spreads lock slots, and the first word of a key, over the bits of which its place is made: an odd number.
pub const KEY_SPREAD: u64 = 0xd6e8_feb8_6659_fd93;
/// Keys that have room at one place; more are counted in the table of all keys.
pub const COUNTED_WAYS: usize = 2;
/// Bytes of the ring buffer of first-sight events.
pub const EVENT_RING_BYTES: u32 = 8 << 20;
/// Bytes of a task, file system or superblock name, NUL-padded.
pub const NAME_BYTES: usize = 16;
/// Bytes of a superblock's `s_id`, NUL-padded (the kernel's own size).
pub const SB_ID_BYTES: usize = 32;
