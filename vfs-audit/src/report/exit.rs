//! What a report comes to: which violations are known, why the run is incomplete, and the exit code.
//!
//! No evidence is not a pass: loss, a hook that failed, a required rule without a verdict, a suspected violation and a
//! run that observed nothing all make an otherwise clean run incomplete. A rule that is not required and was not
//! observed, or is inconclusive because of tasks older than the tracer, does not: the report lists it, and `--require`
//! makes it count.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::date::Date;
use super::{HookState, Report};
use crate::checker::{RuleVerdict, Verdict};
use crate::rules::glob;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// No violation, nothing missing.
    Clean,
    /// At least one violation that no baseline knows.
    Violated,
    /// Could not run.
    Failed,
    /// No violation that counts, but incomplete.
    Incomplete,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Violated => 1,
            Self::Failed => 2,
            Self::Incomplete => 3,
        }
    }

    /// What the code means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Clean => "no violation",
            Self::Violated => "violations",
            Self::Failed => "could not run",
            Self::Incomplete => "no violation that counts, but the run is incomplete",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.meaning())
    }
}

/// What a report is measured by, beyond the rules.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// Patterns of rules that must have been decided.
    pub require: &'a [String],
    /// Known violations, with the name of their file and today's date.
    pub baseline: Option<(&'a Baseline, &'a str, Date)>,
}

impl Report {
    /// Marks what the baseline knows and says why the run is incomplete; call it once, when everything else is filled
    /// in.
    pub fn conclude(&mut self, terms: &Terms) {
        if let Some((baseline, file, today)) = terms.baseline {
            baseline.apply(self, file, today);
        }
        let disagreements = self.findings.disagreements.iter().map(|disagreement| disagreement.count);
        self.tracker.disagreements = disagreements.fold(0, u64::saturating_add);
        let mut reasons = std::mem::take(&mut self.incomplete);
        reasons.extend(self.nothing_observed());
        reasons.extend(self.losses());
        reasons.extend(self.failed_hooks());
        reasons.extend(self.open_suspicions());
        reasons.extend(self.refuted());
        reasons.extend(self.ungrouped());
        reasons.extend(terms.require.iter().flat_map(|pattern| undecided(&self.findings.rules, pattern)));
        self.incomplete = reasons;
    }

    fn nothing_observed(&self) -> Option<String> {
        let seen = self.findings.invocations.values().any(|count| *count > 0);
        (!seen).then(|| "nothing was observed: no invocation reached the checker".to_owned())
    }

    fn losses(&self) -> Option<String> {
        let causes = self.loss.by_cause.iter().filter(|(_, count)| **count > 0);
        let causes: Vec<String> = causes.map(|(cause, count)| format!("{cause} {count}")).collect();
        (self.loss.total > 0).then(|| format!("something was lost: {} ({})", self.loss.total, causes.join(", ")))
    }

    fn failed_hooks(&self) -> Option<String> {
        let failed = self.hooks.iter().filter(|hook| hook.state == HookState::Failed).count();
        (failed > 0).then(|| format!("hooks that failed: {failed}"))
    }

    fn ungrouped(&self) -> Option<String> {
        let ungrouped = self.findings.ungrouped;
        (ungrouped > 0).then(|| format!("invocations for which the lists of this report had no room left: {ungrouped}"))
    }

    /// What the tool calls certain and lockdep denies: then no verdict of the run is.
    fn refuted(&self) -> Vec<String> {
        let Some(oracle) = &self.oracle else { return Vec::new() };
        let mut reasons = Vec::new();
        if oracle.disagreed > 0 {
            let count = oracle.disagreed;
            reasons.push(format!("lockdep says something else of locks that this tool claims to know: {count} times"));
        }
        if oracle.lockdep_off {
            reasons
                .push("lockdep has switched itself off during the run: what it said since is worth nothing".to_owned());
        } else if oracle.invocations == 0 {
            reasons.push("lockdep was asked at no invocation".to_owned());
        }
        reasons
    }

    fn open_suspicions(&self) -> Option<String> {
        let open = self.findings.suspected.iter().filter(|suspected| !suspected.known).count();
        (open > 0).then(|| format!("suspected violations, neither proved nor ruled out: {open}"))
    }
}

/// The exit code of a report that is concluded.
pub fn exit_code(report: &Report) -> Exit {
    if report.findings.violations.iter().any(|violation| !violation.known) {
        Exit::Violated
    } else if report.incomplete.is_empty() {
        Exit::Clean
    } else {
        Exit::Incomplete
    }
}

/// Why a required pattern is not fulfilled, rule by rule.
fn undecided(rules: &[RuleVerdict], pattern: &str) -> Vec<String> {
    let mut matching = rules.iter().filter(|rule| glob::matches(pattern, &rule.id)).peekable();
    if matching.peek().is_none() {
        return vec![format!("required rule {pattern}: the rule set has no such rule")];
    }
    matching.filter_map(|rule| Some(format!("required rule {}: {}", rule.id, missing(&rule.verdict)?))).collect()
}

fn missing(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Satisfied | Verdict::Violated => None,
        Verdict::Unobserved => Some("unobserved".to_owned()),
        Verdict::NotJudged => Some("not judged: the document promises nothing here".to_owned()),
        Verdict::Inconclusive(why) => Some(format!("inconclusive: {why}")),
        Verdict::NotObservable(why) => Some(format!("not observable: {why}")),
        Verdict::Stale(why) => Some(format!("stale: {why}")),
    }
}
