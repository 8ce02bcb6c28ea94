//! The tree of names, on a file system with every op for it.

use super::expect_error;
use crate::reference::fs::new_device;
use crate::reference::object::open_flags::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TMPFILE};
use crate::reference::object::{Errno, Result};
use crate::reference::task::{Task, invoke};
use crate::reference::vfs::attr::{vfs_fileattr_get, vfs_fileattr_set};
use crate::reference::vfs::dcache::d_path;
use crate::reference::vfs::directory::Make;
use crate::reference::vfs::inode::prune_icache;
use crate::reference::vfs::mount::{do_remount, show_mounts, sync_super, vfs_statfs, vfs_ustat};
use crate::reference::vfs::types::Attributes;
use crate::reference::vfs::types::rename_flags::{RENAME_EXCHANGE, RENAME_NOREPLACE};
use crate::reference::workload::user::User;

/// Blocks of a scenario's disk.
pub(super) const DISK_BLOCKS: u64 = 4096;

pub(super) fn memory(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "memory", None)?;
    tree(&user)?;
    renames(&user)?;
    unnamed(&user)?;
    whole(&user)?;
    t.uid.set(1000);
    user.stat("d")?;
    user.umount(false)
}

pub(super) fn disk(t: &Task) -> Result<()> {
    t.uid.set(0);
    let device = new_device(t.kernel, DISK_BLOCKS, t.below(u64::MAX));
    let user = User::mount(t, "disk", Some(device))?;
    tree(&user)?;
    renames(&user)?;
    unnamed(&user)?;
    flags(&user)?;
    whole(&user)?;
    user.umount(false)?;
    // What was unmounted is there again.
    let again = User::mount(t, "disk", Some(device))?;
    again.stat("d/b")?;
    again.umount(false)
}

fn tree(user: &User<'_, '_>) -> Result<()> {
    let t = user.t;
    user.mkdir("d")?;
    user.mkdir("e")?;
    user.make("d/made", Make::File(0o600))?;
    user.make("d/node", Make::Node(0o600, 7))?;
    let file = user.open("d/a", O_CREAT | O_RDWR)?;
    user.write(file, b"some data", 0)?;
    user.close(file)?;
    expect_error(t, "an exclusive open", user.open("d/a", O_CREAT | O_EXCL | O_RDWR), Errno::EEXIST);
    user.link("d/a", "e/b")?;
    user.symlink("a", "d/s")?;
    user.symlink("/e/b", "e/t")?;
    let target = user.t.syscalls("readlinkat", || readlink(user, "d/s"))?;
    super::expect_data(t, "a symbolic link", target.as_bytes(), b"a");
    for name in ["d/s", "e/t", "e/../d/./a", "d/.", ""] {
        user.stat(name)?;
    }
    expect_error(t, "a name that is not there", user.stat("d/none"), Errno::ENOENT);
    expect_error(t, "a name that is not there, again", user.stat("d/none"), Errno::ENOENT);
    user.change("d/a", &Attributes { mode: Some(0o640), ..Attributes::default() })?;
    let dir = user.open("d", O_RDONLY)?;
    let names = user.list(dir)?;
    user.seek(dir, 0, 0)?;
    user.close(dir)?;
    if !names.iter().any(|(name, _)| name == "a") {
        expect_error::<()>(t, "a listing without its file", Ok(()), Errno::EIO);
    }
    user.unlink("d/made")?;
    expect_error(t, "a directory that is not empty", user.rmdir("d"), Errno::ENOTEMPTY);
    user.mkdir("d/sub")?;
    user.rmdir("d/sub")
}

