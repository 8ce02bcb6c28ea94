//! The held-lock table of one task.

use std::panic::Location;

use super::{Class, Lock, Mode, Nest};
use crate::observation::Tracked;

/// A lock that a task holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldLock<'k> {
    /// The lock.
    pub(crate) lock: &'k Lock,
    /// Instance.
    pub(crate) address: usize,
    /// Class.
    pub(crate) class: Class,
    /// Mode.
    pub(crate) mode: Mode,
    /// Place within the class.
    pub(crate) nest: Nest,
    /// Where it was acquired.
    pub(crate) site: &'static Location<'static>,
}

/// The table, in the order of acquisition.
#[derive(Debug, Default)]
pub(crate) struct HeldLocks<'k>(Vec<HeldLock<'k>>);

impl<'k> HeldLocks<'k> {
    /// Notes an acquisition.
    pub(crate) fn push(&mut self, held: HeldLock<'k>) {
        self.0.push(held);
    }

    /// Notes a release; says how the lock was held.
    pub(crate) fn remove(&mut self, address: usize) -> Option<HeldLock<'k>> {
        let index = self.0.iter().rposition(|held| held.address == address)?;
        Some(self.0.remove(index))
    }

    /// How a lock is held.
    pub(crate) fn tracked(&self, address: usize) -> Tracked {
        match self.0.iter().rfind(|held| held.address == address).map(|held| held.mode) {
            None => Tracked::None,
            Some(Mode::Shared) => Tracked::Shared,
            Some(Mode::Exclusive) => Tracked::Exclusive,
        }
    }

    /// Notes another mode.
    pub(crate) fn set_mode(&mut self, address: usize, mode: Mode) {
        if let Some(held) = self.0.iter_mut().rfind(|held| held.address == address) {
            held.mode = mode;
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, HeldLock<'k>> {
        self.0.iter()
    }
}
