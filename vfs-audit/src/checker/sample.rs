//! Invented observations: the smallest one that satisfies a rule, or that breaks it and no other.
//!
//! They show what a report looks like, and they are where a rule's stored cases start from. The search tries every
//! combination of the facts and lock states that the op's rules read, and leaves out those that no call can have.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Evidence, Outcome,
    judge::{Evidenced, judge},
};
use crate::{
    observation::{LockEvidence, LockReading, Observation, Point, Route, Tracked, Word},
    rules::{Catalogue, FactReader, LockKind, LockOf, Op, Read, Rule, Standing, Table},
};

/// Combinations that are tried before the search gives up.
const COMBINATIONS_MAX: usize = 1 << 20;

/// What the observation should come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The rule is satisfied, and no rule of the op is violated.
    Satisfied,
    /// The rule is violated for certain, and no other rule of the op is.
    Broken,
}

/// The smallest observation of a rule that comes to what is wanted; a rule that only `--strict` judges is judged.
pub fn sample(catalogue: &Catalogue, id: &str, want: Want) -> Option<Observation> {
    let (table, op, rule) = catalogue.rule(id)?;
    let space = Space::of(catalogue, op, rule.point);
    let strict = rule.standing == Standing::NotPromised;
    let mut best: Option<(usize, Observation)> = None;
    for index in 0..space.size().min(COMBINATIONS_MAX) {
        let Some((cost, facts, locks)) = space.at(index) else { continue };
        if best.as_ref().is_some_and(|(known, _)| *known <= cost) {
            continue;
        }
        let observation = observation(table, op, rule.point, facts, locks);
        if comes_to(op, rule, &observation, want, strict) {
            best = Some((cost, observation));
        }
    }
    best.map(|(_, observation)| observation)
}

fn comes_to(op: &Op, wanted: &Rule, observation: &Observation, want: Want, strict: bool) -> bool {
    op.rules.iter().filter(|rule| rule.point == wanted.point).all(|rule| {
        let strict = strict && rule.id == wanted.id;
        let outcome = judge(rule, Evidenced { op, observation, strict }).outcome;
        match (rule.id == wanted.id, want) {
            (true, Want::Satisfied) => outcome == Outcome::Satisfied,
            (true, Want::Broken) => matches!(outcome, Outcome::Violated(Evidence::Word | Evidence::History)),
            (false, _) => !matches!(outcome, Outcome::Violated(_) | Outcome::Unknown(_)),
        }
    })
}

fn observation(
    table: &Table,
    op: &Op,
    point: Point,
    facts: BTreeMap<String, bool>,
    locks: Vec<LockEvidence>,
) -> Observation {
    Observation {
        table: table.name.clone(),
        op: op.name.clone(),
        also: Vec::new(),
        callback: format!("examplefs_{}", op.name),
        fs: "examplefs".to_owned(),
        sb_id: "vda".to_owned(),
        caller: "caller+0x40".to_owned(),
        route: Route::Table,
        point,
        history_complete: true,
        facts,
        locks,
        count: 1,
        example: None,
    }
}

/// All combinations of what the op's rules read at one point.
struct Space<'c> {
    facts: Vec<(&'c str, &'c FactReader)>,
    locks: Vec<(LockOf, &'static [LockReading])>,
}

const fn read(word: Word, tracked: Tracked) -> LockReading {
    LockReading::Read { word, tracked }
}

/// States of a lock with modes, the usual ones first.
const MODES: &[LockReading] = &[
    read(Word::ExclusiveSelf, Tracked::Exclusive),
    read(Word::Readers, Tracked::Shared),
    read(Word::Free, Tracked::None),
];
/// States of a lock with an owner and no modes.
const OWNED: &[LockReading] = &[read(Word::ExclusiveSelf, Tracked::Exclusive), read(Word::Free, Tracked::None)];
/// States of a lock without an owner.
const OWNERLESS: &[LockReading] = &[read(Word::Taken, Tracked::None), read(Word::Free, Tracked::None)];
/// A lock without an owner that the task's table follows: what a strict reading needs to be broken for certain.
const FOLLOWED: &[LockReading] =
    &[read(Word::Taken, Tracked::None), read(Word::Free, Tracked::None), read(Word::Taken, Tracked::Exclusive)];

/// How far each of a lock's states is from the usual: a lock that is not held at all shows more than one held shared.
const UNUSUAL: [usize; 3] = [0, 3, 2];

fn states(kind: LockKind, strict: bool) -> &'static [LockReading] {
    match kind {
        LockKind::Rwsem | LockKind::PercpuRwsem => MODES,
        LockKind::Mutex | LockKind::Gone => OWNED,
        LockKind::Spinlock | LockKind::Seqlock | LockKind::PageLock | LockKind::BufferLock | LockKind::Rcu
            if strict =>
        {
            FOLLOWED
        }
        LockKind::Spinlock | LockKind::Seqlock | LockKind::PageLock | LockKind::BufferLock | LockKind::Rcu => OWNERLESS,
    }
}

