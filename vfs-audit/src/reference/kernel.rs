//! The reference kernel: everything that is not a task's or an object's own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::lock::{Class, Fault, Lock, Order};
use super::mutant::Deviation;
use super::object::{FileSystemType, Mount, Slabs, SuperBlock, leaf};
use super::observe::{Calls, Overlaps, Plans, Results};
use super::sched::Parking;
use super::task::Task;

/// What a device wants done at once.
pub(crate) type Interrupt = Box<dyn FnOnce(&Task) + Send>;
/// What is done after a grace period.
pub(crate) type RcuCallback = Box<dyn FnOnce(&Task) + Send>;

/// Faults kept; that there were more is said.
const FAULTS_MAX: usize = 1000;

/// One machine.
pub(crate) struct Kernel {
    pub(crate) slabs: Slabs,
    pub(crate) globals: Globals,
    pub(crate) order: Order,
    pub(crate) parking: Parking,
    pub(crate) interrupts: Arc<Interrupts>,
    pub(crate) rcu: Rcu,
    pub(crate) plans: Arc<Plans>,
    pub(crate) results: Arc<Results>,
    pub(crate) calls: Calls,
    pub(crate) overlaps: Overlaps,
    /// The single deviation of a mutant.
    pub(crate) deviation: Deviation,
    /// Times that it took effect.
    pub(crate) deviated: AtomicU64,
    /// Locks that a deviation acquires instead of the right ones, one per class.
    pub(crate) decoys: Vec<Lock>,
    faults: Mutex<Vec<Fault>>,
    tasks: AtomicU32,
    clock: AtomicU64,
}

/// Variables of the kernel.
#[derive(Debug)]
pub(crate) struct Globals {
    pub(crate) rename_lock: Lock,
    pub(crate) rename_seq: AtomicU32,
    pub(crate) namespace_sem: Lock,
    pub(crate) blocked_lock_lock: Lock,
    pub(crate) swap_lock: Lock,
    pub(crate) mounts: Mutex<Vec<&'static Mount>>,
    pub(crate) super_blocks: Mutex<Vec<&'static SuperBlock>>,
    pub(crate) file_systems: &'static [&'static FileSystemType],
    pub(crate) next_device: AtomicU32,
}

impl Kernel {
    /// A machine that has just come up.
    pub(crate) fn new(
        plans: Arc<Plans>,
        results: Arc<Results>,
        file_systems: &'static [&'static FileSystemType],
        deviation: Deviation,
    ) -> Arc<Self> {
        let globals = Globals {
            rename_lock: Lock::new(Class::RenameLock),
            rename_seq: AtomicU32::new(0),
            namespace_sem: Lock::new(Class::NamespaceSem),
            blocked_lock_lock: Lock::new(Class::BlockedLockLock),
            swap_lock: Lock::new(Class::SwapLock),
            mounts: Mutex::default(),
            super_blocks: Mutex::default(),
            file_systems,
            next_device: AtomicU32::new(1),
        };
        let calls = Calls::new(plans.watched());
        Arc::new(Self {
            slabs: Slabs::default(),
            globals,
            order: Order::new(),
            parking: Parking::default(),
            interrupts: Arc::default(),
            rcu: Rcu::default(),
            plans,
            results,
            calls,
            overlaps: Overlaps::default(),
            deviation,
            deviated: AtomicU64::new(0),
            decoys: Class::ALL.iter().map(|class| Lock::new(*class)).collect(),
            faults: Mutex::default(),
            tasks: AtomicU32::new(0),
            clock: AtomicU64::new(1),
        })
    }

    /// The id of a new task.
    pub(crate) fn next_task(&self) -> u32 {
        self.tasks.fetch_add(1, SeqCst) % 0x7fff_fffe + 1
    }

    /// Whether one thread runs everything.
    pub(crate) fn is_alone(&self) -> bool {
        self.parking.is_alone()
    }

    /// Time, which passes with every look.
    pub(crate) fn now(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    /// Notes a finding; equal ones once.
    pub(crate) fn report(&self, fault: Fault) {
        let mut faults = leaf(&self.faults);
        if faults.contains(&fault) {
            return;
        }
        match faults.len() {
            len if len < FAULTS_MAX => faults.push(fault),
            FAULTS_MAX => {
                let what = format!("more than {FAULTS_MAX} findings; the rest is not kept");
                faults.push(Fault { kind: fault.kind, what });
            }
            _ => {}
        }
    }

    /// The findings so far.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        leaf(&self.faults).clone()
    }

    /// The type of a file system's name.
    pub(crate) fn file_system(&self, name: &str) -> Option<&'static FileSystemType> {
        self.globals.file_systems.iter().find(|known| known.name == name).copied()
    }
}

