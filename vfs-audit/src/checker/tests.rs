//! The checker on small traces; every rule's own cases stand with the rule cases.

use std::collections::BTreeMap;

use super::{Checker, Evidence, Findings, GROUPS_MAX, Options, Verdict, check};
use crate::{
    observation::{Example, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word},
    rules::{Catalogue, Exception},
};

fn catalogue() -> Catalogue {
    Catalogue::load("v6.12").unwrap()
}

fn observation(op: &str, locks: &[(&str, Word, Tracked)]) -> Observation {
    let evidence = |(role, word, tracked): &(&str, Word, Tracked)| LockEvidence {
        role: (*role).into(),
        lock: "i_rwsem".into(),
        reading: LockReading::Read { word: *word, tracked: *tracked },
    };
    Observation {
        table: "inode_operations".into(),
        op: op.into(),
        also: Vec::new(),
        callback: format!("ext4_{op}"),
        fs: "ext4".into(),
        sb_id: "vda".into(),
        caller: format!("vfs_{op}+0x1c2"),
        route: Route::Table,
        point: Point::Entry,
        history_complete: true,
        facts: BTreeMap::new(),
        locks: locks.iter().map(evidence).collect(),
        count: 1,
        example: None,
    }
}

fn example() -> Example {
    Example {
        task: Task { comm: "mv".into(), tid: 2, tgid: 2 },
        time_ns: 1,
        inodes: BTreeMap::new(),
        held: Vec::new(),
        stack: Vec::new(),
        sleep_stack: Vec::new(),
    }
}

const HELD: (Word, Tracked) = (Word::ExclusiveSelf, Tracked::Exclusive);
const FREE: (Word, Tracked) = (Word::Free, Tracked::None);

fn create(dir: (Word, Tracked)) -> Observation {
    observation("create", &[("dir", dir.0, dir.1)])
}

fn unlink(dir: (Word, Tracked), victim: (Word, Tracked)) -> Observation {
    observation("unlink", &[("dir", dir.0, dir.1), ("victim", victim.0, victim.1)])
}

fn checked(observations: &[Observation]) -> Findings {
    check(&catalogue(), observations, Options::default())
}

fn verdict(findings: &Findings, rule: &str) -> Verdict {
    let id = format!("inode_operations.{rule}");
    findings.rules.iter().find(|found| found.id == id).unwrap_or_else(|| panic!("no rule {id}")).verdict.clone()
}

#[test]
fn a_rule_that_nothing_applied_to_is_unobserved_and_not_satisfied() {
    let findings = checked(&[create(HELD)]);
    assert_eq!(verdict(&findings, "create"), Verdict::Satisfied);
    assert_eq!(verdict(&findings, "mkdir"), Verdict::Unobserved);
    assert!(findings.violations.is_empty() && findings.suspected.is_empty());
}

#[test]
fn one_missing_lock_breaks_exactly_one_rule() {
    let findings = checked(&[unlink(HELD, FREE)]);
    assert_eq!(findings.violations.len(), 1);
    let violation = &findings.violations[0];
    assert_eq!(violation.rule, "inode_operations.unlink.victim");
    assert_eq!(violation.evidence, Evidence::Word);
    assert_eq!(violation.required, "i_rwsem of victim held exclusive");
    assert_eq!(violation.found, "i_rwsem of victim: free (the lock word proves it)");
    assert_eq!(verdict(&findings, "unlink"), Verdict::Satisfied);
}

#[test]
fn a_reader_among_other_readers_is_told_from_a_bystander_by_history() {
    let lookup = |tracked, complete| {
        let mut observation = observation("lookup", &[("dir", Word::Readers, tracked)]);
        observation.history_complete = complete;
        observation
    };
    assert_eq!(verdict(&checked(&[lookup(Tracked::Shared, true)]), "lookup"), Verdict::Satisfied);
    let caught = checked(&[lookup(Tracked::None, true)]);
    assert_eq!(caught.violations[0].evidence, Evidence::History);
    let open = checked(&[lookup(Tracked::None, false)]);
    assert!(open.violations.is_empty() && open.suspected.is_empty());
    assert!(matches!(verdict(&open, "lookup"), Verdict::Inconclusive(_)));
}

#[test]
fn equal_violations_are_one_with_their_counts_summed_and_the_fuller_example_kept() {
    let mut first = create(FREE);
    first.count = 3;
    let mut second = create(FREE);
    second.caller = "vfs_create+0x999".into();
    second.count = 4;
    second.example = Some(example());
    let findings = checked(&[first, second.clone()]);
    assert_eq!(findings.violations.len(), 1);
    assert_eq!(findings.violations[0].count, 7);
    assert_eq!(findings.violations[0].counterexample, second);
}

