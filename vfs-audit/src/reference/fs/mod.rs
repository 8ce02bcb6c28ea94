//! Example file systems. Between them they implement every op of the document's tables, and none is a stub: what is read
//! is what was written.
//!
//! `memory` keeps everything in memory; `disk` keeps it in a journaled store on the simulated block device, with buffer
//! heads; `remote` opens by itself, asks a server whether names are still valid, mounts on demand and has lock managers;
//! `attr` has extended attributes, access-control lists and quota. `simple` is the library they share.

mod attr;
mod backing;
mod blockdev;
mod device;
mod managers;
mod memory;
mod ondisk;
mod remote;
mod simple;
mod tree;

pub(crate) use blockdev::open_device as blockdev_inode;
pub(crate) use device::{BLKGETSIZE, device_of, new_device, spoil, with_device};
pub(crate) use managers::{HOLDER_IS_SILENT, LEASE_MANAGER, LOCKD, REMOTE_LOCKS};

use super::object::FileSystemType;

/// All file system types.
pub(crate) const ALL: &[&FileSystemType] =
    &[&memory::MEMORY, &ondisk::DISK, &remote::REMOTE, &attr::ATTR, &blockdev::BLOCKDEV];
