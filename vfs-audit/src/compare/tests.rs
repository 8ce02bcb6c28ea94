//! Comparisons of small runs; whole texts stand with the tests of the program.

use std::collections::BTreeMap;

use super::{About, Comparison, Line, Relation, Run, Verdict, compare, render};
use crate::checker::{Checker, Options, Want, sample};
use crate::observation::{LockEvidence, LockReading, Observation, Point, Route, Tracked, Word};
use crate::report::{HookState, HookStatus, Source};
use crate::rules::{Catalogue, Standing};

const FREE: (Word, Tracked) = (Word::Free, Tracked::None);
const SHARED: (Word, Tracked) = (Word::Readers, Tracked::Shared);
const EXCLUSIVE: (Word, Tracked) = (Word::ExclusiveSelf, Tracked::Exclusive);
const UNREAD: (Word, Tracked) = (Word::Unread, Tracked::Untracked);

/// Invocations of an op of `inode_operations` with this lock.
fn seen(op: &str, role: &str, (word, tracked): (Word, Tracked), count: u64) -> Observation {
    let reading = LockReading::Read { word, tracked };
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
        facts: BTreeMap::from([("atomic".to_owned(), false)]),
        locks: vec![LockEvidence { role: role.into(), lock: "i_rwsem".into(), reading }],
        count,
        example: None,
    }
}

fn run<'c>(catalogue: &'c Catalogue, source: Source, observations: &[Observation], options: Options) -> Run<'c> {
    let mut checker = Checker::new(catalogue, options).recording_all_states();
    for observation in observations {
        checker.feed(observation);
    }
    let about = About { name: "run.vfa".into(), source, rules: catalogue.name.clone(), ..About::default() };
    Run { about, catalogue, findings: checker.finish(), hooks: Vec::new() }
}

fn live<'c>(catalogue: &'c Catalogue, observations: &[Observation]) -> Run<'c> {
    run(catalogue, Source::Live, observations, Options::default())
}

fn v6_12() -> Catalogue {
    Catalogue::load("v6.12").unwrap()
}

fn line<'l>(comparison: &'l Comparison, rule: &str) -> &'l Line {
    comparison.rules.iter().find(|line| line.rule == rule).unwrap_or_else(|| panic!("no {rule}"))
}

