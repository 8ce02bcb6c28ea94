//! Baselines: what is read can be written, and is then read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::report::baseline::Baseline;

fuzz_target!(|text: &str| {
    let Ok(baseline) = Baseline::parse(text) else { return };
    let written = baseline.to_toml().expect("a baseline that was read can be written");
    assert_eq!(Baseline::parse(&written).ok().as_ref(), Some(&baseline), "{written}");
});
