//! A stage for one fault: what must exist before, the request to the kernel module, and what must be true after.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use vfs_audit_tests::fault::{Fault, Scene, TRIGGER};

use crate::own::OwnFile;
use crate::sys;

/// The extended attribute that the module sets.
const XATTR: &str = "trusted.vfs_faulty";
/// Mode bit that the module flips.
const GROUP_WRITE: u32 = 0o020;

/// How a fault went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The call was made and did what such a call does.
    Done,
    /// The file system does not have this op.
    NotOffered,
}

/// How a fault is committed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// The fault's call is made with the right locks.
    pub(crate) correctly: bool,
    /// With many other locks held.
    pub(crate) deep: bool,
}

/// Commits one fault, or makes its call correctly, below `parent`.
pub(crate) fn perform(parent: &Path, fault: &Fault, manner: Manner) -> Result<Outcome> {
    let stage = Stage::set(parent, fault.scene)?;
    let outcome = stage.perform(fault, manner);
    let strike = stage.strike();
    let outcome = outcome.with_context(|| format!("{} on {}", fault.name, parent.display()))?;
    strike?;
    Ok(outcome)
}

/// There is no faulty module to ask.
#[derive(Debug)]
pub(crate) struct NoModule;

impl std::fmt::Display for NoModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no {TRIGGER}: is vfs_faulty.ko loaded, and debugfs mounted?")
    }
}

struct Stage {
    directory: PathBuf,
    scene: Scene,
    /// What the request names.
    path: PathBuf,
    second_path: Option<PathBuf>,
    /// The file's mode or flags before.
    before: u32,
    /// The file of the module's own file system, where it is there before.
    own: Option<OwnFile>,
}

