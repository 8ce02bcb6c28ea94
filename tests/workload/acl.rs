//! POSIX ACLs and the permission checks that follow them: `set_acl`, `get_acl`, `permission`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Result;

use crate::session::{Session, expect_eq};
use crate::sys;

/// A user that the ACL names.
const NAMED_UID: u32 = 65_534;
/// A user that it does not name.
const OTHER_UID: u32 = 65_533;
/// Written to, it drops cached pages, dentries and inodes, so that names and ACLs are read from disk.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
const ACCESS_ACL: &str = "system.posix_acl_access";
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// A file's own ACL, one that it inherits, and one that no cache knows any more.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    of_a_file(session)?;
    inherited(session)?;
    from_disk(session)
}

/// A POSIX ACL as `system.posix_acl_*` wants it: owner all, the named user as said, nobody else anything.
fn bytes(named_user_permissions: u16) -> Vec<u8> {
    const UNDEFINED: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, UNDEFINED),                      // owner
        (0x02, named_user_permissions, NAMED_UID), // named user
        (0x04, 0, UNDEFINED),                      // owning group
        (0x10, 7, UNDEFINED),                      // mask
        (0x20, 0, UNDEFINED),                      // others
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Whether a process of `uid` may access the file: 0, or the errno it gets.
fn access_as(uid: u32, path: &Path, mode: i32) -> io::Result<i32> {
    let child = sys::fork(|| {
        let result = sys::become_user(uid).and_then(|()| sys::access(path, mode));
        result.err().map_or(0, |error| error.raw_os_error().unwrap_or(255))
    })?;
    sys::wait(child)
}

fn of_a_file(session: &mut Session) -> Result<()> {
    let path = &session.path("with-acl");
    session.call("create", path, |path| fs::write(path, "for some"))?;
    let set = session.call_if_offered("set_acl", path, |path| sys::set_xattr(path, ACCESS_ACL, &bytes(4)))?;
    if set.is_some() {
        obeyed(session, path)?;
        session.call("set_acl", path, |path| sys::remove_xattr(path, ACCESS_ACL))?;
    }
    session.call("unlink", path, |path| fs::remove_file(path))
}

/// The named user may read, and nobody else.
fn obeyed(session: &mut Session, path: &Path) -> Result<()> {
    let read = session.call("get_acl", path, |path| sys::get_xattr(path, ACCESS_ACL))?;
    expect_eq("access ACL", &read, &bytes(4))?;
    for (uid, mode, expected) in
        [(NAMED_UID, libc::R_OK, 0), (NAMED_UID, libc::W_OK, libc::EACCES), (OTHER_UID, libc::R_OK, libc::EACCES)]
    {
        let errno = session.call("access", path, |path| access_as(uid, path, mode))?;
        expect_eq(&format!("access of user {uid}, mode {mode}"), &errno, &expected)?;
    }
    Ok(())
}

/// What a directory's default ACL says is inherited by a file made in it.
fn inherited(session: &mut Session) -> Result<()> {
    let (directory, file) = (session.path("inherits"), session.path("inherits/file"));
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    let set = session.call_if_offered("set_acl", &directory, |path| sys::set_xattr(path, DEFAULT_ACL, &bytes(6)))?;
    session.call("create", &file, |path| fs::write(path, "inherited"))?;
    if set.is_some() {
        session.call("get_acl", &directory, |path| sys::get_xattr(path, DEFAULT_ACL))?;
        let errno = session.call("access", &file, |path| access_as(NAMED_UID, path, libc::R_OK))?;
        expect_eq("access by the inherited ACL", &errno, &0)?;
    }
    session.call("unlink", &file, |path| fs::remove_file(path))?;
    session.call("rmdir", &directory, |path| fs::remove_dir(path))
}

/// A name and an ACL that are no longer cached, where this process may drop caches.
fn from_disk(session: &mut Session) -> Result<()> {
    let file = session.path("from-disk");
    session.call("create", &file, |path| fs::write(path, "on disk"))?;
    let set = session.call_if_offered("set_acl", &file, |path| sys::set_xattr(path, ACCESS_ACL, &bytes(4)))?;
    session.call("syncfs", &file, |path| sys::sync_file_system(&fs::File::open(path)?))?;
    session.call_if_permitted("drop_caches", Path::new(DROP_CACHES), |path| fs::write(path, "3"))?;
    if set.is_some() {
        let errno = session.call("access", &file, |path| access_as(NAMED_UID, path, libc::R_OK))?;
        expect_eq("access by an ACL on disk", &errno, &0)?;
    }
    let data = session.call("read", &file, |path| fs::read_to_string(path))?;
    expect_eq("data on disk", &data, &"on disk".to_owned())?;
    session.call("unlink", &file, |path| fs::remove_file(path))
}
