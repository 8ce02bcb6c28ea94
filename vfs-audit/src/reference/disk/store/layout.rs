//! Where things are on the disk: the superblock, and what follows from it.
//!
//! superblock | journal headers (2) | journal log | block bitmap | inode bitmap | inode table | data … | superblock copy

use super::inode::{INODES_PER_BLOCK, Ino};
use super::io::{Block, BlockNr};
use super::journal::RECORD_BLOCKS_MAX;
use super::sealed::{BlockKind, PAYLOAD_SIZE, blank, get_u32, put_u32, seal};
use super::{Error, HANDLE_BLOCKS_MAX};

/// Bits in one bitmap block.
pub(super) const BITS_PER_BLOCK: u32 = (PAYLOAD_SIZE * 8) as u32;
/// The journal has two header blocks, written in turn, so that a torn one costs nothing.
pub(super) const JOURNAL_HEADERS: u32 = 2;
/// Fewest blocks a journal's log may have: two transactions of one full handle each, with their records. So short a log
/// commits after every handle; each two blocks more let a transaction grow by one.
pub const JOURNAL_BLOCKS_MIN: u32 = 2 * (HANDLE_BLOCKS_MAX + RECORD_BLOCKS_MAX);
const VERSION: u32 = 1;

/// What a store is formatted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatOptions {
    /// Blocks of the journal's log, [`JOURNAL_BLOCKS_MIN`] at least.
    pub journal_blocks: u32,
    /// Inodes; rounded up to whole blocks of the table.
    pub inodes: u32,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self { journal_blocks: 256, inodes: 1024 }
    }
}

/// Where things are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// All blocks.
    pub blocks: BlockNr,
    /// Blocks of the journal's log.
    pub journal_blocks: u32,
    /// Inodes, numbered from 1.
    pub inodes: Ino,
}

impl Layout {
    pub(super) fn plan(blocks: BlockNr, options: FormatOptions) -> Result<Self, Error> {
        let inodes = options.inodes.max(1).div_ceil(INODES_PER_BLOCK) * INODES_PER_BLOCK;
        let layout = Self { blocks, journal_blocks: options.journal_blocks, inodes };
        let fits = options.journal_blocks >= JOURNAL_BLOCKS_MIN
            && layout.block_bitmap_blocks() + HANDLE_FIXED_BLOCKS <= HANDLE_BLOCKS_MAX
            && layout.data_start() + 8 < blocks;
        if fits { Ok(layout) } else { Err(Error::Geometry { blocks }) }
    }

    /// First header block of the journal.
    pub fn journal_header(&self) -> BlockNr {
        1
    }

    /// First block of the journal's log.
    pub fn journal_start(&self) -> BlockNr {
        self.journal_header() + JOURNAL_HEADERS
    }

    /// First block of the block bitmap.
    pub fn block_bitmap(&self) -> BlockNr {
        self.journal_start() + self.journal_blocks
    }

    pub(super) fn block_bitmap_blocks(&self) -> u32 {
        self.blocks.div_ceil(BITS_PER_BLOCK)
    }

    /// First block of the inode bitmap.
    pub fn inode_bitmap(&self) -> BlockNr {
        self.block_bitmap() + self.block_bitmap_blocks()
    }

    pub(super) fn inode_bitmap_blocks(&self) -> u32 {
        self.inodes.div_ceil(BITS_PER_BLOCK)
    }

    /// First block of the inode table.
    pub fn inode_table(&self) -> BlockNr {
        self.inode_bitmap() + self.inode_bitmap_blocks()
    }

    /// First block of data.
    pub fn data_start(&self) -> BlockNr {
        self.inode_table() + self.inodes / INODES_PER_BLOCK
    }

    /// The block that holds the superblock's copy: the last.
    pub fn superblock_copy(&self) -> BlockNr {
        self.blocks - 1
    }

    pub(super) fn encode(&self, nr: BlockNr) -> Block {
        let mut block = blank(BlockKind::Superblock, nr);
        for (index, value) in [VERSION, self.blocks, self.journal_blocks, self.inodes].into_iter().enumerate() {
            put_u32(&mut block, index * 4, value);
        }
        seal(&mut block);
        block
    }

    /// Reads what [`Layout::encode`] made; the caller has verified the seal.
    pub(super) fn decode(block: &Block, blocks: BlockNr) -> Result<Self, Error> {
        let field = |index: usize| get_u32(block, index * 4);
        if field(0) != VERSION || field(1) > blocks {
            return Err(Error::Geometry { blocks });
        }
        Self::plan(field(1), FormatOptions { journal_blocks: field(2), inodes: field(3) })
    }
}

/// Blocks a handle may dirty beside block bitmaps: see [`HANDLE_BLOCKS_MAX`].
const HANDLE_FIXED_BLOCKS: u32 = 32;
