//! The file system of attributes: extended ones, access-control lists, flags, and quota for whoever owns a file.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::backing::Node;
#[allow(clippy::wildcard_imports, reason = "the tables below are made of the library's callbacks")]
use super::simple::*;
use super::tree::Tree;
use crate::reference::object::{
    BlockDevice, Dentry, Dquot, Errno, File, FileSystemType, Inode, Kind, PAGE_SIZE, Result, SuperBlock, leaf,
};
use crate::reference::task::Task;
use crate::reference::vfs::attr::generic_listxattr;
use crate::reference::vfs::inode::mark_inode_dirty;
use crate::reference::vfs::operations::{
    AddressSpaceOperations, DquotOperations, FileOperations, FileSystemOperations, InodeOperations, SuperOperations,
    XattrHandler, callback,
};
use crate::reference::vfs::quota::{
    dqget, dqput, dquot_acquire, dquot_commit, dquot_commit_info, dquot_mark_dirty, meddle,
};
use crate::reference::vfs::types::Acl;

/// The type.
pub(crate) static ATTR: FileSystemType = FileSystemType {
    name: "attr",
    ops: FileSystemOperations { mount: callback!(attr_mount), kill_sb: callback!(attr_kill_sb) },
};

/// Name of the attribute that holds an access-control list: pairs of user and permissions.
const ACL: &str = "system.acl";

static TABLES: Tables = Tables {
    directory: &DIRECTORY,
    file: &FILE,
    symlink: &FILE,
    directory_file: &DIRECTORY_FILE,
    file_file: &FILE_FILE,
    pages: &PAGES,
};

const COMMON: InodeOperations = InodeOperations {
    permission: callback!(simple_permission),
    get_acl: callback!(attr_get_acl),
    getattr: callback!(simple_getattr),
    setattr: callback!(simple_setattr),
    listxattr: callback!(attr_listxattr),
    update_time: callback!(simple_update_time),
    fileattr_get: callback!(simple_fileattr_get),
    fileattr_set: callback!(simple_fileattr_set),
    ..InodeOperations::NONE
};

static DIRECTORY: InodeOperations = InodeOperations {
    lookup: callback!(simple_lookup),
    create: callback!(simple_create),
    unlink: callback!(simple_unlink),
    mkdir: callback!(simple_mkdir),
    rmdir: callback!(simple_rmdir),
    rename: callback!(simple_rename),
    ..COMMON
};

static FILE: InodeOperations = COMMON;

static DIRECTORY_FILE: FileOperations = FileOperations {
    llseek: callback!(simple_llseek),
    iterate_shared: callback!(simple_iterate_shared),
    ..FileOperations::NONE
};

static FILE_FILE: FileOperations = FileOperations {
    llseek: callback!(simple_llseek),
    read_iter: callback!(simple_read_iter),
    write_iter: callback!(simple_write_iter),
    open: callback!(attr_open),
    release: callback!(simple_release),
    fsync: callback!(simple_fsync),
    mmap: callback!(simple_mmap),
    ..FileOperations::NONE
};

static PAGES: AddressSpaceOperations = AddressSpaceOperations {
    writepage: callback!(simple_writepage),
    readpage: callback!(simple_readpage),
    writepages: callback!(simple_writepages),
    set_page_dirty: callback!(simple_set_page_dirty),
    readpages: callback!(simple_readpages),
    write_begin: callback!(simple_write_begin),
    write_end: callback!(simple_write_end),
    invalidatepage: callback!(simple_invalidatepage),
    releasepage: callback!(simple_releasepage),
    launder_page: callback!(simple_launder_page),
    direct_IO: callback!(simple_direct_io),
    ..AddressSpaceOperations::NONE
};

static SUPER: SuperOperations = SuperOperations {
    alloc_inode: callback!(simple_alloc_inode),
    free_inode: callback!(simple_free_inode),
    destroy_inode: callback!(simple_destroy_inode),
    dirty_inode: callback!(simple_dirty_inode),
    write_inode: callback!(simple_write_inode),
    drop_inode: callback!(simple_drop_inode),
    evict_inode: callback!(attr_evict_inode),
    put_super: callback!(simple_put_super),
    sync_fs: callback!(attr_sync_fs),
    statfs: callback!(simple_statfs),
    show_options: callback!(simple_show_options),
    quota_read: callback!(attr_quota_read),
    quota_write: callback!(attr_quota_write),
    ..SuperOperations::NONE
};

