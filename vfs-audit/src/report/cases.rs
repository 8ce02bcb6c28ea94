//! A report as test cases, for the forms that know nothing else: one per rule, one for the run being complete.

use super::{Exit, Report, exit_code};
use crate::checker::{RuleVerdict, Verdict, Violation};
use crate::observation::Example;

/// What a test case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The rule is satisfied.
    Passed,
    /// The rule is violated.
    Failed,
    /// No verdict, or a known violation: neither passed nor failed.
    Skipped,
}

/// One test case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// Why it was skipped or failed, in one line; empty when it passed.
    pub(super) reason: String,
    /// More lines: the violations.
    pub(super) details: Vec<String>,
}

/// The cases of one operations table.
#[derive(Clone, Debug)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) cases: Vec<Case>,
}

impl Suite {
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|case| case.outcome == outcome).count()
    }
}

/// One suite per operations table, in the report's order, and one for the run itself.
pub(super) fn suites(report: &Report) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    for rule in &report.findings.rules {
        let (table, name) = rule.id.split_once('.').unwrap_or(("rules", &rule.id));
        let case = case(report, rule, name);
        match suites.last_mut() {
            Some(suite) if suite.name == table => suite.cases.push(case),
            _ => suites.push(Suite { name: table.to_owned(), cases: vec![case] }),
        }
    }
    suites.push(Suite { name: "run".to_owned(), cases: vec![completeness(report)] });
    suites
}

fn case(report: &Report, rule: &RuleVerdict, name: &str) -> Case {
    let violations: Vec<&Violation> = report.findings.violations.iter().filter(|one| one.rule == rule.id).collect();
    let (outcome, reason) = match &rule.verdict {
        Verdict::Satisfied => (Outcome::Passed, String::new()),
        Verdict::Violated if !violations.is_empty() && violations.iter().all(|violation| violation.known) => {
            (Outcome::Skipped, "violated, and the baseline knows it".to_owned())
        }
        Verdict::Violated => (Outcome::Failed, format!("violated by {} invocations", rule.violated)),
        Verdict::Unobserved => (Outcome::Skipped, "unobserved".to_owned()),
        Verdict::NotJudged => (Outcome::Skipped, "not judged".to_owned()),
        Verdict::Inconclusive(why) => (Outcome::Skipped, format!("inconclusive: {why}")),
        Verdict::NotObservable(why) => (Outcome::Skipped, format!("not observable: {why}")),
        Verdict::Stale(why) => (Outcome::Skipped, format!("stale: {why}")),
    };
    Case { name: name.to_owned(), outcome, reason, details: violations.into_iter().flat_map(details).collect() }
}

fn details(violation: &Violation) -> Vec<String> {
    let seen = &violation.counterexample;
    let mut lines = vec![
        format!("{} on {}, called by {}", seen.callback, seen.fs, seen.caller),
        format!("required: {}", violation.required),
        format!("found: {}", violation.found),
        format!("count: {}, fingerprint: {}", violation.count, violation.fingerprint),
    ];
    let task = |example: &Example| {
        format!("task: {} (tid {}, pid {})", example.task.comm, example.task.tid, example.task.tgid)
    };
    lines.extend(seen.example.iter().map(task));
    let frames = seen.example.iter().flat_map(|example| &example.stack);
    lines.extend(frames.map(|frame| format!("  {frame}")));
    lines
}

/// The run as a case of its own: what is missing must not look like a pass.
fn completeness(report: &Report) -> Case {
    let name = "complete".to_owned();
    let details = report.incomplete.clone();
    if details.is_empty() {
        return Case { name, outcome: Outcome::Passed, reason: String::new(), details };
    }
    let outcome = if exit_code(report) == Exit::Incomplete { Outcome::Failed } else { Outcome::Skipped };
    Case { name, outcome, reason: "the run is incomplete".to_owned(), details }
}
