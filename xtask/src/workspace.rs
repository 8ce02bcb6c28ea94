//! Where things lie: the repository, cargo's target directory, the cache of downloads; and locks on them.

use std::env;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => env::current_dir().unwrap_or_default().join(directory),
        None => root().join("target"),
    }
}

/// The directory for downloads, outside the repository: `$VFS_AUDIT_CACHE`, else the user's cache directory.
///
/// # Errors
/// When no place is known or it cannot be created.
pub fn cache_dir() -> Result<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = from("VFS_AUDIT_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|base| base.join("vfs-audit")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/vfs-audit")));
    let Some(directory) = directory else { bail!("no place for the cache: set VFS_AUDIT_CACHE or HOME") };
    fs::create_dir_all(&directory).with_context(|| format!("creating the cache {}", directory.display()))?;
    Ok(directory)
}

/// An exclusive lock between xtask processes, released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock file at `path`, which is created if it is not there.
    ///
    /// # Errors
    /// When the file cannot be created or locked.
    pub fn acquire(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        // SAFETY: the descriptor is open; the call blocks until the lock is ours.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            return Err(std::io::Error::last_os_error()).with_context(|| format!("locking {}", path.display()));
        }
        Ok(Self { _file: file })
    }
}

/// What an interrupted process left in a place of scratch directories is removed after this time.
const LEFTOVER_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
const SCRATCH_PREFIX: &str = "tmp-";

/// A directory of this process, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Creates a new directory below `parent`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn below(parent: &Path) -> Result<Self> {
        remove_leftovers(parent, LEFTOVER_AGE_MAX);
        for number in 0..u32::MAX {
            let path = parent.join(format!("{SCRATCH_PREFIX}{}-{number}", std::process::id()));
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("creating {}", path.display())),
            }
        }
        bail!("no free name for a directory below {}", parent.display())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_leftovers(parent: &Path, age_max: Duration) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_scratch = entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > age_max));
        if is_scratch && is_old {
            // Another user's cannot be removed, and need not be.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let place = env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        place
    }

    #[test]
    fn a_scratch_directory_is_new_and_goes_with_its_owner() {
        let place = place("scratch");
        let (one, two) = (Scratch::below(&place).unwrap(), Scratch::below(&place).unwrap());
        assert_ne!(one.path(), two.path());
        fs::write(one.path().join("file"), "").unwrap();
        let path = one.path().to_path_buf();
        drop(one);
        assert!(!path.exists() && two.path().exists());
        drop(two);
        fs::remove_dir(&place).unwrap();
    }

    #[test]
    fn only_old_scratch_directories_are_leftovers() {
        let place = place("leftovers");
        for name in ["tmp-1-0", "kept"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        remove_leftovers(&place, LEFTOVER_AGE_MAX);
        assert!(place.join("tmp-1-0").exists(), "it is new");
        remove_leftovers(&place, Duration::ZERO);
        assert!(!place.join("tmp-1-0").exists() && place.join("kept").exists());
        fs::remove_dir_all(&place).unwrap();
    }
}
