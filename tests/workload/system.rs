//! Load that needs more than a directory: file systems, devices, swap areas and servers that it sets up itself.
//!
//! It changes the whole machine for as long as it runs, and is meant for a VM.

mod automounts;
mod dentries;
mod descriptors;
mod devices;
mod direct_access;
mod failing_memory;
mod fuse;
mod huge_pages;
mod mounts;
mod nfs;
mod quota;
mod swap;

use std::path::Path;

use anyhow::Result;

use crate::session::{Counts, Session};

/// Where the images of file systems lie that a guest cannot make itself.
pub(crate) const IMAGES: &str = "/usr/local/share/vfs-workload";

/// What a group does, in a session of its own and with a directory of images.
pub(crate) type Exercise = fn(&mut Session, &Path) -> Result<()>;

/// The groups, in the order in which they run.
pub(crate) const GROUPS: &[(&str, Exercise)] = &[
    ("descriptors", descriptors::exercise),
    ("mounts", mounts::exercise),
    ("dentries", dentries::exercise),
    ("devices", devices::exercise),
    ("swap", swap::exercise),
    ("quota", quota::exercise),
    ("automounts", automounts::exercise),
    ("direct_access", direct_access::exercise),
    ("failing_memory", failing_memory::exercise),
    ("huge_pages", huge_pages::exercise),
    ("fuse", fuse::exercise),
    ("nfs", nfs::exercise),
    ("sockets", descriptors::send_again),
];

/// Runs one group in a directory of its own below `parent`.
pub(crate) fn run(parent: &Path, images: &Path, exercise: Exercise) -> Result<Counts> {
    let mut session = Session::new(parent)?;
    exercise(&mut session, images)?;
    session.finish()
}
