//! File system types and superblocks.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::slab::{Slot, leaf, pooled};
use super::{BlockDevice, Dentry, Dquot, Inode};
use crate::reference::lock::{Class, Lock};
use crate::reference::vfs::operations::{
    DentryOperations, DquotOperations, FileSystemOperations, SuperOperations, XattrHandler,
};

/// `struct file_system_type`.
#[derive(Debug)]
pub(crate) struct FileSystemType {
    pub(crate) name: &'static str,
    pub(crate) ops: FileSystemOperations,
}

/// How far a file system is frozen.
pub(crate) struct FreezeLevel;

impl FreezeLevel {
    pub(crate) const UNFROZEN: u32 = 0;
    pub(crate) const COMPLETE: u32 = 4;
}

/// `struct super_block`.
#[derive(Debug)]
pub(crate) struct SuperBlock {
    pub(crate) s_type: Slot<FileSystemType>,
    pub(crate) s_op: Slot<SuperOperations>,
    pub(crate) s_d_op: Slot<DentryOperations>,
    pub(crate) dq_op: Slot<DquotOperations>,
    /// Handlers of extended attributes, by prefix.
    pub(crate) s_xattr: Mutex<&'static [XattrHandler]>,
    pub(crate) s_root: Slot<Dentry>,
    pub(crate) s_bdev: Slot<BlockDevice>,
    pub(crate) s_dev: AtomicU32,
    pub(crate) s_flags: AtomicU32,
    pub(crate) s_active: AtomicI32,
    /// Passive references: they keep the memory, not the file system.
    pub(crate) s_count: AtomicI32,
    pub(crate) s_umount: Lock,
    pub(crate) s_vfs_rename_mutex: Lock,
    pub(crate) s_journal: Lock,
    pub(crate) dqio_sem: Lock,
    pub(crate) dqonoff_sem: Lock,
    pub(crate) dqptr_sem: Lock,
    pub(crate) s_writers: [Lock; 3],
    pub(crate) s_frozen: AtomicU32,
    /// Inodes by number.
    pub(crate) s_inodes: Mutex<HashMap<u64, &'static Inode>>,
    pub(crate) s_dquots: Mutex<HashMap<u32, &'static Dquot>>,
    /// Number of the quota file's inode.
    pub(crate) s_quota_file: AtomicU64,
    /// A file system's own.
    pub(crate) s_fs_info: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

pooled!(SuperBlock);

impl SuperBlock {
    fn new() -> Self {
        Self {
            s_type: Slot::default(),
            s_op: Slot::default(),
            s_d_op: Slot::default(),
            dq_op: Slot::default(),
            s_xattr: Mutex::new(&[]),
            s_root: Slot::default(),
            s_bdev: Slot::default(),
            s_dev: AtomicU32::new(0),
            s_flags: AtomicU32::new(0),
            s_active: AtomicI32::new(0),
            s_count: AtomicI32::new(0),
            s_umount: Lock::new(Class::SUmount),
            s_vfs_rename_mutex: Lock::new(Class::RenameMutex),
            s_journal: Lock::new(Class::JournalLock),
            dqio_sem: Lock::new(Class::DqioSem),
            dqonoff_sem: Lock::new(Class::DqonoffSem),
            dqptr_sem: Lock::new(Class::DqptrSem),
            s_writers: [Class::SbWriters, Class::SbPagefaults, Class::SbInternal].map(Lock::new),
            s_frozen: AtomicU32::new(0),
            s_inodes: Mutex::default(),
            s_dquots: Mutex::default(),
            s_quota_file: AtomicU64::new(0),
            s_fs_info: Mutex::default(),
        }
    }

    fn reset(&self) {
        self.s_type.set(None);
        self.s_op.set(None);
        self.s_d_op.set(None);
        self.dq_op.set(None);
        *leaf(&self.s_xattr) = &[];
        self.s_root.set(None);
        self.s_bdev.set(None);
        self.s_flags.store(0, SeqCst);
        self.s_frozen.store(0, SeqCst);
        self.s_active.store(1, SeqCst);
        self.s_count.store(1, SeqCst);
        let locks = [
            &self.s_umount,
            &self.s_vfs_rename_mutex,
            &self.s_journal,
            &self.dqio_sem,
            &self.dqonoff_sem,
            &self.dqptr_sem,
        ];
        for lock in locks.into_iter().chain(&self.s_writers) {
            lock.raw().reset();
        }
        leaf(&self.s_inodes).clear();
        leaf(&self.s_dquots).clear();
        self.s_quota_file.store(0, SeqCst);
        *leaf(&self.s_fs_info) = None;
    }

    /// Its operations.
    pub(crate) fn ops(&self) -> &'static SuperOperations {
        self.s_op.get().unwrap_or(&SuperOperations::NONE)
    }

    /// Its quota operations.
    pub(crate) fn quota_ops(&self) -> &'static DquotOperations {
        self.dq_op.get().unwrap_or(&DquotOperations::NONE)
    }

    /// Its root.
    pub(crate) fn root(&self) -> &'static Dentry {
        self.s_root.get().unwrap_or_else(|| unreachable!("a superblock without a root"))
    }

    /// The file system's own data.
    pub(crate) fn info<T: Any + Send + Sync>(&self) -> Arc<T> {
        let info = leaf(&self.s_fs_info).clone();
        info.and_then(|info| info.downcast().ok()).unwrap_or_else(|| unreachable!("another file system's superblock"))
    }
}
