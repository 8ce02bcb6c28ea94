//! What comes up: the key that folds equal invocations, the first-sight event, the held-lock table.

use crate::{
    COUNTED_WAYS, HELD_LOCKS_MAX, NAME_BYTES, ROLES_MAX, SB_ID_BYTES, SLOT_LOCKDEP_MASK, SLOTS_MAX, STACK_DEPTH_MAX,
    WATCH_OBJECTS_MAX, WATCHED_MAX,
};

/// Event kind: the first invocation of a key.
pub const EVENT_OBSERVATION: u32 = 1;
/// Event kind: a voluntary switch inside a callback that is watched for sleeping; the stack is that of the sleep.
pub const EVENT_SLEEP: u32 = 2;

/// A task's lock history: nothing was missed since it was known to hold no lock.
pub const HISTORY_COMPLETE: u32 = 1;
/// Nothing was missed unless the kernel skipped a program while the task ran beside one that waited in the middle of it: the daemon
/// knows in the end whether any was skipped.
pub const HISTORY_DOUBTED: u32 = 2;

/// Equal invocations have equal keys; the kernel side counts them per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservationKey {
    /// Hook number (index into the plan table).
    pub hook: u16,
    /// [`HISTORY_COMPLETE`], [`HISTORY_DOUBTED`], or 0.
    pub history_complete: u8,
    /// 0 at entry, 1 at exit of a watched callback.
    pub point: u8,
    /// Facts, bit by bit as the plan's flag readers say: their values in the low half, in the high half a bit for each that
    /// could not be read.
    pub flags: u32,
    /// Return address of the callback: its caller.
    pub caller: u64,
    /// The operations table of role 0 (`i_op`).
    pub table: u64,
    /// The superblock of role 0 (`i_sb`).
    pub sb: u64,
    /// Lock slots, each a byte of [`crate::lock_state`].
    pub slots: [u8; SLOTS_MAX],
}

impl ObservationKey {
    /// The key as it is where lockdep is not asked.
    #[must_use]
    pub fn without_lockdep(mut self) -> Self {
        self.slots.iter_mut().for_each(|slot| *slot &= !SLOT_LOCKDEP_MASK);
        self
    }
}

/// A key that is counted at its place in a per-CPU array, without a look into the table of all keys.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountedKey {
    /// 0 = free, [`COUNTED_KEY_READY`] = in use; anything else is being written.
    pub state: u64,
    /// Invocations.
    pub count: u64,
    /// The key.
    pub key: ObservationKey,
}

/// The keys that have room at one place.
pub type CountedPlace = [CountedKey; COUNTED_WAYS];

/// State of a [`CountedKey`] whose key is whole.
pub const COUNTED_KEY_READY: u64 = 2;

/// What the daemon tells the running programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// 1 while observing, [`ENABLED_FAST`] while compiled plans may be used for it.
    pub enabled: u64,
    /// Time (`CLOCK_MONOTONIC` nanoseconds) since when every lock primitive is probed; 0 = not yet.
    pub since: u64,
    /// Process whose invocations are wanted; 0 = all.
    pub tgid: u64,
    /// Process whose invocations are not wanted: the daemon's own.
    pub own_tgid: u64,
    /// Address of the table of the CPUs' per-CPU offsets; 0 = contexts cannot be read.
    pub per_cpu_offsets: u64,
    /// Address of the preemption count, as a per-CPU variable.
    pub preempt_count: u64,
    /// What probing itself adds to the preemption count; [`CONTEXT_UNKNOWN`] while that is being found out.
    pub preempt_base: u32,
    /// What probing itself adds to the depth of RCU read sides.
    pub rcu_base: u32,
    /// 1 when the probes on callbacks save the processor's flags.
    pub flags_saved: u32,
    /// The least preemption count that the self-test's calls had, function tracers included.
    pub preempt_unadjusted: u32,
    /// Beginning of the function that takes a lock shared for another task to release; 0 = there is none.
    pub hands_over: u64,
    /// The function's end.
    pub hands_over_end: u64,
}

/// `Control::enabled`: observing all processes, with the self-test done.
pub const ENABLED_FAST: u8 = 2;

/// The contexts of the self-test's own calls: the least that was seen is what probing adds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextBase {
    /// Preemption count, what function tracers add left out.
    pub preempt: u32,
    /// Preemption count as it was.
    pub unadjusted: u32,
    /// Depth of RCU read sides.
    pub rcu: u32,
}

/// No context has been seen yet.
pub const CONTEXT_UNKNOWN: u32 = u32::MAX;

