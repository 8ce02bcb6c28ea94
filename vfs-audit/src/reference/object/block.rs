//! Block devices and buffers.

use std::any::Any;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::slab::{Slot, leaf, pooled};
use super::{Inode, Page};
use crate::reference::lock::{Class, Lock};
use crate::reference::sched::WaitQueue;
use crate::reference::vfs::operations::{BlockDeviceOperations, EndIo};

/// `struct gendisk`.
#[derive(Debug)]
pub(crate) struct Gendisk {
    pub(crate) open_mutex: Lock,
    pub(crate) fops: Slot<BlockDeviceOperations>,
    pub(crate) openers: AtomicI32,
    pub(crate) sectors: AtomicU64,
    /// Sectors that the drive hides until it is told not to.
    pub(crate) hidden_sectors: AtomicU64,
}

pooled!(Gendisk);

/// `struct block_device`.
#[derive(Debug)]
pub(crate) struct BlockDevice {
    pub(crate) bd_disk: Slot<Gendisk>,
    pub(crate) bd_inode: Slot<Inode>,
    pub(crate) bd_dev: AtomicU32,
    /// Swap slots that were given up, in order.
    pub(crate) freed_slots: Mutex<Vec<u64>>,
    /// The driver's own: what is behind it.
    pub(crate) driver: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    /// The own of whoever has mounted it.
    pub(crate) bd_holder: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

pooled!(BlockDevice);

/// Bits of `b_state`, without `BH_Lock`, which is a lock of its own.
pub(crate) struct BufferState;

impl BufferState {
    pub(crate) const UPTODATE: u32 = 1;
    pub(crate) const DIRTY: u32 = 2;
    pub(crate) const MAPPED: u32 = 4;
    pub(crate) const WRITE_ERROR: u32 = 8;
}

/// `struct buffer_head`: one block of a page.
#[derive(Debug)]
pub(crate) struct BufferHead {
    pub(crate) lock: Lock,
    pub(crate) b_state: AtomicU32,
    pub(crate) b_page: Slot<Page>,
    /// The next buffer of the page.
    pub(crate) b_this_page: Slot<Self>,
    pub(crate) b_blocknr: AtomicU64,
    pub(crate) b_end_io: Mutex<Option<EndIo>>,
    pub(crate) wait: WaitQueue,
}

pooled!(BufferHead);

impl Gendisk {
    fn new() -> Self {
        Self {
            open_mutex: Lock::new(Class::OpenMutex),
            fops: Slot::default(),
            openers: AtomicI32::new(0),
            sectors: AtomicU64::new(0),
            hidden_sectors: AtomicU64::new(0),
        }
    }

    fn reset(&self) {
        self.open_mutex.raw().reset();
        self.fops.set(None);
        self.openers.store(0, SeqCst);
        self.sectors.store(0, SeqCst);
        self.hidden_sectors.store(0, SeqCst);
    }

    /// Its operations.
    pub(crate) fn ops(&self) -> &'static BlockDeviceOperations {
        self.fops.get().unwrap_or(&BlockDeviceOperations::NONE)
    }
}

impl BlockDevice {
    fn new() -> Self {
        Self {
            bd_disk: Slot::default(),
            bd_inode: Slot::default(),
            bd_dev: AtomicU32::new(0),
            freed_slots: Mutex::default(),
            driver: Mutex::default(),
            bd_holder: Mutex::default(),
        }
    }

    fn reset(&self) {
        self.bd_disk.set(None);
        self.bd_inode.set(None);
        self.bd_dev.store(0, SeqCst);
        leaf(&self.freed_slots).clear();
        *leaf(&self.driver) = None;
        *leaf(&self.bd_holder) = None;
    }

    /// Its disk.
    pub(crate) fn disk(&self) -> &'static Gendisk {
        self.bd_disk.get().unwrap_or_else(|| unreachable!("a block device without a disk"))
    }
}

impl BufferHead {
    fn new() -> Self {
        Self {
            lock: Lock::new(Class::BhLock),
            b_state: AtomicU32::new(0),
            b_page: Slot::default(),
            b_this_page: Slot::default(),
            b_blocknr: AtomicU64::new(0),
            b_end_io: Mutex::default(),
            wait: WaitQueue::default(),
        }
    }

    fn reset(&self) {
        self.lock.raw().reset();
        self.b_state.store(0, SeqCst);
        self.b_page.set(None);
        self.b_this_page.set(None);
        self.b_blocknr.store(0, SeqCst);
        *leaf(&self.b_end_io) = None;
    }

    /// Whether state bits are set.
    pub(crate) fn is(&self, bits: u32) -> bool {
        self.b_state.load(SeqCst) & bits != 0
    }

    /// Sets state bits.
    pub(crate) fn set(&self, bits: u32) {
        self.b_state.fetch_or(bits, SeqCst);
    }

    /// Clears state bits.
    pub(crate) fn clear(&self, bits: u32) {
        self.b_state.fetch_and(!bits, SeqCst);
    }
}
