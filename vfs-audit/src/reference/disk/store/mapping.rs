//! The block map: which block on disk holds a file's logical block. Direct, indirect and double indirect numbers.

use super::inode::DIRECT_BLOCKS;
use super::sealed::{PAYLOAD_SIZE, get_u32, put_u32};
use super::{BLOCK_SIZE, BlockIo, BlockKind, BlockNr, Error, Ino, Inode, Store};

/// Block numbers in one indirect block.
const NUMBERS_PER_BLOCK: u64 = (PAYLOAD_SIZE / 4) as u64;
const INDIRECT_START: u64 = DIRECT_BLOCKS as u64;
const DOUBLE_START: u64 = INDIRECT_START + NUMBERS_PER_BLOCK;
/// Logical blocks a file may have.
pub const FILE_BLOCKS_MAX: u64 = DOUBLE_START + NUMBERS_PER_BLOCK * NUMBERS_PER_BLOCK;

/// A logical block's place on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The block on disk.
    pub nr: BlockNr,
    /// Whether it was allocated just now: its contents on disk mean nothing (`buffer_new`).
    pub is_new: bool,
}

/// Where a logical block's number stands.
enum Path {
    Direct(usize),
    Indirect(usize),
    Double(usize, usize),
}

impl Path {
    fn of(logical: u64) -> Result<Self, Error> {
        if logical < INDIRECT_START {
            return Ok(Self::Direct(logical as usize));
        }
        if logical < DOUBLE_START {
            return Ok(Self::Indirect((logical - INDIRECT_START) as usize));
        }
        if logical < FILE_BLOCKS_MAX {
            let rest = logical - DOUBLE_START;
            return Ok(Self::Double((rest / NUMBERS_PER_BLOCK) as usize, (rest % NUMBERS_PER_BLOCK) as usize));
        }
        Err(Error::FileTooLarge { logical })
    }
}

impl<B: BlockIo> Store<B> {
    /// The block on disk that holds logical block `logical` of `ino`; none in a hole.
    ///
    /// # Errors
    /// There is no such inode, or the block is past the largest file.
    pub fn map_block(&mut self, ino: Ino, logical: u64) -> Result<Option<BlockNr>, Error> {
        let inode = self.inode(ino)?;
        self.mapped(&inode, logical)
    }

    /// The same, with a block allocated in a hole, for file data. The caller writes the whole new block, itself or by
    /// [`BlockIo::write_back`], before the transaction commits; the size is the caller's to change.
    ///
    /// # Errors
    /// As [`Store::map_block`], or no block is free, or the journal is aborted.
    pub fn allocate_mapped_block(&mut self, ino: Ino, logical: u64) -> Result<Mapped, Error> {
        if let Some(nr) = self.map_block(ino, logical)? {
            return Ok(Mapped { nr, is_new: false });
        }
        self.transact(|store| {
            let nr = store.add_block(ino, logical)?;
            store.handle.ordered.insert(nr);
            Ok(Mapped { nr, is_new: true })
        })
    }

    /// Cuts or extends `ino` to `size`, and frees the blocks past it. Bytes past the end of the last block that stays
    /// are the caller's to clear ([`Store::set_size`] clears them).
    ///
    /// # Errors
    /// There is no such inode, or the journal is aborted.
    pub fn truncate(&mut self, ino: Ino, size: u64) -> Result<(), Error> {
        self.transact(|store| {
            let keep = size.div_ceil(BLOCK_SIZE as u64);
            if keep > FILE_BLOCKS_MAX {
                return Err(Error::FileTooLarge { logical: keep });
            }
            let mut inode = store.inode(ino)?;
            if size < inode.size || size == 0 {
                store.free_blocks_from(&mut inode, keep)?;
            }
            inode.size = size;
            inode.mtime_ns = store.now_ns;
            inode.ctime_ns = store.now_ns;
            store.put_inode(ino, &inode)
        })
    }

    /// Every block of an inode with whether it holds block numbers.
    pub(super) fn blocks_of(&mut self, inode: &Inode) -> Result<Vec<(BlockNr, bool)>, Error> {
        let mut blocks: Vec<_> = inode.direct.iter().filter(|nr| **nr != 0).map(|nr| (*nr, false)).collect();
        if inode.indirect != 0 {
            blocks.push((inode.indirect, true));
            blocks.extend(self.numbers_in(inode.indirect)?.into_iter().map(|nr| (nr, false)));
        }
        if inode.double_indirect != 0 {
            blocks.push((inode.double_indirect, true));
            for indirect in self.numbers_in(inode.double_indirect)? {
                blocks.push((indirect, true));
                blocks.extend(self.numbers_in(indirect)?.into_iter().map(|nr| (nr, false)));
            }
        }
        Ok(blocks)
    }

