//! Open files.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::slab::{Slot, leaf, pooled};
use super::{AddressSpace, BlockDevice, Dentry, Inode, Mount, Path};
use crate::reference::lock::{Class, Lock};
use crate::reference::vfs::operations::FileOperations;

/// Flags of `open(2)`, values as on x86.
pub(crate) mod open_flags {
    pub(crate) const O_RDONLY: u32 = 0;
    pub(crate) const O_WRONLY: u32 = 1;
    pub(crate) const O_RDWR: u32 = 2;
    pub(crate) const O_ACCMODE: u32 = 3;
    pub(crate) const O_CREAT: u32 = 0x40;
    pub(crate) const O_EXCL: u32 = 0x80;
    pub(crate) const O_TRUNC: u32 = 0x200;
    pub(crate) const O_APPEND: u32 = 0x400;
    pub(crate) const O_NONBLOCK: u32 = 0x800;
    pub(crate) const FASYNC: u32 = 0x2000;
    pub(crate) const O_DIRECT: u32 = 0x4000;
    pub(crate) const O_TMPFILE: u32 = 0x40_0000;
}

/// Bits of `f_mode`.
pub(crate) struct FileMode;

impl FileMode {
    pub(crate) const READ: u32 = 1;
    pub(crate) const WRITE: u32 = 2;
    pub(crate) const ATOMIC_POS: u32 = 0x8000;
}

/// `struct file`.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) f_inode: Slot<Inode>,
    pub(crate) f_mapping: Slot<AddressSpace>,
    pub(crate) f_dentry: Slot<Dentry>,
    pub(crate) f_mnt: Slot<Mount>,
    pub(crate) f_op: Slot<FileOperations>,
    pub(crate) f_mode: AtomicU32,
    pub(crate) f_flags: AtomicU32,
    pub(crate) f_pos: AtomicU64,
    pub(crate) f_pos_lock: Lock,
    pub(crate) f_count: AtomicI32,
    /// The file holds a write access on its superblock and inode.
    pub(crate) f_writes: AtomicBool,
    /// The block device behind a device's file.
    pub(crate) f_device: Slot<BlockDevice>,
    /// A file system's own.
    pub(crate) private_data: Mutex<Vec<u8>>,
}

pooled!(File);

/// `struct kiocb`: one read or write under way.
#[derive(Debug)]
pub(crate) struct Kiocb {
    pub(crate) ki_filp: &'static File,
    pub(crate) ki_pos: u64,
    pub(crate) ki_flags: u32,
}

impl File {
    fn new() -> Self {
        Self {
            f_inode: Slot::default(),
            f_mapping: Slot::default(),
            f_dentry: Slot::default(),
            f_mnt: Slot::default(),
            f_op: Slot::default(),
            f_mode: AtomicU32::new(0),
            f_flags: AtomicU32::new(0),
            f_pos: AtomicU64::new(0),
            f_pos_lock: Lock::new(Class::FPosLock),
            f_count: AtomicI32::new(0),
            f_writes: AtomicBool::new(false),
            f_device: Slot::default(),
            private_data: Mutex::default(),
        }
    }

    fn reset(&self) {
        self.f_inode.set(None);
        self.f_mapping.set(None);
        self.f_dentry.set(None);
        self.f_mnt.set(None);
        self.f_op.set(None);
        self.f_device.set(None);
        self.f_mode.store(0, SeqCst);
        self.f_flags.store(0, SeqCst);
        self.f_pos.store(0, SeqCst);
        self.f_pos_lock.raw().reset();
        self.f_count.store(1, SeqCst);
        self.f_writes.store(false, SeqCst);
        leaf(&self.private_data).clear();
    }

    /// Its inode.
    pub(crate) fn inode(&self) -> &'static Inode {
        self.f_inode.get().unwrap_or_else(|| unreachable!("a file without an inode"))
    }

    /// Its page cache.
    pub(crate) fn mapping(&self) -> &'static AddressSpace {
        self.f_mapping.get().unwrap_or_else(|| unreachable!("a file without a mapping"))
    }

    /// Its path.
    pub(crate) fn path(&self) -> Path {
        match (self.f_mnt.get(), self.f_dentry.get()) {
            (Some(mnt), Some(dentry)) => Path { mnt, dentry },
            _ => unreachable!("a file without a path"),
        }
    }

    /// Its operations.
    pub(crate) fn ops(&self) -> &'static FileOperations {
        self.f_op.get().unwrap_or(&FileOperations::NONE)
    }

    /// Whether bits of its mode are set.
    pub(crate) fn may(&self, mode: u32) -> bool {
        self.f_mode.load(SeqCst) & mode != 0
    }
}
