//! The faults of the faulty kernel module, as data, in the order of its list.

use crate::fault::{Fault, Release, Scene};

/// ext4 checks the lock of an inode that loses its last name.
const EXT4_ORPHAN: &[(&str, &str)] = &[("ext4", "ext4_orphan_add")];
/// overlayfs checks the directory's lock when it notes that the directory changed.
const OVERLAY_DIR: &[(&str, &str)] = &[("overlay", "ovl_dir_modified")];
/// xfs asserts the directory's lock; btrfs, and the VFS for overlayfs, give a shared one back to take it exclusive, and hang
/// where there is none.
const READDIR: &[(&str, &str)] = &[
    ("xfs", "xfs_assert_ilocked"),
    ("btrfs", "btrfs_readdir_get_delayed_items"),
    ("overlay", "wrap_directory_iterator"),
];
/// They give back what another task holds.
const GIVEN_BACK: &[(&str, &str)] =
    &[("btrfs", "btrfs_readdir_get_delayed_items"), ("overlay", "wrap_directory_iterator")];

const fn fault(name: &'static str, rule: &'static str, scene: Scene) -> Fault {
    Fault {
        name,
        rule,
        scene,
        warns_on: &[],
        since: (0, 0),
        until: (u32::MAX, 0),
        wants_to_be_alone: false,
        unseen: None,
    }
}

const fn warned(warns_on: &'static [(&'static str, &'static str)], fault: Fault) -> Fault {
    Fault { warns_on, ..fault }
}

/// The rule, or the op, is not in earlier documents or kernels.
const fn since(since: Release, fault: Fault) -> Fault {
    Fault { since, ..fault }
}

/// The rule, or the op, is not in later documents or kernels.
const fn until(until: Release, fault: Fault) -> Fault {
    Fault { until, ..fault }
}

/// It sleeps with a spinlock of the whole kernel held.
const fn alone(fault: Fault) -> Fault {
    Fault { wants_to_be_alone: true, ..fault }
}

/// No tracer of this kind sees it: `rules limits` gives the rule the same reason.
const fn unseen(why: &'static str, fault: Fault) -> Fault {
    Fault { unseen: Some(why), ..fault }
}

/// The pages of a readahead window are looked up in the mapping one by one, which a probe does not do.
const WINDOW: &str = "the folios of a window are not walked";

