//! The figures of one kernel: each op on each file system, and how many ops and rules were reached of all there are.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::coverage::document::Document;
use crate::coverage::reports::{Hooks, Kernel, Merged, Standing};
use crate::coverage::unreached;

/// Reasons of the tool that mean that the running kernel, not the run, has nothing to observe.
const KERNEL_LACKS: &str = "this kernel has no ";

/// One kernel's coverage.
#[derive(Debug, Clone, Serialize)]
pub struct Covered {
    /// Kernel release.
    pub kernel: String,
    /// Rule set: the release whose document was taken.
    pub rules: String,
    /// Reports that were added up.
    pub reports: usize,
    /// The document's ops, in order.
    pub ops: Vec<Op>,
    /// In figures.
    pub summary: Summary,
}

/// One op.
#[derive(Debug, Clone, Serialize)]
pub struct Op {
    /// Table and op.
    pub op: String,
    /// Invocations on all file systems.
    pub count: u64,
    /// Each file system that has a callback for it.
    pub by_fs: BTreeMap<String, Cell>,
    /// Why it was observed nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// One op on one file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Cell {
    /// Hooked and called.
    Observed {
        /// Invocations.
        count: u64,
    },
    /// Hooked, never called.
    Hooked,
    /// Not hooked.
    NotHooked {
        /// Why.
        reason: String,
    },
}

/// What was reached of all there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Ops that the document has.
    pub ops_documented: usize,
    /// Of them, those that the running kernel still has.
    pub ops_present: usize,
    /// Of those, the ones observed.
    pub ops_reached: usize,
    /// Judged rules.
    pub rules_judged: usize,
    /// Of them, those with a verdict: satisfied or violated.
    pub rules_with_verdict: usize,
    /// Those without a verdict whose reason is stated, by reason.
    pub rules_with_reason: BTreeMap<String, Vec<String>>,
    /// Those with neither.
    pub rules_without: Vec<String>,
    /// Stated to be out of reach, but observed: the statement is wrong.
    pub wrongly_excused: Vec<String>,
}

impl Covered {
    /// What the reports of `kernel` say of the ops and rules of its document.
    pub(crate) fn new(kernel: &Kernel, document: &Document, merged: &Merged) -> Self {
        let ops: Vec<Op> = document.ops.iter().map(|op| Op::new(op, merged)).collect();
        let mut summary = Summary {
            ops_documented: ops.len(),
            ops_present: ops.iter().filter(|op| op.is_present()).count(),
            ops_reached: ops.iter().filter(|op| op.count > 0).count(),
            rules_judged: document.judged.len(),
            ..Summary::default()
        };
        for (rule, op) in &document.judged {
            let why_not = ops.iter().find(|known| known.op == *op).and_then(|op| op.why_not.clone());
            summary.add_rule(rule, merged.rules.get(rule), why_not);
        }
        summary.add_wrongly_excused(&ops, merged);
        let (release, rules) = (kernel.release.clone(), kernel.rules.clone());
        Self { kernel: release, rules, reports: merged.reports, ops, summary }
    }

    /// Whether each judged rule has a verdict or a reason, and no reason is wrong.
    pub fn is_complete(&self) -> bool {
        self.summary.rules_without.is_empty() && self.summary.wrongly_excused.is_empty()
    }
}

impl Op {
    fn new(op: &str, merged: &Merged) -> Self {
        let empty = Hooks::default();
        let hooks = merged.hooks.get(op).unwrap_or(&empty);
        let mut by_fs: BTreeMap<String, Cell> = BTreeMap::new();
        for (fs, reason) in &hooks.unhooked {
            by_fs.insert(fs.clone(), Cell::NotHooked { reason: reason.clone() });
        }
        for fs in hooks.hooked.keys() {
            by_fs.insert(fs.clone(), Cell::Hooked);
        }
        for (fs, count) in merged.counts.get(op).into_iter().flatten() {
            by_fs.insert(fs.clone(), Cell::Observed { count: *count });
        }
        let count = merged.count(op);
        let why_not = (count == 0).then(|| why_not(op, hooks)).flatten();
        Self { op: op.to_owned(), count, by_fs, why_not }
    }

