//! The checker: `(rules, observations) -> findings`, a pure function without I/O, clock, thread or global.
//!
//! [`check`] takes everything at once; [`Checker`] takes observations one by one and keeps counts and one counterexample
//! per distinct violation, so that its size does not grow with the length of a run.
//!
//! # How an observation is judged
//! - A call that did not come through the operations table ([`Route::Direct`]) is set apart: the document speaks of calls
//!   by the VFS.
//! - Where one function serves several ops, facts rule out ops that it cannot have been called for (`told_apart_by`). If
//!   several remain, an outcome stands only where the rules of the same aspect of all of them agree; a violation of one
//!   of them alone is *suspected*, a satisfaction of one of them alone is unknown.
//! - A certain violation needs evidence by the lock word or by a complete history, and a known route: when the event of an
//!   observation was lost, what it violates is suspected.
//! - A condition whose fact was not read makes the outcome unknown, never a pass.
//!
//! # What this can miss
//! - An rwsem that this task holds shared by the table's word while it does not (a missed release) and others do hold.
//! - A spinlock or page lock that someone else happens to hold at that moment: such a lock has no owner to compare, and the
//!   satisfaction is counted as unproven.
//! - A lock that is released and acquired again between entry and exit, unless a rule asks for just that.
//! - Whatever was not observed: a rule that no invocation applied to is `Unobserved`, which is no pass.
//!
//! # What this can wrongly report
//! - A callback entered through its table by code that is not the VFS (a stacked file system that takes its own locks
//!   elsewhere), which the document does not exclude either: `exceptions.toml` is for these, with the reason.
//! - A break known by history when the tracer missed an acquisition without noticing: its disagreement counters are the
//!   figure to look at first.

mod fingerprint;
mod groups;
mod judge;
mod outcome;
mod sample;
mod tally;
mod verdict;
mod wording;

use std::collections::{BTreeMap, HashMap};

pub use groups::GROUPS_MAX;
pub use outcome::{Doubt, Holding, Judgement, holding, outcome, witnesses_disagree};
pub use sample::{Want, sample};
pub use verdict::{Disagreement, Evidence, Excepted, Findings, Outcome, RuleVerdict, SetApart, Verdict, Violation};

use crate::{
    observation::{Observation, Point, Route},
    rules::{Catalogue, Exception, Op, Read, Rule, Standing, glob},
};
use groups::{Broken, Groups};
use judge::{Evidenced, RuleOutcome, judge};
use tally::{Tally, add, bump};

/// How to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Read "the caller need not hold it" as "not held".
    pub strict: bool,
    /// Rules that this source cannot decide, by id, with the reason: the kernel lacks the op or a field, or no probe reads
    /// what the rule needs.
    pub missing: BTreeMap<String, String>,
}

/// Checks observations one by one.
#[derive(Debug)]
pub struct Checker<'a> {
    catalogue: &'a Catalogue,
    options: Options,
    /// Ops by table and name.
    index: HashMap<&'a str, HashMap<&'a str, usize>>,
    ops: Vec<OpState<'a>>,
    /// Invocations of ops that the catalogue does not have.
    strangers: BTreeMap<String, u64>,
    groups: Groups,
    /// Whether states are recorded where something is judged, too.
    records_all_states: bool,
}

/// An op with what its rules have come to.
#[derive(Debug)]
struct OpState<'a> {
    table: &'a str,
    op: &'a Op,
    invocations: u64,
    tallies: Vec<Tally>,
}

/// Checks all observations at once.
pub fn check<'o>(
    catalogue: &Catalogue,
    observations: impl IntoIterator<Item = &'o Observation>,
    options: Options,
) -> Findings {
    let mut checker = Checker::new(catalogue, options);
    observations.into_iter().for_each(|observation| checker.feed(observation));
    checker.finish()
}

impl<'a> Checker<'a> {
    /// A checker that has seen nothing yet.
    pub fn new(catalogue: &'a Catalogue, options: Options) -> Self {
        let mut index: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        let mut ops = Vec::new();
        for (table, op) in catalogue.ops() {
            index.entry(&table.name).or_default().insert(&op.name, ops.len());
            let tallies = vec![Tally::default(); op.rules.len()];
            ops.push(OpState { table: &table.name, op, invocations: 0, tallies });
        }
        Self {
            catalogue,
            options,
            index,
            ops,
            strangers: BTreeMap::new(),
            groups: Groups::default(),
            records_all_states: false,
        }
    }

    /// Records what every lock that a rule reads was seen as, also where the rule is judged.
    #[must_use]
    pub fn recording_all_states(self) -> Self {
        Self { records_all_states: true, ..self }
    }

    /// Takes one observation in, all of its invocations at once.
    pub fn feed(&mut self, observation: &Observation) {
        self.groups.add_disagreements(observation);
        let at_entry = observation.point == Point::Entry;
        if observation.route == Route::Direct {
            if at_entry {
                self.groups.add_set_apart(observation);
            }
            return;
        }
        let candidates = self.candidates(observation);
        let counts = if at_entry { observation.count } else { 0 };
        let Some(&this) = candidates.first() else {
            bump(&mut self.strangers, &format!("{}.{}", observation.table, observation.op), counts);
            return;
        };
        add(&mut self.ops[this].invocations, counts);
        let op = self.ops[this].op;
        for (index, rule) in op.rules.iter().enumerate().filter(|(_, rule)| rule.point == observation.point) {
            self.apply(this, index, rule, &candidates[1..], observation);
        }
    }

