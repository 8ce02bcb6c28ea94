//! A document as the source of rules: what is made of it is the release's own rule set.

use std::collections::BTreeMap;

use vfs_audit::rules::{Adopted, Catalogue, Op, Rule, Standing, adopt, import};

use crate::differences::rule_set;
use crate::layout::{flattened, kernel_documents, sample};
use crate::witness::{document, stored};

/// Rules by id; where they stand in a catalogue is of no account.
pub(crate) fn by_id(catalogue: &Catalogue) -> BTreeMap<String, Rule> {
    catalogue.rules().map(|rule| (rule.id.clone(), rule.clone())).collect()
}

/// Ops without their rules, facts in order.
pub(crate) fn ops(catalogue: &Catalogue) -> BTreeMap<String, Op> {
    let plain = |op: &Op| {
        let mut op = Op { rules: Vec::new(), ..op.clone() };
        op.facts.sort_by(|a, b| a.name.cmp(&b.name));
        op
    };
    catalogue.ops().map(|(table, op)| (format!("{}.{}", table.name, op.name), plain(op))).collect()
}

#[test]
fn a_release_s_document_gives_the_release_s_rules() {
    for (document, text) in kernel_documents("a_release_s_document_gives_the_release_s_rules") {
        let release = rule_set(&document);
        let expected = Catalogue::load(release).unwrap();
        let adopted = adopt(&import::read(&text, &document)).unwrap();
        assert_eq!(adopted.nearest, release);
        assert_eq!(adopted.diagnostics, [], "{document}");
        let (found, wanted) = (by_id(&adopted.catalogue), by_id(&expected));
        for (id, rule) in &wanted {
            assert_eq!(found.get(id), Some(rule), "{document}");
        }
        let more: Vec<_> = found.keys().filter(|id| !wanted.contains_key(*id)).collect();
        assert!(more.is_empty(), "{document}: {more:?}");
        assert_eq!(ops(&adopted.catalogue), ops(&expected), "{document}");
    }
}

/// The rules of v6.12's document with one of its facts changed.
fn changed(from: &str, to: &str) -> Adopted {
    let facts = stored("v6.12");
    assert_eq!(facts.matches(from).count(), 1, "{from:?} must stand once");
    adopt(&import::read(&document(&facts.replace(from, to)), "changed.rst")).unwrap()
}

/// Id, standing, and what is required, of every rule that differs from v6.12's; a removed one has a minus.
fn told(adopted: &Adopted) -> Vec<String> {
    let (ours, theirs) = (by_id(&adopted.catalogue), by_id(&Catalogue::load("v6.12").unwrap()));
    let shown = |rule: &Rule| {
        let requires: Vec<String> = rule.requires.iter().map(ToString::to_string).collect();
        format!("{} {:?} {}", rule.id, rule.standing, requires.join("; ")).trim_end().to_owned()
    };
    let more = ours.values().filter(|rule| theirs.get(&rule.id) != Some(rule)).map(shown);
    let less = theirs.values().filter(|rule| !ours.contains_key(&rule.id)).map(|rule| format!("-{}", rule.id));
    more.chain(less).collect()
}

/// A change of the document, and what becomes of the rules.
const CHANGES: &[(&str, &str, &[&str])] = &[
    // Another release's reading of the same words in the same cell.
    ("row\topen\twrite\t", "row\topen\tyes\t", &["vm_operations_struct.open Judged mm.mmap_lock shared"]),
    // A mode where one lock is meant.
    ("row\tsetattr\texclusive", "row\tsetattr\tshared", &["inode_operations.setattr Judged inode.i_rwsem shared"]),
    (
        "row\tsetattr\texclusive",
        "row\tsetattr\tno",
        &["inode_operations.setattr NotPromised inode.i_rwsem not promised"],
    ),
    ("row\tput_super\twrite", "row\tput_super\tmaybe(read)", &["super_operations.put_super Permissive"]),
    // As the table's other ops read it.
    (
        "row\td_iput\tno\tno\tyes\tno",
        "row\td_iput\tno\tno\tno\tno",
        &["dentry_operations.d_iput.must_not_sleep Judged not slept", "-dentry_operations.d_iput.may_block"],
    ),
    // Blank where it was not.
    (
        "row\tsync_fs\tread",
        "row\tsync_fs\t",
        &["super_operations.sync_fs.s_umount Undocumented", "-super_operations.sync_fs"],
    ),
    // Nothing that could be read.
    (
        "row\tsetattr\texclusive",
        "row\tsetattr\texclusive (most of the time)",
        &["inode_operations.setattr.cell_i_rwsem_inode Informational", "-inode_operations.setattr"],
    ),
    // A line that speaks of other ops than before.
    (
        "line\tAll except dirty_folio and free_folio may block",
        "line\tAll except dirty_folio may block",
        &[
            "address_space_operations.free_folio.may_block Judged not atomic",
            "-address_space_operations.free_folio.must_not_sleep",
        ],
    ),
    // A sentence that is gone.
    ("sentence\t->kill_sb() takes a write-locked superblock\n", "", &["-file_system_type.kill_sb"]),
    // An op that no release has.
    (
        "row\tsetattr\texclusive",
        "row\tsetattr\texclusive\nrow\tsetanything\texclusive",
        &["inode_operations.setanything Informational"],
    ),
];

