//! The write-ahead journal: appending a transaction to the log, and moving the tail after a checkpoint.
//!
//! The log is a ring of blocks. A transaction is one or more descriptors, each followed by the blocks it lists, then
//! revoke blocks, then the commit record, which carries a checksum of all before it: a checksum over the blocks' own
//! checksums, since a CRC over whole sealed blocks would be the same for every contents (a message followed by its CRC
//! leaves a constant). The order on the medium is what counts: log, flush, commit record (durable), and only after that the blocks in their own place, flush, tail.

mod record;
mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::record::{Commit, Header};
use super::handle::Transaction;
use super::sealed::{checksum_of, seal};
use super::{Block, BlockIo, BlockNr, Durability, Error, Layout, Mutant, Store};

/// Log blocks kept for descriptors, revokes and the commit record of one transaction.
pub(super) const RECORD_BLOCKS_MAX: u32 = 8;

/// The journal's state in memory.
#[derive(Debug)]
pub(super) struct Journal {
    start: BlockNr,
    header: BlockNr,
    blocks: u32,
    head: u32,
    used: u32,
    next_sequence: u64,
    /// Counts header writes; the two header blocks are written in turn.
    generation: u64,
    /// Committed blocks that are not in their place yet.
    pub(super) unplaced: BTreeMap<BlockNr, Arc<Block>>,
}

impl Journal {
    /// Most blocks a transaction may change: two must fit the log with their records.
    pub(super) fn transaction_blocks_max(&self) -> usize {
        (self.blocks / 2 - RECORD_BLOCKS_MAX) as usize
    }

    /// The log block at `index`, counted from the ring's start and around it.
    fn log_block(&self, index: u32) -> BlockNr {
        self.start + index % self.blocks
    }

    /// The bytes of both header blocks of a journal that was never used, with their places.
    pub(super) fn format(layout: &Layout) -> Vec<(BlockNr, Arc<Block>)> {
        let header = Header { generation: 0, tail: 0, sequence: 1 };
        [0, 1].map(|slot| layout.journal_header() + slot).map(|nr| (nr, Arc::new(header.encode(nr)))).into()
    }

    /// Says durably that the log's live part begins at the head: nothing is live.
    fn write_header(&mut self, io: &mut impl BlockIo) -> Result<(), Error> {
        self.generation += 1;
        let header = Header { generation: self.generation, tail: self.head, sequence: self.next_sequence };
        let nr = self.header + (self.generation % 2) as u32;
        io.write(&[(nr, Arc::new(header.encode(nr)))], Durability::Fua)?;
        self.used = 0;
        Ok(())
    }

    /// Writes `transaction` to the log and commits it.
    fn append(
        &mut self,
        io: &mut impl BlockIo,
        transaction: &Transaction,
        durability: Durability,
    ) -> Result<u32, Error> {
        let sequence = self.next_sequence;
        let mut body = record::body(transaction, sequence, |index| self.log_block(self.head + index));
        let mut checksum = crc32fast::Hasher::new();
        for (_, block) in &body {
            checksum.update(&checksum_of(block).to_le_bytes());
        }
        let body_blocks = body.len() as u32;
        let commit_nr = self.log_block(self.head + body_blocks);
        let commit = Commit { sequence, body_blocks, checksum: checksum.finalize() };
        io.write(&body, Durability::Cached)?;
        body.clear();
        io.write(&[(commit_nr, Arc::new(commit.encode(commit_nr)))], durability)?;
        self.head = (self.head + body_blocks + 1) % self.blocks;
        self.used += body_blocks + 1;
        self.next_sequence += 1;
        Ok(body_blocks + 1)
    }
}

impl<B: BlockIo> Store<B> {
    /// Commits the running transaction: when this returns, every handle that has ended is durable.
    ///
    /// # Errors
    /// A handle is open, or the device failed; the store is read-only from then on.
    pub fn commit(&mut self) -> Result<(), Error> {
        if self.aborted {
            return Err(Error::Aborted);
        }
        if self.has_open_handle() {
            return Err(Error::HandleOpen);
        }
        if self.running.is_empty() {
            return Ok(());
        }
        let result = self.commit_running();
        self.aborted |= result.is_err();
        result
    }

    /// Puts every committed block in its place and empties the log.
    ///
    /// # Errors
    /// The device failed; the store is read-only from then on.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        if self.aborted {
            return Err(Error::Aborted);
        }
        if self.journal.used == 0 {
            return Ok(());
        }
        let result = self.place_blocks();
        self.aborted |= result.is_err();
        result
    }

    fn commit_running(&mut self) -> Result<(), Error> {
        self.write_ordered_data()?;
        for block in self.running.blocks.values_mut() {
            seal(Arc::make_mut(block));
        }
        if self.mutant == Some(Mutant::WriteBeforeCommit) {
            self.write_blocks_of_running()?;
        }
        let needed = self.running.blocks.len() as u32 + RECORD_BLOCKS_MAX;
        if self.journal.used + needed > self.journal.blocks {
            self.checkpoint()?;
        }
        let durability = match self.mutant {
            Some(Mutant::CommitWithoutPreflush) => Durability::Fua,
            Some(Mutant::CommitWithoutFua) => Durability::Preflush,
            Some(_) | None => Durability::PreflushFua,
        };
        let transaction = std::mem::take(&mut self.running);
        let log_blocks = self.journal.append(&mut self.io, &transaction, durability)?;
        self.counters.commits += 1;
        self.counters.log_blocks += u64::from(log_blocks);
        self.counters.revokes += transaction.revoked.len() as u64;
        for nr in &transaction.revoked {
            self.journal.unplaced.remove(nr);
        }
        self.journal.unplaced.extend(transaction.blocks);
        // What the transaction freed may be used from now on: begin again where the disk is filled first.
        self.goal = 0;
        Ok(())
    }

    /// The tail may move only when what the log held is durable in its place.
    fn place_blocks(&mut self) -> Result<(), Error> {
        let writes: Vec<_> = self.journal.unplaced.iter().map(|(nr, block)| (*nr, Arc::clone(block))).collect();
        self.io.write(&writes, Durability::Cached)?;
        if self.mutant == Some(Mutant::CheckpointBeforeFlush) {
            self.journal.write_header(&mut self.io)?;
            self.io.flush()?;
        } else {
            self.io.flush()?;
            self.journal.write_header(&mut self.io)?;
        }
        self.counters.checkpoints += 1;
        self.counters.checkpoint_blocks += writes.len() as u64;
        self.journal.unplaced.clear();
        for (nr, block) in writes {
            self.clean.put(nr, block);
        }
        Ok(())
    }

    fn write_blocks_of_running(&mut self) -> Result<(), Error> {
        let writes: Vec<_> = self.running.blocks.iter().map(|(nr, block)| (*nr, Arc::clone(block))).collect();
        Ok(self.io.write(&writes, Durability::Cached)?)
    }
}
