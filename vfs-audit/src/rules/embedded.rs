//! The rule files that the binary carries.

/// Name and text of every file of `rules/`, in the document's order.
pub(super) const FILES: &[(&str, &str)] = &[
    ("rules/locks.toml", include_str!("../../../rules/locks.toml")),
    ("rules/exceptions.toml", include_str!("../../../rules/exceptions.toml")),
    ("rules/inode_operations.toml", include_str!("../../../rules/inode_operations.toml")),
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
