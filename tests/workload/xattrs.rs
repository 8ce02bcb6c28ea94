//! Extended attributes of every name space, on files and directories, by path and by descriptor.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys;

/// More than an inode has room for, within what every file system takes.
const LONG_VALUE: usize = 2000;
const NAMES: [&str; 3] = ["user.vfs-workload", "trusted.vfs-workload", "security.vfs-workload"];
/// What a file system says that lacks the name space.
const LACKING: [i32; 3] = [libc::EOPNOTSUPP, libc::EPERM, libc::EINVAL];

/// All of it, on a file and on a directory.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let (file, directory) = (session.path("attributed"), session.path("attributed-dir"));
    session.call("create", &file, |path| fs::write(path, "data"))?;
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    for path in [&file, &directory] {
        for name in NAMES {
            one(session, path, name)?;
        }
        capabilities(session, path)?;
    }
    session.call_fails("setxattr", &file, &[libc::EOPNOTSUPP], |path| sys::set_xattr(path, "nosuchspace.x", b"1"))?;
    session.call("unlink", &file, |path| fs::remove_file(path))?;
    session.call("rmdir", &directory, |path| fs::remove_dir(path))
}

fn one(session: &mut Session, path: &Path, name: &'static str) -> Result<()> {
    let kind = name.split('.').next().unwrap_or(name);
    if session.call_or(kind, path, &LACKING, |path| sys::set_xattr(path, name, b"short"))?.is_none() {
        return Ok(());
    }
    let value = session.call(kind, path, |path| sys::get_xattr(path, name))?;
    expect_eq(name, &value, &b"short".to_vec())?;
    let long = vec![b'v'; LONG_VALUE];
    // With small blocks there may be no room for it.
    if session.call_or(kind, path, &[libc::ENOSPC], |path| sys::set_xattr(path, name, &long))?.is_some() {
        let value = session.call(kind, path, |path| sys::get_xattr(path, name))?;
        ensure!(value == long, "{name} of {} is not the long value", path.display());
    }
    let names = session.call("listxattr", path, sys::list_xattr)?;
    ensure!(names.iter().any(|found| found == name), "listxattr does not list {name}: {names:?}");
    session.call(kind, path, |path| sys::remove_xattr(path, name))?;
    session.call_fails(kind, path, &[libc::ENODATA], |path| sys::get_xattr(path, name))
}

/// `security.capability`, which a write to the file takes away.
fn capabilities(session: &mut Session, path: &Path) -> Result<()> {
    const NAME: &str = "security.capability";
    if !fs::metadata(path)?.is_file() {
        return Ok(());
    }
    // struct vfs_cap_data, revision 2: magic, then permitted and inheritable sets.
    let mut value = 0x0200_0000u32.to_le_bytes().to_vec();
    value.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    if session.call_or("capability", path, &LACKING, |path| sys::set_xattr(path, NAME, &value))?.is_none() {
        return Ok(());
    }
    let found = session.call("capability", path, |path| sys::get_xattr(path, NAME))?;
    expect_eq(NAME, &found, &value)?;
    session.call("write", path, |path| fs::write(path, "other data"))?;
    session.call_fails("capability", path, &[libc::ENODATA], |path| sys::get_xattr(path, NAME))
}
