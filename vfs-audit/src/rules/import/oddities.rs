//! What a document has that it should not: rows without prototype, repeated rows, notes that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostics, Kind, Place};
use super::document::{ImportedTable, Paragraph, Row};
use super::vocabulary::{annotations, split_base};

const AS_READ: &str = "nothing to do: read as it stands";

/// Names what is odd in the tables and around them.
pub(super) fn find(tables: &[ImportedTable], prose: &[Paragraph], diagnostics: &mut Diagnostics) {
    for table in tables {
        let ops = Ops::of(table);
        rows_and_prototypes(table, &ops, diagnostics);
        repeated(table, diagnostics);
        section_lines(table, &ops, diagnostics);
    }
    let explained: BTreeSet<(&str, &str)> =
        prose.iter().flat_map(|it| it.ops.iter().map(move |op| (it.table.as_str(), op.as_str()))).collect();
    for table in tables {
        unresolved_notes(table, &explained, diagnostics);
    }
    unknown_ops(tables, prose, diagnostics);
}

/// Ops of a section.
struct Ops<'a> {
    in_rows: BTreeSet<&'a str>,
    in_prototypes: BTreeSet<&'a str>,
}

impl<'a> Ops<'a> {
    fn of(table: &'a ImportedTable) -> Self {
        let in_rows = table.rows.iter().map(|row| row.op.as_str()).collect();
        Self { in_rows, in_prototypes: table.prototypes.iter().map(|it| it.op.as_str()).collect() }
    }

    fn contains(&self, op: &str) -> bool {
        self.in_rows.contains(op) || self.in_prototypes.contains(op)
    }
}

fn add(diagnostics: &mut Diagnostics, table: &ImportedTable, at: (usize, &str), what: impl Into<String>) {
    let place = Place { line: at.0, table: &table.table, op: at.1, column: "" };
    diagnostics.add(Kind::Oddity, place, what, AS_READ);
}

fn rows_and_prototypes(table: &ImportedTable, ops: &Ops<'_>, diagnostics: &mut Diagnostics) {
    if table.rows.is_empty() {
        return;
    }
    for row in table.rows.iter().filter(|row| !ops.in_prototypes.contains(row.op.as_str())) {
        add(diagnostics, table, (row.line, &row.op), "the row has no prototype");
    }
    for prototype in table.prototypes.iter().filter(|it| !ops.in_rows.contains(it.op.as_str())) {
        add(diagnostics, table, (prototype.line, &prototype.op), "the prototype has no row");
    }
}

fn repeated(table: &ImportedTable, diagnostics: &mut Diagnostics) {
    let rows = table.rows.iter().map(|row| ("row", row.op.as_str(), row.line));
    let prototypes = table.prototypes.iter().map(|it| ("prototype", it.op.as_str(), it.line));
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (what, op, line) in rows.chain(prototypes) {
        if let Some(first) = seen.get(&(what, op)) {
            add(diagnostics, table, (line, op), format!("the {what} repeats that of line {first}"));
        } else {
            seen.insert((what, op), line);
        }
    }
}

fn section_lines(table: &ImportedTable, ops: &Ops<'_>, diagnostics: &mut Diagnostics) {
    for line in &table.section_lines {
        if line.doubtful {
            let what = format!("`{}` takes itself back", line.text);
            add(diagnostics, table, (line.line, ""), what);
        }
        for op in line.except.iter().filter(|op| !ops.contains(op)) {
            add(diagnostics, table, (line.line, op), "the op is set apart, but the section does not have it");
        }
    }
}

/// `(see below)` without a word below, `[1]_` without a footnote.
fn unresolved_notes(table: &ImportedTable, explained: &BTreeSet<(&str, &str)>, diagnostics: &mut Diagnostics) {
    for row in &table.rows {
        let notes = notes_of(row);
        let is_explained = explained.contains(&(table.table.as_str(), row.op.as_str()));
        if notes.iter().any(|note| note == "see below") && !is_explained {
            add(diagnostics, table, (row.line, &row.op), "`see below`, but nothing below names the op");
        }
        let labels = notes.iter().filter(|note| note.chars().all(|c| c.is_ascii_digit()));
        for label in labels.filter(|label| !table.footnotes.iter().any(|it| it.label == **label)) {
            add(diagnostics, table, (row.line, &row.op), format!("there is no footnote {label}"));
        }
    }
}

fn notes_of(row: &Row) -> Vec<String> {
    let texts = row.cells.iter().filter_map(|cell| cell.text.as_deref());
    texts.filter_map(|text| annotations(split_base(text).1)).flatten().collect()
}

fn unknown_ops(tables: &[ImportedTable], prose: &[Paragraph], diagnostics: &mut Diagnostics) {
    let sections: Vec<Ops<'_>> = tables.iter().map(Ops::of).collect();
    let known: BTreeSet<&str> =
        sections.iter().flat_map(|ops| ops.in_rows.iter().chain(&ops.in_prototypes)).copied().collect();
    for paragraph in prose.iter().filter(|it| !it.table.is_empty()) {
        for op in paragraph.ops.iter().filter(|op| !known.contains(op.as_str())) {
            let place = Place { line: paragraph.line, table: &paragraph.table, op, column: "" };
            diagnostics.add(Kind::Oddity, place, "the text names an op that no section has", AS_READ);
        }
    }
}
