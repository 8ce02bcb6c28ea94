//! One rule against one observation over the full product: requirement, what either witness says, whether the history is
//! complete, another object's lock of the same class, condition, strictness.

use std::collections::BTreeMap;

use super::{
    Evidence, Outcome,
    judge::{Evidenced, judge},
};
use crate::{
    observation::{LockEvidence, LockReading, Observation, Point, Route, Tracked, Word},
    rules::{Condition, Demand, Op, Requirement, Rule, Standing},
};

const DEMANDS: [Demand; 6] =
    [Demand::SharedAtLeast, Demand::Exclusive, Demand::Held, Demand::NotHeld, Demand::NotShared, Demand::NotPromised];
const WORDS: [Word; 6] =
    [Word::Unread, Word::Free, Word::ExclusiveSelf, Word::ExclusiveOther, Word::Readers, Word::Taken];
const TRACKED: [Tracked; 4] = [Tracked::None, Tracked::Shared, Tracked::Exclusive, Tracked::Untracked];
/// The condition's fact: as asked, not as asked, not read.
const FACTS: [Option<bool>; 3] = [Some(true), Some(false), None];

/// How a lock is held, as the design's table of the two witnesses has it, with how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Exclusive(Evidence),
    /// Shared, by the table; the lock is held by readers, or its word was not read.
    Shared(Evidence),
    /// Held, though the word's readers contradict the table's writer.
    Contradicted,
    /// Without modes and by this task, by the table.
    Taken(Evidence),
    /// Without modes, by nobody knows whom.
    TakenBySomeone,
    Not(Evidence),
    /// Not by this task; by readers, whoever they are.
    NotButByReaders,
    /// By readers; whether this task is one of them is not known.
    ByReaders,
    Unknown,
}

fn held(word: Word, tracked: Tracked, complete: bool) -> Held {
    let table = if complete { Evidence::History } else { Evidence::Suspected };
    match (word, tracked) {
        (Word::ExclusiveSelf, _) => Held::Exclusive(Evidence::Word),
        (Word::Free | Word::ExclusiveOther, _) => Held::Not(Evidence::Word),
        (Word::Readers, Tracked::Shared) => Held::Shared(table),
        (Word::Readers, Tracked::Exclusive) => Held::Contradicted,
        (Word::Readers, Tracked::None) if complete => Held::NotButByReaders,
        (Word::Readers, Tracked::None | Tracked::Untracked) => Held::ByReaders,
        (Word::Taken, Tracked::Shared | Tracked::Exclusive) => Held::Taken(table),
        (Word::Taken, Tracked::None | Tracked::Untracked) => Held::TakenBySomeone,
        (Word::Unread, Tracked::None) if complete => Held::Not(Evidence::History),
        (Word::Unread, Tracked::Shared) if complete => Held::Shared(Evidence::History),
        (Word::Unread, Tracked::Exclusive) if complete => Held::Exclusive(Evidence::History),
        (Word::Unread, _) => Held::Unknown,
    }
}

/// Met, met by someone, broken and how that is known, or undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Met,
    MetUnproven,
    Broken(Evidence),
    Undecided,
}

fn expected(demand: Demand, held: Held, word: Word) -> Expected {
    use Expected::{Broken, Met, MetUnproven, Undecided};
    let read = word != Word::Unread;
    match demand {
        Demand::SharedAtLeast | Demand::Held => match held {
            Held::Exclusive(_) | Held::Shared(_) | Held::Contradicted | Held::Taken(_) => Met,
            Held::TakenBySomeone => MetUnproven,
            Held::Not(evidence) => Broken(evidence),
            Held::NotButByReaders => Broken(Evidence::History),
            Held::ByReaders | Held::Unknown => Undecided,
        },
        Demand::Exclusive => match held {
            Held::Exclusive(_) | Held::Taken(_) => Met,
            Held::TakenBySomeone => MetUnproven,
            // Readers in the word prove that nobody holds it exclusive.
            Held::Shared(_) if read => Broken(Evidence::Word),
            Held::Contradicted | Held::NotButByReaders | Held::ByReaders => Broken(Evidence::Word),
            Held::Shared(evidence) | Held::Not(evidence) => Broken(evidence),
            Held::Unknown => Undecided,
        },
        Demand::NotHeld => match held {
            Held::Not(_) | Held::NotButByReaders => Met,
            Held::Exclusive(evidence) | Held::Shared(evidence) | Held::Taken(evidence) => Broken(evidence),
            Held::Contradicted | Held::TakenBySomeone | Held::ByReaders | Held::Unknown => Undecided,
        },
        Demand::NotShared => match held {
            Held::Not(_) | Held::NotButByReaders | Held::Exclusive(_) | Held::Taken(_) | Held::TakenBySomeone => Met,
            Held::Shared(evidence) => Broken(evidence),
            Held::Contradicted | Held::ByReaders | Held::Unknown => Undecided,
        },
        Demand::NotPromised => Met,
    }
}

