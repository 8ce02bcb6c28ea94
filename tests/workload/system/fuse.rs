//! A FUSE file system with a server of our own: what only such file systems have (opening by creating, laundered pages,
//! locks of their own, a connection that can be cut), and an overlay whose lower entries have to be looked at again.

mod locks;
mod server;
mod tree;
mod wire;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::{self, locking, mounting, moving};

const DEVICE: &str = "/dev/fuse";
const LENGTH: usize = 16 * PAGE;

/// With data written at once, and with data written when the kernel sees fit.
pub(super) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    let point = super::mounts::point(session)?;
    for writes_back in [false, true] {
        let options = File::options().read(true).write(true).clone();
        let Some(device) =
            session.call_or("open", Path::new(DEVICE), &[libc::ENOENT, libc::ENODEV], |path| options.open(path))?
        else {
            break;
        };
        with_server(session, &point, device, writes_back).with_context(|| format!("writes back: {writes_back}"))?;
    }
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

fn with_server(session: &mut Session, point: &Path, device: File, writes_back: bool) -> Result<()> {
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    session
        .call("mount", point, |point| mounting::mount_with(Path::new("vfs-workload"), point, "fuse", 0, &options))?;
    let copy = device.try_clone()?;
    let server = sys::fork(|| {
        drop(device);
        server::serve(copy, writes_back)
    })?;
    let worked = at_work(session, point);
    if worked.is_err() {
        // The connection is cut, so that nobody waits for a server that may have lost its way.
        let _ = mounting::unmount_with(point, libc::MNT_FORCE | libc::MNT_DETACH);
    } else {
        cut(session, point)?;
    }
    // Only the server holds the connection now: the kernel ends it with the last mount.
    let code = sys::wait(server)?;
    worked?;
    expect_eq("end of the server", &code, &0)
}

fn at_work(session: &mut Session, point: &Path) -> Result<()> {
    names(session, point)?;
    attributes(session, point)?;
    data(session, point)?;
    mapped(session, point)?;
    locks(session, point)?;
    overlay(session, point)
}

fn names(session: &mut Session, point: &Path) -> Result<()> {
    let place = |name: &str| point.join(name);
    let (file, link, directory) = (place("file"), place("link"), place("directory"));
    session.call("create", &file, |path| File::create_new(path)?.write_all(b"made by opening"))?;
    session.call_fails("create", &file, &[libc::EEXIST], |path| File::create_new(path))?;
    session.call("link", &file, |path| fs::hard_link(path, &link))?;
    expect_eq("links", &session.call("stat", &file, |path| fs::metadata(path))?.nlink(), &2)?;
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    session.call("rename", &link, |path| fs::rename(path, directory.join("moved")))?;
    session.call_fails("rmdir", &directory, &[libc::ENOTEMPTY], |path| fs::remove_dir(path))?;
    let text = session.call("read", &directory.join("moved"), |path| fs::read_to_string(path))?;
    expect_eq("what was moved", &text, &"made by opening".to_owned())?;
    session.call("unlink", &directory.join("moved"), |path| fs::remove_file(path))?;
    session.call("rmdir", &directory, |path| fs::remove_dir(path))?;
    session.call("symlink", &link, |path| symlink("file", path))?;
    expect_eq("target", &session.call("readlink", &link, |path| fs::read_link(path))?, &"file".into())?;
    session.call("mknod", &place("fifo"), |path| sys::mknod(path, libc::S_IFIFO | 0o644, 0))?;
    let mut names: Vec<_> =
        session.call("readdir", point, |path| fs::read_dir(path)?.collect::<Result<Vec<_>, _>>())?;
    names.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = names.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    expect_eq("names", &names, &["fifo", "file", "link"].map(str::to_owned).to_vec())?;
    for name in names {
        session.call("unlink", &place(&name), |path| fs::remove_file(path))?;
    }
    session.call_fails("lookup", &file, &[libc::ENOENT], |path| fs::metadata(path))
}