    pub(super) fn mapped(&mut self, inode: &Inode, logical: u64) -> Result<Option<BlockNr>, Error> {
        let nr = match Path::of(logical)? {
            Path::Direct(slot) => inode.direct[slot],
            Path::Indirect(slot) => self.number_at(inode.indirect, slot)?,
            Path::Double(outer, inner) => {
                let indirect = self.number_at(inode.double_indirect, outer)?;
                self.number_at(indirect, inner)?
            }
        };
        Ok((nr != 0).then_some(nr))
    }

    /// Allocates a block for a hole of `ino`, with the blocks of numbers it needs, within the open handle.
    pub(super) fn add_block(&mut self, ino: Ino, logical: u64) -> Result<BlockNr, Error> {
        let path = Path::of(logical)?;
        let mut inode = self.inode(ino)?;
        let nr = self.allocate_block()?;
        inode.blocks += 1;
        match path {
            Path::Direct(slot) => inode.direct[slot] = nr,
            Path::Indirect(slot) => {
                inode.indirect = self.existing_or_new(inode.indirect, &mut inode.blocks)?;
                self.set_number(inode.indirect, slot, nr)?;
            }
            Path::Double(outer, inner) => {
                inode.double_indirect = self.existing_or_new(inode.double_indirect, &mut inode.blocks)?;
                let known = self.number_at(inode.double_indirect, outer)?;
                let indirect = self.existing_or_new(known, &mut inode.blocks)?;
                if indirect != known {
                    self.set_number(inode.double_indirect, outer, indirect)?;
                }
                self.set_number(indirect, inner, nr)?;
            }
        }
        self.put_inode(ino, &inode)?;
        Ok(nr)
    }

    fn existing_or_new(&mut self, nr: BlockNr, blocks: &mut u32) -> Result<BlockNr, Error> {
        if nr != 0 {
            return Ok(nr);
        }
        let nr = self.allocate_block()?;
        self.make_block(nr, BlockKind::Indirect);
        *blocks += 1;
        Ok(nr)
    }

    fn free_blocks_from(&mut self, inode: &mut Inode, keep: u64) -> Result<(), Error> {
        let holds_metadata = inode.kind != super::Kind::File;
        for slot in keep.min(INDIRECT_START) as usize..DIRECT_BLOCKS {
            let nr = std::mem::take(&mut inode.direct[slot]);
            if nr != 0 {
                self.free_block(nr, holds_metadata)?;
                inode.blocks -= 1;
            }
        }
        let first = keep.saturating_sub(INDIRECT_START);
        if self.free_numbers(inode.indirect, first, holds_metadata, &mut inode.blocks)? {
            inode.indirect = 0;
        }
        let first = keep.saturating_sub(DOUBLE_START);
        if inode.double_indirect == 0 || first >= NUMBERS_PER_BLOCK * NUMBERS_PER_BLOCK {
            return Ok(());
        }
        for outer in (first / NUMBERS_PER_BLOCK) as usize..NUMBERS_PER_BLOCK as usize {
            let indirect = self.number_at(inode.double_indirect, outer)?;
            let first_inner = first.saturating_sub(outer as u64 * NUMBERS_PER_BLOCK);
            if self.free_numbers(indirect, first_inner, holds_metadata, &mut inode.blocks)? && first > 0 {
                self.set_number(inode.double_indirect, outer, 0)?;
            }
        }
        if first == 0 {
            self.free_block(std::mem::take(&mut inode.double_indirect), true)?;
            inode.blocks -= 1;
        }
        Ok(())
    }

    /// Frees what the indirect block `nr` lists from `first` on, and itself where nothing stays; true where it went.
    fn free_numbers(&mut self, nr: BlockNr, first: u64, hold_metadata: bool, blocks: &mut u32) -> Result<bool, Error> {
        if nr == 0 || first >= NUMBERS_PER_BLOCK {
            return Ok(false);
        }
        for slot in first as usize..NUMBERS_PER_BLOCK as usize {
            let listed = self.number_at(nr, slot)?;
            if listed != 0 {
                self.free_block(listed, hold_metadata)?;
                *blocks -= 1;
                if first > 0 {
                    self.set_number(nr, slot, 0)?;
                }
            }
        }
        if first == 0 {
            self.free_block(nr, true)?;
            *blocks -= 1;
        }
        Ok(first == 0)
    }

    fn numbers_in(&mut self, nr: BlockNr) -> Result<Vec<BlockNr>, Error> {
        let block = self.block(nr, BlockKind::Indirect)?;
        Ok((0..NUMBERS_PER_BLOCK as usize).map(|slot| get_u32(&block[..], slot * 4)).filter(|nr| *nr != 0).collect())
    }

    fn number_at(&mut self, nr: BlockNr, slot: usize) -> Result<BlockNr, Error> {
        if nr == 0 {
            return Ok(0);
        }
        Ok(get_u32(&self.block(nr, BlockKind::Indirect)?[..], slot * 4))
    }

    fn set_number(&mut self, nr: BlockNr, slot: usize, value: BlockNr) -> Result<(), Error> {
        self.change_block(nr, BlockKind::Indirect, |block| put_u32(block, slot * 4, value))
    }
}
