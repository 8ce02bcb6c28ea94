//! A violation in the JSON form: the rule and its counterexample, flat.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checker;
use crate::observation::{self, LockReading, Point, Route, Tracked, Word};
use crate::report::Report;

/// A violation, certain or suspected, with its counterexample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// Rule id.
    pub rule: String,
    /// Stable across runs.
    pub fingerprint: String,
    /// How it is known: `word`, `history`, or `suspected`.
    pub evidence: Evidence,
    /// True when the baseline knows it.
    pub known: bool,
    /// The baseline's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_reason: Option<String>,
    /// What the document says.
    pub document: String,
    /// What the rule requires, in words.
    pub required: String,
    /// What was found instead, in words.
    pub found: String,
    /// Invocations with this fingerprint; the fields below show one observation of them.
    pub count: u64,
    /// Operations table.
    pub table: String,
    /// Op.
    pub op: String,
    /// Other ops that the same function serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Function.
    pub callback: String,
    /// File system type.
    pub fs: String,
    /// Superblock id; empty when unknown.
    pub sb_id: String,
    /// Caller with offset.
    pub caller: String,
    /// How the call came: `table`, `direct` or `unknown`.
    pub route: String,
    /// Where it was seen: `entry` or `exit`.
    pub point: String,
    /// True when the task's lock history is complete.
    pub history_complete: bool,
    /// Facts.
    pub facts: BTreeMap<String, bool>,
    /// Lock slots, as both witnesses saw them.
    pub locks: Vec<Lock>,
    /// All locks that the task held.
    pub held: Vec<Held>,
    /// Inode numbers by role.
    pub inodes: BTreeMap<String, u64>,
    /// Task; null when the event was lost.
    pub task: Option<Task>,
    /// `CLOCK_MONOTONIC` nanoseconds of the invocation shown; null when the event was lost.
    pub time_ns: Option<u64>,
    /// Kernel stack, innermost first.
    pub stack: Vec<String>,
    /// Stack at the sleep, when it is about one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sleep_stack: Vec<String>,
}

/// How a violation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The lock word itself proves it.
    Word,
    /// The task's tracked history is complete.
    History,
    /// Anything less.
    Suspected,
}

/// A lock slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// Role.
    pub role: String,
    /// Lock class.
    pub lock: String,
    /// What the word says: `unread`, `free`, `exclusive_self`, `exclusive_other`, `readers`, `taken`; null when the role
    /// has no object.
    pub word: Option<String>,
    /// What the task's table says: `none`, `shared`, `exclusive`; null when the role has no object.
    pub tracked: Option<String>,
}

/// A held lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// What it is, as far as known.
    pub lock: String,
    /// `shared` or `exclusive`.
    pub mode: String,
    /// Where it was acquired.
    pub site: String,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Name.
    pub comm: String,
    /// Thread id.
    pub tid: u32,
    /// Process id.
    pub tgid: u32,
}

impl Violation {
    pub(in crate::report) fn new(report: &Report, violation: &checker::Violation) -> Self {
        let seen = &violation.counterexample;
        let example = seen.example.as_ref();
        Self {
            rule: violation.rule.clone(),
            fingerprint: violation.fingerprint.clone(),
            evidence: Evidence::from(violation.evidence),
            known: violation.known,
            known_reason: report.known_reason(violation).map(str::to_owned),
            document: report.document_of(&violation.rule).to_owned(),
            required: violation.required.clone(),
            found: violation.found.clone(),
            count: violation.count,
            table: seen.table.clone(),
            op: seen.op.clone(),
            also: seen.also.clone(),
            callback: seen.callback.clone(),
            fs: seen.fs.clone(),
            sb_id: seen.sb_id.clone(),
            caller: seen.caller.clone(),
            route: route_name(seen.route).to_owned(),
            point: point_name(seen.point).to_owned(),
            history_complete: seen.history_complete,
            facts: seen.facts.clone(),
            locks: seen.locks.iter().map(Lock::from).collect(),
            held: example.map_or_else(Vec::new, |example| example.held.iter().map(Held::from).collect()),
            inodes: example.map_or_else(BTreeMap::new, |example| example.inodes.clone()),
            task: example.map(|example| Task::from(&example.task)),
            time_ns: example.map(|example| example.time_ns),
            stack: example.map_or_else(Vec::new, |example| example.stack.clone()),
            sleep_stack: example.map_or_else(Vec::new, |example| example.sleep_stack.clone()),
        }
    }
}

/// How known dubious cases of a report are put.
pub(super) fn excepted(report: &Report) -> impl Fn(&checker::Excepted) -> Violation {
    move |case| Violation {
        known: true,
        known_reason: Some(case.reason.clone()),
        ..Violation::new(report, &case.violation)
    }
}

impl From<checker::Evidence> for Evidence {
    fn from(evidence: checker::Evidence) -> Self {
        match evidence {
            checker::Evidence::Word => Self::Word,
            checker::Evidence::History => Self::History,
            checker::Evidence::Suspected => Self::Suspected,
        }
    }
}

impl From<&observation::LockEvidence> for Lock {
    fn from(evidence: &observation::LockEvidence) -> Self {
        let (word, tracked) = match evidence.reading {
            LockReading::NoObject => (None, None),
            LockReading::Read { word, tracked } => (Some(word_name(word)), Some(tracked_name(tracked))),
        };
        Self {
            role: evidence.role.clone(),
            lock: evidence.lock.clone(),
            word: word.map(str::to_owned),
            tracked: tracked.map(str::to_owned),
        }
    }
}

impl From<&observation::Held> for Held {
    fn from(held: &observation::Held) -> Self {
        let mode = if held.exclusive { "exclusive" } else { "shared" };
        Self { lock: held.lock.clone(), mode: mode.to_owned(), site: held.site.clone() }
    }
}

impl From<&observation::Task> for Task {
    fn from(task: &observation::Task) -> Self {
        Self { comm: task.comm.clone(), tid: task.tid, tgid: task.tgid }
    }
}

pub(in crate::report) fn route_name(route: Route) -> &'static str {
    match route {
        Route::Table => "table",
        Route::Direct => "direct",
        Route::Unknown => "unknown",
    }
}

pub(in crate::report) fn point_name(point: Point) -> &'static str {
    match point {
        Point::Entry => "entry",
        Point::Exit => "exit",
    }
}

fn word_name(word: Word) -> &'static str {
    match word {
        Word::Unread => "unread",
        Word::Free => "free",
        Word::ExclusiveSelf => "exclusive_self",
        Word::ExclusiveOther => "exclusive_other",
        Word::Readers => "readers",
        Word::Taken => "taken",
    }
}

fn tracked_name(tracked: Tracked) -> &'static str {
    match tracked {
        Tracked::None => "none",
        Tracked::Shared => "shared",
        Tracked::Exclusive => "exclusive",
        Tracked::Untracked => "untracked",
    }
}
