//! Disk quota on an ext4 image that was made with the quota feature: limits that bind, changes that are written down.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::{Result, ensure};

use super::mounts::Image;
use crate::session::{Session, expect_eq};
use crate::sys::mounting;
use crate::sys::{self};

const Q_SYNC: i32 = 0x80_0001;
const Q_QUOTAON: i32 = 0x80_0002;
const Q_QUOTAOFF: i32 = 0x80_0003;
const Q_GETINFO: i32 = 0x80_0005;
const Q_SETINFO: i32 = 0x80_0006;
const Q_GETQUOTA: i32 = 0x80_0007;
const Q_SETQUOTA: i32 = 0x80_0008;
const USRQUOTA: i32 = 0;
/// Whom the limits are for.
const UID: u32 = 4711;
/// In blocks of 1 KiB.
const HARD_LIMIT: u64 = 64;
/// `QIF_BLIMITS`.
const LIMITS_VALID: u32 = 1;
/// `IIF_BGRACE`.
const GRACE_VALID: u32 = 1;

/// All of it.
pub(crate) fn exercise(session: &mut Session, images: &Path) -> Result<()> {
    let Some(image) = Image::find(session, images, "ext4")? else { return Ok(()) };
    let point = super::mounts::point(session)?;
    if image.mount(session, &point, "usrquota")? {
        let limited = limits(session, &image, &point);
        session.call("umount", &point, mounting::unmount)?;
        limited?;
    }
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

/// struct `if_dqblk`: hard and soft limit, use of blocks; the same of inodes; two times; what is valid.
fn quota_of(session: &mut Session, device: &Path, uid: u32) -> Result<[u64; 9]> {
    let mut quota = [0u64; 9];
    session.call("getquota", device, |device| {
        mounting::quotactl(Q_GETQUOTA, USRQUOTA, device, uid, quota.as_mut_ptr().cast())
    })?;
    Ok(quota)
}

fn limits(session: &mut Session, image: &Image, point: &Path) -> Result<()> {
    let device = image.device.path.as_path();
    let mut quota = quota_of(session, device, UID)?;
    (quota[0], quota[1], quota[8]) = (HARD_LIMIT, HARD_LIMIT / 2, LIMITS_VALID.into());
    session.call("setquota", device, |device| {
        mounting::quotactl(Q_SETQUOTA, USRQUOTA, device, UID, quota.as_mut_ptr().cast())
    })?;
    grace_time(session, device)?;
    let path = point.join("limited");
    session.call("create", &path, |path| fs::write(path, vec![1; 16 << 10]))?;
    // All that it takes changes hands.
    session.call("chown", &path, |path| chown(path, Some(UID), Some(UID)))?;
    let used = quota_of(session, device, UID)?[2];
    ensure!(used >= 16 << 10, "{used} bytes are said to be in use after 16 KiB were written");
    let refused = session.call("write", &path, |path| {
        sys::in_child(|| {
            sys::become_user(UID)?;
            let file = File::options().append(true).open(path)?;
            // Blocks may be taken as late as when the data goes to disk.
            io::Write::write_all(&mut &file, &vec![2; 2 * HARD_LIMIT as usize * 1024])?;
            file.sync_all()
        })
    })?;
    expect_eq("errno of a write beyond the limit", &refused, &libc::EDQUOT)?;
    session
        .call("quotasync", device, |device| mounting::quotactl(Q_SYNC, USRQUOTA, device, 0, std::ptr::null_mut()))?;
    session.call("unlink", &path, |path| fs::remove_file(path))?;
    expect_eq("bytes in use after unlink", &quota_of(session, device, UID)?[2], &0)?;
    // Without a limit and use, the kernel forgets the user.
    (quota[0], quota[1]) = (0, 0);
    session.call("setquota", device, |device| {
        mounting::quotactl(Q_SETQUOTA, USRQUOTA, device, UID, quota.as_mut_ptr().cast())
    })?;
    off_and_on(session, device)
}

/// The time that a soft limit leaves.
fn grace_time(session: &mut Session, device: &Path) -> Result<()> {
    // struct if_dqinfo: grace time of blocks, of inodes; flags and what is valid (u32 each).
    let mut info = [0u64; 3];
    session.call("getinfo", device, |device| {
        mounting::quotactl(Q_GETINFO, USRQUOTA, device, 0, info.as_mut_ptr().cast())
    })?;
    let seconds = info[0] + 60;
    (info[0], info[2]) = (seconds, u64::from(GRACE_VALID) << 32);
    session.call("setinfo", device, |device| {
        mounting::quotactl(Q_SETINFO, USRQUOTA, device, 0, info.as_mut_ptr().cast())
    })?;
    session.call("getinfo", device, |device| {
        mounting::quotactl(Q_GETINFO, USRQUOTA, device, 0, info.as_mut_ptr().cast())
    })?;
    expect_eq("grace time", &info[0], &seconds)
}

/// Limits no longer bind, and then do again; a file system that keeps its quota itself does without a file.
fn off_and_on(session: &mut Session, device: &Path) -> Result<()> {
    session
        .call("quotaoff", device, |device| mounting::quotactl(Q_QUOTAOFF, USRQUOTA, device, 0, std::ptr::null_mut()))?;
    session.call("quotaon", device, |device| {
        // QFMT_VFS_V1; the path is not looked at.
        let mut path = *b"/\0";
        mounting::quotactl(Q_QUOTAON, USRQUOTA, device, 4, path.as_mut_ptr())
    })
}