#[test]
fn a_changed_document_changes_the_rules_that_it_speaks_of_and_no_other() {
    for (from, to, expected) in CHANGES {
        assert_eq!(told(&changed(from, to)), *expected, "{from:?} to {to:?}");
    }
}

#[test]
fn what_no_release_has_is_listed_not_judged_and_named_with_its_place() {
    let adopted = changed("row\tsetattr\texclusive", "row\tsetattr\texclusive (most of the time)");
    let (_, _, rule) = adopted.catalogue.rule("inode_operations.setattr.cell_i_rwsem_inode").unwrap();
    assert_eq!((rule.document.as_str(), rule.requires.len()), ("exclusive (most of the time)", 0));
    assert!(rule.why_not_judged.as_ref().is_some_and(|why| why.contains("`exclusive (most of the time)`")));
    let [only] = adopted.diagnostics.as_slice() else { panic!("{:?}", adopted.diagnostics) };
    let text = document(&stored("v6.12"));
    let line = text.lines().position(|line| line.starts_with("setattr:")).unwrap() + 1;
    assert_eq!((only.file.as_str(), only.line, only.column.as_str()), ("changed.rst", line, "i_rwsem(inode)"));
}

#[test]
fn a_table_that_no_release_has_is_named() {
    let adopted = changed("table\txattr_handler\txattr_handler operations", "table\tno_such_thing\tno_such_thing");
    assert!(adopted.catalogue.ops().all(|(table, _)| table.name != "no_such_thing"));
    assert!(adopted.diagnostics.iter().any(|it| it.table == "no_such_thing" && it.op.is_empty()));
}

#[test]
fn a_document_without_layout_judges_what_is_certain_and_nothing_else() {
    let adopted = adopt(&import::read(&flattened(&document(&stored("v6.12"))), "flat.rst")).unwrap();
    let (ours, theirs) = (by_id(&adopted.catalogue), by_id(&Catalogue::load("v6.12").unwrap()));
    let judged = |rules: &BTreeMap<String, Rule>| rules.values().filter(|rule| !rule.requires.is_empty()).count();
    for rule in ours.values().filter(|rule| !rule.requires.is_empty()) {
        assert_eq!(theirs.get(&rule.id), Some(rule));
    }
    assert!(judged(&ours) > judged(&theirs) - 40, "{} of {}", judged(&ours), judged(&theirs));
    let open = ours.values().filter(|rule| rule.id.contains(".cell_")).count();
    assert!(open > 0 && adopted.diagnostics.len() >= open);
}

#[test]
fn a_document_of_4_x_is_read_by_the_locks_that_its_columns_meant() {
    let adopted = adopt(&import::read(&sample("plain.txt"), "plain.txt")).unwrap();
    let (_, _, create) = adopted.catalogue.rule("inode_operations.create").unwrap();
    assert_eq!(create.requires.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dir.i_rwsem shared"]);
    assert_eq!(
        (create.cites.as_slice(), create.standing),
        (["i_mutex(inode)".to_owned()].as_slice(), Standing::Judged)
    );
}

#[test]
fn cells_under_headings_that_are_hardly_words_have_an_entry_each() {
    let facts = stored("v6.12").replace("columns\ts_umount\tnote", "columns\t(a)\t[a]");
    let adopted = adopt(&import::read(&document(&facts), "changed.rst")).unwrap();
    let (_, op, _) = adopted.catalogue.rule("super_operations.statfs.cell_a").unwrap();
    for (column, id) in [("(a)", "super_operations.statfs.cell_a"), ("[a]", "super_operations.statfs.cell_a_2")] {
        let citing: Vec<&str> =
            op.rules.iter().filter(|rule| rule.cites == [column]).map(|rule| rule.id.as_str()).collect();
        assert_eq!(citing, [id], "{column}");
    }
}

#[test]
fn a_second_row_that_says_something_else_is_named() {
    let twice =
        |second: &str| changed("row\tsetattr\texclusive", &format!("row\tsetattr\texclusive\nrow\tsetattr\t{second}"));
    let adopted = twice("shared");
    let [only] = adopted.diagnostics.as_slice() else { panic!("{:?}", adopted.diagnostics) };
    assert!(only.what.starts_with("another row says something else"), "{only}");
    assert_eq!(told(&adopted), [""; 0]);
    assert_eq!(twice("exclusive").diagnostics, []);
}
