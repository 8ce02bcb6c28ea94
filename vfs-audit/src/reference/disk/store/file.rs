//! File data: reading, writing, and what fsync and sync promise. Dirty data waits in memory until it is written back.
//!
//! A VFS with a page cache of its own uses only [`Store::fsync`] and [`Store::sync`] of this, after writing its pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BLOCK_SIZE, Block, BlockIo, BlockNr, Durability, Error, Ino, Inode, Kind, Mutant, Store};

/// Blocks that one handle of [`Store::write`] changes; a longer write is several handles.
pub const WRITE_BLOCKS_MAX: usize = 16;
/// Dirty data blocks kept in memory; at the limit all are written back.
pub const DIRTY_BLOCKS_MAX: usize = 1024;

/// Data blocks that are newer in memory than on disk.
#[derive(Debug, Default)]
pub(super) struct DataCache {
    blocks: BTreeMap<BlockNr, (Ino, Arc<Block>)>,
}

impl DataCache {
    pub(super) fn put(&mut self, nr: BlockNr, ino: Ino, block: Arc<Block>) {
        self.blocks.insert(nr, (ino, block));
    }

    pub(super) fn forget(&mut self, nr: BlockNr) {
        self.blocks.remove(&nr);
    }

    fn wanted(&self, is_wanted: impl Fn(BlockNr, Ino) -> bool) -> Vec<(BlockNr, Arc<Block>)> {
        let wanted =
            |(nr, (ino, block)): (&BlockNr, &(Ino, Arc<Block>))| is_wanted(*nr, *ino).then(|| (*nr, Arc::clone(block)));
        self.blocks.iter().filter_map(wanted).collect()
    }
}

/// The part of one logical block that a byte range covers.
struct Piece {
    logical: u64,
    /// Within the block.
    start: usize,
    end: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let size = BLOCK_SIZE as u64;
    let end = offset + len as u64;
    (offset / size..end.div_ceil(size)).map(move |logical| {
        let base = logical * size;
        Piece { logical, start: (offset.max(base) - base) as usize, end: (end.min(base + size) - base) as usize }
    })
}

impl<B: BlockIo> Store<B> {
    /// Up to `len` bytes of `ino` from `offset` on; fewer at the end of the file. Holes read as zeros.
    ///
    /// # Errors
    /// There is no such inode, it is a directory, or the device failed.
    pub fn read(&mut self, ino: Ino, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let inode = self.inode(ino)?;
        if inode.kind == Kind::Directory {
            return Err(Error::IsDirectory { ino });
        }
        let len = (len as u64).min(inode.size.saturating_sub(offset)) as usize;
        let mut bytes = Vec::with_capacity(len);
        for piece in pieces(offset, len) {
            match self.mapped(&inode, piece.logical)? {
                Some(nr) => bytes.extend_from_slice(&self.data_block(nr)?[piece.start..piece.end]),
                None => bytes.resize(bytes.len() + piece.end - piece.start, 0),
            }
        }
        Ok(bytes)
    }

