//! File data, directory listings and the file system as a whole, so that the other operations tables are touched too.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys;

/// A file of a few dozen pages: more than one extent once a hole is in it.
const LENGTH: usize = 200_000;
/// Where the hole goes: whole blocks of any block size in use.
const HOLE: Range<u32> = 65_536..131_072;
/// Names in the directory that is listed: more than one `getdents` buffer of a small reader.
const NAMES: usize = 60;

/// All of it.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    file(session)?;
    listing(session)?;
    whole_file_system(session)
}

fn pattern() -> Vec<u8> {
    (0..LENGTH).map(|index| (index.wrapping_mul(31) >> 3) as u8).collect()
}

fn file(session: &mut Session) -> Result<()> {
    let path = session.path("data");
    let mut expected = pattern();
    let mut file =
        session.call("create", &path, |path| File::options().read(true).write(true).create_new(true).open(path))?;
    session.call("write", &path, |_| file.write_all(&expected))?;
    session.call("fdatasync", &path, |_| file.sync_data())?;
    session.call("pwrite", &path, |_| file.write_all_at(b"in the middle", 100_000))?;
    expected[100_000..100_013].copy_from_slice(b"in the middle");
    session.call("mmap", &path, |_| sys::write_through_mapping(&file, LENGTH, b'm'))?;
    expected.iter_mut().step_by(4096).for_each(|byte| *byte = b'm');
    session.call("fsync", &path, |_| file.sync_all())?;
    let mut found = Vec::new();
    let mut reader = File::open(&path)?;
    session.call("read", &path, |_| reader.read_to_end(&mut found))?;
    ensure!(found == expected, "data read back from {} is not the data written", path.display());
    hole(session, &file, &mut expected)?;
    let extents = session.call_if_offered("fiemap", &path, |_| sys::extents(&file))?;
    ensure!(extents != Some(0), "fiemap reports no extent of a file with data");
    copy(session, &expected)?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn hole(session: &mut Session, file: &File, expected: &mut [u8]) -> Result<()> {
    let path = session.path("data");
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let punched = session.call_if_offered("punch", &path, |_| sys::fallocate(file, mode, HOLE))?;
    if punched.is_some() {
        expected[HOLE.start as usize..HOLE.end as usize].fill(0);
    }
    let mut found = vec![0; expected.len()];
    session.call("pread", &path, |_| file.read_exact_at(&mut found, 0))?;
    ensure!(found == expected, "data around the hole of {} is not the data written", path.display());
    Ok(())
}

/// `copy_file_range`, or what the standard library falls back to.
fn copy(session: &mut Session, expected: &[u8]) -> Result<()> {
    let (from, to) = (session.path("data"), session.path("copy"));
    session.call("copy", &from, |from| fs::copy(from, &to))?;
    let found = session.call("read", &to, |path| fs::read(path))?;
    ensure!(found == expected, "the copy {} differs from its original", to.display());
    session.call("unlink", &to, |path| fs::remove_file(path))
}

fn listing(session: &mut Session) -> Result<()> {
    let directory = session.path("listed");
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    for index in 0..NAMES {
        let path = session.path(&format!("listed/a-rather-long-name-of-a-file-{index}"));
        session.call("create", &path, |path| File::create_new(path))?;
    }
    let entries: Vec<_> = session.call("readdir", &directory, |path| fs::read_dir(path)?.collect())?;
    expect_eq("entries listed", &entries.len(), &NAMES)?;
    for entry in entries {
        session.call("unlink", &entry.path(), |path| fs::remove_file(path))?;
    }
    session.call("rmdir", &directory, |path| fs::remove_dir(path))
}

fn whole_file_system(session: &mut Session) -> Result<()> {
    let directory = session.path(".");
    let block_size = session.call("statfs", &directory, sys::block_size)?;
    ensure!(block_size > 0, "statfs reports a block size of {block_size}");
    let open = File::open(&directory)?;
    session.call("fsync", &directory, |_| open.sync_all())?;
    session.call("syncfs", &directory, |_| sys::sync_file_system(&open))
}
