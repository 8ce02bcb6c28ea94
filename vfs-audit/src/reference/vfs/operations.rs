//! The operations tables: what a file system may implement, slot by slot, as the document's prototypes list them.
//!
//! A slot holds a callback with its name, or nothing. That is all the VFS knows of a file system.

#![allow(non_snake_case, reason = "`direct_IO` is the kernel's name")]

use crate::reference::object::{
    AddressSpace, BlockDevice, BufferHead, Dentry, Dquot, File, FileLock, FileSystemType, Gendisk, Inode, Kiocb, Page,
    PageList, Path, ReadaheadControl, Result, Slot, SuperBlock, VmFault, Vma, WritebackControl,
};
use crate::reference::task::Task;

use super::types::{Acl, Attributes, Extent, Geometry, Pipe, Stat, Statfs};

/// A function in a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callback<F> {
    /// Its name.
    pub(crate) name: &'static str,
    /// The function.
    pub(crate) call: F,
}

/// A slot that is filled with a function.
macro_rules! callback {
    ($function:ident) => {
        Some($crate::reference::vfs::operations::Callback { name: stringify!($function), call: $function })
    };
}
pub(crate) use callback;

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $slot:ident: $type:ty;)* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name {
            $($(#[$attribute])* #[doc = concat!("`", stringify!($slot), "`")] pub(crate) $slot: Option<Callback<$type>>,)*
        }

        impl $name {
            /// A table with no slot filled.
            #[allow(dead_code, reason = "every table has it, whether or not one is left partly empty")]
            pub(crate) const NONE: Self = Self { $($slot: None,)* };
        }
    };
}

