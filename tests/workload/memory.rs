//! Mapped files: faults of every kind, mappings that are split, moved and inherited, pages that are reclaimed and migrated.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys::mapping::{Mapping, PAGE, PAGE_OFFSET};
use crate::sys::{self, moving};

const PAGES: u16 = 48;
const LENGTH: usize = PAGES as usize * PAGE;
const READ: i32 = libc::PROT_READ;
const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// Written to, it makes the kernel move pages together.
const COMPACT: &str = "/proc/sys/vm/compact_memory";

/// All of it, on one file.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let path = session.path("mapped");
    let file = session.call("create", &path, crate::io::open)?;
    session.call("write", &path, |_| file.write_all_at(&vec![1; LENGTH], 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    read_faults(session, &path, &file)?;
    write_faults(session, &path, &file)?;
    shape(session, &path, &file)?;
    truncated(session, &path, &file)?;
    reclaimed(session, &path, &file)?;
    session.call("unlink", &path, |path| fs::remove_file(path))?;
    migrated(session)
}

/// From disk, then of pages that are cached already, from two mappings.
fn read_faults(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    session.call("fadvise", path, |_| moving::advise(file, libc::POSIX_FADV_DONTNEED))?;
    for _ in 0..2 {
        let mapping = session.call("mmap", path, |_| Mapping::shared(file, READ, LENGTH, 0))?;
        ensure!(mapping.pages_are(0..LENGTH, 1), "a page read by a fault is not what was written");
    }
    session.call("fadvise", path, |_| moving::advise(file, libc::POSIX_FADV_DONTNEED))?;
    let random = session.call("mmap", path, |_| Mapping::shared(file, READ, LENGTH, 0))?;
    session.call("madvise", path, |_| random.advise(libc::MADV_RANDOM))?;
    ensure!(random.read(LENGTH - 1) == 1 && random.read(0) == 1, "a page read at random is not what was written");
    session.call("madvise", path, |_| random.advise(libc::MADV_WILLNEED))?;
    session.call_if_offered("populate", path, |_| random.advise(libc::MADV_POPULATE_READ))?;
    Ok(())
}

/// Pages become writable, are written back, and become writable again; a private copy leaves the file alone.
fn write_faults(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let mapping = session.call("mmap", path, |_| Mapping::shared(file, BOTH, LENGTH, 0))?;
    for byte in 2..4 {
        ensure!(mapping.read(0) == byte - 1, "the mapping lost a write");
        mapping.write_pages(0..LENGTH, byte);
        session.call("msync", path, |_| mapping.sync())?;
    }
    let mut found = vec![0; LENGTH];
    session.call("pread", path, |_| file.read_exact_at(&mut found, 0))?;
    ensure!(found.iter().step_by(PAGE).all(|byte| *byte == 3), "the file lacks what was written through the mapping");
    let private = session.call("mmap", path, |_| Mapping::private(file, LENGTH))?;
    private.write_pages(0..LENGTH, 9);
    ensure!(mapping.pages_are(0..LENGTH, 3), "a private write reached the file");
    // Into a hole: the fault allocates.
    session.call("ftruncate", path, |_| file.set_len((LENGTH + PAGE) as u64))?;
    let hole = session.call("mmap", path, |_| Mapping::shared(file, BOTH, PAGE, i64::from(PAGES) * PAGE_OFFSET))?;
    hole.write(PAGE - 1, 4);
    session.call("msync", path, |_| hole.sync())?;
    let mut last = [0];
    session.call("pread", path, |_| file.read_exact_at(&mut last, (LENGTH + PAGE - 1) as u64))?;
    expect_eq("what was written into the hole", &last[0], &4)?;
    session.call("ftruncate", path, |_| file.set_len(LENGTH as u64))
}

/// A mapping inherited, split, grown and moved.
fn shape(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let mut mapping = session.call("mmap", path, |_| Mapping::shared(file, BOTH, LENGTH / 2, 0))?;
    session.call("mprotect", path, |_| mapping.protect_part(4 * PAGE..8 * PAGE, READ))?;
    let child = session.call("fork", path, |_| {
        sys::fork(|| {
            mapping.write(0, 5);
            i32::from(!mapping.pages_are(PAGE..LENGTH / 2, 3))
        })
    })?;
    expect_eq("what the child found", &sys::wait(child)?, &0)?;
    expect_eq("what the child wrote", &mapping.read(0), &5)?;
    mapping.write(0, 3);
    session.call("mprotect", path, |_| mapping.protect_part(0..LENGTH / 2, BOTH))?;
    session.call("mremap", path, |_| mapping.remap(LENGTH))?;
    ensure!(mapping.pages_are(0..LENGTH, 3), "a page was lost when the mapping grew");
    let place = Mapping::anonymous(libc::MAP_PRIVATE, LENGTH)?;
    session.call("mremap", path, |_| mapping.move_over(place))?;
    ensure!(mapping.pages_are(0..LENGTH, 3), "a page was lost when the mapping moved");
    session.call("munmap", path, |_| mapping.unmap_part(8 * PAGE..16 * PAGE))?;
    ensure!(mapping.pages_are(16 * PAGE..LENGTH, 3), "the rest of a split mapping was lost");
    session.call("mremap", path, |_| mapping.remap(8 * PAGE))
}

/// Pages go while they are mapped; touching what is beyond the end then ends a process.
fn truncated(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let mapping = session.call("mmap", path, |_| Mapping::shared(file, BOTH, LENGTH, 0))?;
    mapping.write_pages(0..LENGTH, 6);
    session.call("ftruncate", path, |_| file.set_len((LENGTH / 2 + 100) as u64))?;
    ensure!(mapping.pages_are(0..LENGTH / 2, 6), "truncation took more than it was asked for");
    expect_eq("the byte behind the end", &mapping.read(LENGTH / 2 + 100), &0)?;
    let child = sys::fork(|| mapping.read(LENGTH - 1).into())?;
    let killed = format!("killed by signal {}", libc::SIGBUS);
    let end = session.call("fault", path, |_| Ok(sys::wait(child)))?;
    ensure!(
        end.as_ref().is_err_and(|error| error.to_string().ends_with(&killed)),
        "a fault behind the end of the file came to {end:?}"
    );
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let punched = session.call_if_offered("punch", path, |_| sys::fallocate(file, mode, 0..4 * PAGE as u32))?;
    let expected = if punched.is_some() { 0 } else { 6 };
    ensure!(mapping.pages_are(0..4 * PAGE, expected), "a hole punched under a mapping is not seen through it");
    session.call("ftruncate", path, |_| file.set_len(LENGTH as u64))
}

/// The kernel is asked to take the pages back, clean and dirty.
fn reclaimed(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let mapping = session.call("mmap", path, |_| Mapping::shared(file, BOTH, LENGTH, 0))?;
    mapping.write_pages(0..LENGTH, 7);
    session.call_if_offered("pageout", path, |_| mapping.advise(libc::MADV_PAGEOUT))?;
    ensure!(mapping.pages_are(0..LENGTH, 7), "a dirty page was lost in reclaim");
    session.call("msync", path, |_| mapping.sync())?;
    session.call_if_offered("pageout", path, |_| mapping.advise(libc::MADV_PAGEOUT))?;
    ensure!(mapping.pages_are(0..LENGTH, 7), "a clean page was lost in reclaim");
    session.call("fsync", path, |_| file.sync_all())?;
    // A hole, and with it blocks that no page needs any more.
    session.call("fadvise", path, |_| moving::advise(file, libc::POSIX_FADV_DONTNEED))?;
    let resident = Mapping::shared(file, READ, LENGTH, 0)?;
    ensure!(resident.pages_are(0..LENGTH, 7), "a page that was dropped came back different");
    let ready = moving::poll(file.as_raw_fd(), libc::POLLIN)?;
    expect_eq("readiness", &ready, &libc::POLLIN)
}

/// Scattered pages of two files, one of them gone again: what is left is moved together.
fn migrated(session: &mut Session) -> Result<()> {
    let (kept, gone) = (session.path("kept"), session.path("gone"));
    let (keeper, goer) =
        (session.call("create", &kept, crate::io::open)?, session.call("create", &gone, crate::io::open)?);
    for page in 0..(8 * PAGES).into() {
        session.call("write", &kept, |_| keeper.write_all_at(&[1; PAGE], page * PAGE as u64))?;
        session.call("write", &gone, |_| goer.write_all_at(&[2; PAGE], page * PAGE as u64))?;
    }
    session.call("fsync", &kept, |_| keeper.sync_all())?;
    drop(goer);
    session.call("unlink", &gone, |path| fs::remove_file(path))?;
    session.call_if_permitted("compact", Path::new(COMPACT), |path| fs::write(path, "1"))?;
    let mapping = session.call("mmap", &kept, |_| Mapping::shared(&keeper, READ, 8 * LENGTH, 0))?;
    ensure!(mapping.pages_are(0..8 * LENGTH, 1), "a page was lost when memory was compacted");
    session.call("unlink", &kept, |path| fs::remove_file(path))
}
