//! The oracle: how often what the tool says of a lock is what lockdep says of it. A pure function of what was compared.
//!
//! A claim is what the checker concludes from both witnesses (`checker::holding`), so that what is compared here is what
//! verdicts stand on. What the tool calls certain has no excuse: a denial by lockdep is a fault of the tool's. A claim that is
//! less than certain can be denied for the reason for which it is not ([`Reason`]).
//!
//! # What this can miss
//! - Locks that lockdep does not know: pages, buffers; what interrupts call, since they borrow a task that has locks of its own.
//! - An entry of lockdep's that stands for several locks of a class (`nest_lock`) names the first of them alone.

mod claim;
mod report;

pub use claim::{Class, Reason, Verdict, judge};
pub use report::{Agreement, CASES_MAX, Case, LockAgreement, OracleReport, Witness};

use crate::observation::{Point, Tracked, Word};

/// How the task holds the lock, by lockdep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Not at all.
    No,
    /// Shared.
    Shared,
    /// Exclusive.
    Exclusive,
}

/// What lockdep says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// How the task holds the lock.
    Holds(Holds),
    /// It was not asked: the callback ran in an interrupt, or lockdep was off for the task.
    Unasked,
    /// It knows no locks of this kind.
    Unknown,
}

/// Equal comparisons of one lock at one callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Lock class of the rules.
    pub lock: String,
    /// Kind of lock.
    pub kind: &'static str,
    /// Table and op.
    pub op: String,
    /// Function.
    pub callback: String,
    /// Role whose lock it is.
    pub role: String,
    /// File system type.
    pub fs: String,
    /// Where in the invocation.
    pub point: Point,
    /// What the lock's word said.
    pub word: Word,
    /// What the task's table said.
    pub tracked: Tracked,
    /// Whether the task's history is complete.
    pub history_complete: bool,
    /// What lockdep said.
    pub answer: Answer,
    /// How often.
    pub count: u64,
    /// Task of the first, and its stack, innermost first; where lockdep said something else.
    pub sight: Option<(String, Vec<String>)>,
}

/// Everything that was compared in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Invocations (entries and exits) with a lock that lockdep was asked for, by file system type.
    pub invocations: std::collections::BTreeMap<String, u64>,
    /// The comparisons.
    pub comparisons: Vec<Comparison>,
    /// Whether lockdep had switched itself off at the end.
    pub is_lockdep_off: bool,
}
