//! The columns of a table: their headings, what they admit, and where they start.

use super::diagnostic::Kind;
use super::document::Prototype;
use super::placement::{COLUMNS_MAX, Slot};
use super::row;
use super::table::{Context, TAKE_ORIGINAL};
use super::text::Line;
use super::vocabulary::{self, ColumnKind};

/// Name of the column that 4.x tables have without a heading.
const UNNAMED: &str = "note";

/// A line of `====` runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Border {
    /// Where each run starts.
    starts: Vec<usize>,
    /// How long it is.
    widths: Vec<usize>,
}

impl Border {
    /// The border that a line is; at least two runs, since one alone underlines a heading.
    pub(super) fn of(line: &Line) -> Option<Self> {
        if !is_drawn(line) {
            return None;
        }
        let (starts, widths): (Vec<usize>, Vec<usize>) = runs(&line.columns).into_iter().unzip();
        (2..=COLUMNS_MAX + 1).contains(&starts.len()).then_some(Self { starts, widths })
    }

    /// True for a line that would be a border if it had fewer columns.
    pub(super) fn is_too_wide(line: &Line) -> bool {
        is_drawn(line) && runs(&line.columns).len() > COLUMNS_MAX + 1
    }
}

fn is_drawn(line: &Line) -> bool {
    line.trimmed().starts_with("==") && line.columns.iter().all(|c| matches!(c, '=' | ' '))
}

/// The columns of a table.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Headings after `ops`.
    pub(super) names: Vec<String>,
    /// What each column admits.
    pub(super) slots: Vec<Slot>,
    /// Where each column starts; empty when the layout is gone.
    pub(super) starts: Vec<usize>,
    /// True when text between two starts belongs to the left one wherever it begins (borders promise that).
    pub(super) is_ruled: bool,
    /// True when exactly one tab parts the cells.
    pub(super) is_tabbed: bool,
    /// True when the last column has no heading in the document.
    pub(super) has_unnamed_column: bool,
}

impl Grid {
    /// The columns under a border, headed by a line.
    pub(super) fn bordered(heading: &Line, border: &Border, context: &mut Context<'_>) -> Self {
        let starts = border.starts[1..].to_vec();
        let cut =
            row::cut(&row::behind_name(heading), &starts).filter(|cells| cells.iter().all(|cell| !cell.is_empty()));
        let is_aligned = cut.is_some();
        let names = cut.or_else(|| headings_by_words(heading, starts.len()));
        let Some(names) = names else {
            let what = format!("`{}` does not give {} headings", heading.collapsed(), starts.len());
            context.add(Kind::Ambiguous, heading.number, what, TAKE_ORIGINAL);
            return Self::nameless(border).without_layout();
        };
        let grid = Self::new(names, starts, &border.widths[1..]);
        if is_aligned { grid } else { grid.without_layout() }
    }

    /// The columns under a border without headings.
    pub(super) fn nameless(border: &Border) -> Self {
        let names = (1..border.starts.len()).map(|column| format!("column {column}")).collect();
        Self::new(names, border.starts[1..].to_vec(), &border.widths[1..])
    }

    /// The columns that a line of headings gives without a border; rows must follow.
    pub(super) fn bare(heading: &Line, after: &[Line], prototypes: &[Prototype]) -> Option<Self> {
        if let Some(names) = tabbed_headings(heading) {
            return Some(Self { is_tabbed: true, ..Self::new(names, Vec::new(), &[]) });
        }
        let grid = if heading.has_gaps() || heading.is_indented() { spaced(heading) } else { worded(heading) }?;
        let follows = after.first().is_some_and(|line| row::looks_like_one(line, &grid, prototypes));
        follows.then(|| grid.with_unnamed_column(after, prototypes))
    }

    /// The same columns without the places where they start.
    pub(super) fn without_layout(self) -> Self {
        Self { starts: Vec::new(), ..self }
    }

    fn new(names: Vec<String>, starts: Vec<usize>, widths: &[usize]) -> Self {
        let last = names.len().saturating_sub(1);
        let width = |column: usize| widths.get(column).copied().filter(|_| column != last);
        let slot = |(column, name): (usize, &String)| Slot { kind: ColumnKind::of(name), width_max: width(column) };
        let slots = names.iter().enumerate().map(slot).collect();
        let is_ruled = !widths.is_empty();
        Self { names, slots, starts, is_ruled, is_tabbed: false, has_unnamed_column: false }
    }

