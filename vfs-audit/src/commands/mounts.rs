//! Paths to the devices of the superblocks they are on.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Advice;

/// The device (`major << 20 | minor`, as the kernel keeps it) of the file system that each path is on.
///
/// `/proc/self/mountinfo` is asked, not `stat(2)`: btrfs gives each subvolume a device number of its own.
///
/// # Errors
/// A path that does not exist, or mounts that cannot be read.
pub(super) fn devices(paths: &[PathBuf]) -> anyhow::Result<Vec<u32>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    paths.iter().map(|path| device(path, &mounts)).collect()
}

fn device(path: &Path, mounts: &str) -> anyhow::Result<u32> {
    let name = path.display();
    let hint = "name a path on a mounted file system";
    let real = path.canonicalize().map_err(|error| Advice::new(format!("looking up {name}"), hint).because(error))?;
    let candidates = mounts.lines().filter_map(mount).filter(|(at, _)| real.starts_with(at));
    // The longest mount point wins; of equal ones the last, which covers the others.
    let found = candidates.max_by_key(|(at, _)| at.as_os_str().len());
    Ok(found.ok_or_else(|| Advice::new(format!("{name} is on no file system that is mounted here"), hint))?.1)
}

/// Mount point and device of one line (`proc_pid_mountinfo(5)`).
fn mount(line: &str) -> Option<(PathBuf, u32)> {
    let mut words = line.split(' ');
    let (major, minor) = words.nth(2)?.split_once(':')?;
    let device = major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?;
    let at = words.nth(1)?.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    Some((PathBuf::from(at), device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_mount_point_and_device() {
        let line = "36 35 98:3 /mnt1 /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount(line), Some((PathBuf::from("/mnt/a b"), 98 << 20 | 3)));
        assert_eq!(mount("36 35 983"), None);
    }

    #[test]
    fn the_innermost_and_last_mount_counts() {
        let mounts = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /proc rw - ext4 b rw\n3 1 8:3 / /proc rw - proc proc rw\n";
        assert_eq!(device(Path::new("/proc/self"), mounts).unwrap(), 8 << 20 | 3);
        assert_eq!(device(Path::new("/"), mounts).unwrap(), 8 << 20 | 1);
        assert!(device(Path::new("/no/such/path"), mounts).is_err());
    }
}
