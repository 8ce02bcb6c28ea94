//! From definitions of all releases to the catalogue of one, with every name looked up and every bound proved.

use std::collections::{BTreeMap, BTreeSet};

use vfs_audit_common::{FLAGS_MAX, ROLE_STEPS_MAX, ROLES_MAX, SLOTS_MAX};

use super::{
    definition::{CellsDef, ColumnDef, Definitions, OpDef, RuleDef, TableDef},
    expression,
    fact::FactReader,
    fault::{At, Place, Problem},
    glob,
    model::{Catalogue, Cell, Condition, Exception, Fact, LockClass, LockKind, Op, Read, Role, RoleSource, Table},
    reader::Faults,
    release::Release,
    statement,
};

/// What is looked up while one release is put together.
pub(super) struct Scope<'a> {
    pub(super) release: Release,
    pub(super) faults: &'a Faults<'a>,
    pub(super) locks: &'a BTreeMap<String, LockClass>,
    pub(super) constants: &'a expression::Constants,
    pub(super) exceptions: &'a [(Exception, Place)],
}

impl Scope<'_> {
    /// The class that a lock name of any release means.
    pub(super) fn lock(&self, name: &str) -> Option<&LockClass> {
        self.locks.get(name).or_else(|| self.locks.values().find(|class| class.also.iter().any(|other| other == name)))
    }
}

/// The catalogue of one release.
pub(super) fn catalogue(definitions: &Definitions, release: Release, faults: &Faults<'_>) -> Catalogue {
    let locks = lock_classes(definitions, faults);
    let scope = Scope {
        release,
        faults,
        locks: &locks,
        constants: &definitions.constants,
        exceptions: &definitions.exceptions,
    };
    let mut tables: Vec<_> = definitions.tables.iter().collect();
    tables.sort_by_key(|table| table.position);
    let mut seen = BTreeSet::new();
    for table in &tables {
        if !seen.insert(&table.name.value) {
            faults.note(&table.name.place, Problem::TableTwice(table.name.value.clone()));
        }
    }
    let tables = tables.into_iter().map(|definition| table(definition, &scope)).filter(|table| !table.ops.is_empty());
    Catalogue {
        name: release.name().to_owned(),
        tables: tables.collect(),
        exceptions: definitions.exceptions.iter().map(|(exception, _)| exception.clone()).collect(),
        locks,
    }
}

fn lock_classes(definitions: &Definitions, faults: &Faults<'_>) -> BTreeMap<String, LockClass> {
    let mut names = BTreeSet::new();
    let mut locks = BTreeMap::new();
    for (class, place) in &definitions.locks {
        for name in std::iter::once(&class.name).chain(&class.also) {
            if !names.insert(name) {
                faults.note(place, Problem::LockTwice(name.clone()));
            }
        }
        locks.insert(class.name.clone(), class.clone());
    }
    locks
}

fn table(definition: &TableDef, scope: &Scope<'_>) -> Table {
    let columns: Vec<_> = definition.columns.iter().filter(|column| column.reach.contains(scope.release)).collect();
    note_duplicates("column", columns.iter().map(|column| &column.key), scope);
    let ops: Vec<_> = definition.ops.iter().filter(|op| op.reach.contains(scope.release)).collect();
    note_duplicates("op", ops.iter().map(|op| &op.name), scope);
    for named in definition.every.iter().flat_map(|rule| rule.except.iter().chain(&rule.only)) {
        if !definition.ops.iter().any(|op| op.name.value == named.value) {
            scope.faults.note(&named.place, Problem::UnknownOp(named.value.clone()));
        }
    }
    Table {
        name: definition.name.value.clone(),
        section: definition.section.clone(),
        structs: definition.structs.clone(),
        operations: definition.operations.clone(),
        superblock: definition.superblock.clone(),
        columns: columns.iter().map(|column| column.heading.clone()).collect(),
        lines: definition
            .lines
            .iter()
            .filter(|(reach, _)| reach.contains(scope.release))
            .map(|(_, text)| text.clone())
            .collect(),
        ops: ops.into_iter().map(|op_definition| op(definition, op_definition, &columns, scope)).collect(),
    }
}

/// Notes names that stand twice.
pub(super) fn note_duplicates<'d>(what: &'static str, names: impl Iterator<Item = &'d At<String>>, scope: &Scope<'_>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.value.as_str()) {
            let problem = Problem::Duplicate { what, name: name.value.clone(), release: scope.release };
            scope.faults.note(&name.place, problem);
        }
    }
}

