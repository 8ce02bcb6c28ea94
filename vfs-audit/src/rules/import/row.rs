//! One row of a table: its op, and its cells by position, by tab, or by what the columns admit.

use super::diagnostic::{Kind, Place};
use super::document::{Cell, Prototype, Row, collapse};
use super::grid::Grid;
use super::placement::{self, Placed, Slot};
use super::sections::is_identifier;
use super::table::{Context, TAKE_ORIGINAL};
use super::text::Line;
use super::vocabulary::ColumnKind;

/// Reads a row; what it does not say stays open and is named.
pub(super) fn read(line: &Line, grid: &Grid, context: &mut Context<'_>) -> Row {
    let op = op_of(line);
    if !is_identifier(&op) {
        let place = Place { line: line.number, table: context.table, op: &op, column: "ops" };
        context.diagnostics.add(Kind::Damaged, place, "the row does not start with the name of an op", TAKE_ORIGINAL);
    }
    let placed = aligned(line, grid).unwrap_or_else(|| by_vocabulary(line, grid));
    let cells: Vec<Cell> =
        grid.names.iter().zip(placed).map(|(name, placed)| cell(name, placed, line.number)).collect();
    complain(line, &op, &cells, context);
    Row { op, line: line.number, text: line.collapsed(), cells }
}

/// True for a line under a table whose first column is blank: it continues the row above.
pub(super) fn is_continuation(line: &Line, first_start: usize) -> bool {
    !line.is_blank() && line.columns.iter().take(first_start).all(|c| *c == ' ')
}

/// Adds a continuation line's cells to their row.
pub(super) fn continue_with(row: &mut Row, line: &Line, grid: &Grid) {
    let parts = cut(&line.columns, &grid.starts).unwrap_or_default();
    for (cell, part) in row.cells.iter_mut().zip(parts) {
        if let Some(text) = cell.text.as_mut().filter(|_| !part.is_empty()) {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(&part);
        }
    }
    row.text.push(' ');
    row.text.push_str(&line.collapsed());
}

/// True when a line outside borders reads as a row: an op's name with a colon, or one that the columns explain.
pub(super) fn looks_like_one(line: &Line, grid: &Grid, prototypes: &[Prototype]) -> bool {
    let op = op_of(line);
    if line.is_blank() || line.is_indented() || !is_identifier(&op) {
        return false;
    }
    let end = name_end(line);
    let has_colon = end > 0 && line.columns.get(end - 1) == Some(&':');
    let is_known = prototypes.iter().any(|prototype| prototype.op == op);
    let is_alone = end >= line.columns.len();
    let is_explained = by_vocabulary(line, grid).iter().any(|placed| matches!(placed, Placed::Certain(_)));
    let is_named = has_colon && (is_known || op.starts_with(|c: char| c.is_ascii_lowercase()));
    is_named || (is_alone && is_known) || ((is_known || line.has_gaps()) && is_explained)
}

/// Where the text behind the op's name and colon starts at the earliest.
pub(super) fn name_end(line: &Line) -> usize {
    let first = line.columns.iter().position(|c| *c != ' ').unwrap_or(0);
    let is_name = |c: &&char| c.is_ascii_alphanumeric() || **c == '_';
    let length = line.columns[first..].iter().take_while(is_name).count();
    let end = first + length;
    end + usize::from(line.columns.get(end) == Some(&':'))
}

/// What follows the op's name, with blanks in place of the name.
pub(super) fn behind_name(line: &Line) -> Vec<char> {
    let mut columns = line.columns.clone();
    let end = name_end(line).min(columns.len());
    columns[..end].fill(' ');
    columns
}

