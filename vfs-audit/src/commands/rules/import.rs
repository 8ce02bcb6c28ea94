//! `rules import`: what stands in a document, cell by cell, and what could not be read for certain.

use std::fmt::Write as _;

use super::super::args::{ListFormat, RulesImportArgs};
use super::super::{Exit, note, output, selection};
use crate::report::{counted, escape};
use crate::rules::import::{Form, Imported, ImportedTable, Kind};

/// Reads the document; exit code 3 when some of it could not be read for certain.
///
/// # Errors
/// The file cannot be read, or holds no section on an operations table.
pub(super) fn run(args: &RulesImportArgs) -> anyhow::Result<Exit> {
    let imported = selection::document(&args.file)?;
    match args.format {
        ListFormat::Json => output::print(&super::json(&imported.cells())?)?,
        ListFormat::Table => output::print(&text(&imported))?,
    }
    imported.diagnostics.iter().for_each(|diagnostic| note(&diagnostic.to_string()));
    let is_open = |kind| matches!(kind, Kind::Ambiguous | Kind::Unknown | Kind::Damaged);
    let open = imported.diagnostics.iter().any(|diagnostic| is_open(diagnostic.kind));
    Ok(if open { Exit::Incomplete } else { Exit::Clean })
}

fn text(imported: &Imported) -> String {
    let form = match imported.form {
        Form::Rst => "reST",
        Form::PlainText => "the plain text of 4.x",
        Form::Flattened => "text without layout",
    };
    let cells = imported.cells();
    let open = cells.iter().filter(|cell| cell.cell.is_none()).count();
    let prototypes: usize = imported.tables.iter().map(|table| table.prototypes.len()).sum();
    let mut text = format!(
        "{}: {form}, digest {}\n{}, {}, {} ({open} left open), {}\n",
        escape::text(&imported.name),
        imported.digest,
        counted(imported.tables.len() as u64, "section"),
        counted(prototypes as u64, "prototype"),
        counted(cells.len() as u64, "cell"),
        counted(imported.prose.len() as u64, "paragraph"),
    );
    imported.tables.iter().for_each(|table| write_table(&mut text, table));
    text
}

fn write_table(text: &mut String, table: &ImportedTable) {
    let _ = writeln!(text, "\n{} (line {})", escape::text(&table.table), table.line);
    for line in &table.section_lines {
        let _ = writeln!(text, "  {}", escape::text(&line.text));
    }
    if table.rows.is_empty() {
        return;
    }
    let mut rows = prettytable::Table::new();
    rows.set_format(*prettytable::format::consts::FORMAT_CLEAN);
    rows.set_titles(row(std::iter::once("ops").chain(table.columns.iter().map(String::as_str))));
    for read in &table.rows {
        let cells: Vec<String> = read.cells.iter().map(|cell| shown(cell.text.as_deref(), &cell.candidates)).collect();
        rows.add_row(row(std::iter::once(read.op.as_str()).chain(cells.iter().map(String::as_str))));
    }
    for line in rows.to_string().lines() {
        let _ = writeln!(text, "{}", format!(" {line}").trim_end());
    }
}

fn row<'a>(cells: impl Iterator<Item = &'a str>) -> prettytable::Row {
    cells.map(|cell| escape::text(cell).into_owned()).collect()
}

/// A cell, or what it could be.
fn shown(text: Option<&str>, candidates: &[String]) -> String {
    match (text, candidates) {
        (Some(text), _) => text.to_owned(),
        (None, []) => "?".to_owned(),
        (None, several) => {
            let several: Vec<_> = several.iter().map(|one| if one.is_empty() { "blank" } else { one }).collect();
            format!("? {}", several.join(" / "))
        }
    }
}