operations! {
    /// `struct dentry_operations`.
    DentryOperations {
        d_revalidate: fn(&Task, &'static Dentry, u32) -> Result<bool>;
        d_weak_revalidate: fn(&Task, &'static Dentry, u32) -> Result<bool>;
        d_hash: fn(&Task, &'static Dentry, &str) -> Result<String>;
        d_compare: fn(&Task, &'static Dentry, &str, &str) -> bool;
        d_delete: fn(&Task, &'static Dentry) -> bool;
        d_init: fn(&Task, &'static Dentry) -> Result<()>;
        d_release: fn(&Task, &'static Dentry);
        d_prune: fn(&Task, &'static Dentry);
        d_iput: fn(&Task, &'static Dentry, &'static Inode);
        d_dname: fn(&Task, &'static Dentry) -> String;
        d_automount: fn(&Task, &Path) -> Result<&'static SuperBlock>;
        d_manage: fn(&Task, &Path, bool) -> Result<()>;
        d_real: fn(&Task, &'static Dentry, Option<&'static Inode>) -> &'static Dentry;
    }
}

operations! {
    /// `struct inode_operations`.
    InodeOperations {
        lookup: fn(&Task, &'static Inode, &'static Dentry, u32) -> Result<()>;
        create: fn(&Task, &'static Inode, &'static Dentry, u32, bool) -> Result<()>;
        link: fn(&Task, &'static Dentry, &'static Inode, &'static Dentry) -> Result<()>;
        unlink: fn(&Task, &'static Inode, &'static Dentry) -> Result<()>;
        symlink: fn(&Task, &'static Inode, &'static Dentry, &str) -> Result<()>;
        mkdir: fn(&Task, &'static Inode, &'static Dentry, u32) -> Result<()>;
        rmdir: fn(&Task, &'static Inode, &'static Dentry) -> Result<()>;
        mknod: fn(&Task, &'static Inode, &'static Dentry, u32, u32) -> Result<()>;
        rename: fn(&Task, &'static Inode, &'static Dentry, &'static Inode, &'static Dentry, u32) -> Result<()>;
        readlink: fn(&Task, &'static Dentry) -> Result<String>;
        get_link: fn(&Task, Option<&'static Dentry>, &'static Inode) -> Result<String>;
        truncate: fn(&Task, &'static Inode);
        permission: fn(&Task, &'static Inode, i32) -> Result<()>;
        get_acl: fn(&Task, &'static Inode, i32, bool) -> Result<Acl>;
        setattr: fn(&Task, &'static Dentry, &Attributes) -> Result<()>;
        getattr: fn(&Task, &Path) -> Result<Stat>;
        listxattr: fn(&Task, &'static Dentry) -> Result<Vec<String>>;
        fiemap: fn(&Task, &'static Inode, u64, u64) -> Result<Vec<Extent>>;
        update_time: fn(&Task, &'static Inode, u64);
        atomic_open: fn(&Task, &'static Inode, &'static Dentry, &'static File, u32, u32) -> Result<bool>;
        tmpfile: fn(&Task, &'static Inode, &'static Dentry, u32) -> Result<()>;
        fileattr_get: fn(&Task, &'static Dentry) -> Result<u32>;
        fileattr_set: fn(&Task, &'static Dentry, u32) -> Result<()>;
    }
}

/// `struct xattr_handler`.
#[derive(Debug)]
pub(crate) struct XattrHandler {
    /// Names that it serves begin so.
    pub(crate) prefix: &'static str,
    /// `list`
    pub(crate) list: Option<Callback<fn(&Task, &'static Dentry) -> bool>>,
    /// `get`
    pub(crate) get: Option<Callback<fn(&Task, &'static Dentry, &'static Inode, &str) -> Result<Vec<u8>>>>,
    /// `set`
    pub(crate) set: Option<Callback<fn(&Task, &'static Dentry, &'static Inode, &str, Option<&[u8]>) -> Result<()>>>,
}

operations! {
    /// `struct super_operations`.
    SuperOperations {
        alloc_inode: fn(&Task, &'static SuperBlock) -> &'static Inode;
        free_inode: fn(&Task, &'static Inode);
        destroy_inode: fn(&Task, &'static Inode);
        dirty_inode: fn(&Task, &'static Inode, u32);
        write_inode: fn(&Task, &'static Inode, &WritebackControl) -> Result<()>;
        drop_inode: fn(&Task, &'static Inode) -> bool;
        evict_inode: fn(&Task, &'static Inode);
        put_super: fn(&Task, &'static SuperBlock);
        sync_fs: fn(&Task, &'static SuperBlock, bool) -> Result<()>;
        freeze_fs: fn(&Task, &'static SuperBlock) -> Result<()>;
        unfreeze_fs: fn(&Task, &'static SuperBlock) -> Result<()>;
        statfs: fn(&Task, &'static Dentry) -> Result<Statfs>;
        remount_fs: fn(&Task, &'static SuperBlock, u32) -> Result<()>;
        umount_begin: fn(&Task, &'static SuperBlock);
        show_options: fn(&Task, &'static Dentry) -> String;
        quota_read: fn(&Task, &'static SuperBlock, u64, &mut [u8]) -> Result<usize>;
        quota_write: fn(&Task, &'static SuperBlock, u64, &[u8]) -> Result<usize>;
        bdev_try_to_free_page: fn(&Task, &'static SuperBlock, &'static Page) -> bool;
    }
}

operations! {
    /// The callbacks of `struct file_system_type`.
    FileSystemOperations {
        mount: fn(&Task, &'static FileSystemType, u32, Option<&'static BlockDevice>) -> Result<&'static Dentry>;
        kill_sb: fn(&Task, &'static SuperBlock);
    }
}

operations! {
    /// `struct address_space_operations`.
    AddressSpaceOperations {
        writepage: fn(&Task, &'static Page, &WritebackControl) -> Result<i32>;
        readpage: fn(&Task, Option<&'static File>, &'static Page) -> Result<()>;
        writepages: fn(&Task, &'static AddressSpace, &WritebackControl) -> Result<()>;
        set_page_dirty: fn(&Task, &'static Page) -> bool;
        readahead: fn(&Task, &ReadaheadControl);
        readpages: fn(&Task, &'static File, &'static AddressSpace, &PageList) -> Result<()>;
        write_begin: fn(&Task, &'static File, &'static AddressSpace, u64, usize, &Slot<Page>) -> Result<()>;
        write_end: fn(&Task, &'static File, &'static AddressSpace, u64, usize, &'static Page) -> Result<usize>;
        bmap: fn(&Task, &'static AddressSpace, u64) -> u64;
        invalidatepage: fn(&Task, &'static Page, u32, u32);
        releasepage: fn(&Task, &'static Page) -> bool;
        freepage: fn(&Task, &'static Page);
        direct_IO: fn(&Task, &Kiocb, &mut [u8], bool) -> Result<usize>;
        isolate_page: fn(&Task, &'static Page) -> bool;
        migratepage: fn(&Task, &'static AddressSpace, &'static Page, &'static Page) -> Result<()>;
        putback_page: fn(&Task, &'static Page);
        launder_page: fn(&Task, &'static Page) -> Result<()>;
        is_partially_uptodate: fn(&Task, &'static Page, usize, usize) -> bool;
        error_remove_page: fn(&Task, &'static AddressSpace, &'static Page) -> Result<()>;
        swap_activate: fn(&Task, &'static File) -> Result<()>;
        swap_deactivate: fn(&Task, &'static File);
    }
}

operations! {
    /// `struct file_lock_operations`.
    FileLockOperations {
        fl_copy_lock: fn(&Task, &'static FileLock, &'static FileLock);
        fl_release_private: fn(&Task, &'static FileLock);
    }
}

operations! {
    /// `struct lock_manager_operations`.
    LockManagerOperations {
        lm_notify: fn(&Task, &'static FileLock);
        lm_grant: fn(&Task, &'static FileLock, i32) -> Result<()>;
        lm_break: fn(&Task, &'static FileLock) -> bool;
        lm_change: fn(&Task, &'static FileLock, u32) -> Result<()>;
        lm_breaker_owns_lease: fn(&Task, &'static FileLock) -> bool;
        lm_lock_expirable: fn(&Task, &'static FileLock) -> bool;
        lm_expire_lock: fn(&Task);
    }
}

/// What a buffer's I/O ends in: `b_end_io`.
pub(crate) type EndIo = Callback<fn(&Task, &'static BufferHead, bool)>;

operations! {
    /// `struct block_device_operations`.
    BlockDeviceOperations {
        open: fn(&Task, &'static BlockDevice, u32) -> Result<()>;
        release: fn(&Task, &'static Gendisk, u32);
        ioctl: fn(&Task, &'static BlockDevice, u32, u64) -> Result<u64>;
        compat_ioctl: fn(&Task, &'static BlockDevice, u32, u64) -> Result<u64>;
        direct_access: fn(&Task, &'static BlockDevice, u64) -> Result<Vec<u8>>;
        unlock_native_capacity: fn(&Task, &'static Gendisk);
        getgeo: fn(&Task, &'static BlockDevice) -> Result<Geometry>;
        swap_slot_free_notify: fn(&Task, &'static BlockDevice, u64);
    }
}

operations! {
    /// `struct file_operations`.
    FileOperations {
        llseek: fn(&Task, &'static File, i64, i32) -> Result<u64>;
        read: fn(&Task, &'static File, &mut [u8], u64) -> Result<usize>;
        write: fn(&Task, &'static File, &[u8], u64) -> Result<usize>;
        read_iter: fn(&Task, &Kiocb, &mut [u8]) -> Result<usize>;
        write_iter: fn(&Task, &Kiocb, &[u8]) -> Result<usize>;
        iopoll: fn(&Task, &Kiocb, bool) -> Result<u32>;
        iterate: fn(&Task, &'static File) -> Result<Vec<(String, u64)>>;
        iterate_shared: fn(&Task, &'static File) -> Result<Vec<(String, u64)>>;
        poll: fn(&Task, &'static File) -> u32;
        unlocked_ioctl: fn(&Task, &'static File, u32, u64) -> Result<u64>;
        compat_ioctl: fn(&Task, &'static File, u32, u64) -> Result<u64>;
        mmap: fn(&Task, &'static File, &'static Vma) -> Result<()>;
        open: fn(&Task, &'static Inode, &'static File) -> Result<()>;
        flush: fn(&Task, &'static File) -> Result<()>;
        release: fn(&Task, &'static Inode, &'static File) -> Result<()>;
        fsync: fn(&Task, &'static File, u64, u64, bool) -> Result<()>;
        fasync: fn(&Task, i32, &'static File, i32) -> Result<i32>;
        lock: fn(&Task, &'static File, i32, &'static FileLock) -> Result<()>;
        sendpage: fn(&Task, &'static File, &'static Page, u64, usize) -> Result<usize>;
        get_unmapped_area: fn(&Task, &'static File, u64, u64) -> Result<u64>;
        check_flags: fn(&Task, i32) -> Result<()>;
        flock: fn(&Task, &'static File, i32, &'static FileLock) -> Result<()>;
        splice_write: fn(&Task, &Pipe, &'static File, u64, usize) -> Result<usize>;
        splice_read: fn(&Task, &'static File, u64, &Pipe, usize) -> Result<usize>;
        setlease: fn(&Task, &'static File, i64, Option<&'static FileLock>) -> Result<()>;
        fallocate: fn(&Task, &'static File, i32, u64, u64) -> Result<()>;
        show_fdinfo: fn(&Task, &'static File) -> String;
        mmap_capabilities: fn(&Task, &'static File) -> u32;
        copy_file_range: fn(&Task, &'static File, u64, &'static File, u64, usize) -> Result<usize>;
        remap_file_range: fn(&Task, &'static File, u64, &'static File, u64, usize) -> Result<usize>;
        fadvise: fn(&Task, &'static File, u64, u64, i32) -> Result<()>;
    }
}

operations! {
    /// `struct dquot_operations`.
    DquotOperations {
        write_dquot: fn(&Task, &'static Dquot) -> Result<()>;
        acquire_dquot: fn(&Task, &'static Dquot) -> Result<()>;
        release_dquot: fn(&Task, &'static Dquot) -> Result<()>;
        mark_dirty: fn(&Task, &'static Dquot) -> Result<()>;
        write_info: fn(&Task, &'static SuperBlock, i32) -> Result<()>;
    }
}

operations! {
    /// `struct vm_operations_struct`.
    VmOperations {
        open: fn(&Task, &'static Vma);
        close: fn(&Task, &'static Vma);
        fault: fn(&Task, &VmFault) -> u32;
        map_pages: fn(&Task, &VmFault, u64, u64) -> u32;
        page_mkwrite: fn(&Task, &VmFault) -> u32;
        pfn_mkwrite: fn(&Task, &VmFault) -> u32;
        access: fn(&Task, &'static Vma, u64, &mut [u8], bool) -> Result<usize>;
    }
}