#[test]
fn a_fingerprint_changes_with_what_was_found_and_with_nothing_else() {
    let print = |observation: Observation| checked(&[observation]).violations[0].fingerprint.clone();
    let base = print(create(FREE));
    assert_eq!(base.len(), 16);
    let mut moved = create(FREE);
    (moved.caller, moved.sb_id, moved.count) = ("vfs_create.part.0+0x7/0x90".into(), "vdb".into(), 9);
    assert_eq!(print(moved), base);
    assert_ne!(print(create((Word::Readers, Tracked::Shared))), base);
    assert_eq!(print(create((Word::ExclusiveOther, Tracked::None))), base, "not held either way");
    let mut elsewhere = create(FREE);
    elsewhere.caller = "nfsd_create+0x1".into();
    assert_ne!(print(elsewhere), base);
}

#[test]
fn a_direct_call_is_set_apart_and_judged_by_no_rule() {
    let mut direct = create(FREE);
    direct.route = Route::Direct;
    let findings = checked(&[direct]);
    assert!(findings.violations.is_empty() && findings.suspected.is_empty());
    assert_eq!(findings.set_apart.len(), 1);
    assert_eq!(verdict(&findings, "create"), Verdict::Unobserved);
}

#[test]
fn without_its_event_a_violation_is_only_suspected_and_a_satisfaction_stands() {
    let unknown = |dir| {
        let mut observation = create(dir);
        observation.route = Route::Unknown;
        observation
    };
    let findings = checked(&[unknown(FREE)]);
    assert!(findings.violations.is_empty());
    assert_eq!(findings.suspected[0].evidence, Evidence::Suspected);
    assert!(matches!(verdict(&findings, "create"), Verdict::Inconclusive(_)));
    assert_eq!(verdict(&checked(&[unknown(HELD)]), "create"), Verdict::Satisfied);
}

#[test]
fn a_condition_that_was_not_read_makes_a_rule_inconclusive() {
    let open = |o_creat: Option<bool>| {
        let mut observation = observation("atomic_open", &[("dir", Word::Readers, Tracked::Shared)]);
        observation.facts.extend(o_creat.map(|is| ("o_creat".to_owned(), is)));
        checked(&[observation])
    };
    assert!(matches!(verdict(&open(None), "atomic_open"), Verdict::Inconclusive(why) if why.contains("o_creat")));
    assert_eq!(verdict(&open(Some(false)), "atomic_open"), Verdict::Satisfied);
    assert_eq!(verdict(&open(Some(true)), "atomic_open.create"), Verdict::Violated);
    assert_eq!(verdict(&open(Some(true)), "atomic_open"), Verdict::Unobserved);
}

#[test]
fn a_lock_slot_that_was_not_read_is_no_pass() {
    assert!(matches!(verdict(&checked(&[observation("create", &[])]), "create"), Verdict::Inconclusive(_)));
}

#[test]
fn a_no_is_recorded_by_default_and_judged_when_strict() {
    let held = observation("readlink", &[("inode", Word::ExclusiveSelf, Tracked::Exclusive)]);
    let findings = checked(std::slice::from_ref(&held));
    assert_eq!(verdict(&findings, "readlink"), Verdict::NotJudged);
    let rule = findings.rules.iter().find(|rule| rule.id == "inode_operations.readlink").unwrap();
    assert_eq!(rule.seen, BTreeMap::from([("inode.i_rwsem: exclusive".to_owned(), 1)]));
    let strict = check(&catalogue(), [&held], Options { strict: true, ..Options::default() });
    assert_eq!(verdict(&strict, "readlink"), Verdict::Violated);
}

#[test]
fn a_function_that_serves_two_ops_is_told_apart_by_what_it_was_called_on() {
    let serve = |directory: Option<bool>, victim| {
        let mut observation = unlink(HELD, victim);
        observation.also = vec!["rmdir".into()];
        observation.facts.extend(directory.map(|is| ("victim_is_directory".to_owned(), is)));
        checked(&[observation])
    };
    assert_eq!(serve(Some(true), FREE).violations[0].rule, "inode_operations.rmdir.victim");
    assert_eq!(serve(Some(false), FREE).violations[0].rule, "inode_operations.unlink.victim");
    assert_eq!(serve(None, FREE).violations.len(), 1, "both ops forbid it, so it stands");
    assert_eq!(serve(Some(true), HELD).invocations, BTreeMap::from([("inode_operations.rmdir".to_owned(), 1)]));
}

