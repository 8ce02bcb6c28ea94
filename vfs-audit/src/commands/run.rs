//! `run` and `record`: a live audit, and a live recording.

use std::{collections::BTreeMap, fs::File, path::Path, time::Instant};

use super::{
    Advice, Exit,
    args::{Filters, RecordArgs, RunArgs},
    live::{self, Beyond, Outcome},
    note,
    output::{self, Conclusion},
    rights, selection,
};
use crate::{
    checker::{Checker, Findings, Options},
    observation::Point,
    oracle::OracleReport,
    recording::{self, End, Header, Writer},
    report::{Addresses, ByFileSystem, HookState, HookStatus, Report, Source},
    rules::{Catalogue, Op, Table},
    tracer::Plans,
};

/// Observations after which a recording's block is closed: so many may be lost when there is no room for more.
const FLUSH_EVERY: u64 = 32;

/// Audits the live kernel.
///
/// # Errors
/// What was asked for does not exist, or the kernel cannot be audited.
pub fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let began = Instant::now();
    rights::require("auditing")?;
    let conclusion = Conclusion::prepare(&args.judging, &args.output)?;
    let kernel = live::kernel()?;
    let catalogue = selection::catalogue(&args.rules, &kernel.release)?;
    selection::prove(&catalogue, &args.filters, &args.judging.require)?;
    let beyond = Beyond { everything: args.judging.strict, oracle: args.oracle };
    let mut session = live::prepare(&catalogue, &args.filters, &args.live, beyond)?;
    let conclusion = conclusion.open()?;
    let mut outcome = live::observe(&mut session, &catalogue, &args.live, &args.extent, began)?;
    let options = Options { strict: args.judging.strict, missing: session.plans().unreadable.clone() };
    let mut checker = Checker::new(&catalogue, options);
    let wanted = outcome.brought.observations.iter().filter(|observation| args.filters.wants(observation));
    let mut invocations_by_fs = ByFileSystem::default();
    wanted.for_each(|observation| {
        invocations_by_fs.tally(checker.op_of(observation), observation);
        checker.feed(observation);
    });
    let mut findings: Findings = checker.finish();
    args.filters.narrow(&catalogue, &mut findings);
    count_hooks(&mut outcome);
    outcome.hooks.extend(unplanned(&catalogue, session.plans()));
    let kernel = live::kernel_info(&kernel, &catalogue, &session);
    session.detach();
    let oracle = outcome.brought.compared.as_ref().map(OracleReport::of);
    conclusion.conclude(Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel,
        source: Source::Live,
        seconds: outcome.seconds,
        command: outcome.command,
        recordings: Vec::new(),
        hooks: outcome.hooks,
        findings,
        loss: outcome.loss,
        tracker: outcome.tracker,
        invocations_by_fs,
        timing: Some(outcome.timing),
        oracle,
        baseline: None,
        incomplete: outcome.incomplete,
    })
}

/// Invocations by callback, into the rows of the hooks.
fn count_hooks(outcome: &mut Outcome) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for observation in outcome.brought.observations.iter().filter(|observation| observation.point == Point::Entry) {
        *counts.entry(&observation.callback).or_default() += observation.count;
    }
    let row = |hook: &mut HookStatus| hook.count = counts.get(hook.callback.as_str()).copied().unwrap_or(0);
    outcome.hooks.iter_mut().filter(|hook| !hook.op.starts_with("lock.")).for_each(row);
}

/// One row per op of the document that could not be planned, with the reason.
fn unplanned(catalogue: &Catalogue, plans: &Plans) -> Vec<HookStatus> {
    let is_planned = |table: &str, op: &str| plans.ops.iter().any(|plan| plan.table == table && plan.op == op);
    let without_plan = catalogue.ops().filter(|(table, op)| !is_planned(&table.name, &op.name));
    let row = |(table, op): (&Table, &Op)| HookStatus {
        op: format!("{}.{}", table.name, op.name),
        callback: String::new(),
        fs: String::new(),
        probe: String::new(),
        state: HookState::Absent,
        reason: op.rules.iter().find_map(|rule| plans.unreadable.get(&rule.id)).cloned().unwrap_or_default(),
        count: 0,
    };
    without_plan.map(row).collect()
}

/// Records the live kernel.
///
/// # Errors
/// As with [`run`], or the file cannot be written.
pub fn record(args: &RecordArgs) -> anyhow::Result<Exit> {
    let began = Instant::now();
    rights::require("recording")?;
    let kernel = live::kernel()?;
    let catalogue = selection::catalogue(&args.rules, &kernel.release)?;
    selection::prove(&catalogue, &args.filters, &[])?;
    // Before the run: a file that cannot be made must not cost the run.
    let file = create(&args.file)?;
    let mut session = live::prepare(&catalogue, &args.filters, &args.live, Beyond::EVERYTHING)?;
    let mut outcome = live::observe(&mut session, &catalogue, &args.live, &args.extent, began)?;
    count_hooks(&mut outcome);
    let header = Header {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: live::kernel_info(&kernel, &catalogue, &session),
        source: Source::Live,
        command: outcome.command.as_ref().map(|command| command.argv.clone()).unwrap_or_default(),
        hooks: outcome.hooks.clone(),
        missing: session.plans().unreadable.clone(),
    };
    let addresses = output::addresses(args.addresses);
    let written = write(file, &header, addresses, outcome, &args.filters);
    let (observations, lost) = written.map_err(|error| cannot_write(&args.file, error))?;
    note(&format!("{observations} observations in {}; `vfs-audit check {0}` judges them", args.file.display()));
    Ok(if lost == 0 { Exit::Clean } else { Exit::Incomplete })
}

/// Writes the recording; returns how many observations it has, and how much was lost.
fn write(
    file: File,
    header: &Header,
    addresses: Addresses,
    outcome: Outcome,
    filters: &Filters,
) -> Result<(u64, u64), recording::Error> {
    let mut writer = Writer::create(file, header, addresses)?;
    for observation in outcome.brought.observations.iter().filter(|observation| filters.wants(observation)) {
        writer.push(observation)?;
        if writer.observations().is_multiple_of(FLUSH_EVERY) {
            writer.flush()?;
        }
    }
    let observations = writer.observations();
    let lost = outcome.loss.total;
    let end = End {
        seconds: outcome.seconds,
        command_exit: outcome.command.and_then(|command| command.exit_code),
        hooks: outcome.hooks,
        loss: outcome.loss,
        tracker: outcome.tracker,
        incomplete: outcome.incomplete,
    };
    writer.finish(&end)?;
    Ok((observations, lost))
}

fn cannot_write(path: &Path, error: recording::Error) -> Advice {
    let hint = "what was written until then stays readable: `vfs-audit check` says what of it is missing";
    Advice::new(format!("writing the recording {}", path.display()), hint).because(error)
}

fn create(path: &Path) -> anyhow::Result<File> {
    let hint = "name a file in a directory that exists and can be written";
    let made = File::create(path);
    Ok(made.map_err(|error| Advice::new(format!("making the recording {}", path.display()), hint).because(error))?)
}
