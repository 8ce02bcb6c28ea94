//! One op of an imported document: its roles and facts from the nearest release that has it, its rules from wherever the
//! document's words are found.

use vfs_audit_common::FLAGS_MAX;

use super::Adopting;
use crate::observation::Point;
use crate::rules::glob;
use crate::rules::import::sentences::{self, Sentence};
use crate::rules::import::{ImportedTable, Row};
use crate::rules::model::{Cell, Exception, Fact, GLOBAL_ROLE, Op, Read, Rule, Standing, Table};

/// What the document says of one operations table.
#[derive(Clone, Copy)]
pub(super) struct Section<'b, 'a> {
    /// The section, in parts where it holds several tables.
    pub(super) parts: &'b [&'a ImportedTable],
    /// Its prose and footnotes, folded for a search.
    pub(super) prose: &'b str,
}

/// An op that is being put together.
pub(super) struct OpBuilder<'b, 'a> {
    pub(super) adopting: &'b mut Adopting<'a>,
    pub(super) table: &'a str,
    pub(super) section: Section<'b, 'a>,
    pub(super) row: Option<&'a Row>,
    /// The op in every release that has it, the nearest first, each with its table.
    pub(super) known: Vec<(&'a Table, &'a Op)>,
    pub(super) op: Op,
}

impl<'b, 'a> OpBuilder<'b, 'a> {
    pub(super) fn new(adopting: &'b mut Adopting<'a>, section: Section<'b, 'a>, name: &'a str) -> Self {
        let table = section.parts.first().map_or("", |part| part.table.as_str());
        let row = section.parts.iter().find_map(|part| part.row(name));
        let known: Vec<_> = adopting
            .known_tables(table)
            .filter_map(|table| Some((table, table.ops.iter().find(|op| op.name == name)?)))
            .collect();
        let base = known.first().map(|(_, op)| (*op).clone()).unwrap_or_default();
        let op = Op { name: name.to_owned(), cells: cells(row), rules: Vec::new(), facts: Vec::new(), ..base };
        Self { adopting, table, section, row, known, op }
    }

    /// The op with all its rules.
    pub(super) fn build(mut self) -> Op {
        if self.known.is_empty() {
            return self.unknown();
        }
        self.name_other_rows();
        self.add_from_cells();
        self.add_from_lines();
        self.add_from_prose();
        if self.op.rules.is_empty() {
            let why = "the document names it and says nothing that a rule was drawn from";
            let rule = self.silent("", why.to_owned(), Standing::Undocumented);
            self.op.rules.push(rule);
        }
        self.keep_told_apart_by();
        let nearest: Vec<&str> = self.known.iter().flat_map(|(_, op)| &op.rules).map(|rule| rule.id.as_str()).collect();
        let place = |rule: &Rule| nearest.iter().position(|id| *id == rule.id).unwrap_or(usize::MAX);
        self.op.rules.sort_by_key(place);
        self.op
    }

    /// Names rows of the op that say something else than the first, by which it is read.
    fn name_other_rows(&mut self) {
        let rows = self.section.parts.iter().flat_map(|part| &part.rows).filter(|row| row.op == self.op.name);
        let texts = |row: &Row| row.cells.iter().map(|cell| cell.text.clone()).collect::<Vec<_>>();
        let first = self.row.map(texts);
        let others: Vec<usize> = rows.filter(|row| Some(texts(row)) != first).map(|row| row.line).collect();
        for line in others {
            let what = format!("another row says something else; the op is read by its row in line {}", self.line());
            self.adopting.note((line, self.table, &self.op.name, ""), what);
        }
    }

    /// An op that no release has.
    fn unknown(mut self) -> Op {
        let line = self.line();
        let why = "no release has this op, so nothing says how its objects are reached";
        self.adopting.note((line, self.table, &self.op.name, ""), why.to_owned());
        let mut rule = self.silent("", why.to_owned(), Standing::Informational);
        rule.cites = self.op.cells.iter().map(|cell| cell.column.clone()).collect();
        let texts = self.op.cells.iter().map(|cell| cell.text.as_str()).filter(|text| !text.is_empty());
        rule.document = texts.collect::<Vec<_>>().join("; ");
        self.op.rules.push(rule);
        self.op
    }

    /// The line to point at: the row's, or the prototype's.
    pub(super) fn line(&self) -> usize {
        let prototype = || {
            let all = self.section.parts.iter().flat_map(|part| &part.prototypes);
            all.filter(|prototype| prototype.op == self.op.name).map(|prototype| prototype.line).next()
        };
        self.row.map(|row| row.line).or_else(prototype).unwrap_or(1)
    }

