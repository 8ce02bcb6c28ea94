//! A rule's verdict in the JSON form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checker;

/// A rule's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Applied, never violated, never unknown.
    Satisfied,
    /// At least one certain violation.
    Violated,
    /// Never applied.
    Unobserved,
    /// Observed; promises nothing.
    NotJudged,
    /// Evidence is missing.
    Inconclusive,
    /// Nothing here can read what the rule needs, or has what it speaks of.
    NotObservable,
    /// Names a lock that no running kernel has.
    Stale,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Rule id.
    pub id: String,
    /// Verdict.
    pub verdict: Verdict,
    /// Why, when inconclusive, not observable or stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Invocations that satisfied it.
    pub satisfied: u64,
    /// Invocations that violated it for certain.
    pub violated: u64,
    /// Invocations on which the evidence did not decide, suspected violations included.
    pub unknown: u64,
    /// Of the unknown ones, those that are suspected violations.
    pub suspected: u64,
    /// Of the satisfied ones, those where the lock is held but nothing proves by whom.
    pub unproven: u64,
    /// Invocations that broke the rule in a way that is listed as a known dubious case.
    pub excepted: u64,
    /// Invocations of its op that it does not speak of or does not judge.
    pub not_applicable: u64,
    /// satisfied / (satisfied + violated + unknown + excepted); null when never applied.
    pub support: Option<f64>,
    /// The document's cell, or a pointer to its sentence.
    pub document: String,
    /// Satisfied invocations by file system type.
    pub by_fs: BTreeMap<String, u64>,
    /// For a rule that is not judged: what was seen, with invocations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, u64>,
}

impl From<&checker::Verdict> for Verdict {
    fn from(verdict: &checker::Verdict) -> Self {
        match verdict {
            checker::Verdict::Satisfied => Self::Satisfied,
            checker::Verdict::Violated => Self::Violated,
            checker::Verdict::Unobserved => Self::Unobserved,
            checker::Verdict::NotJudged => Self::NotJudged,
            checker::Verdict::Inconclusive(_) => Self::Inconclusive,
            checker::Verdict::NotObservable(_) => Self::NotObservable,
            checker::Verdict::Stale(_) => Self::Stale,
        }
    }
}

impl From<&checker::RuleVerdict> for Rule {
    fn from(rule: &checker::RuleVerdict) -> Self {
        Self {
            id: rule.id.clone(),
            verdict: Verdict::from(&rule.verdict),
            reason: rule.verdict.reason().map(str::to_owned),
            satisfied: rule.satisfied,
            violated: rule.violated,
            unknown: rule.unknown,
            suspected: rule.suspected,
            unproven: rule.unproven,
            excepted: rule.excepted,
            not_applicable: rule.not_applicable,
            support: rule.support,
            document: rule.document.clone(),
            by_fs: rule.by_fs.clone(),
            seen: rule.seen.clone(),
        }
    }
}