static QUOTA: DquotOperations = DquotOperations {
    write_dquot: callback!(attr_write_dquot),
    acquire_dquot: callback!(attr_acquire_dquot),
    release_dquot: callback!(attr_release_dquot),
    mark_dirty: callback!(attr_mark_dirty),
    write_info: callback!(attr_write_info),
};

static HANDLERS: [XattrHandler; 3] = [
    XattrHandler {
        prefix: "user.",
        list: callback!(attr_xattr_list),
        get: callback!(attr_xattr_get),
        set: callback!(attr_xattr_set),
    },
    XattrHandler {
        prefix: "trusted.",
        list: callback!(attr_xattr_trusted_list),
        get: callback!(attr_xattr_get),
        set: callback!(attr_xattr_set),
    },
    XattrHandler {
        prefix: "system.",
        list: callback!(attr_xattr_list),
        get: callback!(attr_xattr_get),
        set: callback!(attr_xattr_acl_set),
    },
];

fn attr_mount(
    t: &Task,
    kind: &'static FileSystemType,
    _: u32,
    device: Option<&'static BlockDevice>,
) -> Result<&'static Dentry> {
    let fill = Fill { backing: Arc::new(Tree::default()), tables: &TABLES, ops: &SUPER, dentries: None };
    let root = simple_fill_super(t, kind, device, fill, |sb| {
        *leaf(&sb.s_xattr) = &HANDLERS;
        sb.dq_op.set(Some(&QUOTA));
    })?;
    let sb = root.sb();
    let node = Node { mode: Kind::Regular.bits() | 0o600, ..Node::default() };
    // The quota file has no name: the superblock knows its number.
    let quota_file = backing(sb).create_unnamed(t, node)?;
    sb.s_quota_file.store(quota_file, SeqCst);
    Ok(root)
}

/// Quota is turned off before the rest is shut down.
fn attr_kill_sb(t: &Task, sb: &'static SuperBlock) {
    let inodes: Vec<_> = leaf(&sb.s_inodes).values().copied().collect();
    for inode in inodes {
        drop_quota(t, inode);
    }
    simple_kill_sb(t, sb);
}

/// Whoever may write to a file is charged for it.
fn attr_open(t: &Task, inode: &'static Inode, file: &'static File) -> Result<()> {
    if inode.i_dquot.get().is_none() && file.may(crate::reference::object::FileMode::WRITE) {
        let dquot = dqget(t, inode.sb(), inode.i_uid.load(SeqCst))?;
        if inode.i_dquot.get().is_none() {
            inode.i_dquot.set(Some(dquot));
        } else {
            dqput(t, dquot)?;
        }
    }
    simple_open(t, inode, file)
}

fn drop_quota(t: &Task, inode: &'static Inode) {
    if let Some(dquot) = inode.i_dquot.get() {
        inode.i_dquot.set(None);
        // A quota file that cannot be written is told by its next sync.
        let _ = dqput(t, dquot);
    }
}

fn attr_evict_inode(t: &Task, inode: &'static Inode) {
    simple_evict_inode(t, inode);
    drop_quota(t, inode);
    leaf(&info(inode.sb()).xattrs).retain(|(ino, _), _| *ino != inode.number());
}

fn attr_sync_fs(t: &Task, sb: &'static SuperBlock, wait: bool) -> Result<()> {
    simple_sync_fs(t, sb, wait)
}

fn attr_xattr_list(_: &Task, dentry: &'static Dentry) -> bool {
    dentry.inode().is_some()
}

/// Shown to the superuser only.
fn attr_xattr_trusted_list(t: &Task, dentry: &'static Dentry) -> bool {
    t.uid.get() == 0 && dentry.inode().is_some()
}

fn attr_xattr_get(_: &Task, _: &'static Dentry, inode: &'static Inode, name: &str) -> Result<Vec<u8>> {
    leaf(&info(inode.sb()).xattrs).get(&(inode.number(), name.to_owned())).cloned().ok_or(Errno::ENODATA)
}