/// Every state of a lock slot: two witnesses, no object, not read.
fn slots() -> Vec<Option<LockReading>> {
    let readings = WORDS.into_iter().flat_map(|word| TRACKED.map(|tracked| LockReading::Read { word, tracked }));
    readings.chain([LockReading::NoObject]).map(Some).chain([None]).collect()
}

fn rule(demand: Demand) -> Rule {
    Rule {
        id: "table.op".into(),
        point: Point::Entry,
        when: vec![Condition { fact: "asked".into(), is: true }],
        requires: vec![Requirement::Lock { role: "this".into(), lock: "i_rwsem".into(), demand }],
        why_not_judged: None,
        document: String::new(),
        statement: String::new(),
        standing: Standing::Judged,
        cites: Vec::new(),
        observes: Vec::new(),
        misses: String::new(),
        misreports: String::new(),
        since: None,
        until: None,
    }
}

fn observation(
    this: Option<LockReading>,
    other: Option<LockReading>,
    fact: Option<bool>,
    complete: bool,
) -> Observation {
    let slot = |role: &str, reading: Option<LockReading>| {
        reading.map(|reading| LockEvidence { role: role.into(), lock: "i_rwsem".into(), reading })
    };
    Observation {
        table: "table".into(),
        op: "op".into(),
        also: Vec::new(),
        callback: "examplefs_op".into(),
        fs: "examplefs".into(),
        sb_id: String::new(),
        caller: "vfs_op+0x1".into(),
        route: Route::Table,
        point: Point::Entry,
        history_complete: complete,
        facts: fact.map(|is| ("asked".to_owned(), is)).into_iter().collect::<BTreeMap<_, _>>(),
        locks: slot("other", other).into_iter().chain(slot("this", this)).collect(),
        count: 1,
        example: None,
    }
}

/// The outcome and whether it is unproven, as the specification has it.
#[expect(clippy::match_same_arms, reason = "one arm per thing that an observation can say")]
fn specified(
    demand: Demand,
    this: Option<LockReading>,
    fact: Option<bool>,
    complete: bool,
    strict: bool,
) -> (Outcome, bool) {
    let demand = if strict && demand == Demand::NotPromised { Demand::NotHeld } else { demand };
    let plain = |outcome| (outcome, false);
    match (fact, this) {
        (Some(false), _) => plain(Outcome::NotApplicable),
        (None, _) => plain(Outcome::Unknown(String::new())),
        (Some(true), _) if demand == Demand::NotPromised => plain(Outcome::NotJudged),
        (Some(true), None) => plain(Outcome::Unknown(String::new())),
        (Some(true), Some(LockReading::NoObject)) => plain(Outcome::NotApplicable),
        (Some(true), Some(LockReading::Read { word, tracked })) => {
            match expected(demand, held(word, tracked, complete), word) {
                Expected::Met => plain(Outcome::Satisfied),
                Expected::MetUnproven => (Outcome::Satisfied, true),
                Expected::Broken(evidence) => plain(Outcome::Violated(evidence)),
                Expected::Undecided => plain(Outcome::Unknown(String::new())),
            }
        }
    }
}

/// Reasons of doubt are words; that there is one is enough here.
fn without_reason(outcome: Outcome) -> Outcome {
    if let Outcome::Unknown(why) = &outcome {
        assert!(!why.is_empty(), "a doubt says why");
        return Outcome::Unknown(String::new());
    }
    outcome
}

#[test]
fn every_combination_comes_to_what_the_specification_says_whatever_another_object_s_lock_is() {
    let op = Op::default();
    let mut combinations = 0_u32;
    for demand in DEMANDS {
        let rule = rule(demand);
        for this in slots() {
            for (complete, strict) in [(true, true), (true, false), (false, true), (false, false)] {
                for fact in FACTS {
                    let wanted = specified(demand, this, fact, complete, strict);
                    for other in slots() {
                        let observation = observation(this, other, fact, complete);
                        let result = judge(&rule, Evidenced { op: &op, observation: &observation, strict });
                        let found = (without_reason(result.outcome), result.unproven);
                        assert_eq!(found, wanted, "{demand:?} {this:?} {other:?} {fact:?} {complete} {strict}");
                        combinations += 1;
                    }
                }
            }
        }
    }
    assert_eq!(combinations, 6 * 26 * 26 * 4 * 3);
}
