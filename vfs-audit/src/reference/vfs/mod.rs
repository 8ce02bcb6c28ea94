//! The verbs of the VFS: path walk, changes of names, page cache, writeback, mounts, locks, quota, faults, block devices.
//!
//! Functions have the kernel's names where they do a kernel function's work; each enters a frame of its name, which is
//! what a report shows as the caller. They acquire locks as the document says, because that is the protocol, and know
//! nothing of the rules that are checked.

pub(crate) mod attr;
pub(crate) mod block;
pub(crate) mod dcache;
pub(crate) mod directory;
pub(crate) mod filelock;
pub(crate) mod filemap;
pub(crate) mod inode;
pub(crate) mod lease;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod namei;
pub(crate) mod open;
pub(crate) mod operations;
pub(crate) mod pagecache;
pub(crate) mod permission;
pub(crate) mod quota;
pub(crate) mod reclaim;
pub(crate) mod rw;
pub(crate) mod types;
pub(crate) mod writeback;
