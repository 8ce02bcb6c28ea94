//! The guest's drives: one image per file system that needs one, made by its own mkfs, and the drive for `/out`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use vfs_audit_guest::plan;

use crate::process;

/// Size of a file system image: above the smallest that mkfs.xfs takes (300 MiB); sparse.
const IMAGE_BYTES: u64 = 512 << 20;
/// Size of the out drive, sparse: the most that a run can bring back.
const OUT_BYTES: u64 = 4 << 30;

/// A raw image that the guest sees as a virtio disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drive {
    /// Serial number, by which the guest finds it.
    pub(crate) serial: String,
    /// The image.
    pub(crate) image: PathBuf,
}

/// How a file system is made. In the arguments, [`TREE`] stands for a directory with something to read; the image comes last
/// unless [`IMAGE`] says where.
struct Maker {
    kind: &'static str,
    program: &'static str,
    package: &'static str,
    arguments: &'static [&'static str],
}

const IMAGE: &str = "IMAGE";
const TREE: &str = "TREE";

/// Without lazy initialisation, which would go on in the guest's background and disturb measurements.
/// The hash seed is fixed, so that directories have the same shape in every run.
const EXT4: &[&str] = &["-q", "-F", "-t", "ext4", "-U", EXT4_UUID, "-E", EXT4_OPTIONS];
const EXT4_UUID: &str = "6a6f3c1e-0d0f-4c6b-9d52-7f3b8e1c2a40";
const EXT4_OPTIONS: &str = "lazy_itable_init=0,lazy_journal_init=0,hash_seed=6a6f3c1e-0d0f-4c6b-9d52-7f3b8e1c2a40";

const SQUASHFS: &[&str] = &[TREE, IMAGE, "-quiet", "-no-progress", "-noappend"];
/// Bytes of the file in a read-only file system: more than one read-ahead.
const READ_ONLY_FILE_BYTES: usize = 1 << 20;

const MAKERS: &[Maker] = &[
    Maker { kind: "ext2", program: "mke2fs", package: "e2fsprogs", arguments: &["-q", "-F", "-t", "ext2"] },
    Maker { kind: "ext3", program: "mke2fs", package: "e2fsprogs", arguments: &["-q", "-F", "-t", "ext3"] },
    Maker { kind: "ext4", program: "mke2fs", package: "e2fsprogs", arguments: EXT4 },
    Maker { kind: "xfs", program: "mkfs.xfs", package: "xfsprogs", arguments: &["-q", "-f"] },
    Maker { kind: "btrfs", program: "mkfs.btrfs", package: "btrfs-progs", arguments: &["-q", "-f"] },
    Maker { kind: "vfat", program: "mkfs.vfat", package: "dosfstools", arguments: &[] },
    Maker { kind: "exfat", program: "mkfs.exfat", package: "exfatprogs", arguments: &[] },
    Maker { kind: "f2fs", program: "mkfs.f2fs", package: "f2fs-tools", arguments: &["-q"] },
    // What the guest's NFS server exports.
    Maker { kind: "nfs", program: "mke2fs", package: "e2fsprogs", arguments: EXT4 },
    Maker { kind: "squashfs", program: "mksquashfs", package: "squashfs-tools", arguments: SQUASHFS },
    Maker {
        kind: "iso9660",
        program: "genisoimage",
        package: "genisoimage",
        arguments: &["-quiet", "-R", "-o", IMAGE, TREE],
    },
    Maker { kind: "ntfs3", program: "mkfs.ntfs", package: "ntfs-3g", arguments: &["-q", "-F", "-Q"] },
];
/// File systems that live in memory, on others, or in a server.
const WITHOUT_DRIVE: &[&str] = &["tmpfs", "ramfs", "overlay", "fuse"];

/// Every type of file system that a guest can mount.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    MAKERS.iter().map(|maker| maker.kind).chain(WITHOUT_DRIVE.iter().copied())
}

/// Makes the drives for `filesystems` in `directory`, the out drive last.
///
/// # Errors
/// An unknown file system, or a mkfs that is missing or fails.
pub(crate) fn make(filesystems: &[String], directory: &Path) -> Result<Vec<Drive>> {
    let with_drive = filesystems.iter().filter(|kind| !WITHOUT_DRIVE.contains(&kind.as_str()));
    let mut drives = with_drive.map(|kind| filesystem(kind, directory)).collect::<Result<Vec<_>>>()?;
    drives.push(Drive { serial: plan::OUT_DRIVE.into(), image: blank("out.img", OUT_BYTES, directory)? });
    Ok(drives)
}

fn filesystem(kind: &str, directory: &Path) -> Result<Drive> {
    let Some(maker) = MAKERS.iter().find(|maker| maker.kind == kind) else {
        bail!("unknown file system {kind}\nhint: one of {}", kinds().collect::<Vec<_>>().join(", "));
    };
    let image = blank(&format!("{kind}.img"), IMAGE_BYTES, directory)?;
    let program = process::require(maker.program, maker.package)?;
    let mut command = Command::new(program);
    for argument in maker.arguments {
        match *argument {
            IMAGE => command.arg(&image),
            TREE => command.arg(tree(directory)?),
            other => command.arg(other),
        };
    }
    if !maker.arguments.contains(&IMAGE) {
        command.arg(&image);
    }
    process::output(&mut command)?;
    Ok(Drive { serial: kind.into(), image })
}

/// What the file systems hold that nobody can write to: a file, a link to it, and a directory.
fn tree(directory: &Path) -> Result<PathBuf> {
    let root = directory.join("tree");
    if root.exists() {
        return Ok(root);
    }
    let fill = || -> std::io::Result<()> {
        fs::create_dir_all(root.join("directory"))?;
        fs::write(root.join("directory/file"), vec![b'x'; READ_ONLY_FILE_BYTES])?;
        std::os::unix::fs::symlink("directory/file", root.join("link"))
    };
    fill().with_context(|| format!("filling {}", root.display()))?;
    Ok(root)
}

fn blank(name: &str, size: u64, directory: &Path) -> Result<PathBuf> {
    let path = directory.join(name);
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    file.set_len(size).with_context(|| format!("sizing {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_file_system_is_refused_with_the_known_ones() {
        let error = make(&["minix".into()], Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("unknown file system minix") && error.contains("btrfs, vfat"), "{error}");
    }
}
