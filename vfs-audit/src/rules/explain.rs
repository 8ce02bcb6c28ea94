//! `rules explain`: everything that is known of one rule, for a person.

use std::fmt;

use serde::Serialize;

use super::{
    GLOBAL_ROLE,
    limits::{self, Limit},
    listing::{ListedRule, listed},
    model::{Catalogue, Fact, Op, Read, Rule, Standing},
};
use crate::checker::{Options, Violation, Want, check, sample};

/// Everything that is known of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The rule.
    #[serde(flatten)]
    pub rule: ListedRule,
    /// What is read at the callback: roles, locks, facts.
    pub observed: Vec<String>,
    /// How each lock's state is known.
    pub witnesses: Vec<String>,
    /// What a check of it can miss.
    pub misses: Vec<String>,
    /// What a check of it can wrongly report.
    pub misreports: Vec<String>,
    /// A report of an invented violation; empty when nothing can break the rule.
    pub example: String,
}

/// Explains a rule by its id.
pub fn explain(catalogue: &Catalogue, id: &str) -> Option<Explanation> {
    let (table, op, rule) = catalogue.rule(id)?;
    let in_full = |limit: Limit| limit.text.to_owned();
    let besides = |text: &String| (!text.is_empty()).then(|| text.clone()).into_iter();
    let misreports = if rule.requires.is_empty() { Vec::new() } else { limits::misreports(catalogue, op, rule) };
    let not_observable_live = catalogue.not_observable_live().remove(id);
    Some(Explanation {
        rule: ListedRule { not_observable_live, ..listed(catalogue, table, op, rule) },
        observed: observed(op, rule),
        witnesses: limits::witnesses(catalogue, rule),
        misses: besides(&rule.misses).chain(limits::misses(catalogue, op, rule).into_iter().map(in_full)).collect(),
        misreports: besides(&rule.misreports).chain(misreports.into_iter().map(in_full)).collect(),
        example: example(catalogue, rule).unwrap_or_default(),
    })
}

fn observed(op: &Op, rule: &Rule) -> Vec<String> {
    let mut lines = Vec::new();
    for read in rule.reads() {
        match read {
            Read::Lock { role, lock } if role == GLOBAL_ROLE => lines.push(format!("lock {lock}")),
            Read::Lock { role, lock } => lines.push(format!("lock {lock} of {role}")),
            Read::Fact(name) => lines.extend(fact(op, name).map(|fact| format!("fact {name}: {}", fact.reader))),
        }
    }
    let roles = op.roles.iter().filter(|role| is_read(op, rule, &role.name));
    lines.extend(roles.map(|role| format!("role {}: {}", role.name, role.ways().join(", or "))));
    lines
}

fn fact<'o>(op: &'o Op, name: &str) -> Option<&'o Fact> {
    op.facts.iter().find(|fact| fact.name == name)
}

/// Whether a rule reads something of a role.
fn is_read(op: &Op, rule: &Rule, wanted: &str) -> bool {
    rule.reads().into_iter().any(|read| match read {
        Read::Lock { role, .. } => role == wanted,
        Read::Fact(name) => fact(op, name).is_some_and(|fact| fact.reader.roles().contains(&wanted)),
    })
}

/// The report of the smallest invented observation that breaks the rule and no other.
fn example(catalogue: &Catalogue, rule: &Rule) -> Option<String> {
    let observation = sample(catalogue, &rule.id, Want::Broken)?;
    let options = Options { strict: rule.standing == Standing::NotPromised, ..Options::default() };
    let findings = check(catalogue, [&observation], options);
    let violation = findings.violations.iter().find(|violation| violation.rule == rule.id)?;
    Some(in_words(violation))
}

fn in_words(violation: &Violation) -> String {
    let at = &violation.counterexample;
    format!(
        "violated  {}\nrequired  {}\nfound     {}\nat        {} on {}, called by {}\ncount     {}",
        violation.rule, violation.required, violation.found, at.callback, at.fs, at.caller, violation.count
    )
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        writeln!(formatter, "{}\n\n{}\n", rule.id, rule.statement)?;
        writeln!(formatter, "Document: {} ({}), section {}", rule.document, rule.release, rule.section)?;
        if let Some(reach) = reach(rule) {
            writeln!(formatter, "Releases: {reach}")?;
        }
        if !rule.cells.is_empty() {
            let cells = rule.cells.iter().map(|cell| format!("{} = {:?}", cell.column, cell.text));
            writeln!(formatter, "Row: {}", cells.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(formatter, "Requires: {}", if rule.requires.is_empty() { "nothing".into() } else { rule.summary() })?;
        for (title, why) in [
            ("Not judged", &rule.why_not_judged),
            ("Stale", &rule.stale),
            ("Not observable live", &rule.not_observable_live),
        ] {
            if let Some(why) = why {
                writeln!(formatter, "{title}: {why}")?;
            }
        }
        section(formatter, "Observed", &self.observed)?;
        section(formatter, "Witnesses", &self.witnesses)?;
        section(formatter, "What this can miss", &self.misses)?;
        section(formatter, "What this can wrongly report", &self.misreports)?;
        let example: Vec<_> = self.example.lines().map(str::to_owned).collect();
        section(formatter, "Example report", &example)
    }
}

fn reach(rule: &ListedRule) -> Option<String> {
    match (&rule.since, &rule.until) {
        (None, None) => None,
        (Some(since), None) => Some(format!("since {since}")),
        (None, Some(until)) => Some(format!("until {until}")),
        (Some(since), Some(until)) => Some(format!("{since} to {until}")),
    }
}

fn section(formatter: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(formatter, "\n{title}")?;
    lines.iter().try_for_each(|line| writeln!(formatter, "  {line}"))
}
