//! Acquiring and releasing: the model's side of every lock.

use std::panic::Location;

use super::Task;
use crate::observation::Tracked;
use crate::reference::lock::{Fault, FaultKind, HeldLock, Lock, Mode, Nest, Waiting, order_key, order_key_name};
use crate::reference::observe::Event;

type Site = &'static Location<'static>;

impl<'k> Task<'k> {
    /// Waits for a lock and takes it.
    pub(crate) fn acquire(&self, lock: &'k Lock, mode: Mode, nest: Nest, site: Site) {
        self.point();
        let Some(mode) = self.deviating_mode(lock, mode, site) else { return };
        self.acquire_as_asked(lock, mode, nest, site);
    }

    /// The same, whatever the deviation.
    pub(super) fn acquire_as_asked(&self, lock: &'k Lock, mode: Mode, nest: Nest, site: Site) {
        if lock.class().waiting() == Waiting::Sleeps {
            self.might_sleep(lock.class().name());
        }
        self.check_order(lock, nest, site);
        if !lock.raw().try_acquire(mode, self.id, false) {
            self.acquire_slowly(lock, mode, site);
        }
        self.taken(lock, mode, nest, site);
    }

    fn acquire_slowly(&self, lock: &Lock, mode: Mode, site: Site) {
        if lock.class().waiting() == Waiting::Sleeps {
            self.note(Event::Slept);
        }
        lock.raw().announce(mode, true);
        while !lock.raw().try_acquire(mode, self.id, self.may_barge()) {
            let blocked = || match mode {
                Mode::Exclusive => lock.raw().is_held(),
                Mode::Shared => lock.raw().is_held() && lock.raw().readers() == 0,
            };
            self.block(lock.raw().address(), &|| format!("{} at {site}", lock.class().name()), &blocked);
        }
        lock.raw().announce(mode, false);
    }

    pub(crate) fn try_acquire(&self, lock: &'k Lock, mode: Mode, site: Site) -> bool {
        self.point();
        let taken = lock.raw().try_acquire(mode, self.id, false);
        if taken {
            self.taken(lock, mode, Nest::Normal, site);
        }
        taken
    }

    fn taken(&self, lock: &'k Lock, mode: Mode, nest: Nest, site: Site) {
        if lock.class().waiting() == Waiting::Spins {
            self.preempt_disable();
        }
        let (address, class) = (lock.raw().address(), lock.class());
        self.held.borrow_mut().push(HeldLock { lock, address, class, mode, nest, site });
        self.note(Event::Acquired(address));
    }

    fn check_order(&self, lock: &Lock, nest: Nest, site: Site) {
        let held = self.held.borrow();
        let to = order_key(lock.class(), nest);
        for other in held.iter() {
            let by_place = other.class == lock.class() && lock.class().nests_by_place();
            if by_place || other.address == lock.raw().address() {
                continue;
            }
            let from = order_key(other.class, other.nest);
            if self.kernel.order.add(from, to) {
                let what = format!(
                    "{} at {site} while holding {} of {}",
                    order_key_name(to),
                    order_key_name(from),
                    other.site
                );
                self.kernel.report(Fault { kind: FaultKind::OrderInversion, what });
            }
        }
    }

    /// Gives a lock up.
    pub(crate) fn release(&self, lock: &Lock) {
        let address = lock.raw().address();
        let Some(held) = self.held.borrow_mut().remove(address) else {
            if !self.release_phantom(address) {
                let what = format!("{} in {}", lock.class().name(), self.function());
                self.kernel.report(Fault { kind: FaultKind::NotHeld, what });
            }
            return;
        };
        self.note(Event::Released(address));
        if lock.raw().release(held.mode) {
            self.wake(address);
        }
        if lock.class().waiting() == Waiting::Spins {
            self.preempt_enable();
        }
        self.point();
    }

    /// Leaves a held lock to whoever completes what was begun; that one calls [`Self::release_handed`].
    pub(crate) fn hand_over(&self, lock: &Lock) {
        let held = self.held.borrow_mut().remove(lock.raw().address());
        if held.is_none() && !self.release_phantom(lock.raw().address()) {
            let what = format!("{} handed over in {}", lock.class().name(), self.function());
            self.kernel.report(Fault { kind: FaultKind::NotHeld, what });
        }
    }

    /// Releases a lock that its holder has handed over.
    pub(crate) fn release_handed(&self, lock: &Lock) {
        self.note(Event::Released(lock.raw().address()));
        if lock.raw().release(Mode::Exclusive) {
            self.wake(lock.raw().address());
        }
    }

    /// Turns an exclusive lock into a shared one.
    pub(crate) fn downgrade(&self, lock: &Lock) {
        let address = lock.raw().address();
        self.held.borrow_mut().set_mode(address, Mode::Shared);
        if lock.raw().downgrade() {
            self.wake(address);
        }
    }

    /// How the task holds a lock, by its table.
    pub(crate) fn tracked(&self, lock: &Lock) -> Tracked {
        self.held.borrow().tracked(lock.raw().address())
    }

    /// Whether the task holds a lock in some mode.
    pub(crate) fn holds(&self, lock: &Lock) -> bool {
        self.tracked(lock) != Tracked::None
    }

    /// The table.
    pub(crate) fn held(&self) -> Vec<HeldLock<'k>> {
        self.held.borrow().iter().copied().collect()
    }

    pub(super) fn phantom(&self, address: usize, instead: Option<&'k Lock>) {
        self.phantoms.borrow_mut().push((address, instead));
    }

    /// Ends an acquisition that a deviation left out.
    fn release_phantom(&self, address: usize) -> bool {
        let mut phantoms = self.phantoms.borrow_mut();
        let Some(index) = phantoms.iter().rposition(|(meant, _)| *meant == address) else { return false };
        let (_, instead) = phantoms.remove(index);
        drop(phantoms);
        if let Some(lock) = instead {
            self.release(lock);
        }
        true
    }
}
