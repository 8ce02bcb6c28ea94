//! The cells of one row, each read as some release reads it.

use std::collections::BTreeMap;

use super::op::OpBuilder;
use crate::rules::import::vocabulary::{ColumnKind, annotations, split_base};
use crate::rules::import::{Cell as ImportedCell, sentences};
use crate::rules::model::{Cell, Demand, LockClass, LockKind, LockOf, Op, Read, Requirement, Rule, Standing};

impl OpBuilder<'_, '_> {
    /// A rule or an entry for every cell.
    pub(super) fn add_from_cells(&mut self) {
        let Some(row) = self.row else { return };
        let mut later = Vec::new();
        for cell in &row.cells {
            match &cell.text {
                None => self.add_open(cell),
                Some(text) if self.add_as_known(&cell.column, text) => {}
                Some(_) => later.push(cell),
            }
        }
        for cell in later {
            let text = cell.text.as_deref().unwrap_or_default();
            if !self.add_by_mode(&cell.column, text) && !self.add_as_others(&cell.column, text) {
                self.add_unread(cell, text);
            }
        }
    }

    /// As the nearest release reads the same text in this cell; true when one has it.
    fn add_as_known(&mut self, column: &str, text: &str) -> bool {
        for (_, op) in self.known.clone() {
            let Some(theirs) = self.column_in(op, column).filter(|theirs| theirs.text == text) else { continue };
            let rules = op.rules.iter().filter(|rule| rule.cites.contains(&theirs.column));
            let rules = rules.filter(|rule| self.cells_agree(rule, op) && self.sentence_stands(rule));
            let rules: Vec<Rule> = rules.map(|rule| self.headed(rule)).collect();
            let is_read = text.is_empty() || !rules.is_empty();
            return is_read && rules.into_iter().all(|rule| self.take(rule, op));
        }
        false
    }

    /// Whether all cells that a rule cites are the same here.
    fn cells_agree(&self, rule: &Rule, from: &Op) -> bool {
        let theirs = from.cells.iter().filter(|cell| rule.cites.contains(&cell.column));
        theirs.into_iter().all(|cell| {
            let ours = self.op.cells.iter().find(|ours| self.is_same_column(&ours.column, &cell.column));
            ours.is_some_and(|ours| ours.text == cell.text)
        })
    }

    /// A cell that names a mode and nothing else, where one rule of the op's says which lock of which object it is about.
    fn add_by_mode(&mut self, column: &str, text: &str) -> bool {
        for (_, op) in self.known.clone() {
            let Some(theirs) = self.column_in(op, column) else { continue };
            let citing: Vec<&Rule> = op.rules.iter().filter(|rule| rule.cites == [theirs.column.clone()]).collect();
            let [rule] = citing.as_slice() else { continue };
            let Some(LockOf { role, lock }) = only_lock(rule) else { continue };
            let Some(class) = self.class(&lock) else { continue };
            let Some(read) = mode(text, class.kind) else { return false };
            let statement = format!("The document's `{text}` is read as {role}.{lock} {read}.");
            let of = LockOf { role: role.clone(), lock: lock.clone() };
            let adapted = match read {
                ReadMode::Demand(demand) => Rule {
                    requires: vec![Requirement::Lock { role, lock, demand }],
                    ..reread(rule, statement, standing(demand))
                },
                ReadMode::Either => Rule { observes: vec![of], ..reread(rule, statement, Standing::Permissive) },
            };
            let adapted = Rule { document: text.to_owned(), ..self.headed(&adapted) };
            return self.take(adapted, op);
        }
        false
    }

