//! Folds equal invocations into one key with a count, and builds an observation per key at the end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use super::beyond::Calls;
use super::read::{NO_OBJECT, decode};
use super::{Op, Plan, Plans, Watch};
use crate::observation::{Example, LockEvidence, LockReading, Observation, Point, Route};
use crate::reference::object::leaf;

/// Invocations that wait for something beyond their return, per task, before a look at them.
const PENDING_BATCH: usize = 64;

/// What equal invocations have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) op: Op,
    pub(crate) point: Side,
    pub(crate) callback: Name,
    pub(crate) caller: Name,
    pub(crate) fs: Name,
    /// Facts by bit: which are known, and which are so.
    pub(crate) known: u64,
    pub(crate) facts: u64,
    pub(crate) locks: u64,
}

/// Entry or exit, as a key has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Entry,
    Exit,
}

/// A name by its place in memory: equal places are equal names, and two places of one name are folded at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name(pub(crate) &'static str);

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.0.as_ptr() as usize);
    }
}

/// A multiplicative hash: keys are few, and looked up at every invocation.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }
}

type Keys = HashMap<Key, (u64, Option<Box<Example>>), BuildHasherDefault<KeyHasher>>;

/// What one task has recorded.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    keys: Keys,
    pending: Vec<Pending>,
    pub(crate) syscalls: u64,
    pub(crate) invocations: u64,
}

/// An invocation some facts of which are not decided yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) key: Key,
    /// Bits that become so when all of their watches are over.
    pub(crate) watches: Vec<(u64, Watch)>,
}

impl Pending {
    /// Decides what can be decided; true when nothing is left open.
    fn settle(&mut self, calls: &Calls) -> bool {
        self.watches.retain(|(bit, watch)| {
            let over = watch.is_over(calls);
            if over {
                self.key.facts |= bit;
            }
            !over
        });
        self.watches.is_empty()
    }
}

impl Recorder {
    /// Counts an invocation; the first of a key is kept in full.
    pub(crate) fn record(&mut self, key: Key, example: impl FnOnce() -> Example) {
        match self.keys.get_mut(&key) {
            Some((count, _)) => *count += 1,
            None => {
                self.keys.insert(key, (1, Some(Box::new(example()))));
            }
        }
    }

    /// Keeps an invocation until it is decided.
    pub(crate) fn postpone(&mut self, pending: Pending, calls: &Calls, example: impl Fn() -> Example) {
        self.pending.push(pending);
        if self.pending.len() >= PENDING_BATCH {
            let mut left = std::mem::take(&mut self.pending);
            left.retain_mut(|pending| {
                let settled = pending.settle(calls);
                if settled {
                    self.record(pending.key, &example);
                }
                !settled
            });
            self.pending = left;
        }
    }
}

/// What all tasks have recorded.
#[derive(Debug, Default)]
pub(crate) struct Results(Mutex<Recorder>);

/// What a run brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) observations: Vec<Observation>,
    pub(crate) syscalls: u64,
    pub(crate) invocations: u64,
}

impl Results {
    /// Takes a task's part over.
    pub(crate) fn take(&self, recorder: &mut Recorder) {
        let mut all = leaf(&self.0);
        for (key, (count, example)) in recorder.keys.drain() {
            let entry = all.keys.entry(key).or_default();
            entry.0 += count;
            if entry.1.is_none() {
                entry.1 = example;
            }
        }
        all.pending.append(&mut recorder.pending);
        all.syscalls += std::mem::take(&mut recorder.syscalls);
        all.invocations += std::mem::take(&mut recorder.invocations);
    }

    /// Ends a machine: what has not happened by now never will.
    pub(crate) fn settle(&self, calls: &Calls) {
        let mut all = leaf(&self.0);
        for mut pending in std::mem::take(&mut all.pending) {
            pending.settle(calls);
            all.keys.entry(pending.key).or_default().0 += 1;
        }
    }

    /// System calls so far.
    pub(crate) fn syscalls(&self) -> u64 {
        leaf(&self.0).syscalls
    }

    /// Ends the run.
    pub(crate) fn finish(&self, plans: &Plans) -> Brought {
        let mut all = leaf(&self.0);
        let mut observations = Vec::new();
        for (key, (count, example)) in std::mem::take(&mut all.keys) {
            if let Some(plan) = plans.of(key.op) {
                observations.push(observation(plan, &key, count, example));
            }
        }
        let order = |one: &Observation| {
            let names = (one.table.clone(), one.op.clone(), one.callback.clone(), one.caller.clone());
            (names, one.point, one.facts.clone(), one.locks.clone())
        };
        observations.sort_by_cached_key(order);
        Brought { observations, syscalls: all.syscalls, invocations: all.invocations }
    }
}

fn observation(plan: &Plan, key: &Key, count: u64, example: Option<Box<Example>>) -> Observation {
    let prototype = key.op.prototype();
    let facts = plan.facts().enumerate().filter(|(bit, _)| key.known >> bit & 1 == 1);
    let facts = facts.map(|(bit, fact)| (fact.name.clone(), key.facts >> bit & 1 == 1)).collect();
    let (point, slots) = match key.point {
        Side::Entry => (Point::Entry, &plan.entry_locks),
        Side::Exit => (Point::Exit, &plan.exit_locks),
    };
    let locks = slots.iter().enumerate().filter_map(|(slot, lock)| {
        let code = key.locks >> (slot * 8) & 0xff;
        let reading = if code == NO_OBJECT {
            LockReading::NoObject
        } else {
            let (word, tracked) = decode(code)?;
            LockReading::Read { word, tracked }
        };
        Some(LockEvidence { role: lock.role.clone(), lock: lock.lock.clone(), reading })
    });
    Observation {
        table: prototype.table.to_owned(),
        op: prototype.op.to_owned(),
        also: Vec::new(),
        callback: key.callback.0.to_owned(),
        fs: key.fs.0.to_owned(),
        sb_id: String::new(),
        caller: key.caller.0.to_owned(),
        route: Route::Table,
        point,
        history_complete: true,
        facts,
        locks: locks.collect(),
        count,
        example: example.map(|example| *example),
    }
}
