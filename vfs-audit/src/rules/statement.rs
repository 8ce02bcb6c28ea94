//! The rules of one op in one release: its own, its table's, and one for every blank cell.

use std::collections::BTreeSet;

use super::{
    GLOBAL_ROLE,
    definition::{ColumnDef, OpDef, RuleDef, TableDef},
    expression,
    fault::{At, Problem},
    model::{Cell, Condition, Demand, LockOf, Op, Read, Requirement, Rule, Standing},
    select::{Scope, check_fact, check_role, conditions},
};
use crate::observation::Point;

/// The op that rules are read for, with everything they refer to.
pub(super) struct Place<'a> {
    pub(super) table: &'a TableDef,
    pub(super) definition: &'a OpDef,
    pub(super) op: &'a Op,
    pub(super) columns: &'a [&'a ColumnDef],
    pub(super) scope: &'a Scope<'a>,
}

/// All rules of an op.
pub(super) fn rules(place: &Place<'_>, definitions: &[&RuleDef]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for definition in definitions {
        let rule = rule(definition, place);
        if rules.iter().any(|known: &Rule| known.id == rule.id) {
            let problem = Problem::Duplicate { what: "rule", name: rule.id.clone(), release: place.scope.release };
            let at = definition.aspect.as_ref().map_or(&definition.place, |aspect| &aspect.place);
            place.scope.faults.note(at, problem);
        }
        rules.push(rule);
    }
    add_undocumented(&mut rules, place);
    if rules.is_empty() {
        let problem = Problem::OpWithoutRule(place.op.name.clone(), place.scope.release);
        place.scope.faults.note(&place.definition.name.place, problem);
    }
    rules
}

/// A blank cell says nothing, and that has an entry; a cell with text needs a rule that cites it.
fn add_undocumented(rules: &mut Vec<Rule>, place: &Place<'_>) {
    let cited: BTreeSet<String> = rules.iter().flat_map(|rule| rule.cites.iter().cloned()).collect();
    for column in place.columns {
        let Some(cell) = place.op.cells.iter().find(|cell| cell.column == column.heading) else { continue };
        if cited.contains(&cell.column) {
            continue;
        }
        if !cell.text.is_empty() {
            let (op, column, text) = (place.op.name.clone(), cell.column.clone(), cell.text.clone());
            let problem = Problem::CellWithoutRule { op, column, text, release: place.scope.release };
            place.scope.faults.note(&place.definition.name.place, problem);
        } else if !column.remarks {
            rules.push(undocumented(column, place));
        }
    }
}

fn undocumented(column: &ColumnDef, place: &Place<'_>) -> Rule {
    let (op, heading) = (&place.op.name, &column.heading);
    Rule {
        id: format!("{}.{op}.{}", place.table.name.value, column.aspect),
        point: Point::Entry,
        when: Vec::new(),
        requires: Vec::new(),
        why_not_judged: Some(format!("the cell `{heading}` is blank, which is no statement")),
        document: String::new(),
        statement: format!("The document says nothing of `{heading}` for `{op}`."),
        standing: Standing::Undocumented,
        cites: vec![heading.clone()],
        observes: Vec::new(),
        misses: String::new(),
        misreports: String::new(),
        since: None,
        until: None,
    }
}

fn rule(definition: &RuleDef, place: &Place<'_>) -> Rule {
    let base = format!("{}.{}", place.table.name.value, place.op.name);
    let id = definition.aspect.as_ref().map_or(base.clone(), |aspect| format!("{base}.{}", aspect.value));
    let when = conditions(&definition.when, place.op, place.scope);
    note_contradiction(&when, definition, &id, place);
    let requires = requirements(definition, place);
    note_double_demand(&requires, definition, &id, place);
    let mut rule = Rule {
        point: point(definition, place),
        when,
        standing: standing(definition, &requires, &id, place),
        requires,
        why_not_judged: definition.why_not_judged.as_ref().map(|why| why.value.clone()),
        document: document(definition, &id, place),
        statement: definition.statement.value.replace("{op}", &place.op.name),
        cites: cites(definition, &id, place).into_iter().map(|cell| cell.column.clone()).collect(),
        observes: observes(definition, place),
        misses: definition.misses.as_ref().map(|text| text.value.clone()).unwrap_or_default(),
        misreports: definition.misreports.as_ref().map(|text| text.value.clone()).unwrap_or_default(),
        since: definition.reach.since.map(|release| release.name().to_owned()),
        until: definition.reach.until.map(|release| release.name().to_owned()),
        id,
    };
    note_exit_facts(&rule, definition, place);
    if rule.standing == Standing::NotPromised {
        rule.why_not_judged = Some("the caller does not promise it; `--strict` reads it as not held".to_owned());
    }
    rule
}

