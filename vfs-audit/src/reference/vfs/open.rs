//! Opening and closing files.

use std::sync::atomic::Ordering::SeqCst;

use super::attr::notify_change;
use super::dcache::{d_alloc, d_drop, d_lookup, d_real, dget, dput};
use super::inode::{ihold, iput};
use super::mount::{WriteLevel, sb_end_write, sb_start_write};
use super::namei::{filename_parent, hash_name, lookup_fast, lookup_hash, path_lookup, path_put};
use super::permission::inode_permission;
use super::types::Attributes;
use super::types::lookup_flags::LOOKUP_FOLLOW;
use super::types::may::{MAY_READ, MAY_WRITE};
use crate::reference::lock::{Mode, Nest};
use crate::reference::object::open_flags::{
    FASYNC, O_ACCMODE, O_CREAT, O_DIRECT, O_EXCL, O_RDONLY, O_TMPFILE, O_TRUNC, O_WRONLY,
};
use crate::reference::object::{Dentry, Errno, File, FileMode, Inode, Kind, Path, Result};
use crate::reference::task::{Task, invoke};

/// Opens a name.
pub(crate) fn do_open(t: &Task, start: &Path, name: &str, flags: u32, mode: u32) -> Result<&'static File> {
    let _frame = t.frame("path_openat");
    let file = t.kernel.slabs.files.allocate();
    let result = if flags & O_TMPFILE != 0 {
        open_tmpfile(t, start, name, file, flags, mode)
    } else if flags & O_CREAT != 0 {
        open_last(t, start, name, file, flags, mode)
    } else {
        match open_atomically(t, start, name, file, flags) {
            Some(result) => result,
            None => path_lookup(t, start, name, LOOKUP_FOLLOW).and_then(|path| open_path(t, &path, file, flags)),
        }
    };
    match result {
        Ok(()) => Ok(file),
        Err(error) => {
            t.kernel.slabs.files.free(file);
            Err(error)
        }
    }
}

/// Where the directory's file system opens by itself and the name is not in the cache, it is asked in one go.
fn open_atomically(t: &Task, start: &Path, name: &str, file: &'static File, flags: u32) -> Option<Result<()>> {
    let (dir, last) = filename_parent(t, start, name).ok()?;
    let inode = dir.inode().filter(|inode| inode.i_op.get().is_some_and(|ops| ops.atomic_open.is_some()));
    let known = match (inode, hash_name(t, dir.dentry, last)) {
        (Some(_), Ok(hashed)) if !last.is_empty() => lookup_fast(t, dir.dentry, &hashed).ok().flatten(),
        _ => {
            path_put(t, &dir);
            return None;
        }
    };
    if let Some(known) = known {
        dput(t, known);
        path_put(t, &dir);
        return None;
    }
    let inode = inode?;
    inode.i_rwsem.read(t);
    let result = atomic_open(t, &dir, inode, last, file, (flags, 0));
    inode.i_rwsem.release(t);
    path_put(t, &dir);
    Some(result)
}

/// Opens a name that may have to be made.
fn open_last(t: &Task, start: &Path, name: &str, file: &'static File, flags: u32, mode: u32) -> Result<()> {
    let _frame = t.frame("open_last_lookups");
    let (dir, last) = filename_parent(t, start, name)?;
    let result = open_in(t, &dir, last, file, flags, mode);
    path_put(t, &dir);
    result
}

fn open_in(t: &Task, dir: &Path, last: &str, file: &'static File, flags: u32, mode: u32) -> Result<()> {
    let inode = dir.inode().ok_or(Errno::ENOENT)?;
    let sb = inode.sb();
    sb_start_write(t, sb, WriteLevel::Write);
    inode.i_rwsem.acquire_nested(t, Mode::Exclusive, Nest::Parent);
    let made = if inode.i_op.get().is_some_and(|ops| ops.atomic_open.is_some()) {
        atomic_open(t, dir, inode, last, file, (flags, mode)).map(|()| None)
    } else {
        lookup_open(t, dir, inode, last, flags, mode).map(Some)
    };
    inode.i_rwsem.release(t);
    sb_end_write(t, sb, WriteLevel::Write);
    match made? {
        None => Ok(()),
        Some(dentry) => open_path(t, &Path { mnt: dir.mnt, dentry }, file, flags),
    }
}