fn op(table: &TableDef, definition: &OpDef, columns: &[&ColumnDef], scope: &Scope<'_>) -> Op {
    let mut op = Op {
        name: definition.name.value.clone(),
        roles: roles(definition, scope),
        cells: cells(table, definition, columns, scope),
        operations: definition.operations.clone(),
        superblock: definition.superblock.clone(),
        superblock_alternatives: definition.superblock_alternatives.clone(),
        without_superblock: definition.without_superblock || table.without_superblock,
        ..Op::default()
    };
    let rules: Vec<_> = definition.rules.iter().filter(|rule| rule.reach.contains(scope.release)).collect();
    let every = |rule: &&RuleDef| {
        let names = |list: &[At<String>]| list.iter().any(|name| name.value == op.name);
        rule.reach.contains(scope.release) && !names(&rule.except) && (rule.only.is_empty() || names(&rule.only))
    };
    let every: Vec<_> = table.every.iter().filter(every).collect();
    let fact_texts = definition.facts.iter().chain(every.iter().flat_map(|rule| &rule.facts));
    op.facts = facts(fact_texts, &op, scope);
    op.told_apart_by = conditions(&definition.told_apart_by, &op, scope);
    let all: Vec<_> = rules.into_iter().chain(every).collect();
    if op.superblock_alternatives.is_empty() {
        op.superblock_alternatives.clone_from(&table.superblock_alternatives);
    }
    op.rules = statement::rules(&statement::Place { table, definition, op: &op, columns, scope }, &all);
    drop_unused_facts(&mut op, scope);
    check_bounds(&op, definition, scope);
    op
}

fn roles(definition: &OpDef, scope: &Scope<'_>) -> Vec<Role> {
    note_duplicates("role", definition.roles.iter().map(|(name, _)| name), scope);
    let mut roles: Vec<Role> = Vec::new();
    for (name, ways) in &definition.roles {
        let mut parsed = Vec::new();
        for way in ways {
            let Some((from, path)) = scope.faults.keep(&way.place, expression::role(&way.value)) else { continue };
            check_path(&name.value, way, &path, scope);
            check_start(&definition.name.value, way, &from, &roles, scope);
            parsed.push((from, path));
        }
        if !parsed.is_empty() {
            let (from, path) = parsed.remove(0);
            roles.push(Role { name: name.value.clone(), from, path, alternatives: parsed });
        }
    }
    roles
}

/// Notes a path that the kernel side has no room for.
fn check_path(role: &str, way: &At<String>, path: &[String], scope: &Scope<'_>) {
    if path.len() > ROLE_STEPS_MAX {
        let problem = Problem::PathTooLong { role: role.to_owned(), count: path.len(), max: ROLE_STEPS_MAX };
        scope.faults.note(&way.place, problem);
    }
}

/// Notes a path that starts at a role which does not stand before it.
fn check_start(op: &str, way: &At<String>, from: &RoleSource, earlier: &[Role], scope: &Scope<'_>) {
    let RoleSource::Role(role) = from else { return };
    if !earlier.iter().any(|known| known.name == *role) {
        let known = earlier.iter().map(|role| role.name.clone()).collect();
        let problem = Problem::UnknownRole { op: op.to_owned(), name: role.clone(), known };
        scope.faults.note(&way.place, problem);
    }
}

fn cells(table: &TableDef, definition: &OpDef, columns: &[&ColumnDef], scope: &Scope<'_>) -> Vec<Cell> {
    if !definition.row || columns.is_empty() {
        return Vec::new();
    }
    let mut rows = definition.cells.iter().filter(|row| row.reach.contains(scope.release));
    let row = rows.next();
    if let Some(second) = rows.next() {
        let problem = Problem::CellsTwice { op: definition.name.value.clone(), release: scope.release };
        scope.faults.note(&second.place, problem);
    }
    row.into_iter().flat_map(|row| &row.cells).for_each(|(key, _)| note_unknown_column(key, table, scope));
    columns.iter().filter_map(|column| cell(row, column, definition, scope)).collect()
}

fn cell(row: Option<&CellsDef>, column: &ColumnDef, definition: &OpDef, scope: &Scope<'_>) -> Option<Cell> {
    let found = row.and_then(|row| row.cells.iter().find(|(key, _)| key.value == column.key.value));
    if found.is_none() {
        let (op, column) = (definition.name.value.clone(), column.key.value.clone());
        let place = row.map_or(&definition.name.place, |row| &row.place);
        scope.faults.note(place, Problem::MissingCell { op, column, release: scope.release });
    }
    found.map(|(_, text)| Cell { column: column.heading.clone(), text: text.value.clone() })
}

