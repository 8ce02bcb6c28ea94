//! Lists and explanations of the embedded rules.

use super::{Catalogue, Standing, explain, list};

#[test]
fn every_op_of_every_table_is_listed_with_a_rule() {
    for release in Catalogue::releases() {
        let catalogue = Catalogue::load(release).unwrap();
        let listed = list(&catalogue);
        for (table, op) in catalogue.ops() {
            assert!(listed.iter().any(|rule| rule.table == table.name && rule.op == op.name), "{release} {}", op.name);
        }
        assert!(
            listed.iter().all(|rule| !rule.statement.is_empty() && !rule.document.is_empty()
                || rule.standing == Standing::Undocumented)
        );
    }
}

#[test]
fn a_rule_that_is_not_judged_says_why() {
    for release in Catalogue::releases() {
        for rule in list(&Catalogue::load(release).unwrap()) {
            assert_eq!(rule.standing != Standing::Judged, rule.why_not_judged.is_some(), "{}", rule.id);
        }
    }
}

#[test]
fn an_explanation_says_what_is_observed_and_shows_a_report() {
    let catalogue = Catalogue::load("v6.12").unwrap();
    let text = explain(&catalogue, "inode_operations.rename.subdirectories").unwrap().to_string();
    for part in [
        "section inode_operations",
        "exclusive (both parents, some children) (see below)",
        "fact cross_directory: source_parent != target_parent",
        "role source: dentry#1.d_inode",
        "i_rwsem: its count and owner, and the task's held-lock table",
        "What this can miss",
        "found     i_rwsem of source: free (the lock word proves it)",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(explain(&catalogue, "inode_operations.no_such_op").is_none());
}

#[test]
fn a_rule_that_names_only_gone_locks_is_stale() {
    let catalogue = Catalogue::load("v5.15-seed").unwrap();
    let explained = explain(&catalogue, "dquot_operations.write_info").unwrap();
    assert!(explained.rule.stale.is_some_and(|why| why.contains("dqonoff_sem is gone")));
}
