//! Attributes, extended attributes, flags, and what `ioctl(2)` asks of any file.

use std::sync::atomic::Ordering::SeqCst;

use super::mount::{WriteLevel, sb_end_write, sb_start_write};
use super::operations::XattrHandler;
use super::types::{Attributes, Extent, Stat};
use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::{Dentry, Errno, File, Inode, Path, Result, leaf};
use crate::reference::task::{Task, invoke};

/// The attributes of what a path leads to.
pub(crate) fn vfs_getattr(t: &Task, path: &Path) -> Result<Stat> {
    let _frame = t.frame("vfs_getattr_nosec");
    let inode = path.inode().ok_or(Errno::ENOENT)?;
    match inode.i_op.get().and_then(|ops| ops.getattr) {
        Some(callback) => invoke!(t, Getattr, callback, path),
        None => Ok(generic_fillattr(inode)),
    }
}

/// What the inode itself says.
pub(crate) fn generic_fillattr(inode: &'static Inode) -> Stat {
    Stat {
        ino: inode.number(),
        mode: inode.i_mode.load(SeqCst),
        nlink: inode.i_nlink.load(SeqCst),
        uid: inode.i_uid.load(SeqCst),
        size: inode.size(),
        mtime: inode.i_mtime.load(SeqCst),
    }
}