/// Cuts a line at the columns' starts; none when a word crosses one, or stands before the first.
pub(super) fn cut(columns: &[char], starts: &[usize]) -> Option<Vec<String>> {
    if columns.iter().take(*starts.first()?).any(|c| *c != ' ') {
        return None;
    }
    let is_filled = |at: usize| columns.get(at).is_some_and(|c| *c != ' ');
    if starts.iter().any(|start| *start > 0 && is_filled(*start) && is_filled(start - 1)) {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([columns.len()]);
    let cells = starts.iter().zip(ends).map(|(start, end)| {
        let part = columns.get((*start).min(columns.len())..end.min(columns.len()));
        collapse(&part.unwrap_or_default().iter().collect::<String>())
    });
    Some(cells.collect())
}

/// Cells by position; none when the row does not keep to the columns.
fn aligned(line: &Line, grid: &Grid) -> Option<Vec<Placed>> {
    if grid.is_tabbed {
        return tabbed(line, grid.names.len());
    }
    let last = *grid.starts.last()?;
    let end = name_end(line);
    let keeps = |start: usize| grid.starts.contains(&start) || (start > last && !grid.has_unnamed_column);
    if !grid.is_ruled && !line.chunks(end).iter().all(|chunk| keeps(chunk.start)) {
        return None;
    }
    Some(cut(&behind_name(line), &grid.starts)?.into_iter().map(Placed::Certain).collect())
}

/// Cells with one tab between them; blank cells at the end may have lost theirs.
fn tabbed(line: &Line, count: usize) -> Option<Vec<Placed>> {
    let fields: Vec<String> = line.trimmed().split('\t').skip(1).map(collapse).collect();
    let missing = count.checked_sub(fields.len())?;
    Some(fields.into_iter().chain(vec![String::new(); missing]).map(Placed::Certain).collect())
}

fn by_vocabulary(line: &Line, grid: &Grid) -> Vec<Placed> {
    let end = name_end(line);
    let rest = line.columns.get(end..).unwrap_or_default();
    let parts: Vec<String> = if line.has_gaps() {
        line.chunks(end).into_iter().map(|chunk| chunk.text).collect()
    } else {
        rest.iter().collect::<String>().split_whitespace().map(str::to_owned).collect()
    };
    let may_be_unnamed = grid.starts.is_empty() && !grid.is_ruled && grid.names.len() == 1;
    if may_be_unnamed { beside_unnamed(&parts, &grid.slots[0]) } else { placement::place(&parts, &grid.slots) }
}

/// Without borders and layout, a remark may stand in a column without heading: certain is only what leaves that blank.
fn beside_unnamed(parts: &[String], slot: &Slot) -> Vec<Placed> {
    let note = Slot { kind: ColumnKind::Note, width_max: None };
    let mut placed = placement::place(parts, &[slot.clone(), note]);
    let is_blank = placed.pop() == Some(Placed::Certain(String::new()));
    let open = |placed: Placed| match placed {
        Placed::Certain(ref text) if !is_blank => Placed::Open(vec![text.clone()]),
        Placed::Certain(_) | Placed::Open(_) => placed,
    };
    placed.into_iter().map(open).collect()
}

/// The op as the row names it.
fn op_of(line: &Line) -> String {
    let end = name_end(line).min(line.columns.len());
    let name: String = line.columns[..end].iter().collect();
    let name = name.trim().trim_end_matches(':');
    if name.is_empty() {
        line.trimmed().split_whitespace().next().unwrap_or_default().to_owned()
    } else {
        name.to_owned()
    }
}

fn cell(column: &str, placed: Placed, line: usize) -> Cell {
    let (text, candidates) = match placed {
        Placed::Certain(text) => (Some(text), Vec::new()),
        Placed::Open(candidates) => (None, candidates),
    };
    Cell { column: column.to_owned(), text, line, candidates }
}

fn complain(line: &Line, op: &str, cells: &[Cell], context: &mut Context<'_>) {
    let open: Vec<&Cell> = cells.iter().filter(|cell| cell.text.is_none()).collect();
    if open.is_empty() {
        return;
    }
    let columns = open.iter().map(|cell| cell.column.as_str()).collect::<Vec<_>>().join(" | ");
    let is_ambiguous = open.iter().any(|cell| !cell.candidates.is_empty());
    let text = line.collapsed();
    let (kind, what) = if is_ambiguous {
        (Kind::Ambiguous, format!("`{text}` does not say under which heading each value stands"))
    } else {
        (Kind::Unknown, format!("`{text}` fits the columns in no way that is known"))
    };
    let place = Place { line: line.number, table: context.table, op, column: &columns };
    context.diagnostics.add(kind, place, what, TAKE_ORIGINAL);
}
