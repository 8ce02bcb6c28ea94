//! Damaged rule files and documents without end: no panic, every fault with place and remedy, every rule set whole.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::adopt::adopt_by;
use super::embedded::FILES;
use super::import::{self, broken_invariant, vocabulary::ColumnKind};
use super::load::from_files;
use super::model::{Catalogue, GLOBAL_ROLE, Op, Read};
use super::{Fault, LoadError, SourceFile, explain, list};
use crate::mutation::{Random, fuzz, mutate};

/// What stands in rule files, and what could be mistaken for it.
const RULE_WORDS: &[&str] = &[
    "[[op]]\n",
    "[[op.rule]]\n",
    "[[op.cells]]\n",
    "[[every]]\n",
    "[[column]]\n",
    "[[line]]\n",
    "[[lock]]\n",
    "[op.facts]\n",
    "since = \"6.1\"\n",
    "until = \"5.10\"\n",
    "until = \"v6.18\"\n",
    "point = \"exit\"\n",
    "aspect = \"x\"\n",
    "requires = [\"dir.i_rwsem exclusive\"]\n",
    "when = [\"not a\"]\n",
    "cites = [\"i_rwsem\"]\n",
    "standing = \"advice\"\n",
    "why_not_judged = \"x\"\n",
    "statement = \"x\"\n",
    "row = false\n",
    "position = -9223372036854775808\n",
    "position = 99999999999999999999\n",
    "FLAG = 0xffffffffffffffff\n",
    "\"\"\"",
    "''",
    "'''",
    "\\u0000",
    "\\UFFFFFFFF",
    "inode#0",
    "inode#1",
    "inode#255",
    "inode#256",
    "a.b.c.d.e.f.g.h.i",
    "result",
    "at_exit(",
    "bit(",
    "order(",
    "called(",
    " == ",
    " != ",
    " & ",
    "0x",
    "-1",
    " or ",
    " and ",
    " if ",
    " held",
    " shared",
    " not promised",
    "global.",
    "#",
    "|",
    "{}",
    "]]",
    "é",
    "\u{202e}",
    "\r\n",
    "\u{feff}",
];

/// What stands in documents.
const DOCUMENT_WORDS: &[&str] = &[
    "=====",
    "===== ====",
    "======\t====== =====\n",
    "ops",
    "prototypes::\n",
    "locking rules:\n",
    "\t",
    "  ",
    "\n",
    "\n\n",
    "yes",
    "no",
    "maybe",
    "exclusive",
    "shared",
    "read",
    "write",
    "maybe(read)",
    "yes, unlocks",
    "locks the page",
    " (see below)",
    "(both)",
    "[1]_",
    ".. [1]:",
    "d_iput:",
    "inode_operations",
    "super_operations\n====\n",
    "---",
    "may block",
    "All may block",
    "All except a and b may block",
    "[not true, see below]",
    "i_rwsem",
    "i_rwsem(inode)",
    "->d_lock",
    "mmap_sem",
    "PageLocked(page)",
    "(*op)(",
    ";",
    "->kill_sb() takes a write-locked superblock",
    "!!!",
    "\u{e9}\u{a0}",
    "\r",
    "\u{feff}",
    "\0",
];

/// Files beside the one that is damaged: those that every file refers to.
fn files(damaged: &str, text: String) -> Vec<SourceFile> {
    let others = FILES.iter().filter(|(name, _)| *name != damaged && name.ends_with("locks.toml"));
    let others = others.map(|(name, text)| SourceFile { name: (*name).into(), text: (*text).into() });
    others.chain([SourceFile { name: damaged.into(), text }]).collect()
}

fn check_fault(fault: &Fault, files: &[SourceFile]) {
    let file = files.iter().find(|file| file.name == fault.file).unwrap_or_else(|| panic!("no such file: {fault:?}"));
    let lines = file.text.matches('\n').count() + 1;
    assert!((1..=lines).contains(&fault.line) && fault.column >= 1 && fault.width >= 1, "{fault:?}");
    assert!(!fault.problem.to_string().is_empty() && !fault.problem.remedy().is_empty(), "{fault:?}");
    let shown = fault.to_string();
    assert!(
        shown.contains('^') && shown.contains(&format!("{}:{}:{}", fault.file, fault.line, fault.column)),
        "{shown}"
    );
}

