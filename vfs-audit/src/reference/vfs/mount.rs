//! Superblocks and mounts: from `mount(2)` to the end of `umount(2)`.

use std::sync::atomic::Ordering::SeqCst;

use super::dcache::{dget, dput, shrink_dcache_for_umount};
use super::inode::evict_inodes;
use super::types::Statfs;
use super::writeback::writeback_sb_inodes;
use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::{
    BlockDevice, Dentry, DentryFlag, Errno, FileSystemType, FreezeLevel, Mount, Path, Result, SuperBlock, leaf,
};
use crate::reference::task::{Task, invoke};

/// A new superblock of a type, held for write: what a file system's `mount` fills.
pub(crate) fn sget(
    t: &Task,
    kind: &'static FileSystemType,
    device: Option<&'static BlockDevice>,
) -> &'static SuperBlock {
    let _frame = t.frame("sget");
    let sb = t.kernel.slabs.super_blocks.allocate();
    sb.s_umount.acquire(t, Mode::Exclusive);
    sb.s_type.set(Some(kind));
    sb.s_bdev.set(device);
    sb.s_dev.store(t.kernel.globals.next_device.fetch_add(1, SeqCst), SeqCst);
    leaf(&t.kernel.globals.super_blocks).push(sb);
    sb
}

/// Mounts a file system, in the tree of names if a place is given.
pub(crate) fn do_mount(
    t: &Task,
    name: &str,
    flags: u32,
    device: Option<&'static BlockDevice>,
    at: Option<&Path>,
) -> Result<Path> {
    let _frame = t.frame("vfs_get_tree");
    let kind = t.kernel.file_system(name).ok_or(Errno::ENODEV)?;
    let callback = kind.ops.mount.ok_or(Errno::ENODEV)?;
    let root = invoke!(t, Mount, callback, kind, flags, device)?;
    let sb = root.sb();
    if t.holds(&sb.s_umount) {
        sb.s_umount.release(t);
    }
    Ok(attach(t, sb, root, at))
}

/// Puts a superblock's root into the tree of names.
fn attach(t: &Task, sb: &'static SuperBlock, root: &'static Dentry, at: Option<&Path>) -> Path {
    let _frame = t.frame("attach_recursive_mnt");
    let mount = t.kernel.slabs.mounts.allocate();
    mount.mnt_sb.set(Some(sb));
    mount.mnt_root.set(Some(root));
    let globals = &t.kernel.globals;
    globals.namespace_sem.acquire(t, Mode::Exclusive);
    if let Some(at) = at {
        dget(t, at.dentry);
        mount.mnt_mountpoint.set(Some(at.dentry));
        mount.mnt_parent.set(Some(at.mnt));
        at.dentry.d_flags.fetch_or(DentryFlag::MOUNTED, SeqCst);
    }
    leaf(&globals.mounts).push(mount);
    globals.namespace_sem.release(t);
    Path { mnt: mount, dentry: root }
}

