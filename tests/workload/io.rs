//! The ops on an open file beside plain reading and writing: positions, direct and polled I/O, splicing, allocation,
//! copies that share blocks, ioctls, advice, what /proc says of the descriptor.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys::mapping::{Mapping, PAGE, PAGE_OFFSET};
use crate::sys::{self, moving, uring};

/// Whole pages, and more than a pipe's sixteen buffers.
const LENGTH: usize = 32 * PAGE;
const LENGTH_OFFSET: i64 = 32 * PAGE_OFFSET;
/// Short of one page, and whole blocks of a file system with small ones.
const BLOCK: usize = 1024;

/// All of it.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let path = session.path("io");
    let file = session.call("create", &path, open)?;
    let content: Vec<u8> = (0..LENGTH).map(|index| (index / PAGE) as u8 + 1).collect();
    session.call("write", &path, |_| file.write_all_at(&content, 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    positions(session, &path, &file)?;
    flagged(session, &path, &file)?;
    direct(session, &path)?;
    pipes(session, &path, &content)?;
    copies(session, &path, &content)?;
    controls(session, &path, &file)?;
    cached(session, &path, &file)?;
    session.call("unlink", &path, |path| fs::remove_file(path))?;
    crate::allocation::exercise(session)
}

/// A new file to read and write.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create_new(true).open(path)
}

fn positions(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let end = session.call("lseek", path, |_| moving::seek(file, 0, libc::SEEK_END))?;
    expect_eq("end of the file", &end, &LENGTH_OFFSET)?;
    let data = session.call("seek_data", path, |_| moving::seek(file, 0, libc::SEEK_DATA))?;
    expect_eq("start of the data", &data, &0)?;
    let hole = session.call("seek_hole", path, |_| moving::seek(file, 0, libc::SEEK_HOLE))?;
    expect_eq("hole at the end", &hole, &LENGTH_OFFSET)?;
    session.call_fails("lseek", path, &[libc::EINVAL], |_| moving::seek(file, -1, libc::SEEK_SET))?;
    let directory = File::open(session.path("."))?;
    session.call("lseek", path, |_| moving::seek(&directory, 0, libc::SEEK_SET))?;
    Ok(())
}

/// Reads and writes with flags; a file that only grows.
fn flagged(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let mut buffer = [0; PAGE];
    let read = session.call("preadv2", path, |_| moving::read_with(file, &mut buffer, PAGE_OFFSET, 0))?;
    expect_eq("page read", &(read, buffer[0]), &(PAGE, 2))?;
    // What is not cached, the call must not wait for.
    let nowait = session.call_or("read_nowait", path, &[libc::EAGAIN, libc::EOPNOTSUPP], |_| {
        moving::read_with(file, &mut buffer, 0, libc::RWF_NOWAIT)
    })?;
    ensure!(nowait.is_none_or(|read| read > 0), "a read without waiting came to the end of the file");
    session.call("write_dsync", path, |_| moving::write_with(file, &[1; PAGE], 0, libc::RWF_DSYNC))?;
    let growing = session.path("growing");
    let mut append =
        session.call("create", &growing, |path| OpenOptions::new().append(true).create_new(true).open(path))?;
    session.call("append", &growing, |_| append.write_all(b"one"))?;
    session.call("append", &growing, |_| append.write_all(b" two"))?;
    let text = session.call("read", &growing, |path| fs::read_to_string(path))?;
    expect_eq("what was appended", &text, &"one two".to_owned())?;
    session.call("unlink", &growing, |path| fs::remove_file(path))
}

/// `O_DIRECT`, and the same by a ring that polls.
fn direct(session: &mut Session, path: &Path) -> Result<()> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    let Some(file) = session.call_if_offered("direct_open", path, |path| options.open(path))? else { return Ok(()) };
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, 2 * PAGE)?;
    memory.bytes().fill(0x5a);
    let written = session.call("direct_write", path, |_| file.write_at(memory.bytes(), 0))?;
    memory.bytes().fill(0);
    let read = session.call("direct_read", path, |_| file.read_at(memory.bytes(), 0))?;
    expect_eq("bytes of direct I/O", &(written, read), &(2 * PAGE, 2 * PAGE))?;
    ensure!(memory.bytes().iter().all(|byte| *byte == 0x5a), "direct I/O read other data than it had written");
    memory.bytes().fill(0);
    let polled = session.call_if_offered("polled_read", path, |_| uring::polled_read(&file, memory.bytes()))?;
    ensure!(polled.is_none() || memory.bytes()[PAGE] == 0x5a, "the polled read brought other data");
    // Data in the page cache, in the way of a direct write.
    let cached = File::options().write(true).open(path)?;
    session.call("write", path, |_| cached.write_all_at(&[1; PAGE], 0))?;
    memory.bytes().fill(2);
    memory.bytes()[..PAGE].fill(1);
    session.call("direct_write", path, |_| file.write_at(memory.bytes(), 0))?;
    Ok(())
}

