//! What is listed one by one in a report, folded by what makes two cases the same, and bounded.

use std::collections::BTreeMap;

use super::{
    Disagreement, Evidence, Excepted, SetApart, Violation,
    fingerprint::{fingerprint, symbol},
    judge::Finding,
    wording,
};
use crate::{
    observation::{LockReading, Observation, Route},
    rules::Exception,
};

/// Groups of each kind that are kept; the invocations of one more are counted only.
pub const GROUPS_MAX: usize = 4096;

/// A broken rule at an observation.
pub(super) struct Broken<'a> {
    pub(super) rule: &'a str,
    pub(super) observation: &'a Observation,
    pub(super) evidence: Evidence,
    pub(super) findings: &'a [Finding],
}

/// Groups of each kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    violations: BTreeMap<String, Violation>,
    suspected: BTreeMap<String, Violation>,
    excepted: BTreeMap<(String, String), Violation>,
    set_apart: BTreeMap<(String, String, String, Route), u64>,
    disagreements: BTreeMap<(String, String), u64>,
    ungrouped: u64,
}

/// The groups as lists, in a stable order.
pub(super) struct Lists {
    pub(super) violations: Vec<Violation>,
    pub(super) suspected: Vec<Violation>,
    pub(super) excepted: Vec<Excepted>,
    pub(super) set_apart: Vec<SetApart>,
    pub(super) disagreements: Vec<Disagreement>,
    pub(super) ungrouped: u64,
}

impl Groups {
    /// Adds a broken rule; `exception` says that the case is known.
    pub(super) fn add_broken(&mut self, broken: &Broken<'_>, exception: Option<&Exception>) {
        let key = fingerprint(broken.rule, broken.observation, broken.findings);
        let found_room = match (exception, broken.evidence) {
            (Some(known), _) => {
                let key_and_reason = (key.clone(), known.reason.clone());
                broken.fold_into(&mut self.excepted, key_and_reason, &key)
            }
            (None, Evidence::Suspected) => broken.fold_into(&mut self.suspected, key.clone(), &key),
            (None, Evidence::Word | Evidence::History) => broken.fold_into(&mut self.violations, key.clone(), &key),
        };
        if !found_room {
            self.ungrouped = self.ungrouped.saturating_add(broken.observation.count);
        }
    }

    /// Adds a call that did not come through the table.
    pub(super) fn add_set_apart(&mut self, observation: &Observation) {
        let key = (
            observation.op.clone(),
            observation.callback.clone(),
            symbol(&observation.caller).to_owned(),
            observation.route,
        );
        if !count(&mut self.set_apart, key, observation.count) {
            self.ungrouped = self.ungrouped.saturating_add(observation.count);
        }
    }

    /// Adds the lock slots on which the witnesses contradict each other.
    pub(super) fn add_disagreements(&mut self, observation: &Observation) {
        for slot in &observation.locks {
            let LockReading::Read { word, tracked } = slot.reading else { continue };
            if super::outcome::witnesses_disagree(word, tracked, observation.history_complete) {
                let at = format!("{}.{} at {}", slot.role, slot.lock, symbol(&observation.callback));
                if !count(&mut self.disagreements, (at, wording::witnesses(word, tracked)), observation.count) {
                    self.ungrouped = self.ungrouped.saturating_add(observation.count);
                }
            }
        }
    }

    /// The groups, each kind by rule and fingerprint or by its own key.
    pub(super) fn into_lists(self) -> Lists {
        let by_rule = |groups: BTreeMap<String, Violation>| {
            let mut list: Vec<_> = groups.into_values().collect();
            list.sort_by(|a, b| (&a.rule, &a.fingerprint).cmp(&(&b.rule, &b.fingerprint)));
            list
        };
        let excepted = self.excepted.into_iter().map(|((_, reason), violation)| Excepted { reason, violation });
        let set_apart = self.set_apart.into_iter();
        let disagreements = self.disagreements.into_iter();
        Lists {
            violations: by_rule(self.violations),
            suspected: by_rule(self.suspected),
            excepted: excepted.collect(),
            set_apart: set_apart
                .map(|((op, callback, caller, route), count)| SetApart { op, callback, caller, route, count })
                .collect(),
            disagreements: disagreements.map(|((at, what), count)| Disagreement { at, what, count }).collect(),
            ungrouped: self.ungrouped,
        }
    }
}

/// Adds to a group; false when there is no room for a new one.
fn count<K: Ord>(groups: &mut BTreeMap<K, u64>, key: K, count: u64) -> bool {
    if let Some(counter) = groups.get_mut(&key) {
        *counter = counter.saturating_add(count);
        return true;
    }
    let room = groups.len() < GROUPS_MAX;
    if room {
        groups.insert(key, count);
    }
    room
}

impl Broken<'_> {
    /// Adds to a group; false when there is no room for a new one. The first observation with an example is shown.
    fn fold_into<K: Ord>(&self, groups: &mut BTreeMap<K, Violation>, key: K, fingerprint: &str) -> bool {
        let full = groups.len() >= GROUPS_MAX;
        match groups.get_mut(&key) {
            None if full => return false,
            None => {
                groups.insert(key, self.violation(fingerprint));
            }
            Some(group) => {
                group.count = group.count.saturating_add(self.observation.count);
                group.evidence = group.evidence.min(self.evidence);
                if group.counterexample.example.is_none() && self.observation.example.is_some() {
                    group.counterexample = self.observation.clone();
                }
            }
        }
        true
    }

    fn violation(&self, fingerprint: &str) -> Violation {
        let join = |text: fn(&Finding) -> &str| self.findings.iter().map(text).collect::<Vec<_>>().join("; ");
        Violation {
            rule: self.rule.to_owned(),
            fingerprint: fingerprint.to_owned(),
            evidence: self.evidence,
            count: self.observation.count,
            required: join(|finding| &finding.required),
            found: join(|finding| &finding.found),
            known: false,
            counterexample: self.observation.clone(),
        }
    }
}
