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
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Rule id.
    pub id: String,
    /// Verdict.
    pub verdict: Verdict,
    /// What is missing, when inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Invocations that satisfied it.
    pub satisfied: u64,
    /// Invocations that violated it for certain.
    pub violated: u64,
    /// Invocations on which the evidence did not decide, suspected violations included.
    pub unknown: u64,
    /// Invocations of its op that it does not speak of or does not judge.
    pub not_applicable: u64,
    /// satisfied / (satisfied + violated + unknown); null when never applied.
    pub support: Option<f64>,
    /// The document's cell, or a pointer to its sentence.
    pub document: String,
    /// Satisfied invocations by file system type.
    pub by_fs: BTreeMap<String, u64>,
}

impl From<&checker::Verdict> for Verdict {
    fn from(verdict: &checker::Verdict) -> Self {
        match verdict {
            checker::Verdict::Satisfied => Self::Satisfied,
            checker::Verdict::Violated => Self::Violated,
            checker::Verdict::Unobserved => Self::Unobserved,
            checker::Verdict::NotJudged => Self::NotJudged,
            checker::Verdict::Inconclusive(_) => Self::Inconclusive,
        }
    }
}

impl From<&checker::RuleVerdict> for Rule {
    fn from(rule: &checker::RuleVerdict) -> Self {
        let reason = if let checker::Verdict::Inconclusive(why) = &rule.verdict { Some(why.clone()) } else { None };
        Self {
            id: rule.id.clone(),
            verdict: Verdict::from(&rule.verdict),
            reason,
            satisfied: rule.satisfied,
            violated: rule.violated,
            unknown: rule.unknown,
            not_applicable: rule.not_applicable,
            support: rule.support,
            document: rule.document.clone(),
            by_fs: rule.by_fs.clone(),
        }
    }
}
