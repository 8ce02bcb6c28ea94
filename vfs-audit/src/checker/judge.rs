//! One rule against one observation.

use super::{
    Evidence, Outcome,
    outcome::{Judgement, outcome},
    wording,
};
use crate::{
    observation::{LockReading, Observation},
    rules::{Condition, Demand, FactReader, Op, Requirement, Rule},
};

/// What a broken requirement demanded and what was seen instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) required: String,
    pub(super) found: String,
    /// What was seen, in words that never change: part of the fingerprint.
    pub(super) code: String,
}

/// A rule's outcome with what the report needs beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleOutcome {
    pub(super) outcome: Outcome,
    /// Satisfied, though some lock's owner is not proven.
    pub(super) unproven: bool,
    /// The broken requirements.
    pub(super) findings: Vec<Finding>,
}

impl RuleOutcome {
    fn plain(outcome: Outcome) -> Self {
        Self { outcome, unproven: false, findings: Vec::new() }
    }
}

/// What one requirement comes to.
enum Part {
    Met { unproven: bool },
    Broken(Evidence, Finding),
    Unknown(String),
    NotApplicable,
    NotPromised,
}

/// Whether all conditions are so.
enum Holds {
    Yes,
    No,
    Unread(String),
}

/// What a rule is judged on.
#[derive(Clone, Copy)]
pub(super) struct Evidenced<'a> {
    pub(super) op: &'a Op,
    pub(super) observation: &'a Observation,
    pub(super) strict: bool,
}

/// Judges one observation by one rule.
pub(super) fn judge(rule: &Rule, on: Evidenced<'_>) -> RuleOutcome {
    match conditions_hold(&rule.when, on.observation) {
        Holds::No => return RuleOutcome::plain(Outcome::NotApplicable),
        Holds::Unread(why) => return RuleOutcome::plain(Outcome::Unknown(why)),
        Holds::Yes => {}
    }
    if rule.requires.is_empty() {
        return RuleOutcome::plain(Outcome::NotJudged);
    }
    combine(rule.requires.iter().map(|requirement| part(requirement, on)))
}

/// All requirements together: a certain break decides, then a suspected one, then a doubt.
fn combine(parts: impl Iterator<Item = Part>) -> RuleOutcome {
    let (mut met, mut unproven, mut not_promised) = (false, false, false);
    let mut doubt = None;
    let mut broken: Option<Evidence> = None;
    let mut findings = Vec::new();
    for part in parts {
        match part {
            Part::Met { unproven: this } => {
                met = true;
                unproven |= this;
            }
            Part::Broken(evidence, finding) => {
                broken = Some(broken.map_or(evidence, |other| other.min(evidence)));
                findings.push(finding);
            }
            Part::Unknown(why) => {
                doubt.get_or_insert(why);
            }
            Part::NotApplicable => {}
            Part::NotPromised => not_promised = true,
        }
    }
    let outcome = match (broken, doubt) {
        (Some(evidence), _) => Outcome::Violated(evidence),
        (None, Some(why)) => Outcome::Unknown(why),
        (None, None) if met => Outcome::Satisfied,
        (None, None) if not_promised => Outcome::NotJudged,
        (None, None) => Outcome::NotApplicable,
    };
    RuleOutcome { outcome, unproven, findings }
}

fn conditions_hold(conditions: &[Condition], observation: &Observation) -> Holds {
    let mut unread = None;
    for condition in conditions {
        match observation.facts.get(&condition.fact) {
            Some(value) if *value != condition.is => return Holds::No,
            Some(_) => {}
            None => {
                unread.get_or_insert(&condition.fact);
            }
        }
    }
    unread.map_or(Holds::Yes, |fact| Holds::Unread(format!("the fact `{fact}` was not read")))
}

fn part(requirement: &Requirement, on: Evidenced<'_>) -> Part {
    match requirement {
        Requirement::Lock { role, lock, demand } => lock_part(role, lock, *demand, on),
        Requirement::Fact(condition) => fact_part(condition, on),
        Requirement::Any(choices) => any_part(choices, on),
        Requirement::If(conditions, inner) => match conditions_hold(conditions, on.observation) {
            Holds::No => Part::NotApplicable,
            Holds::Unread(why) => Part::Unknown(why),
            Holds::Yes => part(inner, on),
        },
    }
}

