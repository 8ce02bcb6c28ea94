//! `reference`: the reference VFS under the checker.

use super::Exit;
use super::args::ReferenceArgs;
use super::output::Conclusion;
use super::{note, selection};
use crate::checker::{Checker, Options};
use crate::reference::{Config, Run, run as run_reference};
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
    let run = run_reference(&catalogue, &Config { seed: args.seed, ops: args.ops });
    note(&format!("{} system calls, {} callbacks in {:.2} s", run.syscalls, run.invocations, run.seconds));
    for fault in &run.faults {
        note(&fault.to_string());
    }
    conclusion.conclude(report(args, &catalogue, run))
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
