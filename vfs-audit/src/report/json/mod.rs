//! The JSON form of a report: flat, self-contained, versioned; the types here are the schema.
//!
//! A field is never renamed or removed without a new [`SCHEMA_VERSION`]; fields may be added.

mod lines;
mod rule;
mod violation;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuditedCommand, BaselineUse, ByFileSystem, Exit, HookStatus, KernelInfo, Loss, Recording, Report, SCHEMA_VERSION,
    Source, Timing, escape, exit_code,
};
use crate::checker;
use crate::oracle::OracleReport;

pub use lines::render_json_lines;
pub use rule::{Rule, Verdict};
pub use violation::{Evidence, Held, Lock, Task, Violation};
pub(in crate::report) use violation::{point_name, route_name};

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "vfs-audit report")]
pub struct Document {
    /// Version of this form.
    pub schema_version: u32,
    /// Version of the tool.
    pub tool_version: String,
    /// Kernel that was audited.
    pub kernel: KernelInfo,
    /// Where the observations come from.
    pub source: Source,
    /// Seconds of observation.
    pub seconds: f64,
    /// Command that was run under audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<AuditedCommand>,
    /// Recordings that were checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<Recording>,
    /// How it ended.
    pub exit: Ending,
    /// Why the run is incomplete; empty when it is not.
    pub incomplete: Vec<String>,
    /// Rules by verdict, and what there was to judge.
    pub summary: Summary,
    /// Hooks.
    pub hooks: Vec<HookStatus>,
    /// Verdicts, in the order of the rules.
    pub rules: Vec<Rule>,
    /// Certain violations.
    pub violations: Vec<Violation>,
    /// Suspected ones: the evidence does not decide.
    pub suspected: Vec<Violation>,
    /// Known dubious cases: broken rules that do not count, each with its reason in `known_reason`.
    pub excepted: Vec<Violation>,
    /// Calls that no rule speaks of, because they did not come through the table.
    pub set_apart: Vec<SetApart>,
    /// Invocations checked, by table and op.
    pub invocations: BTreeMap<String, u64>,
    /// The same by type of file system, below table and op.
    #[serde(default)]
    pub invocations_by_fs: ByFileSystem,
    /// Invocations for which the lists above had no room left.
    pub ungrouped: u64,
    /// What was dropped.
    pub loss: Loss,
    /// The tracker's own health.
    pub tracker: Tracker,
    /// How long the probes took; absent when the report is not of a live run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// How often lockdep said the same of a lock, with `--oracle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle: Option<OracleReport>,
    /// What the baseline knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineUse>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ending {
    /// Exit code.
    pub code: u8,
    /// What it means.
    pub meaning: Exit,
}

/// The report in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Rules satisfied.
    pub satisfied: usize,
    /// Rules violated.
    pub violated: usize,
    /// Rules observed whose evidence did not decide.
    pub inconclusive: usize,
    /// Rules never applied.
    pub unobserved: usize,
    /// Rules observed that promise nothing.
    pub not_judged: usize,
    /// Rules that nothing here can read.
    pub not_observable: usize,
    /// Rules that name a lock which is gone.
    pub stale: usize,
    /// Certain violations that no baseline knows.
    pub violations_new: usize,
    /// Certain violations that the baseline knows.
    pub violations_known: usize,
    /// Suspected violations.
    pub suspected: usize,
    /// Invocations checked.
    pub invocations: u64,
}

/// Calls set apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetApart {
    /// Op.
    pub op: String,
    /// Function.
    pub callback: String,
    /// Caller.
    pub caller: String,
    /// How the calls came.
    pub route: String,
    /// Invocations.
    pub count: u64,
}

/// The tracker's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tracker {
    /// Invocations at which the two witnesses contradicted each other.
    pub disagreements: u64,
    /// Which.
    pub cases: Vec<Disagreement>,
    /// Invocations by tasks whose lock history was incomplete.
    pub incomplete_history: u64,
    /// Held locks that turned out to be free, or were still noted when their task came from user space.
    #[serde(default)]
    pub releases_missed: u64,
    /// Runs of probes on lock primitives that the kernel skipped because another task's was under way on the CPU; the lock
    /// histories concerned count as incomplete.
    #[serde(default)]
    pub probes_skipped: u64,
}

