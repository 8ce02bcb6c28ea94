//! What the reports of one kernel say together: which ops were hooked where, what was observed, and each rule's verdict.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;

/// File systems whose faults are on purpose: what they reach, a stock kernel need not reach.
const FAULTY: &str = "vfs_faulty";
/// Hooks of lock primitives, which are no ops.
const LOCK: &str = "lock.";

/// As much of a report as coverage needs; the whole form is `vfs-audit schema`'s.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Report {
    pub(crate) kernel: Kernel,
    pub(crate) source: String,
    hooks: Vec<HookRow>,
    rules: Vec<RuleRow>,
    invocations_by_fs: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The kernel that was audited.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    /// The rule set.
    pub(crate) rules: String,
}

#[derive(Debug, Clone, Deserialize)]
struct HookRow {
    op: String,
    callback: String,
    fs: String,
    state: String,
    reason: String,
}

#[derive(Debug, Clone, Deserialize)]
struct RuleRow {
    id: String,
    verdict: String,
    #[serde(default)]
    reason: Option<String>,
}

/// How far a rule came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It never applied.
    Unobserved,
    /// It has no verdict, for this reason.
    Reason(String),
    /// It has this verdict.
    Verdict(String),
}

/// The hooks of one op.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hooks {
    /// File system → callbacks that are hooked.
    pub(crate) hooked: BTreeMap<String, BTreeSet<String>>,
    /// File system → why a callback of its is not hooked.
    pub(crate) unhooked: BTreeMap<String, String>,
    /// Why there is nothing to hook.
    pub(crate) absent: Option<String>,
}

/// Everything that the reports of one kernel say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    pub(crate) hooks: BTreeMap<String, Hooks>,
    /// Op → file system → invocations.
    pub(crate) counts: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) rules: BTreeMap<String, Standing>,
    pub(crate) reports: usize,
}

impl Report {
    /// Reads one; nothing if the text is another kind of JSON or a report that is not of a live run.
    ///
    /// # Errors
    /// A report of vfs-audit that has not all that is needed.
    pub(crate) fn read(text: &str) -> Result<Option<Self>> {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return Ok(None) };
        if value.get("schema_version").is_none() {
            return Ok(None);
        }
        let report: Self = serde_json::from_value(value).context("a report without what coverage needs")?;
        Ok(Some(report).filter(|report| report.source != "reference"))
    }
}

impl Merged {
    pub(crate) fn add(&mut self, report: &Report) {
        self.reports += 1;
        report.hooks.iter().filter(|row| !row.op.starts_with(LOCK)).for_each(|row| self.add_hook(row));
        for (op, by_fs) in &report.invocations_by_fs {
            for (fs, count) in by_fs.iter().filter(|(fs, _)| !fs.starts_with(FAULTY)) {
                let sum = self.counts.entry(op.clone()).or_default().entry(fs.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        for rule in &report.rules {
            let standing = standing(rule);
            let known = self.rules.entry(rule.id.clone()).or_insert(Standing::Unobserved);
            if standing > *known {
                *known = standing;
            }
        }
    }

    fn add_hook(&mut self, row: &HookRow) {
        for op in row.op.split(", ") {
            let hooks = self.hooks.entry(op.to_owned()).or_default();
            if row.callback.is_empty() {
                hooks.absent = Some(row.reason.clone());
                continue;
            }
            for fs in row.fs.split(", ").filter(|fs| !fs.starts_with(FAULTY)) {
                if row.state == "attached" {
                    hooks.hooked.entry(fs.to_owned()).or_default().insert(row.callback.clone());
                } else {
                    hooks.unhooked.insert(fs.to_owned(), format!("{}: {}", row.callback, row.reason));
                }
            }
        }
    }

    /// Invocations of an op on all file systems.
    pub(crate) fn count(&self, op: &str) -> u64 {
        self.counts.get(op).into_iter().flat_map(BTreeMap::values).fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn standing(rule: &RuleRow) -> Standing {
    match (rule.verdict.as_str(), &rule.reason) {
        ("unobserved", _) => Standing::Unobserved,
        ("inconclusive" | "not_observable" | "stale", Some(reason)) => Standing::Reason(reason.clone()),
        (verdict, _) => Standing::Verdict(verdict.to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report() -> Report {
        let text = r#"{
          "schema_version": 1, "kernel": {"release": "6.12.1", "rules": "v6.12"}, "source": "live",
          "hooks": [
            {"op": "i.create, i.mknod", "callback": "a_create", "fs": "ext4, xfs", "state": "attached", "reason": "in a_iops"},
            {"op": "i.link", "callback": "a_link", "fs": "ext4", "state": "failed", "reason": "EINVAL"},
            {"op": "i.link", "callback": "f_link", "fs": "vfs_faulty_fs", "state": "attached", "reason": ""},
            {"op": "i.gone", "callback": "", "fs": "", "state": "absent", "reason": "this kernel has no i.gone"},
            {"op": "lock.rwsem", "callback": "down_read", "fs": "", "state": "attached", "reason": ""}],
          "rules": [
            {"id": "i.create.dir", "verdict": "satisfied"},
            {"id": "i.mknod.dir", "verdict": "unobserved"},
            {"id": "i.link.dir", "verdict": "inconclusive", "reason": "no field"},
            {"id": "i.gone.dir", "verdict": "not_observable", "reason": "this kernel has no i.gone"}],
          "invocations_by_fs": {"i.create": {"ext4": 5, "vfs_faulty_fs": 9}}}"#;
        Report::read(text).unwrap().unwrap()
    }

    #[test]
    fn reports_of_one_kernel_add_up_and_the_strongest_verdict_stays() {
        let mut later = report();
        later.rules[0].verdict = "unobserved".into();
        later.rules[1].verdict = "violated".into();
        let mut merged = Merged::default();
        merged.add(&report());
        merged.add(&later);
        assert_eq!(merged.count("i.create"), 10, "the faulty module's do not count");
        assert_eq!(merged.rules["i.create.dir"], Standing::Verdict("satisfied".into()));
        assert_eq!(merged.rules["i.mknod.dir"], Standing::Verdict("violated".into()));
        assert_eq!(merged.rules["i.link.dir"], Standing::Reason("no field".into()));
        assert!(merged.hooks["i.mknod"].hooked.contains_key("xfs"));
        assert_eq!(merged.hooks["i.link"].unhooked["ext4"], "a_link: EINVAL");
        assert!(merged.hooks["i.link"].hooked.is_empty() && !merged.hooks.contains_key("lock.rwsem"));
        assert_eq!(merged.hooks["i.gone"].absent.as_deref(), Some("this kernel has no i.gone"));
    }

    #[test]
    fn other_json_is_no_report_and_half_a_report_is_an_error() {
        assert!(Report::read("{\"bare\": 1}").unwrap().is_none());
        assert!(Report::read("no JSON").unwrap().is_none());
        assert!(Report::read("{\"schema_version\": 1}").is_err());
    }
}
