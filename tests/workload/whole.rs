//! A mounted file system as a whole: what /proc says of it, remounting, freezing, a swap file on it.
//!
//! Only for a directory that is the root of its mount: what belongs to others is neither frozen nor remounted.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys::mapping::PAGE;
use crate::sys::{self, mounting};

/// A swap file's pages: little more than the least that the kernel takes.
const SWAP_PAGES: u32 = 64;
/// `FS_NOCOW_FL`: what btrfs demands of a swap file.
const FS_NOCOW_FL: u32 = 0x0080_0000;
/// How long a process is seen to wait on a frozen file system.
const FROZEN_TIME: Duration = Duration::from_millis(200);
const INODES: usize = 32;
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// All of it.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let root = session.root().to_owned();
    if !is_root_of_a_mount(&root)? {
        session.note("whole", "the directory is not the root of a mount");
        return Ok(());
    }
    described(session, &root)?;
    forgotten(session)?;
    busy(session, &root)?;
    remounted(session, &root)?;
    lazily(session, &root)?;
    frozen(session, &root)?;
    trimmed(session, &root)?;
    swap_file(session)
}

fn is_root_of_a_mount(directory: &Path) -> Result<bool> {
    let parent = fs::metadata(directory.join("..")).context("looking at the parent directory")?;
    Ok(fs::metadata(directory)?.dev() != parent.dev())
}

/// Statistics, and the lines of /proc about it.
fn described(session: &mut Session, root: &Path) -> Result<()> {
    ensure!(session.call("statfs", root, sys::block_size)? > 0, "statfs reports no block size");
    let device = session.call("stat", root, |path| fs::metadata(path))?.dev();
    // btrfs and overlay show devices of their own, which name no superblock.
    session.call_if_offered("ustat", root, |_| mounting::ustat(device))?;
    let point = fs::canonicalize(root)?.display().to_string();
    for (kind, place) in [
        ("mounts", "/proc/self/mounts"),
        ("mountinfo", "/proc/self/mountinfo"),
        ("mountstats", "/proc/self/mountstats"),
    ] {
        let text = session.call(kind, Path::new(place), |path| fs::read_to_string(path))?;
        ensure!(text.split_whitespace().any(|word| word == point), "{place} does not name {point}");
    }
    Ok(())
}

/// Inodes and dentries are dropped, and come back from the file system.
fn forgotten(session: &mut Session) -> Result<()> {
    let names: Vec<PathBuf> = (0..INODES).map(|index| session.path(&format!("forgotten-{index}"))).collect();
    for path in &names {
        session.call("create", path, |path| fs::write(path, "remembered"))?;
    }
    session.call("sync", &names[0], |_| {
        // SAFETY: sync has no preconditions.
        unsafe { libc::sync() };
        Ok(())
    })?;
    session.call_if_permitted("drop_caches", Path::new(DROP_CACHES), |path| fs::write(path, "3"))?;
    for path in &names {
        let text = session.call("read", path, |path| fs::read_to_string(path))?;
        expect_eq("what came back", &text, &"remembered".to_owned())?;
        session.call("unlink", path, |path| fs::remove_file(path))?;
    }
    Ok(())
}

/// It cannot be unmounted while a file is open, nor made read-only while one is open for writing.
fn busy(session: &mut Session, root: &Path) -> Result<()> {
    let path = session.path("busy");
    let mut file = session.call("create", &path, |path| File::create(path))?;
    session.call_fails("umount", root, &[libc::EBUSY], mounting::unmount)?;
    session.call_fails("remount", root, &[libc::EBUSY], |root| mounting::remount(root, libc::MS_RDONLY))?;
    session.call("write", &path, |_| file.write_all(b"still writable"))?;
    drop(file);
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// Read-only, where writing fails, and back.
fn remounted(session: &mut Session, root: &Path) -> Result<()> {
    let path = session.path("remounted");
    session.call("remount", root, |root| mounting::remount(root, libc::MS_RDONLY))?;
    let refused = session.call_fails("create", &path, &[libc::EROFS], |path| File::create(path));
    session.call("remount", root, |root| mounting::remount(root, 0))?;
    refused?;
    session.call("create", &path, |path| File::create(path))?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// Times that are kept in memory until their inode is synced.
fn lazily(session: &mut Session, root: &Path) -> Result<()> {
    let lazytime = |root: &Path| mounting::remount(root, libc::MS_LAZYTIME);
    if session.call_if_offered("lazytime", root, lazytime)?.is_none() {
        return Ok(());
    }
    let path = session.path("lazy");
    let mut file = session.call("create", &path, |path| File::create(path))?;
    for text in [b"once", b"more"] {
        session.call("write", &path, |_| file.write_all(text))?;
        session.call("fsync", &path, |_| file.sync_all())?;
    }
    session.call("utimensat", &path, |_| file.set_modified(std::time::SystemTime::now()))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    drop(file);
    session.call("unlink", &path, |path| fs::remove_file(path))?;
    session.call("remount", root, |root| mounting::remount(root, 0))
}

/// A writer waits while it is frozen, and then goes on.
fn frozen(session: &mut Session, root: &Path) -> Result<()> {
    let (path, directory) = (session.path("frozen"), File::open(root)?);
    if session.call_if_offered("freeze", root, |_| mounting::freeze(&directory))?.is_none() {
        return Ok(());
    }
    let again = session.call_fails("freeze", root, &[libc::EBUSY], |_| mounting::freeze(&directory));
    let writer = sys::fork(|| i32::from(fs::write(&path, "after the thaw").is_err()));
    // A writer that does not wait has written by then.
    sleep(FROZEN_TIME);
    let written = path.exists();
    session.call("thaw", root, |_| mounting::thaw(&directory))?;
    again?;
    ensure!(!written, "a file was made on a frozen file system");
    let code = session.call("create", &path, |_| sys::wait(writer?))?;
    expect_eq("end of the process that waited for the thaw", &code, &0)?;
    let text = session.call("read", &path, |path| fs::read_to_string(path))?;
    expect_eq("what was written after the thaw", &text, &"after the thaw".to_owned())?;
    session.call_fails("thaw", root, &[libc::EINVAL], |_| mounting::thaw(&directory))?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn trimmed(session: &mut Session, root: &Path) -> Result<()> {
    let directory = File::open(root)?;
    session.call_if_offered("trim", root, |_| mounting::trim(&directory)).map(drop)
}

/// Swap to a file, where the file system can say where its blocks lie.
fn swap_file(session: &mut Session) -> Result<()> {
    let path = session.path("swap");
    let file = session.call("create", &path, crate::io::open)?;
    session.call_if_offered("setflags", &path, |_| sys::set_flags(&file, FS_NOCOW_FL))?;
    let mut content = mounting::swap_header(SWAP_PAGES);
    content.resize(SWAP_PAGES as usize * PAGE, 0);
    session.call("write", &path, |_| file.write_all_at(&content, 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    drop(file);
    if session.call_if_offered("swapon", &path, mounting::swap_on)?.is_some() {
        let areas = fs::read_to_string("/proc/swaps")?;
        ensure!(areas.contains("/swap"), "/proc/swaps does not list {}: {areas}", path.display());
        session
            .call_fails("write", &path, &[libc::ETXTBSY], |path| File::options().write(true).open(path)?.write(b"x"))?;
        session.call("swapoff", &path, mounting::swap_off)?;
    }
    session.call("unlink", &path, |path| fs::remove_file(path))
}
