//! System calls, as a program makes them.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::object::{BlockDevice, File, FileLock, LeaseKind, Path, Result, SuperBlock};
use crate::reference::task::Task;
use crate::reference::vfs::attr::{change_attributes, vfs_getattr};
use crate::reference::vfs::directory::{Make, do_link, do_make, do_remove, do_rename};
use crate::reference::vfs::filelock::{locks_alloc, locks_free, vfs_flock, vfs_lock_file};
use crate::reference::vfs::lease::vfs_setlease;
use crate::reference::vfs::memory::{do_mmap, do_munmap, touch};
use crate::reference::vfs::mount::{do_mount, do_umount};
use crate::reference::vfs::namei::{path_lookup, path_put};
use crate::reference::vfs::open::{do_open, filp_close};
use crate::reference::vfs::rw::{
    iterate_dir, read_at_position, vfs_fallocate, vfs_fsync, vfs_llseek, vfs_read, vfs_write,
};
use crate::reference::vfs::types::lookup_flags::LOOKUP_FOLLOW;
use crate::reference::vfs::types::{Attributes, Stat};

/// A program's view of one mounted file system.
pub(crate) struct User<'t, 'k> {
    pub(crate) t: &'t Task<'k>,
    pub(crate) root: Path,
}

impl<'t, 'k> User<'t, 'k> {
    /// Mounts a file system.
    pub(crate) fn mount(t: &'t Task<'k>, fs: &str, device: Option<&'static BlockDevice>) -> Result<Self> {
        let root = t.syscalls("mount", || do_mount(t, fs, 0, device, None))?;
        Ok(Self { t, root })
    }

    /// Unmounts it.
    pub(crate) fn umount(&self, force: bool) -> Result<()> {
        self.t.syscalls("umount", || do_umount(self.t, &self.root, force))
    }