/// Changes attributes.
pub(crate) fn change_attributes(t: &Task, path: &Path, attributes: &Attributes) -> Result<()> {
    let inode = path.inode().ok_or(Errno::ENOENT)?;
    let sb = inode.sb();
    if attributes.size.is_some() {
        super::lease::break_lease(t, inode, true, false)?;
    }
    sb_start_write(t, sb, WriteLevel::Write);
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let result = notify_change(t, path.dentry, attributes);
    inode.i_rwsem.release(t);
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// The same for a caller that holds the inode.
pub(crate) fn notify_change(t: &Task, dentry: &'static Dentry, attributes: &Attributes) -> Result<()> {
    let _frame = t.frame("notify_change");
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    let uid = t.uid.get();
    if uid != 0 && inode.i_uid.load(SeqCst) != uid && (attributes.mode.is_some() || attributes.uid.is_some()) {
        return Err(Errno::EPERM);
    }
    let ops = inode.i_op.get().ok_or(Errno::EPERM)?;
    match ops.setattr {
        Some(callback) => invoke!(t, Setattr, callback, dentry, attributes)?,
        None => setattr_copy(t, inode, attributes),
    }
    if attributes.size.is_some()
        && let Some(callback) = ops.truncate
    {
        invoke!(t, Truncate, callback, inode);
    }
    Ok(())
}

/// Takes the attributes over, but for the size.
pub(crate) fn setattr_copy(t: &Task, inode: &'static Inode, attributes: &Attributes) {
    if let Some(mode) = attributes.mode {
        let kind = inode.i_mode.load(SeqCst) & 0o170_000;
        inode.i_mode.store(kind | mode & 0o7777, SeqCst);
    }
    if let Some(uid) = attributes.uid {
        inode.i_uid.store(uid, SeqCst);
    }
    inode.i_mtime.store(attributes.mtime.unwrap_or_else(|| t.kernel.now()), SeqCst);
}

fn handlers(inode: &'static Inode) -> &'static [XattrHandler] {
    *leaf(&inode.sb().s_xattr)
}

fn handler_of(inode: &'static Inode, name: &str) -> Result<&'static XattrHandler> {
    handlers(inode).iter().find(|handler| name.starts_with(handler.prefix)).ok_or(Errno::EOPNOTSUPP)
}

/// Reads an extended attribute.
pub(crate) fn vfs_getxattr(t: &Task, dentry: &'static Dentry, name: &str) -> Result<Vec<u8>> {
    let _frame = t.frame("__vfs_getxattr");
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    let callback = handler_of(inode, name)?.get.ok_or(Errno::EOPNOTSUPP)?;
    invoke!(t, XattrGet, callback, dentry, inode, name)
}

/// Sets an extended attribute, or removes it.
pub(crate) fn vfs_setxattr(t: &Task, dentry: &'static Dentry, name: &str, value: Option<&[u8]>) -> Result<()> {
    let _frame = t.frame("__vfs_setxattr");
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    let callback = handler_of(inode, name)?.set.ok_or(Errno::EOPNOTSUPP)?;
    let sb = inode.sb();
    sb_start_write(t, sb, WriteLevel::Write);
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let result = invoke!(t, XattrSet, callback, dentry, inode, name, value);
    inode.i_rwsem.release(t);
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// Lists extended attributes.
pub(crate) fn vfs_listxattr(t: &Task, dentry: &'static Dentry) -> Result<Vec<String>> {
    let _frame = t.frame("vfs_listxattr");
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    match inode.i_op.get().and_then(|ops| ops.listxattr) {
        Some(callback) => invoke!(t, Listxattr, callback, dentry),
        None => Ok(generic_listxattr(t, dentry)),
    }
}

/// The prefixes of the handlers that are to be listed.
pub(crate) fn generic_listxattr(t: &Task, dentry: &'static Dentry) -> Vec<String> {
    let _frame = t.frame("generic_listxattr");
    let Some(inode) = dentry.inode() else { return Vec::new() };
    let listed = handlers(inode)
        .iter()
        .filter(|handler| handler.list.is_none_or(|callback| invoke!(t, XattrList, callback, dentry)));
    listed.map(|handler| handler.prefix.to_owned()).collect()
}

/// Reads a file's flags.
pub(crate) fn vfs_fileattr_get(t: &Task, dentry: &'static Dentry) -> Result<u32> {
    let _frame = t.frame("vfs_fileattr_get");
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    let callback = inode.i_op.get().and_then(|ops| ops.fileattr_get).ok_or(Errno::ENOTTY)?;
    if !t.deviates(Step::FileattrGetShared) {
        return invoke!(t, FileattrGet, callback, dentry);
    }
    let held = t.holds(&inode.i_rwsem);
    if held {
        t.downgrade(&inode.i_rwsem);
    } else {
        inode.i_rwsem.read(t);
    }
    let result = invoke!(t, FileattrGet, callback, dentry);
    inode.i_rwsem.release(t);
    if held {
        inode.i_rwsem.acquire(t, Mode::Exclusive);
    }
    result
}

/// Changes a file's flags: what was there is read first, under the same lock.
pub(crate) fn vfs_fileattr_set(t: &Task, dentry: &'static Dentry, flags: u32) -> Result<()> {
    let _frame = t.frame("vfs_fileattr_set");
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    let callback = inode.i_op.get().and_then(|ops| ops.fileattr_set).ok_or(Errno::ENOTTY)?;
    sb_start_write(t, inode.sb(), WriteLevel::Write);
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let result = vfs_fileattr_get(t, dentry).and_then(|_| invoke!(t, FileattrSet, callback, dentry, flags));
    inode.i_rwsem.release(t);
    sb_end_write(t, inode.sb(), WriteLevel::Write);
    result
}

/// Where a file's data is.
pub(crate) fn ioctl_fiemap(t: &Task, file: &'static File, start: u64, length: u64) -> Result<Vec<Extent>> {
    let _frame = t.frame("ioctl_fiemap");
    let inode = file.inode();
    let callback = inode.i_op.get().and_then(|ops| ops.fiemap).ok_or(Errno::EOPNOTSUPP)?;
    invoke!(t, Fiemap, callback, inode, start, length)
}

/// Where one block of a file is.
pub(crate) fn ioctl_fibmap(t: &Task, file: &'static File, block: u64) -> Result<u64> {
    let _frame = t.frame("ioctl_fibmap");
    let mapping = file.mapping();
    let callback = super::pagecache::ops(mapping).bmap.ok_or(Errno::EINVAL)?;
    Ok(invoke!(t, Bmap, callback, mapping, block))
}
