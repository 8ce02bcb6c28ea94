//! Mutants on trial: each is run through every scenario and checked like any other run.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::table::{Row, rows};
use crate::checker::{Options, check};
use crate::reference::lock::Fault;
use crate::reference::observe::Plans;
use crate::reference::random::Random;
use crate::reference::run::{Lab, each_once};
use crate::rules::{Catalogue, Standing, glob};

/// How a mutant came off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The mutant.
    pub id: String,
    /// What deviates.
    pub what: String,
    /// The rules that must catch it.
    pub expected: Vec<String>,
    /// The rules that did, by a violation.
    pub violated: BTreeSet<String>,
    /// Times that the deviation took effect.
    pub deviated: u64,
    /// What the lock model and the data checks found besides.
    pub faults: Vec<Fault>,
}

impl Trial {
    /// Whether it was reported as exactly its rules.
    pub fn is_exact(&self) -> bool {
        let caught = self.expected.iter().all(|rule| self.violated.iter().any(|found| glob::matches(rule, found)));
        let nothing_else =
            self.violated.iter().all(|found| self.expected.iter().any(|rule| glob::matches(rule, found)));
        caught && nothing_else && self.deviated > 0
    }
}

/// Names of all mutants, with what deviates.
pub fn list() -> Vec<(String, String)> {
    rows().into_iter().map(|row| (row.id, row.what)).collect()
}

/// Tries the mutants whose name matches, each by itself.
pub fn try_all(catalogue: &Catalogue, pattern: &str, seed: u64) -> Vec<Trial> {
    let plans = Arc::new(Plans::compile(catalogue));
    let wanted = rows().into_iter().filter(|row| glob::matches(pattern, &row.id));
    wanted.map(|row| try_one(catalogue, &plans, row, seed)).collect()
}

/// Judged rules that no mutant is for.
pub fn without_mutant(catalogue: &Catalogue) -> Vec<String> {
    let rows = rows();
    let judged = catalogue.rules().filter(|rule| rule.standing == Standing::Judged && !rule.requires.is_empty());
    let covered = |id: &str| rows.iter().flat_map(|row| &row.rules).any(|rule| glob::matches(rule, id));
    judged.map(|rule| rule.id.clone()).filter(|id| !covered(id)).collect()
}

fn try_one(catalogue: &Catalogue, plans: &Arc<Plans>, row: Row, seed: u64) -> Trial {
    let mut lab = Lab::new(Arc::clone(plans), row.deviation);
    each_once(&mut lab, &mut Random::new(seed));
    let run = lab.finish();
    let findings = check(catalogue, &run.observations, Options { strict: false, missing: run.missing });
    Trial {
        id: row.id,
        what: row.what,
        expected: row.rules,
        violated: findings.violations.into_iter().chain(findings.suspected).map(|violation| violation.rule).collect(),
        deviated: run.deviated,
        faults: run.faults,
    }
}
