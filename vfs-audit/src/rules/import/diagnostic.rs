//! What an import has to say: place, what was found, and what to do about it. Data for the commands to print.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a diagnostic is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The text admits more than one reading; none was chosen.
    Ambiguous,
    /// A word or name that the importer does not know.
    Unknown,
    /// The layout is broken.
    Damaged,
    /// Text that belongs to no section.
    Skipped,
    /// Read for certain, but the document contradicts or repeats itself, or leaves something out.
    Oddity,
}

/// One thing found while importing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// File as named by the caller.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Operations table, empty outside one.
    pub table: String,
    /// Op, empty when the diagnostic is not about a row.
    pub op: String,
    /// Column, empty when the diagnostic is not about a cell; several are joined by ` | `.
    pub column: String,
    /// What it is about.
    pub kind: Kind,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match (self.table.is_empty(), self.op.is_empty()) {
            (true, _) => {}
            (false, true) => write!(f, "{}: ", self.table)?,
            (false, false) => write!(f, "{}.{}: ", self.table, self.op)?,
        }
        if !self.column.is_empty() {
            write!(f, "column {}: ", self.column)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Where a diagnostic points to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    pub(super) line: usize,
    pub(super) table: &'a str,
    pub(super) op: &'a str,
    pub(super) column: &'a str,
}

/// Collects diagnostics of one file.
#[derive(Debug)]
pub(super) struct Diagnostics {
    file: String,
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    pub(super) fn add(&mut self, kind: Kind, place: Place<'_>, what: impl Into<String>, remedy: &str) {
        self.found.push(Diagnostic {
            file: self.file.clone(),
            line: place.line,
            table: place.table.to_owned(),
            op: place.op.to_owned(),
            column: place.column.to_owned(),
            kind,
            what: what.into(),
            remedy: remedy.to_owned(),
        });
    }

    /// All of them by line; equal lines keep the order of discovery.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| diagnostic.line);
        self.found
    }
}
