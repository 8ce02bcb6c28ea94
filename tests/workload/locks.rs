//! Locks on files and leases, with another process that they keep out.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use libc::{F_GETLK, F_OFD_SETLK, F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN};

use crate::session::{Session, expect_eq};
use crate::sys::{self, locking};

/// A child that waits for a lock is given this long to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server that lends files may take so long to begin with it.
const LENDING_TIME: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// All of it, on one file.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    let path = session.path("locked");
    session.call("create", &path, |path| fs::write(path, "sixteen bytes or more"))?;
    whole_file(session, &path)?;
    records(session, &path)?;
    of_descriptions(session, &path)?;
    leases(session, &path)?;
    session.call("unlink", &path, |path| fs::remove_file(path))
}

fn both(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// `flock`: shared by two, exclusive for one.
fn whole_file(session: &mut Session, path: &Path) -> Result<()> {
    let (one, other) = (session.call("open", path, both)?, session.call("open", path, both)?);
    session.call("flock", path, |_| locking::flock(&one, LOCK_SH))?;
    session.call("flock", path, |_| locking::flock(&other, LOCK_SH | LOCK_NB))?;
    session.call_fails("flock", path, &[libc::EWOULDBLOCK], |_| locking::flock(&other, LOCK_EX | LOCK_NB))?;
    session.call("flock", path, |_| locking::flock(&one, LOCK_UN))?;
    session.call("flock", path, |_| locking::flock(&other, LOCK_EX | LOCK_NB))?;
    session.call_fails("flock", path, &[libc::EWOULDBLOCK], |_| locking::flock(&one, LOCK_SH | LOCK_NB))?;
    // Released by the last close.
    drop(other);
    session.call("flock", path, |_| locking::flock(&one, LOCK_EX | LOCK_NB))
}

/// Record locks: a conflict is reported, refused and waited for; a circle is refused.
fn records(session: &mut Session, path: &Path) -> Result<()> {
    let file = session.call("open", path, both)?;
    session.call("setlk", path, |_| locking::record_lock(&file, F_SETLK, F_WRLCK))?;
    let found = session.call("getlk", path, |path| {
        sys::wait(sys::fork(|| {
            both(path).and_then(|file| locking::record_lock(&file, F_GETLK, F_RDLCK)).unwrap_or(255)
        })?)
    })?;
    expect_eq("lock found by another process", &found, &F_WRLCK)?;
    let refused =
        session.call("setlk", path, |path| sys::in_child(|| locking::record_lock(&both(path)?, F_SETLK, F_RDLCK)))?;
    ensure!([libc::EAGAIN, libc::EACCES].contains(&refused), "a lock held by another process was had: {refused}");
    let waiting = sys::fork(|| {
        let wait = || -> io::Result<()> {
            let file = both(path)?;
            locking::record_lock_at(&file, F_SETLK, F_WRLCK, 100)?;
            locking::record_lock(&file, F_SETLKW, F_RDLCK).map(drop)
        };
        wait().err().map_or(0, |error| error.raw_os_error().unwrap_or(255))
    })?;
    until_blocked(path)?;
    session.call_fails("setlkw", path, &[libc::EDEADLK], |_| locking::record_lock_at(&file, F_SETLKW, F_WRLCK, 100))?;
    session.call("setlk", path, |_| locking::record_lock(&file, F_SETLK, F_UNLCK))?;
    let code = session.call("setlkw", path, |_| sys::wait(waiting))?;
    expect_eq("errno of the process that waited for the lock", &code, &0)?;
    let free = session.call("getlk", path, |_| locking::record_lock(&file, F_GETLK, F_WRLCK))?;
    expect_eq("lock that is left", &free, &F_UNLCK)
}

/// Until /proc/locks shows somebody waiting ("->"); the list has no other sign of it.
fn until_blocked(path: &Path) -> Result<()> {
    let start = Instant::now();
    while !fs::read_to_string("/proc/locks")?.contains("->") {
        ensure!(start.elapsed() < PATIENCE, "nobody waits for the lock on {}", path.display());
        sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Locks of open file descriptions: two of one process keep each other out.
fn of_descriptions(session: &mut Session, path: &Path) -> Result<()> {
    let (one, other) = (session.call("open", path, both)?, session.call("open", path, both)?);
    session.call("ofd_setlk", path, |_| locking::record_lock(&one, F_OFD_SETLK, F_WRLCK))?;
    session.call_fails("ofd_setlk", path, &[libc::EAGAIN], |_| locking::record_lock(&other, F_OFD_SETLK, F_RDLCK))?;
    drop(one);
    session.call("ofd_setlk", path, |_| locking::record_lock(&other, F_OFD_SETLK, F_RDLCK)).map(drop)
}

/// A lease is taken, broken by another process's open, lowered and given back.
fn leases(session: &mut Session, path: &Path) -> Result<()> {
    // The default action of the signal that tells of a break would end this process.
    locking::ignore_signal(libc::SIGIO);
    let file = session.call("open", path, |path| File::open(path))?;
    let errnos = [libc::EINVAL, libc::EAGAIN];
    if session.call_or("setlease", path, &errnos, |_| locking::set_lease(&file, F_WRLCK))?.is_none() {
        let lent_path = session.path("lent");
        return lent(session, &lent_path, &lent_path);
    }
    let lease = session.call("getlease", path, |_| locking::lease(&file))?;
    expect_eq("lease", &lease, &F_WRLCK)?;
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let refused = session.call("break_lease", path, |path| sys::in_child(|| options.open(path)))?;
    expect_eq("errno of an open that breaks a lease", &refused, &libc::EWOULDBLOCK)?;
    let breaking = session.call("getlease", path, |_| locking::lease(&file))?;
    expect_eq("lease that is being broken", &breaking, &F_RDLCK)?;
    let waiting = session.call("break_lease", path, |path| sys::fork(|| i32::from(File::open(path).is_err())))?;
    session.call("setlease", path, |_| locking::set_lease(&file, F_RDLCK))?;
    let code = session.call("break_lease", path, |_| sys::wait(waiting))?;
    expect_eq("end of the process that waited for the lease", &code, &0)?;
    options.read(false).write(true);
    let refused = session.call("break_lease", path, |path| sys::in_child(|| options.open(path)))?;
    expect_eq("errno of an open for writing", &refused, &libc::EWOULDBLOCK)?;
    session.call("setlease", path, |_| locking::set_lease(&file, F_UNLCK))?;
    let code = session.call("open", path, |path| sys::in_child(|| options.open(path)))?;
    expect_eq("errno of an open without a lease", &code, &0)
}

/// A shared lease of a network file system, which is had where the server has lent the file: one that nobody has had to give back
/// lately, and when the server has found out that it can call the client. `own` is the file's path on the server, or the same.
pub(crate) fn lent(session: &mut Session, own: &Path, remote: &Path) -> Result<()> {
    session.call("create", own, |path| fs::write(path, "sixteen bytes or more"))?;
    let start = Instant::now();
    loop {
        let file = session.call("open", remote, |path| File::open(path))?;
        let text = session.call("read", remote, |_| io::read_to_string(&file))?;
        ensure!(text.starts_with("sixteen"), "the client sees {text:?}");
        let errnos = [libc::EINVAL, libc::EAGAIN];
        if session.call_or("setlease", remote, &errnos, |_| locking::set_lease(&file, F_RDLCK))?.is_some() {
            session.call("setlease", remote, |_| locking::set_lease(&file, F_UNLCK))?;
            break;
        }
        if start.elapsed() > LENDING_TIME {
            session.note("setlease", "nothing is lent");
            break;
        }
        drop(file);
        sleep(40 * POLL_INTERVAL);
    }
    session.call("unlink", own, |path| fs::remove_file(path))
}
