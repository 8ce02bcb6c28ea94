//! One demand against one lock: a total pure function of what was demanded and what the two witnesses said.

use crate::{
    checker::Evidence,
    observation::{LockReading, Tracked, Word},
    rules::Demand,
};

/// What one demand comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// The lock is as demanded.
    Met,
    /// The lock is held, but it knows no owner and the task's table does not follow locks of its kind.
    MetUnproven,
    /// The lock is not as demanded.
    Broken(Evidence),
    /// The evidence does not decide.
    Undecided(Doubt),
    /// There is no object, hence no lock.
    NoObject,
    /// Nothing is demanded.
    NotPromised,
}

/// Why the evidence does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// The lock is held by someone, and the task may have acquired it before it was watched.
    HistoryIncomplete,
    /// The lock word could not be read, and the task's history is incomplete.
    Unread,
    /// The lock is held, and nothing says by whom.
    OwnerUnknown,
    /// The two witnesses contradict each other.
    WitnessesDisagree,
}

impl Doubt {
    /// The reason in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::HistoryIncomplete => "the task's lock history is incomplete",
            Self::Unread => "the lock word could not be read and the task's lock history is incomplete",
            Self::OwnerUnknown => "the lock is held, and nothing says by whom",
            Self::WitnessesDisagree => "the lock word and the task's held-lock table contradict each other",
        }
    }
}

/// How a task holds a lock, as far as the two witnesses say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// Not held by this task, and how that is known.
    No(Evidence),
    /// Held shared by this task: the word counts readers, the table says it is one of them.
    Shared,
    /// The table alone says shared; the word could not be read.
    SharedUnread,
    /// Held exclusive by this task.
    Exclusive(Evidence),
    /// Held by readers only, though the table says exclusive: a missed downgrade or a missed release.
    ReadersNotExclusive,
    /// Held by readers; this task is not one of them, by its complete history.
    OtherReaders,
    /// Held by readers; whether this task is one of them is not known.
    ReadersUnknown,
    /// Held, without modes, by this task according to the table.
    Taken,
    /// Held, without modes, by nobody knows whom.
    TakenBySomeone,
    /// Nothing is known.
    Unknown,
}

/// How the task holds the lock.
pub fn holding(word: Word, tracked: Tracked, history_complete: bool) -> Holding {
    match (word, tracked) {
        (Word::Free | Word::ExclusiveOther, _) => Holding::No(Evidence::Word),
        (Word::ExclusiveSelf, _) => Holding::Exclusive(Evidence::Word),
        (Word::Readers, Tracked::Shared) => Holding::Shared,
        (Word::Readers, Tracked::Exclusive) => Holding::ReadersNotExclusive,
        (Word::Readers, Tracked::None) if history_complete => Holding::OtherReaders,
        (Word::Readers, Tracked::None | Tracked::Untracked) => Holding::ReadersUnknown,
        (Word::Taken, Tracked::None | Tracked::Untracked) => Holding::TakenBySomeone,
        (Word::Taken, Tracked::Shared | Tracked::Exclusive) => Holding::Taken,
        (Word::Unread, Tracked::Untracked) => Holding::Unknown,
        (Word::Unread, _) if !history_complete => Holding::Unknown,
        (Word::Unread, Tracked::None) => Holding::No(Evidence::History),
        (Word::Unread, Tracked::Shared) => Holding::SharedUnread,
        (Word::Unread, Tracked::Exclusive) => Holding::Exclusive(Evidence::History),
    }
}

/// What a demand comes to against a reading; total over all of its arguments.
pub fn outcome(demand: Demand, reading: &LockReading, history_complete: bool) -> Judgement {
    let LockReading::Read { word, tracked } = *reading else { return Judgement::NoObject };
    let holding = holding(word, tracked, history_complete);
    match demand {
        Demand::SharedAtLeast | Demand::Held => held(holding),
        Demand::Exclusive => exclusive(holding),
        Demand::NotHeld => not_held(holding, history_complete),
        Demand::NotShared => not_shared(holding, history_complete),
        Demand::NotPromised => Judgement::NotPromised,
    }
}