/// All faults.
pub const FAULTS: &[Fault] = &[
    // children.c
    warned(OVERLAY_DIR, fault("create-no-lock", "inode_operations.create", Scene::Create)),
    fault("create-shared", "inode_operations.create", Scene::Create),
    warned(OVERLAY_DIR, fault("create-wrong-inode", "inode_operations.create", Scene::Create)),
    fault("create-held-by-other", "inode_operations.create", Scene::Create),
    fault("create-shared-by-other", "inode_operations.create", Scene::Create),
    warned(OVERLAY_DIR, fault("mkdir-no-lock", "inode_operations.mkdir", Scene::Mkdir)),
    fault("mkdir-shared", "inode_operations.mkdir", Scene::Mkdir),
    warned(OVERLAY_DIR, fault("mknod-no-lock", "inode_operations.mknod", Scene::Mknod)),
    fault("mknod-shared", "inode_operations.mknod", Scene::Mknod),
    warned(OVERLAY_DIR, fault("symlink-no-lock", "inode_operations.symlink", Scene::Symlink)),
    fault("symlink-shared", "inode_operations.symlink", Scene::Symlink),
    warned(OVERLAY_DIR, fault("link-no-lock", "inode_operations.link", Scene::Link)),
    fault("link-shared", "inode_operations.link", Scene::Link),
    fault("link-no-source-lock", "inode_operations.link.source", Scene::Link),
    fault("link-source-shared", "inode_operations.link.source", Scene::Link),
    warned(OVERLAY_DIR, fault("unlink-no-lock", "inode_operations.unlink", Scene::Unlink)),
    fault("unlink-shared", "inode_operations.unlink", Scene::Unlink),
    fault("unlink-no-victim-lock", "inode_operations.unlink.victim", Scene::Unlink),
    fault("unlink-victim-shared", "inode_operations.unlink.victim", Scene::Unlink),
    fault("unlink-victim-held-by-other", "inode_operations.unlink.victim", Scene::Unlink),
    warned(OVERLAY_DIR, fault("rmdir-no-lock", "inode_operations.rmdir", Scene::Rmdir)),
    fault("rmdir-shared", "inode_operations.rmdir", Scene::Rmdir),
    warned(EXT4_ORPHAN, fault("rmdir-no-victim-lock", "inode_operations.rmdir.victim", Scene::Rmdir)),
    fault("rmdir-victim-shared", "inode_operations.rmdir.victim", Scene::Rmdir),
    fault("rmdir-victim-held-by-other", "inode_operations.rmdir.victim", Scene::Rmdir),
    fault("lookup-no-lock", "inode_operations.lookup", Scene::Lookup),
    fault("lookup-wrong-inode", "inode_operations.lookup", Scene::Lookup),
    fault("lookup-shared-by-other", "inode_operations.lookup", Scene::Lookup),
    // rename.c
    warned(OVERLAY_DIR, fault("rename-no-lock", "inode_operations.rename", Scene::RenameFile)),
    fault("rename-shared", "inode_operations.rename", Scene::RenameFile),
    warned(OVERLAY_DIR, fault("rename-no-source-parent-lock", "inode_operations.rename", Scene::RenameAcross)),
    warned(OVERLAY_DIR, fault("rename-no-target-parent-lock", "inode_operations.rename", Scene::RenameAcross)),
    warned(EXT4_ORPHAN, fault("rename-no-victim-lock", "inode_operations.rename.victim", Scene::RenameOver)),
    fault("rename-victim-shared", "inode_operations.rename.victim", Scene::RenameOver),
    fault("rename-no-source-lock", "inode_operations.rename.nondirectories", Scene::RenameFile),
    fault("rename-source-shared", "inode_operations.rename.nondirectories", Scene::RenameFile),
    fault("rename-no-target-lock", "inode_operations.rename.nondirectories", Scene::RenameOverFile),
    fault("rename-target-shared", "inode_operations.rename.nondirectories", Scene::RenameOverFile),
    fault("rename-no-mutex", "inode_operations.rename.mutex", Scene::RenameAcross),
    fault("rename-mutex-held-by-other", "inode_operations.rename.mutex", Scene::RenameAcross),
    fault("rename-no-subdir-lock", "inode_operations.rename.subdirectories", Scene::MoveDirectory),
    fault("rename-subdir-shared", "inode_operations.rename.subdirectories", Scene::MoveDirectory),
    // attributes.c
    fault("setattr-no-lock", "inode_operations.setattr", Scene::Setattr),
    fault("setattr-shared", "inode_operations.setattr", Scene::Setattr),
    fault("setattr-wrong-inode", "inode_operations.setattr", Scene::Setattr),
    fault("setattr-held-by-other", "inode_operations.setattr", Scene::Setattr),
    fault("fileattr-set-no-lock", "inode_operations.fileattr_set", Scene::FileattrSet),
    fault("fileattr-set-shared", "inode_operations.fileattr_set", Scene::FileattrSet),
    fault("fileattr-get-shared", "inode_operations.fileattr_get", Scene::FileattrGet),
    // pseudo_fs.c
    fault("permission-sleep", "inode_operations.permission.rcu_walk", Scene::Permission),
    fault("getattr-preemption-off", "inode_operations.getattr.may_block", Scene::Getattr),
    fault("getattr-interrupts-off", "inode_operations.getattr.may_block", Scene::Getattr),
    fault("getattr-in-rcu", "inode_operations.getattr.may_block", Scene::Getattr),
    fault("getattr-under-spinlock", "inode_operations.getattr.may_block", Scene::Getattr),
    fault("atomic-open-no-lock", "inode_operations.atomic_open", Scene::AtomicOpen),
    fault("atomic-open-shared-creat", "inode_operations.atomic_open.create", Scene::AtomicCreate),
    // directory.c
    warned(READDIR, fault("iterate-shared-no-lock", "file_operations.iterate_shared", Scene::Iterate)),
    warned(READDIR, fault("iterate-shared-wrong-inode", "file_operations.iterate_shared", Scene::Iterate)),
    warned(GIVEN_BACK, fault("iterate-shared-held-by-other", "file_operations.iterate_shared", Scene::Iterate)),
    // xattr.c
    fault("xattr-set-no-lock", "xattr_handler.set", Scene::XattrSet),
    fault("xattr-set-shared", "xattr_handler.set", Scene::XattrSet),
    fault("xattr-set-wrong-inode", "xattr_handler.set", Scene::XattrSet),
    fault("xattr-set-held-by-other", "xattr_handler.set", Scene::XattrSet),
    fault("xattr-list-preemption-off", "xattr_handler.list.may_block", Scene::Own),
    fault("xattr-get-in-rcu", "xattr_handler.get.may_block", Scene::Own),
    fault("xattr-set-under-spinlock", "xattr_handler.set.may_block", Scene::Own),
    // own_dentry.c
    fault("d-revalidate-preemption-off", "dentry_operations.d_revalidate.may_block", Scene::Own),
    fault("d-revalidate-sleeps", "dentry_operations.d_revalidate.must_not_sleep", Scene::Own),
    fault("d-weak-revalidate-in-rcu", "dentry_operations.d_weak_revalidate.may_block", Scene::Own),
    fault("d-hash-sleeps", "dentry_operations.d_hash.must_not_sleep", Scene::Own),
    fault("d-compare-no-lock", "dentry_operations.d_compare.rename_lock", Scene::Own),
    alone(fault("d-compare-sleeps", "dentry_operations.d_compare.must_not_sleep", Scene::Own)),
    fault("d-delete-no-lock", "dentry_operations.d_delete.d_lock", Scene::Own),
    fault("d-delete-sleeps", "dentry_operations.d_delete.must_not_sleep", Scene::Own),
    fault("d-init-under-spinlock", "dentry_operations.d_init.may_block", Scene::Own),
    fault("d-release-preemption-off", "dentry_operations.d_release.may_block", Scene::Own),
    fault("d-prune-no-lock", "dentry_operations.d_prune.d_lock", Scene::Own),
    fault("d-prune-sleeps", "dentry_operations.d_prune.must_not_sleep", Scene::Own),
    fault("d-iput-interrupts-off", "dentry_operations.d_iput.may_block", Scene::Own),
    fault("d-dname-sleeps", "dentry_operations.d_dname.must_not_sleep", Scene::Own),
    fault("d-automount-in-rcu", "dentry_operations.d_automount.may_block", Scene::Own),
    fault("d-manage-preemption-off", "dentry_operations.d_manage.may_block", Scene::Own),
    fault("d-manage-sleeps", "dentry_operations.d_manage.must_not_sleep", Scene::Own),
    fault("d-real-under-spinlock", "dentry_operations.d_real.may_block", Scene::Own),
    since((6, 18), fault("d-unalias-trylock-no-lock", "dentry_operations.d_unalias_trylock.rename_lock", Scene::Own)),
    alone(since(
        (6, 18),
        fault("d-unalias-trylock-sleeps", "dentry_operations.d_unalias_trylock.must_not_sleep", Scene::Own),
    )),
    since((6, 18), fault("d-unalias-unlock-no-lock", "dentry_operations.d_unalias_unlock.rename_lock", Scene::Own)),
    alone(since(
        (6, 18),
        fault("d-unalias-unlock-sleeps", "dentry_operations.d_unalias_unlock.must_not_sleep", Scene::Own),
    )),
    // own_super.c
    fault("alloc-inode-preemption-off", "super_operations.alloc_inode.may_block", Scene::Own),
    fault("free-inode-outside-callback", "super_operations.free_inode.rcu_callback", Scene::Own),
    fault("destroy-inode-under-spinlock", "super_operations.destroy_inode.may_block", Scene::Own),
    fault("dirty-inode-interrupts-off", "super_operations.dirty_inode.may_block", Scene::Own),
    fault("write-inode-in-rcu", "super_operations.write_inode.may_block", Scene::Own),
    fault("drop-inode-no-lock", "super_operations.drop_inode.i_lock", Scene::Own),
    fault("drop-inode-sleeps", "super_operations.drop_inode.must_not_sleep", Scene::Own),
    fault("evict-inode-preemption-off", "super_operations.evict_inode.may_block", Scene::Own),
    fault("put-super-no-lock", "super_operations.put_super", Scene::Own),
    fault("put-super-shared", "super_operations.put_super", Scene::Own),
    fault("put-super-wrong-super", "super_operations.put_super", Scene::Own),
    fault("put-super-held-by-other", "super_operations.put_super", Scene::Own),
    fault("put-super-shared-by-other", "super_operations.put_super", Scene::Own),
    fault("put-super-preemption-off", "super_operations.put_super.may_block", Scene::Own),
    fault("sync-fs-no-lock", "super_operations.sync_fs", Scene::Own),
    fault("sync-fs-shared-by-other", "super_operations.sync_fs", Scene::Own),
    fault("sync-fs-under-spinlock", "super_operations.sync_fs.may_block", Scene::Own),
    fault("freeze-fs-no-lock", "super_operations.freeze_fs", Scene::Own),
    fault("freeze-fs-shared", "super_operations.freeze_fs", Scene::Own),
    fault("freeze-fs-in-rcu", "super_operations.freeze_fs.may_block", Scene::Own),
    fault("unfreeze-fs-no-lock", "super_operations.unfreeze_fs", Scene::Own),
    fault("unfreeze-fs-shared", "super_operations.unfreeze_fs", Scene::Own),
    fault("unfreeze-fs-interrupts-off", "super_operations.unfreeze_fs.may_block", Scene::Own),
    fault("statfs-preemption-off", "super_operations.statfs.may_block", Scene::Own),
    until((6, 18), fault("remount-fs-no-lock", "super_operations.remount_fs", Scene::Own)),
    until((6, 18), fault("remount-fs-shared", "super_operations.remount_fs", Scene::Own)),
    until((6, 18), fault("remount-fs-preemption-off", "super_operations.remount_fs.may_block", Scene::Own)),
    fault("umount-begin-in-rcu", "super_operations.umount_begin.may_block", Scene::Own),
    fault("show-options-no-lock", "super_operations.show_options.namespace_sem", Scene::Own),
    fault("show-options-shared-by-other", "super_operations.show_options.namespace_sem", Scene::Own),
    fault("show-options-preemption-off", "super_operations.show_options.may_block", Scene::Own),
    fault("quota-read-no-lock", "super_operations.quota_read.dqio_sem", Scene::Own),
    fault("quota-read-held-by-other", "super_operations.quota_read.dqio_sem", Scene::Own),
    fault("quota-read-preemption-off", "super_operations.quota_read.may_block", Scene::Own),
    fault("quota-write-no-lock", "super_operations.quota_write.dqio_sem", Scene::Own),
    fault("quota-write-shared", "super_operations.quota_write.dqio_sem", Scene::Own),
    fault("quota-write-in-rcu", "super_operations.quota_write.may_block", Scene::Own),
    // own_type.c
    until((6, 18), fault("mount-returns-unlocked", "file_system_type.mount.locked", Scene::Own)),
    fault("kill-sb-no-lock", "file_system_type.kill_sb", Scene::Own),
    fault("kill-sb-shared", "file_system_type.kill_sb", Scene::Own),
    fault("kill-sb-keeps-lock", "file_system_type.kill_sb.unlocks", Scene::Own),
    fault("kill-sb-preemption-off", "file_system_type.kill_sb.may_block", Scene::Own),
    // own_pages.c
    fault("read-folio-unlocked", "address_space_operations.read_folio.locked", Scene::Own),
    fault("read-folio-no-invalidate-lock", "address_space_operations.read_folio.invalidate_lock", Scene::Own),
    fault("read-folio-wrong-mapping", "address_space_operations.read_folio.invalidate_lock", Scene::Own),
    fault("read-folio-shared-by-other", "address_space_operations.read_folio.invalidate_lock", Scene::Own),
    fault("read-folio-keeps-locked", "address_space_operations.read_folio.unlocks", Scene::Own),
    fault("read-folio-preemption-off", "address_space_operations.read_folio.may_block", Scene::Own),
    fault("dirty-folio-unlocked", "address_space_operations.dirty_folio", Scene::Own),
    fault("dirty-folio-sleeps", "address_space_operations.dirty_folio.must_not_sleep", Scene::Own),
    fault("write-begin-no-lock", "address_space_operations.write_begin.i_rwsem", Scene::Own),
    fault("write-begin-shared", "address_space_operations.write_begin.i_rwsem", Scene::Own),
    fault("write-begin-gives-unlocked", "address_space_operations.write_begin.locks", Scene::Own),
    fault("write-begin-in-rcu", "address_space_operations.write_begin.may_block", Scene::Own),
    fault("write-end-no-lock", "address_space_operations.write_end.i_rwsem", Scene::Own),
    fault("write-end-shared", "address_space_operations.write_end.i_rwsem", Scene::Own),
    fault("write-end-unlocked", "address_space_operations.write_end.locked", Scene::Own),
    fault("write-end-keeps-locked", "address_space_operations.write_end.unlocks", Scene::Own),
    fault("write-end-preemption-off", "address_space_operations.write_end.may_block", Scene::Own),
    fault("bmap-under-spinlock", "address_space_operations.bmap.may_block", Scene::Own),
    fault("invalidate-folio-unlocked", "address_space_operations.invalidate_folio.locked", Scene::Own),
    fault(
        "invalidate-folio-no-invalidate-lock",
        "address_space_operations.invalidate_folio.invalidate_lock",
        Scene::Own,
    ),
    fault("invalidate-folio-shared", "address_space_operations.invalidate_folio.invalidate_lock", Scene::Own),
    fault("invalidate-folio-held-by-other", "address_space_operations.invalidate_folio.invalidate_lock", Scene::Own),
    fault("invalidate-folio-interrupts-off", "address_space_operations.invalidate_folio.may_block", Scene::Own),
    fault("release-folio-unlocked", "address_space_operations.release_folio.locked", Scene::Own),
    since(
        (6, 6),
        fault("release-folio-keeps-private", "address_space_operations.release_folio.private_gone", Scene::Own),
    ),
    since(
        (6, 6),
        fault(
            "release-folio-under-writeback",
            "address_space_operations.release_folio.not_under_writeback",
            Scene::Own,
        ),
    ),
    fault("release-folio-preemption-off", "address_space_operations.release_folio.may_block", Scene::Own),
    fault("free-folio-unlocked", "address_space_operations.free_folio.locked", Scene::Own),
    fault("free-folio-not-removed", "address_space_operations.free_folio.removed", Scene::Own),
    fault("free-folio-sleeps", "address_space_operations.free_folio.must_not_sleep", Scene::Own),
    fault("direct-io-in-rcu", "address_space_operations.direct_IO.may_block", Scene::Own),
    fault("migrate-folio-source-unlocked", "address_space_operations.migrate_folio", Scene::Own),
    fault("migrate-folio-destination-unlocked", "address_space_operations.migrate_folio.destination", Scene::Own),
    fault("launder-folio-unlocked", "address_space_operations.launder_folio.locked", Scene::Own),
    fault("launder-folio-unlocks", "address_space_operations.launder_folio.keeps_locked", Scene::Own),
    fault("launder-folio-keeps-dirty", "address_space_operations.launder_folio.cleans", Scene::Own),
    fault("launder-folio-preemption-off", "address_space_operations.launder_folio.may_block", Scene::Own),
    fault("is-partially-uptodate-unlocked", "address_space_operations.is_partially_uptodate.locked", Scene::Own),
    fault("is-partially-uptodate-in-rcu", "address_space_operations.is_partially_uptodate.may_block", Scene::Own),
    since(
        (6, 12),
        fault("error-remove-folio-unlocked", "address_space_operations.error_remove_folio.locked", Scene::Own),
    ),
    until((6, 6), fault("error-remove-page-unlocked", "address_space_operations.error_remove_page.locked", Scene::Own)),
    // own_writeback.c
    until((6, 12), fault("writepage-unlocked", "address_space_operations.writepage.locked", Scene::Own)),
    until((6, 12), fault("writepage-keeps-locked", "address_space_operations.writepage.unlocks", Scene::Own)),
    until((6, 12), fault("writepage-no-writeback", "address_space_operations.writepage.writeback", Scene::Own)),
    until(
        (6, 12),
        fault("writepage-unlocks-first", "address_space_operations.writepage.writeback_then_unlock", Scene::Own),
    ),
    unseen(
        "what becomes of the page after the return is not followed",
        until((6, 12), fault("writepage-never-ends", "address_space_operations.writepage.ends_writeback", Scene::Own)),
    ),
    until((6, 12), fault("writepage-redirties-and-fails", "address_space_operations.writepage.redirtied", Scene::Own)),
    until((6, 12), fault("writepage-no-io", "address_space_operations.writepage.sync_starts_io", Scene::Own)),
    until((6, 12), fault("writepage-does-not-wait", "address_space_operations.writepage.sync_waits", Scene::Own)),
    until((6, 12), fault("writepage-preemption-off", "address_space_operations.writepage.may_block", Scene::Own)),
    unseen(
        "the pages that other tasks write for the callback are not counted",
        fault("writepages-not-counted", "address_space_operations.writepages.counts_down", Scene::Own),
    ),
    fault("writepages-stray", "address_space_operations.writepages.own_pages", Scene::Own),
    fault("writepages-preemption-off", "address_space_operations.writepages.may_block", Scene::Own),
    // own_readahead.c
    unseen(WINDOW, fault("readahead-unlocked", "address_space_operations.readahead.locked", Scene::Own)),
    fault("readahead-no-invalidate-lock", "address_space_operations.readahead.invalidate_lock", Scene::Own),
    unseen(WINDOW, fault("readahead-keeps-locked", "address_space_operations.readahead.unlocks", Scene::Own)),
    fault("readahead-preemption-off", "address_space_operations.readahead.may_block", Scene::Own),
    fault("swap-activate-adds-nothing", "address_space_operations.swap_activate.adds_extents", Scene::Own),
    fault("swap-activate-preemption-off", "address_space_operations.swap_activate.may_block", Scene::Own),
    // own_vm.c
    fault("vm-open-no-lock", "vm_operations_struct.open", Scene::OwnMapped),
    since((6, 6), fault("vm-open-shared", "vm_operations_struct.open", Scene::OwnMapped)),
    fault("vm-open-held-by-other", "vm_operations_struct.open", Scene::OwnMapped),
    fault("vm-close-no-lock", "vm_operations_struct.close", Scene::OwnMapped),
    fault("vm-close-shared-by-other", "vm_operations_struct.close", Scene::OwnMapped),
    fault("fault-no-lock", "vm_operations_struct.fault", Scene::OwnMapped),
    fault("fault-shared-by-other", "vm_operations_struct.fault", Scene::OwnMapped),
    fault("fault-says-locked", "vm_operations_struct.fault.locked", Scene::OwnMapped),
    fault("fault-gives-truncated", "vm_operations_struct.fault.not_truncated", Scene::OwnMapped),
    fault("fault-stays-locked", "vm_operations_struct.fault.unlocked_by_caller", Scene::OwnMapped),
    fault("fault-loads-unguarded", "vm_operations_struct.fault.invalidate_lock", Scene::OwnMapped),
    fault("page-mkwrite-no-lock", "vm_operations_struct.page_mkwrite", Scene::OwnMapped),
    fault("page-mkwrite-says-locked", "vm_operations_struct.page_mkwrite.locked", Scene::OwnMapped),
    fault("page-mkwrite-gives-truncated", "vm_operations_struct.page_mkwrite.not_truncated", Scene::OwnMapped),
    fault("page-mkwrite-goes-on", "vm_operations_struct.page_mkwrite.retries", Scene::OwnMapped),
    fault("pfn-mkwrite-no-lock", "vm_operations_struct.pfn_mkwrite", Scene::OwnMapped),
    fault("pfn-mkwrite-odd-result", "vm_operations_struct.pfn_mkwrite.result", Scene::OwnMapped),
    fault("access-no-lock", "vm_operations_struct.access", Scene::OwnMapped),
    since(
        (6, 6),
        fault("huge-fault-calls-filemap-fault", "vm_operations_struct.huge_fault.no_filemap_fault", Scene::OwnMapped),
    ),
    until((6, 1), fault("map-pages-no-lock", "vm_operations_struct.map_pages", Scene::OwnMapped)),
    since((6, 6), fault("map-pages-outside-rcu", "vm_operations_struct.map_pages.rcu", Scene::OwnMapped)),
    fault("map-pages-sleeps", "vm_operations_struct.map_pages.must_not_sleep", Scene::OwnMapped),
    fault("map-pages-sets-nothing", "vm_operations_struct.map_pages.sets_entries", Scene::OwnMapped),
    // own_file.c
    fault("llseek-preemption-off", "file_operations.llseek.may_block", Scene::Own),
    fault("read-interrupts-off", "file_operations.read.may_block", Scene::Own),
    fault("write-under-spinlock", "file_operations.write.may_block", Scene::Own),
    fault("read-iter-in-rcu", "file_operations.read_iter.may_block", Scene::Own),
    fault("write-iter-preemption-off", "file_operations.write_iter.may_block", Scene::Own),
    fault("iopoll-under-spinlock", "file_operations.iopoll.may_block", Scene::Own),
    fault("poll-in-rcu", "file_operations.poll.may_block", Scene::Own),
    fault("unlocked-ioctl-preemption-off", "file_operations.unlocked_ioctl.may_block", Scene::Own),
    fault("compat-ioctl-under-spinlock", "file_operations.compat_ioctl.may_block", Scene::Own),
    fault("mmap-in-rcu", "file_operations.mmap.may_block", Scene::Own),
    fault("open-preemption-off", "file_operations.open.may_block", Scene::Own),
    fault("flush-interrupts-off", "file_operations.flush.may_block", Scene::Own),
    fault("release-under-spinlock", "file_operations.release.may_block", Scene::Own),
    fault("fsync-preemption-off", "file_operations.fsync.may_block", Scene::Own),
    fault("fasync-sets-nothing", "file_operations.fasync.flag", Scene::Own),
    fault("fasync-in-rcu", "file_operations.fasync.may_block", Scene::Own),
    fault("lock-preemption-off", "file_operations.lock.may_block", Scene::Own),
    fault("get-unmapped-area-in-rcu", "file_operations.get_unmapped_area.may_block", Scene::Own),
    fault("check-flags-preemption-off", "file_operations.check_flags.may_block", Scene::Own),
    fault("flock-under-spinlock", "file_operations.flock.may_block", Scene::Own),
    fault("splice-write-in-rcu", "file_operations.splice_write.may_block", Scene::Own),
    fault("splice-read-preemption-off", "file_operations.splice_read.may_block", Scene::Own),
    fault("setlease-asks-nobody", "file_operations.setlease.generic_setlease", Scene::Own),
    fault("fallocate-punches-unguarded", "file_operations.fallocate.invalidate_lock", Scene::Own),
    fault("fallocate-preemption-off", "file_operations.fallocate.may_block", Scene::Own),
    fault("show-fdinfo-in-rcu", "file_operations.show_fdinfo.may_block", Scene::Own),
    fault("copy-file-range-unguarded", "file_operations.copy_file_range.invalidate_lock", Scene::Own),
    fault("remap-file-range-unguarded", "file_operations.remap_file_range.invalidate_lock", Scene::Own),
    fault("fadvise-preemption-off", "file_operations.fadvise.may_block", Scene::Own),
    // own_locks.c
    fault("fl-copy-lock-no-lock", "file_lock_operations.fl_copy_lock", Scene::OwnLocked),
    fault("fl-copy-lock-sleeps", "file_lock_operations.fl_copy_lock.must_not_sleep", Scene::OwnLocked),
    fault("lm-notify-no-lock", "lock_manager_operations.lm_notify.blocked_lock_lock", Scene::OwnLocked),
    fault("lm-grant-sleeps", "lock_manager_operations.lm_grant.must_not_sleep", Scene::OwnLocked),
    fault("lm-break-no-lock", "lock_manager_operations.lm_break.flc_lock", Scene::OwnLocked),
    fault("lm-break-sleeps", "lock_manager_operations.lm_break.must_not_sleep", Scene::OwnLocked),
    fault("lm-change-no-lock", "lock_manager_operations.lm_change.flc_lock", Scene::OwnLocked),
    fault("lm-change-sleeps", "lock_manager_operations.lm_change.must_not_sleep", Scene::OwnLocked),
    fault("lm-breaker-owns-lease-no-lock", "lock_manager_operations.lm_breaker_owns_lease.flc_lock", Scene::OwnLocked),
    fault("lm-lock-expirable-no-lock", "lock_manager_operations.lm_lock_expirable.flc_lock", Scene::OwnLocked),
    fault("lm-expire-lock-preemption-off", "lock_manager_operations.lm_expire_lock.may_block", Scene::OwnLocked),
    since(
        (7, 3),
        fault("lm-open-conflict-no-lock", "lock_manager_operations.lm_open_conflict.flc_lock", Scene::OwnLocked),
    ),
    since(
        (7, 3),
        fault("lm-breaker-timedout-no-lock", "lock_manager_operations.lm_breaker_timedout.flc_lock", Scene::OwnLocked),
    ),
    // own_disk.c
    fault("disk-open-no-lock", "block_device_operations.open", Scene::Own),
    fault("disk-open-held-by-other", "block_device_operations.open", Scene::Own),
    fault("disk-release-no-lock", "block_device_operations.release", Scene::Own),
    fault("disk-release-held-by-other", "block_device_operations.release", Scene::Own),
    // own_quota.c
    fault("mark-dirty-recurses", "dquot_operations.mark_dirty.recursion", Scene::Own),
    // own_buffer.c
    until((6, 18), fault("b-end-io-unlocked", "buffer_head.b_end_io", Scene::Own)),
    until((6, 18), fault("b-end-io-in-task", "buffer_head.b_end_io.context", Scene::Own)),
];
