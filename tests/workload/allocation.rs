//! Every mode of `fallocate(2)`, and truncation to every side of a page.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Result, ensure};
use libc::{
    FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_ZERO_RANGE,
};

use crate::session::{Session, expect_eq};
use crate::sys;

/// Whole blocks of any block size in use.
const UNIT: u32 = 65_536;
/// Of the file, in units.
const UNITS: u32 = 6;

/// All of it, on a file whose every unit holds its own number.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let path = session.path("allocated");
    let file = session.call("create", &path, crate::io::open)?;
    modes(session, &path, &file)?;
    truncations(session, &path, &file)?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn modes(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    let end = UNITS * UNIT;
    if session.call_if_offered("fallocate", path, |_| sys::fallocate(file, 0, 0..end))?.is_some() {
        expect_eq("length after fallocate", &file.metadata()?.len(), &u64::from(end))?;
    }
    let beyond = end..end + UNIT;
    session.call_if_offered("keep_size", path, |_| sys::fallocate(file, FALLOC_FL_KEEP_SIZE, beyond))?;
    for unit in 0..UNITS {
        let data = vec![unit as u8 + 1; UNIT as usize];
        session.call("write", path, |_| file.write_all_at(&data, (unit * UNIT).into()))?;
    }
    let mut expected: Vec<u8> = (1..=UNITS as u8).collect();
    units_are(session, path, file, &expected)?;
    let mut apply = |session: &mut Session, kind, mode, change: &dyn Fn(&mut Vec<u8>)| -> Result<()> {
        let done = session.call_if_offered(kind, path, |_| sys::fallocate(file, mode, UNIT..2 * UNIT))?;
        if done.is_some() {
            change(&mut expected);
        }
        units_are(session, path, file, &expected)
    };
    let drop_second = |units: &mut Vec<u8>| units[1] = 0;
    apply(session, "unshare", FALLOC_FL_UNSHARE_RANGE, &|_| ())?;
    apply(session, "zero_range", FALLOC_FL_ZERO_RANGE, &drop_second)?;
    apply(session, "collapse", FALLOC_FL_COLLAPSE_RANGE, &|units| {
        units.remove(1);
    })?;
    apply(session, "insert", FALLOC_FL_INSERT_RANGE, &|units| units.insert(1, 0))?;
    apply(session, "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, &drop_second)
}

/// Each unit of the file starts and ends with its number, and the file ends with the last.
fn units_are(session: &mut Session, path: &Path, file: &File, expected: &[u8]) -> Result<()> {
    for (unit, byte) in expected.iter().enumerate() {
        let start = unit as u64 * u64::from(UNIT);
        for at in [start, start + u64::from(UNIT) - 1] {
            let mut found = [0];
            session.call("pread", path, |_| file.read_exact_at(&mut found, at))?;
            ensure!(found[0] == *byte, "{}: {} at {at}, expected {byte}", path.display(), found[0]);
        }
    }
    expect_eq("length", &file.metadata()?.len(), &(expected.len() as u64 * u64::from(UNIT)))
}

fn truncations(session: &mut Session, path: &Path, file: &File) -> Result<()> {
    for length in [5 * UNIT - 1, 5 * UNIT, 4097, 4096, 4095, 1, 3 * UNIT, 0] {
        session.call("ftruncate", path, |_| file.set_len(length.into()))?;
        expect_eq("length after truncation", &file.metadata()?.len(), &u64::from(length))?;
        session.call("write", path, |_| file.write_all_at(b"x", length.into()))?;
    }
    Ok(())
}
