//! `rules`: list, explain, prove, import and compare. No root, no kernel but its name.

mod diff;
mod explain;
mod import;
mod limits;
mod lint;
mod list;

use super::args::{RuleSource, RulesCommand};
use super::{Exit, live, selection};
use crate::report::escape;
use crate::rules::Catalogue;

/// Does what was asked of the rules.
///
/// # Errors
/// A rule set, file or rule that is not there, or stdout cannot be written.
pub(super) fn run(command: &RulesCommand) -> anyhow::Result<Exit> {
    match command {
        RulesCommand::List(args) => list::run(args),
        RulesCommand::Explain(args) => explain::run(args),
        RulesCommand::Limits(args) => limits::run(args),
        RulesCommand::Lint(args) => lint::run(args),
        RulesCommand::Import(args) => import::run(args),
        RulesCommand::Diff(args) => diff::run(args),
    }
}

/// The rules that were asked for; `auto` goes by the running kernel.
fn catalogue(source: &RuleSource) -> anyhow::Result<Catalogue> {
    selection::catalogue(source, &live::kernel()?.release)
}

/// A result as JSON, one line end at its end.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> anyhow::Result<String> {
    Ok(escape::json(&value)? + "\n")
}

/// The same of a page whose backslashes are its own markup.
fn escaped_lines(page: &str) -> String {
    page.split_inclusive('\n').map(|line| escape::hazardous(line.trim_end_matches('\n')).into_owned() + "\n").collect()
}

/// Lines that may hold a file's own text, each made safe for a terminal.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for line in text.lines() {
        safe.push_str(&escape::text(line));
        safe.push('\n');
    }
    safe
}
