//! The load on one file system or on all that are mounted below a directory, round by round.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::session::{Counts, Session};
use crate::{acl, attributes, data, io, locks, memory, names, renames, whole, xattrs};

/// A part of the load: its name, and what it does in a session of its own.
pub(crate) type Group = (&'static str, fn(&mut Session) -> Result<()>);

/// The whole load on one file system.
pub(crate) const GROUPS: &[Group] = &[
    ("names", names::exercise),
    ("renames", renames::exercise),
    ("attributes", attributes::exercise),
    ("xattrs", xattrs::exercise),
    ("acl", acl::exercise),
    ("data", data::exercise),
    ("io", io::exercise),
    ("memory", memory::exercise),
    ("locks", locks::exercise),
    ("whole", whole::exercise),
];

/// Runs `rounds` rounds of every group on one directory: what each came to, in the groups' order.
pub(crate) fn run(directory: &Path, groups: &[Group], rounds: u32) -> Result<Vec<(&'static str, Counts)>> {
    let mut sums: Vec<_> = groups.iter().map(|(name, _)| (*name, Counts::default())).collect();
    for round in 0..rounds {
        for ((name, exercise), (_, sum)) in groups.iter().zip(&mut sums) {
            let what = || format!("{}, {name}, round {round}", directory.display());
            sum.add(run_once(directory, *exercise).with_context(what)?);
        }
    }
    Ok(sums)
}

fn run_once(directory: &Path, exercise: fn(&mut Session) -> Result<()>) -> Result<Counts> {
    let mut session = Session::new(directory)?;
    exercise(&mut session)?;
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
