//! One file system under load: its directory, and how many calls of each kind were made on it.
//!
//! A call that fails is an error with the call's name and path, unless the caller expects that very errno or the file
//! system may lack the call; then that is noted and printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Name of the directory that the load works in, below the one it is given.
const DIRECTORY: &str = "vfs-workload";
/// What a file system answers to a call that it does not have.
const NOT_OFFERED: [i32; 4] = [libc::EOPNOTSUPP, libc::ENOTTY, libc::EINVAL, libc::ENOSYS];
/// What a container answers to a call that is not for it.
const NOT_PERMITTED: [i32; 3] = [libc::EPERM, libc::EACCES, libc::EROFS];

/// The load on one file system.
#[derive(Debug)]
pub(crate) struct Session {
    directory: PathBuf,
    counts: BTreeMap<&'static str, u64>,
    not_offered: BTreeMap<&'static str, String>,
}

impl Session {
    /// A session in a fresh directory below `parent`; what an earlier run left there is removed.
    pub(crate) fn new(parent: &Path) -> Result<Self> {
        let directory = parent.join(DIRECTORY);
        if directory.exists() {
            std::fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
        }
        let mut session = Self { directory, counts: BTreeMap::new(), not_offered: BTreeMap::new() };
        let top = session.directory.clone();
        session.call("mkdir", &top, |path| std::fs::create_dir(path))?;
        Ok(session)
    }

    /// The directory that the session was given.
    pub(crate) fn root(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    /// The path of a name in the session's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes one call and counts it.
    pub(crate) fn call<T>(
        &mut self,
        kind: &'static str,
        path: &Path,
        call: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T> {
        self.count(kind);
        call(path).with_context(|| format!("{kind} {}", path.display()))
    }

    /// Makes a call that must fail with one of `errnos`.
    pub(crate) fn call_fails<T>(
        &mut self,
        kind: &'static str,
        path: &Path,
        errnos: &[i32],
        call: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<()> {
        self.count(kind);
        match call(path) {
            Err(error) if error.raw_os_error().is_some_and(|errno| errnos.contains(&errno)) => Ok(()),
            Err(error) => bail!("{kind} {}: {error}, expected errno {errnos:?}", path.display()),
            Ok(_) => bail!("{kind} {}: succeeded, expected errno {errnos:?}", path.display()),
        }
    }

    /// Makes a call that not every file system has; `None` when this one has not.
    pub(crate) fn call_if_offered<T>(
        &mut self,
        kind: &'static str,
        path: &Path,
        call: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<Option<T>> {
        self.call_or(kind, path, &NOT_OFFERED, call)
    }

    /// Makes a call that a container may not make; `None` when this process may not.
    pub(crate) fn call_if_permitted<T>(
        &mut self,
        kind: &'static str,
        path: &Path,
        call: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<Option<T>> {
        self.call_or(kind, path, &NOT_PERMITTED, call)
    }

    /// Makes a call that may fail with one of `noted`; `None` when it does.
    pub(crate) fn call_or<T>(
        &mut self,
        kind: &'static str,
        path: &Path,
        noted: &[i32],
        call: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<Option<T>> {
        self.count(kind);
        match call(path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.raw_os_error().is_some_and(|errno| noted.contains(&errno)) => {
                self.not_offered.insert(kind, error.to_string());
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("{kind} {}", path.display())),
        }
    }

    /// Counts a call that was made by other means.
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Notes what cannot be done here, and why.
    pub(crate) fn note(&mut self, kind: &'static str, reason: &str) {
        self.not_offered.insert(kind, reason.to_owned());
    }

    /// Takes a note back: the call has succeeded since.
    pub(crate) fn forget(&mut self, kind: &'static str) {
        self.not_offered.remove(kind);
    }

    /// Removes the session's directory, which the load must have left empty, and says what was done.
    pub(crate) fn finish(mut self) -> Result<Counts> {
        let top = self.directory.clone();
        self.call("rmdir", &top, |path| std::fs::remove_dir(path))?;
        Ok(Counts { counts: self.counts, not_offered: self.not_offered })
    }
}

/// How many calls of each kind were made, and which the file system lacks.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: BTreeMap<&'static str, u64>,
    not_offered: BTreeMap<&'static str, String>,
}

impl Counts {
    /// Adds those of another round.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.not_offered.extend(other.not_offered);
    }

    /// One line: the sum, each kind, and what the file system lacks.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} calls:", self.counts.values().sum::<u64>());
        for (kind, count) in &self.counts {
            let _ = write!(line, " {kind} {count}");
        }
        for (kind, reason) in &self.not_offered {
            let _ = write!(line, "; {kind} not offered ({reason})");
        }
        line
    }
}

/// Fails with `message` unless `found` is what was expected.
pub(crate) fn expect_eq<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found != expected {
        bail!("{what}: found {found:?}, expected {expected:?}");
    }
    Ok(())
}
