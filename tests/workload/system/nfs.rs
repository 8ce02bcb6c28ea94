//! NFS 4.2 over the loopback interface, both ends in one kernel: the only place where a file lock has operations of its own,
//! where a lock manager is told of conflicts, and where a swap file is written by requests.

mod daemon;
mod delegations;

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::daemon::Daemon;
use crate::session::{Session, expect_eq};
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::{self, locking, mounting, moving};

const LENGTH: usize = 16 * PAGE;
const SWAP_PAGES: u32 = 1024;
/// How long the client may take to remove a file that was unlinked while it was open.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// All of it.
pub(super) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    let Some(daemon) = Daemon::start(session)? else { return Ok(()) };
    let worked = with_mount(session, &daemon);
    let stopped = daemon.stop(session);
    worked?;
    stopped
}

fn with_mount(session: &mut Session, daemon: &Daemon) -> Result<()> {
    let point = super::mounts::point(session)?;
    let options = format!("vers=4.2,proto=tcp,port={},addr=127.0.0.1,clientaddr=127.0.0.1,sec=sys", daemon::PORT);
    let mount = |point: &Path| mounting::mount_with(Path::new("127.0.0.1:/"), point, "nfs", 0, &options);
    // EINVAL: a client without NFS 4.2.
    if session.call_or("nfs", &point, &[libc::ENODEV, libc::EINVAL], mount)?.is_some() {
        let worked = at_work(session, daemon, &point);
        let unmounted = session.call("umount", &point, mounting::unmount);
        if unmounted.is_err() {
            let _ = mounting::unmount_with(&point, libc::MNT_FORCE | libc::MNT_DETACH);
        }
        worked?;
        unmounted?;
    }
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

fn at_work(session: &mut Session, daemon: &Daemon, point: &Path) -> Result<()> {
    names(session, daemon, point).context("names")?;
    data(session, point).context("data")?;
    mapped(session, point).context("mapped")?;
    attributes(session, point).context("attributes")?;
    delegations::exercise(session, &daemon.export, point).context("delegations and locks")?;
    swap(session, point).context("swap")?;
    overlay(session, point).context("overlay")?;
    forced(session, point)
}

fn names(session: &mut Session, daemon: &Daemon, point: &Path) -> Result<()> {
    for index in 0..20 {
        let path = point.join(format!("file-{index}"));
        session.call("create", &path, |path| fs::write(path, "over the wire"))?;
    }
    let there = fs::read_to_string(daemon.export.join("file-0")).context("the server's own file")?;
    expect_eq("what the server has", &there, &"over the wire".to_owned())?;
    for _ in 0..2 {
        let count = session.call("readdir", point, |path| fs::read_dir(path).map(Iterator::count))?;
        expect_eq("names", &count, &20)?;
        session.call("stat", point, |path| fs::metadata(path.join(".")))?;
        session.call("stat", &point.join("file-1"), |path| fs::metadata(path))?;
    }
    // What the client has cached of the directory goes.
    session.call_if_permitted("drop_caches", Path::new(DROP_CACHES), |path| fs::write(path, "3"))?;
    let (directory, moved) = (point.join("directory"), point.join("directory/moved"));
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    session.call("rename", &point.join("file-0"), |path| fs::rename(path, &moved))?;
    let open = session.call("open", &moved, |path| File::open(path))?;
    // An open file is renamed by the client, and goes when it is closed.
    session.call("unlink", &moved, |path| fs::remove_file(path))?;
    let mut text = [0; 4];
    session.call("read", &moved, |_| open.read_exact_at(&mut text, 0))?;
    expect_eq("data of a file without a name", &text, b"over")?;
    drop(open);
    // The client removes it behind the caller's back.
    let start = Instant::now();
    while session.call_or("rmdir", &directory, &[libc::ENOTEMPTY], |path| fs::remove_dir(path))?.is_none() {
        ensure!(start.elapsed() < PATIENCE, "a file that was closed without a name is still there");
        sleep(POLL_INTERVAL);
    }
    session.forget("rmdir");
    // The rest goes while it is open, and is given back at once: each removal holds a lock until the server has answered.
    let mut open = Vec::new();
    for index in 1..20 {
        let path = point.join(format!("file-{index}"));
        open.push(session.call("open", &path, |path| File::open(path))?);
        session.call("unlink", &path, |path| fs::remove_file(path))?;
    }
    Ok(())
}

fn data(session: &mut Session, point: &Path) -> Result<()> {
    let (path, other) = (point.join("data"), point.join("other"));
    let content: Vec<u8> = (0..LENGTH).map(|index| (index % 251) as u8).collect();
    let file = session.call("create", &path, crate::io::open)?;
    session.call("write", &path, |_| file.write_all_at(&content, 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    let target = session.call("create", &other, crate::io::open)?;
    session.call("copy_file_range", &other, |_| moving::copy_range(&file, &target, LENGTH))?;
    let found = session.call("read", &other, |path| fs::read(path))?;
    ensure!(found == content, "the copy differs from its original");
    session.call_if_offered("clone", &other, |_| moving::clone_file(&file, &target))?;
    session.call_if_offered("fallocate", &other, |_| sys::fallocate(&target, 0, 0..131_072))?;
    session.call("seek_data", &path, |_| moving::seek(&file, 0, libc::SEEK_DATA))?;
    // Without direct I/O, of which the kernel may say no before it asks the file system.
    for flags in [libc::O_NONBLOCK, 0] {
        session.call("setfl", &path, |_| locking::set_status_flags(file.as_raw_fd(), flags))?;
    }
    let both = libc::O_APPEND | libc::O_DIRECT;
    session.call_fails("setfl", &path, &[libc::EINVAL], |_| locking::set_status_flags(file.as_raw_fd(), both))?;
    let direct = session.call("direct_open", &path, |path| {
        File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)
    })?;
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    memory.bytes().fill(7);
    session.call("direct_write", &path, |_| direct.write_all_at(memory.bytes(), 0))?;
    memory.bytes().fill(0);
    session.call("direct_read", &path, |_| direct.read_exact_at(memory.bytes(), 0))?;
    ensure!(memory.bytes().iter().all(|byte| *byte == 7), "direct I/O read other data than it had written");
    let (reader, writer) = sys::pipe()?;
    let moved = session
        .call("splice_read", &path, |path| moving::splice(File::open(path)?.as_raw_fd(), writer.as_raw_fd(), PAGE))?;
    session.call("splice_write", &other, |_| moving::splice(reader.as_raw_fd(), target.as_raw_fd(), moved))?;
    drop((file, target, direct));
    session.call("unlink", &path, |path| fs::remove_file(path))?;
    session.call("unlink", &other, |path| fs::remove_file(path))
}

/// Pages that are dirty when the file is written directly past.
fn mapped(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("mapped");
    let file = session.call("create", &path, crate::io::open)?;
    session.call("ftruncate", &path, |_| file.set_len(LENGTH as u64))?;
    let mapping =
        session.call("mmap", &path, |_| Mapping::shared(&file, libc::PROT_READ | libc::PROT_WRITE, LENGTH, 0))?;
    mapping.write_pages(0..LENGTH, 1);
    session.call("msync", &path, |_| mapping.sync())?;
    mapping.write_pages(0..LENGTH, 2);
    let direct = session.call("direct_open", &path, |path| {
        File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)
    })?;
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    memory.bytes().fill(4);
    session.call("direct_write", &path, |_| direct.write_all_at(memory.bytes(), 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    ensure!(mapping.pages_are(PAGE..LENGTH, 2), "the mapping lost a write");
    expect_eq("what was written directly", &mapping.read(0), &4)?;
    session.call("ftruncate", &path, |_| file.set_len(PAGE as u64))?;
    drop((mapping, file, direct));
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn attributes(session: &mut Session, point: &Path) -> Result<()> {
    let (path, name) = (point.join("attributed"), "user.vfs-workload");
    session.call("create", &path, |path| fs::write(path, "some"))?;
    session
        .call("chmod", &path, |path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)))?;
    expect_eq("mode", &(session.call("stat", &path, |path| fs::metadata(path))?.mode() & 0o777), &0o600)?;
    if session.call_if_offered("setxattr", &path, |path| sys::set_xattr(path, name, b"value"))?.is_some() {
        expect_eq(name, &session.call("getxattr", &path, |path| sys::get_xattr(path, name))?, &b"value".to_vec())?;
        session.call("listxattr", &path, sys::list_xattr)?;
        session.call("removexattr", &path, |path| sys::remove_xattr(path, name))?;
    }
    session.call_if_offered("nfs4_acl", &path, |path| sys::get_xattr(path, "system.nfs4_acl"))?;
    session.call("listxattr", &path, sys::list_xattr)?;
    ensure!(session.call("statfs", point, sys::block_size)? > 0, "statfs reports no block size");
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// A swap file on the other end: pages go out and come back by requests.
fn swap(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("swap");
    let file = session.call("create", &path, crate::io::open)?;
    let mut content = mounting::swap_header(SWAP_PAGES);
    content.resize(SWAP_PAGES as usize * PAGE, 0);
    session.call("write", &path, |_| file.write_all_at(&content, 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    drop(file);
    // The client asks the server how many blocks the file has: it takes none with holes.
    session.call("stat", &path, |path| fs::metadata(path))?;
    if session.call_if_offered("swapon", &path, mounting::swap_on)?.is_some() {
        let memory = Mapping::anonymous(libc::MAP_PRIVATE, LENGTH)?;
        memory.write_pages(0..LENGTH, 1);
        let paged_out = session.call("pageout", &path, |_| memory.advise(libc::MADV_PAGEOUT));
        let is_same = memory.pages_are(0..LENGTH, 1);
        session.call("swapoff", &path, mounting::swap_off)?;
        paged_out?;
        ensure!(is_same, "a page came back different from swap");
    }
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// An overlay over it: its entries, and its root, are looked at again.
fn overlay(session: &mut Session, point: &Path) -> Result<()> {
    let base = session.path("overlay");
    session.call("mkdir", &base, |path| fs::create_dir(path))?;
    session.call("tmpfs", &base, |path| mounting::mount("tmpfs", path))?;
    let worked = super::dentries::overlay_over(session, point, &base);
    session.call("umount", &base, mounting::unmount)?;
    session.call("rmdir", &base, |path| fs::remove_dir(path))?;
    worked
}

/// Unmounting by force ends requests that wait; with a file open, the mount stays.
fn forced(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("open");
    let file = session.call("create", &path, |path| File::create(path))?;
    session
        .call_fails("umount_force", point, &[libc::EBUSY], |point| mounting::unmount_with(point, libc::MNT_FORCE))?;
    drop(file);
    session.call("unlink", &path, |path| fs::remove_file(path))
}
