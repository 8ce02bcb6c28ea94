//! Giving up the CPU: for a lock, for a condition, for a while.

use super::{Context, Task};
use crate::reference::lock::{Fault, FaultKind};
use crate::reference::observe::Event;
use crate::reference::sched::{Mode, Stuck, WaitQueue};

impl Task<'_> {
    /// A place where another task may run, or an interrupt come.
    #[inline]
    pub(crate) fn point(&self) {
        if self.context.get() == Context::Process {
            match self.mode {
                Mode::Threads => {
                    if self.kernel.interrupts.are_pending() && self.kernel.interrupts.comes_now() {
                        self.take_interrupts();
                    }
                }
                Mode::Controlled(switch) => switch.point(self),
            }
        }
    }

    /// Whether a reader need not queue behind writers: nobody else runs who could.
    pub(super) fn may_barge(&self) -> bool {
        matches!(self.mode, Mode::Threads) && self.kernel.is_alone()
    }

    /// Gives up the CPU of its own will.
    pub(crate) fn schedule(&self, what: &str) {
        self.might_sleep(what);
        self.note(Event::Slept);
        self.relax();
    }

    /// Lets others run, without that being a sleep.
    pub(crate) fn relax(&self) {
        match self.mode {
            Mode::Threads => {
                if !self.take_interrupts() && !self.kernel.is_alone() {
                    std::thread::yield_now();
                }
            }
            Mode::Controlled(switch) => switch.point(self),
        }
    }

    /// Waits until a condition holds; whoever makes it hold wakes the queue.
    pub(crate) fn wait(&self, queue: &WaitQueue, what: &'static str, ready: impl Fn() -> bool) {
        self.might_sleep(what);
        if ready() {
            return;
        }
        self.note(Event::Slept);
        queue.announce(true);
        while !ready() {
            self.block(queue.address(), &|| what.to_owned(), &|| !ready());
        }
        queue.announce(false);
    }

    /// Wakes everybody who waits at a queue.
    pub(crate) fn wake_all(&self, queue: &WaitQueue) {
        if queue.has_waiters() {
            self.wake(queue.address());
        }
    }

    /// Waits to be woken at an address; returns early where that may be in vain.
    pub(super) fn block(&self, address: usize, what: &dyn Fn() -> String, blocked: &dyn Fn() -> bool) {
        if self.take_interrupts() {
            return;
        }
        if self.context.get() != Context::Process {
            let what = format!("{} waits for {}", self.name, what());
            self.kernel.report(Fault { kind: FaultKind::Deadlock, what });
            Stuck::unwind();
        }
        match self.mode {
            Mode::Controlled(switch) => switch.block(self, address, what, blocked),
            Mode::Threads => {
                if !self.kernel.parking.park(address, blocked) {
                    let what = format!("{} waits for {} in {}", self.name, what(), self.stack().join(" > "));
                    self.kernel.report(Fault { kind: FaultKind::Deadlock, what });
                    Stuck::unwind();
                }
            }
        }
    }

    pub(super) fn wake(&self, address: usize) {
        match self.mode {
            Mode::Controlled(switch) => switch.wake(address),
            Mode::Threads => self.kernel.parking.unpark(address),
        }
    }
}
