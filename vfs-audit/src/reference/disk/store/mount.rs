//! Making a store on an empty device, and mounting one: journal replay, counts, and inodes that a crash left without a
//! name.

use std::collections::VecDeque;
use std::sync::Arc;

use super::bitmap::set_bit;
use super::cache::CleanCache;
use super::file::DataCache;
use super::handle::{Handle, Transaction};
use super::inode::INODES_PER_BLOCK;
use super::journal::Journal;
use super::layout::BITS_PER_BLOCK;
use super::sealed::{BlockKind, PAYLOAD_SIZE, blank, seal, verify};
use super::{
    BLOCK_SIZE, Block, BlockIo, BlockNr, Counters, Durability, Error, FormatOptions, Ino, Inode, Kind, Layout, Mutant,
    ROOT_INO, Store,
};

/// Blocks written at once while formatting.
const FORMAT_BATCH_BLOCKS: usize = 256;

/// How a store is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountOptions {
    /// Clean metadata blocks kept in memory; 0 where the block access below keeps its own.
    pub clean_blocks_max: usize,
    /// A deviation to mount with.
    pub mutant: Option<Mutant>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self { clean_blocks_max: 512, mutant: None }
    }
}

/// What a mount had to recover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Transactions replayed.
    pub transactions: u64,
    /// Blocks put in their place.
    pub blocks: u64,
    /// Blocks not replayed because they had been freed since.
    pub revoked: u64,
    /// Inodes without a name that were freed.
    pub orphans: u64,
    /// Whether the superblock had to be read from its copy.
    pub superblock_copy_was_used: bool,
}

/// Makes an empty store over all blocks of `io`: a root directory and nothing else.
///
/// # Errors
/// The options do not fit the device, or it failed.
pub fn format(io: &mut impl BlockIo, options: FormatOptions) -> Result<Layout, Error> {
    let layout = Layout::plan(io.blocks(), options)?;
    let mut writes: VecDeque<(BlockNr, Arc<Block>)> = Journal::format(&layout).into();
    for nr in [0, layout.superblock_copy()] {
        writes.push_back((nr, Arc::new(layout.encode(nr))));
    }
    let zero: Arc<Block> = Arc::new([0; BLOCK_SIZE]);
    writes.extend((layout.journal_start()..layout.block_bitmap()).map(|nr| (nr, Arc::clone(&zero))));
    writes.extend((layout.block_bitmap()..layout.inode_bitmap()).map(|nr| (nr, Arc::new(block_bitmap(&layout, nr)))));
    writes.extend((layout.inode_bitmap()..layout.inode_table()).map(|nr| {
        let mut block = blank(BlockKind::InodeBitmap, nr);
        set_bit(&mut block, 0, nr == layout.inode_bitmap());
        seal(&mut block);
        (nr, Arc::new(block))
    }));
    writes.extend((layout.inode_table()..layout.data_start()).map(|nr| {
        let mut block = blank(BlockKind::InodeTable, nr);
        if nr == layout.inode_table() {
            let mut root = Inode::new(Kind::Directory, 0o755, 0, 1);
            root.nlink = 2;
            root.special = ROOT_INO;
            root.encode_at(&mut block, ROOT_INO);
        }
        seal(&mut block);
        (nr, Arc::new(block))
    }));
    for batch in writes.make_contiguous().chunks(FORMAT_BATCH_BLOCKS) {
        io.write(batch, Durability::Cached)?;
    }
    io.flush()?;
    Ok(layout)
}

fn block_bitmap(layout: &Layout, nr: BlockNr) -> Block {
    let mut block = blank(BlockKind::BlockBitmap, nr);
    let base = (nr - layout.block_bitmap()) * BITS_PER_BLOCK;
    for bit in 0..BITS_PER_BLOCK {
        let is_used = base + bit < layout.data_start() || base + bit == layout.superblock_copy();
        set_bit(&mut block, bit, is_used);
    }
    seal(&mut block);
    block
}

