//! The table form: a report that a stranger can read in a terminal.

mod oracle;
mod page;
mod rules;
mod violation;

use page::{Ink, Page};

use super::json::{Summary, route_name};
use super::{Exit, HookState, HookStatus, ProgramCost, Report, Source, exit_code};

pub use page::Style;
pub(crate) use page::{counted, grouped, wrap};

/// Calls set apart, failed hooks and disagreements that are listed; JSON lists all.
const LISTED_MAX: usize = 20;

/// The report as text.
pub fn render_table(report: &Report, style: Style) -> String {
    let mut page = Page::new(style);
    write_header(&mut page, report);
    page.blank();
    write_result(&mut page, report);
    rules::write(&mut page, report);
    violation::write(&mut page, report);
    violation::write_excepted(&mut page, report);
    write_set_apart(&mut page, report);
    write_health(&mut page, report);
    oracle::write(&mut page, report);
    write_baseline(&mut page, report);
    write_ending(&mut page, report);
    page.finish()
}

fn write_header(page: &mut Page, report: &Report) {
    let kind = match report.source {
        Source::Live => "live audit",
        Source::Reference => "audit of the reference VFS",
        Source::Recorded => "check of a recorded run",
    };
    let kernel = &report.kernel;
    page.line(Ink::Plain, &format!("vfs-audit {}: {kind}", report.tool_version));
    page.field("kernel", &[&*kernel.release, &*kernel.machine, &*kernel.version].join(" "));
    page.field("rules", &format!("{}, {}", kernel.rules, counted(report.findings.rules.len() as u64, "rule")));
    let backends = [("callbacks by", &kernel.callback_backend), ("lock primitives by", &kernel.lock_backend)];
    let backends = backends.iter().filter(|(_, name)| !name.is_empty()).map(|(what, name)| format!("{what} {name}"));
    let backends: Vec<String> = backends.collect();
    if !backends.is_empty() {
        page.field("backends", &backends.join(", "));
    }
    page.field("duration", &format!("{:.1} s", report.seconds));
    if let Some(command) = &report.command {
        let exit = command.exit_code.map_or("how it ended is not known".to_owned(), |code| format!("exit code {code}"));
        page.field("command", &format!("{} ({exit})", command.argv.join(" ")));
    }
    for recording in &report.recordings {
        let observations = counted(recording.observations, "observation");
        page.field("recording", &format!("{}, {observations}", recording.file));
    }
}