    /// Its superblock.
    pub(crate) fn sb(&self) -> &'static SuperBlock {
        self.root.dentry.sb()
    }

    fn call<T>(&self, name: &'static str, body: impl FnOnce(&Task<'k>) -> T) -> T {
        self.t.syscalls(name, || body(self.t))
    }

    pub(crate) fn open(&self, name: &str, flags: u32) -> Result<&'static File> {
        self.call("openat", |t| do_open(t, &self.root, name, flags, 0o644))
    }

    pub(crate) fn close(&self, file: &'static File) -> Result<()> {
        self.call("close", |t| filp_close(t, file))
    }

    pub(crate) fn mkdir(&self, name: &str) -> Result<()> {
        self.call("mkdir", |t| do_make(t, &self.root, name, Make::Directory(0o755)))
    }

    pub(crate) fn make(&self, name: &str, what: Make<'_>) -> Result<()> {
        self.call("mknod", |t| do_make(t, &self.root, name, what))
    }

    pub(crate) fn symlink(&self, target: &str, name: &str) -> Result<()> {
        self.call("symlink", |t| do_make(t, &self.root, name, Make::Symlink(target)))
    }

    pub(crate) fn link(&self, old: &str, new: &str) -> Result<()> {
        self.call("link", |t| do_link(t, &self.root, old, new))
    }

    pub(crate) fn unlink(&self, name: &str) -> Result<()> {
        self.call("unlink", |t| do_remove(t, &self.root, name, false))
    }

    pub(crate) fn rmdir(&self, name: &str) -> Result<()> {
        self.call("rmdir", |t| do_remove(t, &self.root, name, true))
    }

    pub(crate) fn rename(&self, old: &str, new: &str, flags: u32) -> Result<()> {
        self.call("renameat2", |t| do_rename(t, &self.root, old, new, flags))
    }

    /// Does something with what a name leads to.
    pub(crate) fn at<T>(&self, name: &str, body: impl FnOnce(&Task<'k>, &Path) -> Result<T>) -> Result<T> {
        let path = path_lookup(self.t, &self.root, name, LOOKUP_FOLLOW)?;
        let result = body(self.t, &path);
        path_put(self.t, &path);
        result
    }

    pub(crate) fn stat(&self, name: &str) -> Result<Stat> {
        self.call("statx", |_| self.at(name, vfs_getattr))
    }

    pub(crate) fn change(&self, name: &str, attributes: &Attributes) -> Result<()> {
        self.call("fchmodat", |_| self.at(name, |t, path| change_attributes(t, path, attributes)))
    }

    pub(crate) fn truncate(&self, name: &str, size: u64) -> Result<()> {
        self.change(name, &Attributes { size: Some(size), ..Attributes::default() })
    }

    pub(crate) fn write(&self, file: &'static File, data: &[u8], at: u64) -> Result<usize> {
        self.call("pwrite64", |t| vfs_write(t, file, data, at))
    }

    pub(crate) fn read(&self, file: &'static File, length: usize, at: u64) -> Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        let count = self.call("pread64", |t| vfs_read(t, file, &mut buffer, at))?;
        buffer.truncate(count);
        Ok(buffer)
    }

    pub(crate) fn read_on(&self, file: &'static File, length: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        let count = self.call("read", |t| read_at_position(t, file, &mut buffer))?;
        buffer.truncate(count);
        Ok(buffer)
    }

    pub(crate) fn seek(&self, file: &'static File, offset: i64, whence: i32) -> Result<u64> {
        self.call("lseek", |t| vfs_llseek(t, file, offset, whence))
    }

    pub(crate) fn list(&self, file: &'static File) -> Result<Vec<(String, u64)>> {
        self.call("getdents64", |t| iterate_dir(t, file))
    }

    pub(crate) fn fsync(&self, file: &'static File) -> Result<()> {
        self.call("fsync", |t| vfs_fsync(t, file, false))
    }

    pub(crate) fn fallocate(&self, file: &'static File, mode: i32, offset: u64, length: u64) -> Result<()> {
        self.call("fallocate", |t| vfs_fallocate(t, file, mode, offset, length))
    }

    pub(crate) fn mmap(&self, file: &'static File, length: u64, write: bool) -> Result<u64> {
        self.call("mmap", |t| do_mmap(t, file, length, 0, write))
    }

    pub(crate) fn munmap(&self, address: u64) -> Result<()> {
        self.call("munmap", |t| do_munmap(t, address))
    }

    /// A load or a store in mapped memory.
    pub(crate) fn touch(&self, address: u64, write: Option<u8>) -> Result<u8> {
        self.call("", |t| touch(t, address, write))
    }

    /// Takes or gives up a POSIX lock on a whole file.
    pub(crate) fn lock(&self, file: &'static File, flags: u32, kind: LeaseKind) -> Result<()> {
        self.call("fcntl", |t| {
            let request = locks_alloc(t, file, flags, kind);
            let result = vfs_lock_file(t, file, request);
            locks_free(t, request);
            result
        })
    }

    pub(crate) fn flock(&self, file: &'static File, kind: LeaseKind) -> Result<()> {
        self.call("flock", |t| {
            let request = locks_alloc(t, file, crate::reference::object::lock_flags::FL_FLOCK, kind);
            let result = vfs_flock(t, file, request);
            locks_free(t, request);
            result
        })
    }

    /// Asks for a lease, or gives it up.
    pub(crate) fn lease(&self, file: &'static File, kind: LeaseKind, owner: u64) -> Result<()> {
        self.call("fcntl", |t| {
            if kind == LeaseKind::Unlock {
                return vfs_setlease(t, file, kind, None);
            }
            let lease = new_lease(t, file, kind, owner);
            let result = vfs_setlease(t, file, kind, Some(lease));
            if result.is_err() {
                locks_free(t, lease);
            }
            result
        })
    }
}

fn new_lease(t: &Task, file: &'static File, kind: LeaseKind, owner: u64) -> &'static FileLock {
    let lease = locks_alloc(t, file, crate::reference::object::lock_flags::FL_LEASE, kind);
    lease.fl_owner.store(owner, SeqCst);
    lease.fl_lmops.set(Some(&crate::reference::fs::LEASE_MANAGER));
    lease.fl_ops.set(Some(&crate::reference::fs::REMOTE_LOCKS));
    lease
}
