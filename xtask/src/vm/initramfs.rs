//! The guest's root: our init, its plan, busybox, kernel modules, the daemon and the user's files, as a cpio archive.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use vfs_audit_guest::cpio::Writer;
use vfs_audit_guest::plan::{self, Plan};

use crate::archive::{self, Archive};
use crate::process;
use crate::vm::modules;
use crate::workspace::{self, Lock, Scratch};

const DIRECTORIES: &[&str] = &[
    "bin",
    "sbin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "mnt",
    "out",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/local",
    "usr/local/bin",
    "var",
];
const BUSYBOX: &str = "busybox-static";

/// What goes into the guest's root.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    /// The static binary that becomes `/init`.
    pub(crate) init: &'a Path,
    /// The plan that it carries out; its modules are the guest's paths of `modules`.
    pub(crate) plan: &'a Plan,
    /// The host's files of kernel modules, as the plan has them.
    pub(crate) modules: &'a [PathBuf],
    /// Files and directories of the host, with their place in the guest.
    pub(crate) files: &'a [(PathBuf, String)],
}

/// Writes the archive to `path`.
///
/// # Errors
/// A file that cannot be read, a module that cannot be decompressed, or a full disk.
pub(crate) fn write(content: &Content<'_>, path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut root = Writer::new(BufWriter::with_capacity(1 << 20, file));
    for directory in DIRECTORIES {
        root.directory(directory, 0o755)?;
    }
    // Before devtmpfs is mounted, the kernel needs a console for init, and Rust's runtime needs /dev/null.
    root.character_device("dev/console", 5, 1)?;
    root.character_device("dev/null", 1, 3)?;
    root.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")?;
    root.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    root.file(plan::PATH, 0o644, content.plan.encode().as_bytes())?;
    root.tree("init", content.init).context("reading the guest's init")?;
    add_busybox(&mut root)?;
    for (host, guest) in content.modules.iter().zip(&content.plan.modules) {
        add_parents(&mut root, guest)?;
        root.file(relative(guest), 0o644, &modules::content(host)?)?;
    }
    for (host, guest) in content.files {
        add_parents(&mut root, guest)?;
        // What a link leads to, not the link: its target is not in the guest.
        let host = host.canonicalize().with_context(|| format!("reading {}", host.display()))?;
        root.tree(relative(guest), &host).with_context(|| format!("reading {}", host.display()))?;
    }
    root.finish()?;
    Ok(())
}

/// Adds busybox with its applets' links, so that shell scripts work in the guest.
fn add_busybox(root: &mut Writer<BufWriter<File>>) -> Result<()> {
    let busybox = busybox()?;
    root.tree("bin/busybox", &busybox)?;
    for applet in process::text(Command::new(&busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            root.symlink(&format!("bin/{applet}"), "busybox")?;
        }
    }
    Ok(())
}

/// Debian's static busybox, from the cache or the archive.
fn busybox() -> Result<PathBuf> {
    let directory = workspace::cache_dir()?.join("busybox");
    let _lock = Lock::acquire(&directory.join("lock"))?;
    let kept = directory.join("busybox");
    if !kept.is_file() {
        let scratch = Scratch::below(&directory)?;
        Archive::open(&archive::BOOKWORM)?.download_and_unpack(BUSYBOX, scratch.path())?;
        let candidates = ["bin/busybox", "usr/bin/busybox"].map(|path| scratch.path().join(path));
        let unpacked = candidates.into_iter().find(|path| path.is_file());
        fs::rename(unpacked.context("busybox-static has no busybox")?, &kept)?;
    }
    Ok(kept)
}

fn add_parents(root: &mut Writer<BufWriter<File>>, guest: &str) -> Result<()> {
    let parents: Vec<&Path> = Path::new(relative(guest)).ancestors().skip(1).collect();
    for parent in parents.into_iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
        root.directory(&parent.to_string_lossy(), 0o755)?;
    }
    Ok(())
}

fn relative(guest: &str) -> &str {
    guest.trim_start_matches('/')
}
