//! The one type at which the live kernel, a recorded run and the reference VFS meet.
//!
//! An observation is a set of equal invocations of a callback with the lock evidence seen at them. It holds facts only:
//! no rule, no verdict. What the checker may use is in the first half; [`Example`] is evidence to show, never to judge by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where in an invocation the facts were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before the callback's first instruction.
    Entry,
    /// After its return; says what happened while it ran.
    Exit,
}

/// What the lock word itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Could not be read.
    Unread,
    /// Proves the lock free.
    Free,
    /// Names this task as exclusive holder.
    ExclusiveSelf,
    /// Proves an exclusive holder that is not this task.
    ExclusiveOther,
    /// Counts readers, does not say who.
    Readers,
    /// Taken, but the word knows no owner (spinlock, page bit).
    Taken,
}

/// What the task's held-lock table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracked {
    /// The table does not hold the instance.
    None,
    /// Held shared.
    Shared,
    /// Held exclusive.
    Exclusive,
    /// Locks of this kind are not tracked in this run: the word is the only witness.
    Untracked,
}

/// The lock of one role, as both witnesses saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockReading {
    /// The role has no object (a negative dentry), so there is no lock.
    NoObject,
    /// Both witnesses.
    Read {
        /// The lock word.
        word: Word,
        /// The held-lock table.
        tracked: Tracked,
    },
}

/// One lock slot of an observation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LockEvidence {
    /// Role whose lock it is (`dir`, `victim`, …).
    pub role: String,
    /// Lock class (`i_rwsem`).
    pub lock: String,
    /// What was read.
    pub reading: LockReading,
}

/// How the call came to the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Through the operations table of the object.
    Table,
    /// By a direct call instruction, or the object's table holds another function: rules do not speak of it.
    Direct,
    /// Could not be told (no event of this key reached the daemon).
    Unknown,
}

/// Equal invocations of one callback, with their facts and how many there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Operations table (`inode_operations`).
    pub table: String,
    /// Op, the table's slot (`create`).
    pub op: String,
    /// Other ops that the same function serves in its tables; empty when the op is certain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Function in the slot (`ext4_create`).
    pub callback: String,
    /// File system type of the object (`ext4`).
    pub fs: String,
    /// Superblock id (`s_id`, e.g. the device name), empty when unknown.
    #[serde(default)]
    pub sb_id: String,
    /// Symbol of the caller with offset (`vfs_create+0x1c2`).
    pub caller: String,
    /// How the call came.
    pub route: Route,
    /// Where the facts were read.
    pub point: Point,
    /// True when the task's lock history is complete.
    pub history_complete: bool,
    /// Named facts: conditions (`cross_directory`), context (`atomic`), and at exit what happened since the entry
    /// (`slept`, `called.generic_setlease`); a fact that is missing could not be read.
    pub facts: BTreeMap<String, bool>,
    /// Lock slots.
    pub locks: Vec<LockEvidence>,
    /// Invocations.
    pub count: u64,
    /// The first of them, in full; absent when its event was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// One invocation in full: evidence to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Task name, thread id, process id.
    pub task: Task,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// Inode number by role, where the role is an inode.
    pub inodes: BTreeMap<String, u64>,
    /// All locks the task held.
    pub held: Vec<Held>,
    /// Kernel stack, innermost first, as `symbol+0xoffset [module]`.
    pub stack: Vec<String>,
    /// Stack at the sleep, when the observation is of a sleep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sleep_stack: Vec<String>,
}

/// The task of an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Name as the kernel has it; untrusted text.
    pub comm: String,
    /// Thread id.
    pub tid: u32,
    /// Process id.
    pub tgid: u32,
}

/// A held lock of an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What the lock is as far as known: `dir.i_rwsem`, else its kind.
    pub lock: String,
    /// Exclusive or shared.
    pub exclusive: bool,
    /// Where it was acquired, as `symbol+0xoffset [module]`; `?` when not known.
    pub site: String,
}
