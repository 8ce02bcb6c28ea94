//! What a report is made of; `--format json` is this, serialised.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checker::Findings;

/// Version of the JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// Where the observations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A running kernel.
    Live,
    /// The reference VFS.
    Reference,
    /// A recording.
    Recorded,
}

/// The kernel that was audited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Lock events seen (acquire and release), when counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_events: Option<u64>,
}

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the tool.
    pub tool_version: String,
    /// Kernel.
    pub kernel: KernelInfo,
    /// Source.
    pub source: Source,
    /// Seconds of observation.
    pub seconds: f64,
    /// Command that was run under audit, and its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<(Vec<String>, i32)>,
    /// Hooks.
    pub hooks: Vec<HookStatus>,
    /// The checker's findings: rules, violations, suspected, set apart, disagreements.
    #[serde(flatten)]
    pub findings: Findings,
    /// Loss.
    pub loss: Loss,
    /// Tracker health.
    pub tracker: Tracker,
    /// Why the run is incomplete (exit code 3); empty when it is not.
    pub incomplete: Vec<String>,
}
