//! What the lock model finds by itself: deadlocks, inversions, sleeping where that is not allowed.

use std::fmt;

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Tasks wait for each other, and nobody can go on.
    Deadlock,
    /// A task waits for a condition that holds, and nobody will wake it.
    LostWakeUp,
    /// Two lock classes are acquired in both orders.
    OrderInversion,
    /// A task gave up the CPU, or acquired a lock that may, in atomic context.
    SleepInAtomic,
    /// A lock was released that the task does not hold.
    NotHeld,
    /// A system call returned with locks held, or atomic.
    LeakedLock,
    /// Data that was read is not the data that was written.
    WrongData,
    /// An object is used or left in a way that its life does not allow.
    BadObject,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Deadlock => "deadlock",
            Self::LostWakeUp => "lost wake-up",
            Self::OrderInversion => "lock-order inversion",
            Self::SleepInAtomic => "sleep in atomic context",
            Self::NotHeld => "release of a lock that is not held",
            Self::LeakedLock => "lock leaked",
            Self::WrongData => "wrong data",
            Self::BadObject => "bad object",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// What happened, to which locks and tasks.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.what)
    }
}