fn check_catalogue(catalogue: &Catalogue, random: &mut Random) {
    for (_, op) in catalogue.ops() {
        check_op(op);
    }
    let listed = list(catalogue);
    if !listed.is_empty() {
        let id = &random.pick(&listed).id;
        assert!(explain(catalogue, id).is_some_and(|explanation| !explanation.to_string().is_empty()), "{id}");
    }
}

/// Ids are unique, and every rule reads what the op has.
fn check_op(op: &Op) {
    let ids: BTreeSet<&str> = op.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), op.rules.len(), "{}", op.name);
    assert!(!op.rules.is_empty(), "{} has no rule", op.name);
    let has_role = |role: &str| role == GLOBAL_ROLE || op.roles.iter().any(|known| known.name == role);
    for rule in &op.rules {
        for read in rule.reads() {
            match read {
                Read::Lock { role, .. } => assert!(has_role(role), "{}: {role}", rule.id),
                Read::Fact(fact) => assert!(op.facts.iter().any(|known| known.name == fact), "{}: {fact}", rule.id),
            }
        }
        assert!(!rule.requires.is_empty() || rule.why_not_judged.is_some(), "{} says nothing", rule.id);
    }
}

#[test]
fn no_damage_to_a_rule_file_makes_loading_fail_without_a_fault() {
    let texts: Vec<Vec<u8>> = FILES.iter().map(|(_, text)| text.as_bytes().to_vec()).collect();
    fuzz("rule files", |random| {
        let (name, text) = *random.pick(FILES);
        let mut bytes = text.as_bytes().to_vec();
        mutate(&mut bytes, random, RULE_WORDS, &texts);
        let files = files(name, String::from_utf8_lossy(&bytes).into_owned());
        match from_files(&files, "v6.12") {
            Ok(catalogue) => check_catalogue(&catalogue, random),
            Err(LoadError::Faulty(faults)) => {
                assert!(!faults.is_empty());
                for fault in &faults {
                    check_fault(fault, &files);
                }
            }
            Err(error) => panic!("{error}"),
        }
    });
}

/// Documents to start from: the samples, and the kernel's own where they are named.
fn documents() -> Vec<Vec<u8>> {
    let samples = [
        include_bytes!("../../tests/data/import/small.rst").to_vec(),
        include_bytes!("../../tests/data/import/plain.txt").to_vec(),
    ];
    let directory = std::env::var_os("VFS_AUDIT_DOCUMENTS").map(PathBuf::from);
    let entries = directory.into_iter().flat_map(|directory| std::fs::read_dir(directory).unwrap());
    let named = entries.filter_map(|entry| std::fs::read(entry.unwrap().path().join("locking.rst")).ok());
    samples.into_iter().chain(named).collect()
}

/// The document without its layout.
fn flattened(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n").into_bytes()
}

#[test]
fn no_damage_to_a_document_makes_the_import_or_its_rules_fail() {
    let documents = documents();
    let catalogues = Catalogue::load_all().unwrap();
    fuzz("documents", |random| {
        let mut bytes = random.pick(&documents).clone();
        if random.below(4) == 0 {
            bytes = flattened(&bytes);
        }
        mutate(&mut bytes, random, DOCUMENT_WORDS, &documents);
        assert_eq!(broken_invariant(&bytes), None);
        if random.below(8) > 0 {
            return;
        }
        let imported = import::read_bytes(&bytes, "input");
        let adopted = adopt_by(&imported, &catalogues);
        check_catalogue(&adopted.catalogue, random);
        for (_, op) in adopted.catalogue.ops() {
            let said =
                op.cells.iter().filter(|cell| !cell.text.is_empty() && !ColumnKind::of(&cell.column).is_remark());
            for cell in said {
                let is_cited = op.rules.iter().any(|rule| rule.cites.contains(&cell.column));
                assert!(is_cited, "{}: no rule and no entry on `{}` = `{}`", op.name, cell.column, cell.text);
            }
        }
    });
}
