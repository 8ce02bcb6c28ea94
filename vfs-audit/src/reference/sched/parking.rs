//! Waiting as a thread of the host: a few condition variables, chosen by address.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

const LOTS: usize = 32;
/// How long a thread waits before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the condition, should a wake-up be missed by the host.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Threads that wait.
#[derive(Debug)]
pub(crate) struct Parking {
    lots: [(Mutex<()>, Condvar); LOTS],
    /// Threads that run tasks.
    threads: AtomicUsize,
}

impl Default for Parking {
    fn default() -> Self {
        Self { lots: std::array::from_fn(|_| (Mutex::new(()), Condvar::new())), threads: AtomicUsize::new(1) }
    }
}

impl Parking {
    /// How many threads run tasks.
    pub(crate) fn set_threads(&self, threads: usize) {
        self.threads.store(threads, Ordering::SeqCst);
    }

    /// Whether one thread runs everything.
    pub(crate) fn is_alone(&self) -> bool {
        self.threads.load(Ordering::SeqCst) <= 1
    }

    fn lot(&self, address: usize) -> &(Mutex<()>, Condvar) {
        &self.lots[(address >> 4) % LOTS]
    }

    /// Waits until the address is woken; false when nobody is left who could, or nobody did for long.
    pub(crate) fn park(&self, address: usize, blocked: &dyn Fn() -> bool) -> bool {
        if self.is_alone() {
            return !blocked();
        }
        let (mutex, condition) = self.lot(address);
        let began = Instant::now();
        let mut guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        while blocked() {
            if began.elapsed() > PATIENCE {
                return false;
            }
            let waited = condition.wait_timeout(guard, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner);
            guard = waited.0;
            if !waited.1.timed_out() {
                break;
            }
        }
        true
    }

    /// Wakes whoever waits at the address.
    pub(crate) fn unpark(&self, address: usize) {
        let (mutex, condition) = self.lot(address);
        drop(mutex.lock().unwrap_or_else(PoisonError::into_inner));
        condition.notify_all();
    }
}