    /// An entry that is not judged.
    pub(super) fn silent(&self, aspect: &str, why: String, standing: Standing) -> Rule {
        let op = &self.op.name;
        let id = if aspect.is_empty() { String::new() } else { format!(".{aspect}") };
        Rule {
            id: format!("{}.{op}{id}", self.table),
            point: Point::Entry,
            when: Vec::new(),
            requires: Vec::new(),
            why_not_judged: Some(why),
            document: String::new(),
            statement: format!("What the document says of `{op}` here has no reading."),
            standing,
            cites: Vec::new(),
            observes: Vec::new(),
            misses: String::new(),
            misreports: String::new(),
            since: None,
            until: None,
        }
    }

    /// Takes a rule over from an op of a release, with the facts that it reads; false when this op has not the roles, a fact
    /// of the same name is another one, or the kernel side has no room for it.
    pub(super) fn take(&mut self, rule: Rule, from: &Op) -> bool {
        if self.op.rules.iter().any(|known| known.id == rule.id) {
            return true;
        }
        let has_role = |role: &str| role == GLOBAL_ROLE || self.op.roles.iter().any(|known| known.name == role);
        let mut added: Vec<Fact> = Vec::new();
        for read in rule.reads() {
            match read {
                Read::Lock { role, .. } if !has_role(role) => return false,
                Read::Lock { .. } => {}
                Read::Fact(name) => {
                    let Some(fact) = from.facts.iter().find(|fact| fact.name == name) else { return false };
                    let is_other = self.op.facts.iter().any(|known| known.name == name && known.reader != fact.reader);
                    if is_other || !fact.reader.roles().into_iter().all(has_role) {
                        return false;
                    }
                    if !self.op.facts.iter().any(|known| known.name == name) {
                        added.push(fact.clone());
                    }
                }
            }
        }
        let flags = self.op.facts.iter().chain(&added).filter(|fact| fact.reader.takes_a_flag()).count();
        if flags > FLAGS_MAX {
            return false;
        }
        self.op.facts.extend(added);
        self.op.rules.push(rule);
        true
    }

    /// Whether the sentence that a rule is drawn from stands in the document; true for a rule that is drawn from none.
    pub(super) fn sentence_stands(&self, rule: &Rule) -> bool {
        let Some(sentence) = sentences::of_rule(&rule.id) else { return true };
        let texts = self.op.cells.iter().map(|cell| cell.text.as_str());
        sentence.is_said_by(texts) || sentence.stands_in(self.section.prose)
    }

    /// Rules that cite no cell: each sentence's from the nearest release that draws any rule of the table from it.
    fn add_from_prose(&mut self) {
        let tables: Vec<&Table> = self.known.iter().map(|(table, _)| *table).collect();
        for (nearness, (_, op)) in self.known.clone().into_iter().enumerate() {
            for rule in op.rules.iter().filter(|rule| rule.cites.is_empty()) {
                let Some(sentence) = sentences::of_rule(&rule.id).filter(|_| self.sentence_stands(rule)) else {
                    continue;
                };
                if !tables[..nearness].iter().any(|nearer| draws_from(nearer, sentence)) {
                    self.take(rule.clone(), op);
                }
            }
        }
    }

    /// Facts that tell the op from others, and those that known dubious cases ask for, must be read even when no rule asks.
    fn keep_told_apart_by(&mut self) {
        let Some((_, base)) = self.known.first() else { return };
        let known = self.adopting.sources.first().map_or(&[][..], |nearest| &nearest.exceptions);
        let concerns = |case: &&Exception| self.op.rules.iter().any(|rule| glob::matches(&case.rule, &rule.id));
        let of_cases: Vec<_> = known.iter().filter(concerns).flat_map(|case| &case.when).collect();
        for condition in base.told_apart_by.iter().chain(of_cases) {
            let fact = base.facts.iter().find(|fact| fact.name == condition.fact);
            if let Some(fact) = fact.filter(|fact| !self.op.facts.iter().any(|known| known.name == fact.name)) {
                self.op.facts.push(fact.clone());
            }
        }
    }
}

/// Whether a release draws a rule of a table from a sentence.
fn draws_from(table: &Table, sentence: &Sentence) -> bool {
    table.ops.iter().flat_map(|op| &op.rules).any(|rule| sentence.is_of(&rule.id))
}

/// The row's cells; an open one says nothing.
fn cells(row: Option<&Row>) -> Vec<Cell> {
    let cell = |cell: &crate::rules::import::Cell| Cell {
        column: cell.column.clone(),
        text: cell.text.clone().unwrap_or_default(),
    };
    row.map(|row| row.cells.iter().map(cell).collect()).unwrap_or_default()
}
