//! Directory entries: fixed slots in the directory's blocks, searched from the first.
//!
//! A slot keeps its place while its entry lives, so a reader that remembers a position never sees an entry twice.

use super::sealed::{PAYLOAD_SIZE, get_u32, put_u32};
use super::{BLOCK_SIZE, Block, BlockIo, BlockKind, Error, Ino, Kind, Store};

const ENTRY_SIZE: usize = 72;
const NAME_AT: usize = 6;
const ENTRIES_PER_BLOCK: u64 = (PAYLOAD_SIZE / ENTRY_SIZE) as u64;
/// Most bytes in a name.
pub const NAME_LEN_MAX: usize = ENTRY_SIZE - NAME_AT;

/// One directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its slot, counted over the directory.
    pub position: u64,
    /// The inode it names.
    pub ino: Ino,
    /// What that inode is.
    pub kind: Kind,
    /// The name.
    pub name: Vec<u8>,
}

fn slot_at(slot: u64) -> usize {
    (slot % ENTRIES_PER_BLOCK) as usize * ENTRY_SIZE
}

fn decode(block: &Block, slot: u64) -> Option<Entry> {
    let bytes = &block[slot_at(slot)..slot_at(slot) + ENTRY_SIZE];
    let ino = get_u32(bytes, 0);
    let len = usize::from(bytes[5]).min(NAME_LEN_MAX);
    let kind = Kind::decode(bytes[4])?;
    (ino != 0).then(|| Entry { position: slot, ino, kind, name: bytes[NAME_AT..NAME_AT + len].to_vec() })
}

fn encode(block: &mut Block, slot: u64, ino: Ino, kind: Kind, name: &[u8]) {
    let bytes = &mut block[slot_at(slot)..slot_at(slot) + ENTRY_SIZE];
    bytes.fill(0);
    put_u32(bytes, 0, ino);
    bytes[4] = kind.encode();
    bytes[5] = name.len() as u8;
    bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
}

impl<B: BlockIo> Store<B> {
    /// The entry `name` of directory `dir`.
    ///
    /// # Errors
    /// `dir` is no directory, or could not be read.
    pub fn lookup(&mut self, dir: Ino, name: &[u8]) -> Result<Option<Entry>, Error> {
        for logical in 0..self.directory_blocks(dir)? {
            let block = self.directory_block(dir, logical)?;
            for slot in 0..ENTRIES_PER_BLOCK {
                let at = slot_at(slot);
                let is_it = usize::from(block[at + 5]) == name.len()
                    && get_u32(&block[..], at) != 0
                    && &block[at + NAME_AT..at + NAME_AT + name.len()] == name;
                if is_it {
                    return Ok(decode(&block, logical * ENTRIES_PER_BLOCK + slot));
                }
            }
        }
        Ok(None)
    }

    /// Up to `entries_max` entries of `dir` from position `from` on.
    ///
    /// # Errors
    /// `dir` is no directory, or could not be read.
    pub fn list(&mut self, dir: Ino, from: u64, entries_max: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut slot = from;
        let end = self.directory_blocks(dir)? * ENTRIES_PER_BLOCK;
        while slot < end && entries.len() < entries_max {
            let block = self.directory_block(dir, slot / ENTRIES_PER_BLOCK)?;
            let block_end = (slot / ENTRIES_PER_BLOCK + 1) * ENTRIES_PER_BLOCK;
            let room = entries_max - entries.len();
            entries.extend((slot..block_end).filter_map(|slot| decode(&block, slot)).take(room));
            slot = block_end;
        }
        Ok(entries)
    }

