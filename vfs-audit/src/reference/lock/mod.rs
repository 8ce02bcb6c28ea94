//! Locks as a façade over a model: holder, mode, order and context of every acquisition are known.
//!
//! A lock is acquired and released by a [`Task`]; the model keeps the task's held-lock table, checks the order of classes
//! and finds sleeping in atomic context. What it finds is a [`Fault`]: it speaks of deadlocks and contexts, never of a
//! documented rule. Both ways to run stand behind the same types: real threads, and the controlled scheduler.

mod class;
mod fault;
mod held;
mod order;
mod raw;

use std::panic::Location;

pub(crate) use class::{Class, Nest, Waiting, order_key, order_key_name};
pub use fault::{Fault, FaultKind};
pub(crate) use held::{HeldLock, HeldLocks};
pub(crate) use order::Order;
pub(crate) use raw::{Mode, RawLock};

use super::task::Task;
use crate::observation::Word;

/// One lock of a class.
#[derive(Debug)]
pub(crate) struct Lock {
    class: Class,
    raw: RawLock,
}

impl Lock {
    /// A free lock.
    pub(crate) fn new(class: Class) -> Self {
        Self { class, raw: RawLock::default() }
    }

    /// Its class.
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Its word.
    pub(crate) fn raw(&self) -> &RawLock {
        &self.raw
    }

    /// What the word says to a task; spinlocks and page bits know no owner.
    pub(crate) fn word(&self, task: u32) -> Word {
        let ownerless =
            self.class.waiting() == Waiting::Spins || matches!(self.class, Class::FolioLock | Class::BhLock);
        if ownerless { self.raw.ownerless_word() } else { self.raw.word_of(task) }
    }

    /// Waits for it and takes it.
    #[track_caller]
    pub(crate) fn acquire<'k>(&'k self, task: &Task<'k>, mode: Mode) {
        task.acquire(self, mode, Nest::Normal, Location::caller());
    }

    /// The same at a place within its class.
    #[track_caller]
    pub(crate) fn acquire_nested<'k>(&'k self, task: &Task<'k>, mode: Mode, nest: Nest) {
        task.acquire(self, mode, nest, Location::caller());
    }

    /// Takes it if that needs no waiting.
    #[track_caller]
    pub(crate) fn try_acquire<'k>(&'k self, task: &Task<'k>, mode: Mode) -> bool {
        task.try_acquire(self, mode, Location::caller())
    }

    /// Gives it up, in whichever mode the task holds it.
    pub(crate) fn release(&self, task: &Task) {
        task.release(self);
    }

    /// Exclusive; the usual one for locks without modes.
    #[track_caller]
    pub(crate) fn lock<'k>(&'k self, task: &Task<'k>) {
        task.acquire(self, Mode::Exclusive, Nest::Normal, Location::caller());
    }

    /// Shared.
    #[track_caller]
    pub(crate) fn read<'k>(&'k self, task: &Task<'k>) {
        task.acquire(self, Mode::Shared, Nest::Normal, Location::caller());
    }
}
