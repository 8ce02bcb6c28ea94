//! The prototypes of every op: the types of its arguments in order, as BTF gives them for a kernel.
//!
//! This is all that an observation needs to know to find a role's object among the arguments; it says nothing of locks.

/// One op with its arguments' types.
#[derive(Debug)]
pub(crate) struct Prototype {
    pub(crate) table: &'static str,
    pub(crate) op: &'static str,
    /// Struct names of pointers, names of base types otherwise; a type that ends in `*` is filled by the callback.
    pub(crate) arguments: &'static [&'static str],
}

macro_rules! prototypes {
    ($($table:literal { $($variant:ident $op:literal ($($type:literal),*);)* })*) => {
        /// Every op of the document's tables.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Op {
            $($(#[doc = concat!("`", $table, ".", $op, "`")] $variant,)*)*
        }

        impl Op {
            /// Every op.
            pub(crate) const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];
        }

        const PROTOTYPES: &[Prototype] = &[$($(
            Prototype { table: $table, op: $op, arguments: &[$($type),*] },
        )*)*];
    };
}

prototypes! {
    "dentry_operations" {
        DRevalidate "d_revalidate" ("dentry", "unsigned int");
        DWeakRevalidate "d_weak_revalidate" ("dentry", "unsigned int");
        DHash "d_hash" ("dentry", "qstr");
        DCompare "d_compare" ("dentry", "char", "qstr");
        DDelete "d_delete" ("dentry");
        DInit "d_init" ("dentry");
        DRelease "d_release" ("dentry");
        DPrune "d_prune" ("dentry");
        DIput "d_iput" ("dentry", "inode");
        DDname "d_dname" ("dentry");
        DAutomount "d_automount" ("path");
        DManage "d_manage" ("path", "bool");
        DReal "d_real" ("dentry", "inode");
    }
    "inode_operations" {
        Lookup "lookup" ("inode", "dentry", "unsigned int");
        Create "create" ("inode", "dentry", "umode_t", "bool");
        Link "link" ("dentry", "inode", "dentry");
        Unlink "unlink" ("inode", "dentry");
        Symlink "symlink" ("inode", "dentry", "char");
        Mkdir "mkdir" ("inode", "dentry", "umode_t");
        Rmdir "rmdir" ("inode", "dentry");
        Mknod "mknod" ("inode", "dentry", "umode_t", "dev_t");
        Rename "rename" ("inode", "dentry", "inode", "dentry", "unsigned int");
        Readlink "readlink" ("dentry");
        GetLink "get_link" ("dentry", "inode");
        Truncate "truncate" ("inode");
        Permission "permission" ("inode", "int");
        GetAcl "get_acl" ("inode", "int", "bool");
        Setattr "setattr" ("dentry", "iattr");
        Getattr "getattr" ("path");
        Listxattr "listxattr" ("dentry");
        Fiemap "fiemap" ("inode", "u64", "u64");
        UpdateTime "update_time" ("inode", "timespec64");
        AtomicOpen "atomic_open" ("inode", "dentry", "file", "unsigned int", "umode_t");
        Tmpfile "tmpfile" ("inode", "dentry", "umode_t");
        FileattrGet "fileattr_get" ("dentry");
        FileattrSet "fileattr_set" ("dentry", "fileattr");
    }
    "xattr_handler" {
        XattrList "list" ("dentry");
        XattrGet "get" ("dentry", "inode", "char");
        XattrSet "set" ("dentry", "inode", "char", "void");
    }
    "super_operations" {
        AllocInode "alloc_inode" ("super_block");
        FreeInode "free_inode" ("inode");
        DestroyInode "destroy_inode" ("inode");
        DirtyInode "dirty_inode" ("inode", "unsigned int");
        WriteInode "write_inode" ("inode", "writeback_control");
        DropInode "drop_inode" ("inode");
        EvictInode "evict_inode" ("inode");
        PutSuper "put_super" ("super_block");
        SyncFs "sync_fs" ("super_block", "bool");
        FreezeFs "freeze_fs" ("super_block");
        UnfreezeFs "unfreeze_fs" ("super_block");
        Statfs "statfs" ("dentry");
        RemountFs "remount_fs" ("super_block", "unsigned int");
        UmountBegin "umount_begin" ("super_block");
        ShowOptions "show_options" ("dentry");
        QuotaRead "quota_read" ("super_block", "loff_t", "char");
        QuotaWrite "quota_write" ("super_block", "loff_t", "char");
        BdevTryToFreePage "bdev_try_to_free_page" ("super_block", "page");
    }
    "file_system_type" {
        Mount "mount" ("file_system_type", "unsigned int", "block_device");
        KillSb "kill_sb" ("super_block");
    }
    "address_space_operations" {
        Writepage "writepage" ("page", "writeback_control");
        Readpage "readpage" ("file", "page");
        Writepages "writepages" ("address_space", "writeback_control");
        SetPageDirty "set_page_dirty" ("page");
        Readahead "readahead" ("readahead_control");
        Readpages "readpages" ("file", "address_space", "list_head");
        WriteBegin "write_begin" ("file", "address_space", "loff_t", "unsigned int", "page *");
        WriteEnd "write_end" ("file", "address_space", "loff_t", "unsigned int", "page");
        Bmap "bmap" ("address_space", "sector_t");
        Invalidatepage "invalidatepage" ("page", "unsigned int", "unsigned int");
        Releasepage "releasepage" ("page");
        Freepage "freepage" ("page");
        DirectIo "direct_IO" ("kiocb", "iov_iter", "bool");
        IsolatePage "isolate_page" ("page");
        Migratepage "migratepage" ("address_space", "page", "page");
        PutbackPage "putback_page" ("page");
        LaunderPage "launder_page" ("page");
        IsPartiallyUptodate "is_partially_uptodate" ("page", "unsigned long", "unsigned long");
        ErrorRemovePage "error_remove_page" ("address_space", "page");
        SwapActivate "swap_activate" ("file");
        SwapDeactivate "swap_deactivate" ("file");
    }
    "file_lock_operations" {
        FlCopyLock "fl_copy_lock" ("file_lock", "file_lock");
        FlReleasePrivate "fl_release_private" ("file_lock");
    }
    "lock_manager_operations" {
        LmNotify "lm_notify" ("file_lock");
        LmGrant "lm_grant" ("file_lock", "int");
        LmBreak "lm_break" ("file_lock");
        LmChange "lm_change" ("file_lock", "unsigned int");
        LmBreakerOwnsLease "lm_breaker_owns_lease" ("file_lock");
        LmLockExpirable "lm_lock_expirable" ("file_lock");
        LmExpireLock "lm_expire_lock" ();
    }
    "buffer_head" {
        BEndIo "b_end_io" ("buffer_head", "bool");
    }
    "block_device_operations" {
        BdevOpen "open" ("block_device", "fmode_t");
        BdevRelease "release" ("gendisk", "fmode_t");
        BdevIoctl "ioctl" ("block_device", "unsigned int", "unsigned long");
        BdevCompatIoctl "compat_ioctl" ("block_device", "unsigned int", "unsigned long");
        DirectAccess "direct_access" ("block_device", "sector_t");
        UnlockNativeCapacity "unlock_native_capacity" ("gendisk");
        Getgeo "getgeo" ("block_device");
        SwapSlotFreeNotify "swap_slot_free_notify" ("block_device", "unsigned long");
    }
    "file_operations" {
        Llseek "llseek" ("file", "loff_t", "int");
        Read "read" ("file", "char", "loff_t");
        Write "write" ("file", "char", "loff_t");
        ReadIter "read_iter" ("kiocb", "iov_iter");
        WriteIter "write_iter" ("kiocb", "iov_iter");
        Iopoll "iopoll" ("kiocb", "bool");
        Iterate "iterate" ("file");
        IterateShared "iterate_shared" ("file");
        Poll "poll" ("file");
        UnlockedIoctl "unlocked_ioctl" ("file", "unsigned int", "unsigned long");
        CompatIoctl "compat_ioctl" ("file", "unsigned int", "unsigned long");
        Mmap "mmap" ("file", "vm_area_struct");
        Open "open" ("inode", "file");
        Flush "flush" ("file");
        Release "release" ("inode", "file");
        Fsync "fsync" ("file", "loff_t", "loff_t", "bool");
        Fasync "fasync" ("int", "file", "int");
        Lock "lock" ("file", "int", "file_lock");
        Sendpage "sendpage" ("file", "page", "loff_t", "size_t");
        GetUnmappedArea "get_unmapped_area" ("file", "unsigned long", "unsigned long");
        CheckFlags "check_flags" ("int");
        Flock "flock" ("file", "int", "file_lock");
        SpliceWrite "splice_write" ("pipe_inode_info", "file", "loff_t", "size_t");
        SpliceRead "splice_read" ("file", "loff_t", "pipe_inode_info", "size_t");
        Setlease "setlease" ("file", "long", "file_lock");
        Fallocate "fallocate" ("file", "int", "loff_t", "loff_t");
        ShowFdinfo "show_fdinfo" ("file");
        MmapCapabilities "mmap_capabilities" ("file");
        CopyFileRange "copy_file_range" ("file", "loff_t", "file", "loff_t", "size_t");
        RemapFileRange "remap_file_range" ("file", "loff_t", "file", "loff_t", "loff_t");
        Fadvise "fadvise" ("file", "loff_t", "loff_t", "int");
    }
    "dquot_operations" {
        WriteDquot "write_dquot" ("dquot");
        AcquireDquot "acquire_dquot" ("dquot");
        ReleaseDquot "release_dquot" ("dquot");
        MarkDirty "mark_dirty" ("dquot");
        WriteInfo "write_info" ("super_block", "int");
    }
    "vm_operations_struct" {
        VmOpen "open" ("vm_area_struct");
        VmClose "close" ("vm_area_struct");
        Fault "fault" ("vm_fault");
        MapPages "map_pages" ("vm_fault", "unsigned long", "unsigned long");
        PageMkwrite "page_mkwrite" ("vm_fault");
        PfnMkwrite "pfn_mkwrite" ("vm_fault");
        VmAccess "access" ("vm_area_struct", "unsigned long", "void", "bool");
    }
}

impl Op {
    /// Its prototype.
    pub(crate) fn prototype(self) -> &'static Prototype {
        &PROTOTYPES[self as usize]
    }

    /// Its table and name.
    pub(crate) fn full_name(self) -> String {
        let prototype = self.prototype();
        format!("{}.{}", prototype.table, prototype.op)
    }

    /// The op of a table's slot.
    pub(crate) fn named(table: &str, op: &str) -> Option<Self> {
        let is = |known: &&Self| known.prototype().table == table && known.prototype().op == op;
        Self::ALL.iter().find(is).copied()
    }
}
