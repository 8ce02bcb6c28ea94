//! Recordings as a stranger sends them: any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::recording::Reading;

fuzz_target!(|data: &[u8]| {
    vfs_audit_fuzz::read_and_report(data, Reading::Each);
});
