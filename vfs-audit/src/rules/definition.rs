//! Rule files as they are written, for all releases at once: TOML in, definitions with places out.

use toml::{Spanned, de::DeTable};

use super::{
    expression::{self, Constants, is_name},
    fault::{At, Place, Problem},
    model::{Condition, Exception, LockClass, LockKind},
    reader::{Faults, Fields},
    release::Reach,
};

/// Everything that the files define.
#[derive(Default)]
pub(super) struct Definitions {
    pub(super) tables: Vec<TableDef>,
    pub(super) locks: Vec<(LockClass, Place)>,
    pub(super) constants: Constants,
    pub(super) exceptions: Vec<(Exception, Place)>,
}

/// One operations table.
pub(super) struct TableDef {
    pub(super) name: At<String>,
    pub(super) section: String,
    pub(super) position: i64,
    pub(super) structs: Vec<String>,
    pub(super) operations: Vec<String>,
    pub(super) superblock: Vec<String>,
    pub(super) superblock_alternatives: Vec<Vec<String>>,
    pub(super) without_superblock: bool,
    pub(super) columns: Vec<ColumnDef>,
    pub(super) lines: Vec<(Reach, String)>,
    pub(super) every: Vec<RuleDef>,
    pub(super) ops: Vec<OpDef>,
}

/// One column.
pub(super) struct ColumnDef {
    pub(super) key: At<String>,
    pub(super) heading: String,
    /// Last part of the id of the entry that a blank cell gets.
    pub(super) aspect: String,
    /// A column of remarks: a blank cell of it leaves nothing open.
    pub(super) remarks: bool,
    pub(super) reach: Reach,
}

/// One op.
pub(super) struct OpDef {
    pub(super) name: At<String>,
    pub(super) reach: Reach,
    pub(super) row: bool,
    pub(super) roles: Vec<(At<String>, Vec<At<String>>)>,
    pub(super) facts: Vec<(At<String>, At<String>)>,
    pub(super) cells: Vec<CellsDef>,
    pub(super) told_apart_by: Vec<At<String>>,
    pub(super) operations: Option<Vec<String>>,
    pub(super) superblock: Option<Vec<String>>,
    pub(super) superblock_alternatives: Vec<Vec<String>>,
    pub(super) without_superblock: bool,
    pub(super) rules: Vec<RuleDef>,
}

/// The cells of a row in some releases.
pub(super) struct CellsDef {
    pub(super) reach: Reach,
    pub(super) cells: Vec<(At<String>, At<String>)>,
    pub(super) place: Place,
}

/// One statement, of one op or of every op.
pub(super) struct RuleDef {
    pub(super) aspect: Option<At<String>>,
    pub(super) reach: Reach,
    pub(super) point: Option<At<String>>,
    pub(super) when: Vec<At<String>>,
    pub(super) requires: Vec<At<String>>,
    pub(super) observes: Vec<At<String>>,
    pub(super) cites: Vec<At<String>>,
    pub(super) sentence: Option<At<String>>,
    pub(super) statement: At<String>,
    pub(super) standing: Option<At<String>>,
    pub(super) why_not_judged: Option<At<String>>,
    pub(super) misses: Option<At<String>>,
    pub(super) misreports: Option<At<String>>,
    pub(super) facts: Vec<(At<String>, At<String>)>,
    pub(super) except: Vec<At<String>>,
    pub(super) only: Vec<At<String>>,
    pub(super) place: Place,
}

const RULE_KEYS: &[&str] = &[
    "aspect",
    "since",
    "until",
    "point",
    "when",
    "requires",
    "observes",
    "cites",
    "sentence",
    "statement",
    "standing",
    "why_not_judged",
    "misses",
    "misreports",
];
const EVERY_KEYS: &[&str] = &[
    "aspect",
    "since",
    "until",
    "point",
    "when",
    "requires",
    "observes",
    "cites",
    "sentence",
    "statement",
    "standing",
    "why_not_judged",
    "misses",
    "misreports",
    "facts",
    "except",
    "only",
];
const OP_KEYS: &[&str] = &[
    "name",
    "since",
    "until",
    "row",
    "roles",
    "facts",
    "cells",
    "told_apart_by",
    "operations",
    "superblock",
    "superblock_alternatives",
    "without_superblock",
    "rule",
];
const TABLE_KEYS: &[&str] = &[
    "name",
    "section",
    "position",
    "structs",
    "operations",
    "superblock",
    "superblock_alternatives",
    "without_superblock",
    "column",
    "line",
    "every",
    "op",
];

