//! Locks and delegations between an NFS client and processes of the server's own machine: each is told of the other.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use libc::{F_GETLK, F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK};

use crate::locks;
use crate::session::{Session, expect_eq};
use crate::sys::{self, locking};

/// How long the client is given to send its wish to the server.
const REQUEST_TIME: Duration = Duration::from_millis(700);
/// How long the client may take to come back for a lock that has become free.
const PATIENCE: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// All of it, on one file that has a path on either side.
pub(super) fn exercise(session: &mut Session, export: &Path, point: &Path) -> Result<()> {
    let (own, remote) = (export.join("shared"), point.join("shared"));
    session.call("create", &remote, |path| fs::write(path, "sixteen bytes or more"))?;
    client_holds(session, &own, &remote)?;
    client_waits(session, &own, &remote)?;
    delegation(session, &own, &remote)?;
    locks::lent(session, &export.join("lent"), &point.join("lent"))?;
    session.call("unlink", &remote, |path| fs::remove_file(path))
}

fn both(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// A process beside the server meets the client's locks, of both kinds.
fn client_holds(session: &mut Session, own: &Path, remote: &Path) -> Result<()> {
    let file = session.call("open", remote, both)?;
    session.call("setlk", remote, |_| locking::record_lock(&file, F_SETLK, F_WRLCK))?;
    // In two parts, and then a part of it free again.
    session.call("setlk", remote, |_| locking::record_lock_at(&file, F_SETLK, F_WRLCK, 100))?;
    session.call("setlk", remote, |_| locking::record_lock_at(&file, F_SETLK, F_UNLCK, 104))?;
    let local = session.call("open", own, both)?;
    let found = session.call("getlk", own, |_| locking::record_lock(&local, F_GETLK, F_RDLCK))?;
    expect_eq("the client's lock, as the server's machine sees it", &found, &F_WRLCK)?;
    session.call_fails("setlk", own, &[libc::EAGAIN], |_| locking::record_lock(&local, F_SETLK, F_WRLCK))?;
    let refused =
        session.call("setlk", remote, |path| sys::in_child(|| locking::record_lock(&both(path)?, F_SETLK, F_RDLCK)))?;
    expect_eq("errno of a lock that another process of the client holds", &refused, &libc::EAGAIN)?;
    session.call("setlk", remote, |_| locking::record_lock_at(&file, F_SETLK, F_UNLCK, 0))?;
    session.call("setlk", remote, |_| locking::record_lock_at(&file, F_SETLK, F_UNLCK, 100))?;
    session.call("flock", remote, |_| locking::flock(&file, libc::LOCK_EX))?;
    session.call("flock", remote, |_| locking::flock(&file, libc::LOCK_UN))
}

/// The client waits for a lock that a process beside the server gives up.
fn client_waits(session: &mut Session, own: &Path, remote: &Path) -> Result<()> {
    let local = session.call("open", own, both)?;
    session.call("setlk", own, |_| locking::record_lock(&local, F_SETLK, F_WRLCK))?;
    let waiting = session.call("setlkw", remote, |path| {
        sys::fork(|| i32::from(both(path).and_then(|file| locking::record_lock(&file, F_SETLKW, F_WRLCK)).is_err()))
    })?;
    // The server keeps the wish without a sign that could be waited for.
    sleep(REQUEST_TIME);
    session.call("setlk", own, |_| locking::record_lock(&local, F_SETLK, F_UNLCK))?;
    // The client looks again when it is told to, or after half a minute of its own accord: too long to be waited for.
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(code) = sys::wait_if_ended(waiting)? {
            return expect_eq("end of the client that waited for the lock", &code, &0);
        }
        sleep(POLL_INTERVAL);
    }
    session.note("setlkw", "the client was not told that the lock is free");
    // SAFETY: the child is ours and has not been waited for.
    unsafe { libc::kill(waiting, libc::SIGKILL) };
    ensure!(sys::wait(waiting).is_err(), "the client was not killed");
    Ok(())
}

/// The server lends the file to the client, and has to have it back when somebody else writes.
fn delegation(session: &mut Session, own: &Path, remote: &Path) -> Result<()> {
    let reader = session.call("open", remote, |path| File::open(path))?;
    session.call("break", own, |path| File::options().append(true).open(path)?.write_all(b", and more"))?;
    drop(reader);
    let text = session.call("read", remote, |path| fs::read_to_string(path))?;
    ensure!(text.ends_with(", and more"), "the client still sees {text:?}");
    let writer = session.call("open", remote, both)?;
    session.call("break", own, |path| fs::read(path))?;
    drop(writer);
    session.call("chmod", own, |path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)))
}