fn write_result(page: &mut Page, report: &Report) {
    let figures = Summary::from(report);
    let rules = |count: usize| if count == 1 { "1 rule".to_owned() } else { format!("{count} rules") };
    let total = figures.violations_known + figures.violations_new;
    let known = match figures.violations_known {
        0 => String::new(),
        known => format!(" ({total} violations, {known} of them known)"),
    };
    let rest = [
        (figures.inconclusive, "inconclusive"),
        (figures.unobserved, "unobserved"),
        (figures.not_observable, "not observable"),
        (figures.not_judged, "not judged"),
        (figures.stale, "stale"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let rest: Vec<String> = rest.collect();
    let rest = rest.concat();
    let line = format!(
        "RESULT: {} violated{known}, {} satisfied{rest}; {} checked",
        rules(figures.violated),
        figures.satisfied,
        counted(figures.invocations, "invocation"),
    );
    page.line(ink_of(exit_code(report)), &line);
}

fn ink_of(exit: Exit) -> Ink {
    match exit {
        Exit::Clean => Ink::Good,
        Exit::Violated | Exit::Failed => Ink::Bad,
        Exit::Incomplete => Ink::Doubtful,
    }
}

fn write_set_apart(page: &mut Page, report: &Report) {
    let set_apart = &report.findings.set_apart;
    if set_apart.is_empty() {
        return;
    }
    page.blank();
    page.line(
        Ink::Plain,
        "Set apart: calls that did not come through an operations table, or of which that is not known",
    );
    let line = |call: &crate::checker::SetApart| {
        let count = grouped(call.count);
        format!("{} called by {} ({}): {count}", call.callback, call.caller, route_name(call.route))
    };
    write_list(page, "calls", set_apart.iter().map(line));
}

fn write_health(page: &mut Page, report: &Report) {
    let hooks = |state| report.hooks.iter().filter(|hook| hook.state == state).count() as u64;
    let (attached, absent, failed) = (hooks(HookState::Attached), hooks(HookState::Absent), hooks(HookState::Failed));
    page.blank();
    page.line(Ink::Plain, "Health of this run");
    page.field("hooks", &format!("{attached} attached, {absent} absent, {failed} failed"));
    // A primitive that this kernel does not have is nothing to tell; a callback whose calls are not seen is.
    let unseen = |hook: &&HookStatus| !hook.callback.is_empty() && !hook.op.starts_with("lock.");
    for (label, state) in [("not seen", HookState::Absent), ("failed", HookState::Failed)] {
        let told = report.hooks.iter().filter(|hook| hook.state == state);
        let told = told.filter(|hook| state == HookState::Failed || unseen(hook));
        write_list(page, label, told.map(|hook| format!("{} ({}): {}", hook.callback, hook.op, hook.reason)));
    }
    if let Some(timing) = &report.timing {
        let (attach, stop) = (timing.attach_seconds, timing.stop_seconds);
        page.field("probes", &format!("attached in {attach:.1} s, stopped in {stop:.1} s"));
        let cost = |program: &ProgramCost| {
            let (runs, time) = (grouped(program.runs), grouped(program.nanoseconds));
            format!(
                "{}: {runs} runs, {time} ns, {} ns each",
                program.name,
                grouped(program.nanoseconds / program.runs.max(1))
            )
        };
        write_list(page, "programs", timing.programs.iter().map(cost));
    }
    let causes = report.loss.by_cause.iter().map(|(cause, count)| format!("{cause} {}", grouped(*count)));
    let causes: Vec<String> = causes.collect();
    let by_cause = if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) };
    page.field("lost", &format!("{}{by_cause}", grouped(report.loss.total)));
    let tracker = &report.tracker;
    let health = format!(
        "{} of the two witnesses, {} by tasks whose lock history is incomplete, {} missed, {} skipped",
        counted(tracker.disagreements, "disagreement"),
        counted(tracker.incomplete_history, "invocation"),
        counted(tracker.releases_missed, "release"),
        counted(tracker.probes_skipped, "probe"),
    );
    page.field("tracker", &health);
    let disagreements = report.findings.disagreements.iter();
    write_list(
        page,
        "disagree",
        disagreements.map(|case| format!("{}: {} ({})", case.at, case.what, grouped(case.count))),
    );
}

fn write_baseline(page: &mut Page, report: &Report) {
    let Some(baseline) = &report.baseline else { return };
    let (known, expired, not_seen) = (baseline.known.len(), baseline.expired.len(), baseline.not_seen.len());
    page.blank();
    page.line(
        Ink::Plain,
        &format!("Baseline {}: {known} known, {expired} expired, {not_seen} not seen", baseline.file),
    );
    let line = |(fingerprint, case): (&String, &super::KnownCase)| {
        let day = case.expires.as_deref().unwrap_or("");
        format!("{fingerprint} {} since {day}, counts again: {}", case.rule, case.reason)
    };
    write_list(page, "expired", baseline.expired.iter().map(line));
    let not_seen = baseline.not_seen.iter().map(|(fingerprint, case)| format!("{fingerprint} {}", case.rule));
    write_list(page, "not seen", not_seen);
}

fn write_ending(page: &mut Page, report: &Report) {
    let exit = exit_code(report);
    page.blank();
    if !report.incomplete.is_empty() {
        page.line(Ink::Doubtful, "The run is incomplete");
        page.fields("because", &report.incomplete);
        page.blank();
    }
    page.line(ink_of(exit), &format!("Exit code {exit}"));
}

/// The first lines of a list, and how many are left out.
fn write_list(page: &mut Page, label: &str, lines: impl Iterator<Item = String>) {
    let mut lines: Vec<String> = lines.collect();
    let more = lines.len().saturating_sub(LISTED_MAX);
    lines.truncate(LISTED_MAX);
    if more > 0 {
        lines.push(format!("… and {more} more: --format json lists all"));
    }
    page.fields(label, &lines);
}