/// Reads the file of lock classes and constants.
pub(super) fn locks<'t>(
    document: &'t Spanned<DeTable<'t>>,
    file: usize,
    faults: &'t Faults<'t>,
    definitions: &mut Definitions,
) {
    let fields = Fields::new(document, file, "the lock file", &["constants", "lock"], faults);
    definitions.constants.extend(fields.numbers("constants").into_iter().map(|(name, value)| (name.value, value)));
    let known = &["name", "owner", "field", "kind", "also", "became", "alternatives"];
    for lock in fields.tables("lock", "a lock", known) {
        definitions.locks.push((lock_class(&lock, faults), lock.place()));
    }
}

fn lock_class(lock: &Fields<'_>, faults: &Faults<'_>) -> LockClass {
    let kind_text = lock.required("kind");
    let kind = faults.keep(&kind_text.place, lock_kind(&kind_text.value)).unwrap_or(LockKind::Gone);
    let gone = plain(lock.text("became")).unwrap_or_default();
    if (kind == LockKind::Gone) == gone.is_empty() {
        faults.note(&lock.place(), Problem::GoneWithoutReason);
    }
    let alternatives = lock.tables("alternatives", "another place of a lock", &["owner", "field"]);
    LockClass {
        name: name(lock.required("name"), faults).value,
        owner: plain(lock.text("owner")).unwrap_or_default(),
        field: path(plain(lock.text("field")).unwrap_or_default().as_str()),
        alternatives: alternatives
            .iter()
            .map(|other| (other.required("owner").value, path(&other.required("field").value)))
            .collect(),
        kind,
        also: lock.texts("also").into_iter().map(|name| name.value).collect(),
        gone,
    }
}

fn lock_kind(text: &str) -> Result<LockKind, Problem> {
    Ok(match text {
        "rwsem" => LockKind::Rwsem,
        "mutex" => LockKind::Mutex,
        "spinlock" => LockKind::Spinlock,
        "seqlock" => LockKind::Seqlock,
        "page_lock" => LockKind::PageLock,
        "buffer_lock" => LockKind::BufferLock,
        "percpu_rwsem" => LockKind::PercpuRwsem,
        "rcu" => LockKind::Rcu,
        "gone" => LockKind::Gone,
        _ => return Err(Problem::BadKind(text.to_owned())),
    })
}

/// Reads the file of known dubious cases.
pub(super) fn exceptions<'t>(
    document: &'t Spanned<DeTable<'t>>,
    file: usize,
    faults: &'t Faults<'t>,
    definitions: &mut Definitions,
) {
    let fields = Fields::new(document, file, "the exception file", &["exception"], faults);
    for case in fields.tables("exception", "an exception", &["rule", "callback", "caller", "fs", "when", "reason"]) {
        let exception = Exception {
            rule: case.required("rule").value,
            callback: plain(case.text("callback")).unwrap_or_default(),
            caller: plain(case.text("caller")).unwrap_or_default(),
            fs: plain(case.text("fs")).unwrap_or_default(),
            when: exception_conditions(&case, faults),
            reason: case.required("reason").value,
        };
        definitions.exceptions.push((exception, case.place()));
    }
}

/// Facts that must be so for an exception to apply.
fn exception_conditions<'t>(case: &Fields<'t>, faults: &Faults<'t>) -> Vec<Condition> {
    let read = |text: At<String>| match expression::condition(&text.value) {
        Ok(condition) => Some(condition),
        Err(problem) => {
            faults.note(&text.place, problem);
            None
        }
    };
    case.texts("when").into_iter().filter_map(read).collect()
}

