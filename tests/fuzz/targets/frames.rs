//! Recordings whose checksums are right whatever they hold, since a checksum keeps nobody from anything: what is read goes
//! through the checker into every form of the report.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::recording::Reading;

fuzz_target!(|data: &[u8]| {
    let bytes = vfs_audit_fuzz::framed(data);
    vfs_audit_fuzz::read_and_report(&bytes, Reading::Merged);
    vfs_audit_fuzz::read_and_report(&bytes, Reading::Each);
});
