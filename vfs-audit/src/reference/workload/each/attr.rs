//! Extended attributes, access-control lists, quota.

use std::sync::atomic::Ordering::SeqCst;

use super::{expect_data, expect_error, pattern};
use crate::reference::object::open_flags::{O_CREAT, O_DIRECT, O_RDONLY, O_RDWR};
use crate::reference::object::{Errno, PAGE_SIZE, Result};
use crate::reference::task::Task;
use crate::reference::vfs::attr::{vfs_fileattr_get, vfs_fileattr_set, vfs_getxattr, vfs_listxattr, vfs_setxattr};
use crate::reference::vfs::mount::{sync_super, vfs_statfs};
use crate::reference::vfs::quota::dquot_writeback;
use crate::reference::vfs::reclaim::{invalidate_inode_pages2_range, shrink_page_list};
use crate::reference::vfs::types::Attributes;
use crate::reference::workload::user::User;

pub(super) fn attributes(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "attr", None)?;
    user.mkdir("dir")?;
    let file = user.open("dir/file", O_CREAT | O_RDWR)?;
    user.close(file)?;
    let set = |name: &'static str, value: Option<&[u8]>| {
        t.syscalls("setxattr", || user.at("dir/file", |t, path| vfs_setxattr(t, path.dentry, name, value)))
    };
    set("user.colour", Some(b"blue"))?;
    set("trusted.key", Some(b"secret"))?;
    let found =
        t.syscalls("getxattr", || user.at("dir/file", |t, path| vfs_getxattr(t, path.dentry, "user.colour")))?;
    expect_data(t, "an extended attribute", &found, b"blue");
    let names = t.syscalls("listxattr", || user.at("dir/file", |t, path| vfs_listxattr(t, path.dentry)))?;
    expect_data(t, "the list of attributes", names.join(",").as_bytes(), b"trusted.key,user.colour");
    set("user.colour", None)?;
    expect_error(t, "an attribute that is gone", set("user.colour", None), Errno::ENODATA);
    // User 7 may read and write, others nothing.
    set("system.acl", Some(&[7, 0, 0, 0, 6, 0, 0, 0]))?;
    user.change("dir/file", &Attributes { mode: Some(0o600), ..Attributes::default() })?;
    t.uid.set(7);
    let file = user.open("dir/file", O_RDONLY)?;
    user.close(file)?;
    t.uid.set(8);
    expect_error(t, "an open that is not allowed", user.open("dir/file", O_RDONLY), Errno::EACCES);
    t.uid.set(0);
    t.syscalls("ioctl", || user.at("dir/file", |t, path| vfs_fileattr_set(t, path.dentry, 0x20)))?;
    let flags = t.syscalls("ioctl", || user.at("dir/file", |t, path| vfs_fileattr_get(t, path.dentry)))?;
    expect_data(t, "flags", &flags.to_le_bytes(), &0x20u32.to_le_bytes());
    user.umount(false)
}

pub(super) fn quota(t: &Task) -> Result<()> {
    t.uid.set(1000);
    let user = User::mount(t, "attr", None)?;
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &[1; 3000], 0)?;
    let dquot = file.inode().i_dquot.get().ok_or(Errno::EIO)?;
    expect_data(t, "what is charged", &dquot.dq_used.load(SeqCst).to_le_bytes(), &3000u64.to_le_bytes());
    t.syscalls("quotactl", || dquot_writeback(t, user.sb()))?;
    dquot.dq_limit.store(5000, SeqCst);
    expect_error(t, "a write beyond the limit", user.write(file, &[2; 3000], 3000), Errno::EDQUOT);
    user.truncate("file", 1000)?;
    expect_data(t, "what is charged, cut off", &dquot.dq_used.load(SeqCst).to_le_bytes(), &1000u64.to_le_bytes());
    user.write(file, &[2; 100], 1000)?;
    user.close(file)?;
    t.syscalls("", || {
        crate::reference::vfs::dcache::shrink_dcache_parent(t, user.root.dentry);
        crate::reference::vfs::inode::prune_icache(t, user.sb())
    });
    let again = user.open("file", O_RDWR)?;
    let dquot = again.inode().i_dquot.get().ok_or(Errno::EIO)?;
    expect_data(t, "what the quota file says", &dquot.dq_used.load(SeqCst).to_le_bytes(), &1100u64.to_le_bytes());
    user.close(again)?;
    user.unlink("file")?;
    user.umount(false)
}

pub(super) fn data(t: &Task) -> Result<()> {
    t.uid.set(0);
    let user = User::mount(t, "attr", None)?;
    let model = pattern(11, 3 * PAGE_SIZE);
    let file = user.open("file", O_CREAT | O_RDWR)?;
    user.write(file, &model, 0)?;
    user.fsync(file)?;
    t.syscalls("", || shrink_page_list(t, file.mapping()));
    expect_data(t, "read as a list of pages", &user.read(file, model.len(), 0)?, &model);
    user.write(file, &model[..50], 0)?;
    // Dirty pages are laundered on their way out.
    t.syscalls("", || invalidate_inode_pages2_range(t, file.mapping(), 0, u64::MAX / 2))?;
    expect_data(t, "after laundering", &user.read(file, model.len(), 0)?, &model);
    user.close(file)?;
    let direct = user.open("file", O_RDWR | O_DIRECT)?;
    user.write(direct, &[9; 600], 100)?;
    expect_data(t, "past the cache", &user.read(direct, 600, 100)?, &[9; 600]);
    user.truncate("file", 10)?;
    user.close(direct)?;
    t.syscalls("statfs", || vfs_statfs(t, user.root.dentry))?;
    t.syscalls("syncfs", || sync_super(t, user.sb()))?;
    user.umount(false)
}