/// Reads the file of one operations table.
pub(super) fn table<'t>(
    document: &'t Spanned<DeTable<'t>>,
    file: usize,
    faults: &'t Faults<'t>,
    definitions: &mut Definitions,
) {
    let fields = Fields::new(document, file, "the table", TABLE_KEYS, faults);
    let table_name = name(fields.required("name"), faults);
    let section = plain(fields.text("section")).unwrap_or_else(|| table_name.value.clone());
    let lines = fields.tables("line", "a line", &["text", "since", "until"]);
    let every = fields.tables("every", "a rule of every op", EVERY_KEYS);
    let ops = fields.tables("op", "an op", OP_KEYS);
    let definition = TableDef {
        section,
        position: fields.number("position").unwrap_or(i64::MAX),
        structs: fields.optional_texts("structs").map_or_else(|| vec![table_name.value.clone()], plains),
        operations: plains(fields.texts("operations")),
        superblock: plains(fields.texts("superblock")),
        superblock_alternatives: paths(fields.texts("superblock_alternatives")),
        without_superblock: fields.truth("without_superblock").unwrap_or(false),
        columns: columns(&fields),
        lines: lines.iter().map(|line| (line.reach(), line.required("text").value)).collect(),
        every: every.iter().map(|rule| rule_def(rule)).collect(),
        ops: ops.iter().map(|op| op_def(op, faults)).collect(),
        name: table_name,
    };
    definitions.tables.push(definition);
}

fn columns(fields: &Fields<'_>) -> Vec<ColumnDef> {
    fields
        .tables("column", "a column", &["key", "heading", "aspect", "remarks", "since", "until"])
        .iter()
        .map(|column| {
            let key = column.required("key");
            let heading = plain(column.text("heading")).unwrap_or_else(|| key.value.clone());
            let remarks = column.truth("remarks").unwrap_or(false);
            let aspect = plain(column.text("aspect")).unwrap_or_else(|| key.value.clone());
            ColumnDef { key, heading, aspect, remarks, reach: column.reach() }
        })
        .collect()
}

fn op_def(op: &Fields<'_>, faults: &Faults<'_>) -> OpDef {
    let mut cells = Vec::new();
    for row in op.tables("cells", "cells", &[]) {
        cells.push(CellsDef { reach: row.reach(), cells: row.named_texts(), place: row.place() });
    }
    OpDef {
        name: name(op.required("name"), faults),
        reach: op.reach(),
        row: op.truth("row").unwrap_or(true),
        roles: op.lists("roles"),
        facts: op.pairs("facts"),
        cells,
        told_apart_by: op.texts("told_apart_by"),
        operations: op.optional_texts("operations").map(plains),
        superblock: op.optional_texts("superblock").map(plains),
        superblock_alternatives: paths(op.texts("superblock_alternatives")),
        without_superblock: op.truth("without_superblock").unwrap_or(false),
        rules: op.tables("rule", "a rule", RULE_KEYS).iter().map(|rule| rule_def(rule)).collect(),
    }
}

fn rule_def(rule: &Fields<'_>) -> RuleDef {
    RuleDef {
        aspect: rule.text("aspect"),
        reach: rule.reach(),
        point: rule.text("point"),
        when: rule.texts("when"),
        requires: rule.texts("requires"),
        observes: rule.texts("observes"),
        cites: rule.texts("cites"),
        sentence: rule.text("sentence"),
        statement: rule.required("statement"),
        standing: rule.text("standing"),
        why_not_judged: rule.text("why_not_judged"),
        misses: rule.text("misses"),
        misreports: rule.text("misreports"),
        facts: rule.pairs("facts"),
        except: rule.texts("except"),
        only: rule.texts("only"),
        place: rule.place(),
    }
}

fn plain(text: Option<At<String>>) -> Option<String> {
    text.map(|text| text.value)
}

fn plains(texts: Vec<At<String>>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

fn paths(texts: Vec<At<String>>) -> Vec<Vec<String>> {
    texts.into_iter().map(|text| path(&text.value)).collect()
}

fn path(text: &str) -> Vec<String> {
    text.split('.').filter(|member| !member.is_empty()).map(str::to_owned).collect()
}

fn name(text: At<String>, faults: &Faults<'_>) -> At<String> {
    if !text.value.is_empty() && !is_name(&text.value) {
        faults.note(&text.place, Problem::BadName(text.value.clone()));
    }
    text
}
