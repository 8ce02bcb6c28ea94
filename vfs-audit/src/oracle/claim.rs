//! One comparison: what the tool claims, and whether lockdep says the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Comparison, Holds};
use crate::{
    checker::{Holding, holding},
    observation::{Tracked, Word},
};

/// How a claim is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Certain: a verdict may stand on it.
    Certain,
    /// By the task's table alone, whose history is incomplete.
    TrackedOnly,
    /// By a word that names no owner.
    WordOnly,
    /// Not claimed to be known: whether the task is one of a lock's readers.
    NotCertain,
}

/// What the tool says of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    NotHeld,
    Shared,
    Exclusive,
    /// Held, by whomever.
    Held,
    /// Not held exclusive: all that a word of readers says.
    NotExclusive,
    Nothing,
}

/// Why lockdep can say something else than a claim that is less than certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The word says taken and names no owner: another task holds it.
    OwnerUnknown,
    /// The task's history is incomplete.
    HistoryIncomplete,
}

impl Reason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::OwnerUnknown => "the word names no owner, and another task holds the lock",
            Self::HistoryIncomplete => "the task's lock history is incomplete",
        }
    }
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lockdep says the same.
    Agreed,
    /// It says something else, for this reason.
    Explained(Reason),
    /// It says something else.
    Disagreed,
    /// It says nothing.
    NoAnswer,
    /// The tool says nothing.
    NoClaim,
}

fn claim(comparison: &Comparison) -> (Class, Claim) {
    let by_history = if comparison.history_complete { Class::Certain } else { Class::TrackedOnly };
    match holding(comparison.word, comparison.tracked, comparison.history_complete) {
        Holding::No(_) | Holding::OtherReaders => (Class::Certain, Claim::NotHeld),
        Holding::Exclusive(_) => (Class::Certain, Claim::Exclusive),
        Holding::Shared | Holding::SharedUnread => (by_history, Claim::Shared),
        Holding::Taken | Holding::TakenBySomeone => (Class::WordOnly, Claim::Held),
        Holding::ReadersNotExclusive | Holding::ReadersUnknown => (Class::NotCertain, Claim::NotExclusive),
        Holding::Unknown => (Class::NotCertain, Claim::Nothing),
    }
}

fn agrees(claim: Claim, holds: Holds) -> bool {
    match claim {
        Claim::NotHeld => holds == Holds::No,
        Claim::Shared => holds == Holds::Shared,
        Claim::Exclusive => holds == Holds::Exclusive,
        Claim::Held => holds != Holds::No,
        Claim::NotExclusive => holds != Holds::Exclusive,
        Claim::Nothing => true,
    }
}

fn denial(class: Class) -> Verdict {
    match class {
        Class::WordOnly => Verdict::Explained(Reason::OwnerUnknown),
        Class::TrackedOnly => Verdict::Explained(Reason::HistoryIncomplete),
        // That nobody holds exclusive what readers hold is all that the last one claims.
        Class::Certain | Class::NotCertain => Verdict::Disagreed,
    }
}

/// Compares the tool's claim with lockdep.
pub fn judge(comparison: &Comparison) -> (Class, Verdict) {
    let (class, claim) = claim(comparison);
    let Answer::Holds(holds) = comparison.answer else { return (class, Verdict::NoAnswer) };
    let verdict = if matches!(claim, Claim::Nothing) {
        Verdict::NoClaim
    } else if agrees(claim, holds) {
        Verdict::Agreed
    } else {
        denial(class)
    };
    (class, verdict)
}

/// Whether each witness by itself says what lockdep says; nothing where it says nothing.
pub(super) fn witnesses(comparison: &Comparison) -> (Option<bool>, Option<bool>) {
    let Answer::Holds(holds) = comparison.answer else { return (None, None) };
    let word = match comparison.word {
        Word::Free | Word::ExclusiveOther => Some(holds == Holds::No),
        Word::ExclusiveSelf => Some(holds == Holds::Exclusive),
        Word::Taken => Some(holds != Holds::No),
        Word::Unread | Word::Readers => None,
    };
    let table = match comparison.tracked {
        Tracked::Shared => Some(holds == Holds::Shared),
        Tracked::Exclusive => Some(holds == Holds::Exclusive),
        Tracked::None => Some(holds == Holds::No),
        Tracked::Untracked => None,
    };
    (word, table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::report::tests::comparison;

    const WORDS: [Word; 6] =
        [Word::Unread, Word::Free, Word::ExclusiveSelf, Word::ExclusiveOther, Word::Readers, Word::Taken];
    const TABLES: [Tracked; 4] = [Tracked::None, Tracked::Shared, Tracked::Exclusive, Tracked::Untracked];
    const ANSWERS: [Holds; 3] = [Holds::No, Holds::Shared, Holds::Exclusive];

    #[test]
    fn what_is_certain_agrees_with_one_answer_of_lockdeps_only_and_has_no_excuse() {
        for word in WORDS {
            for tracked in TABLES {
                for history in [false, true] {
                    let verdicts = ANSWERS.map(|holds| judge(&comparison(word, tracked, history, holds)));
                    let agreed = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Agreed).count();
                    match verdicts[0].0 {
                        Class::Certain => {
                            assert_eq!(agreed, 1, "{word:?} {tracked:?} {history}: {verdicts:?}");
                            assert!(verdicts.iter().all(|(_, v)| !matches!(v, Verdict::Explained(_))), "{verdicts:?}");
                        }
                        Class::TrackedOnly => assert_eq!(agreed, 1, "{word:?} {tracked:?} {history}: {verdicts:?}"),
                        Class::WordOnly | Class::NotCertain => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_reader_that_lockdep_calls_exclusive_is_a_disagreement_even_where_little_is_claimed() {
        let unknown = comparison(Word::Readers, Tracked::None, false, Holds::Exclusive);
        assert_eq!(judge(&unknown), (Class::NotCertain, Verdict::Disagreed));
        let unknown = comparison(Word::Readers, Tracked::None, false, Holds::Shared);
        assert_eq!(judge(&unknown), (Class::NotCertain, Verdict::Agreed));
    }

    #[test]
    fn a_claim_that_is_less_than_certain_is_denied_for_the_reason_for_which_it_is_not() {
        let taken = comparison(Word::Taken, Tracked::Untracked, true, Holds::No);
        assert_eq!(judge(&taken), (Class::WordOnly, Verdict::Explained(Reason::OwnerUnknown)));
        let table = comparison(Word::Readers, Tracked::Shared, false, Holds::No);
        assert_eq!(judge(&table), (Class::TrackedOnly, Verdict::Explained(Reason::HistoryIncomplete)));
    }

    #[test]
    fn where_lockdep_says_nothing_nothing_is_compared() {
        for answer in [Answer::Unasked, Answer::Unknown] {
            let free = comparison(Word::Free, Tracked::None, true, Holds::Exclusive);
            assert_eq!(judge(&free).1, Verdict::Disagreed);
            assert_eq!(judge(&Comparison { answer, ..free }).1, Verdict::NoAnswer);
        }
    }

    #[test]
    fn each_witness_is_measured_by_itself() {
        let both = comparison(Word::Free, Tracked::Shared, true, Holds::No);
        assert_eq!(witnesses(&both), (Some(true), Some(false)));
        let silent = comparison(Word::Readers, Tracked::Untracked, true, Holds::No);
        assert_eq!(witnesses(&silent), (None, None));
    }
}
