//! What is compared: the document's statements, taken from a catalogue or from an imported document.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use crate::rules::{
    Catalogue, LoadError, Op, Release, Table,
    import::{self, Imported, ImportedTable, sentences},
};

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Release, directory or file.
    pub name: String,
    /// Operations tables, in order.
    pub tables: Vec<SourceTable>,
}

/// One operations table of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTable {
    /// The kernel's struct.
    pub name: String,
    /// Column headings after `ops`.
    pub columns: Vec<String>,
    /// Ops, by row or prototype.
    pub rows: Vec<SourceRow>,
    /// Lines that speak of all ops.
    pub lines: Vec<String>,
    /// Sentences that rules are drawn from: telling words, and the rules.
    pub sentences: BTreeMap<String, Vec<String>>,
    /// All paragraphs; none when the source keeps none.
    pub paragraphs: Option<Vec<String>>,
}

/// One op of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRow {
    /// Op.
    pub op: String,
    /// Cells; empty when the op has a prototype and no row.
    pub cells: Vec<SourceCell>,
}

/// One cell of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCell {
    /// Column heading.
    pub column: String,
    /// Text: one when it is certain, several when it is ambiguous, none when nothing fits.
    pub texts: Vec<String>,
}

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rule files are no good, or there is no such release.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file could not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no rules that could be imported.
    #[error(
        "{path} holds no section on an operations table; give Documentation/filesystems/locking.rst or a copy of it"
    )]
    NoDocument {
        /// The file.
        path: PathBuf,
    },
}

/// Opens what a user names: a release (`v6.12`), a document, or a directory of rule files (`DIR` or `DIR@v6.12`).
///
/// # Errors
/// Rule files with faults, an unknown release, an unreadable file, a file without rules.
pub fn open(name: &str) -> Result<Source, OpenError> {
    if Release::named(name).is_some() {
        return Ok(Source::of_catalogue(&Catalogue::load(name)?));
    }
    let (directory, release) = name.rsplit_once('@').unwrap_or((name, newest()));
    if Path::new(directory).is_dir() {
        let catalogue = Catalogue::load_from(Path::new(directory), release)?;
        return Ok(Source { name: name.to_owned(), ..Source::of_catalogue(&catalogue) });
    }
    let path = PathBuf::from(name);
    let bytes = fs::read(&path).map_err(|source| OpenError::Unreadable { path: path.clone(), source })?;
    let imported = import::read_bytes(&bytes, name);
    if imported.is_empty() { Err(OpenError::NoDocument { path }) } else { Ok(Source::of_document(&imported)) }
}

fn newest() -> &'static str {
    Release::all().last().map_or("", Release::name)
}

impl Source {
    /// What a catalogue takes from the document.
    pub fn of_catalogue(catalogue: &Catalogue) -> Self {
        let table = |table: &Table| SourceTable {
            name: table.name.clone(),
            columns: table.columns.clone(),
            rows: table.ops.iter().map(op_row).collect(),
            lines: table.lines.clone(),
            sentences: sentences::of_catalogue(table),
            paragraphs: None,
        };
        Self { name: catalogue.name.clone(), tables: catalogue.tables.iter().map(table).collect() }
    }

    /// What an imported document says.
    pub fn of_document(imported: &Imported) -> Self {
        let tables = imported.tables.iter().map(|table| SourceTable {
            name: table.table.clone(),
            columns: table.columns.clone(),
            rows: document_rows(table),
            lines: table.section_lines.iter().map(|line| line.text.clone()).collect(),
            sentences: sentences::of_document(imported, &table.table),
            paragraphs: Some(paragraphs(imported, table)),
        });
        Self { name: imported.name.clone(), tables: tables.collect() }
    }
}

fn op_row(op: &Op) -> SourceRow {
    let cell = |cell: &crate::rules::Cell| SourceCell { column: cell.column.clone(), texts: vec![cell.text.clone()] };
    SourceRow { op: op.name.clone(), cells: op.cells.iter().map(cell).collect() }
}

/// Rows, then the ops that have a prototype only.
fn document_rows(table: &ImportedTable) -> Vec<SourceRow> {
    let cell = |cell: &import::Cell| SourceCell {
        column: cell.column.clone(),
        texts: cell.text.as_ref().map_or_else(|| cell.candidates.clone(), |text| vec![text.clone()]),
    };
    let rows =
        table.rows.iter().map(|row| SourceRow { op: row.op.clone(), cells: row.cells.iter().map(cell).collect() });
    let bare = table.prototypes.iter().filter(|prototype| table.row(&prototype.op).is_none());
    rows.chain(bare.map(|prototype| SourceRow { op: prototype.op.clone(), cells: Vec::new() })).collect()
}

fn paragraphs(imported: &Imported, table: &ImportedTable) -> Vec<String> {
    let prose = imported.prose.iter().filter(|paragraph| paragraph.table == table.table);
    let footnotes = table.footnotes.iter().map(|footnote| format!("[{}] {}", footnote.label, footnote.text));
    prose.map(|paragraph| paragraph.text.clone()).chain(footnotes).collect()
}
