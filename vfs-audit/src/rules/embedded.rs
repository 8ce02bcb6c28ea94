//! The rule files that the binary carries.

/// Name and text of every file of `rules/`, in the document's order.
pub(super) const FILES: &[(&str, &str)] = &[
    ("rules/locks.toml", include_str!("../../../rules/locks.toml")),
    ("rules/exceptions.toml", include_str!("../../../rules/exceptions.toml")),
    ("rules/dentry_operations.toml", include_str!("../../../rules/dentry_operations.toml")),
    ("rules/inode_operations.toml", include_str!("../../../rules/inode_operations.toml")),
    ("rules/xattr_handler.toml", include_str!("../../../rules/xattr_handler.toml")),
    ("rules/super_operations.toml", include_str!("../../../rules/super_operations.toml")),
    ("rules/file_system_type.toml", include_str!("../../../rules/file_system_type.toml")),
    ("rules/address_space_operations.toml", include_str!("../../../rules/address_space_operations.toml")),
    ("rules/file_lock_operations.toml", include_str!("../../../rules/file_lock_operations.toml")),
    ("rules/lock_manager_operations.toml", include_str!("../../../rules/lock_manager_operations.toml")),
    ("rules/buffer_head.toml", include_str!("../../../rules/buffer_head.toml")),
    ("rules/block_device_operations.toml", include_str!("../../../rules/block_device_operations.toml")),
    ("rules/file_operations.toml", include_str!("../../../rules/file_operations.toml")),
    ("rules/dquot_operations.toml", include_str!("../../../rules/dquot_operations.toml")),
    ("rules/vm_operations_struct.toml", include_str!("../../../rules/vm_operations_struct.toml")),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_of_the_rules_directory_is_embedded() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
        let on_disk: BTreeSet<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| format!("rules/{}", path.file_name().unwrap().to_str().unwrap()))
            .collect();
        let embedded: BTreeSet<_> = super::FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(on_disk, embedded);
    }
}
