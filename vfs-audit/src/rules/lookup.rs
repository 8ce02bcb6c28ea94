//! What is asked of a catalogue: an op, a rule, a lock, what is stale and what cannot be observed.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Catalogue, LockClass, LockKind, Op, Read, Rule, Table};

impl Catalogue {
    /// Every op with its table.
    pub fn ops(&self) -> impl Iterator<Item = (&Table, &Op)> {
        self.tables.iter().flat_map(|table| table.ops.iter().map(move |op| (table, op)))
    }

    /// Every rule, in the document's order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.ops().flat_map(|(_, op)| &op.rules)
    }

    /// A rule by its id, with its table and op.
    pub fn rule(&self, id: &str) -> Option<(&Table, &Op, &Rule)> {
        self.ops().find_map(|(table, op)| Some((table, op, op.rules.iter().find(|rule| rule.id == id)?)))
    }

    /// An op of a table.
    pub fn op(&self, table: &str, op: &str) -> Option<&Op> {
        self.tables.iter().find(|known| known.name == table)?.ops.iter().find(|known| known.name == op)
    }

    /// The class of a lock by any name that it has or had.
    pub fn lock(&self, name: &str) -> Option<&LockClass> {
        self.locks.get(name).or_else(|| self.locks.values().find(|class| class.also.iter().any(|other| other == name)))
    }

    /// Why a rule is stale: it names locks that no running kernel has, and nothing else could satisfy it.
    pub fn stale(&self, rule: &Rule) -> Option<String> {
        let gone = |lock: &str| self.locks.get(lock).filter(|class| class.kind == LockKind::Gone);
        let mut reasons = BTreeSet::new();
        for read in rule.reads() {
            if let Read::Lock { lock, .. } = read {
                let class = gone(lock)?;
                reasons.insert(format!("{} is gone: {}", class.name, class.gone));
            }
        }
        (!reasons.is_empty()).then(|| reasons.into_iter().collect::<Vec<_>>().join("; "))
    }

    /// Rules that the live tracer cannot decide on any kernel, by id, with what it cannot read.
    pub fn not_observable_live(&self) -> BTreeMap<String, String> {
        let mut reasons = BTreeMap::new();
        for (_, op) in self.ops() {
            for rule in op.rules.iter().filter(|rule| !rule.requires.is_empty()) {
                if let Some(reason) = self.unreadable(op, rule) {
                    reasons.insert(rule.id.clone(), reason);
                }
            }
        }
        reasons
    }

    fn unreadable(&self, op: &Op, rule: &Rule) -> Option<String> {
        rule.reads().into_iter().find_map(|read| match read {
            Read::Lock { lock, .. } => {
                let class = self.locks.get(lock)?;
                let is_readable = class.kind.readable_live() || class.kind == LockKind::Gone;
                (!is_readable).then(|| format!("the tracer does not read {}", class.name))
            }
            Read::Fact(name) => {
                let fact = op.facts.iter().find(|fact| fact.name == name)?;
                let why = fact.reader.unreadable_live()?;
                Some(format!("the fact `{name}` ({}) is not read live: {why}", fact.reader))
            }
        })
    }
}
