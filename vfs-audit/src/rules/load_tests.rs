//! What loading makes of the embedded files.

use super::{Catalogue, Condition, Demand, FactReader, LockKind, Requirement, RoleSource, Standing};

fn load(release: &str) -> Catalogue {
    Catalogue::load(release).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_release_loads_from_the_embedded_files() {
    for release in Catalogue::releases() {
        let catalogue = load(release);
        assert_eq!(catalogue.name, release);
        assert!(catalogue.rules().count() > 30, "{release}");
    }
}

#[test]
fn an_unknown_release_is_refused_with_the_known_ones() {
    let message = Catalogue::load("v5.15").unwrap_err().to_string();
    assert!(message.contains("v5.15-seed, v6.1"), "{message}");
}

#[test]
fn rename_reads_roles_facts_and_locks_as_the_plan_compiler_needs_them() {
    let catalogue = load("v6.12");
    let rename = catalogue.op("inode_operations", "rename").unwrap();
    let roles: Vec<_> = rename.roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(roles, ["source_parent", "source", "target_parent", "target", "sb"]);
    assert_eq!(rename.roles[4].from, RoleSource::Role("source_parent".into()));
    let cross = rename.facts.iter().find(|fact| fact.name == "cross_directory").unwrap();
    assert_eq!(cross.reader, FactReader::RolesDiffer("source_parent".into(), "target_parent".into()));
    assert_eq!(rename.cells[0].text, "exclusive (both parents, some children) (see below)");
    let (_, _, mutex) = catalogue.rule("inode_operations.rename.mutex").unwrap();
    let lock = Requirement::Lock { role: "sb".into(), lock: "s_vfs_rename_mutex".into(), demand: Demand::Held };
    assert_eq!(mutex.requires, [lock], "the document's s_vfs_rename_sem is the field s_vfs_rename_mutex");
    assert_eq!(mutex.when, [Condition { fact: "cross_directory".into(), is: true }]);
    assert_eq!(catalogue.locks["s_vfs_rename_mutex"].kind, LockKind::Mutex);
}

#[test]
fn rules_follow_their_releases() {
    let has = |release: &str, id: &str| load(release).rule(id).is_some();
    assert!(!has("v5.4", "inode_operations.atomic_open.create") && has("v5.10", "inode_operations.atomic_open.create"));
    assert!(has("v6.1", "inode_operations.get_acl") && !has("v6.1", "inode_operations.get_inode_acl"));
    assert!(has("v6.12", "inode_operations.get_inode_acl"));
    assert!(has("v7.3", "inode_operations.sync_lazytime") && !has("v6.18", "inode_operations.sync_lazytime"));
}

#[test]
fn a_no_is_not_promised_and_never_a_plain_demand() {
    let catalogue = load("v6.12");
    let (_, _, readlink) = catalogue.rule("inode_operations.readlink").unwrap();
    assert_eq!(readlink.standing, Standing::NotPromised);
    assert!(readlink.why_not_judged.is_some());
}

#[test]
fn a_rule_on_a_fact_that_no_probe_reads_is_not_observable_live() {
    let reasons = load("v6.12").not_observable_live();
    assert!(reasons.contains_key("address_space_operations.writepage.ends_writeback"));
    assert!(!reasons.contains_key("address_space_operations.writepage.unlocks"));
    assert!(!reasons.contains_key("inode_operations.create.may_block"));
    assert!(!reasons.contains_key("inode_operations.create"));
    assert!(!reasons.contains_key("inode_operations.permission.rcu_walk"));
}
