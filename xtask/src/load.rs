//! What the workload needs in a guest to reach every op: the program, images that the guest cannot make itself, modules of
//! the file systems and devices that it sets up, and words for the kernel's command line.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::kernels::Kernel;
use crate::process;

const PACKAGE: &str = "vfs-audit-tests";
const PROGRAM: &str = "vfs-workload";
/// Where the program lies in the guest.
pub(crate) const PROGRAM_IN_GUEST: &str = "/usr/local/bin/vfs-workload";
/// Where it looks for images.
const IMAGES_IN_GUEST: &str = "/usr/local/share/vfs-workload";
/// Everything: what a directory of a file system gives, then what has to be set up. The second runs even if the first fails.
pub(crate) const SHELL_LINE: &str = "vfs-workload all /mnt; code=$?; vfs-workload system /mnt || code=$?; exit $code";
/// A part of the memory becomes a persistent memory device; `memfd_secret(2)` is to be had before 6.5, too; disks have queues
/// that can be polled.
pub(crate) const KERNEL_WORDS: &str = "memmap=64M!1G secretmem.enable=1 virtio_blk.poll_queues=1";

/// Loaded where the kernel has them as modules.
const MODULES: &[&str] = &[
    "loop",
    "overlay",
    "vfat",
    "exfat",
    "nls_cp437",
    "nls_ascii",
    "nls_utf8",
    "nls_iso8859_1",
    "quota_v2",
    "configfs",
    "binfmt_misc",
    "fuse",
    "autofs4",
    "lzo_rle",
    "zram",
    "nd_e820",
    "nd_pmem",
    "sd_mod",
    "scsi_debug",
    "nfsd",
    "nfs",
    "nfsv4",
];

/// An image of a file system, named after what it is for.
struct Image {
    name: &'static str,
    megabytes: u64,
    program: &'static str,
    package: &'static str,
    arguments: &'static [&'static str],
}

const IMAGES: &[Image] = &[
    // Blocks smaller than a page, quota that the file system keeps itself, directories whose names ignore case.
    Image {
        name: "ext4",
        megabytes: 12,
        program: "mke2fs",
        package: "e2fsprogs",
        arguments: &["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "quota,casefold", "-E", "encoding=utf8"],
    },
    // The same for kernels that cannot ignore case.
    Image {
        name: "ext4-plain",
        megabytes: 12,
        program: "mke2fs",
        package: "e2fsprogs",
        arguments: &["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "quota"],
    },
    // Blocks of a page, as direct access demands.
    Image {
        name: "dax",
        megabytes: 24,
        program: "mke2fs",
        package: "e2fsprogs",
        arguments: &["-q", "-F", "-t", "ext4", "-b", "4096"],
    },
    // As small as it gets, without what rules direct access out on older kernels.
    Image {
        name: "dax-xfs",
        megabytes: 32,
        program: "mkfs.xfs",
        package: "xfsprogs",
        arguments: &["-q", "-f", "--unsupported", "-m", "reflink=0,rmapbt=0"],
    },
    Image { name: "vfat", megabytes: 8, program: "mkfs.vfat", package: "dosfstools", arguments: &[] },
    Image { name: "exfat", megabytes: 8, program: "mkfs.exfat", package: "exfatprogs", arguments: &[] },
];

/// The program for the guest or for this host.
///
/// # Errors
/// When the compiler fails.
pub(crate) fn program() -> Result<PathBuf> {
    build::guest_program(PACKAGE, PROGRAM)
}

/// The program and its images, made in `directory`, with their places in the guest.
///
/// # Errors
/// When the compiler or a mkfs fails or is missing.
pub(crate) fn files(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = vec![(program()?, PROGRAM_IN_GUEST.to_owned())];
    for image in IMAGES {
        let name = format!("{}.img", image.name);
        let path = directory.join(&name);
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        file.set_len(image.megabytes << 20)?;
        let program = process::require(image.program, image.package)?;
        process::output(Command::new(program).args(image.arguments).arg(&path))?;
        files.push((path, format!("{IMAGES_IN_GUEST}/{name}")));
    }
    Ok(files)
}

/// The modules to load, of those that the kernel has; what it lacks, the workload names as not offered.
///
/// # Errors
/// When the kernel's indexes are not there.
pub(crate) fn modules(kernel: &Kernel) -> Result<Vec<String>> {
    let Some(directory) = &kernel.modules else { return Ok(Vec::new()) };
    let path = directory.join("modules.dep");
    let index = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let known = names(&index);
    Ok(MODULES.iter().filter(|name| known.contains(**name)).map(ToString::to_string).collect())
}

/// The names of the modules that have a line of their own in `modules.dep`.
fn names(index: &str) -> BTreeSet<String> {
    let file_names = index.lines().filter_map(|line| line.split(':').next()?.rsplit('/').next());
    file_names.map(|file| file.split(".ko").next().unwrap_or(file).replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_others_need_is_known_by_its_own_line_only() {
        let index = "kernel/crypto/lzo-rle.ko.xz:\nkernel/fs/vfat.ko: kernel/fs/fat.ko\n";
        assert_eq!(names(index), BTreeSet::from(["lzo_rle".to_owned(), "vfat".to_owned()]));
    }
}