impl Stage {
    /// Makes what the scene needs, in a fresh directory, which the module's own file system does not have.
    fn set(parent: &Path, scene: Scene) -> Result<Self> {
        if scene.is_on_pseudo_fs() {
            return Self::set_on_pseudo_fs(parent, scene);
        }
        let directory = parent.join("vfs-fault");
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| format!("clearing {}", directory.display()))?;
        }
        for name in ["", "a", "b"] {
            fs::create_dir(directory.join(name)).with_context(|| format!("a stage in {}", parent.display()))?;
        }
        let (old, new) = (directory.join("a/old"), directory.join("a/new"));
        let across = directory.join("b/new");
        let second_path =
            if scene.moves_across() { Some(across) } else { scene.has_second_name().then(|| new.clone()) };
        let path = if scene.adds_a_name() { new } else { old };
        let mut stage = Self { directory, scene, path, second_path, before: 0, own: None };
        stage.furnish()?;
        Ok(stage)
    }

    fn set_on_pseudo_fs(parent: &Path, scene: Scene) -> Result<Self> {
        let path = parent.join("vfs-fault");
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("clearing {}", path.display()))?;
        }
        let mut own = if scene.adds_a_name() { None } else { Some(OwnFile::create(&path)?) };
        match &mut own {
            Some(file) if scene == Scene::OwnMapped => file.map()?,
            Some(file) if scene == Scene::OwnLocked => file.lock()?,
            _ => {}
        }
        Ok(Self { directory: parent.to_owned(), scene, path, second_path: None, before: 0, own })
    }

    fn furnish(&mut self) -> Result<()> {
        let place = self.directory.join("a");
        if self.scene.is_about_a_directory() {
            fs::create_dir(&self.path)?;
        } else if !self.scene.adds_a_name() {
            fs::write(&self.path, "data")?;
        }
        if self.scene == Scene::Iterate {
            fs::write(self.path.join("entry"), "data")?;
        } else if self.scene == Scene::Unlink {
            fs::hard_link(&self.path, place.join("other-name"))?;
        } else if self.scene == Scene::RenameOver {
            fs::create_dir(place.join("new"))?;
        } else if self.scene == Scene::RenameOverFile {
            fs::write(place.join("new"), "overwritten")?;
            fs::hard_link(place.join("new"), place.join("other-name"))?;
        } else if self.scene == Scene::Setattr {
            self.before = fs::metadata(&self.path)?.mode();
        } else if self.scene == Scene::FileattrSet {
            // A file system without flags is found out by the request itself.
            self.before = flags_of(&self.path).unwrap_or(0);
        }
        Ok(())
    }

    fn perform(&self, fault: &Fault, manner: Manner) -> Result<Outcome> {
        let (deep, variant) = (if manner.deep { "deep " } else { "" }, if manner.correctly { ":ok" } else { "" });
        let mut request = format!("{deep}{}{variant} {}", fault.name, self.path.display());
        if let Some(second_path) = &self.second_path {
            request = format!("{request} {}", second_path.display());
        }
        match write_trigger(&request) {
            Ok(()) => self.check().map(|()| Outcome::Done),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Outcome::NotOffered),
            Err(error) => Err(error).with_context(|| format!("writing \"{request}\" to {TRIGGER}")),
        }
    }

    /// The call has done what such a call does, right or wrong.
    fn check(&self) -> Result<()> {
        let kind = |path: &Path| fs::symlink_metadata(path).map(|status| status.file_type());
        let gone = |path: &Path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let path = self.path.as_path();
        let second = self.second_path.as_deref().unwrap_or(path);
        let right = match self.scene {
            Scene::Create
            | Scene::AtomicCreate
            | Scene::FileattrGet
            | Scene::Permission
            | Scene::Getattr
            | Scene::Own
            | Scene::OwnMapped
            | Scene::OwnLocked => kind(path)?.is_file(),
            Scene::XattrSet => sys::get_xattr(path, XATTR)? == b"value",
            Scene::Mkdir | Scene::Iterate => kind(path)?.is_dir(),
            Scene::Mknod => kind(path)?.is_fifo(),
            Scene::Symlink => kind(path)?.is_symlink(),
            Scene::Link => fs::metadata(path)?.nlink() == 2 && fs::read(second)? == b"data",
            Scene::Unlink => gone(path) && fs::metadata(path.with_file_name("other-name"))?.nlink() == 1,
            Scene::Rmdir | Scene::Lookup | Scene::AtomicOpen => gone(path),
            Scene::RenameFile | Scene::RenameAcross | Scene::RenameOverFile => {
                gone(path) && fs::read(second)? == b"data"
            }
            Scene::RenameOver | Scene::MoveDirectory => gone(path) && kind(second)?.is_dir(),
            Scene::Setattr => fs::metadata(path)?.mode() == self.before ^ GROUP_WRITE,
            Scene::FileattrSet => flags_of(path)? == self.before ^ sys::FS_NODUMP_FL,
        };
        ensure!(right, "the call succeeded, but {} does not show it", path.display());
        Ok(())
    }

    fn strike(self) -> Result<()> {
        if let Some(own) = self.own {
            return own.remove();
        }
        if self.scene.is_on_pseudo_fs() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        fs::remove_dir_all(&self.directory).with_context(|| format!("removing {}", self.directory.display()))
    }
}

fn flags_of(path: &Path) -> io::Result<u32> {
    sys::get_flags(&File::open(path)?)
}

fn write_trigger(request: &str) -> io::Result<()> {
    File::options().write(true).open(TRIGGER)?.write_all(request.as_bytes())
}

/// Fails unless the module is loaded and lists the faults that this program knows.
pub(crate) fn check_module() -> Result<()> {
    let list = fs::read_to_string(TRIGGER).context(NoModule)?;
    let list = match vfs_audit_tests::fault::parse_list(&list) {
        Ok(list) => list,
        Err(line) => bail!("{TRIGGER} has an odd line: {line}"),
    };
    let known: Vec<_> = vfs_audit_tests::fault::FAULTS.iter().map(|fault| (fault.name, fault.rule)).collect();
    ensure!(list == known, "the module's list is not this program's:\n{list:?}\n{known:?}");
    Ok(())
}
