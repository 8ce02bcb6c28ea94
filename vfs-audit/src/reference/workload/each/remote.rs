//! Names that a server may change, and mounts that are made on the way.

use super::{expect_data, expect_error};
use crate::reference::object::open_flags::{O_CREAT, O_RDONLY, O_RDWR};
use crate::reference::object::{Errno, Result};
use crate::reference::task::Task;
use crate::reference::vfs::dcache::shrink_dcache_parent;
use crate::reference::vfs::mount::vfs_statfs;
use crate::reference::workload::user::User;

pub(super) fn names(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "remote", None)?;
    user.mkdir("Dir")?;
    let file = user.open("dir/File", O_CREAT | O_RDWR)?;
    user.write(file, b"at the server", 0)?;
    expect_data(t, "a remote file", &user.read(file, 100, 0)?, b"at the server");
    user.fsync(file)?;
    user.close(file)?;
    expect_error(t, "an open of what is not there", user.open("dir/none", O_RDONLY), Errno::ENOENT);
    for _ in 0..4 {
        user.stat("DIR/file")?;
        user.stat("dir/.")?;
    }
    t.syscalls("", || shrink_dcache_parent(t, user.root.dentry));
    let file = user.open("dir/FILE", O_RDONLY)?;
    expect_data(t, "a remote file, opened at once", &user.read(file, 100, 0)?, b"at the server");
    user.close(file)?;
    let dir = user.open("dir", O_RDONLY)?;
    user.list(dir)?;
    user.close(dir)?;
    // Long after the server was last asked.
    for _ in 0..600 {
        t.kernel.now();
    }
    user.stat("dir/file")?;
    user.rename("dir/file", "dir/other", 0)?;
    user.unlink("dir/other")?;
    user.rmdir("dir")?;
    t.syscalls("statfs", || vfs_statfs(t, user.root.dentry))?;
    user.umount(true)
}

pub(super) fn mounts(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "remote", None)?;
    user.mkdir("auto1")?;
    t.syscalls("", || shrink_dcache_parent(t, user.root.dentry));
    user.mkdir("auto1/inside")?;
    user.stat("auto1/inside")?;
    user.stat("auto1/inside")?;
    let mounted = t.syscalls("stat", || user.at("auto1", |_, path| Ok(*path)))?;
    let inner = User { t, root: mounted };
    inner.umount(true)?;
    user.umount(true)
}
