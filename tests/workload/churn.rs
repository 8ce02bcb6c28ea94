//! Churn: files, directories, links and attributes made and removed, round after round; says what a round takes.
//!
//! Meant for guests whose time is a count of instructions: then a nanosecond is an instruction.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::sys;

const DATA: [u8; 4096] = [7; 4096];
/// Rounds between two looks at the whole directory.
const READDIR_EVERY: u32 = 64;

/// Does `rounds` rounds in a directory of its own below `parent`; nanoseconds per round.
pub(crate) fn run(parent: &Path, rounds: u32) -> Result<u128> {
    ensure!(rounds > 0, "at least one round");
    let directory = parent.join("vfs-churn");
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
    }
    fs::create_dir(&directory).with_context(|| format!("a directory in {}", parent.display()))?;
    let start = Instant::now();
    for index in 0..rounds {
        round(&directory, index).with_context(|| format!("round {index}"))?;
    }
    let nanoseconds = start.elapsed().as_nanos();
    fs::remove_dir(&directory).context("something was left")?;
    Ok(nanoseconds / u128::from(rounds))
}

fn round(directory: &Path, index: u32) -> Result<()> {
    let place = |name: &str| directory.join(format!("{name}{index}"));
    let (path, other, inside) = (place("file"), place("other"), place("dir"));
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    file.write_all(&DATA)?;
    file.read_exact_at(&mut [0; DATA.len()], 0)?;
    file.set_len(100)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    ensure!(file.metadata()?.len() == 100, "the file has another length");
    drop(file);
    fs::create_dir(&inside)?;
    fs::hard_link(&path, &other)?;
    let moved = inside.join("moved");
    fs::rename(&other, &moved)?;
    ensure!(fs::metadata(&moved)?.len() == 100, "the link is to another file");
    sys::set_xattr(&moved, "user.a", b"b")?;
    fs::remove_file(&moved)?;
    symlink("x", &other)?;
    ensure!(fs::read_link(&other)? == Path::new("x"), "the link leads elsewhere");
    fs::remove_file(&other)?;
    fs::remove_dir(&inside)?;
    fs::remove_file(&path)?;
    if index.is_multiple_of(READDIR_EVERY) {
        ensure!(fs::read_dir(directory)?.count() == 0, "something was left");
    }
    Ok(())
}
