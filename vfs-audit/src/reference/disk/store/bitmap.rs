//! Allocation: which blocks and inodes are in use.

use super::layout::BITS_PER_BLOCK;
use super::{BlockIo, BlockKind, BlockNr, Error, Ino, Mutant, Store};

/// Whether bit `bit` is set.
pub(super) fn bit(bytes: &[u8], bit: u32) -> bool {
    bytes[(bit / 8) as usize] & (1 << (bit % 8)) != 0
}

pub(super) fn set_bit(bytes: &mut [u8], bit: u32, value: bool) {
    let byte = &mut bytes[(bit / 8) as usize];
    if value {
        *byte |= 1 << (bit % 8);
    } else {
        *byte &= !(1 << (bit % 8));
    }
}

/// The first clear bit in `from..to` that `is_usable`.
fn first_clear(bytes: &[u8], from: u32, to: u32, is_usable: impl Fn(u32) -> bool) -> Option<u32> {
    let mut at = from;
    while at < to {
        if at.is_multiple_of(8) && bytes[(at / 8) as usize] == 0xFF {
            at += 8;
            continue;
        }
        if !bit(bytes, at) && is_usable(at) {
            return Some(at);
        }
        at += 1;
    }
    None
}

impl<B: BlockIo> Store<B> {
    /// Allocates a block within the open handle: after the last one allocated, or where one has been freed since.
    pub(super) fn allocate_block(&mut self) -> Result<BlockNr, Error> {
        let (start, end) = (self.layout.data_start(), self.layout.superblock_copy());
        let goal = self.goal.clamp(start, end);
        let found = match self.find_block(goal, end)? {
            Some(nr) => Some(nr),
            None => self.find_block(start, goal)?,
        };
        let nr = found.ok_or(Error::NoSpace)?;
        self.set_block_bit(nr, true)?;
        self.goal = nr + 1;
        self.handle.free_blocks_change -= 1;
        if self.mutant == Some(Mutant::ReuseBeforeCommit) {
            self.handle.freed.remove(&nr);
        }
        Ok(nr)
    }

    /// Frees a block within the open handle.
    pub(super) fn free_block(&mut self, nr: BlockNr, held_metadata: bool) -> Result<(), Error> {
        self.set_block_bit(nr, false)?;
        self.handle.freed.insert(nr, held_metadata);
        self.handle.blocks.remove(&nr);
        self.handle.data.remove(&nr);
        self.handle.ordered.remove(&nr);
        self.handle.free_blocks_change += 1;
        self.goal = self.goal.min(nr);
        Ok(())
    }

    /// Allocates an inode number within the open handle.
    pub(super) fn take_inode_bit(&mut self) -> Result<Ino, Error> {
        for index in 0..self.layout.inode_bitmap_blocks() {
            let nr = self.layout.inode_bitmap() + index;
            let base = index * BITS_PER_BLOCK;
            let end = (self.layout.inodes - base).min(BITS_PER_BLOCK);
            let found = first_clear(&self.block(nr, BlockKind::InodeBitmap)?[..], 0, end, |_| true);
            if let Some(at) = found {
                self.change_block(nr, BlockKind::InodeBitmap, |block| set_bit(block, at, true))?;
                self.handle.free_inodes_change -= 1;
                return Ok(base + at + 1);
            }
        }
        Err(Error::NoInodes)
    }

    /// Frees an inode number within the open handle.
    pub(super) fn return_inode_bit(&mut self, ino: Ino) -> Result<(), Error> {
        let nr = self.layout.inode_bitmap() + (ino - 1) / BITS_PER_BLOCK;
        self.change_block(nr, BlockKind::InodeBitmap, |block| set_bit(block, (ino - 1) % BITS_PER_BLOCK, false))?;
        self.handle.free_inodes_change += 1;
        Ok(())
    }

    /// Whether the block bitmap says that `nr` is in use.
    pub(super) fn block_is_used(&mut self, nr: BlockNr) -> Result<bool, Error> {
        let bitmap = self.layout.block_bitmap() + nr / BITS_PER_BLOCK;
        Ok(bit(&self.block(bitmap, BlockKind::BlockBitmap)?[..], nr % BITS_PER_BLOCK))
    }

    /// Whether the inode bitmap says that `ino` is in use.
    pub(super) fn inode_is_used(&mut self, ino: Ino) -> Result<bool, Error> {
        let bitmap = self.layout.inode_bitmap() + (ino - 1) / BITS_PER_BLOCK;
        Ok(bit(&self.block(bitmap, BlockKind::InodeBitmap)?[..], (ino - 1) % BITS_PER_BLOCK))
    }

    fn set_block_bit(&mut self, nr: BlockNr, value: bool) -> Result<(), Error> {
        let bitmap = self.layout.block_bitmap() + nr / BITS_PER_BLOCK;
        self.change_block(bitmap, BlockKind::BlockBitmap, |block| set_bit(block, nr % BITS_PER_BLOCK, value))
    }

    fn find_block(&mut self, from: BlockNr, to: BlockNr) -> Result<Option<BlockNr>, Error> {
        let mut at = from;
        while at < to {
            let index = at / BITS_PER_BLOCK;
            let base = index * BITS_PER_BLOCK;
            let end = (base + BITS_PER_BLOCK).min(to);
            let block = self.block(self.layout.block_bitmap() + index, BlockKind::BlockBitmap)?;
            if let Some(found) = first_clear(&block[..], at - base, end - base, |bit| self.is_reusable(base + bit)) {
                return Ok(Some(base + found));
            }
            at = end;
        }
        Ok(None)
    }

    /// A block freed by a transaction that has not committed still belongs, after a crash, to its last owner.
    fn is_reusable(&self, nr: BlockNr) -> bool {
        self.mutant == Some(Mutant::ReuseBeforeCommit)
            || !(self.running.freed.contains(&nr) || self.handle.freed.contains_key(&nr))
    }
}
