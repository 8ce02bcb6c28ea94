//! The outcome function over its full product.

use super::{Evidence, Judgement, outcome, outcome::witnesses_disagree};
use crate::{
    observation::{LockReading, Tracked, Word},
    rules::Demand,
};

const DEMANDS: [Demand; 6] =
    [Demand::SharedAtLeast, Demand::Exclusive, Demand::Held, Demand::NotHeld, Demand::NotShared, Demand::NotPromised];
const WORDS: [Word; 6] =
    [Word::Unread, Word::Free, Word::ExclusiveSelf, Word::ExclusiveOther, Word::Readers, Word::Taken];
const TRACKED: [Tracked; 4] = [Tracked::None, Tracked::Shared, Tracked::Exclusive, Tracked::Untracked];

/// Every combination of what the witnesses can say.
fn every_reading() -> impl Iterator<Item = (Word, Tracked, bool)> {
    WORDS.into_iter().flat_map(|word| {
        TRACKED.into_iter().flat_map(move |tracked| [true, false].map(move |complete| (word, tracked, complete)))
    })
}

fn judged(demand: Demand, word: Word, tracked: Tracked, complete: bool) -> Judgement {
    outcome(demand, &LockReading::Read { word, tracked }, complete)
}

fn is_broken(judgement: Judgement) -> bool {
    matches!(judgement, Judgement::Broken(_))
}

fn is_met(judgement: Judgement) -> bool {
    matches!(judgement, Judgement::Met | Judgement::MetUnproven)
}

/// The design's table of the two witnesses, row by row: held, not held, or not known.
#[expect(clippy::match_same_arms, reason = "one arm per row of the table")]
fn held_by_the_design(word: Word, tracked: Tracked, complete: bool) -> Option<bool> {
    match (word, tracked, complete) {
        (Word::ExclusiveSelf, ..) => Some(true),
        (Word::Free | Word::ExclusiveOther, ..) => Some(false),
        (Word::Readers | Word::Taken, Tracked::Shared | Tracked::Exclusive, _) => Some(true),
        (Word::Taken, Tracked::None | Tracked::Untracked, _) => Some(true),
        (Word::Readers, Tracked::None, true) => Some(false),
        (Word::Readers, Tracked::None, false) | (Word::Readers | Word::Unread, Tracked::Untracked, _) => None,
        (Word::Unread, _, false) => None,
        (Word::Unread, Tracked::None, true) => Some(false),
        (Word::Unread, Tracked::Shared | Tracked::Exclusive, true) => Some(true),
    }
}

#[test]
fn held_is_what_the_table_of_the_two_witnesses_says() {
    for (word, tracked, complete) in every_reading() {
        for demand in [Demand::Held, Demand::SharedAtLeast] {
            let result = judged(demand, word, tracked, complete);
            match held_by_the_design(word, tracked, complete) {
                Some(true) => assert!(is_met(result), "{word:?} {tracked:?} {complete}: {result:?}"),
                Some(false) => assert!(is_broken(result), "{word:?} {tracked:?} {complete}: {result:?}"),
                None => assert!(matches!(result, Judgement::Undecided(_)), "{word:?} {tracked:?}: {result:?}"),
            }
        }
    }
}

#[test]
#[expect(clippy::match_same_arms, reason = "one arm per thing that the witnesses can say")]
fn exclusive_is_never_met_by_readers_and_always_by_this_task_as_the_writer() {
    for (word, tracked, complete) in every_reading() {
        let result = judged(Demand::Exclusive, word, tracked, complete);
        let expected = match (word, tracked, complete) {
            (Word::ExclusiveSelf, ..) => Judgement::Met,
            (Word::Free | Word::ExclusiveOther | Word::Readers, ..) => Judgement::Broken(Evidence::Word),
            (Word::Taken, Tracked::None | Tracked::Untracked, _) => Judgement::MetUnproven,
            (Word::Taken, ..) | (Word::Unread, Tracked::Exclusive, true) => Judgement::Met,
            (Word::Unread, Tracked::Untracked, _) => Judgement::Undecided(super::Doubt::Unread),
            (Word::Unread, _, true) => Judgement::Broken(Evidence::History),
            (Word::Unread, _, false) => Judgement::Undecided(super::Doubt::Unread),
        };
        assert_eq!(result, expected, "{word:?} {tracked:?} {complete}");
    }
}

#[test]
fn an_incomplete_history_never_proves_anything() {
    for (word, tracked, _) in every_reading() {
        for demand in DEMANDS {
            assert_ne!(
                judged(demand, word, tracked, false),
                Judgement::Broken(Evidence::History),
                "{demand:?} {word:?}"
            );
        }
    }
}

#[test]
fn a_certain_break_by_the_word_does_not_depend_on_the_other_witness() {
    for (word, tracked, complete) in every_reading() {
        for demand in DEMANDS {
            if judged(demand, word, tracked, complete) != Judgement::Broken(Evidence::Word) {
                continue;
            }
            for (other_word, other_tracked, other_complete) in every_reading().filter(|(other, ..)| *other == word) {
                let other = judged(demand, other_word, other_tracked, other_complete);
                assert!(is_broken(other), "{demand:?} {word:?} {other_tracked:?} {other_complete}: {other:?}");
            }
        }
    }
}

#[test]
fn stricter_demands_are_met_less_often() {
    for (word, tracked, complete) in every_reading() {
        let exclusive = judged(Demand::Exclusive, word, tracked, complete);
        let shared = judged(Demand::SharedAtLeast, word, tracked, complete);
        let not_held = judged(Demand::NotHeld, word, tracked, complete);
        let not_shared = judged(Demand::NotShared, word, tracked, complete);
        assert!(!is_met(exclusive) || is_met(shared), "{word:?} {tracked:?} {complete}");
        assert!(!is_met(not_held) || is_met(not_shared), "{word:?} {tracked:?} {complete}");
        assert!(!is_met(not_held) || !is_met(shared), "{word:?} {tracked:?} {complete}");
        assert!(!(is_broken(not_held) && is_broken(shared)), "{word:?} {tracked:?} {complete}");
    }
}

#[test]
fn nothing_is_judged_where_nothing_is_promised_or_there_is_no_object() {
    for (word, tracked, complete) in every_reading() {
        assert_eq!(judged(Demand::NotPromised, word, tracked, complete), Judgement::NotPromised);
    }
    for demand in DEMANDS {
        assert_eq!(outcome(demand, &LockReading::NoObject, true), Judgement::NoObject);
    }
}

#[test]
fn witnesses_that_can_both_be_right_do_not_disagree() {
    let contradictions: Vec<_> =
        every_reading().filter(|(word, tracked, complete)| witnesses_disagree(*word, *tracked, *complete)).collect();
    assert_eq!(contradictions.len(), 2 * 6 + 1, "{contradictions:?}");
    assert!(!witnesses_disagree(Word::ExclusiveSelf, Tracked::None, false), "acquired before the task was watched");
    assert!(witnesses_disagree(Word::ExclusiveSelf, Tracked::None, true));
    assert!(witnesses_disagree(Word::Readers, Tracked::Exclusive, true));
}
