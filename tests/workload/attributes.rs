//! The ops on attributes: `setattr`, `getattr`, `listxattr`, `fileattr_get`, `fileattr_set`, `update_time`.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys;

/// Longer than a jiffy, so that a time stamp changes.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// All of them, on one file.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let path = session.path("attributes");
    session.call("create", &path, |path| fs::write(path, "some data"))?;
    mode_owner_size(session, &path)?;
    times(session, &path)?;
    extended_attributes(session, &path)?;
    flags(session, &path)?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn mode_owner_size(session: &mut Session, path: &Path) -> Result<()> {
    session.call("chmod", path, |path| fs::set_permissions(path, Permissions::from_mode(0o640)))?;
    session.call("chown", path, |path| chown(path, Some(1), Some(2)))?;
    session.call("truncate", path, |path| {
        let path = sys::c_path(path)?;
        // SAFETY: the path is NUL-terminated and outlives the call.
        if unsafe { libc::truncate(path.as_ptr(), 10_000) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })?;
    let status = session.call("stat", path, |path| fs::metadata(path))?;
    expect_eq(
        "mode, owner, size",
        &(status.mode() & 0o777, status.uid(), status.gid(), status.size()),
        &(0o640, 1, 2, 10_000),
    )?;
    let file = File::options().read(true).write(true).open(path)?;
    session.call("ftruncate", path, |_| file.set_len(4))?;
    session.call("fchmod", path, |_| file.set_permissions(Permissions::from_mode(0o600)))?;
    let data = session.call("read", path, |path| fs::read(path))?;
    expect_eq("data after truncation", &data, &b"some".to_vec())?;
    session.call("chown", path, |path| chown(path, Some(0), Some(0)))
}

/// Set by hand, then by the kernel: a read under relatime and a write after the clock has moved.
fn times(session: &mut Session, path: &Path) -> Result<()> {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut file = File::options().read(true).write(true).open(path)?;
    let set = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    session.call("utimensat", path, |_| file.set_times(set))?;
    let status = session.call("stat", path, |path| fs::metadata(path))?;
    expect_eq("times as set", &(status.atime(), status.mtime()), &(1_000_000, 1_000_000))?;
    session.call("read", path, |_| file.read(&mut [0; 16]))?;
    sleep(CLOCK_STEP);
    session.call("write", path, |_| file.write_all(b"more"))?;
    let status = session.call("stat", path, |path| fs::metadata(path))?;
    ensure!(status.mtime() > 1_000_000, "a write did not update the modification time");
    Ok(())
}

fn extended_attributes(session: &mut Session, path: &Path) -> Result<()> {
    // tmpfs has user.* since 6.6 only, trusted.* everywhere.
    let name = "trusted.vfs-workload";
    session.call("setxattr", path, |path| sys::set_xattr(path, name, b"value"))?;
    let value = session.call("getxattr", path, |path| sys::get_xattr(path, name))?;
    expect_eq("extended attribute", &value, &b"value".to_vec())?;
    let names = session.call("listxattr", path, sys::list_xattr)?;
    ensure!(names.iter().any(|found| found == name), "listxattr does not list {name}: {names:?}");
    session.call("removexattr", path, |path| sys::remove_xattr(path, name))?;
    session.call_fails("getxattr", path, &[libc::ENODATA], |path| sys::get_xattr(path, name))
}

/// `FS_IOC_GETFLAGS`, `FS_IOC_SETFLAGS`, `FS_IOC_FSGETXATTR`; an append-only file refuses a truncating write.
fn flags(session: &mut Session, path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let Some(before) = session.call_if_offered("getflags", path, |_| sys::get_flags(&file))? else {
        return Ok(());
    };
    let changed = before | sys::FS_APPEND_FL;
    session.call("setflags", path, |_| sys::set_flags(&file, changed))?;
    let after = session.call("getflags", path, |_| sys::get_flags(&file))?;
    expect_eq("flags as set", &(after & sys::FS_APPEND_FL), &sys::FS_APPEND_FL)?;
    session.call_fails("open", path, &[libc::EPERM], |path| File::create(path))?;
    session.call_if_offered("fsgetxattr", path, |_| sys::get_extended_flags(&file))?;
    session.call("setflags", path, |_| sys::set_flags(&file, before))
}