#[test]
fn what_only_one_of_two_ops_forbids_is_suspected() {
    let mut either = observation("setattr", &[("inode", Word::Free, Tracked::None)]);
    either.also = vec!["getattr".into()];
    let findings = checked(std::slice::from_ref(&either));
    assert!(findings.violations.is_empty());
    assert_eq!(findings.suspected[0].rule, "inode_operations.setattr");
    either.locks = observation("setattr", &[("inode", HELD.0, HELD.1)]).locks;
    assert!(matches!(verdict(&checked(&[either]), "setattr"), Verdict::Inconclusive(why) if why.contains("getattr")));
}

#[test]
fn a_known_dubious_case_is_reported_apart_with_its_reason() {
    let mut catalogue = catalogue();
    let reason = "known since".to_owned();
    let rule = "inode_operations.create".to_owned();
    catalogue.exceptions = vec![Exception { rule, callback: "ext4_*".into(), reason, ..Exception::default() }];
    let findings = check(&catalogue, [&create(FREE)], Options::default());
    assert!(findings.violations.is_empty());
    assert_eq!(findings.excepted[0].reason, "known since");
    assert!(matches!(verdict(&findings, "create"), Verdict::Inconclusive(_)));
}

#[test]
fn a_rule_that_the_source_cannot_read_is_not_observable_but_a_certain_violation_still_counts() {
    let missing = BTreeMap::from([("inode_operations.create".to_owned(), "no field".to_owned())]);
    let options = Options { missing, ..Options::default() };
    let findings = check(&catalogue(), [], options.clone());
    assert_eq!(verdict(&findings, "create"), Verdict::NotObservable("no field".into()));
    assert_eq!(verdict(&check(&catalogue(), [&create(FREE)], options), "create"), Verdict::Violated);
}

#[test]
fn disagreeing_witnesses_are_collected() {
    let findings = checked(&[create((Word::ExclusiveSelf, Tracked::None))]);
    assert_eq!(findings.disagreements.len(), 1);
    assert_eq!(findings.disagreements[0].at, "dir.i_rwsem at ext4_create");
    assert_eq!(verdict(&findings, "create"), Verdict::Satisfied);
}

#[test]
fn invocations_of_unknown_ops_are_counted_and_exits_are_not_counted_twice() {
    let mut exit = create(HELD);
    exit.point = Point::Exit;
    let mut strange = create(HELD);
    strange.op = "frobnicate".into();
    let findings = checked(&[create(HELD), exit, strange]);
    let counted = [("inode_operations.create".to_owned(), 1), ("inode_operations.frobnicate".to_owned(), 1)];
    assert_eq!(findings.invocations, BTreeMap::from(counted));
}

#[test]
fn groups_are_bounded_and_what_finds_no_room_is_counted() {
    let catalogue = catalogue();
    let mut checker = Checker::new(&catalogue, Options::default());
    for number in 0..GROUPS_MAX + 5 {
        let mut observation = create(FREE);
        observation.callback = format!("f{number}");
        checker.feed(&observation);
    }
    let findings = checker.finish();
    assert_eq!((findings.violations.len(), findings.ungrouped), (GROUPS_MAX, 5));
    let create = findings.rules.iter().find(|rule| rule.id == "inode_operations.create").unwrap();
    assert_eq!(create.violated as usize, GROUPS_MAX + 5);
}

#[test]
fn the_order_of_observations_does_not_change_the_findings() {
    let observations = [create(FREE), create(HELD), unlink(HELD, FREE), unlink(FREE, HELD)];
    let mut reversed = observations.to_vec();
    reversed.reverse();
    assert_eq!(checked(&observations), checked(&reversed));
}

#[test]
fn counts_stop_at_their_end_and_hide_nothing() {
    let endless = |observation: Observation| Observation { count: u64::MAX, ..observation };
    let observations =
        [endless(create(FREE)), endless(create(FREE)), create(FREE), endless(create(HELD)), create(HELD)];
    let catalogue = catalogue();
    let findings = check(&catalogue, &observations, Options::default());
    let rule = findings.rules.iter().find(|rule| rule.id == "inode_operations.create").unwrap();
    assert_eq!((rule.violated, rule.satisfied, &rule.verdict), (u64::MAX, u64::MAX, &Verdict::Violated));
    assert_eq!(findings.violations.len(), 1);
    assert_eq!(findings.violations[0].count, u64::MAX);
    assert_eq!(findings.invocations["inode_operations.create"], u64::MAX);
}
