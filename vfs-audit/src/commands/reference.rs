//! `reference`: the reference VFS under the checker.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

use anyhow::Context as _;

use super::args::{ReferenceArgs, WrongArg};
use super::output::{Conclusion, print};
use super::{Advice, Exit, note, selection};
use crate::checker::{Checker, Options};
use crate::recording::{End, Header, Writer};
use crate::reference::disk::{crash, store};
use crate::reference::{self, Config, Run, Workload, Wrongdoing, mutant};
use crate::report::{Addresses, ByFileSystem, KernelInfo, Loss, Report, Source, Tracker};
use crate::rules::Catalogue;

/// The rule set that the reference VFS is built after.
const RULES: &str = "v5.15-seed";
/// Crash runs within which a mutant of the store must be caught.
const CRASH_RUNS: u64 = 1000;

/// Runs a workload and checks what it brought.
///
/// # Errors
/// The rules cannot be loaded, there is no such workload, or a result cannot be written.
pub(super) fn run(args: &ReferenceArgs) -> anyhow::Result<Exit> {
    let conclusion = Conclusion::prepare(&args.judging, &args.output)?;
    let catalogue = selection::catalogue(&args.rules, RULES.trim_start_matches('v'))?;
    selection::prove(&catalogue, &args.filters, &args.judging.require)?;
    if let Some(pattern) = &args.mutants {
        return mutants(&catalogue, pattern, args.seed);
    }
    let workload = match args.workload.as_str() {
        "crash" => return crashes(args),
        "power-cut" => return power_cuts(args, &catalogue, conclusion),
        "each" => Workload::Each,
        "fsx" => Workload::Fsx,
        "mix" => Workload::Mix,
        _ => return explored(args, &catalogue, conclusion),
    };
    let config = Config { seed: args.seed, ops: args.ops, threads: args.threads, workload };
    let run = reference::run(&catalogue, &config);
    note(&speed(&run));
    if args.cost {
        let bare = reference::run_unobserved(&config);
        note(&format!("without observation: {}", speed(&bare)));
    }
    finish(args, &catalogue, run, conclusion)
}

fn speed(run: &Run) -> String {
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]
    let per_second = |count: u64| (count as f64 / run.seconds.max(f64::EPSILON)) as u64;
    format!(
        "{} system calls with {} callbacks in {:.2} s: {} calls and {} callbacks a second",
        run.syscalls,
        run.invocations,
        run.seconds,
        per_second(run.syscalls),
        per_second(run.invocations)
    )
}

fn finish(args: &ReferenceArgs, catalogue: &Catalogue, run: Run, conclusion: Conclusion<'_>) -> anyhow::Result<Exit> {
    record(args, catalogue, &run)?;
    for fault in &run.faults {
        note(&fault.to_string());
    }
    let (began, distinct) = (Instant::now(), run.observations.len());
    let report = report(args, catalogue, run);
    note(&format!("{distinct} distinct observations checked in {:.1} ms", began.elapsed().as_secs_f64() * 1e3));
    conclusion.conclude(report)
}

/// Explores interleavings of a workload.
fn explored(args: &ReferenceArgs, catalogue: &Catalogue, conclusion: Conclusion<'_>) -> anyhow::Result<Exit> {
    let wrong = match args.wrong {
        None => None,
        Some(WrongArg::Inversion) => Some(Wrongdoing::Inversion),
        Some(WrongArg::WakeUp) => Some(Wrongdoing::LostWakeUp),
        Some(WrongArg::Flush) => {
            return Err(Advice::new("no interleaving flushes a disk", "use it with `--workload power-cut`").into());
        }
    };
    let explored = reference::explore(catalogue, &args.workload, args.seed, args.interleavings, wrong);
    let Some(explored) = explored else {
        let hint = format!("one of each, fsx, mix, crash, power-cut, {}", reference::workloads().join(", "));
        return Err(Advice::new(format!("there is no workload `{}`", args.workload), hint).into());
    };
    note(&format!(
        "{} interleavings of {}, {} of them distinct, {} steps, {} with a fault; {}",
        explored.interleavings,
        args.workload,
        explored.distinct,
        explored.steps,
        explored.failed,
        speed(&explored.run)
    ));
    for (seed, faults) in &explored.failing {
        note(&format!("seed {seed}; `--seed {seed} --interleavings 1` replays it:"));
        for fault in faults {
            note(&format!("  {fault}"));
        }
    }
    finish(args, catalogue, explored.run, conclusion)
}

/// Crashes the on-disk store again and again and looks at what it recovers.
fn crashes(args: &ReferenceArgs) -> anyhow::Result<Exit> {
    let outcome = crash::run(args.seed, args.interleavings, None);
    print(&format!(
        "{} runs, {} crashes, {} more in recovery, {} transactions replayed, {} promises, {} device faults, digest {:08x}\n",
        outcome.runs,
        outcome.crashes,
        outcome.crashes_in_recovery,
        outcome.transactions_replayed,
        outcome.promises,
        outcome.faults,
        outcome.digest
    ))?;
    let Some(failure) = outcome.failure else { return Ok(Exit::Clean) };
    print(&format!("{failure}\n"))?;
    Ok(Exit::Violated)
}

