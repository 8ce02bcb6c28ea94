//! Quota structures.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::SuperBlock;
use super::slab::{Slot, pooled};
use crate::reference::lock::{Class, Lock};

/// Bits of `dq_flags`.
pub(crate) struct DquotFlag;

impl DquotFlag {
    /// Read from the quota file.
    pub(crate) const ACTIVE: u32 = 1;
    /// Changed since it was written.
    pub(crate) const MODIFIED: u32 = 2;
}

/// `struct dquot`.
#[derive(Debug)]
pub(crate) struct Dquot {
    pub(crate) dq_sb: Slot<SuperBlock>,
    pub(crate) dq_id: AtomicU32,
    pub(crate) dq_count: AtomicI32,
    pub(crate) dq_flags: AtomicU32,
    pub(crate) dq_lock: Lock,
    /// Bytes in use and allowed.
    pub(crate) dq_used: AtomicU64,
    pub(crate) dq_limit: AtomicU64,
}

pooled!(Dquot);

impl Dquot {
    fn new() -> Self {
        Self {
            dq_sb: Slot::default(),
            dq_id: AtomicU32::new(0),
            dq_count: AtomicI32::new(0),
            dq_flags: AtomicU32::new(0),
            dq_lock: Lock::new(Class::DqLock),
            dq_used: AtomicU64::new(0),
            dq_limit: AtomicU64::new(0),
        }
    }

    fn reset(&self) {
        self.dq_sb.set(None);
        self.dq_id.store(0, SeqCst);
        self.dq_flags.store(0, SeqCst);
        self.dq_count.store(1, SeqCst);
        self.dq_lock.raw().reset();
        self.dq_used.store(0, SeqCst);
        self.dq_limit.store(u64::MAX, SeqCst);
    }
}
