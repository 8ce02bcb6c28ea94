//! `rules diff`: two sources of rules compared by what the document says, cell by cell, line by line, sentence by sentence.
//!
//! A source is a catalogue or an imported document. What a catalogue makes of a cell is not compared: two releases whose
//! cells are the same are the same document here. A cell that could not be read is a difference of its own.

mod compare;
mod source;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use compare::diff;
pub use source::{OpenError, Source, SourceCell, SourceRow, SourceTable, open};

/// One difference between a first and a second source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// Operations table.
    pub table: String,
    /// Op, empty when the difference is not about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Only the first has the table.
    TableRemoved,
    /// Only the second has the table.
    TableAdded,
    /// The column has another heading.
    ColumnRenamed {
        /// Heading in the first.
        from: String,
        /// Heading in the second.
        to: String,
    },
    /// Only the first has the column.
    ColumnRemoved {
        /// Heading.
        column: String,
    },
    /// Only the second has the column.
    ColumnAdded {
        /// Heading.
        column: String,
    },
    /// The op is known under another name, given by `op` in the first.
    OpRenamed {
        /// Name in the second.
        to: String,
    },
    /// Only the first has the op.
    OpRemoved,
    /// Only the second has the op.
    OpAdded,
    /// Both have the op, the first alone has a row for it.
    RowRemoved,
    /// Both have the op, the second alone has a row for it.
    RowAdded,
    /// The cell's text differs.
    CellChanged {
        /// Heading, as the second has it.
        column: String,
        /// Text in the first.
        from: String,
        /// Text in the second.
        to: String,
    },
    /// The cell could not be read in at least one of the sources.
    CellUnread {
        /// Heading, as the second has it.
        column: String,
        /// What the first has; more than one when it is ambiguous, none when nothing fits.
        from: Vec<String>,
        /// What the second has.
        to: Vec<String>,
    },
    /// Only the first has the line that speaks of all ops.
    LineRemoved {
        /// The line.
        text: String,
    },
    /// Only the second has the line that speaks of all ops.
    LineAdded {
        /// The line.
        text: String,
    },
    /// Only the first has the sentence that rules are drawn from.
    SentenceRemoved {
        /// Its telling words.
        text: String,
        /// Rules drawn from it.
        rules: Vec<String>,
    },
    /// Only the second has the sentence that rules are drawn from.
    SentenceAdded {
        /// Its telling words.
        text: String,
        /// Rules drawn from it.
        rules: Vec<String>,
    },
    /// Only the first has the paragraph; told only between two documents.
    ParagraphRemoved {
        /// The paragraph.
        text: String,
    },
    /// Only the second has the paragraph; told only between two documents.
    ParagraphAdded {
        /// The paragraph.
        text: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.table)?;
        if !self.op.is_empty() {
            write!(f, ".{}", self.op)?;
        }
        write!(f, ": {}", self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableRemoved => f.write_str("table removed"),
            Self::TableAdded => f.write_str("table added"),
            Self::ColumnRenamed { from, to } => write!(f, "column `{from}` renamed to `{to}`"),
            Self::ColumnRemoved { column } => write!(f, "column `{column}` removed"),
            Self::ColumnAdded { column } => write!(f, "column `{column}` added"),
            Self::OpRenamed { to } => write!(f, "renamed to `{to}`"),
            Self::OpRemoved => f.write_str("op removed"),
            Self::OpAdded => f.write_str("op added"),
            Self::RowRemoved => f.write_str("row removed"),
            Self::RowAdded => f.write_str("row added"),
            Self::CellChanged { column, from, to } => write!(f, "column `{column}`: {} → {}", shown(from), shown(to)),
            Self::CellUnread { column, from, to } => {
                write!(f, "column `{column}` cannot be compared: {} → {}", listed(from), listed(to))
            }
            Self::LineRemoved { text } => write!(f, "line removed: {text}"),
            Self::LineAdded { text } => write!(f, "line added: {text}"),
            Self::SentenceRemoved { text, rules } => write!(f, "sentence removed ({}): {text}", rules.join(", ")),
            Self::SentenceAdded { text, rules } => write!(f, "sentence added ({}): {text}", rules.join(", ")),
            Self::ParagraphRemoved { text } => write!(f, "paragraph removed: {text}"),
            Self::ParagraphAdded { text } => write!(f, "paragraph added: {text}"),
        }
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() { "blank".to_owned() } else { format!("`{text}`") }
}

fn listed(texts: &[String]) -> String {
    match texts {
        [] => "unreadable".to_owned(),
        texts => texts.iter().map(|text| shown(text)).collect::<Vec<_>>().join(" or "),
    }
}