    /// As other ops of the table read the same text in this column, where all of them that this op has the roles for agree.
    fn add_as_others(&mut self, column: &str, text: &str) -> bool {
        let tables: Vec<_> = self.adopting.known_tables(self.table).collect();
        for table in tables {
            let mut readings: BTreeMap<Vec<String>, Vec<(Rule, &Op)>> = BTreeMap::new();
            for other in &table.ops {
                let Some(theirs) = self.column_in(other, column).filter(|theirs| theirs.text == text) else { continue };
                let rules: Vec<&Rule> = other.rules.iter().filter(|rule| rule.cites.contains(&theirs.column)).collect();
                if rules.iter().all(|rule| self.is_plain(rule)) {
                    let rules = rules.into_iter().map(|rule| (self.renamed(&self.headed(rule), &other.name), other));
                    let rules: Vec<_> = rules.collect();
                    readings.entry(rules.iter().map(|(rule, _)| requirements(rule)).collect()).or_insert(rules);
                }
            }
            let mut readings = readings.into_values();
            if let (Some(rules), None) = (readings.next(), readings.next()) {
                return rules.into_iter().all(|(rule, other)| self.take(rule, other));
            }
        }
        false
    }

    /// Reads one cell, no sentence, and only objects that this op has under the same name.
    fn is_plain(&self, rule: &Rule) -> bool {
        let has_role = |role: &str| self.op.roles.iter().any(|known| known.name == role);
        let is_known = |read: Read<'_>| match read {
            Read::Lock { role, .. } => has_role(role),
            Read::Fact(_) => true,
        };
        rule.cites.len() == 1 && sentences::of_rule(&rule.id).is_none() && rule.reads().into_iter().all(is_known)
    }

    /// A cell whose text the row does not tell for certain.
    fn add_open(&mut self, cell: &ImportedCell) {
        let why = if cell.candidates.is_empty() {
            "nothing that the column admits stands there".to_owned()
        } else {
            format!("the row admits several readings: {}", quoted(&cell.candidates))
        };
        self.add_entry(cell, why);
    }

    /// A cell that no release has and nothing else explains.
    fn add_unread(&mut self, cell: &ImportedCell, text: &str) {
        if text.is_empty() {
            // A column of remarks has no entries for its blanks in any release.
            if !ColumnKind::of(&cell.column).is_remark() {
                let why = format!("the cell `{}` is blank, which is no statement", cell.column);
                let rule = self.silent(&aspect(&cell.column), why, Standing::Undocumented);
                let statement = format!("The document says nothing of `{}` for `{}`.", cell.column, self.op.name);
                self.push_entry(Rule { statement, cites: vec![cell.column.clone()], ..rule });
            }
            return;
        }
        let known = self.known.iter().filter_map(|(_, op)| self.column_in(op, &cell.column));
        let why = if known.into_iter().any(|theirs| theirs.text == text) {
            format!("the sentences that say what `{text}` means here are not in the document")
        } else {
            format!("no release reads `{text}` for this op, and it names no mode of one lock")
        };
        self.add_entry(cell, why);
    }

    fn add_entry(&mut self, cell: &ImportedCell, why: String) {
        self.adopting.note((cell.line, self.table, &self.op.name, &cell.column), why.clone());
        let rule = self.silent(&aspect(&cell.column), why, Standing::Informational);
        let document = cell.text.clone().unwrap_or_default();
        self.push_entry(Rule { document, cites: vec![cell.column.clone()], ..rule });
    }

    /// Adds an entry under an id of its own: columns whose headings are no words would share one.
    fn push_entry(&mut self, rule: Rule) {
        let is_known = |id: &str| self.op.rules.iter().any(|known| known.id == id);
        let numbered = (2..).map(|number| format!("{}_{number}", rule.id));
        let id = std::iter::once(rule.id.clone()).chain(numbered).find(|id| !is_known(id));
        self.op.rules.push(Rule { id: id.unwrap_or_default(), ..rule });
    }

    /// A release's cell under a heading of this document.
    fn column_in<'o>(&self, op: &'o Op, column: &str) -> Option<&'o Cell> {
        op.cells.iter().find(|cell| self.is_same_column(column, &cell.column))
    }

    /// Headings are the same when they name the same lock, by whatever name it had.
    fn is_same_column(&self, a: &str, b: &str) -> bool {
        a == b || (self.canonical(a) == self.canonical(b) && self.canonical(a).is_some())
    }

    /// A heading with the lock that it names under the name of its class.
    fn canonical(&self, heading: &str) -> Option<String> {
        let end = heading.find('(').unwrap_or(heading.len());
        let class = self.class(heading[..end].trim_start_matches("->"))?;
        Some(format!("{}{}", class.name, &heading[end..]))
    }

    fn class(&self, name: &str) -> Option<&LockClass> {
        self.adopting.sources.first().and_then(|nearest| nearest.lock(name))
    }

    /// A release's rule with the headings of this document.
    fn headed(&self, rule: &Rule) -> Rule {
        let heading = |cited: &String| {
            let ours = self.op.cells.iter().find(|ours| self.is_same_column(&ours.column, cited));
            ours.map_or_else(|| cited.clone(), |ours| ours.column.clone())
        };
        let cites: Vec<String> = rule.cites.iter().map(heading).collect();
        let mut headed = Rule { cites, ..rule.clone() };
        for (theirs, ours) in rule.cites.iter().zip(&headed.cites).filter(|(theirs, ours)| theirs != ours) {
            let (from, to) = (format!("`{theirs}`"), format!("`{ours}`"));
            headed.statement = headed.statement.replace(&from, &to);
            headed.why_not_judged = headed.why_not_judged.map(|why| why.replace(&from, &to));
        }
        headed
    }
}

