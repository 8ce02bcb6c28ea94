//! Mounting and unmounting: every file system without a device that the kernel has, and images on loop devices; quietly and
//! while others are at work.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys;
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::mounting::{self, LoopDevice};

/// Types without a device, each with the options to mount it with.
const WITHOUT_DEVICE: [(&str, &str); 17] = [
    ("tmpfs", "size=1m"),
    ("ramfs", ""),
    ("proc", ""),
    ("sysfs", ""),
    ("devpts", ""),
    ("devtmpfs", ""),
    ("cgroup2", ""),
    ("mqueue", ""),
    ("hugetlbfs", ""),
    ("configfs", ""),
    ("debugfs", ""),
    ("tracefs", ""),
    ("securityfs", ""),
    ("bpf", ""),
    ("pstore", ""),
    ("binfmt_misc", ""),
    ("fusectl", ""),
];
/// How often a file system is mounted and unmounted while others are used.
const ROUNDS: u32 = 12;
/// How long unmounting may go on failing because a file is still open.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the kernel says of a type that it does not have.
const UNKNOWN_TYPE: [i32; 2] = [libc::ENODEV, libc::EPERM];

/// All of it.
pub(crate) fn exercise(session: &mut Session, images: &Path) -> Result<()> {
    let point = point(session)?;
    for (kind, options) in WITHOUT_DEVICE {
        without_device(session, &point, kind, options).with_context(|| kind.to_owned())?;
    }
    for kind in ["ext4", "vfat", "exfat"] {
        if let Some(image) = Image::find(session, images, kind)? {
            image_at_work(session, &image, &point).with_context(|| kind.to_owned())?;
        }
    }
    under_load(session, &point)?;
    torn_off(session, &point)?;
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

/// A directory to mount on.
pub(crate) fn point(session: &mut Session) -> Result<PathBuf> {
    let point = session.path("point");
    session.call("mkdir", &point, |path| fs::create_dir(path))?;
    Ok(point)
}

/// Mounts a type, looks at it, remounts it and unmounts it.
fn without_device(session: &mut Session, point: &Path, kind: &'static str, options: &str) -> Result<()> {
    let none = Path::new("none");
    let mount = |point: &Path| mounting::mount_with(none, point, kind, 0, options);
    if session.call_or(kind, point, &UNKNOWN_TYPE, mount)?.is_none() {
        return Ok(());
    }
    let look = || -> Result<()> {
        ensure!(sys::block_size(point)? > 0, "statfs reports no block size");
        fs::read_dir(point)?.count();
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let own = point.display().to_string();
        ensure!(mounts.split_whitespace().any(|word| word == own), "/proc/self/mounts does not name {own}");
        Ok(())
    };
    let looked = look();
    session
        .call_or("remount", point, &[libc::EINVAL, libc::EBUSY, libc::EPERM], |point| mounting::remount(point, 0))?;
    session.call("umount", point, mounting::unmount)?;
    looked
}

/// A file system's image on a loop device.
pub(crate) struct Image {
    /// The type to mount it as.
    pub(crate) kind: &'static str,
    /// The device.
    pub(crate) device: LoopDevice,
}

impl Image {
    /// Attaches the image of this name, if there are one and a loop device.
    pub(crate) fn find(session: &mut Session, images: &Path, kind: &'static str) -> Result<Option<Self>> {
        let path = images.join(format!("{}.img", if folds_case(kind) { kind } else { "ext4-plain" }));
        if !path.exists() {
            session.note(kind, &format!("no image {}", path.display()));
            return Ok(None);
        }
        let device = session.call_or("loop", &path, &[libc::ENOENT], LoopDevice::attach)?;
        Ok(device.map(|device| Self { kind, device }))
    }

    /// Mounts it; `false` when the kernel does not have its type.
    pub(crate) fn mount(&self, session: &mut Session, point: &Path, options: &str) -> Result<bool> {
        let mount = |point: &Path| mounting::mount_with(&self.device.path, point, self.kind, 0, options);
        Ok(session.call_or(self.kind, point, &UNKNOWN_TYPE, mount)?.is_some())
    }
}

/// Whether the kernel takes the first image of `kind`: without `CONFIG_UNICODE` it mounts no ext4 whose names may ignore case.
fn folds_case(kind: &str) -> bool {
    let features = Path::new("/sys/fs/ext4/features");
    kind != "ext4" || !features.exists() || features.join("casefold").exists()
}

fn image_at_work(session: &mut Session, image: &Image, point: &Path) -> Result<()> {
    if !image.mount(session, point, "")? {
        return Ok(());
    }
    let worked = files_on_image(session, point);
    session.call("umount", point, mounting::unmount)?;
    worked?;
    // What was written is there after another mount.
    image.mount(session, point, "")?;
    let text = session.call("read", &point.join("kept"), |path| fs::read_to_string(path));
    session.call("unlink", &point.join("kept"), |path| fs::remove_file(path))?;
    session.call("umount", point, mounting::unmount)?;
    expect_eq("what was written before the unmount", &text?, &"kept".repeat(5000))
}

/// What every file system can do.
fn files_on_image(session: &mut Session, point: &Path) -> Result<()> {
    let (path, directory) = (point.join("file"), point.join("directory"));
    session.call("create", &path, |path| fs::write(path, "kept".repeat(5000)))?;
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    session.call("rename", &path, |path| fs::rename(path, directory.join("moved")))?;
    session.call("rename", &path, |path| {
        fs::rename(directory.join("moved"), point.join("kept")).map(|()| path.exists())
    })?;
    session.call("rmdir", &directory, |path| fs::remove_dir(path))?;
    directly(session, &point.join("direct"))?;
    let root = File::open(point)?;
    session.call("syncfs", point, |_| sys::sync_file_system(&root))?;
    session.call_or("remount", point, &[], |point| mounting::remount(point, libc::MS_NOATIME))?;
    if session.call_if_offered("freeze", point, |_| mounting::freeze(&root))?.is_some() {
        session.call("thaw", point, |_| mounting::thaw(&root))?;
    }
    session.call_if_offered("trim", point, |_| mounting::trim(&root))?;
    Ok(())
}

/// Past the page cache: the older way to do so, where the file system has no newer one.
fn directly(session: &mut Session, path: &Path) -> Result<()> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true).custom_flags(libc::O_DIRECT);
    let file = session.call("direct_open", path, |path| options.open(path))?;
    let mut memory = Mapping::anonymous(libc::MAP_PRIVATE, PAGE)?;
    memory.bytes().fill(7);
    // Over what is there: some write the first time by way of the page cache.
    for _ in 0..2 {
        session.call("direct_write", path, |_| file.write_all_at(memory.bytes(), 0))?;
        session.call("fsync", path, |_| file.sync_all())?;
    }
    memory.bytes().fill(0);
    session.call("direct_read", path, |_| file.read_exact_at(memory.bytes(), 0))?;
    ensure!(memory.bytes().iter().all(|byte| *byte == 7), "direct I/O read other data than it had written");
    session.call("unlink", path, |path| fs::remove_file(path))
}

