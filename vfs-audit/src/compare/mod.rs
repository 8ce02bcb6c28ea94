//! What the document says, what the reference VFS does and what kernels do, rule by rule: a pure function of checked runs.
//!
//! Each run is related to the rule set of its own release, so that a column says how a kernel stands to its own document;
//! where the documents differ, the cell says so. Every relation but agreement carries its reason, taken from the run: what
//! was found, which known case it is, which lock is gone, what was not observed and why.
//!
//! # What this can miss
//! - A kernel that is stricter on some paths only: it is called stricter where every invocation was.
//! - Whatever the checker of each run misses.

mod relate;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::checker::Findings;
use crate::report::{HookStatus, Source};
use crate::rules::{Catalogue, Rule};

pub use table::render;

/// Version of the JSON form.
pub const SCHEMA_VERSION: u32 = 1;

/// A checked run: findings that recorded the state of every lock ([`crate::checker::Checker::recording_all_states`]).
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// What is told of it.
    pub about: About,
    /// The rules it was checked by.
    pub catalogue: &'a Catalogue,
    /// What the checker found.
    pub findings: Findings,
    /// Its hooks.
    pub hooks: Vec<HookStatus>,
}

/// What is told of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// Its file, and the file system where a run is split by them.
    pub name: String,
    /// Live or reference.
    pub source: Source,
    /// `uname -r`; empty for a reference run.
    pub kernel: String,
    /// Rule set that it is related to.
    pub rules: String,
    /// The file system that the column is of; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fs: String,
    /// Observations.
    pub observations: u64,
    /// Why the run is incomplete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// How a run, or all of them, stand to what is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Does otherwise than documented.
    Deviates,
    /// The document speaks of what is gone.
    Stale,
    /// Does more than documented.
    Stricter,
    /// Observed, and the evidence does not decide.
    Undecided,
    /// As documented.
    Agrees,
    /// The document says nothing here that could be broken.
    NotJudged,
    /// Never applied, or nothing can read it.
    Unobserved,
    /// The run's own document has no such rule.
    NoRule,
}

impl fmt::Display for Relation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Deviates => "deviates",
            Self::Stale => "stale",
            Self::Stricter => "stricter",
            Self::Undecided => "undecided",
            Self::Agrees => "agrees",
            Self::NotJudged => "not judged",
            Self::Unobserved => "unobserved",
            Self::NoRule => "no rule",
        })
    }
}

/// What all runs together say of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Some kernel does otherwise than documented.
    KernelDeviates,
    /// The reference VFS does otherwise than documented.
    ReferenceDeviates,
    /// The document speaks of what is gone.
    DocumentIsStale,
    /// Some kernel does more than documented.
    KernelIsStricter,
    /// Observed, and the evidence does not decide.
    Undecided,
    /// What was observed is as documented.
    Agree,
    /// The document says nothing here that could be broken.
    NotJudged,
    /// No kernel was seen at it; with no live run, not even the reference VFS.
    Unobserved,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KernelDeviates => "kernel deviates",
            Self::ReferenceDeviates => "reference deviates",
            Self::DocumentIsStale => "document is stale",
            Self::KernelIsStricter => "kernel is stricter",
            Self::Undecided => "undecided",
            Self::Agree => "agree",
            Self::NotJudged => "not judged",
            Self::Unobserved => "unobserved",
        })
    }
}

/// One run at one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// How it stands to the rule.
    pub relation: Relation,
    /// Why; empty where it agrees.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Invocations that the rule applied to.
    pub applied: u64,
    /// Of them, those that broke it for certain, known dubious cases included.
    pub broken: u64,
    /// All that broke it is a known dubious case.
    pub known: bool,
    /// What the run's own document says, where it is not what the line's says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// States of the rule's locks as they were seen, with invocations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, u64>,
}

/// One rule over all runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Rule id.
    pub rule: String,
    /// The document's cell or sentence, by the first run that has the rule.
    pub document: String,
    /// Our reading of it.
    pub statement: String,
    /// What all runs together say.
    pub verdict: Verdict,
    /// One cell per run, in their order.
    pub runs: Vec<Cell>,
}