/// A contradiction of the two witnesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disagreement {
    /// Which lock where.
    pub at: String,
    /// What each said.
    pub what: String,
    /// Invocations.
    pub count: u64,
}

/// The report as indented JSON, one object.
///
/// # Errors
/// None that a report can cause.
pub fn render_json(report: &Report) -> serde_json::Result<String> {
    escape::json(&Document::from(report)).map(|text| text + "\n")
}

/// The JSON Schema of that object.
///
/// # Errors
/// None.
pub fn render_schema() -> serde_json::Result<String> {
    escape::json(&schemars::schema_for!(Document)).map(|text| text + "\n")
}

impl From<&Report> for Document {
    fn from(report: &Report) -> Self {
        let findings = &report.findings;
        let exit = exit_code(report);
        let put = |found| Violation::new(report, found);
        Self {
            schema_version: SCHEMA_VERSION,
            tool_version: report.tool_version.clone(),
            kernel: report.kernel.clone(),
            source: report.source,
            seconds: report.seconds,
            command: report.command.clone(),
            recordings: report.recordings.clone(),
            exit: Ending { code: exit.code(), meaning: exit },
            incomplete: report.incomplete.clone(),
            summary: Summary::from(report),
            hooks: report.hooks.clone(),
            rules: findings.rules.iter().map(Rule::from).collect(),
            violations: findings.violations.iter().map(put).collect(),
            suspected: findings.suspected.iter().map(put).collect(),
            excepted: findings.excepted.iter().map(violation::excepted(report)).collect(),
            set_apart: findings.set_apart.iter().map(SetApart::from).collect(),
            invocations: findings.invocations.clone(),
            invocations_by_fs: report.invocations_by_fs.clone(),
            ungrouped: findings.ungrouped,
            loss: report.loss.clone(),
            tracker: Tracker::from(report),
            timing: report.timing.clone(),
            oracle: report.oracle.clone(),
            baseline: report.baseline.clone(),
        }
    }
}

impl From<&Report> for Summary {
    fn from(report: &Report) -> Self {
        let findings = &report.findings;
        let rules = |wanted| findings.rules.iter().filter(|rule| Verdict::from(&rule.verdict) == wanted).count();
        let known = findings.violations.iter().filter(|violation| violation.known).count();
        Self {
            satisfied: rules(Verdict::Satisfied),
            violated: rules(Verdict::Violated),
            inconclusive: rules(Verdict::Inconclusive),
            unobserved: rules(Verdict::Unobserved),
            not_judged: rules(Verdict::NotJudged),
            not_observable: rules(Verdict::NotObservable),
            stale: rules(Verdict::Stale),
            violations_new: findings.violations.len() - known,
            violations_known: known,
            suspected: findings.suspected.len(),
            invocations: findings.invocations.values().fold(0, |sum, count| sum.saturating_add(*count)),
        }
    }
}

impl From<&checker::SetApart> for SetApart {
    fn from(set_apart: &checker::SetApart) -> Self {
        Self {
            op: set_apart.op.clone(),
            callback: set_apart.callback.clone(),
            caller: set_apart.caller.clone(),
            route: route_name(set_apart.route).to_owned(),
            count: set_apart.count,
        }
    }
}

impl From<&Report> for Tracker {
    fn from(report: &Report) -> Self {
        let case = |d: &checker::Disagreement| Disagreement { at: d.at.clone(), what: d.what.clone(), count: d.count };
        Self {
            disagreements: report.tracker.disagreements,
            cases: report.findings.disagreements.iter().map(case).collect(),
            incomplete_history: report.tracker.incomplete_history,
            releases_missed: report.tracker.releases_missed,
            probes_skipped: report.tracker.probes_skipped,
        }
    }
}
