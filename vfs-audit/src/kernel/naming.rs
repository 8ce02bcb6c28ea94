//! Operations tables by the names of their symbols: for those that no living object points to yet.
//!
//! A name that only looks right does no harm: a call counts for a rule when the object's own table holds the function.

use std::collections::{BTreeMap, BTreeSet};

use crate::btf::Btf;

/// Which tables a name can be taken for.
struct Naming {
    /// Struct.
    kind: &'static str,
    /// Ends of the symbols' names.
    ends: &'static [&'static str],
    /// Whether only tables of an owner that is alive are taken.
    is_of_the_living: bool,
}

/// The first that fits counts.
const NAMINGS: &[Naming] = &[
    Naming { kind: "inode_operations", ends: &["inode_operations", "_iops", "_inode_ops"], is_of_the_living: true },
    Naming { kind: "super_operations", ends: &["_sops", "super_ops", "super_operations"], is_of_the_living: true },
    Naming {
        kind: "address_space_operations",
        ends: &["_aops", "address_space_operations", "_address_operations", "_addr_ops"],
        is_of_the_living: true,
    },
    // No object that a walk reaches points to every one of these, or it lives for a moment; and they are few.
    Naming {
        kind: "dentry_operations",
        ends: &["dentry_operations", "_dentry_ops", "_dops", "_dentry_ops_ci"],
        is_of_the_living: false,
    },
    Naming { kind: "vm_operations_struct", ends: &["vm_ops", "vm_operations", "vmops"], is_of_the_living: false },
    Naming {
        kind: "lease_manager_operations",
        ends: &["lease_manager_ops", "lease_mng_ops", "layouts_lm_ops"],
        is_of_the_living: false,
    },
    Naming {
        kind: "lock_manager_operations",
        ends: &["nlmsvc_lock_operations", "posix_mng_ops", "_lmops"],
        is_of_the_living: false,
    },
    Naming { kind: "file_lock_operations", ends: &["fl_lock_ops", "clnt_lock_ops"], is_of_the_living: false },
    Naming { kind: "dquot_operations", ends: &["quota_operations", "dquot_operations"], is_of_the_living: true },
    Naming { kind: "xattr_handler", ends: &["xattr_handler"], is_of_the_living: true },
    Naming {
        kind: "file_operations",
        ends: &["_file_operations", "_fops", "_file_ops", "_dir_operations", "_dir_ops", "_file_inode_fops"],
        is_of_the_living: true,
    },
];

/// File system types by the prefix of the symbols of their tables.
pub(super) type Owners = BTreeMap<String, BTreeSet<String>>;

/// The part of a table's symbol that names its owner (`ext4`, `xfs`, `shmem`).
pub(super) fn owner(symbol: &str) -> Option<&str> {
    symbol.split('_').next().filter(|o| !o.is_empty())
}

/// The struct that a symbol's name speaks of.
pub(super) fn kind_of(name: &str) -> Option<&'static str> {
    naming_of(name).map(|naming| naming.kind)
}

fn naming_of(name: &str) -> Option<&'static Naming> {
    NAMINGS.iter().find(|naming| naming.ends.iter().any(|end| name.ends_with(end)))
}

/// The table that symbol `name` is, as far as it is wanted: its struct and the file system types of its owner.
pub(super) fn table(name: &str, owners: &Owners, btf: &Btf) -> Option<(&'static str, BTreeSet<String>)> {
    let naming = naming_of(name)?;
    let fs = owner(name).and_then(|owner| owners.get(owner)).cloned();
    // Kernels before 6.10 keep leases in the struct of all locks.
    let kind = if btf.struct_named(naming.kind).is_some() { naming.kind } else { "lock_manager_operations" };
    match fs {
        Some(fs) => Some((kind, fs)),
        None if naming.is_of_the_living => None,
        None => Some((kind, BTreeSet::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_structs_apart() {
        for (name, kind) in [
            ("ext4_dir_inode_operations", "inode_operations"),
            ("ext4_file_operations", "file_operations"),
            ("xfs_file_vm_ops", "vm_operations_struct"),
            ("shmem_anon_vm_ops", "vm_operations_struct"),
            ("btrfs_aops", "address_space_operations"),
            ("nfs4_dentry_operations", "dentry_operations"),
            ("ext4_quota_operations", "dquot_operations"),
            ("lease_manager_ops", "lease_manager_operations"),
            ("nlmsvc_lock_operations", "lock_manager_operations"),
        ] {
            assert_eq!(kind_of(name), Some(kind), "{name}");
        }
        assert_eq!(kind_of("jiffies"), None);
    }
}