/// Cuts the power under the whole VFS again and again.
fn power_cuts(args: &ReferenceArgs, catalogue: &Catalogue, conclusion: Conclusion<'_>) -> anyhow::Result<Exit> {
    let skips_flush = args.wrong == Some(WrongArg::Flush);
    let cuts = reference::power_cuts(catalogue, args.seed, args.interleavings, skips_flush);
    note(&format!(
        "{} power cuts, {} files promised durable, {} runs with a broken promise; {}",
        cuts.runs,
        cuts.promises,
        cuts.broken.len(),
        speed(&cuts.run)
    ));
    if let Some(seed) = cuts.broken.first() {
        note(&format!("seed {seed} (`--seed {seed} --interleavings 1` replays it)"));
    }
    finish(args, catalogue, cuts.run, conclusion)
}

/// Tries every mutant and prints how it came off.
fn mutants(catalogue: &Catalogue, pattern: &str, seed: u64) -> anyhow::Result<Exit> {
    let trials = mutant::try_all(catalogue, pattern, seed);
    let mut text = String::new();
    let mut missed = 0;
    for trial in &trials {
        missed += usize::from(!trial.is_exact());
        trial_line(&mut text, trial)?;
    }
    if pattern == "*" {
        missed += store_mutants(&mut text, seed)?;
    }
    let without = mutant::without_mutant(catalogue);
    let uncovered = if without.is_empty() { "none".to_owned() } else { without.join(", ") };
    writeln!(text, "{} mutants of the VFS, {missed} not reported as exactly their rules", trials.len())?;
    writeln!(text, "judged rules without a mutant: {uncovered}")?;
    print(&text)?;
    Ok(if missed == 0 && without.is_empty() { Exit::Clean } else { Exit::Incomplete })
}

fn trial_line(text: &mut String, trial: &mutant::Trial) -> anyhow::Result<()> {
    let verdict = if trial.is_exact() { "caught" } else { "MISSED" };
    writeln!(text, "{verdict}  {:<66}  {}", trial.id, trial.expected.join(", "))?;
    if !trial.is_exact() {
        let found: Vec<_> = trial.violated.iter().map(String::as_str).collect();
        writeln!(text, "        reported: {}; took effect {} times", found.join(", "), trial.deviated)?;
    }
    Ok(())
}

/// Mutants of the on-disk store are caught by crashing it; gives how many were not.
fn store_mutants(text: &mut String, seed: u64) -> anyhow::Result<usize> {
    let mut missed = 0;
    for mutant in store::Mutant::ALL {
        let outcome = crash::run(seed, CRASH_RUNS, Some(mutant));
        let verdict = if outcome.failure.is_some() { "caught" } else { "MISSED" };
        missed += usize::from(outcome.failure.is_none());
        writeln!(text, "{verdict}  {:<66}  recovery, run {}", format!("store-{}", mutant.name()), outcome.runs)?;
    }
    Ok(missed)
}

fn kernel_info(catalogue: &Catalogue) -> KernelInfo {
    KernelInfo { release: "reference".to_owned(), rules: catalogue.name.clone(), ..KernelInfo::default() }
}

/// Writes a recording, if one was asked for.
fn record(args: &ReferenceArgs, catalogue: &Catalogue, run: &Run) -> anyhow::Result<()> {
    let Some(path) = &args.record else { return Ok(()) };
    let what = || format!("recording to {}", path.display());
    let header = Header {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel_info(catalogue),
        source: Source::Reference,
        missing: run.missing.clone(),
        ..Header::default()
    };
    let out = BufWriter::new(File::create(path).with_context(what)?);
    let mut writer = Writer::create(out, &header, Addresses::Hidden).with_context(what)?;
    for observation in &run.observations {
        writer.push(observation).with_context(what)?;
    }
    let incomplete = run.faults.iter().map(ToString::to_string).collect();
    writer.finish(&End { seconds: run.seconds, incomplete, ..End::default() }).with_context(what)?;
    Ok(())
}

fn report(args: &ReferenceArgs, catalogue: &Catalogue, run: Run) -> Report {
    let options = Options { strict: args.judging.strict, missing: run.missing };
    let mut checker = Checker::new(catalogue, options);
    let (mut tracker, mut invocations_by_fs) = (Tracker::default(), ByFileSystem::default());
    for observation in run.observations.iter().filter(|observation| args.filters.wants(observation)) {
        tracker.tally(observation);
        invocations_by_fs.tally(checker.op_of(observation), observation);
        checker.feed(observation);
    }
    let mut findings = checker.finish();
    args.filters.narrow(catalogue, &mut findings);
    Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: kernel_info(catalogue),
        source: Source::Reference,
        seconds: run.seconds,
        command: None,
        recordings: Vec::new(),
        hooks: Vec::new(),
        findings,
        loss: Loss::default(),
        tracker,
        invocations_by_fs,
        timing: None,
        oracle: None,
        baseline: None,
        incomplete: run.faults.iter().map(ToString::to_string).collect(),
    }
}
