//! `rules lint`: every fault of every rule file of a directory.

use super::super::args::RulesLintArgs;
use super::super::{Exit, output, selection};
use crate::report::counted;
use crate::rules::{Catalogue, Fault};

/// Proves the files; exit code 1 when they have faults.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub(super) fn run(args: &RulesLintArgs) -> anyhow::Result<Exit> {
    let directory = &args.directory;
    let linted = Catalogue::lint(directory);
    let faults = linted.map_err(|error| selection::advise(error, &directory.display().to_string()))?;
    output::print(&text(&faults, &directory.display().to_string()))?;
    Ok(if faults.is_empty() { Exit::Clean } else { Exit::Violated })
}

fn text(faults: &[Fault], directory: &str) -> String {
    let shown: Vec<String> = faults.iter().map(|fault| format!("{fault}\n")).collect();
    let count = if faults.is_empty() { "no fault".to_owned() } else { counted(faults.len() as u64, "fault") };
    let releases = Catalogue::releases().join(", ");
    super::escaped(&format!("{}{directory}: {count}, proved for {releases}\n", shown.concat()))
}
