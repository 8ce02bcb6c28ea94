//! The kernel's nouns as data: what an inode, a dentry, a page is made of.
//!
//! Members have the kernel's names, because rules name them. Nothing here acts; the verbs are in `vfs` and in `fs`.

mod block;
mod dentry;
mod file;
mod inode;
mod locks;
mod memory;
mod page;
mod quota;
pub(crate) mod slab;
mod super_block;

pub(crate) use block::{BlockDevice, BufferHead, BufferState, Gendisk};
pub(crate) use dentry::{Dentry, DentryFlag, Mount, Path};
pub(crate) use file::{File, FileMode, Kiocb, open_flags};
pub(crate) use inode::{AddressSpace, Inode, InodeState, Kind, MappingFlag};
pub(crate) use locks::{FileLock, FileLockContext, LeaseKind, lock_flags};
pub(crate) use memory::{Entry, Mm, VmFault, Vma, fault_flags, vm_fault, vm_flags};
pub(crate) use page::{PAGE_SIZE, Page, PageFlag, PageList, ReadaheadControl, WritebackControl};
pub(crate) use quota::{Dquot, DquotFlag};
pub(crate) use slab::{Slab, Slot, leaf};
pub(crate) use super_block::{FileSystemType, FreezeLevel, SuperBlock};

/// An error number, positive as in `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Errno(pub(crate) i32);

/// What a call comes to.
pub(crate) type Result<T> = std::result::Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident = $number:literal;)*) => {
        #[allow(dead_code, reason = "a list of the kernel's, whole")]
        impl Errno {
            $(#[doc = "As in errno.h."] pub(crate) const $name: Self = Self($number);)*
        }
    };
}

errnos! {
    EPERM = 1; ENOENT = 2; EIO = 5; EBADF = 9; ECHILD = 10; EAGAIN = 11; EACCES = 13; EFAULT = 14; EBUSY = 16; EEXIST = 17;
    EXDEV = 18; ENODEV = 19; ENOTDIR = 20; EISDIR = 21; EINVAL = 22; ENOTTY = 25; EFBIG = 27; ENOSPC = 28; EROFS = 30;
    EMLINK = 31; EDEADLK = 35; ENOSYS = 38; ENOTEMPTY = 39; ELOOP = 40; ENODATA = 61; EOPNOTSUPP = 95; ESTALE = 116;
    EDQUOT = 122;
}

/// Objects of one kernel, by type.
#[derive(Debug, Default)]
pub(crate) struct Slabs {
    pub(crate) super_blocks: Slab<SuperBlock>,
    pub(crate) inodes: Slab<Inode>,
    pub(crate) dentries: Slab<Dentry>,
    pub(crate) files: Slab<File>,
    pub(crate) pages: Slab<Page>,
    pub(crate) buffers: Slab<BufferHead>,
    pub(crate) mms: Slab<Mm>,
    pub(crate) vmas: Slab<Vma>,
    pub(crate) locks: Slab<FileLock>,
    pub(crate) dquots: Slab<Dquot>,
    pub(crate) devices: Slab<BlockDevice>,
    pub(crate) disks: Slab<Gendisk>,
    pub(crate) mounts: Slab<Mount>,
}