/// One entry of a task's held-lock table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldLock {
    /// Address of the lock.
    pub instance: u64,
    /// Return address of the acquiring call; 0 when it could not be told.
    pub acquire_site: u64,
    /// `ModeBits` as a number.
    pub mode: u32,
    /// Always zero.
    pub pad: u32,
}

/// A callback that is being watched for sleeping, kept from its entry to its exit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchFrame {
    /// Hook number.
    pub hook: u32,
    /// Voluntary switches seen since the entry.
    pub sleeps: u32,
    /// Stack pointer at the entry: a frame whose stack is gone is stale.
    pub stack_pointer: u64,
    /// Flags of the entry's key.
    pub flags: u32,
    /// Low half: what happened at the watch objects, a bit each. High half: orders, two bits each (kept, broken).
    pub happened: u32,
    /// Bits of the functions and ops that ran since the entry.
    pub called: u64,
    /// Bits of `WATCH_SLEEP`, `WATCH_EXIT`, `WATCH_FRAME`.
    pub watched: u64,
    /// Bits of the op.
    pub op_bits: u64,
    /// Caller of the entry's key.
    pub caller: u64,
    /// Operations table of the entry's key.
    pub table: u64,
    /// Superblock of the entry's key.
    pub sb: u64,
    /// Arguments.
    pub args: [u64; 6],
    /// What is watched.
    pub objects: [u64; WATCH_OBJECTS_MAX],
}

/// A page or folio that was still locked at the exit of a callback, after which somebody must unlock it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The key under which the invocation was counted.
    pub key: ObservationKey,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// `folio.mapping` at that time.
    pub mapping: u64,
}

/// A task's held-lock table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLocks {
    /// Address of the task; 0 = the entry is free.
    pub task: u64,
    /// Entries in use.
    pub held_len: u32,
    /// [`HISTORY_COMPLETE`] when nothing was missed since the task was known to hold no lock, [`HISTORY_DOUBTED`], or 0.
    pub history_complete: u32,
    /// 1 when a place was wanting for an exclusive holding: then one that is not noted means nothing.
    pub exclusive_dropped: u32,
    /// Watched callbacks the task is in.
    pub watched_len: u32,
    /// Process id of the task.
    pub tgid: u32,
    /// Always zero.
    pub pad: u32,
    /// Lowest address of the task's kernel stack: code that runs on another stack runs in an interrupt.
    pub stack_base: u64,
    /// Scratch of the programs on lock primitives.
    pub scratch: u64,
    /// Scratch of the programs on callbacks.
    pub facts_scratch: u64,
    /// Scratch: a page or folio that was still locked at the exit; 0 = none.
    pub pending: u64,
    /// Scratch: objects by role of the invocation under way; beyond the plan's roles, what an earlier one left.
    pub roles: [u64; ROLES_MAX],
    /// Scratch: first 16 bytes of each lock slot, likewise.
    pub words: [[u64; 2]; SLOTS_MAX],
    /// Shared holdings.
    pub held: [HeldLock; HELD_LOCKS_MAX],
    /// Exclusive acquisitions, each at one of the places that its address gives; instance 0 = nothing here.
    pub exclusive: [HeldLock; HELD_LOCKS_MAX],
    /// The watched callbacks, outermost first.
    pub watched: [WatchFrame; WATCHED_MAX],
}

/// A full event: one invocation with all that is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// [`EVENT_OBSERVATION`] or [`EVENT_SLEEP`].
    pub kind: u32,
    /// [`crate::WIRE_VERSION`].
    pub version: u32,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// The key.
    pub key: ObservationKey,
    /// Thread id.
    pub tid: u32,
    /// Process id.
    pub tgid: u32,
    /// Task name.
    pub comm: [u8; NAME_BYTES],
    /// File system type name of role 0's superblock.
    pub fs: [u8; NAME_BYTES],
    /// `s_id` of role 0's superblock.
    pub sb_id: [u8; SB_ID_BYTES],
    /// Object address of each role of the plan; what lies beyond is meaningless, as in `inos` and `words`.
    pub roles: [u64; ROLES_MAX],
    /// `i_ino` of each role that is an inode.
    pub inos: [u64; ROLES_MAX],
    /// First 16 bytes of each lock slot.
    pub words: [[u64; 2]; SLOTS_MAX],
    /// Entries of `held` in use.
    pub held_len: u32,
    /// Bytes of `stack` in use (negative: an error number).
    pub stack_bytes: i32,
    /// The task's shared holdings.
    pub held: [HeldLock; HELD_LOCKS_MAX],
    /// The task's exclusive holdings; instance 0 = nothing here.
    pub exclusive: [HeldLock; HELD_LOCKS_MAX],
    /// Kernel stack, innermost first.
    pub stack: [u64; STACK_DEPTH_MAX],
}
