//! Everything the kernel side can fail to keep, one counter per cause.

/// Number of loss causes; the loss map has this many per-CPU counters.
pub const LOSS_CAUSES: usize = 9;

/// Why something was not kept; the value indexes the loss map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Loss {
    /// A task took a lock while its held-lock table was full.
    HeldTableFull = 0,
    /// No room for another task's held-lock table.
    TaskTableFull = 1,
    /// No room for another distinct observation: its invocations are not counted.
    KeyTableFull = 2,
    /// The ring buffer had no room for a first-sight event; the observation itself is counted.
    EventRingFull = 3,
    /// An invocation came with a hook number that has no plan.
    PlanMissing = 4,
    /// A role's pointer chain could not be read.
    RoleUnread = 5,
    /// A watched callback's exit was not seen.
    ExitMissed = 6,
    /// No room for another page or folio whose unlocking is waited for.
    PendingFull = 7,
    /// A callback that an interrupt called in the middle of the program of another interrupt.
    InterruptNested = 8,
}

impl Loss {
    /// Every cause, in the order of its counter.
    pub const ALL: [Self; LOSS_CAUSES] = [
        Self::HeldTableFull,
        Self::TaskTableFull,
        Self::KeyTableFull,
        Self::EventRingFull,
        Self::PlanMissing,
        Self::RoleUnread,
        Self::ExitMissed,
        Self::PendingFull,
        Self::InterruptNested,
    ];

    /// The cause's stable name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeldTableFull => "held_table_full",
            Self::TaskTableFull => "task_table_full",
            Self::KeyTableFull => "key_table_full",
            Self::EventRingFull => "event_ring_full",
            Self::PlanMissing => "plan_missing",
            Self::RoleUnread => "role_unread",
            Self::ExitMissed => "exit_missed",
            Self::PendingFull => "pending_full",
            Self::InterruptNested => "interrupt_nested",
        }
    }
}

/// Number of health figures.
pub const STATS_LEN: usize = 6;

/// A health figure of the tracer; the value indexes the map of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Stat {
    /// Invocations by tasks whose lock history is incomplete.
    IncompleteHistory = 0,
    /// Acquire sites that could not be told.
    SiteUnknown = 1,
    /// Held locks that were found free by their word, or still noted when a task came from user space: a release was missed. New
    /// tasks whose address had a table: a task's end was missed.
    ReleaseMissed = 2,
    /// Acquisitions in interrupt context: they belong to no task.
    InInterrupt = 3,
    /// Invocations by user tasks whose lock history is incomplete: a system call will mend it.
    IncompleteUser = 4,
    /// Pages and folios whose unlocking was waited for.
    UnlockingAwaited = 5,
}

impl Stat {
    /// Every figure, in the order of its counter.
    pub const ALL: [Self; STATS_LEN] = [
        Self::IncompleteHistory,
        Self::SiteUnknown,
        Self::ReleaseMissed,
        Self::InInterrupt,
        Self::IncompleteUser,
        Self::UnlockingAwaited,
    ];
}
