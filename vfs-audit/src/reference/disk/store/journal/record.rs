//! The journal's own blocks: header, descriptor, revoke, commit.

use std::sync::Arc;

use super::super::handle::Transaction;
use super::super::sealed::{BlockKind, PAYLOAD_SIZE, blank, get_u32, get_u64, put_u32, put_u64, seal};
use super::super::{Block, BlockNr};

const LIST_AT: usize = 16;
/// Block numbers one descriptor or revoke block lists.
pub(super) const LIST_MAX: usize = (PAYLOAD_SIZE - LIST_AT) / 4;

/// Where the live part of the log begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The newer of two headers has the greater one.
    pub(super) generation: u64,
    /// Index of the first live block in the log.
    pub(super) tail: u32,
    /// The sequence number expected there.
    pub(super) sequence: u64,
}

impl Header {
    pub(super) fn encode(&self, nr: BlockNr) -> Block {
        let mut block = blank(BlockKind::JournalHeader, nr);
        put_u64(&mut block, 0, self.generation);
        put_u64(&mut block, 8, self.sequence);
        put_u32(&mut block, 16, self.tail);
        seal(&mut block);
        block
    }

    pub(super) fn decode(block: &Block) -> Self {
        Self { generation: get_u64(block, 0), sequence: get_u64(block, 8), tail: get_u32(block, 16) }
    }
}

/// A list of block numbers: what a descriptor announces, or what a revoke block revokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) sequence: u64,
    pub(super) blocks: Vec<BlockNr>,
}

impl List {
    fn encode(sequence: u64, blocks: &[BlockNr], kind: BlockKind, nr: BlockNr) -> Block {
        let mut block = blank(kind, nr);
        put_u64(&mut block, 0, sequence);
        put_u32(&mut block, 8, blocks.len() as u32);
        for (index, listed) in blocks.iter().enumerate() {
            put_u32(&mut block, LIST_AT + index * 4, *listed);
        }
        seal(&mut block);
        block
    }

    /// Reads a list whose seal was verified; none where its length is impossible.
    pub(super) fn decode(block: &Block) -> Option<Self> {
        let len = get_u32(block, 8) as usize;
        if len > LIST_MAX {
            return None;
        }
        let blocks = (0..len).map(|index| get_u32(block, LIST_AT + index * 4)).collect();
        Some(Self { sequence: get_u64(block, 0), blocks })
    }
}

/// The end of a committed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) sequence: u64,
    /// Log blocks of the transaction before this one.
    pub(super) body_blocks: u32,
    /// Checksum of those blocks.
    pub(super) checksum: u32,
}

impl Commit {
    pub(super) fn encode(&self, nr: BlockNr) -> Block {
        let mut block = blank(BlockKind::JournalCommit, nr);
        put_u64(&mut block, 0, self.sequence);
        put_u32(&mut block, 8, self.body_blocks);
        put_u32(&mut block, 12, self.checksum);
        seal(&mut block);
        block
    }

    pub(super) fn decode(block: &Block) -> Self {
        Self { sequence: get_u64(block, 0), body_blocks: get_u32(block, 8), checksum: get_u32(block, 12) }
    }
}

/// All log blocks of a transaction but the commit record; `place` tells the block at an index after the head.
pub(super) fn body(
    transaction: &Transaction,
    sequence: u64,
    place: impl Fn(u32) -> BlockNr,
) -> Vec<(BlockNr, Arc<Block>)> {
    let mut body: Vec<(BlockNr, Arc<Block>)> = Vec::new();
    let changed: Vec<_> = transaction.blocks.iter().collect();
    for chunk in changed.chunks(LIST_MAX) {
        let numbers: Vec<BlockNr> = chunk.iter().map(|(nr, _)| **nr).collect();
        let nr = place(body.len() as u32);
        body.push((nr, Arc::new(List::encode(sequence, &numbers, BlockKind::JournalDescriptor, nr))));
        for (_, block) in chunk {
            body.push((place(body.len() as u32), Arc::clone(block)));
        }
    }
    let revoked: Vec<BlockNr> = transaction.revoked.iter().copied().collect();
    for chunk in revoked.chunks(LIST_MAX) {
        let nr = place(body.len() as u32);
        body.push((nr, Arc::new(List::encode(sequence, chunk, BlockKind::JournalRevoke, nr))));
    }
    body
}
