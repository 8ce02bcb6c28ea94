//! What callbacks are given and give back, where it is no kernel object of its own.

use std::sync::Mutex;

/// `struct kstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) nlink: u32,
    pub(crate) uid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
}

/// `struct iattr`: what to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) mtime: Option<u64>,
}

/// `struct posix_acl`: user and permission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acl(pub(crate) Vec<(u32, u32)>);

/// One extent of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) logical: u64,
    pub(crate) physical: u64,
    pub(crate) length: u64,
}

/// `struct kstatfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statfs {
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    pub(crate) inodes: u64,
}

/// `struct hd_geometry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) heads: u8,
    pub(crate) sectors: u8,
    pub(crate) cylinders: u16,
}

/// `struct pipe_inode_info`: bytes on their way.
#[derive(Debug, Default)]
pub(crate) struct Pipe(pub(crate) Mutex<Vec<u8>>);

/// Flags of a path walk.
pub(crate) mod lookup_flags {
    pub(crate) const LOOKUP_FOLLOW: u32 = 0x1;
    pub(crate) const LOOKUP_DIRECTORY: u32 = 0x2;
    pub(crate) const LOOKUP_RCU: u32 = 0x40;
}

/// Bits of a permission mask.
pub(crate) mod may {
    pub(crate) const MAY_EXEC: i32 = 1;
    pub(crate) const MAY_WRITE: i32 = 2;
    pub(crate) const MAY_READ: i32 = 4;
    pub(crate) const MAY_NOT_BLOCK: i32 = 0x80;
}

/// Flags of `rename(2)`.
pub(crate) mod rename_flags {
    pub(crate) const RENAME_NOREPLACE: u32 = 1;
    pub(crate) const RENAME_EXCHANGE: u32 = 2;
}

/// Modes of `fallocate(2)`.
pub(crate) mod falloc {
    pub(crate) const KEEP_SIZE: i32 = 1;
    pub(crate) const PUNCH_HOLE: i32 = 2;
    pub(crate) const ZERO_RANGE: i32 = 0x10;
}

/// Flags of a mount.
pub(crate) mod mount_flags {
    pub(crate) const RDONLY: u32 = 1;
}
