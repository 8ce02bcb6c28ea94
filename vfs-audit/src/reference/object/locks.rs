//! File locks and leases.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::File;
use super::slab::{Slot, leaf, pooled};
use crate::reference::lock::{Class, Lock};
use crate::reference::sched::WaitQueue;
use crate::reference::vfs::operations::{FileLockOperations, LockManagerOperations};

/// Bits of `fl_flags`.
pub(crate) mod lock_flags {
    pub(crate) const FL_POSIX: u32 = 1;
    pub(crate) const FL_FLOCK: u32 = 2;
    pub(crate) const FL_LEASE: u32 = 32;
    /// May wait.
    pub(crate) const FL_SLEEP: u32 = 128;
}

/// What a lock allows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LeaseKind {
    Read = 0,
    Write = 1,
    Unlock = 2,
}

impl LeaseKind {
    /// From its number.
    pub(crate) fn of(number: u32) -> Self {
        match number {
            0 => Self::Read,
            1 => Self::Write,
            _ => Self::Unlock,
        }
    }
}

/// `struct file_lock_context`.
#[derive(Debug)]
pub(crate) struct FileLockContext {
    pub(crate) flc_lock: Lock,
    pub(crate) flc_flock: Mutex<Vec<&'static FileLock>>,
    pub(crate) flc_posix: Mutex<Vec<&'static FileLock>>,
    pub(crate) flc_lease: Mutex<Vec<&'static FileLock>>,
    pub(crate) wait: WaitQueue,
}

/// `struct file_lock`.
#[derive(Debug)]
pub(crate) struct FileLock {
    pub(crate) fl_file: Slot<File>,
    pub(crate) fl_flags: AtomicU32,
    pub(crate) fl_type: AtomicU32,
    pub(crate) fl_owner: AtomicU64,
    pub(crate) fl_start: AtomicU64,
    pub(crate) fl_end: AtomicU64,
    pub(crate) fl_ops: Slot<FileLockOperations>,
    pub(crate) fl_lmops: Slot<LockManagerOperations>,
    /// Requests that wait for it.
    pub(crate) fl_blocked_requests: Mutex<Vec<&'static FileLock>>,
    /// What it waits for.
    pub(crate) fl_blocker: Slot<FileLock>,
    pub(crate) fl_wait: WaitQueue,
    /// A lease that must go.
    pub(crate) fl_breaking: AtomicBool,
    /// A file system's own.
    pub(crate) fl_private: AtomicU64,
}

pooled!(FileLock);

impl FileLockContext {
    pub(super) fn new() -> Self {
        Self {
            flc_lock: Lock::new(Class::FlcLock),
            flc_flock: Mutex::default(),
            flc_posix: Mutex::default(),
            flc_lease: Mutex::default(),
            wait: WaitQueue::default(),
        }
    }

    pub(super) fn reset(&self) {
        for list in [&self.flc_flock, &self.flc_posix, &self.flc_lease] {
            leaf(list).clear();
        }
    }
}

impl FileLock {
    fn new() -> Self {
        Self {
            fl_file: Slot::default(),
            fl_flags: AtomicU32::new(0),
            fl_type: AtomicU32::new(0),
            fl_owner: AtomicU64::new(0),
            fl_start: AtomicU64::new(0),
            fl_end: AtomicU64::new(0),
            fl_ops: Slot::default(),
            fl_lmops: Slot::default(),
            fl_blocked_requests: Mutex::default(),
            fl_blocker: Slot::default(),
            fl_wait: WaitQueue::default(),
            fl_breaking: AtomicBool::new(false),
            fl_private: AtomicU64::new(0),
        }
    }

    fn reset(&self) {
        self.fl_file.set(None);
        self.fl_ops.set(None);
        self.fl_lmops.set(None);
        self.fl_blocker.set(None);
        self.fl_flags.store(0, SeqCst);
        self.fl_type.store(0, SeqCst);
        self.fl_owner.store(0, SeqCst);
        self.fl_start.store(0, SeqCst);
        self.fl_end.store(u64::MAX, SeqCst);
        self.fl_breaking.store(false, SeqCst);
        self.fl_private.store(0, SeqCst);
        leaf(&self.fl_blocked_requests).clear();
    }

    /// What it allows others.
    pub(crate) fn kind(&self) -> LeaseKind {
        LeaseKind::of(self.fl_type.load(SeqCst))
    }

    /// Whether two locks of different owners exclude each other.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let overlap = self.fl_start.load(SeqCst) <= other.fl_end.load(SeqCst)
            && other.fl_start.load(SeqCst) <= self.fl_end.load(SeqCst);
        let writes = self.kind() == LeaseKind::Write || other.kind() == LeaseKind::Write;
        overlap && writes && self.fl_owner.load(SeqCst) != other.fl_owner.load(SeqCst)
    }
}
