//! Scan: what is cheap and takes locks all the same, over and over: a directory read from its beginning, attributes, a name
//! that is not there. For the number of calls.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Looks at the attributes in each round.
const LOOKS: u32 = 8;
/// Rounds between two names that were never asked for.
const LOOKUP_EVERY: u32 = 8;

/// Does `rounds` rounds in a directory of its own below `parent`.
pub(crate) fn run(parent: &Path, rounds: u32) -> Result<()> {
    let place = parent.join("vfs-scan");
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("clearing {}", place.display()))?;
    }
    fs::create_dir(&place).with_context(|| format!("a directory in {}", parent.display()))?;
    let file = File::create(place.join("file"))?;
    let mut directory = File::open(&place)?;
    for index in 0..rounds {
        directory.seek(SeekFrom::Start(0))?;
        ensure!(entries(&directory)? > 0, "a directory without entries");
        for _ in 0..LOOKS {
            ensure!(file.metadata()?.len() == 0, "the file has another length");
        }
        if index.is_multiple_of(LOOKUP_EVERY) {
            ensure!(!place.join(format!("absent{index}")).exists(), "a name that nobody made");
        }
    }
    fs::remove_dir_all(&place).context("something was left")
}

/// Bytes of the entries that the next read of the directory brings.
fn entries(directory: &File) -> Result<i64> {
    let mut bytes = [0u64; 128];
    let (descriptor, place) = (directory.as_raw_fd(), bytes.as_mut_ptr());
    // SAFETY: the kernel writes into an array of ours, no more than its size.
    let read = unsafe { libc::syscall(libc::SYS_getdents64, descriptor, place, size_of_val(&bytes)) };
    ensure!(read >= 0, "reading a directory: {}", std::io::Error::last_os_error());
    Ok(read)
}
