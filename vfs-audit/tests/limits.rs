//! The page of limits in the repository is the one that the rules give; `UPDATE_EXPECT=1` writes it anew.

use std::path::Path;

use vfs_audit::rules::{Catalogue, Limits};

#[test]
fn the_page_of_limits_is_up_to_date() {
    let page = Limits::of(&Catalogue::load_all().unwrap()).page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../LIMITS.md");
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(page.lines()).find(|(written, generated)| written != generated);
    assert!(written == page, "LIMITS.md is not what the rules give (`cargo xtask limits` writes it): {differs:?}");
}
