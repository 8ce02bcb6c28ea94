//! `reference`: the reference VFS under the checker.

use super::Exit;
use super::args::ReferenceArgs;
use super::output::{Conclusion, print};
use super::{Advice, note, selection};
use crate::checker::{Checker, Options};
use crate::reference::{self, Config, Run, mutant, run as run_reference};
use crate::report::{KernelInfo, Loss, Report, Source, Tracker};
use crate::rules::Catalogue;

/// The rule set that the reference VFS is built after.
const RULES: &str = "v5.15-seed";

/// Runs a workload and checks what it brought.
///
/// # Errors
/// The rules cannot be loaded, or a result cannot be written.
pub(super) fn run(args: &ReferenceArgs) -> anyhow::Result<Exit> {
    let conclusion = Conclusion::prepare(&args.judging, &args.output)?;
    let catalogue = selection::catalogue(&args.rules, RULES.trim_start_matches('v'))?;
    selection::prove(&catalogue, &args.filters, &args.judging.require)?;
    if let Some(pattern) = &args.mutants {
        return mutants(&catalogue, pattern, args.seed);
    }
    if args.workload != "each" {
        return explored(args, &catalogue, conclusion);
    }
    let run = run_reference(&catalogue, &Config { seed: args.seed, ops: args.ops });
    note(&format!("{} system calls, {} callbacks in {:.2} s", run.syscalls, run.invocations, run.seconds));
    for fault in &run.faults {
        note(&fault.to_string());
    }
    conclusion.conclude(report(args, &catalogue, run))
}

/// Explores interleavings of a workload.
fn explored(args: &ReferenceArgs, catalogue: &Catalogue, conclusion: Conclusion<'_>) -> anyhow::Result<Exit> {
    let explored = reference::explore(catalogue, &args.workload, args.seed, args.interleavings, args.inverted);
    let Some(explored) = explored else {
        let hint = format!("one of each, {}, crash", reference::workloads().join(", "));
        return Err(Advice::new(format!("no workload `{}`", args.workload), hint).into());
    };
    note(&format!(
        "{} interleavings of {}, {} of them distinct, {} steps, {} callbacks in {:.2} s",
        explored.interleavings,
        args.workload,
        explored.distinct,
        explored.steps,
        explored.run.invocations,
        explored.run.seconds
    ));
    for (seed, fault) in &explored.failing {
        note(&format!("seed {seed} (`--seed {seed} --interleavings 1` replays it): {fault}"));
    }
    conclusion.conclude(report(args, catalogue, explored.run))
}

/// Tries every mutant and prints how it came off.
fn mutants(catalogue: &Catalogue, pattern: &str, seed: u64) -> anyhow::Result<Exit> {
    let trials = mutant::try_all(catalogue, pattern, seed);
    let mut text = String::new();
    let mut missed = 0;
    for trial in &trials {
        let verdict = if trial.is_exact() { "caught" } else { "MISSED" };
        missed += usize::from(!trial.is_exact());
        let expected = trial.expected.join(", ");
        text += &format!("{verdict}  {:<60} {expected}\n", trial.id);
        if !trial.is_exact() {
            let found = trial.violated.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            text += &format!("        reported: {found}; took effect {} times\n", trial.deviated);
        }
    }
    let without = mutant::without_mutant(catalogue);
    text += &format!("{} mutants, {missed} not reported as exactly their rules\n", trials.len());
    text += &format!("judged rules without a mutant: {}\n", if without.is_empty() { "none".to_owned() } else { without.join(", ") });
    print(&text)?;
    Ok(if missed == 0 && without.is_empty() { Exit::Clean } else { Exit::Incomplete })
}

fn report(args: &ReferenceArgs, catalogue: &Catalogue, run: Run) -> Report {
    let options = Options { strict: args.judging.strict, missing: run.missing };
    let mut checker = Checker::new(catalogue, options);
    let mut tracker = Tracker::default();
    for observation in run.observations.iter().filter(|observation| args.filters.wants(observation)) {
        tracker.tally(observation);
        checker.feed(observation);
    }
    let mut findings = checker.finish();
    args.filters.narrow(catalogue, &mut findings);
    Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: KernelInfo { release: "reference".to_owned(), rules: catalogue.name.clone(), ..KernelInfo::default() },
        source: Source::Reference,
        seconds: run.seconds,
        command: None,
        recordings: Vec::new(),
        hooks: Vec::new(),
        findings,
        loss: Loss::default(),
        tracker,
        baseline: None,
        incomplete: run.faults.iter().map(ToString::to_string).collect(),
    }
}
