//! Requirements and readings in words, for people; nothing is decided here.

use crate::{
    checker::outcome::{Holding, holding},
    observation::{LockReading, Tracked, Word},
    rules::{Condition, Demand, GLOBAL_ROLE, Requirement},
};

/// A lock of a role (`i_rwsem of dir`).
pub(super) fn lock_of(role: &str, lock: &str) -> String {
    if role == GLOBAL_ROLE { lock.to_owned() } else { format!("{lock} of {role}") }
}

/// A demand (`held exclusive`).
pub(crate) fn demand(demand: Demand) -> &'static str {
    match demand {
        Demand::SharedAtLeast => "held at least shared",
        Demand::Exclusive => "held exclusive",
        Demand::Held => "held",
        Demand::NotHeld => "not held",
        Demand::NotShared => "not held, or held exclusive",
        Demand::NotPromised => "not promised",
    }
}

fn condition(condition: &Condition) -> String {
    let not = if condition.is { "" } else { "not " };
    format!("{not}{}", condition.fact)
}

fn conditions(all: &[Condition]) -> String {
    all.iter().map(condition).collect::<Vec<_>>().join(" and ")
}

/// A requirement (`i_rwsem of source held exclusive if not source_is_directory`).
pub(crate) fn requirement(wanted: &Requirement) -> String {
    match wanted {
        Requirement::Lock { role, lock, demand: wanted } => format!("{} {}", lock_of(role, lock), demand(*wanted)),
        Requirement::Fact(wanted) => condition(wanted),
        Requirement::Any(choices) => choices.iter().map(requirement).collect::<Vec<_>>().join(" or "),
        Requirement::If(when, inner) => format!("{} if {}", requirement(inner), conditions(when)),
    }
}

/// All requirements of a rule.
pub(crate) fn requirements(all: &[Requirement]) -> String {
    all.iter().map(requirement).collect::<Vec<_>>().join("; ")
}

/// What was seen of a lock (`free (the lock word proves it)`).
pub(super) fn reading(reading: LockReading, history_complete: bool) -> &'static str {
    let LockReading::Read { word, tracked } = reading else { return "no object" };
    match (word, tracked) {
        (Word::Free, Tracked::None) => "free (the lock word proves it)",
        (Word::Free, _) => "free (the lock word proves it, against the task's held-lock table)",
        (Word::ExclusiveOther, Tracked::None) => "held exclusive by another task (the lock word proves it)",
        (Word::ExclusiveOther, _) => {
            "held exclusive by another task (the lock word proves it, against the task's held-lock table)"
        }
        (Word::ExclusiveSelf, _) => "held exclusive by this task (the lock word proves it)",
        (Word::Readers, Tracked::Shared) => "held shared by this task",
        (Word::Readers, Tracked::Exclusive) => {
            "held by readers (the lock word proves it, against the task's held-lock table)"
        }
        (Word::Readers, Tracked::None) if history_complete => {
            "held by readers, none of them this task (its lock history is complete)"
        }
        (Word::Readers, Tracked::None) => "held by readers, this task perhaps among them",
        (Word::Taken, Tracked::None) => "taken, by nobody knows whom",
        (Word::Taken, _) => "taken by this task",
        (Word::Unread, Tracked::None) if history_complete => {
            "not held by this task (its lock history is complete; the lock word was not read)"
        }
        (Word::Unread, Tracked::Shared) if history_complete => {
            "held shared by this task (its lock history is complete; the lock word was not read)"
        }
        (Word::Unread, Tracked::Exclusive) if history_complete => {
            "held exclusive by this task (its lock history is complete; the lock word was not read)"
        }
        (Word::Unread, _) => "not known",
    }
}

/// How a lock is held in one or two words, for the record of rules that are not judged.
pub(super) fn state(reading: LockReading, history_complete: bool) -> &'static str {
    let LockReading::Read { word, tracked } = reading else { return "no object" };
    match holding(word, tracked, history_complete) {
        Holding::No(_) | Holding::OtherReaders => "not held",
        Holding::Shared | Holding::SharedUnread => "shared",
        Holding::Exclusive(_) => "exclusive",
        Holding::Taken => "held",
        Holding::TakenBySomeone => "held by someone",
        Holding::ReadersNotExclusive | Holding::ReadersUnknown | Holding::Unknown => "not known",
    }
}

/// Both witnesses, for the record of their disagreement.
pub(super) fn witnesses(word: Word, tracked: Tracked) -> String {
    let word = match word {
        Word::Unread => "unread",
        Word::Free => "free",
        Word::ExclusiveSelf => "exclusive, this task",
        Word::ExclusiveOther => "exclusive, another task",
        Word::Readers => "readers",
        Word::Taken => "taken",
    };
    let tracked = match tracked {
        Tracked::None => "not held",
        Tracked::Shared => "shared",
        Tracked::Exclusive => "exclusive",
    };
    format!("the lock word says {word}, the task's held-lock table says {tracked}")
}
