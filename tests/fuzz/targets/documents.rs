//! `rules import` and what stands on it: any bytes are a document, whose rules can be adopted and compared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::rules::diff::{Change, Difference, Source, diff};
use vfs_audit::rules::import::{broken_invariant, read_bytes};
use vfs_audit::rules::{adopt, list};

/// One input in so many is adopted as rules too, which takes as long as reading hundreds.
const ADOPTED_SHARE: usize = 16;

fuzz_target!(|data: &[u8]| {
    assert_eq!(broken_invariant(data), None);
    let imported = read_bytes(data, "input");
    let source = Source::of_document(&imported);
    // A cell that could be several things is not known to be the same thing twice.
    let is_certain = |difference: &Difference| !matches!(difference.change, Change::CellUnread { .. });
    let differences: Vec<Difference> = diff(&source, &source).into_iter().filter(is_certain).collect();
    assert!(differences.is_empty(), "a document differs from itself: {differences:?}");
    if data.len() % ADOPTED_SHARE == 0 {
        let adopted = adopt(&imported).expect("the embedded rules load");
        let _ = list(&adopted.catalogue);
    }
});
