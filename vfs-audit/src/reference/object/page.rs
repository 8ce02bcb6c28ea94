//! Pages, and what goes with a page through reading and writing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::slab::{Slot, leaf, pooled};
use super::{AddressSpace, BufferHead};
use crate::reference::lock::{Class, Lock};
use crate::reference::sched::WaitQueue;

/// Bytes of a page.
pub(crate) const PAGE_SIZE: usize = 4096;

/// Bits of a page's `flags`, numbered as the enumerators of the kernel are.
pub(crate) struct PageFlag;

impl PageFlag {
    pub(crate) const ERROR: u32 = 8;
    pub(crate) const UPTODATE: u32 = 2;
    pub(crate) const DIRTY: u32 = 3;
    pub(crate) const PRIVATE: u32 = 13;
    pub(crate) const WRITEBACK: u32 = 15;
    pub(crate) const ISOLATED: u32 = 18;
}

/// `struct page`. `PG_locked` is a lock of its own, so that its holder is known.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) lock: Lock,
    pub(crate) flags: AtomicU32,
    pub(crate) mapping: Slot<AddressSpace>,
    pub(crate) index: AtomicU64,
    pub(crate) data: Mutex<Vec<u8>>,
    pub(crate) private: Slot<BufferHead>,
    pub(crate) wait: WaitQueue,
    /// Times that writeback ended on it.
    pub(crate) writebacks_ended: AtomicU32,
    pub(crate) count: AtomicU32,
    /// Those who look at it, wait for it or hold it: its memory is not used again meanwhile.
    pub(crate) pins: AtomicU32,
    /// It has left the cache, and goes with its last pin.
    pub(crate) is_leaving: AtomicBool,
}

pooled!(Page);

/// `struct writeback_control`.
#[derive(Debug)]
pub(crate) struct WritebackControl {
    pub(crate) sync_mode: i32,
    pub(crate) nr_to_write: AtomicI64,
    /// Called to free memory: the page may be handed back.
    pub(crate) for_reclaim: bool,
}

/// `struct readahead_control`: a window of locked pages.
#[derive(Debug)]
pub(crate) struct ReadaheadControl {
    pub(crate) mapping: &'static AddressSpace,
    pub(crate) pages: Vec<&'static Page>,
}

/// A list of pages that are in no mapping yet.
#[derive(Debug, Default)]
pub(crate) struct PageList {
    pub(crate) pages: Vec<(u64, &'static Page)>,
}

impl Page {
    fn new() -> Self {
        Self {
            lock: Lock::new(Class::FolioLock),
            flags: AtomicU32::new(0),
            mapping: Slot::default(),
            index: AtomicU64::new(0),
            data: Mutex::default(),
            private: Slot::default(),
            wait: WaitQueue::default(),
            writebacks_ended: AtomicU32::new(0),
            count: AtomicU32::new(0),
            pins: AtomicU32::new(0),
            is_leaving: AtomicBool::new(false),
        }
    }

    fn reset(&self) {
        self.lock.raw().reset();
        self.flags.store(0, SeqCst);
        self.mapping.set(None);
        self.private.set(None);
        self.index.store(0, SeqCst);
        self.count.store(1, SeqCst);
        self.pins.store(0, SeqCst);
        self.is_leaving.store(false, SeqCst);
        let mut data = leaf(&self.data);
        data.clear();
        data.resize(PAGE_SIZE, 0);
    }

    /// Whether a flag is set.
    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags.load(SeqCst) >> flag & 1 == 1
    }

    /// Sets a flag; says whether it was set.
    pub(crate) fn set(&self, flag: u32) -> bool {
        self.flags.fetch_or(1 << flag, SeqCst) >> flag & 1 == 1
    }

    /// Clears a flag; says whether it was set.
    pub(crate) fn clear(&self, flag: u32) -> bool {
        self.flags.fetch_and(!(1 << flag), SeqCst) >> flag & 1 == 1
    }

    /// Its place in its file, in pages.
    pub(crate) fn index(&self) -> u64 {
        self.index.load(SeqCst)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl WritebackControl {
    /// For data integrity, or to clean pages.
    pub(crate) fn new(sync: bool, pages: i64) -> Self {
        Self { sync_mode: i32::from(sync), nr_to_write: AtomicI64::new(pages), for_reclaim: false }
    }

    /// Whether it is for data integrity.
    pub(crate) fn is_sync(&self) -> bool {
        self.sync_mode == 1
    }
}