/// What is mounted on a dentry.
pub(crate) fn lookup_mount(t: &Task, dentry: &'static Dentry) -> Option<&'static Mount> {
    if !dentry.has(DentryFlag::MOUNTED) {
        return None;
    }
    let mounts = leaf(&t.kernel.globals.mounts);
    mounts.iter().copied().find(|mount| mount.mnt_mountpoint.get().is_some_and(|at| std::ptr::eq(at, dentry)))
}

/// Goes from a mount point to what is mounted on it, mounting it first where the dentry asks for that.
pub(crate) fn follow_mount(t: &Task, path: &Path) -> Result<Option<Path>> {
    let _frame = t.frame("traverse_mounts");
    if lookup_mount(t, path.dentry).is_none() && path.dentry.has(DentryFlag::NEED_AUTOMOUNT) {
        let callback = path.dentry.d_op.get().and_then(|ops| ops.d_automount).ok_or(Errno::EINVAL)?;
        let sb = invoke!(t, DAutomount, callback, path)?;
        attach(t, sb, sb.root(), Some(path));
    }
    let mount = lookup_mount(t, path.dentry);
    Ok(mount.and_then(|mnt| mnt.mnt_root.get().map(|dentry| Path { mnt, dentry })))
}

/// Takes a mount out of the tree and ends its superblock when that was its last.
pub(crate) fn do_umount(t: &Task, root: &Path, force: bool) -> Result<()> {
    let _frame = t.frame("do_umount");
    let mount = root.mnt;
    let sb = mount.mnt_sb.get().ok_or(Errno::EINVAL)?;
    if force && let Some(callback) = sb.ops().umount_begin {
        invoke!(t, UmountBegin, callback, sb);
    }
    let globals = &t.kernel.globals;
    globals.namespace_sem.acquire(t, Mode::Exclusive);
    if mount.mnt_count.load(SeqCst) > 1 && !force {
        globals.namespace_sem.release(t);
        return Err(Errno::EBUSY);
    }
    let known = {
        let mut mounts = leaf(&globals.mounts);
        let before = mounts.len();
        mounts.retain(|other| !std::ptr::eq(*other, mount));
        before != mounts.len()
    };
    let point = mount.mnt_mountpoint.get();
    if let Some(point) = point {
        point.d_flags.fetch_and(!DentryFlag::MOUNTED, SeqCst);
    }
    globals.namespace_sem.release(t);
    if !known {
        return Err(Errno::EINVAL);
    }
    if let Some(point) = point {
        dput(t, point);
    }
    t.kernel.slabs.mounts.free(mount);
    deactivate_super(t, sb);
    Ok(())
}

/// Drops an active reference; the last one shuts the file system down.
pub(crate) fn deactivate_super(t: &Task, sb: &'static SuperBlock) {
    let _frame = t.frame("deactivate_locked_super");
    if sb.s_active.fetch_sub(1, SeqCst) > 1 {
        return;
    }
    sb.s_umount.acquire(t, Mode::Exclusive);
    match sb.s_type.get().and_then(|kind| kind.ops.kill_sb) {
        Some(callback) => invoke!(t, KillSb, callback, sb),
        None => generic_shutdown_super(t, sb),
    }
    if t.holds(&sb.s_umount) {
        sb.s_umount.release(t);
    }
    leaf(&t.kernel.globals.super_blocks).retain(|other| !std::ptr::eq(*other, sb));
    t.rcu_barrier();
    put_super(t, sb);
}

/// Drops a passive reference; the last one frees the memory.
fn put_super(t: &Task, sb: &'static SuperBlock) {
    if sb.s_count.fetch_sub(1, SeqCst) == 1 {
        t.kernel.slabs.super_blocks.free(sb);
    }
}

/// Does something with every superblock that is alive, held shared; `wait` says whether one that is held is waited for.
pub(crate) fn iterate_supers(t: &Task, wait: bool, body: impl Fn(&'static SuperBlock)) {
    let _frame = t.frame("iterate_supers");
    let supers = {
        let supers = leaf(&t.kernel.globals.super_blocks);
        supers.iter().for_each(|sb| _ = sb.s_count.fetch_add(1, SeqCst));
        supers.clone()
    };
    for sb in supers {
        let held = if wait {
            sb.s_umount.read(t);
            true
        } else {
            sb.s_umount.try_acquire(t, Mode::Shared)
        };
        if held {
            if sb.s_root.get().is_some() {
                body(sb);
            }
            sb.s_umount.release(t);
        }
        put_super(t, sb);
    }
}

/// Uses a mount: it is not unmounted until it is left again.
pub(crate) fn enter_mount(t: &Task, root: &Path) -> Result<()> {
    let namespace = &t.kernel.globals.namespace_sem;
    namespace.read(t);
    let alive = leaf(&t.kernel.globals.mounts).iter().any(|mount| {
        std::ptr::eq(*mount, root.mnt) && mount.mnt_root.get().is_some_and(|dentry| std::ptr::eq(dentry, root.dentry))
    });
    if alive {
        root.mnt.mnt_count.fetch_add(1, SeqCst);
    }
    namespace.release(t);
    if alive { Ok(()) } else { Err(Errno::ENOENT) }
}

/// Leaves it.
pub(crate) fn leave_mount(root: &Path) {
    root.mnt.mnt_count.fetch_sub(1, SeqCst);
}

/// What most `kill_sb` do: everything is written and ended, and the superblock unlocked.
pub(crate) fn generic_shutdown_super(t: &Task, sb: &'static SuperBlock) {
    let _frame = t.frame("generic_shutdown_super");
    // A sync that fails has told its errors; unmounting goes on.
    let _ = sync_filesystem(t, sb);
    shrink_dcache_for_umount(t, sb);
    evict_inodes(t, sb);
    if let Some(callback) = sb.ops().put_super {
        invoke!(t, PutSuper, callback, sb);
    }
    if !t.deviates(Step::KillSbKeepsLock) {
        sb.s_umount.release(t);
    }
}

/// Writes everything of a superblock that the caller holds.
pub(crate) fn sync_filesystem(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    let _frame = t.frame("sync_filesystem");
    writeback_sb_inodes(t, sb, true)?;
    match sb.ops().sync_fs {
        Some(callback) => {
            let wait = true;
            invoke!(t, SyncFs, callback, sb, wait)
        }
        None => Ok(()),
    }
}

/// `sync(2)` on one superblock.
pub(crate) fn sync_super(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    let _frame = t.frame("ksys_sync");
    sb.s_umount.read(t);
    let result = sync_filesystem(t, sb);
    sb.s_umount.release(t);
    result
}

/// Changes the flags of a mounted file system.
pub(crate) fn do_remount(t: &Task, sb: &'static SuperBlock, flags: u32) -> Result<()> {
    let _frame = t.frame("reconfigure_super");
    sb.s_umount.acquire(t, Mode::Exclusive);
    let result = match sb.ops().remount_fs {
        Some(callback) => invoke!(t, RemountFs, callback, sb, flags),
        None => Ok(()),
    };
    if result.is_ok() {
        sb.s_flags.store(flags, SeqCst);
    }
    sb.s_umount.release(t);
    result
}

/// Figures of a file system that was reached by a path.
pub(crate) fn vfs_statfs(t: &Task, dentry: &'static Dentry) -> Result<Statfs> {
    let _frame = t.frame("statfs_by_dentry");
    let callback = dentry.sb().ops().statfs.ok_or(Errno::ENOSYS)?;
    invoke!(t, Statfs, callback, dentry)
}

/// `ustat(2)`: by device number, so the superblock is held meanwhile.
pub(crate) fn vfs_ustat(t: &Task, device: u32) -> Result<Statfs> {
    let _frame = t.frame("vfs_ustat");
    let known = leaf(&t.kernel.globals.super_blocks).iter().copied().find(|sb| sb.s_dev.load(SeqCst) == device);
    let sb = known.ok_or(Errno::EINVAL)?;
    sb.s_umount.read(t);
    let result = if sb.s_root.get().is_some() { vfs_statfs(t, sb.root()) } else { Err(Errno::EINVAL) };
    sb.s_umount.release(t);
    result
}

/// `/proc/mounts`: every mount with its options.
pub(crate) fn show_mounts(t: &Task) -> Vec<String> {
    let _frame = t.frame("show_vfsmnt");
    let namespace = &t.kernel.globals.namespace_sem;
    namespace.read(t);
    let mounts = leaf(&t.kernel.globals.mounts).clone();
    let mut lines = Vec::new();
    for mount in mounts {
        let (Some(sb), Some(root)) = (mount.mnt_sb.get(), mount.mnt_root.get()) else { continue };
        let options = match sb.ops().show_options {
            Some(callback) => invoke!(t, ShowOptions, callback, root),
            None => String::new(),
        };
        let name = sb.s_type.get().map_or("?", |kind| kind.name);
        lines.push(format!("{name} {options}"));
    }
    namespace.release(t);
    lines
}

/// Levels at which a file system is written to; freezing closes them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteLevel {
    /// System calls.
    Write = 0,
    /// Page faults.
    PageFault = 1,
    /// The file system itself.
    Internal = 2,
}

/// Enters a section that writes; a frozen file system makes it wait.
#[track_caller]
pub(crate) fn sb_start_write(t: &Task, sb: &'static SuperBlock, level: WriteLevel) {
    sb.s_writers[level as usize].acquire(t, Mode::Shared);
}

/// Leaves it.
pub(crate) fn sb_end_write(t: &Task, sb: &'static SuperBlock, level: WriteLevel) {
    sb.s_writers[level as usize].release(t);
}

/// Stops all writing, level by level, and brings the file system to rest.
pub(crate) fn freeze_super(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    let _frame = t.frame("freeze_super");
    sb.s_umount.acquire(t, Mode::Exclusive);
    if sb.s_frozen.swap(FreezeLevel::COMPLETE, SeqCst) != FreezeLevel::UNFROZEN {
        sb.s_umount.release(t);
        return Err(Errno::EBUSY);
    }
    sb.s_umount.release(t);
    close_level(t, sb, WriteLevel::Write);
    sb.s_umount.acquire(t, Mode::Exclusive);
    close_level(t, sb, WriteLevel::PageFault);
    let synced = sync_filesystem(t, sb);
    close_level(t, sb, WriteLevel::Internal);
    let frozen = synced.and_then(|()| match sb.ops().freeze_fs {
        Some(callback) => invoke!(t, FreezeFs, callback, sb),
        None => Ok(()),
    });
    sb.s_umount.release(t);
    if frozen.is_err() {
        open_levels(t, sb);
    }
    frozen
}

/// Closes a level: its lock stays held for write beyond the system call, by nobody in particular.
fn close_level(t: &Task, sb: &'static SuperBlock, level: WriteLevel) {
    let lock = &sb.s_writers[level as usize];
    lock.acquire(t, Mode::Exclusive);
    t.hand_over(lock);
}

fn open_levels(t: &Task, sb: &'static SuperBlock) {
    for level in [WriteLevel::Internal, WriteLevel::PageFault, WriteLevel::Write] {
        t.release_handed(&sb.s_writers[level as usize]);
    }
    sb.s_frozen.store(FreezeLevel::UNFROZEN, SeqCst);
}

/// Lets writing go on.
pub(crate) fn thaw_super(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    let _frame = t.frame("thaw_super_locked");
    sb.s_umount.acquire(t, Mode::Exclusive);
    if sb.s_frozen.load(SeqCst) == FreezeLevel::UNFROZEN {
        sb.s_umount.release(t);
        return Err(Errno::EINVAL);
    }
    let result = match sb.ops().unfreeze_fs {
        Some(callback) => invoke!(t, UnfreezeFs, callback, sb),
        None => Ok(()),
    };
    open_levels(t, sb);
    sb.s_umount.release(t);
    result
}
