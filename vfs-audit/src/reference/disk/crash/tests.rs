//! The crash checker passes the store, catches each mutant of it, and replays.

use super::*;

/// Runs within which each mutant must be caught. The slowest to show needs a few dozen.
const RUNS_TO_CATCH_MAX: u64 = 300;
/// A release build checks what the project promises, a debug build a sample.
const RUNS: u64 = if cfg!(debug_assertions) { 40 } else { 1_000 };

#[test]
fn nothing_that_was_promised_durable_is_lost() {
    let outcome = run(0, RUNS, None);
    assert_eq!(outcome.failure, None, "{}", outcome.failure.as_ref().map_or_else(String::new, ToString::to_string));
    assert_eq!(outcome.runs, RUNS);
}

#[test]
fn the_runs_reach_what_they_are_to_test() {
    let outcome = run(0, 60, None);
    let reached = [
        outcome.crashes,
        outcome.crashes_in_recovery,
        outcome.replays,
        outcome.transactions_replayed,
        outcome.orphans_freed,
        outcome.operations,
        outcome.promises,
        outcome.sectors_lost,
        outcome.faults,
        outcome.damage_reported,
    ];
    assert!(reached.iter().all(|count| *count > 0), "{outcome:?}");
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let outcome = run(0, RUNS_TO_CATCH_MAX, Some(mutant));
        assert!(outcome.failure.is_some(), "{} went through {} runs unseen", mutant.name(), outcome.runs);
    }
}

#[test]
fn a_seed_replays_exactly() {
    assert_eq!(run(40, 10, None), run(40, 10, None));
    assert_ne!(run(40, 10, None).digest, run(50, 10, None).digest);
}

#[test]
fn a_failing_seed_alone_shows_the_same_failure() {
    let found = run(0, RUNS_TO_CATCH_MAX, Some(Mutant::CheckpointBeforeFlush)).failure.unwrap();
    let again = run(found.seed, 1, Some(Mutant::CheckpointBeforeFlush)).failure.unwrap();
    assert_eq!(again, found);
    assert_eq!(run(found.seed, 1, None).failure, None);
}

#[test]
fn a_mutant_is_found_by_its_name_and_names_differ() {
    for mutant in Mutant::ALL {
        assert_eq!(Mutant::named(mutant.name()), Some(mutant));
    }
    assert_eq!(Mutant::named("none-such"), None);
}
