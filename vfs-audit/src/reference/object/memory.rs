//! Address spaces of processes and the areas in them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::slab::{Slot, leaf, pooled};
use super::{File, Page};
use crate::reference::lock::{Class, Lock};
use crate::reference::vfs::operations::VmOperations;

/// Bits of a fault's flags.
pub(crate) mod fault_flags {
    pub(crate) const FAULT_FLAG_WRITE: u32 = 1;
}

/// What a fault comes to.
pub(crate) mod vm_fault {
    pub(crate) const VM_FAULT_SIGBUS: u32 = 0x2;
    pub(crate) const VM_FAULT_NOPAGE: u32 = 0x100;
    pub(crate) const VM_FAULT_LOCKED: u32 = 0x200;
    pub(crate) const VM_FAULT_ERROR: u32 = 0x873;
}

/// Bits of `vm_flags`.
pub(crate) mod vm_flags {
    pub(crate) const VM_WRITE: u32 = 2;
    pub(crate) const VM_SHARED: u32 = 8;
    pub(crate) const VM_PFNMAP: u32 = 0x400;
    pub(crate) const VM_IO: u32 = 0x4000;
}

/// An entry of a page table; an area of device memory has no page behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) page: Option<&'static Page>,
    pub(crate) writable: bool,
}

/// `struct mm_struct`.
#[derive(Debug)]
pub(crate) struct Mm {
    pub(crate) mmap_lock: Lock,
    pub(crate) page_table_lock: Lock,
    pub(crate) mm_users: AtomicI32,
    pub(crate) areas: Mutex<Vec<&'static Vma>>,
    /// Entries by address.
    pub(crate) entries: Mutex<BTreeMap<u64, Entry>>,
}

pooled!(Mm);

/// `struct vm_area_struct`.
#[derive(Debug)]
pub(crate) struct Vma {
    pub(crate) vm_mm: Slot<Mm>,
    pub(crate) vm_file: Slot<File>,
    pub(crate) vm_ops: Slot<VmOperations>,
    pub(crate) vm_start: AtomicU64,
    pub(crate) vm_end: AtomicU64,
    pub(crate) vm_pgoff: AtomicU64,
    pub(crate) vm_flags: AtomicU32,
}

pooled!(Vma);

/// `struct vm_fault`: one fault under way.
#[derive(Debug)]
pub(crate) struct VmFault {
    pub(crate) vma: &'static Vma,
    pub(crate) address: u64,
    pub(crate) pgoff: u64,
    pub(crate) flags: u32,
    pub(crate) page: Slot<Page>,
}

impl Mm {
    fn new() -> Self {
        Self {
            mmap_lock: Lock::new(Class::MmapLock),
            page_table_lock: Lock::new(Class::PageTableLock),
            mm_users: AtomicI32::new(0),
            areas: Mutex::default(),
            entries: Mutex::default(),
        }
    }

    fn reset(&self) {
        self.mmap_lock.raw().reset();
        self.page_table_lock.raw().reset();
        self.mm_users.store(1, SeqCst);
        leaf(&self.areas).clear();
        leaf(&self.entries).clear();
    }
}

impl Vma {
    fn new() -> Self {
        Self {
            vm_mm: Slot::default(),
            vm_file: Slot::default(),
            vm_ops: Slot::default(),
            vm_start: AtomicU64::new(0),
            vm_end: AtomicU64::new(0),
            vm_pgoff: AtomicU64::new(0),
            vm_flags: AtomicU32::new(0),
        }
    }

    fn reset(&self) {
        self.vm_mm.set(None);
        self.vm_file.set(None);
        self.vm_ops.set(None);
        for number in [&self.vm_start, &self.vm_end, &self.vm_pgoff] {
            number.store(0, SeqCst);
        }
        self.vm_flags.store(0, SeqCst);
    }

    /// The address space that it is in.
    pub(crate) fn mm(&self) -> &'static Mm {
        self.vm_mm.get().unwrap_or_else(|| unreachable!("an area without an address space"))
    }

    /// The file that it maps.
    pub(crate) fn file(&self) -> &'static File {
        self.vm_file.get().unwrap_or_else(|| unreachable!("an area without a file"))
    }

    /// Its operations.
    pub(crate) fn ops(&self) -> &'static VmOperations {
        self.vm_ops.get().unwrap_or(&VmOperations::NONE)
    }

    /// Whether an address is in it.
    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.vm_start.load(SeqCst)..self.vm_end.load(SeqCst)).contains(&address)
    }
}