    /// The op that an observation is counted for: of those that the function serves, the one that its facts speak for.
    pub fn op_of<'o>(&self, observation: &'o Observation) -> &'o str
    where
        'a: 'o,
    {
        self.candidates(observation).first().map_or(&observation.op, |op| &self.ops[*op].op.name)
    }

    /// The ops that the call can have been for; the observation's own op first where it is one of them.
    fn candidates(&self, observation: &Observation) -> Vec<usize> {
        let Some(table) = self.index.get(observation.table.as_str()) else { return Vec::new() };
        let known = |name: &String| table.get(name.as_str()).copied();
        if observation.also.is_empty() {
            return known(&observation.op).into_iter().collect();
        }
        let all: Vec<_> = std::iter::once(&observation.op).chain(&observation.also).filter_map(known).collect();
        let possible = |op: &usize| {
            let facts = &self.ops[*op].op.told_apart_by;
            facts.iter().all(|fact| observation.facts.get(&fact.fact).is_none_or(|value| *value == fact.is))
        };
        let left: Vec<_> = all.iter().copied().filter(possible).collect();
        if left.is_empty() { all } else { left }
    }

    fn apply(&mut self, op: usize, index: usize, rule: &'a Rule, others: &[usize], observation: &Observation) {
        let mut result = self.judged(op, rule, observation);
        self.weigh(&mut result, op, rule, others, observation);
        let records = self.records_all_states || rule.standing != Standing::Judged;
        if records && result.outcome != Outcome::NotApplicable {
            self.record_seen(op, index, rule, observation);
        }
        if let Outcome::Violated(evidence) = result.outcome {
            let exception = self.catalogue.exceptions.iter().find(|known| is_excepted(known, rule, observation));
            let broken = Broken { rule: &rule.id, observation, evidence, findings: &result.findings };
            self.groups.add_broken(&broken, exception);
            if exception.is_some() {
                add(&mut self.ops[op].tallies[index].excepted, observation.count);
                return;
            }
        }
        self.ops[op].tallies[index].add(&result, &observation.fs, observation.count);
    }

    fn judged(&self, op: usize, rule: &Rule, observation: &Observation) -> RuleOutcome {
        judge(rule, Evidenced { op: self.ops[op].op, observation, strict: self.options.strict })
    }

    /// Lowers what an unknown route or an uncertain op leaves uncertain.
    fn weigh(&self, result: &mut RuleOutcome, op: usize, rule: &Rule, others: &[usize], observation: &Observation) {
        let agreed = others.iter().all(|other| {
            let twin = self.twin(op, rule, *other);
            twin.is_some_and(|twin| same_kind(&self.judged(*other, twin, observation).outcome, &result.outcome))
        });
        match &result.outcome {
            Outcome::Violated(_) if !agreed || observation.route == Route::Unknown => {
                result.outcome = Outcome::Violated(Evidence::Suspected);
            }
            Outcome::Satisfied if !agreed => {
                let why = format!("the callback serves {} too", observation.also.join(" and "));
                result.outcome = Outcome::Unknown(why);
            }
            Outcome::Satisfied
            | Outcome::Violated(_)
            | Outcome::NotApplicable
            | Outcome::NotJudged
            | Outcome::Unknown(_) => {}
        }
    }

    /// The rule of the same aspect of another op.
    fn twin(&self, op: usize, rule: &Rule, other: usize) -> Option<&'a Rule> {
        let (this, other) = (&self.ops[op], &self.ops[other]);
        let aspect = rule.id.strip_prefix(this.table)?.strip_prefix('.')?.strip_prefix(this.op.name.as_str())?;
        let id = format!("{}.{}{aspect}", other.table, other.op.name);
        other.op.rules.iter().find(|twin| twin.id == id)
    }

    /// Where nothing is judged, what was seen is the report.
    fn record_seen(&mut self, op: usize, index: usize, rule: &Rule, observation: &Observation) {
        for read in rule.reads() {
            let Read::Lock { role, lock } = read else { continue };
            if let Some(reading) = judge::reading(role, lock, observation) {
                let state = wording::state(*reading, observation.history_complete);
                self.ops[op].tallies[index].add_seen(role, lock, state, observation.count);
            }
        }
    }

    /// The findings on everything that was fed.
    pub fn finish(self) -> Findings {
        let lists = self.groups.into_lists();
        let mut invocations = self.strangers;
        let mut rules = Vec::new();
        for state in self.ops {
            if state.invocations > 0 {
                bump(&mut invocations, &format!("{}.{}", state.table, state.op.name), state.invocations);
            }
            for (rule, tally) in state.op.rules.iter().zip(state.tallies) {
                let missing = self.options.missing.get(&rule.id).map(String::as_str);
                rules.push(tally.verdict(rule, missing, self.catalogue.stale(rule)));
            }
        }
        Findings {
            rules,
            violations: lists.violations,
            suspected: lists.suspected,
            excepted: lists.excepted,
            set_apart: lists.set_apart,
            disagreements: lists.disagreements,
            invocations,
            ungrouped: lists.ungrouped,
        }
    }
}

/// Whether two outcomes say the same.
fn same_kind(a: &Outcome, b: &Outcome) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Whether a violation is a known dubious case; an empty glob matches anything.
fn is_excepted(known: &Exception, rule: &Rule, observation: &Observation) -> bool {
    let matches = |glob: &str, text: &str| glob.is_empty() || glob::matches(glob, text);
    matches(&known.rule, &rule.id)
        && matches(&known.callback, fingerprint::symbol(&observation.callback))
        && matches(&known.caller, fingerprint::symbol(&observation.caller))
        && matches(&known.fs, &observation.fs)
        && known.when.iter().all(|condition| observation.facts.get(&condition.fact) == Some(&condition.is))
}

#[cfg(test)]
mod outcome_tests;
#[cfg(test)]
mod product_tests;
#[cfg(test)]
mod tests;
