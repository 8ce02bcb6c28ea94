//! What holds of an import of any bytes: the entry for fuzzers and for tests on damaged files.

use std::collections::BTreeSet;

use super::diagnostic::Diagnostic;
use super::document::{Imported, ImportedTable, Row};

/// Imports the bytes and gives the first promise that the result breaks, if it breaks one.
pub fn broken_invariant(bytes: &[u8]) -> Option<String> {
    let imported = super::read_bytes(bytes, "input");
    let named: BTreeSet<(usize, &str)> = named_rows(&imported);
    let rows = imported.tables.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)));
    let line_ends = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    let mut broken = rows.filter_map(|(table, row)| row_fault(table, row, &named));
    broken.next().or_else(|| imported.diagnostics.iter().find_map(|it| diagnostic_fault(it, line_ends)))
}

/// Line and op of every row with a diagnostic on its cells.
fn named_rows(imported: &Imported) -> BTreeSet<(usize, &str)> {
    let on_cells = imported.diagnostics.iter().filter(|it| !it.column.is_empty());
    on_cells.map(|it| (it.line, it.op.as_str())).collect()
}

fn row_fault(table: &ImportedTable, row: &Row, named: &BTreeSet<(usize, &str)>) -> Option<String> {
    let headings = row.cells.iter().map(|cell| &cell.column);
    if !headings.eq(&table.columns) {
        return Some(format!("line {}: the row has other columns than its table", row.line));
    }
    let is_open = row.cells.iter().any(|cell| cell.text.is_none());
    let is_named = named.contains(&(row.line, row.op.as_str()));
    (is_open && !is_named).then(|| format!("line {}: a cell is open and no diagnostic names it", row.line))
}

fn diagnostic_fault(diagnostic: &Diagnostic, line_ends: usize) -> Option<String> {
    let is_placed = (1..=line_ends + 1).contains(&diagnostic.line) && !diagnostic.file.is_empty();
    let is_useful = !diagnostic.what.is_empty() && !diagnostic.remedy.is_empty();
    (!is_placed || !is_useful).then(|| format!("`{diagnostic}` lacks place, finding or remedy"))
}
