//! Changes of the tree of names, under the directory-locking scheme.
//!
//! Parents before children; two parents ancestor first, under the superblock's rename mutex; non-directories last, in the
//! order of their addresses.

use std::sync::atomic::Ordering::SeqCst;

use super::dcache::{d_delete, d_move, dput, is_subdir};
use super::inode::ihold;
use super::mount::{WriteLevel, sb_end_write, sb_start_write};
use super::namei::{done_path_create, filename_create, filename_parent, lookup_hash, path_put};
use super::permission::inode_permission;
use super::types::may::{MAY_EXEC, MAY_WRITE};
use super::types::rename_flags::{RENAME_EXCHANGE, RENAME_NOREPLACE};
use crate::reference::lock::{Mode, Nest};
use crate::reference::object::{Dentry, DentryFlag, Errno, Inode, Kind, Path, Result};
use crate::reference::task::{Task, invoke};

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make<'n> {
    File(u32),
    Directory(u32),
    Symlink(&'n str),
    Node(u32, u32),
}

/// Makes a name.
pub(crate) fn do_make(t: &Task, start: &Path, name: &str, what: Make<'_>) -> Result<()> {
    let (dir, last) = filename_parent(t, start, name)?;
    let sb = dir.dentry.sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let result = filename_create(t, &dir, last).and_then(|dentry| {
        let result = make_in(t, &dir, dentry, what);
        done_path_create(t, &dir, dentry);
        result
    });
    sb_end_write(t, sb, WriteLevel::Write);
    path_put(t, &dir);
    result
}

fn make_in(t: &Task, dir: &Path, dentry: &'static Dentry, what: Make<'_>) -> Result<()> {
    let inode = dir.inode().ok_or(Errno::ENOENT)?;
    may_change(t, inode)?;
    let ops = inode.i_op.get().ok_or(Errno::EPERM)?;
    match what {
        Make::File(mode) => {
            let _frame = t.frame("vfs_create");
            let callback = ops.create.ok_or(Errno::EACCES)?;
            let exclusive = true;
            invoke!(t, Create, callback, inode, dentry, mode, exclusive)
        }
        Make::Directory(mode) => {
            let _frame = t.frame("vfs_mkdir");
            let callback = ops.mkdir.ok_or(Errno::EPERM)?;
            invoke!(t, Mkdir, callback, inode, dentry, mode)
        }
        Make::Symlink(target) => {
            let _frame = t.frame("vfs_symlink");
            let callback = ops.symlink.ok_or(Errno::EPERM)?;
            invoke!(t, Symlink, callback, inode, dentry, target)
        }
        Make::Node(mode, device) => {
            let _frame = t.frame("vfs_mknod");
            let callback = ops.mknod.ok_or(Errno::EPERM)?;
            invoke!(t, Mknod, callback, inode, dentry, mode, device)
        }
    }
}

/// Whether a directory may be changed; one that was removed may not.
pub(crate) fn may_change(t: &Task, dir: &'static Inode) -> Result<()> {
    if dir.i_nlink.load(SeqCst) == 0 {
        return Err(Errno::ENOENT);
    }
    if dir.sb().s_flags.load(SeqCst) & super::types::mount_flags::RDONLY != 0 {
        return Err(Errno::EROFS);
    }
    inode_permission(t, dir, MAY_WRITE | MAY_EXEC)
}

/// Gives a file another name.
pub(crate) fn do_link(t: &Task, start: &Path, old: &str, new: &str) -> Result<()> {
    let source = super::namei::path_lookup(t, start, old, 0)?;
    let result = filename_parent(t, start, new).and_then(|(dir, last)| {
        let sb = dir.dentry.sb();
        sb_start_write(t, sb, WriteLevel::Write);
        let result = filename_create(t, &dir, last).and_then(|dentry| {
            let result = vfs_link(t, &source, &dir, dentry);
            done_path_create(t, &dir, dentry);
            result
        });
        sb_end_write(t, sb, WriteLevel::Write);
        path_put(t, &dir);
        result
    });
    path_put(t, &source);
    result
}