fn point(definition: &RuleDef, place: &Place<'_>) -> Point {
    match definition.point.as_ref().map(|point| (point, point.value.as_str())) {
        None | Some((_, "entry")) => Point::Entry,
        Some((_, "exit")) => Point::Exit,
        Some((at, _)) => {
            place.scope.faults.note(&at.place, Problem::BadPoint(at.value.clone()));
            Point::Entry
        }
    }
}

/// The kind of statement, and whether what stands in the rule agrees with it.
fn standing(definition: &RuleDef, requires: &[Requirement], id: &str, place: &Place<'_>) -> Standing {
    let note = |problem| place.scope.faults.note(&definition.place, problem);
    let judged = !definition.requires.is_empty();
    let excuse = definition.standing.is_some() || definition.why_not_judged.is_some();
    if judged && excuse {
        note(Problem::JudgedAndNot(id.to_owned()));
    }
    if !judged && (definition.standing.is_none() || definition.why_not_judged.is_none()) {
        note(Problem::NothingToJudge(id.to_owned()));
    }
    match definition.standing.as_ref().map(|text| (text, text.value.as_str())) {
        None if judged && requires.iter().all(only_not_promised) => Standing::NotPromised,
        None => Standing::Judged,
        Some((_, "undocumented")) => Standing::Undocumented,
        Some((_, "permissive")) => Standing::Permissive,
        Some((_, "advice")) => Standing::Advice,
        Some((_, "informational")) => Standing::Informational,
        Some((_, "obsolete")) => Standing::Obsolete,
        Some((at, _)) => {
            place.scope.faults.note(&at.place, Problem::BadStanding(at.value.clone()));
            Standing::Informational
        }
    }
}

fn only_not_promised(requirement: &Requirement) -> bool {
    match requirement {
        Requirement::Lock { demand, .. } => *demand == Demand::NotPromised,
        Requirement::Fact(_) => false,
        Requirement::Any(choices) => choices.iter().all(only_not_promised),
        Requirement::If(_, inner) => only_not_promised(inner),
    }
}

fn requirements(definition: &RuleDef, place: &Place<'_>) -> Vec<Requirement> {
    let mut requirements = Vec::new();
    for text in &definition.requires {
        let Some(mut parsed) = place.scope.faults.keep(&text.place, expression::requirement(&text.value)) else {
            continue;
        };
        resolve(&mut parsed, text, place);
        requirements.push(parsed);
    }
    requirements
}

/// Looks every name of a requirement up, and writes each lock by its class's name.
fn resolve(requirement: &mut Requirement, text: &At<String>, place: &Place<'_>) {
    match requirement {
        Requirement::Lock { role, lock, .. } => *lock = resolve_lock(role, lock, text, place),
        Requirement::Fact(condition) => check_fact(&condition.fact, text, place.op, place.scope),
        Requirement::Any(choices) => choices.iter_mut().for_each(|choice| resolve(choice, text, place)),
        Requirement::If(conditions, inner) => {
            for condition in conditions {
                check_fact(&condition.fact, text, place.op, place.scope);
            }
            resolve(inner, text, place);
        }
    }
}