/// Looks a name up in a directory that is held, and makes the file if there is none.
fn lookup_open(
    t: &Task,
    dir: &Path,
    inode: &'static Inode,
    last: &str,
    flags: u32,
    mode: u32,
) -> Result<&'static Dentry> {
    let _frame = t.frame("lookup_open");
    let dentry = lookup_hash(t, dir.dentry, last)?;
    let result = if dentry.inode().is_some() {
        if flags & O_EXCL != 0 { Err(Errno::EEXIST) } else { Ok(()) }
    } else {
        let callback = inode.i_op.get().and_then(|ops| ops.create).ok_or(Errno::EACCES);
        let exclusive = flags & O_EXCL != 0;
        super::directory::may_change(t, inode)
            .and(callback)
            .and_then(|callback| invoke!(t, Create, callback, inode, dentry, mode, exclusive))
    };
    match result {
        Ok(()) => Ok(dentry),
        Err(error) => {
            dput(t, dentry);
            Err(error)
        }
    }
}

fn atomic_open(
    t: &Task,
    dir: &Path,
    inode: &'static Inode,
    last: &str,
    file: &'static File,
    (flags, mode): (u32, u32),
) -> Result<()> {
    let _frame = t.frame("atomic_open");
    let callback = inode.i_op.get().and_then(|ops| ops.atomic_open).ok_or(Errno::ENOSYS)?;
    let last = hash_name(t, dir.dentry, last)?;
    if let Some(known) = d_lookup(t, dir.dentry, &last) {
        if known.inode().is_some() {
            if flags & O_EXCL != 0 {
                dput(t, known);
                return Err(Errno::EEXIST);
            }
            return open_path(t, &Path { mnt: dir.mnt, dentry: known }, file, flags);
        }
        d_drop(t, known);
        dput(t, known);
    }
    let dentry = d_alloc(t, dir.dentry, &last)?;
    let result = invoke!(t, AtomicOpen, callback, inode, dentry, file, flags, mode);
    match result {
        Ok(_) if dentry.inode().is_some() => {
            let path = Path { mnt: dir.mnt, dentry };
            open_path(t, &path, file, flags & !(O_EXCL | O_CREAT))
        }
        Ok(_) => {
            dput(t, dentry);
            // Another walk has found the file meanwhile: it is opened as any other.
            let known = d_lookup(t, dir.dentry, &last).filter(|known| known.inode().is_some());
            let known = known.ok_or(Errno::ENOENT)?;
            open_path(t, &Path { mnt: dir.mnt, dentry: known }, file, flags & !(O_EXCL | O_CREAT))
        }
        Err(error) => {
            dput(t, dentry);
            Err(error)
        }
    }
}

/// Makes a file without a name.
fn open_tmpfile(t: &Task, start: &Path, name: &str, file: &'static File, flags: u32, mode: u32) -> Result<()> {
    let _frame = t.frame("vfs_tmpfile");
    let dir = path_lookup(t, start, name, LOOKUP_FOLLOW)?;
    let inode = dir.inode().ok_or(Errno::ENOENT)?;
    let sb = inode.sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let result = inode.i_op.get().and_then(|ops| ops.tmpfile).ok_or(Errno::EOPNOTSUPP).and_then(|callback| {
        let child = d_alloc(t, dir.dentry, "#tmpfile")?;
        let made = invoke!(t, Tmpfile, callback, inode, child, mode);
        made.map(|()| child).inspect_err(|_| dput(t, child))
    });
    sb_end_write(t, sb, WriteLevel::Write);
    let result = result.and_then(|child| open_path(t, &Path { mnt: dir.mnt, dentry: child }, file, flags));
    path_put(t, &dir);
    result
}

/// Opens what a path leads to; the path's reference goes into the file, or is dropped.
fn open_path(t: &Task, path: &Path, file: &'static File, flags: u32) -> Result<()> {
    let result = may_open(t, path, flags).and_then(|()| do_dentry_open(t, path, file, flags));
    if result.is_err() {
        path_put(t, path);
    }
    result
}

fn may_open(t: &Task, path: &Path, flags: u32) -> Result<()> {
    let inode = path.inode().ok_or(Errno::ENOENT)?;
    let writes = flags & O_ACCMODE != O_RDONLY || flags & O_TRUNC != 0;
    match inode.kind() {
        Kind::Symlink => return Err(Errno::ELOOP),
        Kind::Directory if writes => return Err(Errno::EISDIR),
        Kind::Directory | Kind::Regular | Kind::Device => {}
    }
    let mask = match flags & O_ACCMODE {
        O_RDONLY => MAY_READ,
        O_WRONLY => MAY_WRITE,
        _ => MAY_READ | MAY_WRITE,
    };
    if flags & O_CREAT == 0 {
        inode_permission(t, inode, mask)?;
    }
    super::lease::break_lease(t, inode, writes, flags & crate::reference::object::open_flags::O_NONBLOCK != 0)
}

