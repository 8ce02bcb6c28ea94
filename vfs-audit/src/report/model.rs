//! What a report is made of; `--format json` is this, serialised.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Addresses;
use crate::checker::{Findings, Violation};
use crate::observation::{Observation, Point, Route};
use crate::oracle::OracleReport;

/// Version of the JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// Where the observations come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A running kernel.
    #[default]
    Live,
    /// The reference VFS.
    Reference,
    /// A recording.
    Recorded,
}

/// The kernel that was audited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelInfo {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `uname -m`.
    pub machine: String,
    /// Rule set in use (`v6.12`).
    pub rules: String,
    /// How callbacks are hooked (`kprobe.multi`, `kprobe`, `fentry`).
    pub callback_backend: String,
    /// How lock primitives are hooked.
    pub lock_backend: String,
}

/// How a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// Its probe is attached.
    Attached,
    /// There is nothing to attach to; the reason says why.
    Absent,
    /// Attaching was tried and failed.
    Failed,
}

/// One row of the hook table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookStatus {
    /// `inode_operations.create`, or `lock.rwsem` for a lock primitive.
    pub op: String,
    /// Function.
    pub callback: String,
    /// Module or file systems it was found for.
    pub fs: String,
    /// Kind of probe.
    pub probe: String,
    /// State.
    pub state: HookState,
    /// Why, when not attached; where the table was found, when attached.
    pub reason: String,
    /// Invocations seen.
    pub count: u64,
}

/// Everything dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// Sum.
    pub total: u64,
    /// By cause; every cause is listed, zero or not.
    pub by_cause: BTreeMap<String, u64>,
}

/// The tracker's own health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    /// Invocations at which the two witnesses contradicted each other.
    pub disagreements: u64,
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

impl Tracker {
    /// Adds what one observation says about the tracker.
    pub fn tally(&mut self, observation: &Observation) {
        if !observation.history_complete {
            self.incomplete_history = self.incomplete_history.saturating_add(observation.count);
        }
    }
}

/// Invocations by table and op, then by type of file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ByFileSystem(pub BTreeMap<String, BTreeMap<String, u64>>);

impl ByFileSystem {
    /// Adds the invocations of one observation, for the op that the checker counts them for: those that can be judged.
    pub fn tally(&mut self, op: &str, observation: &Observation) {
        if observation.point != Point::Entry || observation.route == Route::Direct || observation.count == 0 {
            return;
        }
        let op = format!("{}.{op}", observation.table);
        let count = self.0.entry(op).or_default().entry(observation.fs.clone()).or_default();
        *count = count.saturating_add(observation.count);
    }
}

/// How long the probes took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Seconds from the command's start until everything is attached and proven, before anything was observed: reading the
    /// rules and the kernel's types and symbols, looking for the tables, loading, attaching, the self-test.
    pub attach_seconds: f64,
    /// Seconds from the end of the observation until nothing more is observed and everything is collected.
    pub stop_seconds: f64,
    /// What each eBPF program took, the dearest first; empty unless it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramCost>,
}

/// What one eBPF program took, as the kernel counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramCost {
    /// Name, 15 bytes at most.
    pub name: String,
    /// Times that it ran.
    pub runs: u64,
    /// Nanoseconds in it.
    pub nanoseconds: u64,
}

/// The command that was run under audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditedCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its exit code, 128 + the signal when one ended it; absent when it was still running or could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A recording that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recording {
    /// Its file.
    pub file: String,
    /// Observations read from it.
    pub observations: u64,
    /// Observations known to be lost.
    pub lost_observations: u64,
}

/// One entry of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KnownCase {
    /// Rule it is about.
    pub rule: String,
    /// Why it is accepted.
    pub reason: String,
    /// Last day on which it is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// What a baseline did to a report; entries by fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineUse {
    /// Its file.
    pub file: String,
    /// Entries that mark a violation of this run.
    pub known: BTreeMap<String, KnownCase>,
    /// Entries whose day is over: their violations count again.
    pub expired: BTreeMap<String, KnownCase>,
    /// Entries whose violation was not seen in this run.
    pub not_seen: BTreeMap<String, KnownCase>,
}

/// A whole report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Version of the tool.
    pub tool_version: String,
    /// Kernel.
    pub kernel: KernelInfo,
    /// Source.
    pub source: Source,
    /// Seconds of observation.
    pub seconds: f64,
    /// Command that was run under audit.
    pub command: Option<AuditedCommand>,
    /// Recordings that were checked; empty for a live run.
    pub recordings: Vec<Recording>,
    /// Hooks.
    pub hooks: Vec<HookStatus>,
    /// The checker's findings: rules, violations, suspected, set apart, disagreements.
    pub findings: Findings,
    /// Loss.
    pub loss: Loss,
    /// Tracker health.
    pub tracker: Tracker,
    /// Invocations by op and file system.
    pub invocations_by_fs: ByFileSystem,
    /// How long the probes took; nothing for a report that is not of a live run.
    pub timing: Option<Timing>,
    /// How often lockdep said the same, when it was asked.
    pub oracle: Option<OracleReport>,
    /// The baseline that was applied, and what it knew.
    pub baseline: Option<BaselineUse>,
    /// Why the run is incomplete (exit code 3); empty when it is not. [`Report::conclude`] adds to what is there.
    pub incomplete: Vec<String>,
}

impl Report {
    /// What the document says for a rule; empty for a rule that is not in the report.
    pub(super) fn document_of(&self, rule: &str) -> &str {
        self.findings.rules.iter().find(|verdict| verdict.id == rule).map_or("", |verdict| &verdict.document)
    }

    /// The baseline's reason for a violation that it knows.
    pub(super) fn known_reason(&self, violation: &Violation) -> Option<&str> {
        let case = self.baseline.as_ref()?.known.get(&violation.fingerprint)?;
        violation.known.then_some(case.reason.as_str())
    }

    /// Hides kernel addresses in everything that was symbolised, unless they are asked for.
    pub fn redact(&mut self, addresses: Addresses) {
        let findings = &mut self.findings;
        let excepted = findings.excepted.iter_mut().map(|case| &mut case.violation);
        for violation in findings.violations.iter_mut().chain(&mut findings.suspected).chain(excepted) {
            addresses.apply_to(&mut violation.found);
            redact_observation(&mut violation.counterexample, addresses);
        }
        for set_apart in &mut findings.set_apart {
            addresses.apply_to(&mut set_apart.callback);
            addresses.apply_to(&mut set_apart.caller);
        }
        for disagreement in &mut findings.disagreements {
            addresses.apply_to(&mut disagreement.at);
            addresses.apply_to(&mut disagreement.what);
        }
        for hook in &mut self.hooks {
            addresses.apply_to(&mut hook.callback);
            addresses.apply_to(&mut hook.reason);
        }
        if let Some(oracle) = &mut self.oracle {
            oracle.redact(addresses);
        }
        self.incomplete.iter_mut().for_each(|reason| addresses.apply_to(reason));
    }
}

fn redact_observation(observation: &mut Observation, addresses: Addresses) {
    addresses.apply_to(&mut observation.callback);
    addresses.apply_to(&mut observation.caller);
    let Some(example) = &mut observation.example else { return };
    example.stack.iter_mut().chain(&mut example.sleep_stack).for_each(|frame| addresses.apply_to(frame));
    for held in &mut example.held {
        addresses.apply_to(&mut held.lock);
        addresses.apply_to(&mut held.site);
    }
}
