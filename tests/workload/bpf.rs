//! What tracing has left in the kernel: BPF programs, maps and links, kprobes, functions that ftrace calls out of.

use std::fmt;
use std::fs;
use std::io;

use anyhow::{Context as _, Result};

use crate::sys;

const BPF_PROG_GET_NEXT_ID: i32 = 11;
const BPF_MAP_GET_NEXT_ID: i32 = 12;
const BPF_LINK_GET_NEXT_ID: i32 = 31;
const KPROBES: &str = "/sys/kernel/debug/kprobes/list";
const TRACED_FUNCTIONS: [&str; 2] =
    ["/sys/kernel/tracing/enabled_functions", "/sys/kernel/debug/tracing/enabled_functions"];

/// How many there are of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tracing {
    pub(crate) programs: usize,
    pub(crate) maps: usize,
    pub(crate) links: usize,
    pub(crate) kprobes: usize,
    pub(crate) traced_functions: usize,
}

impl Tracing {
    /// Counts them now.
    pub(crate) fn count() -> Result<Self> {
        Ok(Self {
            programs: count_ids(BPF_PROG_GET_NEXT_ID).context("counting BPF programs")?,
            maps: count_ids(BPF_MAP_GET_NEXT_ID).context("counting BPF maps")?,
            links: count_ids(BPF_LINK_GET_NEXT_ID).context("counting BPF links")?,
            kprobes: count_lines(&[KPROBES])?,
            traced_functions: count_lines(&TRACED_FUNCTIONS)?,
        })
    }
}

impl fmt::Display for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { programs, maps, links, kprobes, traced_functions } = self;
        write!(f, "programs {programs} maps {maps} links {links} kprobes {kprobes} traced_functions {traced_functions}")
    }
}

fn count_ids(command: i32) -> io::Result<usize> {
    let (mut id, mut count) = (0, 0);
    while let Some(next) = sys::next_bpf_id(command, id)? {
        id = next;
        count += 1;
    }
    Ok(count)
}

/// Lines of the first of the files that exists; 0 when the kernel has none of them (no kprobes, no ftrace).
fn count_lines(paths: &[&str]) -> Result<usize> {
    for path in paths {
        match fs::read_to_string(path) {
            Ok(text) => return Ok(text.lines().count()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {path}")),
        }
    }
    Ok(0)
}
