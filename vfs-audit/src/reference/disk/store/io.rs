//! How the store reaches its blocks: the trait a filesystem may put its own buffers behind, and the plain way to a device.

use std::sync::Arc;

use super::super::device::{Completion, Device, IoError, Request, SECTOR_SIZE};

/// Bytes in a block: two sectors, so a block can be torn, and four to a page, so a page has several buffers.
pub const BLOCK_SIZE: usize = 1024;
/// Sectors in a block.
pub const SECTORS_PER_BLOCK: u64 = (BLOCK_SIZE / SECTOR_SIZE) as u64;

/// The contents of one block.
pub type Block = [u8; BLOCK_SIZE];
/// The number of a block on the disk.
pub type BlockNr = u32;

/// What must hold when a write returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it may be in a volatile cache.
    Cached,
    /// All writes that had returned before are durable; this one may be in a volatile cache.
    Preflush,
    /// This one is durable.
    Fua,
    /// All that had returned before became durable, then this one.
    PreflushFua,
}

/// How the store reaches its blocks.
///
/// An implementation may sleep in each method, and returns when the device has completed. It may keep clean copies, but
/// must read what was last written.
pub trait BlockIo {
    /// How many blocks there are.
    fn blocks(&self) -> BlockNr;

    /// Reads one block.
    ///
    /// # Errors
    /// The device failed.
    fn read(&mut self, nr: BlockNr, block: &mut Block) -> Result<(), IoError>;

    /// Writes blocks, in any order among themselves, and waits for all.
    ///
    /// # Errors
    /// The device failed on any of them; others may be written.
    fn write(&mut self, writes: &[(BlockNr, Arc<Block>)], durability: Durability) -> Result<(), IoError>;

    /// Makes durable every write that has returned.
    ///
    /// # Errors
    /// The device failed.
    fn flush(&mut self) -> Result<(), IoError>;

    /// Writes those of these data blocks that are dirty in the implementation's own cache, and waits for them. The store
    /// calls it before the commit record of the transaction that allocated them.
    ///
    /// # Errors
    /// The device failed.
    fn write_back(&mut self, blocks: &[BlockNr]) -> Result<(), IoError>;

    /// The block was freed: what a cache holds of it must not be written any more.
    fn forget(&mut self, nr: BlockNr);
}

impl<B: BlockIo> BlockIo for &mut B {
    fn blocks(&self) -> BlockNr {
        (**self).blocks()
    }

    fn read(&mut self, nr: BlockNr, block: &mut Block) -> Result<(), IoError> {
        (**self).read(nr, block)
    }

    fn write(&mut self, writes: &[(BlockNr, Arc<Block>)], durability: Durability) -> Result<(), IoError> {
        (**self).write(writes, durability)
    }

    fn flush(&mut self) -> Result<(), IoError> {
        (**self).flush()
    }

    fn write_back(&mut self, blocks: &[BlockNr]) -> Result<(), IoError> {
        (**self).write_back(blocks)
    }

    fn forget(&mut self, nr: BlockNr) {
        (**self).forget(nr);
    }
}

/// The plain way: every block straight from and to a device, waiting for each batch.
#[derive(Debug, Clone)]
pub struct DirectIo {
    device: Device,
}

impl DirectIo {
    /// Blocks of `device`.
    pub fn new(device: Device) -> Self {
        Self { device }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device, to cut its power or give it faults.
    pub fn device_mut(&mut self) -> &mut Device {
        &mut self.device
    }

    /// The device, when the blocks are no longer wanted.
    pub fn into_device(self) -> Device {
        self.device
    }

    /// Submits `request`, completing others where the queue is full. The first failure is left in `failure`.
    fn submit(&mut self, request: Request, failure: &mut Option<IoError>) {
        while !self.device.has_room() {
            self.device.step(&mut |completion| note(failure, &completion));
        }
        if let Err(error) = self.device.submit(request) {
            failure.get_or_insert(IoError::Refused(error));
        }
    }

    fn wait(&mut self, failure: &mut Option<IoError>) {
        self.device.drain(&mut |completion| note(failure, &completion));
    }
}

fn note(failure: &mut Option<IoError>, completion: &Completion) {
    if let Err(error) = completion.result {
        failure.get_or_insert(error);
    }
}

impl BlockIo for DirectIo {
    fn blocks(&self) -> BlockNr {
        BlockNr::try_from(self.device.sectors() / SECTORS_PER_BLOCK).unwrap_or(BlockNr::MAX)
    }

    fn read(&mut self, nr: BlockNr, block: &mut Block) -> Result<(), IoError> {
        let request = Request::read(u64::from(nr) * SECTORS_PER_BLOCK, SECTORS_PER_BLOCK);
        self.device.submit(request).map_err(IoError::Refused)?;
        let mut result = Ok(());
        self.device.drain(&mut |completion| match completion.result {
            Ok(data) => block.copy_from_slice(&data),
            Err(error) => result = Err(error),
        });
        result
    }

    fn write(&mut self, writes: &[(BlockNr, Arc<Block>)], durability: Durability) -> Result<(), IoError> {
        let mut failure = None;
        for (nr, block) in writes {
            let mut request = Request::write(u64::from(*nr) * SECTORS_PER_BLOCK, block.to_vec());
            request.preflush = matches!(durability, Durability::Preflush | Durability::PreflushFua);
            request.fua = matches!(durability, Durability::Fua | Durability::PreflushFua);
            self.submit(request, &mut failure);
        }
        self.wait(&mut failure);
        failure.map_or(Ok(()), Err)
    }

    fn flush(&mut self) -> Result<(), IoError> {
        let mut failure = None;
        self.submit(Request::flush(), &mut failure);
        self.wait(&mut failure);
        failure.map_or(Ok(()), Err)
    }

    /// Keeps no cache of its own.
    fn write_back(&mut self, _blocks: &[BlockNr]) -> Result<(), IoError> {
        Ok(())
    }

    /// Keeps no cache of its own.
    fn forget(&mut self, _nr: BlockNr) {}
}
