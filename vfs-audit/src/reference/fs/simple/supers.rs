//! Superblock callbacks, mounting and unmounting.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use super::{Info, Tables, backing, node_of, simple_iget};
use crate::reference::fs::backing::Backing;
use crate::reference::mutant::Step;
use crate::reference::object::{
    BlockDevice, Dentry, FileSystemType, Inode, Result, SuperBlock, WritebackControl, leaf,
};
use crate::reference::task::Task;
use crate::reference::vfs::dcache::d_make_root;
use crate::reference::vfs::mount::{generic_shutdown_super, sget};
use crate::reference::vfs::operations::{DentryOperations, SuperOperations};
use crate::reference::vfs::pagecache::truncate_inode_pages_final;
use crate::reference::vfs::types::Statfs;

/// What a superblock is filled with.
pub(crate) struct Fill {
    pub(crate) backing: Arc<dyn Backing>,
    pub(crate) tables: &'static Tables,
    pub(crate) ops: &'static SuperOperations,
    pub(crate) dentries: Option<&'static DentryOperations>,
}

/// Makes a superblock, fills it and gives its root; it stays locked, as the caller of `mount` expects.
pub(crate) fn simple_fill_super(
    t: &Task,
    kind: &'static FileSystemType,
    device: Option<&'static BlockDevice>,
    fill: Fill,
    with: impl FnOnce(&'static SuperBlock),
) -> Result<&'static Dentry> {
    let sb = sget(t, kind, device);
    sb.s_op.set(Some(fill.ops));
    sb.s_d_op.set(fill.dentries);
    let root = fill.backing.root();
    *leaf(&sb.s_fs_info) =
        Some(Arc::new(Info { backing: fill.backing, tables: fill.tables, xattrs: Mutex::default() }));
    with(sb);
    let dentry = simple_iget(t, sb, root).map(|inode| d_make_root(t, sb, inode));
    if t.deviates(Step::MountUnlocks) {
        sb.s_umount.release(t);
    }
    dentry
}

pub(crate) fn simple_kill_sb(t: &Task, sb: &'static SuperBlock) {
    generic_shutdown_super(t, sb);
}

pub(crate) fn simple_alloc_inode(t: &Task, _: &'static SuperBlock) -> &'static Inode {
    t.kernel.slabs.inodes.allocate()
}

pub(crate) fn simple_free_inode(t: &Task, inode: &'static Inode) {
    t.kernel.slabs.inodes.free(inode);
}

/// What hangs on an inode goes before the inode does.
pub(crate) fn simple_destroy_inode(_: &Task, inode: &'static Inode) {
    inode.i_dquot.set(None);
    inode.i_has_acl.store(false, SeqCst);
}

/// The time of the change is part of what must be written.
pub(crate) fn simple_dirty_inode(t: &Task, inode: &'static Inode, _: u32) {
    inode.i_mtime.fetch_max(t.kernel.now(), SeqCst);
}

/// Brings the backing up to what the inode says.
pub(crate) fn simple_write_inode(t: &Task, inode: &'static Inode, _: &WritebackControl) -> Result<()> {
    if inode.i_nlink.load(SeqCst) == 0 {
        return Ok(());
    }
    backing(inode.sb()).set_node(t, inode.number(), node_of(inode))
}

/// An inode without names goes at once; others stay in the cache.
pub(crate) fn simple_drop_inode(_: &Task, inode: &'static Inode) -> bool {
    inode.i_nlink.load(SeqCst) == 0
}

pub(crate) fn simple_evict_inode(t: &Task, inode: &'static Inode) {
    truncate_inode_pages_final(t, inode);
    if inode.i_nlink.load(SeqCst) == 0 {
        // A file that cannot be freed is found again by the next check of the file system.
        let _ = backing(inode.sb()).free(t, inode.number());
    }
}

/// The superblock's own goes: what was not written by now is told by the backing's sync.
pub(crate) fn simple_put_super(t: &Task, sb: &'static SuperBlock) {
    let _ = backing(sb).sync(t);
    *leaf(&sb.s_xattr) = &[];
}

pub(crate) fn simple_sync_fs(t: &Task, sb: &'static SuperBlock, _: bool) -> Result<()> {
    backing(sb).sync(t)
}

pub(crate) fn simple_freeze_fs(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    backing(sb).sync(t)
}

pub(crate) fn simple_unfreeze_fs(_: &Task, sb: &'static SuperBlock) -> Result<()> {
    if sb.s_root.get().is_some() { Ok(()) } else { Err(crate::reference::object::Errno::EINVAL) }
}

pub(crate) fn simple_statfs(_: &Task, dentry: &'static Dentry) -> Result<Statfs> {
    Ok(backing(dentry.sb()).statfs())
}

/// Only flags that the file system knows.
pub(crate) fn simple_remount_fs(t: &Task, sb: &'static SuperBlock, flags: u32) -> Result<()> {
    if flags > 1 {
        return Err(crate::reference::object::Errno::EINVAL);
    }
    backing(sb).sync(t)
}

pub(crate) fn simple_show_options(_: &Task, dentry: &'static Dentry) -> String {
    let flags = dentry.sb().s_flags.load(SeqCst);
    if flags & 1 != 0 { "ro".to_owned() } else { "rw".to_owned() }
}