fn do_dentry_open(t: &Task, path: &Path, file: &'static File, flags: u32) -> Result<()> {
    let _frame = t.frame("do_dentry_open");
    let inode = path.inode().ok_or(Errno::ENOENT)?;
    // Whoever stands above another file system opens what is really there.
    let real = d_real(t, path.dentry);
    debug_assert!(real.inode().is_some(), "what is opened has an inode");
    ihold(inode);
    file.f_inode.set(Some(inode));
    file.f_mapping.set(Some(&inode.i_mapping));
    file.f_dentry.set(Some(path.dentry));
    file.f_mnt.set(Some(path.mnt));
    file.f_op.set(inode.i_fop.get());
    file.f_flags.store(flags & !(O_CREAT | O_EXCL | O_TRUNC), SeqCst);
    let mode = match flags & O_ACCMODE {
        O_RDONLY => FileMode::READ,
        O_WRONLY => FileMode::WRITE,
        _ => FileMode::READ | FileMode::WRITE,
    };
    file.f_mode.store(mode | FileMode::ATOMIC_POS, SeqCst);
    let writes = mode & FileMode::WRITE != 0;
    if writes {
        inode.i_writecount.fetch_add(1, SeqCst);
        file.f_writes.store(true, SeqCst);
    }
    let opened = match file.ops().open {
        Some(callback) => invoke!(t, Open, callback, inode, file),
        None => Ok(()),
    };
    let opened = opened.and_then(|()| if flags & O_TRUNC != 0 { truncate_opened(t, path, inode) } else { Ok(()) });
    if let Err(error) = opened {
        drop_write(file, inode);
        iput(t, inode);
        return Err(error);
    }
    Ok(())
}

fn truncate_opened(t: &Task, path: &Path, inode: &'static Inode) -> Result<()> {
    let sb = inode.sb();
    sb_start_write(t, sb, WriteLevel::Write);
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let result = notify_change(t, path.dentry, &Attributes { size: Some(0), ..Attributes::default() });
    inode.i_rwsem.release(t);
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

fn drop_write(file: &'static File, inode: &'static Inode) {
    if file.f_writes.swap(false, SeqCst) {
        inode.i_writecount.fetch_sub(1, SeqCst);
    }
}

/// Takes a reference on an open file.
pub(crate) fn get_file(file: &'static File) -> &'static File {
    file.f_count.fetch_add(1, SeqCst);
    file
}

/// `close(2)`: what is buffered for the descriptor goes, and the descriptor's reference.
pub(crate) fn filp_close(t: &Task, file: &'static File) -> Result<()> {
    let _frame = t.frame("filp_close");
    let result = match file.ops().flush {
        Some(callback) => invoke!(t, Flush, callback, file),
        None => Ok(()),
    };
    super::filelock::remove_posix(t, file);
    fput(t, file);
    result
}

/// Drops a reference; the last one ends the open file.
pub(crate) fn fput(t: &Task, file: &'static File) {
    if file.f_count.fetch_sub(1, SeqCst) > 1 {
        return;
    }
    let _frame = t.frame("__fput");
    let inode = file.inode();
    super::filelock::remove_all(t, file);
    if file.f_flags.load(SeqCst) & FASYNC != 0
        && let Some(callback) = file.ops().fasync
    {
        let (descriptor, on) = (-1, 0);
        // What is left to do at a close cannot fail any more.
        let _ = invoke!(t, Fasync, callback, descriptor, file, on);
    }
    if let Some(callback) = file.ops().release {
        // The result of a release is ignored by everybody.
        let _ = invoke!(t, Release, callback, inode, file);
    }
    drop_write(file, inode);
    let path = file.path();
    iput(t, inode);
    dput(t, path.dentry);
    t.kernel.rcu.call(Box::new(move |t| t.kernel.slabs.files.free(file)));
}

/// A second dentry reference for a file that is opened by a path that others keep.
pub(crate) fn reopen(t: &Task, path: &Path, flags: u32) -> Result<&'static File> {
    let file = t.kernel.slabs.files.allocate();
    dget(t, path.dentry);
    match open_path(t, path, file, flags) {
        Ok(()) => Ok(file),
        Err(error) => {
            t.kernel.slabs.files.free(file);
            Err(error)
        }
    }
}

/// Changes the flags of an open file.
pub(crate) fn setfl(t: &Task, file: &'static File, flags: u32) -> Result<()> {
    let _frame = t.frame("setfl");
    if let Some(callback) = file.ops().check_flags {
        let asked = flags.cast_signed();
        invoke!(t, CheckFlags, callback, asked)?;
    }
    let (was, on) = (file.f_flags.load(SeqCst) & FASYNC != 0, flags & FASYNC != 0);
    if was != on
        && let Some(callback) = file.ops().fasync
    {
        let (descriptor, on) = (3, i32::from(on));
        invoke!(t, Fasync, callback, descriptor, file, on)?;
    }
    let keep = file.f_flags.load(SeqCst) & (O_ACCMODE | FASYNC);
    file.f_flags.store(keep | flags & (O_DIRECT | crate::reference::object::open_flags::O_APPEND), SeqCst);
    Ok(())
}
