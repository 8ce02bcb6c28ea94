//! Locks on files: `flock(2)`, those of `fcntl(2)`, and leases.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use libc::c_int;

use super::check;

/// `flock(2)`.
pub(crate) fn flock(file: &File, operation: c_int) -> io::Result<()> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

/// A lock by `fcntl(2)` with `command` on the first bytes: `F_RDLCK`, `F_WRLCK` or `F_UNLCK`; the kind found there.
pub(crate) fn record_lock(file: &File, command: c_int, kind: c_int) -> io::Result<c_int> {
    record_lock_at(file, command, kind, 0)
}

/// The same on sixteen bytes from `start`.
pub(crate) fn record_lock_at(file: &File, command: c_int, kind: c_int, start: i64) -> io::Result<c_int> {
    // SAFETY: all-zero is a valid flock.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_start = start;
    lock.l_len = 16;
    // SAFETY: the kernel reads and writes one flock through the pointer.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) })?;
    Ok(lock.l_type.into())
}

/// `F_SETLEASE`.
pub(crate) fn set_lease(file: &File, kind: c_int) -> io::Result<()> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) }).map(drop)
}

/// `F_GETLEASE`.
pub(crate) fn lease(file: &File) -> io::Result<c_int> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE, 0) })
}

/// `F_SETFL`.
pub(crate) fn set_status_flags(descriptor: c_int, flags: c_int) -> io::Result<()> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) }).map(drop)
}

/// `F_GETFL`.
pub(crate) fn status_flags(descriptor: c_int) -> io::Result<c_int> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::fcntl(descriptor, libc::F_GETFL) })
}

/// Keeps a signal from ending this process.
pub(crate) fn ignore_signal(signal: c_int) {
    // SAFETY: no function of ours is installed.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
