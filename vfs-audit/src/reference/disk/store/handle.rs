//! Handles and the running transaction: what groups block changes so that a crash leaves all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::sealed::{blank, verify};
use super::{BLOCK_SIZE, Block, BlockIo, BlockKind, BlockNr, Error, Mutant, Store};

/// Most metadata blocks one handle may change.
pub const HANDLE_BLOCKS_MAX: u32 = 48;
/// Beyond this many revokes the running transaction is committed before the next handle.
pub(super) const REVOKES_MAX: usize = 512;

/// The block changes of the operation under way. Handles nest; only the outermost joins the transaction.
#[derive(Debug, Default)]
pub(super) struct Handle {
    depth: u32,
    failed: bool,
    pub(super) blocks: BTreeMap<BlockNr, Arc<Block>>,
    pub(super) data: BTreeMap<BlockNr, (super::Ino, Arc<Block>)>,
    pub(super) ordered: BTreeSet<BlockNr>,
    /// Freed blocks, and whether each held metadata.
    pub(super) freed: BTreeMap<BlockNr, bool>,
    pub(super) free_blocks_change: i32,
    pub(super) free_inodes_change: i32,
}

/// All handles since the last commit.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) blocks: BTreeMap<BlockNr, Arc<Block>>,
    pub(super) revoked: BTreeSet<BlockNr>,
    /// Freed blocks, which stay unused until the transaction has committed.
    pub(super) freed: BTreeSet<BlockNr>,
    /// Newly allocated data blocks, written before the commit record.
    pub(super) ordered: BTreeSet<BlockNr>,
}

impl Transaction {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.revoked.is_empty()
    }
}

impl<B: BlockIo> Store<B> {
    /// Begins a handle. Where the running transaction is near its limits, it is committed first.
    ///
    /// # Errors
    /// The journal is aborted, or that commit failed.
    pub fn begin(&mut self) -> Result<(), Error> {
        if self.aborted {
            return Err(Error::Aborted);
        }
        if self.handle.depth == 0 && self.transaction_is_near_its_limits() {
            self.counters.forced_commits += 1;
            self.commit()?;
        }
        self.handle.depth += 1;
        Ok(())
    }

    /// Ends a handle. The outermost one's changes join the running transaction; if any inner one was cancelled, all are
    /// undone.
    ///
    /// # Errors
    /// No handle is open, an inner one was cancelled, or the handle changed too much.
    pub fn end(&mut self) -> Result<(), Error> {
        self.handle.depth = self.handle.depth.checked_sub(1).ok_or(Error::NoHandle)?;
        if self.handle.depth > 0 {
            return Ok(());
        }
        let handle = std::mem::take(&mut self.handle);
        let blocks = handle.blocks.len();
        if handle.failed || blocks > HANDLE_BLOCKS_MAX as usize {
            self.counters.handles_undone += 1;
            return Err(if handle.failed { Error::HandleFailed } else { Error::HandleTooLarge { blocks } });
        }
        self.counters.handles += 1;
        self.join(&handle);
        Ok(())
    }

    /// Ends a handle and undoes all that the outermost handle around it changed, when that one ends.
    pub fn cancel(&mut self) {
        self.handle.depth = self.handle.depth.saturating_sub(1);
        self.handle.failed = true;
        if self.handle.depth == 0 {
            self.handle = Handle::default();
            self.counters.handles_undone += 1;
        }
    }

    /// Runs `change` in a handle: all of it happens, or where it fails, nothing.
    ///
    /// # Errors
    /// What `change` failed with, or what [`Store::begin`] and [`Store::end`] may.
    pub fn transact<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.begin()?;
        match change(self) {
            Ok(value) => self.end().map(|()| value),
            Err(error) => {
                self.cancel();
                Err(error)
            }
        }
    }

    /// Whether a handle is open.
    pub fn has_open_handle(&self) -> bool {
        self.handle.depth > 0
    }

    /// The current contents of a metadata block.
    pub(super) fn block(&mut self, nr: BlockNr, kind: BlockKind) -> Result<Arc<Block>, Error> {
        let in_memory = self.handle.blocks.get(&nr).or_else(|| self.running.blocks.get(&nr));
        let in_memory = in_memory.or_else(|| self.journal.unplaced.get(&nr)).cloned();
        if let Some(block) = in_memory.or_else(|| self.clean.get(nr)) {
            self.counters.cache_hits += 1;
            return Ok(block);
        }
        self.counters.cache_misses += 1;
        let mut block = [0; BLOCK_SIZE];
        self.io.read(nr, &mut block)?;
        verify(&block, kind, nr)?;
        let block = Arc::new(block);
        self.clean.put(nr, Arc::clone(&block));
        Ok(block)
    }

    /// Changes a metadata block within the open handle.
    pub(super) fn change_block(
        &mut self,
        nr: BlockNr,
        kind: BlockKind,
        change: impl FnOnce(&mut Block),
    ) -> Result<(), Error> {
        if self.handle.depth == 0 {
            return Err(Error::NoHandle);
        }
        let mut block = match self.handle.blocks.remove(&nr) {
            Some(block) => block,
            None => self.block(nr, kind)?,
        };
        change(Arc::make_mut(&mut block));
        self.handle.blocks.insert(nr, block);
        Ok(())
    }

    /// Makes a newly allocated block a blank metadata block within the open handle.
    pub(super) fn make_block(&mut self, nr: BlockNr, kind: BlockKind) {
        self.handle.blocks.insert(nr, Arc::new(blank(kind, nr)));
    }

    fn transaction_is_near_its_limits(&self) -> bool {
        let blocks = self.running.blocks.len() + HANDLE_BLOCKS_MAX as usize;
        // Freed blocks are of use only after a commit.
        let usable = (self.free_blocks as usize).saturating_sub(self.running.freed.len());
        blocks > self.journal.transaction_blocks_max()
            || self.running.revoked.len() > REVOKES_MAX
            || (!self.running.freed.is_empty() && usable < HANDLE_BLOCKS_MAX as usize)
    }

    fn join(&mut self, handle: &Handle) {
        for (nr, held_metadata) in &handle.freed {
            self.running.blocks.remove(nr);
            self.running.ordered.remove(nr);
            self.running.freed.insert(*nr);
            self.clean.remove(*nr);
            self.data.forget(*nr);
            self.io.forget(*nr);
            if *held_metadata && self.mutant != Some(Mutant::FreeWithoutRevoke) {
                self.running.revoked.insert(*nr);
            }
        }
        let is_kept = |nr: &BlockNr| !handle.freed.contains_key(nr);
        self.running.blocks.extend(handle.blocks.iter().filter(|(nr, _)| is_kept(nr)).map(|(nr, b)| (*nr, b.clone())));
        self.running.ordered.extend(handle.ordered.iter().filter(|nr| is_kept(nr)));
        for (nr, (ino, block)) in handle.data.iter().filter(|(nr, _)| is_kept(nr)) {
            self.data.put(*nr, *ino, Arc::clone(block));
        }
        self.free_blocks = self.free_blocks.saturating_add_signed(handle.free_blocks_change);
        self.free_inodes = self.free_inodes.saturating_add_signed(handle.free_inodes_change);
    }
}
