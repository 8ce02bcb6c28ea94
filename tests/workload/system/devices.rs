//! Block devices: opened, asked, read past and through the page cache, with a broken partition table; memory of a device
//! as another process's debugger reads it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::mounting::LoopDevice;
use crate::sys::{self, moving, uring};

const HDIO_GETGEO: libc::Ioctl = 0x301;
const BLKRRPART: libc::Ioctl = 0x125f;
const BLKFLSBUF: libc::Ioctl = 0x1261;
const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4c05;
/// As a 32-bit program asks: the old status.
const LOOP_GET_STATUS: u32 = 0x4c03;
/// Bytes of a disk of ours.
const DISK: usize = 1 << 20;
/// The system ROM, which even a locked down /dev/mem shows.
const ROM: i64 = 0xf_0000;

/// All of it.
pub(crate) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    loop_device(session)?;
    geometry(session)?;
    partitions(session)?;
    device_memory(session)
}

fn loop_device(session: &mut Session) -> Result<()> {
    let image = session.path("disk");
    session.call("create", &image, |path| fs::write(path, vec![0; DISK]))?;
    if let Some(device) = session.call_or("loop", &image, &[libc::ENOENT], LoopDevice::attach)? {
        on_loop_device(session, &device)?;
    }
    session.call("unlink", &image, |path| fs::remove_file(path))
}

fn on_loop_device(session: &mut Session, device: &LoopDevice) -> Result<()> {
    let (path, file) = (device.path.as_path(), &device.device);
    let mut size = 0u64;
    session.call("getsize", path, |_| {
        // SAFETY: the ioctl writes eight bytes.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), BLKGETSIZE64, &raw mut size) })
    })?;
    expect_eq("bytes of the loop device", &size, &(DISK as u64))?;
    let mut status = [0u64; 64];
    session.call("loop_status", path, |_| {
        // SAFETY: struct loop_info64 is shorter than the buffer.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), LOOP_GET_STATUS64, status.as_mut_ptr()) })
    })?;
    let memory = Mapping::anonymous(libc::MAP_PRIVATE | libc::MAP_32BIT, PAGE)?;
    // A kernel without 32-bit programs ends the child.
    let asked = sys::fork(|| moving::compat_ioctl(file.as_raw_fd(), LOOP_GET_STATUS, memory.address() as u32))?;
    match sys::wait(asked) {
        Ok(errno) => {
            session.count("compat_ioctl");
            // Times and sizes that the old status cannot hold.
            ensure!([0, libc::EOVERFLOW].contains(&errno), "compat_ioctl {}: errno {errno}", path.display());
        }
        Err(_) => session.note("compat_ioctl", "the kernel runs no 32-bit programs"),
    }
    session.call("write", path, |_| file.write_all_at(&[7; PAGE], PAGE as u64))?;
    session.call("fsync", path, |_| file.sync_all())?;
    session.call("flush", path, |_| {
        // SAFETY: the ioctl takes no argument.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), BLKFLSBUF, 0) })
    })?;
    let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    session.call("direct_read", path, |_| direct.read_exact_at(memory.bytes(), PAGE as u64))?;
    ensure!(memory.bytes().iter().all(|byte| *byte == 7), "{} does not hold what was written", path.display());
    let mapping = session.call("mmap", path, |_| Mapping::shared(file, libc::PROT_READ | libc::PROT_WRITE, DISK, 0))?;
    mapping.write_pages(0..DISK, 8);
    session.call("msync", path, |_| mapping.sync())?;
    ensure!(mapping.pages_are(0..DISK, 8), "the mapping of {} lost a write", path.display());
    Ok(())
}

/// The disks that are there, by the start of their names.
fn disks(start: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(start) {
            found.push(Path::new("/dev").join(name));
        }
    }
    Ok(found)
}

/// What a disk says of its cylinders.
fn geometry(session: &mut Session) -> Result<()> {
    let mut disks = disks("vd")?;
    disks.extend(self::disks("sd")?);
    for path in &disks {
        let file = session.call("open", path, |path| File::open(path))?;
        // struct hd_geometry: heads, sectors (bytes), cylinders (u16), start (u64).
        let mut geometry = [0u64; 2];
        session.call_if_offered("getgeo", path, |_| {
            // SAFETY: the ioctl writes 16 bytes.
            sys::check(unsafe { libc::ioctl(file.as_raw_fd(), HDIO_GETGEO, geometry.as_mut_ptr()) })
        })?;
        session.call("read", path, |_| file.read_exact_at(&mut [0; PAGE], 0))?;
    }
    if disks.is_empty() {
        session.note("getgeo", "no disk");
    }
    Ok(())
}

/// A table that claims more than the disk has: the kernel asks the disk for hidden capacity. On a disk of `scsi_debug`.
fn partitions(session: &mut Session) -> Result<()> {
    let Some(path) = disks("sd")?.into_iter().next() else {
        session.note("partitions", "no disk of scsi_debug");
        return Ok(());
    };
    let file = session.call("open", &path, |path| File::options().read(true).write(true).open(path))?;
    let mut sector = [0; 512];
    // One entry: type 0x83, from sector 1 on, of 0x7fffffff sectors.
    sector[450] = 0x83;
    sector[454] = 1;
    sector[458..462].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let read_table = || {
        // SAFETY: the ioctl takes no argument.
        sys::check(unsafe { libc::ioctl(file.as_raw_fd(), BLKRRPART, 0) })
    };
    session.call("write", &path, |_| file.write_all_at(&sector, 0))?;
    session.call("fsync", &path, |_| file.sync_all())?;
    session.call("partitions", &path, |_| read_table())?;
    session.call("write", &path, |_| file.write_all_at(&[0; 512], 0))?;
    session.call("partitions", &path, |_| read_table())?;
    polled(session, &path)
}

/// A read that a ring polls for, where the disk has queues for that.
fn polled(session: &mut Session, path: &Path) -> Result<()> {
    let file =
        session.call("direct_open", path, |path| File::options().read(true).custom_flags(libc::O_DIRECT).open(path))?;
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    memory.bytes().fill(1);
    let read = session.call_if_offered("polled_read", path, |_| uring::polled_read(&file, memory.bytes()))?;
    ensure!(read.is_none() || memory.bytes().starts_with(&[0; 512]), "the polled read brought other data");
    Ok(())
}

/// Memory without pages of its own, read through /proc as a debugger does: by the mapping's `access`.
fn device_memory(session: &mut Session) -> Result<()> {
    let path = Path::new("/dev/mem");
    let errnos = [libc::ENOENT, libc::EPERM];
    let Some(memory) = session.call_or("open", path, &errnos, |path| File::open(path))? else { return Ok(()) };
    let map = |_: &Path| Mapping::shared(&memory, libc::PROT_READ, PAGE, ROM);
    let Some(mapping) = session.call_or("mmap", path, &[libc::EPERM, libc::EINVAL], map)? else { return Ok(()) };
    let mut found = [0; 16];
    let own = Path::new("/proc/self/mem");
    session.call("access", own, |path| -> io::Result<()> {
        File::open(path)?.read_exact_at(&mut found, mapping.address() as u64)
    })?;
    let expected: Vec<u8> = (0..found.len()).map(|offset| mapping.read(offset)).collect();
    expect_eq("device memory, by way of /proc", &found.to_vec(), &expected)
}