fn attributes(session: &mut Session, point: &Path) -> Result<()> {
    let (path, name) = (point.join("attributed"), "user.vfs-workload");
    session.call("create", &path, |path| fs::write(path, "some"))?;
    session.call("chmod", &path, |path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))?;
    expect_eq("mode", &(session.call("stat", &path, |path| fs::metadata(path))?.mode() & 0o777), &0o600)?;
    session.call("setxattr", &path, |path| sys::set_xattr(path, name, b"value"))?;
    expect_eq(name, &session.call("getxattr", &path, |path| sys::get_xattr(path, name))?, &b"value".to_vec())?;
    expect_eq("names", &session.call("listxattr", &path, sys::list_xattr)?.first(), &Some(&name.to_owned()))?;
    session.call("removexattr", &path, |path| sys::remove_xattr(path, name))?;
    session.call_fails("getxattr", &path, &[libc::ENODATA], |path| sys::get_xattr(path, name))?;
    // The server has no lists of its own.
    let none = [libc::ENODATA, libc::EOPNOTSUPP];
    session.call_fails("get_acl", &path, &none, |path| sys::get_xattr(path, "system.posix_acl_access"))?;
    ensure!(session.call("statfs", point, sys::block_size)? > 0, "statfs reports no block size");
    session.call("syncfs", point, |point| sys::sync_file_system(&File::open(point)?))?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn data(session: &mut Session, point: &Path) -> Result<()> {
    let (path, other) = (point.join("data"), point.join("other"));
    let content: Vec<u8> = (0..LENGTH).map(|index| (index % 251) as u8).collect();
    let file = session.call("create", &path, crate::io::open)?;
    session.call("write", &path, |_| file.write_all_at(&content, 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    session.call("sync_file_range", &path, |_| moving::sync_range(&file))?;
    let found = session.call("read", &path, |path| fs::read(path))?;
    ensure!(found == content, "the file does not hold what was written");
    let target = session.call("create", &other, crate::io::open)?;
    let copied = session.call("copy_file_range", &other, |_| moving::copy_range(&file, &target, LENGTH))?;
    let found = session.call("read", &other, |path| fs::read(path))?;
    ensure!(found == content[..copied], "the copy differs from its original");
    session.call("ftruncate", &other, |_| target.set_len(100))?;
    session.call("fallocate", &other, |_| sys::fallocate(&target, 0, 0..65_536))?;
    expect_eq("length", &session.call("stat", &other, |path| fs::metadata(path))?.len(), &65_536)?;
    session.call("seek_data", &path, |_| moving::seek(&file, 0, libc::SEEK_DATA))?;
    let (reader, writer) = sys::pipe()?;
    let moved = session
        .call("splice_read", &path, |path| moving::splice(File::open(path)?.as_raw_fd(), writer.as_raw_fd(), PAGE))?;
    session.call("splice_write", &other, |_| moving::splice(reader.as_raw_fd(), target.as_raw_fd(), moved))?;
    session.call("unlink", &other, |path| fs::remove_file(path))?;
    let direct = session.call("direct_open", &path, |path| {
        File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)
    })?;
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    memory.bytes().fill(7);
    session.call("direct_write", &path, |_| direct.write_all_at(memory.bytes(), 0))?;
    memory.bytes().fill(0);
    session.call("direct_read", &path, |_| direct.read_exact_at(memory.bytes(), 0))?;
    ensure!(memory.bytes().iter().all(|byte| *byte == 7), "direct I/O read other data than it had written");
    session.call("truncate", &path, |path| File::create(path))?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// Pages that are dirty when the file is opened once more, and written directly past: they are laundered first.
fn mapped(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("mapped");
    let file = session.call("create", &path, crate::io::open)?;
    session.call("ftruncate", &path, |_| file.set_len(LENGTH as u64))?;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let mapping = session.call("mmap", &path, |_| Mapping::shared(&file, both, LENGTH, 0))?;
    mapping.write_pages(0..LENGTH, 1);
    session.call("open", &path, |path| File::open(path))?;
    ensure!(mapping.pages_are(0..LENGTH, 1), "a page was lost when the file was opened again");
    mapping.write_pages(0..LENGTH, 2);
    let direct = session.call("direct_open", &path, |path| {
        File::options().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)
    })?;
    mapping.write_pages(0..LENGTH, 3);
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    memory.bytes().fill(4);
    session.call("direct_write", &path, |_| direct.write_all_at(memory.bytes(), 0))?;
    ensure!(mapping.pages_are(0..PAGE, 4) && mapping.pages_are(PAGE..LENGTH, 3), "the mapping lost a write");
    let child = sys::fork(|| i32::from(!mapping.pages_are(PAGE..LENGTH, 3)))?;
    expect_eq("what the child found", &sys::wait(child)?, &0)?;
    session.call("msync", &path, |_| mapping.sync())?;
    session.call("ftruncate", &path, |_| file.set_len(PAGE as u64))?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// The server keeps the locks.
fn locks(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("locked");
    let file = session.call("create", &path, crate::io::open)?;
    let both = |path: &Path| File::options().read(true).write(true).open(path);
    session.call("flock", &path, |_| locking::flock(&file, libc::LOCK_EX))?;
    let other = session.call("open", &path, both)?;
    session
        .call_fails("flock", &path, &[libc::EWOULDBLOCK], |_| locking::flock(&other, libc::LOCK_EX | libc::LOCK_NB))?;
    let waiting = session.call("flock", &path, |path| {
        sys::fork(|| i32::from(both(path).and_then(|file| locking::flock(&file, libc::LOCK_EX)).is_err()))
    })?;
    session.call("flock", &path, |_| locking::flock(&file, libc::LOCK_UN))?;
    drop(other);
    expect_eq("end of the process that waited for the lock", &sys::wait(waiting)?, &0)?;
    session.call("setlk", &path, |_| locking::record_lock(&file, libc::F_SETLK, libc::F_WRLCK))?;
    let refused = session.call("setlk", &path, |path| {
        sys::in_child(|| locking::record_lock(&both(path)?, libc::F_SETLK, libc::F_RDLCK))
    })?;
    expect_eq("errno of a lock that another process holds", &refused, &libc::EAGAIN)?;
    session.call("getlk", &path, |_| locking::record_lock(&file, libc::F_GETLK, libc::F_RDLCK))?;
    session.call("setlk", &path, |_| locking::record_lock(&file, libc::F_SETLK, libc::F_UNLCK))?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

/// An overlay over it: its entries are looked at again, too.
fn overlay(session: &mut Session, point: &Path) -> Result<()> {
    let base = session.path("overlay");
    session.call("mkdir", &base, |path| fs::create_dir(path))?;
    session.call("tmpfs", &base, |path| mounting::mount("tmpfs", path))?;
    let worked = super::dentries::overlay_over(session, point, &base);
    session.call("umount", &base, mounting::unmount)?;
    session.call("rmdir", &base, |path| fs::remove_dir(path))?;
    worked
}

/// Unmounting by force cuts the connection, even where a file is open.
fn cut(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("open");
    let file = session.call("create", &path, crate::io::open)?;
    session
        .call_fails("umount_force", point, &[libc::EBUSY], |point| mounting::unmount_with(point, libc::MNT_FORCE))?;
    session.call_fails("read", &path, &[libc::ENOTCONN, libc::ECONNABORTED], |_| file.read_at(&mut [0], 0))?;
    drop(file);
    session.call("umount", point, mounting::unmount)
}