impl<B: BlockIo> Store<B> {
    /// Mounts the store on `io`, replaying its journal.
    ///
    /// # Errors
    /// There is none, it is damaged, or the device failed. `io` is lost then; pass a `&mut` where it is still wanted.
    pub fn mount(mut io: B, options: MountOptions) -> Result<(Self, Recovery), Error> {
        let (layout, superblock_copy_was_used) = read_superblock(&mut io)?;
        let recovered = Journal::recover(&mut io, &layout, options.mutant)?;
        let mut store = Self {
            io,
            layout,
            journal: recovered.journal,
            running: Transaction::default(),
            handle: Handle::default(),
            clean: CleanCache::new(options.clean_blocks_max),
            data: DataCache::default(),
            free_blocks: 0,
            free_inodes: 0,
            goal: 0,
            now_ns: 0,
            mutant: options.mutant,
            aborted: false,
            counters: Counters::default(),
        };
        store.count_free()?;
        let orphans = store.free_orphans()?;
        let recovery = Recovery {
            transactions: recovered.transactions,
            blocks: recovered.blocks,
            revoked: recovered.revoked,
            orphans,
            superblock_copy_was_used,
        };
        Ok((store, recovery))
    }

    fn count_free(&mut self) -> Result<(), Error> {
        let (block_bitmap, inode_bitmap) = (self.layout.block_bitmap(), self.layout.inode_bitmap());
        let used = self.bits_set(block_bitmap, self.layout.block_bitmap_blocks(), BlockKind::BlockBitmap)?;
        self.free_blocks = self.layout.blocks.saturating_sub(used);
        let used = self.bits_set(inode_bitmap, self.layout.inode_bitmap_blocks(), BlockKind::InodeBitmap)?;
        self.free_inodes = self.layout.inodes.saturating_sub(used);
        Ok(())
    }

    fn bits_set(&mut self, start: BlockNr, blocks: u32, kind: BlockKind) -> Result<u32, Error> {
        let mut set = 0;
        for nr in start..start + blocks {
            set += self.block(nr, kind)?[..PAYLOAD_SIZE].iter().map(|byte| byte.count_ones()).sum::<u32>();
        }
        Ok(set)
    }

    /// Frees inodes that lost their last name while something had them open when the machine stopped.
    fn free_orphans(&mut self) -> Result<u64, Error> {
        let mut orphans = 0;
        for ino in self.used_inodes()? {
            if self.inode(ino)?.nlink == 0 {
                self.free_inode(ino)?;
                orphans += 1;
            }
        }
        Ok(orphans)
    }

    /// Every inode that the inode bitmap says is in use.
    pub(super) fn used_inodes(&mut self) -> Result<Vec<Ino>, Error> {
        let mut used = Vec::new();
        for index in 0..self.layout.inode_bitmap_blocks() {
            let block = self.block(self.layout.inode_bitmap() + index, BlockKind::InodeBitmap)?;
            for (byte_at, byte) in block[..PAYLOAD_SIZE].iter().enumerate().filter(|(_, byte)| **byte != 0) {
                let first = index * BITS_PER_BLOCK + byte_at as u32 * 8 + 1;
                used.extend((0..8).filter(|bit| byte & (1 << bit) != 0).map(|bit| first + bit));
            }
        }
        Ok(used)
    }
}

fn read_superblock(io: &mut impl BlockIo) -> Result<(Layout, bool), Error> {
    let blocks = io.blocks();
    let first = read_superblock_at(io, 0);
    match first {
        Ok(layout) => Ok((layout, false)),
        // The copy is in the last block of a store that fills its device.
        Err(error) => read_superblock_at(io, blocks.saturating_sub(1)).map(|layout| (layout, true)).map_err(|_| error),
    }
}

fn read_superblock_at(io: &mut impl BlockIo, nr: BlockNr) -> Result<Layout, Error> {
    let mut block = [0; BLOCK_SIZE];
    io.read(nr, &mut block)?;
    verify(&block, BlockKind::Superblock, nr)?;
    Layout::decode(&block, io.blocks())
}

impl Inode {
    fn encode_at(&self, block: &mut Block, ino: Ino) {
        let at = ((ino - 1) % INODES_PER_BLOCK) as usize * super::inode::INODE_SIZE;
        self.encode(&mut block[at..at + super::inode::INODE_SIZE]);
    }
}
