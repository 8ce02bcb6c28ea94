//! `rules lint`: every fault of every rule file of a directory.

use super::super::args::RulesLintArgs;
use super::super::{Exit, output, selection};
use crate::report::escape;
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
    let mut text = String::new();
    for fault in faults {
        fault.to_string().lines().for_each(|line| text.push_str(&format!("{}\n", escape::text(line))));
        text.push('\n');
    }
    let count = match faults.len() {
        0 => "no fault".to_owned(),
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    let releases = Catalogue::releases().join(", ");
    text.push_str(&format!("{}: {count}, proved for {releases}\n", escape::text(directory)));
    text
}
