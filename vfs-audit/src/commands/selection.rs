//! What was asked for: which rule set, which of its rules, which invocations.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::args::{Filters, RuleSource};
use super::{Advice, note};
use crate::checker::Findings;
use crate::observation::Observation;
use crate::rules::import::{self, Imported, Kind};
use crate::rules::{Catalogue, LoadError, Release, adopt, glob};

/// Loads the rule set that was asked for; `kernel` is the release that `auto` goes by.
///
/// # Errors
/// There is no such rule set, its files have faults, or the document holds no rules.
pub fn catalogue(source: &RuleSource, kernel: &str) -> anyhow::Result<Catalogue> {
    let wanted = source.rules.as_str();
    let automatic = Catalogue::for_kernel(kernel);
    if !is_name(wanted) && Path::new(wanted).is_file() {
        return of_document(Path::new(wanted));
    }
    let (directory, release) = wanted.rsplit_once('@').unwrap_or((wanted, automatic));
    let loaded = match wanted {
        "auto" => Catalogue::load(automatic),
        _ if !is_name(wanted) && Path::new(directory).is_dir() => Catalogue::load_from(Path::new(directory), release),
        _ => Catalogue::load(wanted),
    };
    Ok(loaded.map_err(|error| advise(error, wanted))?)
}

/// Whether a rule source is a name of ours; a file of that name needs a path (`./auto`).
fn is_name(wanted: &str) -> bool {
    wanted == "auto" || Release::named(wanted).is_some()
}

/// Whether the rules depend on the kernel's release: with `auto`, and with a directory of rule files that names none.
pub fn goes_by_kernel(source: &RuleSource) -> bool {
    let wanted = source.rules.as_str();
    wanted == "auto" || (!is_name(wanted) && Path::new(wanted).is_dir())
}

/// Makes rules of a kernel's own document; what has no reading is noted, and listed as not judged.
fn of_document(path: &Path) -> anyhow::Result<Catalogue> {
    let imported = document(path)?;
    let adopted = adopt(&imported).map_err(|error| advise(error, &path.display().to_string()))?;
    for diagnostic in imported.diagnostics.iter().filter(|it| matters(it.kind)).chain(&adopted.diagnostics) {
        note(&diagnostic.to_string());
    }
    let rules = adopted.catalogue.rules().count();
    note(&format!("{}: {rules} rules, read as the document of {} is read", imported.name, adopted.nearest));
    Ok(adopted.catalogue)
}

fn matters(kind: Kind) -> bool {
    match kind {
        Kind::Ambiguous | Kind::Unknown | Kind::Damaged => true,
        Kind::Skipped | Kind::Oddity => false,
    }
}

/// Reads a document.
///
/// # Errors
/// The file cannot be read, or holds no section on an operations table.
pub fn document(path: &Path) -> anyhow::Result<Imported> {
    let name = path.display().to_string();
    let hint = "name Documentation/filesystems/locking.rst of a kernel tree, or a copy of it";
    let unreadable = |error| Advice::new(format!("reading the document {name}"), hint).because(error);
    let imported = import::read_bytes(&fs::read(path).map_err(unreadable)?, &name);
    if imported.is_empty() {
        return Err(Advice::new(format!("{name} holds no section on an operations table"), hint).into());
    }
    Ok(imported)
}

/// The error with what to do about it; `wanted` is what was named.
pub(super) fn advise(error: LoadError, wanted: &str) -> Advice {
    let hint = match &error {
        LoadError::UnknownRelease(_) => {
            format!("use `auto`, one of {}, a document's file, or a directory", Catalogue::releases().join(", "))
        }
        LoadError::Unreadable { .. } | LoadError::NoFiles(_) => "name a directory of rule files".to_owned(),
        LoadError::Faulty(_) => "correct the files; `vfs-audit rules lint DIR` proves them".to_owned(),
    };
    Advice::new(format!("loading the rules `{wanted}`"), hint).because(error)
}

/// Proves that every pattern that was given names something.
///
/// # Errors
/// A pattern that no op or rule matches.
pub fn prove(catalogue: &Catalogue, filters: &Filters, require: &[String]) -> anyhow::Result<()> {
    for pattern in &filters.op {
        let mut ops = catalogue.ops().flat_map(|(table, op)| names_of(&table.name, &op.name));
        if !ops.any(|name| glob::matches(pattern, &name)) {
            return Err(no_match("op", pattern).into());
        }
    }
    for pattern in filters.rule.iter().chain(require) {
        if !catalogue.rules().any(|rule| glob::matches(pattern, &rule.id)) {
            return Err(no_match("rule", pattern).into());
        }
    }
    Ok(())
}

/// An op's full and short name.
fn names_of(table: &str, op: &str) -> [String; 2] {
    [format!("{table}.{op}"), op.to_owned()]
}

fn no_match(what: &str, pattern: &str) -> Advice {
    Advice::new(format!("no {what} matches `{pattern}`"), "`vfs-audit rules list` shows them all")
}

/// True when there is no pattern, or one matches one of the names.
fn any_matches<T: AsRef<str>>(patterns: &[String], names: &[T]) -> bool {
    patterns.is_empty() || patterns.iter().any(|glob| names.iter().any(|name| glob::matches(glob, name.as_ref())))
}

impl Filters {
    /// Whether an op is wanted.
    pub fn wants_op(&self, table: &str, op: &str) -> bool {
        any_matches(&self.op, &names_of(table, op))
    }

    /// Whether a rule is wanted by its id.
    pub fn wants_rule(&self, id: &str) -> bool {
        any_matches(&self.rule, &[id])
    }

    /// Whether an observation is wanted.
    pub fn wants(&self, observation: &Observation) -> bool {
        let fs = self.fs.is_empty() || self.fs.contains(&observation.fs);
        let mut ops = std::iter::once(&observation.op).chain(&observation.also);
        fs && (self.op.is_empty() || ops.any(|op| self.wants_op(&observation.table, op)))
    }

    /// Leaves only what was asked for in the findings.
    ///
    /// The check itself goes by the whole catalogue: what an ambiguous call can have been for must not depend on a
    /// filter.
    pub fn narrow(&self, catalogue: &Catalogue, findings: &mut Findings) {
        let ops = catalogue.ops().filter(|(table, op)| self.wants_op(&table.name, &op.name));
        let rules = ops.flat_map(|(_, op)| &op.rules).filter(|rule| self.wants_rule(&rule.id));
        let wanted: BTreeSet<&str> = rules.map(|rule| rule.id.as_str()).collect();
        findings.rules.retain(|rule| wanted.contains(rule.id.as_str()));
        findings.violations.retain(|violation| wanted.contains(violation.rule.as_str()));
        findings.suspected.retain(|violation| wanted.contains(violation.rule.as_str()));
        findings.excepted.retain(|case| wanted.contains(case.violation.rule.as_str()));
        findings.invocations.retain(|name, _| name.split_once('.').is_none_or(|(table, op)| self.wants_op(table, op)));
    }
}
