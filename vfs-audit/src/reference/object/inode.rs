//! Inodes and their page caches.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::slab::{Slot, leaf, pooled};
use super::{Dquot, FileLockContext, Page, SuperBlock, Vma};
use crate::reference::lock::{Class, Lock};
use crate::reference::sched::WaitQueue;
use crate::reference::vfs::operations::{AddressSpaceOperations, FileOperations, InodeOperations};

/// What an inode is, as in `S_IFMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Directory,
    Symlink,
    Device,
}

impl Kind {
    /// The bits of the mode.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Regular => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::Device => 0o060_000,
        }
    }

    /// The kind that a mode says.
    pub(crate) fn of(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o060_000 => Self::Device,
            _ => Self::Regular,
        }
    }
}

/// Bits of `i_state`.
pub(crate) struct InodeState;

impl InodeState {
    pub(crate) const DIRTY: u32 = 1;
    pub(crate) const NEW: u32 = 8;
    pub(crate) const FREEING: u32 = 32;
}

/// Bits of a mapping's `flags`, numbered as enumerators are.
pub(crate) struct MappingFlag;

impl MappingFlag {
    /// The inode is being evicted.
    pub(crate) const AS_EXITING: u32 = 4;
}

/// `struct address_space`.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    pub(crate) host: Slot<Inode>,
    pub(crate) invalidate_lock: Lock,
    pub(crate) pages: Mutex<BTreeMap<u64, &'static Page>>,
    pub(crate) dirty_pages: AtomicU32,
    pub(crate) flags: AtomicU32,
    pub(crate) a_ops: Slot<AddressSpaceOperations>,
    /// Areas that map it (`i_mmap`).
    pub(crate) areas: Mutex<Vec<&'static Vma>>,
}

/// `struct inode`.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) i_ino: AtomicU64,
    pub(crate) i_mode: AtomicU32,
    pub(crate) i_uid: AtomicU32,
    pub(crate) i_nlink: AtomicU32,
    pub(crate) i_size: AtomicU64,
    pub(crate) i_count: AtomicI32,
    pub(crate) i_state: AtomicU32,
    pub(crate) i_flags: AtomicU32,
    pub(crate) i_atime: AtomicU64,
    pub(crate) i_mtime: AtomicU64,
    pub(crate) i_writecount: AtomicI32,
    pub(crate) i_sb: Slot<SuperBlock>,
    pub(crate) i_rwsem: Lock,
    pub(crate) i_lock: Lock,
    pub(crate) i_mapping: AddressSpace,
    pub(crate) i_op: Slot<InodeOperations>,
    pub(crate) i_fop: Slot<FileOperations>,
    pub(crate) i_flctx: FileLockContext,
    pub(crate) i_dquot: Slot<Dquot>,
    /// Where tasks wait for its state to change (new, under writeback).
    pub(crate) i_wait: WaitQueue,
    /// Whether it has an access-control list that must be asked for.
    pub(crate) i_has_acl: AtomicBool,
}

pooled!(Inode);

impl AddressSpace {
    fn new() -> Self {
        Self {
            host: Slot::default(),
            invalidate_lock: Lock::new(Class::InvalidateLock),
            pages: Mutex::default(),
            dirty_pages: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            a_ops: Slot::default(),
            areas: Mutex::default(),
        }
    }

    /// The page at an index, if it is in the cache.
    pub(crate) fn page(&self, index: u64) -> Option<&'static Page> {
        leaf(&self.pages).get(&index).copied()
    }

    /// The pages of a range, in order.
    pub(crate) fn range(&self, from: u64, to: u64) -> Vec<&'static Page> {
        leaf(&self.pages).range(from..to).map(|(_, page)| *page).collect()
    }

    /// Where it is.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl Inode {
    pub(crate) fn new() -> Self {
        Self {
            i_ino: AtomicU64::new(0),
            i_mode: AtomicU32::new(0),
            i_uid: AtomicU32::new(0),
            i_nlink: AtomicU32::new(0),
            i_size: AtomicU64::new(0),
            i_count: AtomicI32::new(0),
            i_state: AtomicU32::new(0),
            i_flags: AtomicU32::new(0),
            i_atime: AtomicU64::new(0),
            i_mtime: AtomicU64::new(0),
            i_writecount: AtomicI32::new(0),
            i_sb: Slot::default(),
            i_rwsem: Lock::new(Class::IRwsem),
            i_lock: Lock::new(Class::ILock),
            i_mapping: AddressSpace::new(),
            i_op: Slot::default(),
            i_fop: Slot::default(),
            i_flctx: FileLockContext::new(),
            i_dquot: Slot::default(),
            i_wait: WaitQueue::default(),
            i_has_acl: AtomicBool::new(false),
        }
    }

    fn reset(&self) {
        for number in [&self.i_mode, &self.i_uid, &self.i_nlink, &self.i_state, &self.i_flags, &self.i_mapping.flags] {
            number.store(0, SeqCst);
        }
        for number in [&self.i_ino, &self.i_size, &self.i_atime, &self.i_mtime] {
            number.store(0, SeqCst);
        }
        self.i_count.store(1, SeqCst);
        self.i_writecount.store(0, SeqCst);
        self.i_has_acl.store(false, SeqCst);
        self.i_sb.set(None);
        self.i_op.set(None);
        self.i_fop.set(None);
        self.i_dquot.set(None);
        for lock in [&self.i_rwsem, &self.i_lock, &self.i_mapping.invalidate_lock, &self.i_flctx.flc_lock] {
            lock.raw().reset();
        }
        let mapping = &self.i_mapping;
        mapping.host.set(None);
        mapping.a_ops.set(None);
        mapping.dirty_pages.store(0, SeqCst);
        leaf(&mapping.pages).clear();
        leaf(&mapping.areas).clear();
        self.i_flctx.reset();
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.i_mode.load(SeqCst))
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.i_ino.load(SeqCst)
    }

    /// Its size.
    pub(crate) fn size(&self) -> u64 {
        self.i_size.load(SeqCst)
    }

    /// Where it is: the order of locks on several inodes.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Its superblock.
    ///
    /// # Panics
    /// Never for an inode that was set up: the slot is filled before anybody sees it.
    pub(crate) fn sb(&self) -> &'static SuperBlock {
        self.i_sb.get().unwrap_or_else(|| unreachable!("an inode without a superblock"))
    }
}