fn lock_part(role: &str, lock: &str, demand: Demand, on: Evidenced<'_>) -> Part {
    let observation = on.observation;
    let demand = if on.strict && demand == Demand::NotPromised { Demand::NotHeld } else { demand };
    if demand == Demand::NotPromised {
        return Part::NotPromised;
    }
    let Some(reading) = reading(role, lock, observation) else {
        return Part::Unknown(format!("{} was not read", wording::lock_of(role, lock)));
    };
    match outcome(demand, reading, observation.history_complete) {
        Judgement::Met => Part::Met { unproven: false },
        Judgement::MetUnproven => Part::Met { unproven: true },
        Judgement::NoObject => Part::NotApplicable,
        Judgement::NotPromised => Part::NotPromised,
        Judgement::Undecided(doubt) => Part::Unknown(doubt.reason().to_owned()),
        Judgement::Broken(evidence) => {
            let name = wording::lock_of(role, lock);
            let required = format!("{name} {}", wording::demand(demand));
            let found = format!("{name}: {}", wording::reading(*reading, observation.history_complete));
            let code = format!("{role}.{lock}: {}", wording::state(*reading, observation.history_complete));
            Part::Broken(evidence, Finding { required, found, code })
        }
    }
}

/// The reading of a lock, if its slot was read.
pub(super) fn reading<'o>(role: &str, lock: &str, observation: &'o Observation) -> Option<&'o LockReading> {
    observation.locks.iter().find(|slot| slot.role == role && slot.lock == lock).map(|slot| &slot.reading)
}

/// A fact that is read at the callback itself is known; one that is followed through it by other probes as a history is: where
/// that is incomplete, a probe may have been missed.
fn fact_part(condition: &Condition, on: Evidenced<'_>) -> Part {
    match on.observation.facts.get(&condition.fact) {
        None => Part::Unknown(format!("the fact `{}` was not read", condition.fact)),
        Some(value) if *value == condition.is => Part::Met { unproven: false },
        Some(value) => {
            let required = wording::fact(condition, on.op);
            let found = wording::fact(&Condition { is: *value, ..condition.clone() }, on.op);
            let code = format!("{}: {value}", condition.fact);
            let reader = on.op.facts.iter().find(|fact| fact.name == condition.fact).map(|fact| &fact.reader);
            let is_doubtful = reader.is_some_and(FactReader::is_followed) && !on.observation.history_complete;
            let evidence = if is_doubtful { Evidence::Suspected } else { Evidence::History };
            Part::Broken(evidence, Finding { required, found, code })
        }
    }
}

/// One met choice is enough; a break is as certain as the least certain choice.
fn any_part(choices: &[Requirement], on: Evidenced<'_>) -> Part {
    let mut doubt = None;
    let mut not_promised = false;
    let mut broken: Option<(Evidence, Vec<Finding>)> = None;
    for choice in choices {
        match part(choice, on) {
            Part::Met { unproven } => return Part::Met { unproven },
            Part::Unknown(why) => {
                doubt.get_or_insert(why);
            }
            Part::NotPromised => not_promised = true,
            Part::NotApplicable => {}
            Part::Broken(evidence, finding) => {
                let (weakest, findings) = broken.get_or_insert((evidence, Vec::new()));
                *weakest = (*weakest).max(evidence);
                findings.push(finding);
            }
        }
    }
    match (doubt, broken) {
        (Some(why), _) => Part::Unknown(why),
        (None, _) if not_promised => Part::NotPromised,
        (None, None) => Part::NotApplicable,
        (None, Some((evidence, findings))) => {
            let join = |text: fn(&Finding) -> &str, with| findings.iter().map(text).collect::<Vec<_>>().join(with);
            let (required, found) = (join(|finding| &finding.required, " or "), join(|finding| &finding.found, "; "));
            Part::Broken(evidence, Finding { required, found, code: join(|finding| &finding.code, "; ") })
        }
    }
}
