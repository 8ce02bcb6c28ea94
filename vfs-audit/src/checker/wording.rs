//! Requirements and readings in words, for people; nothing is decided here.

use crate::{
    checker::outcome::{Holding, holding},
    observation::{LockReading, Tracked, Word},
    rules::{Condition, Demand, GLOBAL_ROLE, Op},
};

/// A lock of a role (`i_rwsem of dir`).
pub(super) fn lock_of(role: &str, lock: &str) -> String {
    if role == GLOBAL_ROLE { lock.to_owned() } else { format!("{lock} of {role}") }
}

/// A demand (`held exclusive`).
pub(super) fn demand(demand: Demand) -> &'static str {
    match demand {
        Demand::SharedAtLeast => "held at least shared",
        Demand::Exclusive => "held exclusive",
        Demand::Held => "held",
        Demand::NotHeld => "not held",
        Demand::NotShared => "not held, or held exclusive",
        Demand::NotPromised => "not promised",
    }
}

/// A fact with what it means (`not acquired: acquired(mapping.invalidate_lock)`), unless its name says so already.
pub(super) fn fact(condition: &Condition, op: &Op) -> String {
    let meaning = op.facts.iter().find(|fact| fact.name == condition.fact).map(|fact| fact.reader.to_string());
    match meaning {
        Some(meaning) if meaning != condition.fact => format!("{condition}: {meaning}"),
        _ => condition.to_string(),
    }
}

/// What was seen of a lock (`free (the lock word proves it)`).
pub(super) fn reading(reading: LockReading, history_complete: bool) -> &'static str {
    let LockReading::Read { word, tracked } = reading else { return "no object" };
    match (word, tracked) {
        (Word::Free, Tracked::None | Tracked::Untracked) => "free (the lock word proves it)",
        (Word::Free, _) => "free (the lock word proves it, against the task's held-lock table)",
        (Word::ExclusiveOther, Tracked::None | Tracked::Untracked) => {
            "held exclusive by another task (the lock word proves it)"
        }
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
        (Word::Readers, Tracked::None | Tracked::Untracked) => "held by readers, this task perhaps among them",
        (Word::Taken, Tracked::None | Tracked::Untracked) => "taken, by nobody knows whom",
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

/// How a lock is held in one or two words. They are part of fingerprints and of the record of rules that are not judged:
/// changing one makes every baseline that has it miss.
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
        Tracked::Untracked => "nothing (not tracked)",
    };
    format!("the lock word says {word}, the task's held-lock table says {tracked}")
}