    /// Adds an entry to `dir`; link counts are the caller's to change.
    ///
    /// # Errors
    /// The name is invalid or taken, no block is free, `dir` is no directory, or the journal is aborted.
    pub fn add_entry(&mut self, dir: Ino, name: &[u8], ino: Ino, kind: Kind) -> Result<(), Error> {
        if name.is_empty() || name.len() > NAME_LEN_MAX || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(Error::Name { bytes: name.len() });
        }
        self.transact(|store| {
            if store.lookup(dir, name)?.is_some() {
                return Err(Error::Exists { dir });
            }
            let slot = store.free_slot(dir)?;
            store.put_entry(dir, slot, |block| encode(block, slot, ino, kind, name))
        })
    }

    /// Removes an entry of `dir` and returns it; link counts are the caller's to change.
    ///
    /// # Errors
    /// There is no such entry, `dir` is no directory, or the journal is aborted.
    pub fn remove_entry(&mut self, dir: Ino, name: &[u8]) -> Result<Entry, Error> {
        self.transact(|store| {
            let entry = store.lookup(dir, name)?.ok_or(Error::NoEntry { dir })?;
            let at = slot_at(entry.position);
            store.put_entry(dir, entry.position, |block| block[at..at + ENTRY_SIZE].fill(0))?;
            Ok(entry)
        })
    }

    /// Makes the existing entry `name` of `dir` name another inode; returns what it was.
    ///
    /// # Errors
    /// There is no such entry, `dir` is no directory, or the journal is aborted.
    pub fn replace_entry(&mut self, dir: Ino, name: &[u8], ino: Ino, kind: Kind) -> Result<Entry, Error> {
        self.transact(|store| {
            let entry = store.lookup(dir, name)?.ok_or(Error::NoEntry { dir })?;
            store.put_entry(dir, entry.position, |block| encode(block, entry.position, ino, kind, name))?;
            Ok(entry)
        })
    }

    /// Whether `dir` has no entry.
    ///
    /// # Errors
    /// `dir` is no directory, or could not be read.
    pub fn is_empty(&mut self, dir: Ino) -> Result<bool, Error> {
        Ok(self.list(dir, 0, 1)?.is_empty())
    }

    fn put_entry(&mut self, dir: Ino, slot: u64, change: impl FnOnce(&mut Block)) -> Result<(), Error> {
        let logical = slot / ENTRIES_PER_BLOCK;
        let nr = self.map_block(dir, logical)?.ok_or(Error::NotDirectory { ino: dir })?;
        self.change_block(nr, BlockKind::Directory, change)?;
        let mut inode = self.inode(dir)?;
        inode.mtime_ns = self.now_ns;
        inode.ctime_ns = self.now_ns;
        self.put_inode(dir, &inode)
    }

    /// The first free slot of `dir`, in a new block where all are taken.
    fn free_slot(&mut self, dir: Ino) -> Result<u64, Error> {
        let blocks = self.directory_blocks(dir)?;
        for logical in 0..blocks {
            let block = self.directory_block(dir, logical)?;
            let free = (0..ENTRIES_PER_BLOCK).find(|slot| get_u32(&block[..], slot_at(*slot)) == 0);
            if let Some(slot) = free {
                return Ok(logical * ENTRIES_PER_BLOCK + slot);
            }
        }
        let nr = self.add_block(dir, blocks)?;
        self.make_block(nr, BlockKind::Directory);
        let mut inode = self.inode(dir)?;
        inode.size += BLOCK_SIZE as u64;
        self.put_inode(dir, &inode)?;
        Ok(blocks * ENTRIES_PER_BLOCK)
    }

    fn directory_blocks(&mut self, dir: Ino) -> Result<u64, Error> {
        let inode = self.inode(dir)?;
        if inode.kind != Kind::Directory {
            return Err(Error::NotDirectory { ino: dir });
        }
        Ok(inode.size / BLOCK_SIZE as u64)
    }

    fn directory_block(&mut self, dir: Ino, logical: u64) -> Result<std::sync::Arc<Block>, Error> {
        let nr = self.map_block(dir, logical)?.ok_or(Error::NotDirectory { ino: dir })?;
        self.block(nr, BlockKind::Directory)
    }
}