/// File to pipe, pipe to file, file to file.
fn pipes(session: &mut Session, path: &Path, content: &[u8]) -> Result<()> {
    let (target, source) = (session.path("spliced"), File::open(path)?);
    let file = session.call("create", &target, open)?;
    let (reader, writer) = sys::pipe()?;
    let mut moved = 0;
    while moved < LENGTH / 2 {
        let length = (LENGTH / 2 - moved).min(4 * PAGE);
        let read =
            session.call("splice_read", path, |_| moving::splice(source.as_raw_fd(), writer.as_raw_fd(), length))?;
        ensure!(read > 0, "splice came to the end of the file at {moved}");
        let written =
            session.call("splice_write", &target, |_| moving::splice(reader.as_raw_fd(), file.as_raw_fd(), read))?;
        expect_eq("bytes spliced to the file", &written, &read)?;
        moved += read;
    }
    while moved < LENGTH {
        let sent = session.call("sendfile", &target, |_| moving::sendfile(&source, &file, LENGTH - moved))?;
        ensure!(sent > 0, "sendfile came to the end of the file at {moved}");
        moved += sent;
    }
    same_content(session, &target, content)?;
    session.call("unlink", &target, |path| fs::remove_file(path))
}

fn same_content(session: &mut Session, path: &Path, content: &[u8]) -> Result<()> {
    let found = session.call("read", path, |path| fs::read(path))?;
    ensure!(found == content, "{} does not hold what was written", path.display());
    Ok(())
}

/// `copy_file_range`, and copies that share the blocks.
fn copies(session: &mut Session, path: &Path, content: &[u8]) -> Result<()> {
    let source = File::open(path)?;
    let fresh = |session: &mut Session, name: &str| -> Result<(PathBuf, File)> {
        let target = session.path(name);
        let file = session.call("create", &target, open)?;
        Ok((target, file))
    };
    let (target, file) = fresh(session, "copied")?;
    let copied = session.call("copy_file_range", &target, |_| moving::copy_range(&source, &file, LENGTH))?;
    expect_eq("bytes copied", &copied, &LENGTH)?;
    same_content(session, &target, content)?;
    let shared = session.call_if_offered("dedupe", &target, |_| moving::deduplicate(&source, &file, LENGTH as u64))?;
    ensure!(shared.is_none_or(|bytes| bytes > 0), "nothing of two equal files was shared");
    session.call("unlink", &target, |path| fs::remove_file(path))?;
    let (target, file) = fresh(session, "cloned")?;
    if session.call_if_offered("clone", &target, |_| moving::clone_file(&source, &file))?.is_some() {
        same_content(session, &target, content)?;
        session.call("clone_range", &target, |_| moving::clone_range(&source, &file, PAGE as u64))?;
        session.call("write", &target, |_| file.write_all_at(b"own", 0))?;
        same_content(session, path, content)?;
    }
    session.call("unlink", &target, |path| fs::remove_file(path))
}

/// ioctls, as a 64-bit and as a 32-bit program makes them; status flags, readiness, and what /proc says.
fn controls(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    session.call_if_offered("fibmap", path, |_| moving::block_of(file, 0))?;
    session.call_fails("ioctl", path, &[libc::ENOTTY], |_| {
        let mut size = [0u16; 4];
        // SAFETY: a terminal would write its 8 bytes of size; a file knows no such ioctl.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) })
    })?;
    // A kernel without 32-bit programs ends the child.
    match sys::wait(sys::fork(|| moving::compat_get_version(file).unwrap_or(255))?) {
        Ok(0) => session.count("compat_ioctl"),
        Ok(errno) if [libc::ENOTTY, libc::EOPNOTSUPP].contains(&errno) => {
            session.note("compat_ioctl", "no such ioctl");
        }
        Ok(errno) => anyhow::bail!("compat_ioctl {}: errno {errno}", path.display()),
        Err(_) => session.note("compat_ioctl", "the kernel runs no 32-bit programs"),
    }
    let flags = session.call("getfl", path, |_| sys::locking::status_flags(file.as_raw_fd()))?;
    session.call("setfl", path, |_| sys::locking::set_status_flags(file.as_raw_fd(), flags | libc::O_NOATIME))?;
    let ready = session.call("poll", path, |_| moving::poll(file.as_raw_fd(), libc::POLLIN | libc::POLLOUT))?;
    expect_eq("readiness of a file", &ready, &(libc::POLLIN | libc::POLLOUT))?;
    let place = PathBuf::from(format!("/proc/self/fdinfo/{}", file.as_raw_fd()));
    let info = session.call("fdinfo", &place, |path| fs::read_to_string(path))?;
    ensure!(info.contains("pos:") && info.contains("flags:"), "{} says {info:?}", place.display());
    Ok(())
}

/// Advice about the page cache; a page of which a part is up to date.
fn cached(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    session.call("sync_file_range", path, |_| moving::sync_range(file))?;
    for advice in [libc::POSIX_FADV_SEQUENTIAL, libc::POSIX_FADV_DONTNEED, libc::POSIX_FADV_WILLNEED] {
        session.call("fadvise", path, |_| moving::advise(file, advice))?;
    }
    session.call_if_offered("readahead", path, |_| moving::read_ahead(file, LENGTH))?;
    session.call("fsync", path, |_| file.sync_all())?;
    session.call("fadvise", path, |_| moving::advise(file, libc::POSIX_FADV_DONTNEED))?;
    // With blocks smaller than a page, only the written one is known now, and reading it needs no I/O.
    session.call("write", path, |_| file.write_all_at(&[9; BLOCK], (8 * PAGE) as u64))?;
    let mut found = [0; BLOCK];
    session.call("pread", path, |_| file.read_exact_at(&mut found, (8 * PAGE) as u64))?;
    ensure!(found == [9; BLOCK], "a part of a page does not hold what was written");
    session.call("pread", path, |_| file.read_exact_at(&mut found, (8 * PAGE + BLOCK) as u64))?;
    ensure!(found == [9; BLOCK], "the rest of the page is not what lay there before");
    Ok(())
}
