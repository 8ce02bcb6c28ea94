//! What can only be told after a callback has returned, or by looking at other tasks.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Function, Op};
use crate::reference::lock::Lock;
use crate::reference::object::leaf;

/// How often watched functions ran, object by object.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Watched functions, as bits.
    watched: u64,
    counts: Mutex<HashMap<(Function, usize), u64>>,
}

impl Calls {
    /// Counts these functions.
    pub(crate) fn new(watched: &[Function]) -> Self {
        Self { watched: watched.iter().fold(0, |bits, function| bits | 1 << *function as u8), counts: Mutex::default() }
    }

    /// Notes that a function ran for an object.
    pub(crate) fn count(&self, function: Function, subject: usize) {
        if self.watched >> function as u8 & 1 == 1 {
            *leaf(&self.counts).entry((function, subject)).or_default() += 1;
        }
    }

    fn of(&self, functions: &[Function], subjects: &[usize]) -> u64 {
        let counts = leaf(&self.counts);
        let pairs = functions.iter().flat_map(|function| subjects.iter().map(move |subject| (*function, *subject)));
        pairs.filter_map(|pair| counts.get(&pair)).sum()
    }
}

/// Something that must still happen.
#[derive(Clone, Debug)]
pub(crate) enum Watch {
    /// Each of the locks is released; with its releases so far and whether it was held.
    Released(Vec<(&'static Lock, u32, bool)>),
    /// One of the functions runs for one of the objects.
    Called { functions: Vec<Function>, subjects: Vec<usize>, before: u64 },
}

impl Watch {
    /// For the release of locks, from now on.
    pub(crate) fn released(locks: impl IntoIterator<Item = &'static Lock>) -> Self {
        let watched = locks.into_iter().map(|lock| (lock, lock.raw().releases(), lock.raw().is_held()));
        Self::Released(watched.collect())
    }

    /// For a call, from now on.
    pub(crate) fn called(calls: &Calls, functions: &[Function], subjects: impl Iterator<Item = usize>) -> Self {
        let subjects: Vec<_> = subjects.collect();
        Self::Called { functions: functions.to_vec(), before: calls.of(functions, &subjects), subjects }
    }

    /// Whether it has happened. A lock that nobody held and nobody holds needs no release.
    pub(crate) fn is_over(&self, calls: &Calls) -> bool {
        match self {
            Self::Released(locks) => locks.iter().all(|(lock, before, was_held)| {
                lock.raw().releases() != *before || (!was_held && !lock.raw().is_held())
            }),
            Self::Called { functions, subjects, before } => calls.of(functions, subjects) > *before,
        }
    }
}

/// Invocations under way of ops that are asked for overlaps.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    under_way: Mutex<Vec<UnderWay>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct UnderWay {
    id: u64,
    op: Op,
    object: usize,
    met: Vec<Op>,
}

impl Overlaps {
    /// Notes that an invocation begins.
    pub(crate) fn begin(&self, op: Op, object: usize) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut under_way = leaf(&self.under_way);
        let mut met = Vec::new();
        for other in under_way.iter_mut().filter(|other| other.object == object) {
            other.met.push(op);
            met.push(other.op);
        }
        under_way.push(UnderWay { id, op, object, met });
        id
    }

    /// Ends it; gives the ops whose invocations overlapped.
    pub(crate) fn end(&self, id: u64) -> Vec<Op> {
        let mut under_way = leaf(&self.under_way);
        let index = under_way.iter().position(|one| one.id == id);
        index.map(|index| under_way.swap_remove(index).met).unwrap_or_default()
    }
}
