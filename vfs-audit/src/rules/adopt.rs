//! A rule set made of an imported document, so that a kernel can be audited against its own text.
//!
//! A cell is read as the nearest release reads the same text in the same place; a sentence counts only where the document
//! has its words. A cell that no release has is read if it names just a mode of the lock that the column and the op leave
//! no doubt about, or as the release's other ops read the same text. Whatever is left is an entry of its own that is not
//! judged and says why, and a diagnostic: nothing is guessed and nothing is dropped.
//!
//! # What this can miss
//! - A sentence that no release has: it is prose to the importer, and no rule is drawn from it.
//! - An op that no release has: nothing says how its objects are reached, so it is listed and not judged.
//! - An op keeps the name that the document has for it; on a kernel that calls it otherwise it is not observable.

mod cells;
mod lines;
mod op;

use super::diff::{self, Source};
use super::fault::LoadError;
use super::import::{Diagnostic, Imported, ImportedTable, Kind};
use super::model::{Catalogue, Table};
use op::{OpBuilder, Section};

/// A rule set and what could not be made of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The rules.
    pub catalogue: Catalogue,
    /// The release whose document is nearest to this one.
    pub nearest: String,
    /// What has no reading, with its place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Makes a rule set of a document.
///
/// # Errors
/// None: the embedded rule files, which it goes by, are free of faults, as a test proves.
pub fn adopt(imported: &Imported) -> Result<Adopted, LoadError> {
    Ok(adopt_by(imported, &Catalogue::load_all()?))
}

/// Makes a rule set of a document by these releases' rule sets, given from old to new.
pub(super) fn adopt_by(imported: &Imported, catalogues: &[Catalogue]) -> Adopted {
    let sources = by_nearness(imported, catalogues);
    let mut adopting = Adopting { imported, sources: &sources, diagnostics: Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    for section in &imported.tables {
        if !names.contains(&section.table.as_str()) {
            names.push(&section.table);
        }
    }
    let tables: Vec<Table> = names.into_iter().filter_map(|name| adopting.table(name)).collect();
    let diagnostics = adopting.diagnostics;
    let nearest = sources.first().map(|nearest| (*nearest).clone()).unwrap_or_default();
    let catalogue =
        Catalogue { name: imported.name.clone(), tables, locks: nearest.locks, exceptions: nearest.exceptions };
    Adopted { catalogue, nearest: nearest.name, diagnostics }
}

/// The catalogues, the one with the fewest differences first; of equally near ones, the newest.
fn by_nearness<'c>(imported: &Imported, catalogues: &'c [Catalogue]) -> Vec<&'c Catalogue> {
    let document = Source::of_document(imported);
    let distance = |catalogue: &Catalogue| diff::diff(&Source::of_catalogue(catalogue), &document).len();
    let mut ranked: Vec<(usize, &Catalogue)> =
        catalogues.iter().rev().map(|catalogue| (distance(catalogue), catalogue)).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked.into_iter().map(|(_, catalogue)| catalogue).collect()
}

/// What is at hand while a document is read as rules.
pub(super) struct Adopting<'a> {
    pub(super) imported: &'a Imported,
    /// Every release, the nearest first.
    pub(super) sources: &'a [&'a Catalogue],
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'a> Adopting<'a> {
    /// The tables of a name, the nearest release's first.
    pub(super) fn known_tables(&self, name: &str) -> impl Iterator<Item = &'a Table> {
        self.sources.iter().flat_map(|catalogue| &catalogue.tables).filter(move |table| table.name == name)
    }

    fn table(&mut self, name: &str) -> Option<Table> {
        let sections: Vec<&ImportedTable> = self.imported.tables.iter().filter(|table| table.table == name).collect();
        let first = *sections.first()?;
        let Some(base) = self.known_tables(name).next() else {
            let what = "no release has this operations table, so nothing says how its objects are reached";
            self.note((first.line, name, "", ""), what.to_owned());
            return None;
        };
        let ops = ops_of(&sections);
        let prose = self.imported.folded_prose(name);
        let section = Section { parts: &sections, prose: &prose };
        Some(Table {
            columns: first.columns.clone(),
            lines: sections.iter().flat_map(|section| &section.section_lines).map(|line| line.text.clone()).collect(),
            section: first.title.clone(),
            ops: ops.into_iter().map(|op| OpBuilder::new(self, section, op).build()).collect(),
            ..base.clone()
        })
    }

    /// Notes what has no reading: line, table, op, column, and what was found.
    pub(super) fn note(&mut self, (line, table, op, column): (usize, &str, &str, &str), what: String) {
        self.diagnostics.push(Diagnostic {
            file: self.imported.name.clone(),
            line,
            table: table.to_owned(),
            op: op.to_owned(),
            column: column.to_owned(),
            kind: Kind::Unknown,
            what,
            remedy: "it is listed and not judged; rule files can judge it (`--rules DIR`)".to_owned(),
        });
    }
}

/// The ops of a section, by row and then by prototype, each once.
fn ops_of<'i>(sections: &[&'i ImportedTable]) -> Vec<&'i str> {
    let rows = sections.iter().flat_map(|section| &section.rows).map(|row| row.op.as_str());
    let prototypes = sections.iter().flat_map(|section| &section.prototypes).map(|it| it.op.as_str());
    let mut ops: Vec<&str> = Vec::new();
    for op in rows.chain(prototypes) {
        if !ops.contains(&op) {
            ops.push(op);
        }
    }
    ops
}
