//! What file systems do about names of their own accord: names that are equal though they differ, entries that are looked
//! at again before use, that appear by being walked over, and that lead to another file system's inode.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::mounts::Image;
use crate::session::{Session, expect_eq};
use crate::sys::{self, mounting};

/// `FS_CASEFOLD_FL`.
const FS_CASEFOLD_FL: u32 = 0x4000_0000;
const UPROBES: [&str; 2] = ["/sys/kernel/tracing/uprobe_events", "/sys/kernel/debug/tracing/uprobe_events"];

/// All of it.
pub(crate) fn exercise(session: &mut Session, images: &Path) -> Result<()> {
    let point = super::mounts::point(session)?;
    for kind in ["vfat", "exfat", "ext4"] {
        let Some(image) = Image::find(session, images, kind)? else { continue };
        if image.mount(session, &point, "")? {
            let worked = names_without_case(session, &point, kind);
            session.call("umount", &point, mounting::unmount)?;
            worked.with_context(|| kind.to_owned())?;
        }
    }
    overlay(session)?;
    processes(session)?;
    settings(session)?;
    debug_automount(session)?;
    configuration(session, &point)?;
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

/// `File`, `file` and `FILE` are one; a missing name can be made under another spelling.
fn names_without_case(session: &mut Session, point: &Path, kind: &str) -> Result<()> {
    let directory = point.join("folded");
    session.call("mkdir", &directory, |path| fs::create_dir(path))?;
    let folds = if kind == "ext4" {
        let open = File::open(&directory)?;
        let flags = sys::get_flags(&open)?;
        session.call_if_offered("casefold", &directory, |_| sys::set_flags(&open, flags | FS_CASEFOLD_FL))?.is_some()
    } else {
        true
    };
    if folds {
        let (file, upper, long) =
            (directory.join("file"), directory.join("FILE"), directory.join("A rather long Name.text"));
        session.call_fails("lookup", &upper, &[libc::ENOENT], |path| fs::metadata(path))?;
        session.call("create", &file, |path| fs::write(path, "folded"))?;
        for _ in 0..2 {
            let text = session.call("read", &upper, |path| fs::read_to_string(path))?;
            expect_eq("the same file by another name", &text, &"folded".to_owned())?;
        }
        session.call_fails("create", &upper, &[libc::EEXIST], |path| File::create_new(path))?;
        session.call("rename", &file, |path| fs::rename(path, &long))?;
        let lower = directory.join("a rather long name.text");
        session.call("stat", &lower, |path| fs::metadata(path))?;
        session.call("unlink", &lower, |path| fs::remove_file(path))?;
        session.call_fails("lookup", &long, &[libc::ENOENT], |path| fs::metadata(path))?;
    }
    session.call("rmdir", &directory, |path| fs::remove_dir(path))
}

/// An overlay whose layers are on a tmpfs.
fn overlay(session: &mut Session) -> Result<()> {
    let base = session.path("overlay");
    session.call("mkdir", &base, |path| fs::create_dir(path))?;
    session.call("tmpfs", &base, |path| mounting::mount("tmpfs", path))?;
    let lower = base.join("lower");
    let worked = fs::create_dir(&lower).map_err(Into::into).and_then(|()| overlay_over(session, &lower, &base));
    session.call("umount", &base, mounting::unmount)?;
    session.call("rmdir", &base, |path| fs::remove_dir(path))?;
    worked
}

/// An overlay over `lower`, with the other layers and its mount point in `base`.
pub(crate) fn overlay_over(session: &mut Session, lower: &Path, base: &Path) -> Result<()> {
    let (upper, work, point) = (base.join("upper"), base.join("work"), base.join("merged"));
    for directory in [&upper, &work, &point] {
        fs::create_dir(directory)?;
    }
    fs::write(lower.join("below"), "from below")?;
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let mount = |point: &Path| mounting::mount_with(Path::new("overlay"), point, "overlay", 0, &options);
    if session.call_or("overlay", &point, &[libc::ENODEV], mount)?.is_some() {
        let worked = on_overlay(session, &point);
        session.call("umount", &point, mounting::unmount)?;
        worked?;
    }
    fs::remove_file(lower.join("below")).context("the lower layer was changed")
}

fn on_overlay(session: &mut Session, point: &Path) -> Result<()> {
    let path = point.join("below");
    for _ in 0..2 {
        let text = session.call("read", &path, |path| fs::read_to_string(path))?;
        expect_eq("the lower file", &text, &"from below".to_owned())?;
        session.call("stat", &point.join("."), |path| fs::metadata(path))?;
    }
    real_inode(session, &path)?;
    session.call("copy_up", &path, |path| fs::write(path, "copied up"))?;
    let text = session.call("read", &path, |path| fs::read_to_string(path))?;
    expect_eq("the file copied up", &text, &"copied up".to_owned())?;
    real_inode(session, &path)?;
    session.call("unlink", &path, |path| fs::remove_file(path))?;
    session.call_fails("lookup", &path, &[libc::ENOENT], |path| fs::metadata(path))
}

/// A probe on a user program's file looks for the inode below the overlay: so does whoever traces it.
fn real_inode(session: &mut Session, path: &Path) -> Result<()> {
    let Some(control) = UPROBES.iter().map(PathBuf::from).find(|path| path.exists()) else {
        session.note("uprobe", "no tracefs");
        return Ok(());
    };
    let enable = control.with_file_name("events/vfs_workload/real/enable");
    let write = |place: &Path, text: &str| {
        use std::io::Write as _;
        File::options().append(true).open(place)?.write_all(text.as_bytes())
    };
    session
        .call("uprobe", &control, |control| write(control, &format!("p:vfs_workload/real {}:0\n", path.display())))?;
    // A file that no program is refuses the probe, after its inode was found.
    session.call_or("uprobe", &enable, &[libc::EINVAL, libc::EIO, libc::ENOEXEC], |enable| write(enable, "1"))?;
    session.call_or("uprobe", &enable, &[libc::EINVAL], |enable| write(enable, "0"))?;
    session.call("uprobe", &control, |control| write(control, "-:vfs_workload/real\n"))
}

/// Entries of /proc go with their process.
fn processes(session: &mut Session) -> Result<()> {
    let (mut reader, writer) = sys::pipe()?;
    let child = sys::fork(|| i32::from(std::io::Read::read(&mut reader, &mut [0]).is_err()))?;
    let directory = PathBuf::from(format!("/proc/{child}"));
    let names = ["stat", "fd/0", "ns/net", "task", "net/dev", "map_files"];
    for name in names.iter().chain(&names) {
        session.call("stat", &directory.join(name), |path| fs::symlink_metadata(path))?;
    }
    drop((reader, writer));
    // The child's own end of the pipe is still open to it: it is ended by hand.
    // SAFETY: the child is ours and has not been waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    ensure!(sys::wait(child).is_err(), "the child was not killed");
    session.call_fails("stat", &directory, &[libc::ENOENT], |path| fs::metadata(path))?;
    session.call_fails("stat", &directory.join("stat"), &[libc::ENOENT], |path| fs::metadata(path))
}

/// Names of /proc/sys are compared by the owner of the table.
fn settings(session: &mut Session) -> Result<()> {
    for place in ["/proc/sys/kernel/hostname", "/proc/sys/net/core/somaxconn", "/proc/sys/fs/file-nr"] {
        for _ in 0..2 {
            let text = session.call("read", Path::new(place), |path| fs::read_to_string(path))?;
            ensure!(!text.is_empty(), "{place} is empty");
        }
    }
    session.call_fails("lookup", Path::new("/proc/sys/kernel/no-such"), &[libc::ENOENT], |path| fs::metadata(path))
}

/// Walking over /sys/kernel/debug/tracing mounts tracefs there.
fn debug_automount(session: &mut Session) -> Result<()> {
    let place = Path::new("/sys/kernel/debug/tracing");
    let walked = place.join("README");
    let Some(found) = session.call_or("automount", &walked, &[libc::ENOENT], |path| fs::metadata(path))? else {
        return Ok(());
    };
    let parent = fs::metadata("/sys/kernel/debug")?;
    ensure!(found.dev() != parent.dev(), "{} is no mount", place.display());
    session.call_or("umount", place, &[libc::EBUSY], mounting::unmount)?;
    let text = session.call("automount", &walked, |path| fs::read_to_string(path))?;
    ensure!(!text.is_empty(), "{} is empty", walked.display());
    Ok(())
}

/// configfs, whose entries hold items.
fn configuration(session: &mut Session, point: &Path) -> Result<()> {
    let mount = |point: &Path| mounting::mount("configfs", point);
    if session.call_or("configfs", point, &[libc::ENODEV], mount)?.is_none() {
        return Ok(());
    }
    let listed = session.call("readdir", point, |path| fs::read_dir(path).map(Iterator::count));
    session.call("umount", point, mounting::unmount)?;
    listed.map(drop)
}
