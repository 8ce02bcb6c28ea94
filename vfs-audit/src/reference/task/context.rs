//! Where a task is allowed to sleep, and where not.

use super::Task;
use crate::reference::kernel::Interrupt;
use crate::reference::lock::{Fault, FaultKind};

/// What kind of context code runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A task of its own.
    Process,
    /// A device's interrupt.
    Interrupt,
    /// A callback of RCU, after a grace period.
    RcuCallback,
}

impl Task<'_> {
    /// Its context.
    pub(crate) fn context(&self) -> Context {
        self.context.get()
    }

    /// Whether sleeping is not allowed.
    pub(crate) fn is_atomic(&self) -> bool {
        self.preempt.get() > 0 || self.rcu.get() > 0 || self.context.get() != Context::Process
    }

    /// Whether it walks a path without references.
    pub(crate) fn is_in_rcu_walk(&self) -> bool {
        self.rcu_walk.get()
    }

    /// Enters or leaves rcu-walk: an RCU read side of its own.
    pub(crate) fn set_rcu_walk(&self, walks: bool) {
        if self.rcu_walk.replace(walks) != walks {
            if walks { self.rcu_read_lock() } else { self.rcu_read_unlock() }
        }
    }

    /// Says that it walks a path without references, and nothing else: what a wrong call looks like.
    pub(super) fn claim_rcu_walk(&self, walks: bool) -> bool {
        self.rcu_walk.replace(walks)
    }

    /// Enters an RCU read side.
    pub(crate) fn rcu_read_lock(&self) {
        self.rcu.set(self.rcu.get() + 1);
        self.kernel.rcu.enter();
    }

    /// Leaves it.
    pub(crate) fn rcu_read_unlock(&self) {
        self.rcu.set(self.rcu.get() - 1);
        self.kernel.rcu.leave();
    }

    pub(crate) fn preempt_disable(&self) {
        self.preempt.set(self.preempt.get() + 1);
    }

    pub(crate) fn preempt_enable(&self) {
        self.preempt.set(self.preempt.get() - 1);
    }

    /// Says that it may give up the CPU here; a fault where that is not allowed.
    pub(crate) fn might_sleep(&self, what: &str) {
        if self.is_atomic() {
            let held = self.held.borrow().iter().map(|held| held.class.name()).collect::<Vec<_>>().join(", ");
            let what = format!("{} in {}, holding [{held}]", what, self.function());
            self.kernel.report(Fault { kind: FaultKind::SleepInAtomic, what });
        }
    }

    /// Takes an interrupt: runs its work on top of whatever runs.
    pub(crate) fn interrupt(&self, work: Interrupt) {
        let task = self.on_top("irq/disk", Context::Interrupt);
        work(&task);
    }

    /// Takes all interrupts that devices have raised; says whether there was one.
    pub(crate) fn take_interrupts(&self) -> bool {
        if self.context.get() != Context::Process {
            return false;
        }
        let mut took = false;
        while let Some(work) = self.kernel.interrupts.next() {
            self.interrupt(work);
            took = true;
        }
        took
    }

    /// Runs the RCU callbacks whose grace period is over.
    pub(crate) fn run_rcu_callbacks(&self) {
        let ready = self.kernel.rcu.ready();
        if ready.is_empty() {
            return;
        }
        let task = self.on_top("rcu_callback", Context::RcuCallback);
        for callback in ready {
            callback(&task);
        }
    }

    /// Waits until every RCU callback that was queued has run.
    pub(crate) fn rcu_barrier(&self) {
        self.might_sleep("rcu_barrier");
        while self.kernel.rcu.is_pending() {
            self.run_rcu_callbacks();
            if self.kernel.rcu.is_pending() {
                self.relax();
            }
        }
    }

    /// Back to user space: nothing may be held, everything may be preempted.
    pub(super) fn return_to_user(&self, syscall: &str) {
        if self.kernel.interrupts.are_pending() && self.kernel.interrupts.comes_now() {
            self.take_interrupts();
        }
        if self.kernel.rcu.is_due() {
            self.run_rcu_callbacks();
        }
        for lock in self.held() {
            let what = format!("{} acquired at {} is still held at the end of {syscall}", lock.class.name(), lock.site);
            self.kernel.report(Fault { kind: FaultKind::LeakedLock, what });
        }
        if self.is_atomic() {
            let what = format!("{syscall} returns in atomic context");
            self.kernel.report(Fault { kind: FaultKind::LeakedLock, what });
            self.preempt.set(0);
        }
    }
}
