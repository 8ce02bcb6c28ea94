//! Where a mutant's single deviation takes effect, as far as it is a matter of locks and contexts.
//!
//! Deviations of a protocol are asked for by name where they happen ([`Task::deviates`]).

use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;

use super::Task;
use crate::reference::lock::{Class, HeldLock, Lock, Mode, Nest};
use crate::reference::mutant::{Deviation, Entry, Step, Wrong};
use crate::reference::observe::Op;

/// What must be set right again after an entry.
pub(super) enum Undo<'k> {
    Nothing,
    Preempt,
    RcuWalk(bool),
    /// A lock to take again as it was held, after another that was taken instead.
    Lock(HeldLock<'k>, Option<&'k Lock>),
}

impl<'k> Task<'k> {
    /// Whether the mutant deviates at a step of a protocol.
    pub(crate) fn deviates(&self, step: Step) -> bool {
        let is = self.kernel.deviation == Deviation::Step(step);
        if is {
            self.kernel.deviated.fetch_add(1, Relaxed);
        }
        is
    }

    /// The mode that an acquisition ends up with; nothing when it is left out or goes to another lock.
    pub(super) fn deviating_mode(&self, lock: &'k Lock, mode: Mode, site: &'static Location<'static>) -> Option<Mode> {
        let Deviation::Acquire { function, class, wrong } = self.kernel.deviation else { return Some(mode) };
        if class != lock.class() || function != self.function() {
            return Some(mode);
        }
        self.kernel.deviated.fetch_add(1, Relaxed);
        match wrong {
            Wrong::Shared => Some(Mode::Shared),
            Wrong::NotTaken => {
                self.phantom(lock.raw().address(), None);
                None
            }
            Wrong::AnotherObject => {
                let kernel = self.kernel;
                let decoy = &kernel.decoys[class as usize];
                self.phantom(lock.raw().address(), Some(decoy));
                self.acquire_as_asked(decoy, mode, Nest::Normal, site);
                None
            }
        }
    }

    /// Makes the entry of a callback wrong, if that is the deviation.
    pub(super) fn deviate_at_entry(&self, op: Op) -> Undo<'k> {
        let Deviation::Entry(at, entry) = self.kernel.deviation else { return Undo::Nothing };
        if at != op {
            return Undo::Nothing;
        }
        let undo = match entry {
            Entry::Atomic => {
                self.preempt_disable();
                Undo::Preempt
            }
            Entry::RcuWalk => Undo::RcuWalk(self.claim_rcu_walk(true)),
            Entry::Lock { class, nth, wrong } => self.give_up(class, nth, wrong),
        };
        if !matches!(undo, Undo::Nothing) {
            self.kernel.deviated.fetch_add(1, Relaxed);
        }
        undo
    }

    /// Releases what is held of a class, as a caller does that releases too early, or holds something else.
    fn give_up(&self, class: Class, nth: usize, wrong: Wrong) -> Undo<'k> {
        let found = self.held.borrow().iter().filter(|held| held.class == class).nth(nth).copied();
        let Some(held) = found else { return Undo::Nothing };
        self.release(held.lock);
        let instead = match wrong {
            Wrong::NotTaken => None,
            Wrong::Shared => Some((held.lock, Mode::Shared)),
            Wrong::AnotherObject => Some((&self.kernel.decoys[class as usize], held.mode)),
        };
        if let Some((lock, mode)) = instead {
            self.acquire_as_asked(lock, mode, held.nest, held.site);
        }
        Undo::Lock(held, instead.map(|(lock, _)| lock))
    }

    /// Sets it right again before the callback runs: one deviation, at one place.
    pub(super) fn undo(&self, undo: &Undo<'k>) {
        match undo {
            Undo::Nothing => {}
            Undo::Preempt => self.preempt_enable(),
            Undo::RcuWalk(before) => {
                self.claim_rcu_walk(*before);
            }
            Undo::Lock(held, instead) => {
                if let Some(lock) = instead {
                    self.release(lock);
                }
                self.acquire_as_asked(held.lock, held.mode, held.nest, held.site);
            }
        }
    }

    /// Lets the callback sleep before it returns, if that is the deviation.
    pub(super) fn deviate_at_exit(&self, op: Op) {
        if self.kernel.deviation == Deviation::SleepIn(op) {
            self.kernel.deviated.fetch_add(1, Relaxed);
            self.schedule("a callback that sleeps");
        }
    }
}
