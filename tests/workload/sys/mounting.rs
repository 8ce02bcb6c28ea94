//! Mounts, loop devices, swap areas, quota and freezing.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libc::{c_int, c_ulong};

use super::{c_path, check, check_long};

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_SET_FD: libc::Ioctl = 0x4c00;
const LOOP_CLR_FD: libc::Ioctl = 0x4c01;
const FIFREEZE: libc::Ioctl = 0xc004_5877;
const FITHAW: libc::Ioctl = 0xc004_5878;
const FITRIM: libc::Ioctl = 0xc018_5879;

/// Milliseconds to wait behind the first mount of each type: see [`settle_for`].
static SETTLING: AtomicU64 = AtomicU64::new(0);
/// The types that were mounted so far.
static MOUNTED: Mutex<BTreeSet<CString>> = Mutex::new(BTreeSet::new());

/// Wait so long behind the first mount of each type, for whoever looks for new file systems from time to time only.
pub(crate) fn settle_for(time: Duration) {
    SETTLING.store(time.as_millis() as u64, Ordering::Relaxed);
}

/// `mount(2)`.
pub(crate) fn mount_with(source: &Path, at: &Path, kind: &str, flags: c_ulong, data: &str) -> io::Result<()> {
    let (source, at) = (c_path(source)?, c_path(at)?);
    let (kind, data) = (CString::new(kind)?, CString::new(data)?);
    // SAFETY: all strings are NUL-terminated and outlive the call.
    check(unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })?;
    let is_new = MOUNTED.lock().is_ok_and(|mut mounted| mounted.insert(kind));
    if is_new && flags & libc::MS_REMOUNT == 0 {
        std::thread::sleep(Duration::from_millis(SETTLING.load(Ordering::Relaxed)));
    }
    Ok(())
}

/// `mount(2)` of a file system without a device.
pub(crate) fn mount(kind: &str, at: &Path) -> io::Result<()> {
    mount_with(Path::new("none"), at, kind, 0, "")
}

/// `mount(2)` of what is mounted already, with these flags.
pub(crate) fn remount(at: &Path, flags: c_ulong) -> io::Result<()> {
    mount_with(Path::new("none"), at, "none", libc::MS_REMOUNT | flags, "")
}

/// `umount(2)`.
pub(crate) fn unmount(at: &Path) -> io::Result<()> {
    unmount_with(at, 0)
}

/// `umount2(2)`.
pub(crate) fn unmount_with(at: &Path, flags: c_int) -> io::Result<()> {
    let at = c_path(at)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::umount2(at.as_ptr(), flags) }).map(drop)
}

/// `FIFREEZE`: all writes wait from here on.
pub(crate) fn freeze(directory: &File) -> io::Result<()> {
    // SAFETY: the ioctl takes no argument.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), FIFREEZE, 0) }).map(drop)
}

/// `FITHAW`: they go on.
pub(crate) fn thaw(directory: &File) -> io::Result<()> {
    // SAFETY: the ioctl takes no argument.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), FITHAW, 0) }).map(drop)
}

/// `FITRIM` of everything.
pub(crate) fn trim(directory: &File) -> io::Result<()> {
    // struct fstrim_range: start, length, least length.
    let mut range = [0u64, u64::MAX, 0];
    // SAFETY: the ioctl reads and writes 24 bytes through the pointer.
    check(unsafe { libc::ioctl(directory.as_raw_fd(), FITRIM, range.as_mut_ptr()) }).map(drop)
}

/// `ustat(2)`: the file system of a device number.
pub(crate) fn ustat(device: u64) -> io::Result<()> {
    // struct ustat has 32 bytes; the kernel takes its own 32-bit encoding of the number.
    let (major, minor) = (libc::major(device), libc::minor(device));
    let encoded = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    let mut status = [0u64; 8];
    // SAFETY: the buffer is larger than struct ustat.
    check_long(unsafe { libc::syscall(libc::SYS_ustat, encoded, status.as_mut_ptr()) }).map(drop)
}

/// `swapon(2)`.
pub(crate) fn swap_on(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::swapon(path.as_ptr(), 0) }).map(drop)
}

/// `swapoff(2)`.
pub(crate) fn swap_off(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::swapoff(path.as_ptr()) }).map(drop)
}

/// The first page of a swap area of `pages` pages, as mkswap writes it.
pub(crate) fn swap_header(pages: u32) -> Vec<u8> {
    let mut page = vec![0; super::mapping::PAGE];
    page[1024..1028].copy_from_slice(&1u32.to_le_bytes());
    page[1028..1032].copy_from_slice(&(pages - 1).to_le_bytes());
    page[4086..].copy_from_slice(b"SWAPSPACE2");
    page
}

/// `quotactl(2)` on the file system of a block device; `argument` is what the command wants behind its pointer.
pub(crate) fn quotactl(command: c_int, kind: c_int, device: &Path, id: u32, argument: *mut u8) -> io::Result<()> {
    let device = c_path(device)?;
    let command = (command << 8) | kind;
    // SAFETY: the path is NUL-terminated; the caller passes what the command reads or writes.
    check(unsafe { libc::quotactl(command, device.as_ptr(), id.cast_signed(), argument.cast()) }).map(drop)
}

/// A loop device over a file, given back when dropped.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    /// Its node.
    pub(crate) path: PathBuf,
    /// Keeps it open, so that it does not go away.
    pub(crate) device: File,
}

impl LoopDevice {
    /// Takes a free loop device for the image.
    pub(crate) fn attach(image: &Path) -> io::Result<Self> {
        let backing = OpenOptions::new().read(true).write(true).open(image)?;
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        // SAFETY: the ioctl takes no argument.
        let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE, 0) })?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        // SAFETY: both descriptors are open.
        check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD, backing.as_raw_fd()) })?;
        Ok(Self { path, device })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // SAFETY: the descriptor is open; a device in use is cleared at its last close.
        unsafe { libc::ioctl(self.device.as_raw_fd(), LOOP_CLR_FD, 0) };
    }
}