/// The verdict, relation and reason of the first run, at a rule of `inode_operations`.
fn told(runs: &[Run<'_>], rule: &str) -> (Verdict, Relation, String) {
    let comparison = compare(runs);
    let line = line(&comparison, &format!("inode_operations.{rule}"));
    (line.verdict, line.runs[0].relation, line.runs[0].why.clone())
}

#[test]
fn what_is_done_as_documented_agrees_without_a_reason() {
    let rules = v6_12();
    let runs = [live(&rules, &[seen("create", "dir", EXCLUSIVE, 9)])];
    assert_eq!(told(&runs, "create"), (Verdict::Agree, Relation::Agrees, String::new()));
    assert_eq!(line(&compare(&runs), "inode_operations.create").runs[0].applied, 9);
}

#[test]
fn a_deviation_says_what_was_found_where_and_how_often() {
    let rules = v6_12();
    let runs = [live(&rules, &[seen("create", "dir", EXCLUSIVE, 9), seen("create", "dir", FREE, 2)])];
    let (verdict, relation, why) = told(&runs, "create");
    assert_eq!((verdict, relation), (Verdict::KernelDeviates, Relation::Deviates));
    let expected = "i_rwsem of dir: free (the lock word proves it) where i_rwsem of dir held exclusive is required \
                    (2 times: ext4_create on ext4, called by vfs_create+0x1c2)";
    assert_eq!(why, expected);
    assert!(compare(&runs).deviates());
}

#[test]
fn shared_that_is_exclusive_each_time_is_stricter_and_once_shared_is_agreement() {
    let rules = v6_12();
    let strict = [seen("lookup", "dir", EXCLUSIVE, 3)];
    let (verdict, _, why) = told(&[live(&rules, &strict)], "lookup");
    assert_eq!(verdict, Verdict::KernelIsStricter);
    assert_eq!(why, "i_rwsem of dir was held exclusive each time, where shared is enough");
    let mixed = [seen("lookup", "dir", EXCLUSIVE, 3), seen("lookup", "dir", SHARED, 1)];
    assert_eq!(told(&[live(&rules, &mixed)], "lookup").0, Verdict::Agree);
}

#[test]
fn what_is_not_promised_and_always_held_is_stricter() {
    let rules = v6_12();
    let (verdict, _, why) = told(&[live(&rules, &[seen("readlink", "inode", SHARED, 4)])], "readlink");
    assert_eq!(verdict, Verdict::KernelIsStricter);
    assert_eq!(why, "held each time though it is not promised: inode.i_rwsem: shared (4 times)");
    let once_free = [seen("readlink", "inode", SHARED, 4), seen("readlink", "inode", FREE, 1)];
    assert_eq!(told(&[live(&rules, &once_free)], "readlink").0, Verdict::Agree);
    let unread = [seen("readlink", "inode", UNREAD, 4)];
    assert_eq!(told(&[live(&rules, &unread)], "readlink").0, Verdict::NotJudged);
}

#[test]
fn evidence_that_does_not_decide_is_neither_agreement_nor_silence() {
    let rules = v6_12();
    let (verdict, relation, why) = told(&[live(&rules, &[seen("create", "dir", UNREAD, 4)])], "create");
    assert_eq!((verdict, relation), (Verdict::Undecided, Relation::Undecided));
    assert!(why.contains("(4 of 4 invocations)"), "{why}");
}

#[test]
fn what_was_not_observed_says_why() {
    let rules = v6_12();
    let same_directory = Observation {
        facts: BTreeMap::from(
            ["atomic", "cross_directory", "exchange", "target_exists", "source_is_directory", "target_is_directory"]
                .map(|fact| (fact.to_owned(), false)),
        ),
        ..seen("rename", "source_parent", EXCLUSIVE, 7)
    };
    let hook = |op: &str, state, reason: &str| HookStatus {
        op: format!("inode_operations.{op}"),
        callback: "f".into(),
        fs: "ext4".into(),
        probe: "kprobe".into(),
        state,
        reason: reason.into(),
        count: 0,
    };
    let missing = BTreeMap::from([("inode_operations.mkdir".to_owned(), "no field i_rwsem".to_owned())]);
    let mut runs = [run(&rules, Source::Live, &[same_directory], Options { missing, ..Options::default() })];
    runs[0].hooks = vec![
        hook("link", HookState::Attached, ""),
        hook("link", HookState::Failed, "busy"),
        hook("symlink", HookState::Absent, "no mounted file system has it"),
    ];
    let expected = [
        ("rename.mutex", "invocations of the op, but none with: cross_directory"),
        ("mkdir", "not observable: no field i_rwsem"),
        ("link", "no invocation of the op, whose callbacks were watched"),
        ("symlink", "the op was not watched: no mounted file system has it"),
        ("create", "no invocation of the op"),
    ];
    for (rule, why) in expected {
        assert_eq!(told(&runs, rule), (Verdict::Unobserved, Relation::Unobserved, why.to_owned()), "{rule}");
    }
}

#[test]
fn a_rule_on_gone_locks_is_stale_whatever_was_observed() {
    let rules = Catalogue::load("v5.15-seed").unwrap();
    let comparison = compare(&[live(&rules, &[])]);
    let line = line(&comparison, "dquot_operations.write_info");
    assert_eq!(line.verdict, Verdict::DocumentIsStale);
    assert!(line.runs[0].why.contains("dqonoff_sem is gone"), "{}", line.runs[0].why);
}

#[test]
fn a_known_case_deviates_with_its_reason_and_does_not_count() {
    let rules = v6_12();
    let cloned = Observation {
        table: "file_operations".into(),
        point: Point::Exit,
        callback: "btrfs_remap_file_range".into(),
        fs: "btrfs".into(),
        facts: BTreeMap::new(),
        locks: Vec::new(),
        ..seen("remap_file_range", "inode", FREE, 3)
    };
    let (_, op, rule) = rules.rule("file_operations.remap_file_range.invalidate_lock").unwrap();
    let broken = sample(&rules, &rule.id, Want::Broken).unwrap();
    let cloned = Observation { facts: broken.facts, locks: broken.locks, point: rule.point, ..cloned };
    assert_eq!(op.name, "remap_file_range");
    let comparison = compare(&[live(&rules, &[cloned])]);
    let line = line(&comparison, "file_operations.remap_file_range.invalidate_lock");
    assert_eq!((line.runs[0].relation, line.runs[0].known), (Relation::Deviates, true));
    assert!(line.runs[0].why.starts_with("known case at btrfs_remap_file_range on btrfs (3 times): btrfs keeps"));
    assert!(!comparison.deviates());
}

#[test]
fn kernels_decide_and_the_reference_is_named_only_where_it_deviates() {
    let rules = v6_12();
    let reference = |lock| run(&rules, Source::Reference, &[seen("create", "dir", lock, 5)], Options::default());
    let kernel = |lock| live(&rules, &[seen("create", "dir", lock, 5)]);
    let verdict = |runs: &[Run<'_>]| line(&compare(runs), "inode_operations.create").verdict;
    assert_eq!(verdict(&[reference(EXCLUSIVE), kernel(EXCLUSIVE)]), Verdict::Agree);
    assert_eq!(verdict(&[reference(EXCLUSIVE), kernel(FREE)]), Verdict::KernelDeviates);
    assert_eq!(verdict(&[reference(FREE), kernel(EXCLUSIVE)]), Verdict::ReferenceDeviates);
    assert_eq!(verdict(&[reference(FREE), kernel(FREE)]), Verdict::KernelDeviates);
    assert_eq!(verdict(&[reference(EXCLUSIVE), live(&rules, &[])]), Verdict::Unobserved, "no kernel was seen at it");
    assert_eq!(verdict(&[reference(EXCLUSIVE)]), Verdict::Agree);
    assert_eq!(verdict(&[kernel(EXCLUSIVE), live(&rules, &[]), kernel(EXCLUSIVE)]), Verdict::Agree);
}

#[test]
fn each_run_is_related_to_its_own_document_and_differences_are_told() {
    let (old, new) = (Catalogue::load("v6.1").unwrap(), v6_12());
    let comparison = compare(&[live(&old, &[]), live(&new, &[])]);
    let acl = line(&comparison, "inode_operations.get_inode_acl");
    assert_eq!((acl.runs[0].relation, acl.runs[1].relation), (Relation::NoRule, Relation::Unobserved));
    assert_eq!(acl.runs[0].why, "v6.1 has no `get_inode_acl`");
    let open = line(&comparison, "vm_operations_struct.open");
    assert_eq!((open.document.as_str(), open.runs[1].document.as_deref()), ("yes", Some("write")));
    let older = Catalogue::load("v5.15-seed").unwrap();
    let comparison = compare(&[live(&old, &[]), live(&older, &[])]);
    let readpage = line(&comparison, "address_space_operations.readpage.unlocks");
    assert_eq!(readpage.runs[0].why, "v6.1 has `read_folio` instead of `readpage`");
}

#[test]
fn every_rule_of_every_run_has_a_line_and_every_line_that_is_no_agreement_a_reason() {
    let catalogues = Catalogue::load_all().unwrap();
    let runs: Vec<_> = catalogues.iter().map(|rules| live(rules, &[seen("create", "dir", EXCLUSIVE, 1)])).collect();
    let comparison = compare(&runs);
    for rule in catalogues.iter().flat_map(Catalogue::rules) {
        assert!(comparison.rules.iter().any(|line| line.rule == rule.id), "{}", rule.id);
    }
    for line in &comparison.rules {
        for cell in &line.runs {
            assert_eq!(cell.relation == Relation::Agrees, cell.why.is_empty(), "{} {cell:?}", line.rule);
        }
    }
    assert_eq!(comparison.summary.values().sum::<usize>(), comparison.rules.len());
    let text = render(&comparison);
    for line in &comparison.rules {
        let (_, name) = line.rule.split_once('.').unwrap();
        let whole_op = format!("{}.*", name.split('.').next().unwrap());
        assert!(text.contains(name) || text.contains(&whole_op), "{} is not in the table", line.rule);
    }
}

#[test]
fn every_judged_rule_agrees_where_it_is_kept_and_deviates_where_it_is_broken() {
    let rules = v6_12();
    let judged = rules.rules().filter(|rule| rule.standing == Standing::Judged && rules.stale(rule).is_none());
    let mut count = 0;
    for rule in judged {
        let verdict = |want| {
            let observation = sample(&rules, &rule.id, want).unwrap_or_else(|| panic!("{}: no sample", rule.id));
            line(&compare(&[live(&rules, &[observation])]), &rule.id).verdict
        };
        let kept = verdict(Want::Satisfied);
        assert!(matches!(kept, Verdict::Agree | Verdict::KernelIsStricter), "{}: {kept}", rule.id);
        assert_eq!(verdict(Want::Broken), Verdict::KernelDeviates, "{}", rule.id);
        count += 1;
    }
    assert!(count > 200, "{count}");
}
