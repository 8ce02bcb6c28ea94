//! Recordings whose checksums are right whatever they hold, since a checksum keeps nobody from anything: what is read goes
//! through the checker into every form of the report.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::recording::Reading;

fuzz_target!(|data: &[u8]| {
    let bytes = vfs_audit_fuzz::framed(data);
    // Either way, by the input itself: a report takes far longer than reading.
    let reading = if data.len() % 2 == 0 { Reading::Merged } else { Reading::Each };
    vfs_audit_fuzz::read_and_report(&bytes, reading);
});