    /// Adds the column without heading, which shows where a row has text far behind a blank last column.
    fn with_unnamed_column(mut self, after: &[Line], prototypes: &[Prototype]) -> Self {
        let Some(last) = self.starts.last().copied() else { return self };
        let rows = after.iter().take_while(|line| row::looks_like_one(line, &self, prototypes));
        let detached = rows.filter_map(|line| {
            let chunks = line.chunks(row::name_end(line));
            chunks.iter().all(|chunk| chunk.start > last).then(|| chunks.first().map(|chunk| chunk.start)).flatten()
        });
        if let Some(start) = detached.min() {
            self.starts.push(start);
            self.names.push(UNNAMED.to_owned());
            self.slots.push(Slot { kind: ColumnKind::of(UNNAMED), width_max: None });
            self.has_unnamed_column = true;
        }
        self
    }
}

fn runs(columns: &[char]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, _) in columns.iter().enumerate().filter(|(_, c)| **c == '=') {
        match found.last_mut().filter(|(start, width)| start + width == at) {
            Some((_, width)) => *width += 1,
            None => found.push((at, 1)),
        }
    }
    found
}

/// `ops\tFirst\tSecond`, as tables are copied from a rendered page.
fn tabbed_headings(line: &Line) -> Option<Vec<String>> {
    let fields: Vec<String> = line.trimmed().split('\t').map(|field| field.trim().to_owned()).collect();
    let is_tabbed = fields.len() > 1 && fields[0] == "ops" && fields.iter().all(|field| !field.is_empty());
    (is_tabbed && !line.raw.contains("\t\t")).then(|| fields[1..].to_vec())
}

/// Headings set apart by wide gaps: each starts a column.
fn spaced(line: &Line) -> Option<Grid> {
    let mut chunks = line.chunks(0);
    if chunks.first().is_some_and(|chunk| chunk.text.eq_ignore_ascii_case("ops")) {
        chunks.remove(0);
    } else if !line.is_indented() {
        return None;
    }
    let is_short = |text: &str| vocabulary::is_heading(text) || (text.split(' ').count() == 1 && !text.ends_with('.'));
    let is_heading = (1..=COLUMNS_MAX).contains(&chunks.len()) && chunks.iter().all(|chunk| is_short(&chunk.text));
    is_heading.then(|| {
        let (starts, names) = chunks.into_iter().map(|chunk| (chunk.start, chunk.text)).unzip();
        Grid::new(names, starts, &[])
    })
}

/// Headings with one space between them: all must be known.
fn worded(line: &Line) -> Option<Grid> {
    let words: Vec<&str> = line.raw.split_whitespace().collect();
    let words = words.strip_prefix(&["ops"]).unwrap_or(&words);
    if words.len() > COLUMNS_MAX * 2 || !words.iter().all(|word| vocabulary::is_in_heading(word)) {
        return None;
    }
    let names = (1..=words.len().min(COLUMNS_MAX)).find_map(|count| only_split(words, count, false))?;
    Some(Grid::new(names, Vec::new(), &[]))
}

/// The headings of a bordered table by their words alone, when only one reading gives as many as the border has.
fn headings_by_words(line: &Line, count: usize) -> Option<Vec<String>> {
    let chunks = line.chunks(row::name_end(line));
    if chunks.len() == count {
        return Some(chunks.into_iter().map(|chunk| chunk.text).collect());
    }
    let words: Vec<&str> = line.raw.split_whitespace().skip(1).collect();
    only_split(&words, count, true)
}

/// The one way to part words into as many headings: known ones, or single words where unknown ones are allowed.
fn only_split(words: &[&str], count: usize, unknown_allowed: bool) -> Option<Vec<String>> {
    if words.len() > COLUMNS_MAX * 4 || count > COLUMNS_MAX {
        return None;
    }
    let mut ways = splits(words, count, unknown_allowed);
    (ways.len() == 1).then(|| ways.remove(0))
}

fn splits(words: &[&str], count: usize, unknown_allowed: bool) -> Vec<Vec<String>> {
    if words.is_empty() || count == 0 {
        return if words.is_empty() && count == 0 { vec![Vec::new()] } else { Vec::new() };
    }
    let is_one = |text: &str, length: usize| vocabulary::is_heading(text) || (unknown_allowed && length == 1);
    let firsts = (1..=words.len().min(4)).map(|length| (length, words[..length].join(" ")));
    let ways = firsts.filter(|(length, text)| is_one(text, *length)).flat_map(|(length, text)| {
        let rest = splits(&words[length..], count - 1, unknown_allowed).into_iter();
        rest.map(move |names| [vec![text.clone()], names].concat())
    });
    ways.collect()
}
