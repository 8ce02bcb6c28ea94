//! Blocks that know what they are: every metadata block ends in its kind, its own number and a checksum.
//!
//! A torn, misdirected or stale write is thereby seen when the block is next read. Data blocks carry no seal.

use super::Error;
use super::io::{BLOCK_SIZE, Block, BlockNr};

/// Bytes of a metadata block that its owner may use.
pub(super) const PAYLOAD_SIZE: usize = BLOCK_SIZE - SEAL_SIZE;
const SEAL_SIZE: usize = 16;
const KIND_AT: usize = PAYLOAD_SIZE;
const NUMBER_AT: usize = PAYLOAD_SIZE + 4;
const CHECKSUM_AT: usize = PAYLOAD_SIZE + 8;
const SEAL_MAGIC: u32 = 0x7646_5300;

/// What a metadata block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum BlockKind {
    /// The superblock or its copy.
    Superblock = 1,
    /// Which blocks are in use.
    BlockBitmap,
    /// Which inodes are in use.
    InodeBitmap,
    /// Inodes.
    InodeTable,
    /// Block numbers of a file.
    Indirect,
    /// Directory entries.
    Directory,
    /// The target of a symbolic link.
    Symlink,
    /// Where the live part of the journal begins.
    JournalHeader,
    /// Which blocks follow in the journal.
    JournalDescriptor,
    /// Which blocks must not be replayed.
    JournalRevoke,
    /// The end of a committed transaction.
    JournalCommit,
}

/// A zero block of this kind and number, not yet sealed.
pub(super) fn blank(kind: BlockKind, nr: BlockNr) -> Block {
    let mut block = [0; BLOCK_SIZE];
    put_u32(&mut block, KIND_AT, SEAL_MAGIC | kind as u32);
    put_u32(&mut block, NUMBER_AT, nr);
    block
}

/// Makes the checksum that of the contents.
pub(super) fn seal(block: &mut Block) {
    let checksum = crc32fast::hash(&block[..CHECKSUM_AT]);
    put_u32(block, CHECKSUM_AT, checksum);
}

/// Whether the block is a sealed one of this kind and number.
pub(super) fn is_sealed(block: &Block, kind: BlockKind, nr: BlockNr) -> bool {
    is_of_kind(block, kind) && get_u32(block, NUMBER_AT) == nr && is_intact(block)
}

/// The checksum that the block was sealed with.
pub(super) fn checksum_of(block: &Block) -> u32 {
    get_u32(block, CHECKSUM_AT)
}

/// Whether the block's contents are those it was sealed with, whatever it is.
pub(super) fn is_intact(block: &Block) -> bool {
    checksum_of(block) == crc32fast::hash(&block[..CHECKSUM_AT])
}

/// Whether the block says it is of this kind.
pub(super) fn is_of_kind(block: &Block, kind: BlockKind) -> bool {
    get_u32(block, KIND_AT) == SEAL_MAGIC | kind as u32
}

/// Refuses a block that is not a sealed one of this kind and number.
pub(super) fn verify(block: &Block, kind: BlockKind, nr: BlockNr) -> Result<(), Error> {
    if is_sealed(block, kind, nr) { Ok(()) } else { Err(Error::Corrupt { kind, nr }) }
}

pub(super) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(get_u32(bytes, at)) | (u64::from(get_u32(bytes, at + 4)) << 32)
}

pub(super) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
