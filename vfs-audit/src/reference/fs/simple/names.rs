//! Names: looking up, making, moving and removing.

use std::sync::atomic::Ordering::SeqCst;

use super::{backing, node_of, simple_iget, simple_new};
use crate::reference::fs::backing::Node;
use crate::reference::object::{Dentry, Errno, File, Inode, Kind, Path, Result, leaf};
use crate::reference::task::Task;
use crate::reference::vfs::attr::{generic_fillattr, setattr_copy};
use crate::reference::vfs::dcache::{d_add, d_instantiate};
use crate::reference::vfs::inode::{ihold, mark_inode_dirty};
use crate::reference::vfs::permission::generic_permission;
use crate::reference::vfs::types::rename_flags::RENAME_EXCHANGE;
use crate::reference::vfs::types::{Attributes, Stat};

pub(crate) fn simple_lookup(t: &Task, dir: &'static Inode, dentry: &'static Dentry, _flags: u32) -> Result<()> {
    let found = backing(dir.sb()).lookup(t, dir.number(), &dentry.name())?;
    let inode = found.map(|number| simple_iget(t, dir.sb(), number)).transpose()?;
    d_add(t, dentry, inode);
    Ok(())
}

/// Makes a file of a kind and binds its dentry.
fn make(t: &Task, dir: &'static Inode, dentry: &'static Dentry, mode: u32) -> Result<()> {
    let kind = Kind::of(mode);
    let nlink = if kind == Kind::Directory { 2 } else { 1 };
    let node = Node { mode, uid: t.uid.get(), nlink, size: 0 };
    let number = backing(dir.sb()).create(t, dir.number(), &dentry.name(), node)?;
    bind(t, dir, dentry, number)
}

fn bind(t: &Task, dir: &'static Inode, dentry: &'static Dentry, number: u64) -> Result<()> {
    let inode = simple_iget(t, dir.sb(), number)?;
    refresh_links(t, dir);
    mark_inode_dirty(t, dir);
    d_instantiate(t, dentry, inode);
    Ok(())
}

/// Takes over from the backing how many links an inode has.
fn refresh_links(t: &Task, inode: &'static Inode) {
    if let Ok(node) = backing(inode.sb()).node(t, inode.number()) {
        inode.i_nlink.store(node.nlink, SeqCst);
    }
    inode.i_mtime.store(t.kernel.now(), SeqCst);
}

pub(crate) fn simple_create(
    t: &Task,
    dir: &'static Inode,
    dentry: &'static Dentry,
    mode: u32,
    _exclusive: bool,
) -> Result<()> {
    make(t, dir, dentry, Kind::Regular.bits() | mode & 0o7777)
}

pub(crate) fn simple_mkdir(t: &Task, dir: &'static Inode, dentry: &'static Dentry, mode: u32) -> Result<()> {
    make(t, dir, dentry, Kind::Directory.bits() | mode & 0o7777)
}

pub(crate) fn simple_mknod(t: &Task, dir: &'static Inode, dentry: &'static Dentry, mode: u32, _: u32) -> Result<()> {
    make(t, dir, dentry, Kind::Device.bits() | mode & 0o7777)
}

pub(crate) fn simple_symlink(t: &Task, dir: &'static Inode, dentry: &'static Dentry, target: &str) -> Result<()> {
    let number = backing(dir.sb()).symlink(t, dir.number(), &dentry.name(), target)?;
    bind(t, dir, dentry, number)
}

pub(crate) fn simple_tmpfile(t: &Task, dir: &'static Inode, dentry: &'static Dentry, mode: u32) -> Result<()> {
    let node = Node { mode: Kind::Regular.bits() | mode & 0o7777, uid: t.uid.get(), nlink: 0, size: 0 };
    let number = backing(dir.sb()).create_unnamed(t, node)?;
    let inode = simple_new(t, dir.sb(), number, node);
    dentry.d_inode.set(Some(inode));
    Ok(())
}

pub(crate) fn simple_link(t: &Task, old: &'static Dentry, dir: &'static Inode, new: &'static Dentry) -> Result<()> {
    let inode = old.inode().ok_or(Errno::ENOENT)?;
    backing(dir.sb()).link(t, inode.number(), dir.number(), &new.name())?;
    refresh_links(t, inode);
    refresh_links(t, dir);
    mark_inode_dirty(t, inode);
    d_instantiate(t, new, ihold(inode));
    Ok(())
}

