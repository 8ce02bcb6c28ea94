//! Lines that speak of a whole section (`All except … may block`), as they bear on one op.

use super::op::OpBuilder;
use crate::rules::import::{SectionLine, sentences};
use crate::rules::model::{Read, Rule, Standing, Table};

/// What a line says of one op.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    /// The op is set apart from the others.
    is_excepted: bool,
    /// The line takes itself back.
    is_doubtful: bool,
}

impl OpBuilder<'_, '_> {
    /// The rules that the nearest release draws from lines which say the same of the op.
    pub(super) fn add_from_lines(&mut self) {
        let lines = self.section.parts.iter().flat_map(|part| &part.section_lines);
        let here: Vec<Said> = lines.map(|line| said(line, &self.op.name)).collect();
        for (table, op) in self.known.clone() {
            if in_release(table, &op.name) == here {
                op.rules.iter().filter(|rule| is_of_line(rule)).for_each(|rule| {
                    self.take(rule.clone(), op);
                });
                return;
            }
        }
        if !here.is_empty() && !self.borrow_from_lines(&here) {
            let why = "no release says this of all ops but has this one among them";
            self.adopting.note((self.line(), self.table, &self.op.name, ""), why.to_owned());
            let rule = self.silent("section_line", why.to_owned(), Standing::Informational);
            self.op.rules.push(rule);
        }
    }

    /// The rules of another op of the table of which a release says the same; only such as read nothing of an object.
    fn borrow_from_lines(&mut self, here: &[Said]) -> bool {
        let tables: Vec<_> = self.adopting.known_tables(self.table).collect();
        for table in tables {
            for other in table.ops.iter().filter(|other| in_release(table, &other.name) == here) {
                let rules: Vec<&Rule> = other.rules.iter().filter(|rule| is_of_line(rule)).collect();
                if rules.iter().all(|rule| reads_no_object(rule)) {
                    let all = rules.into_iter().map(|rule| self.renamed(rule, &other.name)).collect::<Vec<_>>();
                    return all.into_iter().all(|rule| self.take(rule, other));
                }
            }
        }
        false
    }

    /// A rule of another op as one of this op.
    pub(super) fn renamed(&self, rule: &Rule, other: &str) -> Rule {
        let prefix = format!("{}.{other}", self.table);
        let aspect = rule.id.strip_prefix(&prefix).unwrap_or_default();
        let statement = rule.statement.replace(&format!("`{other}`"), &format!("`{}`", self.op.name));
        Rule { id: format!("{}.{}{aspect}", self.table, self.op.name), statement, ..rule.clone() }
    }
}

fn said(line: &SectionLine, op: &str) -> Said {
    Said { is_excepted: line.except.iter().any(|except| except == op), is_doubtful: line.doubtful }
}

/// What a release's lines say of an op.
fn in_release(table: &Table, op: &str) -> Vec<Said> {
    table.lines.iter().filter_map(|line| SectionLine::of(line)).map(|line| said(&line, op)).collect()
}

/// Drawn neither from a cell nor from a sentence: from a line, or from the prototype.
fn is_of_line(rule: &Rule) -> bool {
    rule.cites.is_empty() && sentences::of_rule(&rule.id).is_none()
}

fn reads_no_object(rule: &Rule) -> bool {
    rule.reads().into_iter().all(|read| matches!(read, Read::Fact(_)))
}
