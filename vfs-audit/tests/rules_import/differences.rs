//! `rules diff`: none between a release's rules and its document, and every planted one between two documents.

use vfs_audit::rules::Catalogue;
use vfs_audit::rules::diff::{self, OpenError, Source};
use vfs_audit::rules::import;

use crate::layout::{flattened, kernel_documents, sample};

fn source(text: &str) -> Source {
    Source::of_document(&import::read(text, "document"))
}

fn shown(first: &Source, second: &Source) -> Vec<String> {
    diff::diff(first, second).iter().map(ToString::to_string).collect()
}

/// The rule set of a document: `v6.12` for `v6.12.0`.
pub(crate) fn rule_set(document: &str) -> &'static str {
    let is_of = |release: &&str| document == *release || document.starts_with(&format!("{release}."));
    Catalogue::releases().into_iter().find(is_of).unwrap_or_else(|| panic!("no rule set for {document}"))
}

#[test]
fn a_release_s_rules_say_what_its_document_says() {
    for (document, text) in kernel_documents("a_release_s_rules_say_what_its_document_says") {
        let rules = Source::of_catalogue(&Catalogue::load(rule_set(&document)).unwrap());
        assert!(rules.tables.iter().map(|table| table.rows.len()).sum::<usize>() > 100);
        assert_eq!(shown(&rules, &source(&text)), [""; 0], "{document}");
        assert_eq!(shown(&source(&text), &rules), [""; 0], "{document}");
    }
}

#[test]
fn every_op_of_a_document_has_a_rule_in_its_release() {
    for (document, text) in kernel_documents("every_op_of_a_document_has_a_rule_in_its_release") {
        let rules = Catalogue::load(rule_set(&document)).unwrap();
        for table in import::read(&text, &document).tables {
            let ops = table.rows.iter().map(|row| &row.op).chain(table.prototypes.iter().map(|it| &it.op));
            for op in ops {
                let known = rules.op(&table.table, op);
                assert!(known.is_some_and(|op| !op.rules.is_empty()), "{document}: {}.{op}", table.table);
            }
        }
    }
}

#[test]
fn a_document_of_another_release_differs() {
    for (document, text) in kernel_documents("a_document_of_another_release_differs") {
        for release in Catalogue::releases().into_iter().filter(|release| *release != rule_set(&document)) {
            let rules = Source::of_catalogue(&Catalogue::load(release).unwrap());
            assert_ne!(shown(&rules, &source(&text)), [""; 0], "{release} and {document}");
        }
    }
}

#[test]
fn an_unread_cell_is_a_difference() {
    for (document, text) in kernel_documents("an_unread_cell_is_a_difference") {
        let found = shown(&source(&text), &source(&flattened(&text)));
        let unread = |line: &&String| line.contains("cannot be compared");
        let paragraph = |line: &&String| line.contains(": paragraph ");
        assert!(found.iter().any(|line| unread(&line)), "{document}");
        assert!(found.iter().all(|line| unread(&line) || paragraph(&line)), "{document}: {found:?}");
    }
}

#[test]
fn equal_documents_do_not_differ() {
    for name in ["small.rst", "plain.txt"] {
        assert_eq!(shown(&source(&sample(name)), &source(&sample(name))), [""; 0]);
    }
}

/// A text changed in one place, and what the difference is called.
const PLANTED: &[(&str, &str, &str)] = &[
    (
        "invalidatepage:\t\tyes",
        "invalidatepage:\t\tno",
        "address_space_operations.invalidatepage: column `PageLocked(page)`: `yes` → `no`",
    ),
    ("\t\t exclusive\n", "\n", "address_space_operations.write_begin: column `i_rwsem`: `exclusive` → blank"),
    ("i_rwsem\tinvalidate", "i_mutex\tinvalidate", "address_space_operations: column `i_rwsem` renamed to `i_mutex`"),
    (
        "All except bmap and",
        "All except",
        "address_space_operations: line removed: All except bmap and unknown_op may block",
    ),
    ("All except bmap and", "All except", "address_space_operations: line added: All except unknown_op may block"),
    ("swap_thing:\n", "", "super_operations.swap_thing: row removed"),
    ("readpage", "read_folio", "address_space_operations.readpage: renamed to `read_folio`"),
    ("free_inode", "destroy_inode", "super_operations.free_inode: op removed"),
    ("free_inode", "destroy_inode", "super_operations.destroy_inode: op added"),
    ("file_lock_operations", "lock_manager_operations", "file_lock_operations: table removed"),
    ("file_lock_operations", "lock_manager_operations", "lock_manager_operations: table added"),
    (
        "on a lease must",
        "on a lease may",
        "file_lock_operations: paragraph added: [1] ->fl_release_private on a lease may not block.",
    ),
    (
        "->readpage() unlocks the page[1]_",
        "->readpage() unlocks the page, either synchronously or via I/O completion",
        "address_space_operations: sentence added (address_space_operations.readpage.unlocks): ->readpage() unlocks the page, either synchronously or via I/O completion",
    ),
];

#[test]
fn a_planted_change_is_named() {
    let text = sample("small.rst");
    for (from, to, expected) in PLANTED {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from:?} is not in the sample");
        let found = shown(&source(&text), &source(&changed));
        assert!(found.iter().any(|line| line == expected), "{expected}\nis not among\n{}", found.join("\n"));
    }
}

#[test]
fn an_added_column_is_named_and_the_others_are_compared() {
    let (header, border) = ("s_umount\tnote", "============\t=====");
    let (first, second) = (sample("small.rst"), sample("small.rst"));
    let second = second.replace(header, "s_umount\tnote\t\t\t\ti_lock").replace(border, "============\t=====");
    let second = second.replace("========================\n", "========================\t======\n");
    let found = shown(&source(&first), &source(&second));
    assert!(found.contains(&"super_operations: column `i_lock` added".to_owned()), "{found:?}");
}

#[test]
fn differences_travel_as_json() {
    let text = sample("small.rst");
    let found = diff::diff(&source(&text), &source(&text.replace("invalidatepage:\t\tyes", "invalidatepage:\t\tno")));
    let json = serde_json::to_string(&found).unwrap();
    let cell = r#"{"table":"address_space_operations","op":"invalidatepage","change":"cell_changed","column":"PageLocked(page)","from":"yes","to":"no"}"#;
    assert_eq!(json, format!("[{cell}]"));
    assert_eq!(serde_json::from_str::<Vec<diff::Difference>>(&json).unwrap(), found);
}

#[test]
fn a_source_is_opened_by_release_document_and_directory() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules");
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/import/small.rst");
    let release = diff::open("6.12").unwrap();
    assert_eq!(shown(&release, &diff::open(&format!("{directory}@v6.12")).unwrap()), [""; 0]);
    assert_eq!(shown(&diff::open(document).unwrap(), &source(&sample("small.rst"))), [""; 0]);
    assert!(matches!(diff::open("no-such-file"), Err(OpenError::Unreadable { .. })));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(matches!(diff::open(manifest), Err(OpenError::NoDocument { .. })));
}