fn vfs_link(t: &Task, source: &Path, dir: &Path, dentry: &'static Dentry) -> Result<()> {
    let _frame = t.frame("vfs_link");
    let (inode, dir) = (source.inode().ok_or(Errno::ENOENT)?, dir.inode().ok_or(Errno::ENOENT)?);
    may_change(t, dir)?;
    if !std::ptr::eq(inode.sb(), dir.sb()) {
        return Err(Errno::EXDEV);
    }
    if inode.is_directory() {
        return Err(Errno::EPERM);
    }
    let callback = dir.i_op.get().and_then(|ops| ops.link).ok_or(Errno::EPERM)?;
    super::lease::break_lease(t, inode, true, false)?;
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let old = source.dentry;
    let result =
        if inode.i_nlink.load(SeqCst) == 0 { Err(Errno::ENOENT) } else { invoke!(t, Link, callback, old, dir, dentry) };
    inode.i_rwsem.release(t);
    result
}

/// Removes the name of a file, or a directory.
pub(crate) fn do_remove(t: &Task, start: &Path, name: &str, directory: bool) -> Result<()> {
    let (dir, last) = filename_parent(t, start, name)?;
    let sb = dir.dentry.sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let inode = dir.inode().ok_or(Errno::ENOENT)?;
    inode.i_rwsem.acquire_nested(t, Mode::Exclusive, Nest::Parent);
    let mut kept = None;
    let result = lookup_hash(t, dir.dentry, last).and_then(|dentry| {
        // The inode must not end while its directory is held.
        kept = dentry.inode().map(ihold);
        let result = if directory { vfs_rmdir(t, inode, dentry) } else { vfs_unlink(t, inode, dentry) };
        dput(t, dentry);
        result
    });
    inode.i_rwsem.release(t);
    if let Some(kept) = kept {
        super::inode::iput(t, kept);
    }
    sb_end_write(t, sb, WriteLevel::Write);
    path_put(t, &dir);
    result
}

fn vfs_unlink(t: &Task, dir: &'static Inode, dentry: &'static Dentry) -> Result<()> {
    let _frame = t.frame("vfs_unlink");
    let victim = dentry.inode().ok_or(Errno::ENOENT)?;
    may_change(t, dir)?;
    if victim.is_directory() {
        return Err(Errno::EISDIR);
    }
    let callback = dir.i_op.get().and_then(|ops| ops.unlink).ok_or(Errno::EPERM)?;
    super::lease::break_lease(t, victim, true, false)?;
    victim.i_rwsem.acquire(t, Mode::Exclusive);
    let result = invoke!(t, Unlink, callback, dir, dentry);
    victim.i_rwsem.release(t);
    if result.is_ok() {
        d_delete(t, dentry);
    }
    result
}

fn vfs_rmdir(t: &Task, dir: &'static Inode, dentry: &'static Dentry) -> Result<()> {
    let _frame = t.frame("vfs_rmdir");
    let victim = dentry.inode().ok_or(Errno::ENOENT)?;
    may_change(t, dir)?;
    if !victim.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if dentry.has(DentryFlag::MOUNTED) {
        return Err(Errno::EBUSY);
    }
    let callback = dir.i_op.get().and_then(|ops| ops.rmdir).ok_or(Errno::EPERM)?;
    victim.i_rwsem.acquire(t, Mode::Exclusive);
    super::dcache::shrink_dcache_parent(t, dentry);
    let result = invoke!(t, Rmdir, callback, dir, dentry);
    victim.i_rwsem.release(t);
    if result.is_ok() {
        d_delete(t, dentry);
        super::dcache::shrink_dcache_parent(t, dentry);
    }
    result
}