    fn is_present(&self) -> bool {
        self.why_not.as_ref().is_none_or(|why| !why.starts_with(KERNEL_LACKS))
    }
}

/// Why an op was not observed; nothing when it was hooked and nobody says why it was not called.
fn why_not(op: &str, hooks: &Hooks) -> Option<String> {
    if hooks.hooked.is_empty() {
        let unhooked = || hooks.unhooked.values().next().cloned();
        return hooks.absent.clone().filter(|why| !why.is_empty()).or_else(unhooked);
    }
    unreached::reason(op).map(str::to_owned)
}

impl Summary {
    fn add_rule(&mut self, rule: &str, standing: Option<&Standing>, op_why_not: Option<String>) {
        let reason = match standing {
            Some(Standing::Verdict(_)) => {
                self.rules_with_verdict += 1;
                return;
            }
            Some(Standing::Reason(reason)) => Some(reason.clone()),
            Some(Standing::Unobserved) | None => op_why_not.or_else(|| unreached::reason(rule).map(str::to_owned)),
        };
        match reason {
            Some(reason) => self.rules_with_reason.entry(reason).or_default().push(rule.to_owned()),
            None => self.rules_without.push(rule.to_owned()),
        }
    }

    fn add_wrongly_excused(&mut self, ops: &[Op], merged: &Merged) {
        let reached = ops.iter().filter(|op| op.count > 0).map(|op| op.op.as_str());
        let judged = merged.rules.iter().filter(|(_, standing)| matches!(standing, Standing::Verdict(_)));
        let names = reached.chain(judged.map(|(rule, _)| rule.as_str()));
        self.wrongly_excused = names.filter(|name| unreached::is_never_reached(name)).map(str::to_owned).collect();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::coverage::{document, reports};

    pub(crate) fn covered() -> Covered {
        let report = reports::tests::report();
        let mut merged = Merged::default();
        merged.add(&report);
        Covered::new(&report.kernel, &document::tests::document(), &merged)
    }

    #[test]
    fn each_op_says_where_it_was_observed_hooked_or_why_not() {
        let covered = covered();
        let op = |name: &str| covered.ops.iter().find(|op| op.op == name).unwrap();
        assert_eq!(op("i.create").by_fs["ext4"], Cell::Observed { count: 5 });
        assert_eq!(op("i.create").by_fs["xfs"], Cell::Hooked);
        assert_eq!(op("i.link").by_fs["ext4"], Cell::NotHooked { reason: "a_link: EINVAL".into() });
        assert_eq!(op("i.link").why_not.as_deref(), Some("a_link: EINVAL"));
        assert_eq!(op("i.gone").why_not.as_deref(), Some("this kernel has no i.gone"));
        assert_eq!((op("i.mknod").count, &op("i.mknod").why_not), (0, &None), "hooked, and nobody says why not called");
    }

    #[test]
    fn the_figures_leave_nothing_out() {
        let summary = covered().summary;
        assert_eq!((summary.ops_documented, summary.ops_present, summary.ops_reached), (5, 4, 1));
        assert_eq!((summary.rules_judged, summary.rules_with_verdict), (4, 1));
        assert_eq!(summary.rules_with_reason.values().map(Vec::len).sum::<usize>(), 2);
        assert_eq!(summary.rules_without, ["i.mknod.dir"]);
        assert!(!covered().is_complete());
    }

    #[test]
    fn an_op_of_the_document_that_no_report_knows_has_no_excuse() {
        let mut summary = Summary::default();
        summary.add_rule("i.create.dir", None, None);
        assert_eq!(summary.rules_without, ["i.create.dir"]);
    }
}
