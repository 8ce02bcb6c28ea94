//! autofs with a daemon of our own: walking over a name waits until the daemon has mounted something there.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::mounts::unmount_busy;
use crate::session::{Session, expect_eq};
use crate::sys::{self, mounting};

const AUTOFS_IOC_READY: libc::Ioctl = 0x9360;
const AUTOFS_IOC_FAIL: libc::Ioctl = 0x9361;
/// `autofs_ptype_missing_indirect`.
const MISSING: i32 = 3;
/// struct `autofs_v5_packet`: version and type, token, device, inode, four ids, length of the name, name.
const PACKET: usize = 304;
const TOKEN_AT: usize = 8;
const LENGTH_AT: usize = 40;
const NAME_AT: usize = 44;
/// The name that the daemon knows.
const KNOWN: &str = "known";

/// A name that is mounted on, and one that the daemon does not know.
pub(super) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    let point = super::mounts::point(session)?;
    let (requests, to_daemon) = sys::pipe()?;
    let descriptor = to_daemon.as_raw_fd();
    let daemon = sys::fork(|| {
        // What belongs to the daemon's group sees the bare directory.
        // SAFETY: only integers are passed.
        unsafe { libc::setpgid(0, 0) };
        // The kernel's end is the only one: its close is the end of the requests.
        // SAFETY: this process does not use the descriptor again.
        unsafe { libc::close(descriptor) };
        serve(requests, &point).map_or(1, |()| 0)
    })?;
    // SAFETY: only integers are passed; whoever comes first makes the group.
    unsafe { libc::setpgid(daemon, daemon) };
    let options = format!("fd={descriptor},pgrp={daemon},minproto=5,maxproto=5,indirect");
    let mount = |point: &Path| mounting::mount_with(Path::new("vfs-workload"), point, "autofs", 0, &options);
    let mounted = session.call_or("autofs", &point, &[libc::ENODEV], mount);
    drop(to_daemon);
    if mounted?.is_some() {
        let worked = walk(session, &point);
        // The daemon may still hold its directory open for a moment.
        let known = unmount_busy(session, &point.join(KNOWN));
        unmount_busy(session, &point)?;
        worked.and(known)?;
    }
    let code = sys::wait(daemon)?;
    session.call("rmdir", &point, |path| fs::remove_dir(path))?;
    expect_eq("end of the automount daemon", &code, &0)
}

fn walk(session: &mut Session, point: &Path) -> Result<()> {
    let (known, unknown) = (point.join(KNOWN), point.join("unknown"));
    let inside = session.call("automount", &known.join("."), |path| fs::metadata(path))?;
    ensure!(inside.dev() != fs::metadata(point)?.dev(), "nothing is mounted on {}", known.display());
    session.call("create", &known.join("file"), |path| fs::write(path, "inside"))?;
    let text = session.call("read", &known.join("file"), |path| fs::read_to_string(path))?;
    expect_eq("what lies there", &text, &"inside".to_owned())?;
    session.call_fails("automount", &unknown.join("."), &[libc::ENOENT], |path| fs::metadata(path))?;
    // Once more, since the directory is there and empty now.
    unmount_busy(session, &known)?;
    session.call("automount", &known.join("."), |path| fs::metadata(path)).map(drop)
}

/// The daemon: mounts a tmpfs on the name that it knows.
fn serve(mut requests: File, point: &Path) -> std::io::Result<()> {
    let mut packet = [0; PACKET];
    while requests.read_exact(&mut packet).is_ok() {
        let number = |at: usize| i32::from_le_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        if number(4) != MISSING {
            continue;
        }
        let length = usize::try_from(number(LENGTH_AT)).unwrap_or(0);
        let name = String::from_utf8_lossy(&packet[NAME_AT..(NAME_AT + length).min(PACKET)]).into_owned();
        let place = point.join(&name);
        let is_mounted = name == KNOWN
            && (place.is_dir() || fs::create_dir(&place).is_ok())
            && mounting::mount("tmpfs", &place).is_ok();
        let answer = if is_mounted { AUTOFS_IOC_READY } else { AUTOFS_IOC_FAIL };
        let root = File::open(point)?;
        // SAFETY: the ioctl takes a number.
        sys::check(unsafe { libc::ioctl(root.as_raw_fd(), answer, number(TOKEN_AT)) })?;
    }
    Ok(())
}
