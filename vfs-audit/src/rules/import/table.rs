//! Finds the table of a section and reads its rows: bordered as in reST, or under bare headings as before 5.2.

use super::diagnostic::{Diagnostics, Kind, Place};
use super::document::{Prototype, Row};
use super::grid::{Border, Grid};
use super::placement::COLUMNS_MAX;
use super::row;
use super::text::Line;

/// Rows read of one table.
const ROWS_MAX: usize = 1024;
/// What to do when the layout is broken.
pub(super) const TAKE_ORIGINAL: &str = "import the file from the kernel's source tree, where the columns are aligned";

/// What is known about the section while its table is read.
pub(super) struct Context<'a> {
    pub(super) table: &'a str,
    pub(super) prototypes: &'a [Prototype],
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl Context<'_> {
    pub(super) fn add(&mut self, kind: Kind, line: usize, what: impl Into<String>, remedy: &str) {
        let place = Place { line, table: self.table, ..Place::default() };
        self.diagnostics.add(kind, place, what, remedy);
    }
}

/// A table as read, and how many lines it took.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Row>,
    pub(super) taken: usize,
}

/// Reads the table that starts at the first line, if one does.
pub(super) fn read(lines: &[Line], context: &mut Context<'_>) -> Option<Body> {
    let first = lines.first()?;
    if let Some(border) = Border::of(first) {
        return Some(bordered(lines, &border, context));
    }
    if Border::is_too_wide(first) {
        let what = format!("a border of more than {COLUMNS_MAX} columns is no border of this document");
        context.add(Kind::Damaged, first.number, what, TAKE_ORIGINAL);
    }
    let under = lines.get(1).and_then(Border::of);
    if let (true, Some(border)) = (is_heading_row(first), under) {
        context.add(Kind::Damaged, first.number, "the border over the table's headings is missing", TAKE_ORIGINAL);
        let grid = Grid::bordered(first, &border, context);
        return Some(rows(lines, 2, &grid, context));
    }
    bare(lines, context)
}

/// A table between borders: border, headings, border, rows, border.
fn bordered(lines: &[Line], border: &Border, context: &mut Context<'_>) -> Body {
    let heading = lines.get(1).filter(|line| is_heading_row(line));
    let Some(heading) = heading else {
        context.add(Kind::Damaged, lines[0].number, "a border has no row of headings under it", TAKE_ORIGINAL);
        let grid = Grid::nameless(border);
        return rows(lines, 1, &grid, context);
    };
    let inner = lines.get(2).and_then(Border::of);
    if inner.is_none() {
        context.add(Kind::Damaged, heading.number, "the border under the table's headings is missing", TAKE_ORIGINAL);
    }
    let is_consistent = inner.as_ref().is_none_or(|inner| inner == border);
    if !is_consistent {
        context.add(Kind::Damaged, heading.number, "the table's borders differ", TAKE_ORIGINAL);
    }
    let start = if inner.is_some() { 3 } else { 2 };
    let grid = Grid::bordered(heading, border, context);
    let grid = if is_consistent { grid } else { grid.without_layout() };
    rows(lines, start, &grid, context)
}

/// Rows up to the closing border; without one, as long as lines look like rows.
fn rows(lines: &[Line], start: usize, grid: &Grid, context: &mut Context<'_>) -> Body {
    let after = lines.get(start..).unwrap_or_default();
    let closing = after.iter().take_while(|line| !line.is_blank()).position(|line| Border::of(line).is_some());
    let count = closing.unwrap_or_else(|| {
        let number = after.first().or(lines.last()).map_or(1, |line| line.number);
        context.add(Kind::Damaged, number, "the border that closes the table is missing", TAKE_ORIGINAL);
        after.iter().take_while(|line| row::looks_like_one(line, grid, context.prototypes)).count()
    });
    let rows = read_rows(&after[..count], grid, context);
    let taken = start + count + usize::from(closing.is_some());
    Body { columns: grid.names.clone(), rows, taken: taken.min(lines.len()) }
}

/// A table without borders: a line of headings directly followed by rows.
fn bare(lines: &[Line], context: &mut Context<'_>) -> Option<Body> {
    let after = &lines[1..];
    let grid = Grid::bare(&lines[0], after, context.prototypes)?;
    let count = after.iter().take_while(|line| row::looks_like_one(line, &grid, context.prototypes)).count();
    if count == 0 {
        return None;
    }
    if let Some(line) = grid.has_unnamed_column.then(|| after[0].number) {
        let remedy = "nothing to do: read as `note`, as later releases call it";
        context.add(Kind::Oddity, line, "the table has a column without heading", remedy);
    }
    let rows = read_rows(&after[..count], &grid, context);
    Some(Body { columns: grid.names, rows, taken: count + 1 })
}

fn read_rows(lines: &[Line], grid: &Grid, context: &mut Context<'_>) -> Vec<Row> {
    let mut found: Vec<Row> = Vec::new();
    for line in lines.iter().take(ROWS_MAX) {
        let is_continued = grid.starts.first().is_some_and(|start| row::is_continuation(line, *start));
        match found.last_mut() {
            Some(last) if is_continued => row::continue_with(last, line, grid),
            _ => found.push(row::read(line, grid, context)),
        }
    }
    if let Some(line) = lines.get(ROWS_MAX) {
        let what = format!("the table has more than {ROWS_MAX} rows, {} were not read", lines.len() - ROWS_MAX);
        context.add(Kind::Damaged, line.number, what, TAKE_ORIGINAL);
    }
    found
}

fn is_heading_row(line: &Line) -> bool {
    line.trimmed().split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("ops"))
}