/// Notes a column key that the table has in no release.
fn note_unknown_column(key: &At<String>, table: &TableDef, scope: &Scope<'_>) {
    if !table.columns.iter().any(|column| column.key.value == key.value) {
        let problem = Problem::UnknownColumn { column: key.value.clone(), release: scope.release };
        scope.faults.note(&key.place, problem);
    }
}

fn facts<'d>(texts: impl Iterator<Item = &'d (At<String>, At<String>)>, op: &Op, scope: &Scope<'_>) -> Vec<Fact> {
    let texts: Vec<_> = texts.collect();
    note_duplicates("fact", texts.iter().map(|(name, _)| name), scope);
    let mut facts = Vec::new();
    for (name, text) in texts {
        let Some(mut reader) = scope.faults.keep(&text.place, expression::fact(&text.value, scope.constants)) else {
            continue;
        };
        for role in reader.roles() {
            check_role(role, text, op, scope);
        }
        if let FactReader::Acquired(of) | FactReader::Released(of) | FactReader::EventuallyReleased(of) = &mut reader {
            match scope.lock(&of.lock) {
                Some(class) => of.lock.clone_from(&class.name),
                None => scope.faults.note(&text.place, Problem::UnknownLock(of.lock.clone())),
            }
        }
        facts.push(Fact { name: name.value.clone(), reader });
    }
    facts
}

/// Notes a role that the op does not have.
pub(super) fn check_role(role: &str, text: &At<String>, op: &Op, scope: &Scope<'_>) {
    if role != super::GLOBAL_ROLE && !op.roles.iter().any(|known| known.name == role) {
        let known = op.roles.iter().map(|role| role.name.clone()).collect();
        let problem = Problem::UnknownRole { op: op.name.clone(), name: role.to_owned(), known };
        scope.faults.note(&text.place, problem);
    }
}

/// Conditions whose facts the op has.
pub(super) fn conditions(texts: &[At<String>], op: &Op, scope: &Scope<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for text in texts {
        let Some(condition) = scope.faults.keep(&text.place, expression::condition(&text.value)) else { continue };
        check_fact(&condition.fact, text, op, scope);
        conditions.push(condition);
    }
    conditions
}

/// Notes a fact that the op does not have.
pub(super) fn check_fact(fact: &str, text: &At<String>, op: &Op, scope: &Scope<'_>) {
    if !op.facts.iter().any(|known| known.name == fact) {
        let known = op.facts.iter().map(|fact| fact.name.clone()).collect();
        scope.faults.note(&text.place, Problem::UnknownFact { op: op.name.clone(), name: fact.to_owned(), known });
    }
}

/// Facts that no rule of this release reads need not be collected.
fn drop_unused_facts(op: &mut Op, scope: &Scope<'_>) {
    let mut used: BTreeSet<String> = op.told_apart_by.iter().map(|condition| condition.fact.clone()).collect();
    for read in op.rules.iter().flat_map(super::model::Rule::reads) {
        if let Read::Fact(fact) = read {
            used.insert(fact.to_owned());
        }
    }
    let concerns = |known: &Exception| op.rules.iter().any(|rule| glob::matches(&known.rule, &rule.id));
    for (known, _) in scope.exceptions.iter().filter(|(known, _)| !known.when.is_empty() && concerns(known)) {
        used.extend(known.when.iter().map(|condition| condition.fact.clone()));
    }
    op.facts.retain(|fact| used.contains(&fact.name));
}

/// Proves that the kernel side has room for what the op reads.
fn check_bounds(op: &Op, definition: &OpDef, scope: &Scope<'_>) {
    let gone = |lock: &str| scope.locks.get(lock).is_some_and(|class| class.kind == LockKind::Gone);
    let slots: BTreeSet<_> = op
        .rules
        .iter()
        .flat_map(super::model::Rule::reads)
        .filter(|read| matches!(read, Read::Lock { lock, .. } if !gone(lock)))
        .collect();
    let flags = op.facts.iter().filter(|fact| fact.reader.takes_a_flag()).count();
    for (what, count, max) in
        [("roles", op.roles.len(), ROLES_MAX), ("locks", slots.len(), SLOTS_MAX), ("facts", flags, FLAGS_MAX)]
    {
        if count > max {
            let problem = Problem::TooMany { op: op.name.clone(), what, count, max, release: scope.release };
            scope.faults.note(&definition.name.place, problem);
        }
    }
}
