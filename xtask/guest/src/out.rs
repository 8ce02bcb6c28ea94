//! Saves `/out` on the out drive, as a length and a cpio archive.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use vfs_audit_guest::cpio::Writer;
use vfs_audit_guest::plan;

use crate::mounts;

const OUT: &str = "/out";

/// Writes the archive, then the header that makes it valid.
pub(crate) fn save() -> io::Result<()> {
    let directory = Path::new(OUT);
    if !directory.is_dir() || fs::read_dir(directory)?.next().is_none() {
        return Ok(());
    }
    let mut drive = OpenOptions::new().write(true).open(mounts::drive(plan::OUT_DRIVE)?)?;
    drive.seek(SeekFrom::Start(plan::OUT_HEADER_BYTES))?;
    let mut archive = Writer::new(BufWriter::with_capacity(1 << 20, drive));
    archive.children("", directory)?;
    let mut drive = archive.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    let length = drive.stream_position()? - plan::OUT_HEADER_BYTES;
    drive.sync_all()?;
    drive.seek(SeekFrom::Start(0))?;
    drive.write_all(plan::OUT_MAGIC)?;
    drive.write_all(&length.to_le_bytes())?;
    drive.sync_all()
}