pub(crate) fn simple_unlink(t: &Task, dir: &'static Inode, dentry: &'static Dentry) -> Result<()> {
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    backing(dir.sb()).unlink(t, dir.number(), &dentry.name())?;
    refresh_links(t, inode);
    refresh_links(t, dir);
    mark_inode_dirty(t, dir);
    Ok(())
}

pub(crate) fn simple_rmdir(t: &Task, dir: &'static Inode, dentry: &'static Dentry) -> Result<()> {
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    backing(dir.sb()).rmdir(t, dir.number(), &dentry.name())?;
    inode.i_nlink.store(0, SeqCst);
    refresh_links(t, dir);
    mark_inode_dirty(t, dir);
    Ok(())
}

pub(crate) fn simple_rename(
    t: &Task,
    old_dir: &'static Inode,
    old: &'static Dentry,
    new_dir: &'static Inode,
    new: &'static Dentry,
    flags: u32,
) -> Result<()> {
    let exchange = flags & RENAME_EXCHANGE != 0;
    let (old_name, new_name) = (old.name(), new.name());
    let (from, to) = ((old_dir.number(), old_name.as_str()), (new_dir.number(), new_name.as_str()));
    backing(old_dir.sb()).rename(t, from, to, exchange)?;
    for inode in [Some(old_dir), Some(new_dir), old.inode()].into_iter().flatten() {
        refresh_links(t, inode);
        mark_inode_dirty(t, inode);
    }
    if let Some(replaced) = new.inode() {
        if replaced.is_directory() && !exchange {
            replaced.i_nlink.store(0, SeqCst);
        } else {
            refresh_links(t, replaced);
        }
    }
    Ok(())
}

pub(crate) fn simple_readlink(t: &Task, dentry: &'static Dentry) -> Result<String> {
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    backing(inode.sb()).target(t, inode.number())
}

/// In rcu-walk the target would have to be read, which may sleep: the walk starts again with references.
pub(crate) fn simple_get_link(t: &Task, dentry: Option<&'static Dentry>, inode: &'static Inode) -> Result<String> {
    if dentry.is_none() {
        return Err(Errno::ECHILD);
    }
    backing(inode.sb()).target(t, inode.number())
}

pub(crate) fn simple_permission(t: &Task, inode: &'static Inode, mask: i32) -> Result<()> {
    generic_permission(t, inode, mask)
}

pub(crate) fn simple_getattr(_: &Task, path: &Path) -> Result<Stat> {
    Ok(generic_fillattr(path.inode().ok_or(Errno::ENOENT)?))
}

/// Attributes, and the size with everything that hangs on it: the page cache is cut with `invalidate_lock` held.
pub(crate) fn simple_setattr(t: &Task, dentry: &'static Dentry, attributes: &Attributes) -> Result<()> {
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    if let Some(size) = attributes.size {
        super::set_size(t, inode, size)?;
    }
    setattr_copy(t, inode, attributes);
    backing(inode.sb()).set_node(t, inode.number(), node_of(inode))?;
    mark_inode_dirty(t, inode);
    Ok(())
}

pub(crate) fn simple_update_time(t: &Task, inode: &'static Inode, now: u64) {
    inode.i_atime.store(now, SeqCst);
    mark_inode_dirty(t, inode);
}

pub(crate) fn simple_fileattr_get(_: &Task, dentry: &'static Dentry) -> Result<u32> {
    Ok(dentry.inode().ok_or(Errno::ENOENT)?.i_flags.load(SeqCst))
}

pub(crate) fn simple_fileattr_set(t: &Task, dentry: &'static Dentry, flags: u32) -> Result<()> {
    let inode = dentry.inode().ok_or(Errno::ENOENT)?;
    inode.i_flags.store(flags, SeqCst);
    mark_inode_dirty(t, inode);
    Ok(())
}

/// The names of a directory, the shared way: several readers at once.
pub(crate) fn simple_iterate_shared(t: &Task, file: &'static File) -> Result<Vec<(String, u64)>> {
    let inode = file.inode();
    backing(inode.sb()).list(t, inode.number())
}

/// The same for a file system that keeps its place in the directory by itself, so that it must be alone.
pub(crate) fn simple_iterate(t: &Task, file: &'static File) -> Result<Vec<(String, u64)>> {
    let names = simple_iterate_shared(t, file)?;
    let mut place = leaf(&file.private_data);
    place.clear();
    place.extend((names.len() as u64).to_le_bytes());
    Ok(names)
}
