//! The reference VFS under the checker: it keeps every rule, each mutant breaks its own, and the scheduler finds what is
//! wrong between tasks.

use std::collections::BTreeMap;
use std::process::Command;

use vfs_audit::checker::{Checker, Findings, Options, check};
use vfs_audit::reference::{self, Config, FaultKind, Run, Workload, Wrongdoing, mutant};
use vfs_audit::report::ByFileSystem;
use vfs_audit::rules::{Catalogue, Standing};

const RULES: &str = "v5.15-seed";
/// Times that each judged rule must be observed.
const OBSERVED_MIN: u64 = 100;

fn catalogue() -> Catalogue {
    Catalogue::load(RULES).unwrap_or_else(|error| panic!("{RULES}: {error}"))
}

fn findings(catalogue: &Catalogue, run: &Run) -> Findings {
    let options = Options { strict: false, missing: run.missing.clone() };
    check(catalogue, &run.observations, options)
}

fn run(catalogue: &Catalogue, workload: Workload, seed: u64, ops: u64, threads: usize) -> Run {
    reference::run(catalogue, &Config { seed, ops, threads, workload })
}

#[test]
fn every_judged_rule_is_observed_and_kept() {
    let catalogue = catalogue();
    let run = run(&catalogue, Workload::Each, 1, 60_000, 1);
    assert_eq!(run.faults, [], "the lock model and the data checks find nothing");
    assert_eq!(run.missing, BTreeMap::new(), "every fact that a rule reads can be read");
    let findings = findings(&catalogue, &run);
    assert_eq!(findings.violations, []);
    assert_eq!(findings.suspected, []);
    assert_eq!(findings.disagreements, []);
    let judged = |id: &str| {
        let (_, _, rule) = catalogue.rule(id).unwrap();
        rule.standing == Standing::Judged && !rule.requires.is_empty()
    };
    let mut count = 0;
    for verdict in findings.rules.iter().filter(|verdict| judged(&verdict.id)) {
        count += 1;
        assert_eq!(verdict.unknown, 0, "{}", verdict.id);
        assert!(verdict.satisfied >= OBSERVED_MIN, "{} only {} times", verdict.id, verdict.satisfied);
    }
    assert!(count > 200, "only {count} rules are judged");
    for (table, op) in catalogue.ops() {
        let name = format!("{}.{}", table.name, op.name);
        assert!(findings.invocations.get(&name).is_some_and(|count| *count > 0), "{name} was not invoked");
    }
}

#[test]
fn every_mutant_is_reported_as_exactly_its_rule() {
    let catalogue = catalogue();
    assert_eq!(mutant::without_mutant(&catalogue), [""; 0]);
    let trials = mutant::try_all(&catalogue, "*", 1);
    let missed: Vec<_> = trials.iter().filter(|trial| !trial.is_exact()).collect();
    assert_eq!(missed, Vec::<&mutant::Trial>::new());
    let listed = mutant::list();
    assert_eq!(listed.len(), trials.len());
    let names: std::collections::BTreeSet<_> = listed.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), listed.len(), "two mutants share a name");
}

#[test]
fn sleeping_under_a_spinlock_is_found_by_the_lock_model_too() {
    let trials = mutant::try_all(&catalogue(), "dentry_operations-d_delete-sleeps", 1);
    let [trial] = trials.as_slice() else { panic!("one mutant of that name") };
    assert!(trial.faults.iter().any(|fault| fault.kind == FaultKind::SleepInAtomic), "{:?}", trial.faults);
}

#[test]
fn interleavings_of_every_workload_neither_deadlock_nor_break_a_rule() {
    let catalogue = catalogue();
    for workload in reference::workloads() {
        let explored = reference::explore(&catalogue, workload, 1, 400, None).unwrap();
        assert_eq!(explored.failing, [], "{workload}");
        assert_eq!(findings(&catalogue, &explored.run).violations, [], "{workload}");
        assert!(explored.distinct > explored.interleavings / 2, "{workload}: the seeds make little difference");
    }
    assert!(reference::explore(&catalogue, "no such workload", 1, 1, None).is_none());
}

