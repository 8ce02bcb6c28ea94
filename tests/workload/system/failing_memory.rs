//! Memory that is said to have failed: pages of files are moved away from it, or thrown away and read again.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::file_systems;
use crate::session::Session;
use crate::sys::mapping::{Mapping, PAGE};

const MADV_SOFT_OFFLINE: i32 = 101;
const LENGTH: usize = 4 * PAGE;
/// Where the pages are counted that were lost so.
const KINDS: [(&str, i32); 2] = [("soft_offline", MADV_SOFT_OFFLINE), ("hwpoison", libc::MADV_HWPOISON)];

/// On a file of every file system below the directory.
pub(super) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    let own = session.path("");
    for directory in file_systems::below(session.root())? {
        if own.starts_with(&directory) {
            continue;
        }
        let path = directory.join("vfs-failing-memory");
        // Nothing can be written to an image of such a type.
        if session.call_or("create", &path, &[libc::EROFS], |path| fs::File::create(path))?.is_none() {
            continue;
        }
        let failed = one(session, &path).with_context(|| directory.display().to_string());
        session.call("unlink", &path, |path| fs::remove_file(path))?;
        failed?;
    }
    Ok(())
}

fn one(session: &mut Session, path: &Path) -> Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    session.call("write", path, |_| file.write_all_at(&[1; LENGTH], 0))?;
    session.call("fsync", path, |_| file.sync_all())?;
    // Dirty data would be lost with its page: on a file system without a disk, any data would be.
    let is_on_disk =
        !["tmpfs", "ramfs", "overlay"].contains(&file_systems::type_of(path.parent().unwrap_or(path))?.as_str());
    for (kind, advice) in KINDS {
        if advice == libc::MADV_HWPOISON && !is_on_disk {
            continue;
        }
        let mapping = session.call("mmap", path, |_| Mapping::shared(&file, libc::PROT_READ, LENGTH, 0))?;
        ensure!(mapping.pages_are(0..LENGTH, 1), "the mapping is not what was written");
        // A page that is held elsewhere for the moment stays.
        let errnos = [libc::EINVAL, libc::EBUSY, libc::EIO, libc::EOPNOTSUPP];
        session.call_or(kind, path, &errnos, |_| mapping.advise_part(0..PAGE, advice))?;
        drop(mapping);
        let again = session.call("mmap", path, |_| Mapping::shared(&file, libc::PROT_READ, LENGTH, 0))?;
        ensure!(again.pages_are(0..LENGTH, 1), "{kind}: the file lost its data with the page");
    }
    Ok(())
}