    /// Writes `bytes` to `ino` at `offset`, extending the file where needed. Each [`WRITE_BLOCKS_MAX`] blocks are one
    /// handle.
    ///
    /// # Errors
    /// There is no such file, no block is free, or the journal is aborted.
    pub fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        if self.inode(ino)?.kind != Kind::File {
            return Err(Error::IsDirectory { ino });
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let room = WRITE_BLOCKS_MAX * BLOCK_SIZE - (at % BLOCK_SIZE as u64) as usize;
            let chunk = &bytes[done..bytes.len().min(done + room)];
            self.transact(|store| store.write_chunk(ino, at, chunk))?;
            done += chunk.len();
        }
        if self.data.blocks.len() > DIRTY_BLOCKS_MAX && !self.has_open_handle() {
            self.counters.dirty_limit_reached += 1;
            self.write_back(|_| true)?;
        }
        Ok(())
    }

    /// Cuts or extends `ino` to `size`; bytes that a later extension would show again are cleared.
    ///
    /// # Errors
    /// There is no such file, or the journal is aborted.
    pub fn set_size(&mut self, ino: Ino, size: u64) -> Result<(), Error> {
        self.transact(|store| {
            let inode = store.inode(ino)?;
            store.clear_from(ino, &inode, size.min(inode.size))?;
            store.truncate(ino, size)
        })
    }

    /// Makes all that `ino` holds durable: its data, and with it everything the journal has in hand.
    ///
    /// # Errors
    /// A handle is open, the device failed, or the journal is aborted.
    pub fn fsync(&mut self, ino: Ino) -> Result<(), Error> {
        if self.mutant != Some(Mutant::FsyncWithoutData) {
            self.write_back(|owner| owner == ino)?;
        }
        self.commit_or_flush()
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// A handle is open, the device failed, or the journal is aborted.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.write_back(|_| true)?;
        self.commit_or_flush()
    }

    /// Writes the dirty data of the inodes that `is_wanted`, and promises nothing: it may be in a volatile cache.
    ///
    /// # Errors
    /// The device failed; all that data stays dirty, and the next fsync tries again.
    pub fn write_back(&mut self, is_wanted: impl Fn(Ino) -> bool) -> Result<(), Error> {
        let writes = self.data.wanted(|_, ino| is_wanted(ino));
        self.write_data(&writes)
    }

    /// Writes what the running transaction allocated, so that its commit shows no stale block.
    pub(super) fn write_ordered_data(&mut self) -> Result<(), Error> {
        if self.mutant == Some(Mutant::CommitWithoutOrderedData) {
            return Ok(());
        }
        let ordered = std::mem::take(&mut self.running.ordered);
        let writes = self.data.wanted(|nr, _| ordered.contains(&nr));
        self.counters.ordered_blocks += writes.len() as u64;
        self.write_data(&writes)?;
        let others: Vec<BlockNr> = ordered.into_iter().collect();
        Ok(self.io.write_back(&others)?)
    }

    fn write_data(&mut self, writes: &[(BlockNr, Arc<Block>)]) -> Result<(), Error> {
        self.io.write(writes, Durability::Cached)?;
        self.counters.data_blocks += writes.len() as u64;
        for (nr, _) in writes {
            self.data.forget(*nr);
        }
        Ok(())
    }

    /// The commit's preflush covers the data; where there is nothing to commit, a flush must.
    fn commit_or_flush(&mut self) -> Result<(), Error> {
        if self.aborted {
            return Err(Error::Aborted);
        }
        if self.has_open_handle() {
            return Err(Error::HandleOpen);
        }
        if self.running.is_empty() {
            return Ok(self.io.flush()?);
        }
        self.commit()
    }

    fn write_chunk(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let before = self.inode(ino)?;
        if offset + bytes.len() as u64 > before.size {
            self.clear_from(ino, &before, before.size)?;
        }
        let mut rest = bytes;
        for piece in pieces(offset, bytes.len()) {
            let mapped = self.allocate_mapped_block(ino, piece.logical)?;
            let is_whole = piece.end - piece.start == BLOCK_SIZE;
            let mut block =
                if mapped.is_new || is_whole { Arc::new([0; BLOCK_SIZE]) } else { self.data_block(mapped.nr)? };
            let (now, later) = rest.split_at(piece.end - piece.start);
            Arc::make_mut(&mut block)[piece.start..piece.end].copy_from_slice(now);
            self.handle.data.insert(mapped.nr, (ino, block));
            rest = later;
        }
        let mut inode = self.inode(ino)?;
        inode.size = inode.size.max(offset + bytes.len() as u64);
        inode.mtime_ns = self.now_ns;
        inode.ctime_ns = self.now_ns;
        self.put_inode(ino, &inode)
    }

    /// Clears what the block at `end` holds from there on, before the commit. What lies past the end of a file is not
    /// always zero: data written in place may have reached the disk when the size that goes with it did not. An
    /// extension must not show it.
    fn clear_from(&mut self, ino: Ino, inode: &Inode, end: u64) -> Result<(), Error> {
        let tail = (end % BLOCK_SIZE as u64) as usize;
        if tail == 0 {
            return Ok(());
        }
        let Some(nr) = self.mapped(inode, end / BLOCK_SIZE as u64)? else { return Ok(()) };
        let mut block = self.data_block(nr)?;
        Arc::make_mut(&mut block)[tail..].fill(0);
        self.handle.data.insert(nr, (ino, block));
        self.handle.ordered.insert(nr);
        Ok(())
    }

    fn data_block(&mut self, nr: BlockNr) -> Result<Arc<Block>, Error> {
        if let Some((_, block)) = self.handle.data.get(&nr).or_else(|| self.data.blocks.get(&nr)) {
            return Ok(Arc::clone(block));
        }
        let mut block = [0; BLOCK_SIZE];
        self.io.read(nr, &mut block)?;
        Ok(Arc::new(block))
    }
}