/// Renames.
pub(crate) fn do_rename(t: &Task, start: &Path, old: &str, new: &str, flags: u32) -> Result<()> {
    let (from, old_last) = filename_parent(t, start, old)?;
    let (to, new_last) = match filename_parent(t, start, new) {
        Ok(found) => found,
        Err(error) => {
            path_put(t, &from);
            return Err(error);
        }
    };
    let sb = from.dentry.sb();
    let result = if std::ptr::eq(sb, to.dentry.sb()) {
        sb_start_write(t, sb, WriteLevel::Write);
        let trap = lock_rename(t, from.dentry, to.dentry);
        let result = rename_locked(t, (from.dentry, old_last), (to.dentry, new_last), trap, flags);
        unlock_rename(t, from.dentry, to.dentry);
        sb_end_write(t, sb, WriteLevel::Write);
        // What was replaced ends with no directory held.
        match result {
            Ok(kept) => {
                for inode in kept {
                    super::inode::iput(t, inode);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    } else {
        Err(Errno::EXDEV)
    };
    path_put(t, &to);
    path_put(t, &from);
    result
}

/// Holds the two parents; gives the child of one that leads to the other.
fn lock_rename(t: &Task, a: &'static Dentry, b: &'static Dentry) -> Option<&'static Dentry> {
    let _frame = t.frame("lock_rename");
    let (Some(a_inode), Some(b_inode)) = (a.inode(), b.inode()) else { return None };
    if std::ptr::eq(a, b) {
        a_inode.i_rwsem.acquire_nested(t, Mode::Exclusive, Nest::Parent);
        return None;
    }
    a.sb().s_vfs_rename_mutex.lock(t);
    let (first, second, trap) = if let Some(child) = ancestor_child(a, b) {
        (a_inode, b_inode, Some(child))
    } else if let Some(child) = ancestor_child(b, a) {
        (b_inode, a_inode, Some(child))
    } else {
        (a_inode, b_inode, None)
    };
    first.i_rwsem.acquire_nested(t, Mode::Exclusive, Nest::Parent);
    second.i_rwsem.acquire_nested(t, Mode::Exclusive, Nest::Parent2);
    trap
}

/// The child of an ancestor on the way down to a dentry. Parents do not change under the rename mutex.
fn ancestor_child(ancestor: &'static Dentry, dentry: &'static Dentry) -> Option<&'static Dentry> {
    let mut at = dentry;
    while let Some(parent) = at.d_parent.get() {
        if std::ptr::eq(parent, ancestor) {
            return Some(at);
        }
        at = parent;
    }
    None
}

fn unlock_rename(t: &Task, a: &'static Dentry, b: &'static Dentry) {
    let (Some(a_inode), Some(b_inode)) = (a.inode(), b.inode()) else { return };
    a_inode.i_rwsem.release(t);
    if !std::ptr::eq(a, b) {
        b_inode.i_rwsem.release(t);
        a.sb().s_vfs_rename_mutex.release(t);
    }
}

type Name<'n> = (&'static Dentry, &'n str);

/// Looks source and target up and renames; gives inodes to drop once nothing is held.
fn rename_locked(
    t: &Task,
    (from, old_last): Name<'_>,
    (to, new_last): Name<'_>,
    trap: Option<&'static Dentry>,
    flags: u32,
) -> Result<Vec<&'static Inode>> {
    let source = lookup_hash(t, from, old_last)?;
    let target = match lookup_hash(t, to, new_last) {
        Ok(target) => target,
        Err(error) => {
            dput(t, source);
            return Err(error);
        }
    };
    let kept: Vec<_> = target.inode().into_iter().map(ihold).collect();
    let is_trap = |dentry: &'static Dentry| trap.is_some_and(|trap| std::ptr::eq(trap, dentry));
    let result = if source.inode().is_none() {
        Err(Errno::ENOENT)
    } else if is_trap(source) {
        Err(Errno::EINVAL)
    } else if is_trap(target) {
        Err(if flags & RENAME_EXCHANGE == 0 { Errno::ENOTEMPTY } else { Errno::EINVAL })
    } else {
        vfs_rename(t, (from, source), (to, target), flags)
    };
    dput(t, target);
    dput(t, source);
    match result {
        Ok(()) => Ok(kept),
        Err(error) => {
            // Others hold these: nothing ends here.
            for inode in kept {
                super::inode::iput(t, inode);
            }
            Err(error)
        }
    }
}

