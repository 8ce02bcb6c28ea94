//! The two ways to run: real threads, for load, and a controlled scheduler, for interleavings.
//!
//! Both stand behind the same few calls of a task: a point where another may run, blocking at an address, waking an
//! address. The controlled scheduler is our own, on stackful coroutines: what blocks here are the model's locks and wait
//! queues only, interrupts must be able to come between any two steps, and a deadlock is to be told in terms of held
//! locks; a library that brings locks of its own (shuttle, loom) would put a second model below this one.

mod controlled;
mod parking;

use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use controlled::{Program, Trace, explore_once};
pub(crate) use parking::Parking;

use super::task::Task;

/// How a task runs.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'k> {
    /// As a thread of the host.
    Threads,
    /// As one of several coroutines.
    Controlled(&'k dyn Switch),
}

/// What a controlled scheduler does for its tasks.
pub(crate) trait Switch {
    /// Another task may run now.
    fn point(&self, task: &Task);
    /// Waits for a wake-up at an address.
    fn block(&self, task: &Task, address: usize, what: &dyn Fn() -> String, blocked: &dyn Fn() -> bool);
    /// Wakes who waits at an address.
    fn wake(&self, address: usize);
}

/// Where tasks wait for a condition.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    waiters: AtomicU32,
}

impl WaitQueue {
    /// Where it is.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Notes that a task waits, or does no longer.
    pub(crate) fn announce(&self, waits: bool) {
        if waits {
            self.waiters.fetch_add(1, Ordering::SeqCst);
        } else {
            self.waiters.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether somebody waits.
    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) > 0
    }
}

/// A task that can never go on: its stack is given up.
#[derive(Debug)]
pub(crate) struct Stuck;

impl Stuck {
    /// Leaves the task's stack. No panic is reported: the fault was.
    pub(crate) fn unwind() -> ! {
        std::panic::resume_unwind(Box::new(Self))
    }
}