/// The link itself, not what it leads to.
fn readlink(user: &User<'_, '_>, name: &str) -> Result<String> {
    let t = user.t;
    let path = crate::reference::vfs::namei::path_lookup(t, &user.root, name, 0)?;
    let dentry = path.dentry;
    let callback = path.inode().and_then(|inode| inode.i_op.get()).and_then(|ops| ops.readlink);
    let _frame = t.frame("vfs_readlink");
    let result = callback.ok_or(Errno::EINVAL).and_then(|callback| invoke!(t, Readlink, callback, dentry));
    crate::reference::vfs::namei::path_put(t, &path);
    result
}

/// Every kind of rename that a rule tells apart.
fn renames(user: &User<'_, '_>) -> Result<()> {
    let t = user.t;
    for name in ["d/1", "d/2", "e/3", "e/4"] {
        user.make(name, Make::File(0o600))?;
    }
    for name in ["d/x", "d/y", "e/z", "e/w"] {
        user.mkdir(name)?;
    }
    user.rename("d/1", "d/one", 0)?;
    user.rename("d/one", "d/2", 0)?;
    user.rename("d/2", "e/3", 0)?;
    user.rename("e/3", "d/b", 0)?;
    user.rename("d/b", "e/4", RENAME_EXCHANGE)?;
    expect_error(t, "a rename over what is there", user.rename("d/b", "e/4", RENAME_NOREPLACE), Errno::EEXIST);
    user.rename("d/x", "d/y", 0)?;
    user.rename("d/y", "e/z", 0)?;
    user.rename("e/z", "d/x", 0)?;
    user.rename("d/x", "e/w", RENAME_EXCHANGE)?;
    user.rename("d/x", "d/b", RENAME_EXCHANGE)?;
    user.rename("d/b", "d/x", RENAME_EXCHANGE)?;
    user.rename("d/b", "e/w", RENAME_EXCHANGE)?;
    user.rename("e/w", "d/b", RENAME_EXCHANGE)?;
    user.mkdir("d/x/deep")?;
    expect_error(t, "a directory into itself", user.rename("d/x", "d/x/deep/x", 0), Errno::EINVAL);
    expect_error(t, "over its own parent", user.rename("d/x/deep", "d", 0), Errno::ENOTEMPTY);
    user.rename("d/x/deep", "deep", 0)?;
    user.rename("deep", "d/x/deep", 0)
}

/// Files without a name, and the inode that goes with the last close.
fn unnamed(user: &User<'_, '_>) -> Result<()> {
    let file = user.open("d", O_TMPFILE | O_RDWR)?;
    user.write(file, b"nobody will know", 0)?;
    let path = file.path();
    user.t.syscalls("readlinkat", || d_path(user.t, &path));
    user.close(file)?;
    let file = user.open("d/gone", O_CREAT | O_RDWR)?;
    user.unlink("d/gone")?;
    user.write(file, b"still here", 0)?;
    user.close(file)
}

fn flags(user: &User<'_, '_>) -> Result<()> {
    user.t.syscalls("ioctl", || user.at("d/b", |t, path| vfs_fileattr_get(t, path.dentry)))?;
    user.t.syscalls("ioctl", || user.at("d/b", |t, path| vfs_fileattr_set(t, path.dentry, 0x10)))
}

/// What concerns the whole file system.
fn whole(user: &User<'_, '_>) -> Result<()> {
    let (t, sb) = (user.t, user.sb());
    t.syscalls("statfs", || vfs_statfs(t, user.root.dentry))?;
    t.syscalls("ustat", || vfs_ustat(t, sb.s_dev.load(std::sync::atomic::Ordering::SeqCst)))?;
    t.syscalls("read", || show_mounts(t));
    t.syscalls("syncfs", || sync_super(t, sb))?;
    t.syscalls("mount", || do_remount(t, sb, 1))?;
    expect_error(t, "a write to a read-only file system", user.mkdir("d/ro"), Errno::EROFS);
    t.syscalls("mount", || do_remount(t, sb, 0))?;
    t.syscalls("", || {
        crate::reference::vfs::dcache::shrink_dcache_parent(t, user.root.dentry);
        prune_icache(t, sb)
    });
    Ok(())
}