type Entry = (&'static Dentry, &'static Dentry);

fn vfs_rename(t: &Task, (from, source): Entry, (to, target): Entry, flags: u32) -> Result<()> {
    let _frame = t.frame("vfs_rename");
    let (Some(old_dir), Some(new_dir), Some(inode)) = (from.inode(), to.inode(), source.inode()) else {
        return Err(Errno::ENOENT);
    };
    may_change(t, old_dir)?;
    may_change(t, new_dir)?;
    let exchange = flags & RENAME_EXCHANGE != 0;
    let replaced = target.inode();
    check_kinds(inode, replaced, flags)?;
    if replaced.is_some_and(|replaced| std::ptr::eq(replaced, inode)) {
        return Ok(());
    }
    if [source, target].iter().any(|dentry| dentry.has(DentryFlag::MOUNTED)) {
        return Err(Errno::EBUSY);
    }
    let callback = old_dir.i_op.get().and_then(|ops| ops.rename).ok_or(Errno::EPERM)?;
    let cross = !std::ptr::eq(old_dir, new_dir);
    if inode.is_directory() && cross && is_subdir(t, to, source) {
        return Err(Errno::EINVAL);
    }
    let locked = lock_children(t, inode, replaced, cross, exchange);
    if !exchange {
        super::dcache::shrink_dcache_parent(t, target);
    }
    let result = invoke!(t, Rename, callback, old_dir, source, new_dir, target, flags);
    for child in locked.into_iter().rev() {
        child.i_rwsem.release(t);
    }
    if result.is_ok() {
        d_move(t, source, target, exchange);
        if !exchange {
            super::dcache::shrink_dcache_parent(t, target);
        }
    }
    result
}

fn check_kinds(inode: &'static Inode, replaced: Option<&'static Inode>, flags: u32) -> Result<()> {
    let exchange = flags & RENAME_EXCHANGE != 0;
    let Some(replaced) = replaced else { return if exchange { Err(Errno::ENOENT) } else { Ok(()) } };
    if flags & RENAME_NOREPLACE != 0 {
        return Err(Errno::EEXIST);
    }
    match (inode.is_directory(), replaced.is_directory()) {
        (true, false) if !exchange => Err(Errno::ENOTDIR),
        (false, true) if !exchange => Err(Errno::EISDIR),
        _ => Ok(()),
    }
}

/// Holds what is moved and what is replaced: directories that get another parent or go, then non-directories, each in
/// the order of addresses.
fn lock_children(
    t: &Task,
    source: &'static Inode,
    target: Option<&'static Inode>,
    cross: bool,
    exchange: bool,
) -> Vec<&'static Inode> {
    let _frame = t.frame("lock_two_nondirectories");
    let mut directories = Vec::new();
    let mut others = Vec::new();
    if source.kind() != Kind::Directory {
        others.push(source);
    } else if cross {
        directories.push(source);
    }
    if let Some(target) = target {
        if target.kind() != Kind::Directory {
            others.push(target);
        } else if !exchange || cross {
            directories.push(target);
        }
    }
    directories.sort_by_key(|inode| inode.address());
    others.sort_by_key(|inode| inode.address());
    directories.extend(others);
    for (inode, nest) in directories.iter().zip([Nest::Child, Nest::Child2]) {
        inode.i_rwsem.acquire_nested(t, Mode::Exclusive, nest);
    }
    directories
}
