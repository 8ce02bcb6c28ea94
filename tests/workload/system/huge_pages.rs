//! Files in huge folios, faulted in by their later pages: a tail page's own members are the folio's counts, and mean something else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::session::Session;
use crate::sys::mapping::{Mapping, PAGE, PAGE_OFFSET};
use crate::sys::mounting;

/// A page of the large size.
const LENGTH: usize = 2 << 20;
const READ: i32 = libc::PROT_READ;
const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// The folio's counts lie in its second page, where a head page has its mapping; the others are tails as any.
const TAILS: [i64; 3] = [1, 2, 200];

/// All of it, on a tmpfs that takes huge pages for its files.
pub(super) fn exercise(session: &mut Session, _: &Path) -> Result<()> {
    let point = super::mounts::point(session)?;
    let mount = |point: &Path| mounting::mount_with(Path::new("none"), point, "tmpfs", 0, "huge=always,size=16m");
    // A kernel that is built without.
    if session.call_or("huge", &point, &[libc::EINVAL], mount)?.is_some() {
        let worked = faulted(session, &point.join("huge"));
        session.call("umount", &point, mounting::unmount)?;
        worked?;
    }
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

/// Pages of a folio that is not mapped yet, then of one that is, as a whole.
fn faulted(session: &mut Session, path: &Path) -> Result<()> {
    let file = session.call("create", path, crate::io::open)?;
    session.call("write", path, |_| file.write_all_at(&vec![7; LENGTH], 0))?;
    tails(session, path, &file)?;
    let whole = session.call("mmap", path, |_| Mapping::shared(&file, READ, LENGTH, 0))?;
    session.call("madvise", path, |_| whole.advise(libc::MADV_HUGEPAGE))?;
    ensure!(whole.pages_are(0..LENGTH, 7), "a huge folio is not what was written");
    if !is_mapped_as_a_whole()? {
        session.note("huge_page", "the kernel gave small ones");
    }
    tails(session, path, &file)?;
    ensure!(whole.pages_are(0..LENGTH, 7), "a huge folio is not what was written beside it");
    drop((whole, file));
    session.call("unlink", path, |path| fs::remove_file(path))
}

/// Whether this process has a huge page of a file in memory mapped.
fn is_mapped_as_a_whole() -> Result<bool> {
    let mapped = fs::read_to_string("/proc/self/smaps_rollup")?;
    let kilobytes = mapped.lines().find_map(|line| line.strip_prefix("ShmemPmdMapped:")?.split_whitespace().next());
    Ok(kilobytes.is_some_and(|kilobytes| kilobytes != "0"))
}

/// A write to each: of pages that are only read, those around come along, and the file system is not asked for one.
fn tails(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    for tail in TAILS {
        let mapping = session.call("mmap", path, |_| Mapping::shared(file, BOTH, PAGE, tail * PAGE_OFFSET))?;
        mapping.write(PAGE - 1, 8);
        ensure!(mapping.read(0) == 7, "page {tail} of a huge folio is not what was written");
    }
    Ok(())
}
