//! A file of the faulty module's own file system, opened, mapped and locked, so that its operations tables are in use.
//!
//! What the calls made on it do wrong is the module's business.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::sys;

/// The file system that the module brings with it.
pub(crate) const PSEUDO_FS: &str = "vfs_faulty_fs";
/// The module's disk, where device nodes are made.
const DISK: &str = "/dev/vfs_faulty";

/// An open file, its mapping, and its lock.
#[derive(Debug)]
pub(crate) struct OwnFile {
    path: PathBuf,
    file: File,
    mapping: Option<sys::Mapping>,
}

impl OwnFile {
    /// Makes the file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file, mapping: None })
    }

    /// Maps its first page, without touching it.
    pub(crate) fn map(&mut self) -> Result<()> {
        self.mapping = Some(sys::map(&self.file).with_context(|| format!("mapping {}", self.path.display()))?);
        Ok(())
    }

    /// Takes a lock of the whole file for this process.
    pub(crate) fn lock(&self) -> Result<()> {
        sys::lock(&self.file).with_context(|| format!("locking {}", self.path.display()))
    }

    /// Takes a lease of it, too.
    fn lease(&self) -> Result<()> {
        sys::lease(&self.file).with_context(|| format!("a lease of {}", self.path.display()))
    }

    /// Gives all of that up and removes the file.
    pub(crate) fn remove(self) -> Result<()> {
        drop(self.mapping);
        drop(self.file);
        fs::remove_file(&self.path).with_context(|| format!("removing {}", self.path.display()))
    }
}

/// Runs a command while a file in `directory` is open, mapped and locked and another has a lease; returns its exit code.
pub(crate) fn hold(directory: &Path, command: &[String]) -> Result<i32> {
    let mut held = OwnFile::create(&directory.join("held"))?;
    held.map()?;
    held.lock()?;
    let leased = OwnFile::create(&directory.join("leased"))?;
    leased.lease()?;
    // A disk without capacity can be opened; a guest without device nodes has none.
    let disk = File::open(DISK).ok();
    let status = Command::new(&command[0]).args(&command[1..]).status();
    let status = status.with_context(|| format!("running {}", command[0]))?;
    drop(disk);
    leased.remove()?;
    held.remove()?;
    status.code().context("the command was killed")
}
