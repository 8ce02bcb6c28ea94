//! Replay at mount: what was committed and is not yet in its place is put there.
//!
//! The log is read from the tail on, transaction by transaction, up to the first that is not complete. A complete commit
//! record proves that all before it was durable, so where its transaction cannot be read back, or a later commit record
//! stands behind a gap, the medium has lost something that was promised: that is reported, never passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::super::device::IoError;
use super::super::sealed::{self, checksum_of, is_of_kind, is_sealed};
use super::super::{BLOCK_SIZE, Block, BlockIo, BlockKind, BlockNr, Durability, Error, Layout, Mutant};
use super::Journal;
use super::record::{Commit, Header, List};

/// A journal ready for use, and what replay did.
#[derive(Debug)]
pub(in super::super) struct Recovered {
    pub(in super::super) journal: Journal,
    pub(in super::super) transactions: u64,
    pub(in super::super) blocks: u64,
    pub(in super::super) revoked: u64,
}

#[derive(Debug, Default)]
struct LoggedTransaction {
    blocks: Vec<(BlockNr, Arc<Block>)>,
    revoked: Vec<BlockNr>,
    log_blocks: u32,
}

impl Journal {
    /// Finds the journal, replays it, and leaves it empty.
    pub(in super::super) fn recover(
        io: &mut impl BlockIo,
        layout: &Layout,
        mutant: Option<Mutant>,
    ) -> Result<Recovered, Error> {
        let header = newest_header(io, layout)?;
        let mut journal = Self {
            start: layout.journal_start(),
            header: layout.journal_header(),
            blocks: layout.journal_blocks,
            head: header.tail,
            used: 0,
            next_sequence: header.sequence,
            generation: header.generation,
            unplaced: BTreeMap::new(),
        };
        let logged = journal.scan(io, mutant)?;
        journal.refuse_lost_commits(io)?;
        let transactions = logged.len() as u64;
        let (placed, revoked) = what_to_place(logged);
        let writes: Vec<_> = placed.into_iter().collect();
        let blocks = writes.len() as u64;
        if transactions > 0 {
            io.write(&writes, Durability::Cached)?;
            io.flush()?;
            journal.write_header(io)?;
        }
        Ok(Recovered { journal, transactions, blocks, revoked })
    }

    /// Reads committed transactions from the head on, and leaves the head behind the last.
    fn scan(&mut self, io: &mut impl BlockIo, mutant: Option<Mutant>) -> Result<Vec<LoggedTransaction>, Error> {
        let mut logged = Vec::new();
        while let Some(transaction) = self.read_transaction(io, mutant)? {
            self.head = (self.head + transaction.log_blocks) % self.blocks;
            self.next_sequence += 1;
            logged.push(transaction);
        }
        Ok(logged)
    }

    /// The transaction at the head; none where it was not committed.
    fn read_transaction(
        &self,
        io: &mut impl BlockIo,
        mutant: Option<Mutant>,
    ) -> Result<Option<LoggedTransaction>, Error> {
        let mut transaction = LoggedTransaction::default();
        let mut checksum = crc32fast::Hasher::new();
        let mut is_intact = true;
        let mut index = 0;
        while index < self.blocks {
            let (nr, block) = self.read_log(io, index)?;
            if is_sealed(&block, BlockKind::JournalCommit, nr) {
                let commit = Commit::decode(&block);
                if commit.sequence != self.next_sequence {
                    return Ok(None);
                }
                let is_whole = is_intact && commit.body_blocks == index && commit.checksum == checksum.finalize();
                if !is_whole && mutant != Some(Mutant::ReplayWithoutChecksum) {
                    return Err(Error::JournalDamaged { sequence: commit.sequence });
                }
                transaction.log_blocks = index + 1;
                return Ok(Some(transaction));
            }
            let Some((list, kind)) = self.as_list(&block, nr) else { return Ok(None) };
            checksum.update(&checksum_of(&block).to_le_bytes());
            index += 1;
            if kind == BlockKind::JournalRevoke {
                transaction.revoked.extend(list.blocks);
                continue;
            }
            for home in list.blocks {
                let (_, block) = self.read_log(io, index)?;
                checksum.update(&checksum_of(&block).to_le_bytes());
                is_intact &= sealed::is_intact(&block);
                index += 1;
                transaction.blocks.push((home, block));
            }
        }
        Ok(None)
    }

    /// The block as a list of the transaction expected, if it is one.
    fn as_list(&self, block: &Block, nr: BlockNr) -> Option<(List, BlockKind)> {
        let kind = [BlockKind::JournalDescriptor, BlockKind::JournalRevoke];
        let kind = kind.into_iter().find(|kind| is_sealed(block, *kind, nr))?;
        let list = List::decode(block)?;
        (list.sequence == self.next_sequence).then_some((list, kind))
    }

    /// A commit record of the transaction expected, or of a later one, that replay did not reach: something before it
    /// was durable once and is gone.
    fn refuse_lost_commits(&self, io: &mut impl BlockIo) -> Result<(), Error> {
        for index in 0..self.blocks {
            let (nr, block) = match self.read_log(io, index) {
                Ok(read) => read,
                // Replay has read all it needed: a bad sector in the unused part of the log costs nothing.
                Err(Error::Io(IoError::Read { .. })) => continue,
                Err(error) => return Err(error),
            };
            if is_of_kind(&block, BlockKind::JournalCommit)
                && is_sealed(&block, BlockKind::JournalCommit, nr)
                && Commit::decode(&block).sequence >= self.next_sequence
            {
                return Err(Error::JournalDamaged { sequence: self.next_sequence });
            }
        }
        Ok(())
    }

    fn read_log(&self, io: &mut impl BlockIo, index: u32) -> Result<(BlockNr, Arc<Block>), Error> {
        let nr = self.log_block(self.head + index);
        let mut block = [0; BLOCK_SIZE];
        io.read(nr, &mut block)?;
        Ok((nr, Arc::new(block)))
    }
}

/// Of each block the last contents logged, unless revoked by the same or a later transaction; and how many were revoked.
fn what_to_place(logged: Vec<LoggedTransaction>) -> (BTreeMap<BlockNr, Arc<Block>>, u64) {
    let mut placed = BTreeMap::new();
    let mut revoked = 0;
    for transaction in logged {
        placed.extend(transaction.blocks);
        for nr in transaction.revoked {
            revoked += u64::from(placed.remove(&nr).is_some());
        }
    }
    (placed, revoked)
}

fn newest_header(io: &mut impl BlockIo, layout: &Layout) -> Result<Header, Error> {
    let mut newest: Option<Header> = None;
    for nr in [layout.journal_header(), layout.journal_header() + 1] {
        let mut block = [0; BLOCK_SIZE];
        io.read(nr, &mut block)?;
        if is_sealed(&block, BlockKind::JournalHeader, nr) {
            let header = Header::decode(&block);
            let is_newer = newest.is_none_or(|other| header.generation > other.generation);
            if is_newer && header.tail < layout.journal_blocks {
                newest = Some(header);
            }
        }
    }
    newest.ok_or(Error::Corrupt { kind: BlockKind::JournalHeader, nr: layout.journal_header() })
}