fn resolve_lock(role: &str, lock: &str, text: &At<String>, place: &Place<'_>) -> String {
    let note = |problem| place.scope.faults.note(&text.place, problem);
    check_role(role, text, place.op, place.scope);
    let Some(class) = place.scope.lock(lock) else {
        note(Problem::UnknownLock(lock.to_owned()));
        return lock.to_owned();
    };
    let hint = match (role == GLOBAL_ROLE, class.owner.is_empty()) {
        (true, false) => Some("an object embeds it"),
        (false, true) => Some("no object embeds it: its role is `global`"),
        _ => None,
    };
    if let Some(hint) = hint {
        note(Problem::WrongRoleForLock { role: role.to_owned(), lock: lock.to_owned(), hint });
    }
    class.name.clone()
}

fn observes(definition: &RuleDef, place: &Place<'_>) -> Vec<LockOf> {
    let mut observed = Vec::new();
    for text in &definition.observes {
        match expression::lock_of(&text.value) {
            Some(LockOf { role, lock }) => {
                let lock = resolve_lock(&role, &lock, text, place);
                observed.push(LockOf { role, lock });
            }
            None => place.scope.faults.note(&text.place, Problem::BadRequirement(text.value.clone())),
        }
    }
    observed
}

fn cites<'p>(definition: &RuleDef, id: &str, place: &Place<'p>) -> Vec<&'p Cell> {
    let release = place.scope.release;
    let mut cells = Vec::new();
    for cited in &definition.cites {
        let column = place.columns.iter().find(|column| column.key.value == cited.value);
        let cell = column.and_then(|column| place.op.cells.iter().find(|cell| cell.column == column.heading));
        match cell {
            None => {
                let problem = Problem::UnknownColumn { column: cited.value.clone(), release };
                place.scope.faults.note(&cited.place, problem);
            }
            Some(cell) => {
                if cell.text.is_empty() && !definition.requires.is_empty() {
                    let (rule, column) = (id.to_owned(), cited.value.clone());
                    place.scope.faults.note(&cited.place, Problem::CitesBlankCell { rule, column, release });
                }
                cells.push(cell);
            }
        }
    }
    cells
}

fn document(definition: &RuleDef, id: &str, place: &Place<'_>) -> String {
    let mut parts: Vec<_> = cites(definition, id, place).into_iter().map(|cell| cell.text.clone()).collect();
    parts.extend(definition.sentence.as_ref().map(|sentence| sentence.value.clone()));
    if definition.cites.is_empty() && definition.sentence.is_none() {
        place.scope.faults.note(&definition.place, Problem::CitesNothing(id.to_owned()));
    }
    parts.join("; ")
}

fn note_contradiction(when: &[Condition], definition: &RuleDef, id: &str, place: &Place<'_>) {
    for condition in when {
        if when.iter().any(|other| other.fact == condition.fact && other.is != condition.is) {
            let problem = Problem::ContradictoryConditions { rule: id.to_owned(), fact: condition.fact.clone() };
            place.scope.faults.note(&definition.place, problem);
        }
    }
}

fn note_double_demand(requires: &[Requirement], definition: &RuleDef, id: &str, place: &Place<'_>) {
    let mut seen = Vec::new();
    for requirement in requires {
        let (conditions, inner) = match requirement {
            Requirement::If(conditions, inner) => (conditions.as_slice(), inner.as_ref()),
            other @ (Requirement::Lock { .. } | Requirement::Fact(_) | Requirement::Any(_)) => (&[][..], other),
        };
        let Requirement::Lock { role, lock, .. } = inner else { continue };
        if seen.contains(&(conditions, role, lock)) {
            let problem = Problem::LockDemandedTwice { rule: id.to_owned(), role: role.clone(), lock: lock.clone() };
            place.scope.faults.note(&definition.place, problem);
        }
        seen.push((conditions, role, lock));
    }
}

fn note_exit_facts(rule: &Rule, definition: &RuleDef, place: &Place<'_>) {
    if rule.point == Point::Exit {
        return;
    }
    for read in rule.reads() {
        let Read::Fact(name) = read else { continue };
        if place.op.facts.iter().any(|fact| fact.name == name && fact.reader.is_of_exit()) {
            let problem = Problem::FactKnownAtExit { rule: rule.id.clone(), fact: name.to_owned() };
            place.scope.faults.note(&definition.place, problem);
        }
    }
}