/// Rules over runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Version of this form.
    pub schema_version: u32,
    /// The runs.
    pub runs: Vec<About>,
    /// Lines by verdict.
    pub summary: BTreeMap<Verdict, usize>,
    /// One per rule, in the document's order.
    pub rules: Vec<Line>,
}

/// Compares the runs rule by rule.
pub fn compare(runs: &[Run<'_>]) -> Comparison {
    let rules: Vec<Line> = ids(runs).into_iter().map(|id| line(id, runs)).collect();
    let mut summary = BTreeMap::new();
    for line in &rules {
        *summary.entry(line.verdict).or_default() += 1;
    }
    Comparison {
        schema_version: SCHEMA_VERSION,
        runs: runs.iter().map(|run| run.about.clone()).collect(),
        summary,
        rules,
    }
}

impl Comparison {
    /// True when some kernel, or the reference VFS, does otherwise than documented in a way that is not known.
    pub fn deviates(&self) -> bool {
        let new = |cell: &Cell| cell.relation == Relation::Deviates && !cell.known;
        self.rules.iter().flat_map(|line| &line.runs).any(new)
    }
}

/// Every rule that some run was asked for: tables, ops and rules in the order in which they first appear.
fn ids<'r>(runs: &'r [Run<'_>]) -> Vec<&'r str> {
    let asked: BTreeSet<&str> =
        runs.iter().flat_map(|run| &run.findings.rules).map(|found| found.id.as_str()).collect();
    let mut tables: Named<'r, Named<'r, Vec<&str>>> = Vec::new();
    for (table, op) in runs.iter().flat_map(|run| run.catalogue.ops()) {
        let ops = entry(&mut tables, &table.name);
        let rules = entry(ops, &op.name);
        for rule in op.rules.iter().filter(|rule| asked.contains(rule.id.as_str())) {
            if !rules.contains(&rule.id.as_str()) {
                rules.push(&rule.id);
            }
        }
    }
    tables.into_iter().flat_map(|(_, ops)| ops).flat_map(|(_, rules)| rules).collect()
}

/// Things by name, in the order in which the names first appear.
type Named<'n, T> = Vec<(&'n str, T)>;

/// What stands under a name, made where there is nothing.
fn entry<'l, 'n, T: Default>(list: &'l mut Named<'n, T>, name: &'n str) -> &'l mut T {
    let at = list.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        list.push((name, T::default()));
        list.len() - 1
    });
    &mut list[at].1
}

fn line(id: &str, runs: &[Run<'_>]) -> Line {
    let first: Option<&Rule> = runs.iter().find_map(|run| run.catalogue.rule(id)).map(|(_, _, rule)| rule);
    let document = first.map(|rule| rule.document.clone()).unwrap_or_default();
    let cells: Vec<Cell> = runs.iter().map(|run| relate::cell(id, &document, run)).collect();
    Line {
        rule: id.to_owned(),
        statement: first.map(|rule| rule.statement.clone()).unwrap_or_default(),
        verdict: verdict(runs, &cells),
        document,
        runs: cells,
    }
}

/// Kernels decide; the reference VFS does where there is no live run, and is named where it deviates.
fn verdict(runs: &[Run<'_>], cells: &[Cell]) -> Verdict {
    let of = |is_reference: bool| {
        let pairs = runs.iter().zip(cells);
        pairs
            .filter(move |(run, _)| (run.about.source == Source::Reference) == is_reference)
            .map(|(_, cell)| cell.relation)
    };
    let (kernels, reference) = (of(false).min(), of(true).min());
    match (kernels, reference) {
        (Some(Relation::Deviates), _) => Verdict::KernelDeviates,
        (_, Some(Relation::Deviates)) => Verdict::ReferenceDeviates,
        (Some(relation), _) | (None, Some(relation)) => match relation {
            Relation::Deviates => Verdict::KernelDeviates,
            Relation::Stale => Verdict::DocumentIsStale,
            Relation::Stricter => Verdict::KernelIsStricter,
            Relation::Undecided => Verdict::Undecided,
            Relation::Agrees => Verdict::Agree,
            Relation::NotJudged => Verdict::NotJudged,
            Relation::Unobserved | Relation::NoRule => Verdict::Unobserved,
        },
        (None, None) => Verdict::Unobserved,
    }
}

#[cfg(test)]
mod tests;
