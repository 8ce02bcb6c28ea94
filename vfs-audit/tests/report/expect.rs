//! Stored whole texts: compared as they are, written anew with `UPDATE_EXPECT=1`.

use std::path::Path;

/// Compares a text with the stored one of this name.
pub(crate) fn same(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let written = std::fs::write(&path, found);
        assert!(written.is_ok(), "{}: {written:?}", path.display());
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == found, "{name} differs; UPDATE_EXPECT=1 blesses this:\n{found}");
}
