//! What can go wrong in the store.

use thiserror::Error;

use super::super::device::IoError;
use super::{BlockKind, BlockNr, Ino};

/// What went wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The device failed.
    #[error("the device failed")]
    Io(#[from] IoError),
    /// A metadata block is not what it should be.
    #[error("block {nr} is no intact {kind:?} block")]
    Corrupt {
        /// What it should be.
        kind: BlockKind,
        /// Which block.
        nr: BlockNr,
    },
    /// A committed transaction cannot be read back.
    #[error("the journal is damaged: transaction {sequence} was committed and cannot be replayed")]
    JournalDamaged {
        /// Which transaction.
        sequence: u64,
    },
    /// An earlier failure has made the store read-only.
    #[error("the journal is aborted, the store is read-only")]
    Aborted,
    /// The device's size and the options do not go together.
    #[error("a store of these options does not fit {blocks} blocks")]
    Geometry {
        /// Blocks of the device.
        blocks: BlockNr,
    },
    /// No such inode.
    #[error("inode {ino} does not exist")]
    NoInode {
        /// Which.
        ino: Ino,
    },
    /// No such directory entry.
    #[error("no entry of that name in directory {dir}")]
    NoEntry {
        /// In which directory.
        dir: Ino,
    },
    /// The directory has an entry of that name.
    #[error("directory {dir} has an entry of that name")]
    Exists {
        /// Which directory.
        dir: Ino,
    },
    /// The inode is no directory.
    #[error("inode {ino} is no directory")]
    NotDirectory {
        /// Which.
        ino: Ino,
    },
    /// The inode is a directory.
    #[error("inode {ino} is a directory")]
    IsDirectory {
        /// Which.
        ino: Ino,
    },
    /// The directory has entries.
    #[error("directory {ino} is not empty")]
    NotEmpty {
        /// Which.
        ino: Ino,
    },
    /// A directory would be moved into itself.
    #[error("directory {ino} would be moved below itself")]
    Loop {
        /// Which.
        ino: Ino,
    },
    /// The name is empty, too long, or holds a slash or a zero byte.
    #[error("{bytes} bytes are no valid name")]
    Name {
        /// Its length.
        bytes: usize,
    },
    /// No block is free.
    #[error("no block is free")]
    NoSpace,
    /// No inode is free.
    #[error("no inode is free")]
    NoInodes,
    /// The file would be larger than a block map can describe.
    #[error("logical block {logical} is past the largest file")]
    FileTooLarge {
        /// The block asked for.
        logical: u64,
    },
    /// A commit was asked for inside a handle.
    #[error("a handle is open")]
    HandleOpen,
    /// A change was made outside a handle, or a handle ended that was not begun.
    #[error("no handle is open")]
    NoHandle,
    /// Something inside the handle failed, so all of it was undone.
    #[error("the handle failed and was undone")]
    HandleFailed,
    /// A handle changed more blocks than one may.
    #[error("a handle changed {blocks} blocks")]
    HandleTooLarge {
        /// How many.
        blocks: usize,
    },
}