fn held(holding: Holding) -> Judgement {
    match holding {
        Holding::Exclusive(_)
        | Holding::Shared
        | Holding::SharedUnread
        | Holding::ReadersNotExclusive
        | Holding::Taken => Judgement::Met,
        Holding::TakenBySomeone => Judgement::MetUnproven,
        Holding::No(evidence) => Judgement::Broken(evidence),
        Holding::OtherReaders => Judgement::Broken(Evidence::History),
        Holding::ReadersUnknown => Judgement::Undecided(Doubt::HistoryIncomplete),
        Holding::Unknown => Judgement::Undecided(Doubt::Unread),
    }
}

fn exclusive(holding: Holding) -> Judgement {
    match holding {
        Holding::Exclusive(_) | Holding::Taken => Judgement::Met,
        Holding::TakenBySomeone => Judgement::MetUnproven,
        // A lock that readers hold is held exclusive by nobody, whoever they are.
        Holding::Shared | Holding::ReadersNotExclusive | Holding::OtherReaders | Holding::ReadersUnknown => {
            Judgement::Broken(Evidence::Word)
        }
        Holding::SharedUnread => Judgement::Broken(Evidence::History),
        Holding::No(evidence) => Judgement::Broken(evidence),
        Holding::Unknown => Judgement::Undecided(Doubt::Unread),
    }
}

/// What the table says was acquired is certain only while nothing was missed on the task.
fn by_table(history_complete: bool) -> Evidence {
    if history_complete { Evidence::History } else { Evidence::Suspected }
}

fn not_held(holding: Holding, history_complete: bool) -> Judgement {
    match holding {
        Holding::No(_) | Holding::OtherReaders => Judgement::Met,
        Holding::Exclusive(evidence) => Judgement::Broken(evidence),
        Holding::Shared | Holding::SharedUnread | Holding::Taken => Judgement::Broken(by_table(history_complete)),
        Holding::ReadersNotExclusive => Judgement::Undecided(Doubt::WitnessesDisagree),
        Holding::ReadersUnknown => Judgement::Undecided(Doubt::HistoryIncomplete),
        Holding::TakenBySomeone => Judgement::Undecided(Doubt::OwnerUnknown),
        Holding::Unknown => Judgement::Undecided(Doubt::Unread),
    }
}

fn not_shared(holding: Holding, history_complete: bool) -> Judgement {
    match holding {
        // A lock without modes has no shared one.
        Holding::No(_) | Holding::OtherReaders | Holding::Exclusive(_) | Holding::Taken | Holding::TakenBySomeone => {
            Judgement::Met
        }
        Holding::Shared | Holding::SharedUnread => Judgement::Broken(by_table(history_complete)),
        Holding::ReadersNotExclusive => Judgement::Undecided(Doubt::WitnessesDisagree),
        Holding::ReadersUnknown => Judgement::Undecided(Doubt::HistoryIncomplete),
        Holding::Unknown => Judgement::Undecided(Doubt::Unread),
    }
}

/// Whether the two witnesses contradict each other; what an incomplete history explains is no contradiction.
pub fn witnesses_disagree(word: Word, tracked: Tracked, history_complete: bool) -> bool {
    match (word, tracked) {
        (Word::Free | Word::ExclusiveOther, Tracked::Shared | Tracked::Exclusive)
        | (Word::Readers, Tracked::Exclusive)
        | (Word::ExclusiveSelf, Tracked::Shared) => true,
        (Word::ExclusiveSelf, Tracked::None) => history_complete,
        (Word::Free | Word::ExclusiveOther | Word::Readers, Tracked::None)
        | (Word::ExclusiveSelf, Tracked::Exclusive)
        | (Word::Readers, Tracked::Shared)
        | (_, Tracked::Untracked)
        | (Word::Unread | Word::Taken, _) => false,
    }
}
