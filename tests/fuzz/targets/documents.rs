//! `rules import` and what stands on it: any bytes are a document, whose rules can be adopted and compared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::rules::diff::{Source, diff};
use vfs_audit::rules::import::{broken_invariant, read_bytes};
use vfs_audit::rules::{adopt, list};

fuzz_target!(|data: &[u8]| {
    assert_eq!(broken_invariant(data), None);
    let imported = read_bytes(data, "input");
    let adopted = adopt(&imported).expect("the embedded rules load");
    let _ = list(&adopted.catalogue);
    let source = Source::of_document(&imported);
    assert!(diff(&source, &source).is_empty(), "a document differs from itself");
});