/// Mounts and unmounts while other processes are at work on what is mounted.
fn under_load(session: &mut Session, point: &Path) -> Result<()> {
    let other = session.path("other-point");
    session.call("mkdir", &other, |path| fs::create_dir(path))?;
    session.call("tmpfs", &other, |path| mounting::mount("tmpfs", path))?;
    let worker = sys::fork(|| i32::from(work_until_stopped(&other).is_err()))?;
    let rounds = (0..ROUNDS).try_for_each(|round| -> Result<()> {
        session.call("tmpfs", point, |point| mounting::mount("tmpfs", point))?;
        let user = sys::fork(|| i32::from(use_mount(point).is_err()))?;
        let unmounted = unmount_busy(session, point);
        let code = sys::wait(user)?;
        unmounted?;
        expect_eq(&format!("end of the load on mount {round}"), &code, &0)
    });
    fs::write(other.join("stop"), "")?;
    let code = sys::wait(worker)?;
    session.call("umount", &other, mounting::unmount)?;
    session.call("rmdir", &other, |path| fs::remove_dir(path))?;
    rounds?;
    expect_eq("end of the load beside the mounts", &code, &0)
}

fn churn(directory: &Path, index: u32) -> io::Result<()> {
    let path = directory.join(format!("churn-{index}"));
    fs::write(&path, "churn")?;
    fs::rename(&path, directory.join("churned"))?;
    fs::remove_file(directory.join("churned"))
}

fn work_until_stopped(directory: &Path) -> io::Result<()> {
    let mut index = 0;
    while !directory.join("stop").exists() {
        churn(directory, index)?;
        index += 1;
    }
    Ok(())
}

/// Works by way of an open directory: in the mount, if it was there, and nowhere else.
fn use_mount(point: &Path) -> io::Result<()> {
    let directory = File::open(point)?;
    let way = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    (0..20).try_for_each(|index| churn(&way, index))
}

/// Unmounts what is in use: again and again until nobody holds a file there.
pub(crate) fn unmount_busy(session: &mut Session, point: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        session.count("umount_busy");
        match mounting::unmount(point) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                ensure!(start.elapsed() < PATIENCE, "{} stays busy", point.display());
            }
            other => return other.context("unmounting what is in use"),
        }
    }
}

/// Taken out of the tree while a file is open: the file goes on, and with it goes the superblock.
fn torn_off(session: &mut Session, point: &Path) -> Result<()> {
    session.call("tmpfs", point, |point| mounting::mount("tmpfs", point))?;
    let path = point.join("open");
    let file = session.call("create", &path, crate::io::open)?;
    session.call("umount_detach", point, |point| mounting::unmount_with(point, libc::MNT_DETACH))?;
    ensure!(!path.exists(), "{} is still there", path.display());
    session.call("write", &path, |_| file.write_all_at(b"on", 0))?;
    let mut found = [0; 2];
    session.call("pread", &path, |_| file.read_exact_at(&mut found, 0))?;
    expect_eq("data of a file without a tree", &found, b"on")
}
