//! What the checker says: outcomes, verdicts, violations. Plain data, serialised as it stands into reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observation::{Observation, Route};

/// Where a judgement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The lock word itself proves it.
    Word,
    /// The task's tracked history is complete and nothing was missed on it.
    History,
    /// Anything less: listed apart, never a violation.
    Suspected,
}

/// One rule against one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every requirement that applies is met.
    Satisfied,
    /// At least one requirement is not met.
    Violated(Evidence),
    /// The rule's conditions do not hold here, or the call did not come through the table.
    NotApplicable,
    /// The document promises nothing that could be broken; the invocation is counted, not judged.
    NotJudged,
    /// Applies, but the evidence does not decide.
    Unknown(String),
}

/// One rule over a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    /// Applied at least once, never violated, never unknown.
    Satisfied,
    /// At least one certain violation.
    Violated,
    /// Never applied.
    Unobserved,
    /// Observed; the document promises nothing here, so nothing is judged.
    NotJudged,
    /// Some evidence is missing; says which.
    Inconclusive(String),
    /// Nothing here can read what the rule needs, or has what it speaks of; says what.
    NotObservable(String),
    /// Names a lock that no running kernel has; says which.
    Stale(String),
}

impl Verdict {
    /// Why, for the verdicts that have a reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Inconclusive(why) | Self::NotObservable(why) | Self::Stale(why) => Some(why),
            Self::Satisfied | Self::Violated | Self::Unobserved | Self::NotJudged => None,
        }
    }
}

/// The verdict on one rule with its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// Rule id.
    pub id: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Invocations that satisfied it.
    pub satisfied: u64,
    /// Invocations that violated it for certain.
    pub violated: u64,
    /// Invocations on which the evidence did not decide, suspected violations included.
    pub unknown: u64,
    /// Of the unknown ones, those that are suspected violations.
    #[serde(default)]
    pub suspected: u64,
    /// Of the satisfied ones, those where the lock is held but nothing proves by whom (spinlock, page bit).
    #[serde(default)]
    pub unproven: u64,
    /// Invocations that broke the rule in a way that is listed as a known dubious case.
    #[serde(default)]
    pub excepted: u64,
    /// Invocations of the op that were seen but that the rule does not judge or does not speak of.
    pub not_applicable: u64,
    /// satisfied / (satisfied + violated + unknown + excepted); absent when never applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<f64>,
    /// The document's cell or sentence, as a short fact (`exclusive (both)`).
    pub document: String,
    /// Satisfied invocations by file system type.
    pub by_fs: BTreeMap<String, u64>,
    /// What was seen (`inode.i_rwsem: not held`), with invocations: of a rule that is not judged, and of every rule where a
    /// checker was told to record that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, u64>,
}

/// A broken rule with its counterexample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Rule id.
    pub rule: String,
    /// Stable across runs: hash of rule, callback, file system, caller symbol and what was held.
    pub fingerprint: String,
    /// How it is known; the strongest of its invocations.
    pub evidence: Evidence,
    /// Invocations with this fingerprint.
    pub count: u64,
    /// What the rule requires, in words (`i_rwsem of dir held exclusive`).
    pub required: String,
    /// What was seen instead, in words (`i_rwsem of dir: free (the lock word proves it)`).
    pub found: String,
    /// True when the baseline knows it: shown, not counted for the exit code.
    #[serde(default)]
    pub known: bool,
    /// The observation shown with it.
    pub counterexample: Observation,
}

/// A violation that is listed as a known dubious case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excepted {
    /// Why the case is known.
    pub reason: String,
    /// The violation.
    #[serde(flatten)]
    pub violation: Violation,
}

/// A call that no rule speaks of because it did not come through the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetApart {
    /// Op.
    pub op: String,
    /// Callback.
    pub callback: String,
    /// Caller symbol.
    pub caller: String,
    /// Why.
    pub route: Route,
    /// Invocations.
    pub count: u64,
}

/// A disagreement of the two witnesses: the tool's own health figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// `role.lock` at `callback`.
    pub at: String,
    /// What the word said and what the table said.
    pub what: String,
    /// Invocations.
    pub count: u64,
}

/// All that one check says; a pure function of rules and observations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// One per rule, in rule order.
    pub rules: Vec<RuleVerdict>,
    /// Certain violations.
    pub violations: Vec<Violation>,
    /// Suspected ones.
    pub suspected: Vec<Violation>,
    /// Known dubious cases: they do not make a run fail.
    #[serde(default)]
    pub excepted: Vec<Excepted>,
    /// Calls set apart.
    pub set_apart: Vec<SetApart>,
    /// Tracker faults.
    pub disagreements: Vec<Disagreement>,
    /// Invocations checked, by table and op (`inode_operations.create`).
    pub invocations: BTreeMap<String, u64>,
    /// Invocations whose violation, set-apart call or disagreement found no room for a group of its own.
    #[serde(default)]
    pub ungrouped: u64,
}
