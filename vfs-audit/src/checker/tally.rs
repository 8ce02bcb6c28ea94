//! What one rule has come to so far, and the verdict that it ends in.

use std::collections::BTreeMap;

use super::{Evidence, Outcome, RuleVerdict, Verdict, judge::RuleOutcome};
use crate::rules::{Rule, Standing};

/// Counts of one rule; its size does not grow with the number of observations.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    satisfied: u64,
    violated: u64,
    suspected: u64,
    unknown: u64,
    unproven: u64,
    not_applicable: u64,
    not_judged: u64,
    pub(super) excepted: u64,
    by_fs: BTreeMap<String, u64>,
    doubts: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
}

/// Adds to a counter that stops at its end: a recording may say any number, and one that wrapped would hide what it counts.
pub(super) fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}

/// Adds to a counter without making a new key where there is one.
pub(super) fn bump(counters: &mut BTreeMap<String, u64>, key: &str, count: u64) {
    match counters.get_mut(key) {
        Some(counter) => add(counter, count),
        None => {
            counters.insert(key.to_owned(), count);
        }
    }
}

impl Tally {
    /// Takes one outcome in; a known dubious case is counted by the caller instead.
    pub(super) fn add(&mut self, result: &RuleOutcome, fs: &str, count: u64) {
        match &result.outcome {
            Outcome::Satisfied => {
                add(&mut self.satisfied, count);
                add(&mut self.unproven, if result.unproven { count } else { 0 });
                bump(&mut self.by_fs, fs, count);
            }
            Outcome::Violated(Evidence::Suspected) => {
                add(&mut self.suspected, count);
                bump(&mut self.doubts, "suspected violations", count);
            }
            Outcome::Violated(Evidence::Word | Evidence::History) => add(&mut self.violated, count),
            Outcome::NotApplicable => add(&mut self.not_applicable, count),
            Outcome::NotJudged => add(&mut self.not_judged, count),
            Outcome::Unknown(why) => {
                add(&mut self.unknown, count);
                bump(&mut self.doubts, why, count);
            }
        }
    }

    /// Records a state that was seen where nothing is judged.
    pub(super) fn add_seen(&mut self, role: &str, lock: &str, state: &str, count: u64) {
        bump(&mut self.seen, &format!("{role}.{lock}: {state}"), count);
    }

    fn applicable(&self) -> u64 {
        [self.violated, self.suspected, self.unknown, self.excepted]
            .into_iter()
            .fold(self.satisfied, u64::saturating_add)
    }

    /// The verdict; `missing` says what this source cannot read, `stale` which lock is gone.
    pub(super) fn verdict(self, rule: &Rule, missing: Option<&str>, stale: Option<String>) -> RuleVerdict {
        let applicable = self.applicable();
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let support = (applicable > 0).then(|| self.satisfied as f64 / applicable as f64);
        RuleVerdict {
            id: rule.id.clone(),
            verdict: self.decide(rule, missing, stale),
            satisfied: self.satisfied,
            violated: self.violated,
            unknown: self.unknown.saturating_add(self.suspected),
            suspected: self.suspected,
            unproven: self.unproven,
            excepted: self.excepted,
            not_applicable: self.not_applicable.saturating_add(self.not_judged),
            support,
            document: rule.document.clone(),
            by_fs: self.by_fs,
            seen: self.seen,
        }
    }

    fn decide(&self, rule: &Rule, missing: Option<&str>, stale: Option<String>) -> Verdict {
        if self.violated > 0 {
            return Verdict::Violated;
        }
        if let Some(why) = stale {
            return Verdict::Stale(why);
        }
        if rule.requires.is_empty() || (rule.standing == Standing::NotPromised && self.applicable() == 0) {
            let observed = self.not_judged > 0 || self.not_applicable > 0;
            return if observed { Verdict::NotJudged } else { Verdict::Unobserved };
        }
        if let Some(why) = missing {
            return Verdict::NotObservable(why.to_owned());
        }
        match self.main_doubt() {
            Some(why) => Verdict::Inconclusive(why),
            None if self.excepted > 0 => {
                Verdict::Inconclusive(format!("{} invocations are known dubious cases", self.excepted))
            }
            None if self.satisfied > 0 => Verdict::Satisfied,
            None => Verdict::Unobserved,
        }
    }

    /// The most frequent reason for a doubt, with its share.
    fn main_doubt(&self) -> Option<String> {
        let (why, count) = self.doubts.iter().max_by_key(|(why, count)| (**count, std::cmp::Reverse(*why)))?;
        Some(format!("{why} ({count} of {} invocations)", self.applicable()))
    }
}