fn attr_xattr_set(t: &Task, _: &'static Dentry, inode: &'static Inode, name: &str, value: Option<&[u8]>) -> Result<()> {
    let info = info(inode.sb());
    let key = (inode.number(), name.to_owned());
    let known = match value {
        Some(value) => {
            leaf(&info.xattrs).insert(key, value.to_vec());
            true
        }
        None => leaf(&info.xattrs).remove(&key).is_some(),
    };
    mark_inode_dirty(t, inode);
    if known { Ok(()) } else { Err(Errno::ENODATA) }
}

/// The attribute that is a list: whether there is one is noted in the inode.
fn attr_xattr_acl_set(
    t: &Task,
    dentry: &'static Dentry,
    inode: &'static Inode,
    name: &str,
    value: Option<&[u8]>,
) -> Result<()> {
    if name == ACL {
        inode.i_has_acl.store(value.is_some(), SeqCst);
    }
    attr_xattr_set(t, dentry, inode, name, value)
}

/// In rcu-walk only what is in memory; here everything is.
fn attr_get_acl(_: &Task, inode: &'static Inode, _: i32, _: bool) -> Result<Acl> {
    let bytes = leaf(&info(inode.sb()).xattrs).get(&(inode.number(), ACL.to_owned())).cloned().unwrap_or_default();
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
    Ok(Acl(bytes.chunks_exact(8).map(|pair| (number(&pair[..4]), number(&pair[4..]))).collect()))
}

/// The names of all attributes that whoever asks may see.
fn attr_listxattr(t: &Task, dentry: &'static Dentry) -> Result<Vec<String>> {
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    let prefixes = generic_listxattr(t, dentry);
    let info = info(inode.sb());
    let xattrs = leaf(&info.xattrs);
    let own = xattrs.keys().filter(|(ino, name)| {
        *ino == inode.number() && prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    });
    let mut names: Vec<_> = own.map(|(_, name)| name.clone()).collect();
    names.sort();
    Ok(names)
}

/// Works on the page of the quota file that a place is in.
fn quota_page(
    t: &Task,
    sb: &'static SuperBlock,
    at: u64,
    length: usize,
    work: impl FnOnce(&mut [u8]),
) -> Result<usize> {
    let (index, within) = (at / PAGE_SIZE as u64, (at % PAGE_SIZE as u64) as usize);
    let count = length.min(PAGE_SIZE - within);
    let (backing, file) = (backing(sb), sb.s_quota_file.load(SeqCst));
    let mut data = vec![0; PAGE_SIZE];
    backing.read_page(t, file, index, &mut data)?;
    work(&mut data[within..within + count]);
    backing.write_page(t, file, index, &data)?;
    Ok(count)
}

fn attr_quota_read(t: &Task, sb: &'static SuperBlock, at: u64, buffer: &mut [u8]) -> Result<usize> {
    t.schedule("the quota file");
    let length = buffer.len();
    quota_page(t, sb, at, length, |data| buffer[..data.len()].copy_from_slice(data))
}

fn attr_quota_write(t: &Task, sb: &'static SuperBlock, at: u64, data: &[u8]) -> Result<usize> {
    t.schedule("the quota file");
    meddle(t, sb, data);
    quota_page(t, sb, at, data.len(), |page| page.copy_from_slice(&data[..page.len()]))
}

fn attr_write_dquot(t: &Task, dquot: &'static Dquot) -> Result<()> {
    dquot_commit(t, dquot)
}

fn attr_acquire_dquot(t: &Task, dquot: &'static Dquot) -> Result<()> {
    dquot_acquire(t, dquot)
}

/// What the structure says is kept in the quota file, unless it says nothing.
fn attr_release_dquot(t: &Task, dquot: &'static Dquot) -> Result<()> {
    if dquot.dq_used.load(SeqCst) > 0 { dquot_commit(t, dquot) } else { Ok(()) }
}

fn attr_mark_dirty(t: &Task, dquot: &'static Dquot) -> Result<()> {
    dquot_mark_dirty(t, dquot)
}

fn attr_write_info(t: &Task, sb: &'static SuperBlock, _: i32) -> Result<()> {
    dquot_commit_info(t, sb)
}