/// A device with requests under way.
pub(crate) trait Completes: Send + Sync {
    /// Completes the request that is next, which raises its interrupt; false when there is none.
    fn complete_one(&self, interrupts: &Interrupts) -> bool;
}

/// Interrupts that devices have raised.
#[derive(Default)]
pub(crate) struct Interrupts {
    queue: Mutex<VecDeque<Interrupt>>,
    /// Devices, each of which can be asked to complete one request.
    devices: Mutex<Vec<Arc<dyn Completes>>>,
    pending: AtomicUsize,
    /// Requests that devices have under way.
    under_way: AtomicUsize,
    looks: AtomicU32,
}

/// An interrupt that nobody waits for comes after so many looks.
const LOOKS_BEFORE_INTERRUPT: u32 = 1024;

impl Interrupts {
    /// Raises one.
    pub(crate) fn raise(&self, work: Interrupt) {
        leaf(&self.queue).push_back(work);
        self.pending.fetch_add(1, SeqCst);
    }

    /// Whether there is any, or will be.
    pub(crate) fn are_pending(&self) -> bool {
        self.pending.load(SeqCst) > 0 || self.under_way.load(SeqCst) > 0
    }

    /// Adds a device.
    pub(crate) fn add_device(&self, device: Arc<dyn Completes>) {
        leaf(&self.devices).push(device);
    }

    /// Notes that a device has taken a request, or is done with it.
    pub(crate) fn count(&self, taken: bool) {
        if taken {
            self.under_way.fetch_add(1, SeqCst);
        } else {
            self.under_way.fetch_sub(1, SeqCst);
        }
    }

    /// Whether it comes at this look.
    pub(crate) fn comes_now(&self) -> bool {
        self.looks.fetch_add(1, SeqCst) % LOOKS_BEFORE_INTERRUPT == LOOKS_BEFORE_INTERRUPT - 1
    }

    /// The next one.
    pub(crate) fn next(&self) -> Option<Interrupt> {
        if self.pending.load(SeqCst) == 0 {
            if self.under_way.load(SeqCst) == 0 {
                return None;
            }
            let devices = leaf(&self.devices).clone();
            if !devices.iter().any(|device| device.complete_one(self)) {
                return None;
            }
        }
        let next = leaf(&self.queue).pop_front();
        if next.is_some() {
            self.pending.fetch_sub(1, SeqCst);
        }
        next
    }
}

/// Read-copy-update: readers are counted, and callbacks wait for a moment without any.
#[derive(Default)]
pub(crate) struct Rcu {
    readers: AtomicUsize,
    queue: Mutex<Vec<RcuCallback>>,
    queued: AtomicUsize,
}

/// Callbacks that are let gather before somebody runs them.
const RCU_BATCH: usize = 16;

impl Rcu {
    pub(crate) fn enter(&self) {
        self.readers.fetch_add(1, SeqCst);
    }

    pub(crate) fn leave(&self) {
        self.readers.fetch_sub(1, SeqCst);
    }

    /// Has something done after a grace period.
    pub(crate) fn call(&self, callback: RcuCallback) {
        leaf(&self.queue).push(callback);
        self.queued.fetch_add(1, SeqCst);
    }

    /// Whether callbacks wait.
    pub(crate) fn is_pending(&self) -> bool {
        self.queued.load(SeqCst) > 0
    }

    /// Whether enough of them wait.
    pub(crate) fn is_due(&self) -> bool {
        self.queued.load(SeqCst) >= RCU_BATCH
    }

    /// Those whose grace period is over: taken from the queue before a moment without readers.
    pub(crate) fn ready(&self) -> Vec<RcuCallback> {
        let mut queue = leaf(&self.queue);
        if self.readers.load(SeqCst) > 0 {
            return Vec::new();
        }
        let ready = std::mem::take(&mut *queue);
        self.queued.fetch_sub(ready.len(), SeqCst);
        ready
    }
}
