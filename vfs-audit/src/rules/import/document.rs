//! What an imported document is: its tables cell by cell, its prototypes, its prose. Plain data; nothing here reads text.

use serde::{Deserialize, Serialize};

use super::diagnostic::{Diagnostic, Kind};

/// How the document was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `locking.rst`: underlined headings, bordered tables.
    Rst,
    /// The `Locking` file of the 4.x releases and before: headings between dashes, tables without borders.
    PlainText,
    /// Pasted from a web page: no indentation, no blank lines, one space between cells.
    Flattened,
}

/// A document as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Name of the file, as diagnostics show it.
    pub name: String,
    /// Layout.
    pub form: Form,
    /// FNV-1a 64 of the text with uniform line ends: stable trees change rules mid-series, so a version is no identity.
    pub digest: String,
    /// Sections on operations tables, in the document's order; some have no rows.
    pub tables: Vec<ImportedTable>,
    /// Everything outside the tables.
    pub prose: Vec<Paragraph>,
    /// What could not be read for certain, and what the document has that it should not.
    pub diagnostics: Vec<Diagnostic>,
}

/// One section of the document: an operations table with what is said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedTable {
    /// The kernel's struct (`xattr_handler`).
    pub table: String,
    /// Heading as written (`xattr_handler operations`).
    pub title: String,
    /// Line of the heading.
    pub line: usize,
    /// Prototypes, in order.
    pub prototypes: Vec<Prototype>,
    /// Column headings after `ops`; empty in a section without a table.
    pub columns: Vec<String>,
    /// Rows, in order.
    pub rows: Vec<Row>,
    /// Lines that speak of all ops (`all may block`).
    pub section_lines: Vec<SectionLine>,
    /// Footnotes.
    pub footnotes: Vec<Footnote>,
}

/// A prototype of an op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prototype {
    /// Member of the struct.
    pub op: String,
    /// Declaration, white space collapsed.
    pub text: String,
    /// First line.
    pub line: usize,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Op named by the row, without the colon.
    pub op: String,
    /// Its line.
    pub line: usize,
    /// The line as read, white space collapsed.
    pub text: String,
    /// One cell for every column of the table, in order.
    pub cells: Vec<Cell>,
}

/// A cell of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Column heading.
    pub column: String,
    /// Text, white space collapsed; empty when blank, none when the row does not say what stands here.
    pub text: Option<String>,
    /// Its line.
    pub line: usize,
    /// What could stand here when `text` is none; empty when nothing that the column admits does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

/// A line that speaks of all ops of a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionLine {
    /// Text, white space collapsed.
    pub text: String,
    /// Its line.
    pub line: usize,
    /// Ops that it sets apart (`All except set_page_dirty and freepage may block`).
    pub except: Vec<String>,
    /// True when it takes itself back (`[not true, see below]`).
    pub doubtful: bool,
}

/// A footnote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footnote {
    /// Label (`1`).
    pub label: String,
    /// Text, white space collapsed.
    pub text: String,
    /// Its line.
    pub line: usize,
}

/// A paragraph outside the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paragraph {
    /// Operations table of its section; empty before the first section and in the list of dubious cases.
    pub table: String,
    /// Ops that it names.
    pub ops: Vec<String>,
    /// Text, white space collapsed.
    pub text: String,
    /// First line.
    pub line: usize,
}

/// One cell in the flat form that `--format json` prints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellRecord {
    /// Operations table.
    pub table: String,
    /// Op.
    pub op: String,
    /// Column heading.
    pub column: String,
    /// Text; null when ambiguous.
    pub cell: Option<String>,
    /// Its line.
    pub line: usize,
    /// What an ambiguous cell could be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

impl Imported {
    /// Every cell as read, blank cells included, in the document's order.
    pub fn cells(&self) -> Vec<CellRecord> {
        let rows = self.tables.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)));
        rows.flat_map(|(table, row)| row.cells.iter().map(move |cell| record(table, row, cell))).collect()
    }

    /// The section on an operations table.
    pub fn table(&self, name: &str) -> Option<&ImportedTable> {
        self.tables.iter().find(|table| table.table == name)
    }

    /// True when nothing was found that could be a rule.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.rows.is_empty() && table.section_lines.is_empty())
    }

    /// What is odd in the document itself, as opposed to what could not be read.
    pub fn oddities(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.kind == Kind::Oddity)
    }

    /// All text of a section outside its table, footnotes too, folded by [`fold`] for a search.
    pub fn folded_prose(&self, table: &str) -> String {
        let paragraphs = self.prose.iter().filter(|paragraph| paragraph.table == table).map(|it| it.text.as_str());
        let sections = self.tables.iter().filter(|section| section.table == table);
        let footnotes = sections.flat_map(|section| &section.footnotes).map(|footnote| footnote.text.as_str());
        fold(&paragraphs.chain(footnotes).collect::<Vec<_>>().join(" "))
    }
}

impl ImportedTable {
    /// The row of an op.
    pub fn row(&self, op: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.op == op)
    }
}

impl Row {
    /// The cell under a heading.
    pub fn cell(&self, column: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.column == column)
    }
}

fn record(table: &ImportedTable, row: &Row, cell: &Cell) -> CellRecord {
    CellRecord {
        table: table.table.clone(),
        op: row.op.clone(),
        column: cell.column.clone(),
        cell: cell.text.clone(),
        line: cell.line,
        candidates: cell.candidates.clone(),
    }
}

/// Text for comparing wording: lower case, white space collapsed, markup (`*`, backquote) gone.
pub fn fold(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !matches!(c, '*' | '`')).collect();
    collapse(&plain).to_lowercase()
}

/// The words of a text with one space between them.
pub(crate) fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
