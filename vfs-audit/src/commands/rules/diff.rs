//! `rules diff`: two rule sets or documents, cell by cell.

use super::super::args::{ListFormat, RulesDiffArgs};
use super::super::{Advice, Exit, output};
use crate::report::counted;
use crate::rules::Catalogue;
use crate::rules::diff::{self, Difference, OpenError, Source};

/// Compares; exit code 1 when the two differ.
///
/// # Errors
/// One of the two is neither a rule set nor a document.
pub(super) fn run(args: &RulesDiffArgs) -> anyhow::Result<Exit> {
    let (first, second) = (open(&args.a)?, open(&args.b)?);
    let found = diff::diff(&first, &second);
    match args.format {
        ListFormat::Json => output::print(&super::json(&found)?)?,
        ListFormat::Table => output::print(&text(&first, &second, &found))?,
    }
    Ok(if found.is_empty() { Exit::Clean } else { Exit::Violated })
}

fn open(name: &str) -> anyhow::Result<Source> {
    let advise = |error: OpenError| {
        let hint = format!(
            "name a release ({}), a document, or a directory of rule files (`DIR` or `DIR@RELEASE`)",
            Catalogue::releases().join(", ")
        );
        Advice::new(format!("opening `{name}`"), hint).because(error)
    };
    Ok(diff::open(name).map_err(advise)?)
}

fn text(first: &Source, second: &Source, found: &[Difference]) -> String {
    let cells = |source: &Source| {
        let rows = source.tables.iter().flat_map(|table| &table.rows);
        let (rows, cells) = rows.fold((0, 0), |(rows, cells), row| (rows + 1, cells + row.cells.len()));
        format!("{} ({rows} ops, {cells} cells)", source.name)
    };
    let count = if found.is_empty() { "no difference".to_owned() } else { counted(found.len() as u64, "difference") };
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    let text = format!("{} and {}: {count}\n", cells(first), cells(second));
    super::escaped(&(text + &lines.join("\n")))
}
