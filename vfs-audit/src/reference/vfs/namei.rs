//! Path walk: rcu-walk first, without references, then ref-walk where that does not do.

use std::sync::atomic::Ordering::SeqCst;

use super::dcache::{Legitimate, d_alloc, d_drop, d_lookup, d_lookup_rcu, dget, dput, legitimize};
use super::mount::{follow_mount, lookup_mount};
use super::permission::inode_permission;
use super::types::lookup_flags::{LOOKUP_DIRECTORY, LOOKUP_FOLLOW, LOOKUP_RCU};
use super::types::may::{MAY_EXEC, MAY_NOT_BLOCK};
use crate::reference::lock::{Mode, Nest};
use crate::reference::object::{Dentry, DentryFlag, Errno, Inode, Kind, Path, Result};
use crate::reference::task::{Task, invoke};

/// Symbolic links in one walk.
const LINKS_MAX: u32 = 40;

/// A walk under way.
struct Walk {
    at: Path,
    flags: u32,
    links: u32,
    /// In rcu-walk: the sequence of the dentry where the walk is.
    sequence: u32,
}

/// The path of a name, from a directory; with a reference.
pub(crate) fn path_lookup(t: &Task, start: &Path, name: &str, flags: u32) -> Result<Path> {
    let _frame = t.frame("path_lookupat");
    match rcu_walk(t, start, name, flags) {
        Err(Errno::ECHILD) => {}
        result => return result,
    }
    dget(t, start.dentry);
    let mut walk = Walk { at: *start, flags: flags & !LOOKUP_RCU, links: 0, sequence: 0 };
    let result = link_path_walk(t, &mut walk, name).and_then(|()| complete_walk(t, &walk, name));
    match result {
        Ok(()) => Ok(walk.at),
        Err(error) => {
            dput(t, walk.at.dentry);
            Err(error)
        }
    }
}

/// Drops the reference of a path.
pub(crate) fn path_put(t: &Task, path: &Path) {
    dput(t, path.dentry);
}

fn rcu_walk(t: &Task, start: &Path, name: &str, flags: u32) -> Result<Path> {
    t.set_rcu_walk(true);
    let sequence = start.dentry.d_seq.load(SeqCst);
    let mut walk = Walk { at: *start, flags: flags | LOOKUP_RCU, links: 0, sequence };
    let walked = link_path_walk(t, &mut walk, name).map(|()| legitimize(t, walk.at.dentry, walk.sequence));
    t.set_rcu_walk(false);
    match walked? {
        Legitimate::Yes => {}
        Legitimate::Gone => return Err(Errno::ECHILD),
        Legitimate::Changed => {
            dput(t, walk.at.dentry);
            return Err(Errno::ECHILD);
        }
    }
    match complete_walk(t, &walk, name) {
        Ok(()) => Ok(walk.at),
        Err(error) => {
            dput(t, walk.at.dentry);
            Err(error)
        }
    }
}

/// What is left to ask at the end: whether what was reached otherwise than by name is still valid.
fn complete_walk(t: &Task, walk: &Walk, name: &str) -> Result<()> {
    let _frame = t.frame("complete_walk");
    let dentry = walk.at.dentry;
    let jumped = name.is_empty() || name.ends_with('.');
    if jumped && let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_weak_revalidate) {
        let flags = walk.flags & !LOOKUP_RCU;
        if !invoke!(t, DWeakRevalidate, callback, dentry, flags)? {
            return Err(Errno::ESTALE);
        }
    }
    if walk.flags & LOOKUP_DIRECTORY != 0 && !dentry.inode().is_some_and(Inode::is_directory) {
        return Err(Errno::ENOTDIR);
    }
    Ok(())
}

/// Walks all components of a name.
fn link_path_walk(t: &Task, walk: &mut Walk, name: &str) -> Result<()> {
    let _frame = t.frame("link_path_walk");
    let mut parts: Vec<String> = name.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned).collect();
    while let Some(part) = parts.pop() {
        let inode = walk.at.inode().ok_or(Errno::ENOENT)?;
        if inode.kind() != Kind::Directory {
            return Err(if walk.is_rcu() { Errno::ECHILD } else { Errno::ENOTDIR });
        }
        let mask = if walk.is_rcu() { MAY_EXEC | MAY_NOT_BLOCK } else { MAY_EXEC };
        inode_permission(t, inode, mask)?;
        match part.as_str() {
            "." => {}
            ".." => up(t, walk)?,
            name => step(t, walk, name)?,
        }
        let follow = !parts.is_empty() || walk.flags & LOOKUP_FOLLOW != 0;
        if follow && let Some(target) = link_target(t, walk)? {
            walk.links += 1;
            if walk.links > LINKS_MAX {
                return Err(Errno::ELOOP);
            }
            if target.starts_with('/') {
                go_to_root(t, walk);
            } else {
                up(t, walk)?;
            }
            parts.extend(target.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned));
        }
    }
    Ok(())
}

