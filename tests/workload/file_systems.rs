//! The load on one file system or on all that are mounted below a directory, round by round.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::session::{Counts, Session};
use crate::{acl, attributes, data, names, renames};

/// Runs `rounds` rounds on one directory.
pub(crate) fn run(directory: &Path, rounds: u32) -> Result<Counts> {
    let mut counts = Counts::default();
    for round in 0..rounds {
        let one = run_once(directory).with_context(|| format!("{}, round {round}", directory.display()))?;
        counts.add(one);
    }
    Ok(counts)
}

fn run_once(directory: &Path) -> Result<Counts> {
    let mut session = Session::new(directory)?;
    names::exercise(&mut session)?;
    renames::exercise(&mut session)?;
    attributes::exercise(&mut session)?;
    acl::exercise(&mut session)?;
    data::exercise(&mut session)?;
    session.finish()
}

/// The directories below `parent`, each taken for a file system, in order.
pub(crate) fn below(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(parent).with_context(|| format!("listing {}", parent.display()))?;
    let mut directories = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories.push(entry.path());
        }
    }
    ensure!(!directories.is_empty(), "no file system below {}", parent.display());
    directories.sort();
    Ok(directories)
}

/// Type of the file system that holds `directory`, as /proc/self/mounts has it.
pub(crate) fn type_of(directory: &Path) -> Result<String> {
    let directory = fs::canonicalize(directory).with_context(|| format!("finding {}", directory.display()))?;
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    // Later lines cover earlier ones that have the same mount point.
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        directory.starts_with(point).then_some((point.len(), kind))
    });
    let (_, kind) = holding.max_by_key(|(length, _)| *length).context("no mount holds the directory")?;
    Ok(kind.to_owned())
}
