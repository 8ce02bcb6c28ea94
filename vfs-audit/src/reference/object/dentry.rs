//! Dentries, mounts, and the two together.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::slab::{Slot, leaf, pooled};
use super::{Inode, SuperBlock};
use crate::reference::lock::{Class, Lock};
use crate::reference::vfs::operations::DentryOperations;

/// Bits of `d_flags`.
pub(crate) struct DentryFlag;

impl DentryFlag {
    /// Found by its name in its parent.
    pub(crate) const HASHED: u32 = 1;
    /// Something is mounted here.
    pub(crate) const MOUNTED: u32 = 2;
    /// Asks to be mounted on when it is walked over.
    pub(crate) const NEED_AUTOMOUNT: u32 = 4;
    /// Asks its file system before it is walked over.
    pub(crate) const MANAGE_TRANSIT: u32 = 8;
    /// Being freed.
    pub(crate) const DEAD: u32 = 16;
}

/// `struct dentry`.
#[derive(Debug)]
pub(crate) struct Dentry {
    pub(crate) d_name: Mutex<String>,
    pub(crate) d_parent: Slot<Dentry>,
    pub(crate) d_inode: Slot<Inode>,
    pub(crate) d_sb: Slot<SuperBlock>,
    pub(crate) d_op: Slot<DentryOperations>,
    pub(crate) d_lock: Lock,
    pub(crate) d_seq: AtomicU32,
    pub(crate) d_count: AtomicI32,
    pub(crate) d_flags: AtomicU32,
    /// A file system's own: when it was last found valid.
    pub(crate) d_time: AtomicU64,
    /// Children by hashed name.
    pub(crate) d_children: Mutex<HashMap<String, &'static Dentry>>,
}

pooled!(Dentry);

/// `struct mount`: a superblock in the tree of names.
#[derive(Debug, Default)]
pub(crate) struct Mount {
    pub(crate) mnt_sb: Slot<SuperBlock>,
    pub(crate) mnt_root: Slot<Dentry>,
    pub(crate) mnt_mountpoint: Slot<Dentry>,
    pub(crate) mnt_parent: Slot<Mount>,
    pub(crate) mnt_count: AtomicI32,
}

pooled!(Mount);

/// `struct path`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) mnt: &'static Mount,
    pub(crate) dentry: &'static Dentry,
}

impl Dentry {
    pub(crate) fn new() -> Self {
        Self {
            d_name: Mutex::default(),
            d_parent: Slot::default(),
            d_inode: Slot::default(),
            d_sb: Slot::default(),
            d_op: Slot::default(),
            d_lock: Lock::new(Class::DLock),
            d_seq: AtomicU32::new(0),
            d_count: AtomicI32::new(0),
            d_flags: AtomicU32::new(0),
            d_time: AtomicU64::new(0),
            d_children: Mutex::default(),
        }
    }

    fn reset(&self) {
        leaf(&self.d_name).clear();
        leaf(&self.d_children).clear();
        self.d_parent.set(None);
        self.d_inode.set(None);
        self.d_sb.set(None);
        self.d_op.set(None);
        self.d_lock.raw().reset();
        self.d_seq.fetch_add(2, SeqCst);
        self.d_count.store(1, SeqCst);
        self.d_flags.store(0, SeqCst);
        self.d_time.store(0, SeqCst);
    }

    /// Whether flags are set.
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.d_flags.load(SeqCst) & flags != 0
    }

    /// Its inode; a negative dentry has none.
    pub(crate) fn inode(&self) -> Option<&'static Inode> {
        self.d_inode.get()
    }

    /// Its name, as it is at this moment.
    pub(crate) fn name(&self) -> String {
        leaf(&self.d_name).clone()
    }

    /// Its superblock.
    pub(crate) fn sb(&self) -> &'static SuperBlock {
        self.d_sb.get().unwrap_or_else(|| unreachable!("a dentry without a superblock"))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl Mount {
    fn new() -> Self {
        Self::default()
    }

    fn reset(&self) {
        self.mnt_sb.set(None);
        self.mnt_root.set(None);
        self.mnt_mountpoint.set(None);
        self.mnt_parent.set(None);
        self.mnt_count.store(1, SeqCst);
    }
}

impl Path {
    /// The inode it leads to, if there is one.
    pub(crate) fn inode(&self) -> Option<&'static Inode> {
        self.dentry.inode()
    }
}
