//! A journaled store of inodes, directories and file blocks: the on-disk engine of the reference VFS's disk filesystem.
//!
//! Its metadata goes through a write-ahead journal: a *handle* groups the block changes of one operation, the *running
//! transaction* collects handles, and a commit writes the transaction's blocks to the log, flushes, and writes the commit
//! record with FUA. Blocks reach their own place later, at a checkpoint. A mount replays what was committed. File data
//! goes straight to its place, newly allocated blocks before the commit that makes them reachable ("ordered" data).
//!
//! What it promises: after a crash the metadata is exactly that of some moment between two handles, no earlier than the
//! last successful [`Store::fsync`], [`Store::commit`] or [`Store::sync`]; a block never shows what another file wrote;
//! data of a file is that of its last fsync, or newer where it was overwritten in place since.
//!
//! Used from a VFS, the store is told of inodes and logical blocks ([`Store::map_block`],
//! [`Store::allocate_mapped_block`], [`Store::truncate`]), and the VFS keeps the data in its own page cache and writes
//! it itself; [`BlockIo`] is where its buffers come in. Used alone, [`Store::read`] and [`Store::write`] keep the dirty
//! data themselves.
//!
//! # What this does not model
//! Checksums of file data (a fault there is returned as read), delayed allocation, extents, hashed directories, quotas and
//! extended attributes, online resize, several transactions committing at once, and a lock: every method takes the store
//! exclusively.

mod bitmap;
mod cache;
mod check;
mod counters;
mod directory;
mod error;
mod file;
mod handle;
mod inode;
mod io;
mod journal;
mod layout;
mod mapping;
mod mount;
mod mutant;
mod namespace;
mod sealed;
#[cfg(test)]
mod tests;

pub use check::{Problem, Report};
pub use counters::Counters;
pub use directory::{Entry, NAME_LEN_MAX};
pub use error::Error;
pub use file::{DIRTY_BLOCKS_MAX, WRITE_BLOCKS_MAX};
pub use handle::HANDLE_BLOCKS_MAX;
pub use inode::{DIRECT_BLOCKS, Ino, Inode, Kind, ROOT_INO};
pub use io::{BLOCK_SIZE, Block, BlockIo, BlockNr, DirectIo, Durability, SECTORS_PER_BLOCK};
pub use layout::{FormatOptions, JOURNAL_BLOCKS_MIN, Layout};
pub use mapping::{FILE_BLOCKS_MAX, Mapped};
pub use mount::{MountOptions, Recovery, format};
pub use mutant::Mutant;
pub use sealed::BlockKind;

use self::cache::CleanCache;
use self::file::DataCache;
use self::handle::{Handle, Transaction};
use self::journal::Journal;

/// A mounted store over `io`.
#[derive(Debug)]
pub struct Store<B> {
    io: B,
    layout: Layout,
    journal: Journal,
    running: Transaction,
    handle: Handle,
    clean: CleanCache,
    data: DataCache,
    free_blocks: u32,
    free_inodes: u32,
    goal: BlockNr,
    now_ns: u64,
    mutant: Option<Mutant>,
    aborted: bool,
    counters: Counters,
}

/// How full the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Blocks for data and directories.
    pub blocks: u32,
    /// How many of them are free.
    pub free_blocks: u32,
    /// Inodes.
    pub inodes: u32,
    /// How many of them are free.
    pub free_inodes: u32,
}

impl<B: BlockIo> Store<B> {
    /// Where things are on the disk.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The block access below.
    pub fn io(&self) -> &B {
        &self.io
    }

    /// The block access below, to change its state; blocks must not be written behind the store's back.
    pub fn io_mut(&mut self) -> &mut B {
        &mut self.io
    }

    /// Gives up the store without writing anything, as a crash does.
    pub fn into_io(self) -> B {
        self.io
    }

    /// Counters since the mount.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a failed journal write has made the store read-only.
    pub fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// Sets the time that inodes are stamped with, in nanoseconds of the caller's clock.
    pub fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// How full the store is.
    pub fn statfs(&self) -> Usage {
        Usage {
            blocks: self.layout.superblock_copy() - self.layout.data_start(),
            free_blocks: self.free_blocks,
            inodes: self.layout.inodes,
            free_inodes: self.free_inodes,
        }
    }

    /// Writes all data and metadata and puts the metadata in its place, so that the next mount has nothing to replay.
    ///
    /// # Errors
    /// The device failed, or the journal is aborted.
    pub fn unmount(mut self) -> Result<B, Error> {
        self.sync()?;
        self.checkpoint()?;
        Ok(self.io)
    }
}