impl Walk {
    fn is_rcu(&self) -> bool {
        self.flags & LOOKUP_RCU != 0
    }

    /// Goes on to a dentry; its reference, in ref-walk, goes with it.
    fn go(&mut self, t: &Task, dentry: &'static Dentry) {
        if !self.is_rcu() {
            dput(t, self.at.dentry);
        }
        self.at.dentry = dentry;
    }
}

fn go_to_root(t: &Task, walk: &mut Walk) {
    let root = walk.at.mnt.mnt_root.get().unwrap_or(walk.at.dentry);
    if !walk.is_rcu() {
        dget(t, root);
    }
    walk.sequence = root.d_seq.load(SeqCst);
    walk.go(t, root);
}

fn up(t: &Task, walk: &mut Walk) -> Result<()> {
    let dentry = walk.at.dentry;
    if walk.is_rcu() {
        let parent = dentry.d_parent.get().unwrap_or(dentry);
        walk.sequence = parent.d_seq.load(SeqCst);
        if dentry.has(DentryFlag::DEAD) || walk.sequence % 2 == 1 {
            return Err(Errno::ECHILD);
        }
        walk.at.dentry = parent;
        return Ok(());
    }
    dentry.d_lock.lock(t);
    let parent = dentry.d_parent.get().unwrap_or(dentry);
    parent.d_count.fetch_add(1, SeqCst);
    dentry.d_lock.release(t);
    walk.go(t, parent);
    Ok(())
}

/// The name as its file system hashes it.
pub(crate) fn hash_name(t: &Task, dir: &'static Dentry, name: &str) -> Result<String> {
    let _frame = t.frame("hash_name");
    match dir.d_op.get().and_then(|ops| ops.d_hash) {
        Some(callback) => invoke!(t, DHash, callback, dir, name),
        None => Ok(name.to_owned()),
    }
}

fn step(t: &Task, walk: &mut Walk, name: &str) -> Result<()> {
    let _frame = t.frame("walk_component");
    let name = hash_name(t, walk.at.dentry, name)?;
    let dentry = if walk.is_rcu() {
        let (dentry, sequence) = lookup_fast_rcu(t, walk, &name)?;
        walk.sequence = sequence;
        dentry
    } else {
        match lookup_fast(t, walk.at.dentry, &name)? {
            Some(dentry) => dentry,
            None => lookup_slow(t, walk.at.dentry, &name, walk.flags)?,
        }
    };
    if dentry.inode().is_none() {
        if !walk.is_rcu() {
            dput(t, dentry);
            return Err(Errno::ENOENT);
        }
        // That there is no such file must be said about a dentry that is still the same.
        let legitimate = legitimize(t, dentry, walk.sequence);
        if legitimate != Legitimate::Gone {
            t.set_rcu_walk(false);
            dput(t, dentry);
            t.set_rcu_walk(true);
        }
        return Err(if legitimate == Legitimate::Yes { Errno::ENOENT } else { Errno::ECHILD });
    }
    walk.go(t, dentry);
    handle_mounts(t, walk)
}

fn lookup_fast_rcu(t: &Task, walk: &Walk, name: &str) -> Result<(&'static Dentry, u32)> {
    let _frame = t.frame("lookup_fast");
    let parent = walk.at.dentry;
    let (dentry, sequence) = d_lookup_rcu(t, parent, name).ok_or(Errno::ECHILD)?;
    if parent.d_seq.load(SeqCst) != walk.sequence {
        return Err(Errno::ECHILD);
    }
    if let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_revalidate) {
        let flags = walk.flags;
        if !invoke!(t, DRevalidate, callback, dentry, flags)? {
            return Err(Errno::ECHILD);
        }
    }
    Ok((dentry, sequence))
}

/// The dentry of a name if it is known and still valid; with a reference.
pub(crate) fn lookup_fast(t: &Task, parent: &'static Dentry, name: &str) -> Result<Option<&'static Dentry>> {
    let _frame = t.frame("lookup_fast");
    let Some(dentry) = d_lookup(t, parent, name) else { return Ok(None) };
    let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_revalidate) else { return Ok(Some(dentry)) };
    let flags = 0u32;
    match invoke!(t, DRevalidate, callback, dentry, flags) {
        Ok(true) => Ok(Some(dentry)),
        Ok(false) => {
            d_drop(t, dentry);
            dput(t, dentry);
            Ok(None)
        }
        Err(error) => {
            dput(t, dentry);
            Err(error)
        }
    }
}