/// What a cell with a mode and nothing else says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadMode {
    Demand(Demand),
    /// With and without the lock is allowed.
    Either,
}

impl std::fmt::Display for ReadMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Demand(demand) => demand.fmt(formatter),
            Self::Either => formatter.write_str("held or not held"),
        }
    }
}

/// The mode that a cell names; none when it says anything beside it.
fn mode(text: &str, kind: LockKind) -> Option<ReadMode> {
    let has_modes = matches!(kind, LockKind::Rwsem | LockKind::PercpuRwsem);
    let (base, tail) = split_base(text);
    if !annotations(tail)?.is_empty() {
        return None;
    }
    Some(match base {
        "yes" | "shared" | "read" if has_modes => ReadMode::Demand(Demand::SharedAtLeast),
        "exclusive" | "write" if has_modes => ReadMode::Demand(Demand::Exclusive),
        "yes" | "exclusive" => ReadMode::Demand(Demand::Held),
        "no" => ReadMode::Demand(Demand::NotPromised),
        "no or exclusive" if has_modes => ReadMode::Demand(Demand::NotShared),
        "maybe" | "maybe(read)" | "maybe-read" | "maybe(write)" | "maybe-write" => ReadMode::Either,
        _ => return None,
    })
}

fn standing(demand: Demand) -> Standing {
    if demand == Demand::NotPromised { Standing::NotPromised } else { Standing::Judged }
}

/// The one lock that a rule is about, when it is about nothing else.
fn only_lock(rule: &Rule) -> Option<LockOf> {
    match (rule.requires.as_slice(), rule.observes.as_slice()) {
        ([Requirement::Lock { role, lock, .. }], []) => Some(LockOf { role: role.clone(), lock: lock.clone() }),
        ([], [of]) => Some(of.clone()),
        _ => None,
    }
}

fn requirements(rule: &Rule) -> String {
    let requires: Vec<String> = rule.requires.iter().map(ToString::to_string).collect();
    format!("{:?} {:?} {}", rule.point, rule.when, requires.join("; "))
}

fn quoted(texts: &[String]) -> String {
    let shown = texts.iter().map(|text| if text.is_empty() { "blank".to_owned() } else { format!("`{text}`") });
    shown.collect::<Vec<_>>().join(" or ")
}

/// A rule with another reading of its cell.
fn reread(rule: &Rule, statement: String, standing: Standing) -> Rule {
    let why_not_judged = match standing {
        Standing::Judged => None,
        Standing::NotPromised => Some("the caller does not promise it; `--strict` reads it as not held".to_owned()),
        Standing::Undocumented
        | Standing::Permissive
        | Standing::Advice
        | Standing::Informational
        | Standing::Obsolete => Some("with and without the lock is allowed".to_owned()),
    };
    Rule {
        requires: Vec::new(),
        observes: Vec::new(),
        since: None,
        until: None,
        why_not_judged,
        statement,
        standing,
        ..rule.clone()
    }
}

/// The last part of the id of an entry on a column.
fn aspect(column: &str) -> String {
    let words = column.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    format!("cell_{}", words.collect::<Vec<_>>().join("_"))
}
