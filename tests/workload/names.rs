//! The ops on names: `create`, `lookup`, `link`, `unlink`, `symlink`, `mkdir`, `rmdir`, `mknod`, `readlink`, `get_link`, `tmpfile`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys;

/// Files in one directory: enough that a directory needs more than one block somewhere.
const FILES: usize = 40;
/// Longer than what any of the file systems keeps in an inode, and within what xfs takes (1024).
const LONG_TARGET: usize = 1000;

/// All of them.
pub(crate) fn exercise(session: &mut Session) -> Result<()> {
    files(session)?;
    directories(session)?;
    special_files(session)?;
    symbolic_links(session)?;
    unnamed_file(session)
}

fn files(session: &mut Session) -> Result<()> {
    let missing = session.path("missing");
    session.call_fails("lookup", &missing, &[libc::ENOENT], |path| fs::metadata(path))?;
    for index in 0..FILES {
        let (path, second) = (session.path(&format!("file-{index}")), session.path(&format!("link-{index}")));
        session.call("create", &path, |path| File::create_new(path))?;
        session.call_fails("create", &path, &[libc::EEXIST], |path| File::create_new(path))?;
        session.call("link", &path, |path| fs::hard_link(path, &second))?;
        let links = session.call("stat", &path, |path| fs::metadata(path))?.nlink();
        expect_eq("link count after link", &links, &2)?;
        session.call("unlink", &path, |path| fs::remove_file(path))?;
        session.call_fails("lookup", &path, &[libc::ENOENT], |path| fs::metadata(path))?;
        let links = session.call("stat", &second, |path| fs::metadata(path))?.nlink();
        expect_eq("link count after unlink", &links, &1)?;
    }
    for index in 0..FILES {
        let second = session.path(&format!("link-{index}"));
        session.call("unlink", &second, |path| fs::remove_file(path))?;
    }
    Ok(())
}

fn directories(session: &mut Session) -> Result<()> {
    let (outer, inner) = (session.path("outer"), session.path("outer/inner"));
    session.call("mkdir", &outer, |path| fs::create_dir(path))?;
    session.call_fails("mkdir", &outer, &[libc::EEXIST], |path| fs::create_dir(path))?;
    session.call("mkdir", &inner, |path| fs::create_dir(path))?;
    session.call_fails("rmdir", &outer, &[libc::ENOTEMPTY], |path| fs::remove_dir(path))?;
    session.call_fails("unlink", &outer, &[libc::EISDIR], |path| {
        let path = sys::c_path(path)?;
        // SAFETY: the path is NUL-terminated and outlives the call; unlike remove_file it asks for unlink(2) as it is.
        if unsafe { libc::unlink(path.as_ptr()) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    })?;
    session.call_fails("link", &outer, &[libc::EPERM], |path| fs::hard_link(path, path.with_extension("link")))?;
    session.call("rmdir", &inner, |path| fs::remove_dir(path))?;
    session.call("rmdir", &outer, |path| fs::remove_dir(path))?;
    session.call_fails("lookup", &inner, &[libc::ENOENT], |path| fs::metadata(path))
}

fn special_files(session: &mut Session) -> Result<()> {
    let (fifo, device) = (session.path("fifo"), session.path("null"));
    session.call("mknod", &fifo, |path| sys::mknod(path, libc::S_IFIFO | 0o644, 0))?;
    session.call("mknod", &device, |path| sys::mknod(path, libc::S_IFCHR | 0o666, libc::makedev(1, 3)))?;
    ensure!(session.call("stat", &fifo, |path| fs::metadata(path))?.file_type().is_fifo(), "mknod made no fifo");
    let device_number = session.call("stat", &device, |path| fs::metadata(path))?.rdev();
    expect_eq("device number", &device_number, &libc::makedev(1, 3))?;
    session.call("unlink", &fifo, |path| fs::remove_file(path))?;
    session.call("unlink", &device, |path| fs::remove_file(path))
}

fn symbolic_links(session: &mut Session) -> Result<()> {
    let target = session.path("target");
    session.call("create", &target, |path| fs::write(path, "through the link"))?;
    let directory = session.path(".").display().to_string();
    // The same file behind many "./": a target too long to be kept in the inode.
    let long = format!("{directory}{}/target", "/.".repeat((LONG_TARGET - directory.len()) / 2));
    for (name, text) in [("short", "target"), ("long", long.as_str())] {
        let link = session.path(name);
        session.call("symlink", &link, |path| symlink(text, path))?;
        let read = session.call("readlink", &link, |path| fs::read_link(path))?;
        expect_eq("target of the link", &read.display().to_string(), &text.to_owned())?;
        let data = session.call("follow", &link, |path| fs::read_to_string(path))?;
        expect_eq("data behind the link", &data, &"through the link".to_owned())?;
        session.call("unlink", &link, |path| fs::remove_file(path))?;
    }
    session.call("unlink", &target, |path| fs::remove_file(path))
}

/// `O_TMPFILE`, then a name for it.
fn unnamed_file(session: &mut Session) -> Result<()> {
    let (directory, named) = (session.path("."), session.path("named"));
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_TMPFILE);
    let Some(file) = session.call_if_offered("tmpfile", &directory, |path| options.open(path))? else {
        return Ok(());
    };
    expect_eq("links of an unnamed file", &file.metadata()?.nlink(), &0)?;
    session.call("link", &named, |path| sys::link_open_file(&file, path))?;
    expect_eq("links of a named file", &file.metadata()?.nlink(), &1)?;
    session.call("unlink", &named, |path| fs::remove_file(path))
}
