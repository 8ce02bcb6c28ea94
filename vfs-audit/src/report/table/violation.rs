//! A violation as a block: what is required, what was found, how that is known, who did it, what to do next.

use super::page::{Ink, Page, counted};
use crate::checker::{Evidence, Violation};
use crate::observation::{Example, Observation, Route};
use crate::report::{Report, json};

/// Violations of one kind shown in full; JSON lists all.
const SHOWN_MAX: usize = 50;

/// Writes certain and suspected violations.
pub(super) fn write(page: &mut Page, report: &Report) {
    let findings = &report.findings;
    write_all(page, report, &findings.violations, "VIOLATION");
    if !findings.suspected.is_empty() {
        page.blank();
        let note = "Suspected: the evidence neither proves nor rules these out. They are no violations of this report.";
        page.line(Ink::Doubtful, note);
    }
    write_all(page, report, &findings.suspected, "SUSPECTED");
}

fn write_all(page: &mut Page, report: &Report, violations: &[Violation], title: &str) {
    for (number, violation) in violations.iter().take(SHOWN_MAX).enumerate() {
        let known = if violation.known { " (known)" } else { "" };
        let ink = match violation.evidence {
            _ if violation.known => Ink::Faint,
            Evidence::Suspected => Ink::Doubtful,
            Evidence::Word | Evidence::History => Ink::Bad,
        };
        page.blank();
        page.line(ink, &format!("{title} {} of {}{known}: {}", number + 1, violations.len(), violation.rule));
        write_one(page, report, violation);
    }
    if violations.len() > SHOWN_MAX {
        page.blank();
        page.line(Ink::Plain, &format!("… and {} more: --format json lists all", violations.len() - SHOWN_MAX));
    }
}

/// Writes known dubious cases, one line each.
pub(super) fn write_excepted(page: &mut Page, report: &Report) {
    let excepted = &report.findings.excepted;
    if excepted.is_empty() {
        return;
    }
    page.blank();
    page.line(Ink::Plain, "Known dubious cases: broken rules that do not count, each with its reason");
    for case in excepted.iter().take(SHOWN_MAX) {
        let Violation { rule, count, counterexample: seen, .. } = &case.violation;
        let count = counted(*count, "invocation");
        let line = format!("{rule} at {} called by {}, {count}: {}", seen.callback, seen.caller, case.reason);
        page.field("dubious", &line);
    }
    if excepted.len() > SHOWN_MAX {
        page.field("", &format!("… and {} more: --format json lists all", excepted.len() - SHOWN_MAX));
    }
}

fn write_one(page: &mut Page, report: &Report, violation: &Violation) {
    let seen = &violation.counterexample;
    page.field("document", report.document_of(&violation.rule));
    page.field("required", &violation.required);
    page.field("found", &violation.found);
    page.field("evidence", evidence(violation.evidence));
    page.field("count", &count(report, violation));
    page.field("callback", &callback(seen));
    page.field("superblock", &superblock(seen));
    page.field("caller", &caller(seen));
    if !seen.facts.is_empty() {
        let facts = seen.facts.iter().map(|(fact, is)| format!("{fact} {}", if *is { "yes" } else { "no" }));
        page.field("facts", &facts.collect::<Vec<_>>().join(", "));
    }
    match &seen.example {
        Some(example) => write_example(page, example),
        None => page.field("task", "not known: the event with task, stack and held locks was lost"),
    }
    page.field("fingerprint", &violation.fingerprint);
    if let Some(reason) = report.known_reason(violation) {
        page.field("known", reason);
    }
    page.command("next", &format!("vfs-audit rules explain {}", violation.rule));
}

fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Word => "word: the lock itself proves it",
        Evidence::History => "history: the task's lock history is complete and nothing was missed on it",
        Evidence::Suspected => "suspected: less than proof",
    }
}

fn count(report: &Report, violation: &Violation) -> String {
    let invocations = counted(violation.count, "invocation");
    let rule = report.findings.rules.iter().find(|rule| rule.id == violation.rule);
    rule.map_or(invocations.clone(), |rule| {
        format!("{invocations}; {} kept the rule", counted(rule.satisfied, "invocation"))
    })
}

fn callback(seen: &Observation) -> String {
    let also = seen.also.iter().flat_map(|op| [", also ", op]).collect::<String>();
    format!("{} ({}.{}{also}), at {}", seen.callback, seen.table, seen.op, json::point_name(seen.point))
}

fn superblock(seen: &Observation) -> String {
    let fs = if seen.fs.is_empty() { "unknown file system" } else { &seen.fs };
    if seen.sb_id.is_empty() { fs.to_owned() } else { format!("{fs} on {}", seen.sb_id) }
}

fn caller(seen: &Observation) -> String {
    let how = match seen.route {
        Route::Table => "through the operations table",
        Route::Direct => "called directly",
        Route::Unknown => "how it was called is not known",
    };
    format!("{} ({how})", seen.caller)
}

fn write_example(page: &mut Page, example: &Example) {
    let task = &example.task;
    let seconds = example.time_ns / 1_000_000_000;
    let nanoseconds = example.time_ns % 1_000_000_000;
    page.field("task", &format!("{} (tid {}, pid {})", task.comm, task.tid, task.tgid));
    page.field("time", &format!("{seconds}.{nanoseconds:09} s, monotonic"));
    if !example.inodes.is_empty() {
        let inodes = example.inodes.iter().map(|(role, inode)| format!("{role} {inode}"));
        page.field("inodes", &inodes.collect::<Vec<_>>().join(", "));
    }
    page.fields("held locks", &held(example));
    let unknown = ["not known".to_owned()];
    page.fields("stack", if example.stack.is_empty() { &unknown } else { &example.stack });
    if !example.sleep_stack.is_empty() {
        page.fields("slept at", &example.sleep_stack);
    }
}

fn held(example: &Example) -> Vec<String> {
    if example.held.is_empty() {
        return vec!["none".to_owned()];
    }
    let line = |held: &crate::observation::Held| {
        let mode = if held.exclusive { "exclusive" } else { "shared" };
        format!("{} {mode}, acquired at {}", held.lock, held.site)
    };
    example.held.iter().map(line).collect()
}
