//! `rules import`: reads a release's `locking.rst`, the 4.x `Locking`, and either of them as pasted from a web page.
//!
//! [`read`] is total: any text gives an [`Imported`]. A cell is read by its place under the heading; where the layout is
//! gone it is read only if the columns admit one placement, and otherwise named, with what it could be. Text outside the
//! tables is kept paragraph by paragraph.
//!
//! # What this can miss
//! - A table whose headings no release has, pasted without layout: its rows stay open.
//! - In a text without blank lines, paragraphs are told apart only where a sentence ends before a `->`.

mod diagnostic;
mod document;
mod grid;
mod invariants;
mod oddities;
mod placement;
mod prose;
mod prototypes;
pub(crate) mod renames;
mod row;
mod sections;
pub(crate) mod sentences;
mod table;
mod text;
pub(crate) mod vocabulary;

pub use diagnostic::{Diagnostic, Kind};
pub use document::{
    Cell, CellRecord, Footnote, Form, Imported, ImportedTable, Paragraph, Prototype, Row, SectionLine, fold,
};

pub use invariants::broken_invariant;

use std::collections::BTreeSet;

use diagnostic::{Diagnostics, Place};
use prose::Prose;
use sections::Section;
use table::Context;
use text::Line;

/// Reads a document.
pub fn read(text: &str, name: &str) -> Imported {
    let lines = text::lines(text);
    let mut diagnostics = Diagnostics::new(name);
    let mut reading = Reading::default();
    let sections = sections::split(&lines);
    let has_title = sections.iter().any(Section::is_document_title);
    for section in &sections {
        match section.table() {
            Some(table) => reading.section(section, table, &mut diagnostics),
            None if section.title.is_empty() && has_title => skip(section, &mut diagnostics),
            None => reading.loose(section),
        }
    }
    let Reading { tables, prose } = reading;
    oddities::find(&tables, &prose, &mut diagnostics);
    if tables.is_empty() {
        let what = "there is no section on an operations table";
        diagnostics.add(Kind::Damaged, Place { line: 1, ..Place::default() }, what, table::TAKE_ORIGINAL);
    }
    let (form, digest) = (sections::form(&lines), text::digest(&lines));
    Imported { name: name.to_owned(), form, digest, tables, prose, diagnostics: diagnostics.finish() }
}

/// Reads a document from bytes; what is not UTF-8 is replaced and named.
pub fn read_bytes(bytes: &[u8], name: &str) -> Imported {
    let mut imported = read(&String::from_utf8_lossy(bytes), name);
    let mut diagnostics = Diagnostics::new(name);
    for line in text::lines_not_utf8(bytes) {
        let place = Place { line, ..Place::default() };
        diagnostics.add(Kind::Damaged, place, "the line is not UTF-8", "save the file as UTF-8");
    }
    imported.diagnostics.extend(diagnostics.finish());
    imported.diagnostics.sort_by_key(|diagnostic| diagnostic.line);
    imported
}

/// Tables and prose read so far.
#[derive(Default)]
struct Reading {
    tables: Vec<ImportedTable>,
    prose: Vec<Paragraph>,
}

impl Reading {
    /// Text of a section that is on no operations table.
    fn loose(&mut self, section: &Section<'_>) {
        let mut prose = Prose::default();
        section.lines.iter().for_each(|line| prose.push(line, false));
        let paragraphs = prose.paragraphs.into_iter();
        self.prose.extend(paragraphs.map(|(line, text)| prose::paragraph(line, text, "", &BTreeSet::new())));
    }

    fn section(&mut self, section: &Section<'_>, table: &str, diagnostics: &mut Diagnostics) {
        let (lines, prototypes) = split_prototypes(section.lines, table, diagnostics);
        prose::complain(section.lines, table, diagnostics);
        let mut context = Context { table, prototypes: &prototypes, diagnostics };
        let (bodies, prose) = read_lines(&lines, &mut context);
        let mut read = ImportedTable {
            table: table.to_owned(),
            title: section.title.clone(),
            line: section.line,
            section_lines: prose.section_lines,
            footnotes: prose.footnotes,
            prototypes,
            ..ImportedTable::default()
        };
        let mut bodies = bodies.into_iter();
        if let Some(body) = bodies.next() {
            (read.columns, read.rows) = (body.columns, body.rows);
        }
        self.add_paragraphs(&read, prose.paragraphs);
        self.tables.push(read);
        self.add_further(section, table, bodies);
    }

    fn add_paragraphs(&mut self, table: &ImportedTable, paragraphs: Vec<(usize, String)>) {
        let prototypes = table.prototypes.iter().map(|prototype| &prototype.op);
        let known: BTreeSet<String> = prototypes.chain(table.rows.iter().map(|row| &row.op)).cloned().collect();
        let paragraphs = paragraphs.into_iter();
        self.prose.extend(paragraphs.map(|(line, text)| prose::paragraph(line, text, &table.table, &known)));
    }

    /// A second table in a section stands by itself under the same name.
    fn add_further(&mut self, section: &Section<'_>, table: &str, bodies: impl Iterator<Item = table::Body>) {
        let further = bodies.map(|body| ImportedTable {
            table: table.to_owned(),
            title: section.title.clone(),
            line: section.line,
            columns: body.columns,
            rows: body.rows,
            ..ImportedTable::default()
        });
        self.tables.extend(further);
    }
}

/// Takes the prototypes out of a section's lines.
fn split_prototypes<'a>(
    lines: &'a [Line],
    table: &str,
    diagnostics: &mut Diagnostics,
) -> (Vec<&'a Line>, Vec<Prototype>) {
    let Some(marker) = lines.iter().position(sections::is_prototypes_marker) else {
        return (lines.iter().collect(), Vec::new());
    };
    let (prototypes, taken) = prototypes::read(&lines[marker + 1..], table, diagnostics);
    let rest = lines[..marker].iter().chain(&lines[marker + 1 + taken..]).collect();
    (rest, prototypes)
}

/// Tables and prose of a section without its prototypes.
fn read_lines(lines: &[&Line], context: &mut Context<'_>) -> (Vec<table::Body>, Prose) {
    let lines: Vec<Line> = lines.iter().map(|line| (*line).clone()).collect();
    let (mut bodies, mut prose, mut at) = (Vec::new(), Prose::default(), 0);
    while at < lines.len() {
        if let Some(body) = table::read(&lines[at..], context) {
            prose.interrupt();
            at += body.taken.max(1);
            bodies.push(body);
        } else {
            if sections::is_rules_marker(&lines[at]) {
                prose.interrupt();
            } else {
                prose.push(&lines[at], bodies.is_empty());
            }
            at += 1;
        }
    }
    (bodies, prose)
}

fn skip(section: &Section<'_>, diagnostics: &mut Diagnostics) {
    let count = section.lines.iter().filter(|line| !line.is_blank()).count();
    let what = format!("{count} lines before the document's title were skipped");
    let place = Place { line: section.line, ..Place::default() };
    diagnostics.add(Kind::Skipped, place, what, "nothing to do if they are a web page's own text");
}