#[test]
fn an_inversion_is_found_and_its_seed_replays_it() {
    let catalogue = catalogue();
    let explore =
        |seed, count| reference::explore(&catalogue, "rename", seed, count, Some(Wrongdoing::Inversion)).unwrap();
    let explored = explore(1, 60);
    let deadlock =
        explored.failing.iter().find(|(_, faults)| faults.iter().any(|fault| fault.kind == FaultKind::Deadlock));
    let (seed, faults) = deadlock.expect("sixty interleavings without a deadlock");
    for _ in 0..3 {
        assert_eq!(explore(*seed, 1).failing, [(*seed, faults.clone())]);
    }
}

#[test]
fn a_lost_wake_up_is_told_from_a_deadlock() {
    let catalogue = catalogue();
    let explored = reference::explore(&catalogue, "truncate", 1, 30, Some(Wrongdoing::LostWakeUp)).unwrap();
    let mut faults = explored.failing.iter().flat_map(|(_, faults)| faults);
    assert!(faults.any(|fault| fault.kind == FaultKind::LostWakeUp && fault.what.contains("writeback of a page")));
}

#[test]
fn data_read_is_data_written_on_every_file_system() {
    let catalogue = catalogue();
    for seed in 1..=3 {
        let run = run(&catalogue, Workload::Fsx, seed, 4_000, 1);
        assert_eq!(run.faults, [], "seed {seed}");
        assert_eq!(findings(&catalogue, &run).violations, [], "seed {seed}");
    }
}

#[test]
fn a_power_cut_takes_nothing_that_fsync_has_promised() {
    let catalogue = catalogue();
    let cuts = reference::power_cuts(&catalogue, 1, 60, false);
    assert_eq!(cuts.broken, [0; 0]);
    assert!(cuts.promises > 60, "only {} promises", cuts.promises);
    assert_eq!(findings(&catalogue, &cuts.run).violations, []);
    let lying = reference::power_cuts(&catalogue, 1, 20, true);
    assert!(!lying.broken.is_empty(), "a disk that is not flushed keeps every promise");
    assert_eq!(reference::power_cuts(&catalogue, lying.broken[0], 1, true).broken, lying.broken[..1]);
}

#[test]
fn threads_under_load_keep_the_rules() {
    let catalogue = catalogue();
    let run = run(&catalogue, Workload::Mix, 1, 40_000, 2);
    assert_eq!(run.faults, []);
    assert_eq!(findings(&catalogue, &run).violations, []);
    assert!(run.syscalls >= 40_000 && run.invocations > run.syscalls);
}

#[test]
fn the_same_seed_gives_the_same_observations() {
    let catalogue = catalogue();
    let observations = |seed| {
        let mut observations = run(&catalogue, Workload::Each, seed, 500, 1).observations;
        for observation in &mut observations {
            observation.example = None;
        }
        observations
    };
    assert_eq!(observations(5), observations(5));
}

#[test]
fn a_recorded_reference_run_is_checked_like_any_recording() {
    let path = std::env::temp_dir().join(format!("vfs-audit-reference-{}.vfa", std::process::id()));
    let program = env!("CARGO_BIN_EXE_vfs-audit");
    let output = Command::new(program).args(["reference", "--ops", "1000", "--record"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let checked = Command::new(program).arg("check").arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("v5.15-seed") && text.contains("0 rules violated"), "{text}");
}

#[test]
fn invocations_by_file_system_add_up_to_what_the_checker_counts() {
    let catalogue = catalogue();
    let run = run(&catalogue, Workload::Each, 1, 5_000, 1);
    let mut checker = Checker::new(&catalogue, Options::default());
    let mut by_fs = ByFileSystem::default();
    // One function for two ops: which of them a call was for, its facts tell.
    let mut observations = run.observations;
    for observation in observations.iter_mut().filter(|observation| observation.op == "rmdir") {
        observation.op = "unlink".into();
        observation.also = vec!["rmdir".into()];
    }
    for observation in &observations {
        by_fs.tally(checker.op_of(observation), observation);
        checker.feed(observation);
    }
    let sums: BTreeMap<_, u64> = by_fs.0.iter().map(|(op, by_fs)| (op.clone(), by_fs.values().sum())).collect();
    assert_eq!(sums, checker.finish().invocations);
}
