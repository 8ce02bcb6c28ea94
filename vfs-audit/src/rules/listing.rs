//! `rules list`: every rule as a plain record.

use serde::Serialize;

use super::{
    model::{Catalogue, Cell, Op, Rule, Standing, Table},
    notation::joined,
};
use crate::observation::Point;

/// One rule, flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedRule {
    /// Rule id.
    pub id: String,
    /// Operations table.
    pub table: String,
    /// Op.
    pub op: String,
    /// Heading of the document's section.
    pub section: String,
    /// Rule set it was listed from.
    pub release: String,
    /// First release whose document says so, if not all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Last release whose document says so, if the newest does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What kind of statement it is.
    pub standing: Standing,
    /// Where it must hold.
    pub point: Point,
    /// Facts that must be so for it to apply.
    pub when: Vec<String>,
    /// What it requires, in the language of the rule files.
    pub requires: Vec<String>,
    /// The cell as written, or where the sentence stands.
    pub document: String,
    /// The op's row of the document.
    pub cells: Vec<Cell>,
    /// Our reading.
    pub statement: String,
    /// Why nothing is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not_judged: Option<String>,
    /// Which gone lock makes it stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
    /// What the live tracer cannot read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_observable_live: Option<String>,
}

/// Every rule of a catalogue, in the document's order.
pub fn list(catalogue: &Catalogue) -> Vec<ListedRule> {
    let unreadable = catalogue.not_observable_live();
    let mut rules = Vec::new();
    for (table, op) in catalogue.ops() {
        for rule in &op.rules {
            let not_observable_live = unreadable.get(&rule.id).cloned();
            rules.push(ListedRule { not_observable_live, ..listed(catalogue, table, op, rule) });
        }
    }
    rules
}

/// One rule, without what the live tracer cannot read of it.
pub(super) fn listed(catalogue: &Catalogue, table: &Table, op: &Op, rule: &Rule) -> ListedRule {
    ListedRule {
        id: rule.id.clone(),
        table: table.name.clone(),
        op: op.name.clone(),
        section: table.section.clone(),
        release: catalogue.name.clone(),
        since: rule.since.clone(),
        until: rule.until.clone(),
        standing: rule.standing,
        point: rule.point,
        when: rule.when.iter().map(ToString::to_string).collect(),
        requires: rule.requires.iter().map(ToString::to_string).collect(),
        document: rule.document.clone(),
        cells: op.cells.clone(),
        statement: rule.statement.clone(),
        why_not_judged: rule.why_not_judged.clone(),
        stale: catalogue.stale(rule),
        not_observable_live: None,
    }
}

impl ListedRule {
    /// What it requires in one line (`dir.i_rwsem exclusive; when not exchange`); why not, where it requires nothing.
    pub fn summary(&self) -> String {
        let required = match &self.why_not_judged {
            Some(why) if self.requires.is_empty() => return why.clone(),
            _ => self.requires.join("; "),
        };
        if self.when.is_empty() { required } else { format!("{required}; when {}", joined(&self.when, " and ")) }
    }
}
