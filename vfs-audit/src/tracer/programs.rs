//! What our own programs have run and taken, as the kernel counts it while somebody asks it to.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{OwnedFd, RawFd},
};

use super::sys;

/// One program, all its copies together (a trampoline has one for each function).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramFigures {
    /// Its name, as far as the kernel keeps it (15 bytes).
    pub name: String,
    /// Times that it ran.
    pub runs: u64,
    /// Nanoseconds in it, the kernel's own counting included.
    pub nanoseconds: u64,
}

/// Counting under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Counting(#[expect(dead_code, reason = "the kernel counts while it is open")] OwnedFd);

impl Counting {
    /// # Errors
    /// The kernel's: it takes `CAP_SYS_ADMIN`.
    pub(super) fn begin() -> io::Result<Self> {
        sys::enable_stats().map(Self)
    }
}

/// The figures of every program that this process holds, the dearest first.
///
/// # Errors
/// /proc cannot be read.
pub(super) fn figures() -> io::Result<Vec<ProgramFigures>> {
    let mut by_name: BTreeMap<String, ProgramFigures> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_program = std::fs::read_link(entry.path()).is_ok_and(|target| target.ends_with("anon_inode:bpf-prog"));
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if !is_program {
            continue;
        }
        let info = sys::program_info(fd)?;
        let program =
            by_name.entry(info.name.clone()).or_insert(ProgramFigures { name: info.name, ..Default::default() });
        program.runs += info.runs;
        program.nanoseconds += info.nanoseconds;
    }
    let mut figures: Vec<ProgramFigures> = by_name.into_values().filter(|program| program.runs > 0).collect();
    figures.sort_by_key(|program| std::cmp::Reverse(program.nanoseconds));
    Ok(figures)
}