/// Asks the file system for a name, with the directory held shared.
fn lookup_slow(t: &Task, parent: &'static Dentry, name: &str, flags: u32) -> Result<&'static Dentry> {
    let _frame = t.frame("lookup_slow");
    let dir = parent.inode().ok_or(Errno::ENOENT)?;
    dir.i_rwsem.read(t);
    let result = lookup_locked(t, dir, parent, name, flags);
    dir.i_rwsem.release(t);
    result
}

/// Asks the file system for a name in a directory that the caller holds.
fn lookup_locked(
    t: &Task,
    dir: &'static Inode,
    parent: &'static Dentry,
    name: &str,
    flags: u32,
) -> Result<&'static Dentry> {
    if let Some(dentry) = lookup_fast(t, parent, name)? {
        return Ok(dentry);
    }
    if dir.i_nlink.load(SeqCst) == 0 {
        return Err(Errno::ENOENT);
    }
    let dentry = d_alloc(t, parent, name)?;
    let callback = dir.i_op.get().and_then(|ops| ops.lookup).ok_or(Errno::ENOTDIR)?;
    let flags = flags & !LOOKUP_RCU;
    if let Err(error) = invoke!(t, Lookup, callback, dir, dentry, flags) {
        dput(t, dentry);
        return Err(error);
    }
    if dentry.has(DentryFlag::HASHED) {
        return Ok(dentry);
    }
    // Somebody else has looked the name up meanwhile.
    dput(t, dentry);
    d_lookup(t, parent, name).ok_or(Errno::ENOENT)
}

/// The dentry of a name, negative or not, in a directory that the caller holds.
pub(crate) fn lookup_hash(t: &Task, parent: &'static Dentry, name: &str) -> Result<&'static Dentry> {
    let _frame = t.frame("__lookup_hash");
    let dir = parent.inode().ok_or(Errno::ENOENT)?;
    let name = hash_name(t, parent, name)?;
    lookup_locked(t, dir, parent, &name, 0)
}

fn handle_mounts(t: &Task, walk: &mut Walk) -> Result<()> {
    let _frame = t.frame("handle_mounts");
    let dentry = walk.at.dentry;
    if !dentry.has(DentryFlag::MOUNTED | DentryFlag::NEED_AUTOMOUNT | DentryFlag::MANAGE_TRANSIT) {
        return Ok(());
    }
    let path = walk.at;
    let rcu = walk.is_rcu();
    if dentry.has(DentryFlag::MANAGE_TRANSIT)
        && let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_manage)
    {
        let path = &path;
        invoke!(t, DManage, callback, path, rcu)?;
    }
    if rcu {
        let Some(mount) = lookup_mount(t, dentry) else {
            return if dentry.has(DentryFlag::NEED_AUTOMOUNT) { Err(Errno::ECHILD) } else { Ok(()) };
        };
        let root = mount.mnt_root.get().ok_or(Errno::ECHILD)?;
        walk.sequence = root.d_seq.load(SeqCst);
        walk.at = Path { mnt: mount, dentry: root };
        return Ok(());
    }
    if let Some(mounted) = follow_mount(t, &path)? {
        dget(t, mounted.dentry);
        dput(t, dentry);
        walk.at = mounted;
    }
    Ok(())
}

/// Where a symbolic link leads, if the walk stands on one.
fn link_target(t: &Task, walk: &Walk) -> Result<Option<String>> {
    let dentry = walk.at.dentry;
    let Some(inode) = dentry.inode().filter(|inode| inode.kind() == Kind::Symlink) else { return Ok(None) };
    let _frame = t.frame("pick_link");
    let callback = inode.i_op.get().and_then(|ops| ops.get_link).ok_or(Errno::EINVAL)?;
    let passed = if walk.is_rcu() { None } else { Some(dentry) };
    invoke!(t, GetLink, callback, passed, inode).map(Some)
}

/// Splits a name into its directory's and its last part.
pub(crate) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// The directory of a name, with a reference, and the last part.
pub(crate) fn filename_parent<'n>(t: &Task, start: &Path, name: &'n str) -> Result<(Path, &'n str)> {
    let (dir, last) = split(name);
    let path = path_lookup(t, start, dir, LOOKUP_FOLLOW | LOOKUP_DIRECTORY)?;
    Ok((path, last))
}

/// Holds a directory exclusive and gives the negative dentry of a name to make in it.
pub(crate) fn filename_create(t: &Task, dir: &Path, last: &str) -> Result<&'static Dentry> {
    let _frame = t.frame("filename_create");
    let inode = dir.inode().ok_or(Errno::ENOENT)?;
    inode.i_rwsem.acquire_nested(t, Mode::Exclusive, Nest::Parent);
    let result = match lookup_hash(t, dir.dentry, last) {
        Ok(dentry) if dentry.inode().is_some() => {
            dput(t, dentry);
            Err(Errno::EEXIST)
        }
        result => result,
    };
    if result.is_err() {
        inode.i_rwsem.release(t);
    }
    result
}

/// Ends what [`filename_create`] began.
pub(crate) fn done_path_create(t: &Task, dir: &Path, dentry: &'static Dentry) {
    dput(t, dentry);
    if let Some(inode) = dir.inode() {
        inode.i_rwsem.release(t);
    }
}