impl<'c> Space<'c> {
    fn of(catalogue: &'c Catalogue, op: &'c Op, point: Point) -> Self {
        let rules = || op.rules.iter().filter(|rule| rule.point == point);
        let reads: BTreeSet<_> = rules().flat_map(Rule::reads).collect();
        let facts = op.facts.iter().filter(|fact| reads.contains(&Read::Fact(&fact.name)));
        let strict = rules().any(|rule| rule.standing == Standing::NotPromised);
        let locks = reads.iter().filter_map(|read| {
            let Read::Lock { role, lock } = read else { return None };
            let kind = catalogue.locks.get(*lock)?.kind;
            Some((LockOf { role: (*role).to_owned(), lock: (*lock).to_owned() }, states(kind, strict)))
        });
        Self { facts: facts.map(|fact| (fact.name.as_str(), &fact.reader)).collect(), locks: locks.collect() }
    }

    fn size(&self) -> usize {
        let locks = self.locks.iter().map(|(_, states)| states.len()).product::<usize>();
        locks.saturating_mul(1 << self.facts.len().min(20))
    }

    /// The combination of a number, with how far it is from the usual; nothing when no call can have it.
    fn at(&self, index: usize) -> Option<(usize, BTreeMap<String, bool>, Vec<LockEvidence>)> {
        let mut rest = index;
        let mut cost = 0;
        let mut locks = Vec::new();
        for (of, states) in &self.locks {
            let choice = rest % states.len();
            rest /= states.len();
            cost += UNUSUAL[choice];
            locks.push(LockEvidence { role: of.role.clone(), lock: of.lock.clone(), reading: states[choice] });
        }
        let mut facts = BTreeMap::new();
        for (bit, (name, _)) in self.facts.iter().enumerate() {
            let is = rest >> bit & 1 == 1;
            cost += usize::from(is);
            facts.insert((*name).to_owned(), is);
        }
        let truths = Truths { space: self, facts: &facts };
        if !truths.can_be() {
            return None;
        }
        truths.fit(&mut locks).then_some((cost, facts, locks))
    }
}

/// One combination of facts, asked whether a call can have it.
struct Truths<'a> {
    space: &'a Space<'a>,
    facts: &'a BTreeMap<String, bool>,
}

impl Truths<'_> {
    /// Facts with their values.
    fn all(&self) -> impl Iterator<Item = (&FactReader, bool)> {
        self.space.facts.iter().map(|(name, reader)| (*reader, self.facts.get(*name).copied().unwrap_or(false)))
    }

    /// Whether a fact is there and is so; a fact that is not read is no obstacle.
    fn is_not(&self, reader: &FactReader, value: bool) -> bool {
        self.all().any(|(known, is)| known == reader && is != value)
    }

    /// Whether a call can have these facts together.
    fn can_be(&self) -> bool {
        let results = self.all().filter(|(_, is)| *is).filter(|(reader, _)| {
            matches!(reader, FactReader::ResultEquals(_) | FactReader::ResultNegative | FactReader::ResultMask(_))
        });
        let results: Vec<_> = results.map(|(reader, _)| reader).collect();
        let fixed = results.iter().filter(|reader| !matches!(reader, FactReader::ResultMask(_))).count();
        let one_result = fixed == 0 || results.len() == 1;
        one_result && self.all().all(|(reader, is)| !is || self.is_grounded(reader))
    }

    /// Whether what a fact rests on is so too.
    fn is_grounded(&self, reader: &FactReader) -> bool {
        if let FactReader::IsDirectory(role) = reader {
            return !self.is_not(&FactReader::Present(role.clone()), true);
        }
        if let FactReader::Released(of) = reader {
            return !self.is_not(&FactReader::EventuallyReleased(of.clone()), true);
        }
        let FactReader::Order(first, second) = reader else { return true };
        [first, second].into_iter().all(|names| !self.is_not(&FactReader::Called(names.clone()), true))
    }

    /// Makes the locks of absent objects absent; false when one object has two states.
    fn fit(&self, locks: &mut [LockEvidence]) -> bool {
        for lock in locks.iter_mut() {
            if self.is_not(&FactReader::Present(lock.role.clone()), true) {
                lock.reading = LockReading::NoObject;
            }
        }
        let state = |role: &str, lock: &str| {
            let found = locks.iter().find(|slot| slot.role == role && slot.lock == lock);
            found.map(|slot| slot.reading)
        };
        let same = self.all().filter(|(_, is)| !*is).filter_map(|(reader, _)| {
            let FactReader::RolesDiffer(a, b) = reader else { return None };
            Some((a, b))
        });
        same.into_iter().all(|(a, b)| {
            locks
                .iter()
                .filter(|slot| slot.role == *a)
                .all(|slot| state(b, &slot.lock).is_none_or(|other| other == slot.reading))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_is_judged_can_be_satisfied_and_broken_alone() {
        let mut seen = BTreeSet::new();
        for release in Catalogue::releases() {
            let catalogue = Catalogue::load(release).unwrap();
            for rule in catalogue.rules().filter(|rule| !rule.requires.is_empty() && catalogue.stale(rule).is_none()) {
                if !seen.insert((rule.id.clone(), rule.since.clone(), rule.until.clone())) {
                    continue;
                }
                for want in [Want::Satisfied, Want::Broken] {
                    assert!(sample(&catalogue, &rule.id, want).is_some(), "{release} {} {want:?}", rule.id);
                }
            }
        }
    }
}
