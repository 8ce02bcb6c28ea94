//! The driver of the simulated disk: requests with completions in interrupt context, and the block-device operations.

use std::collections::HashMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use crate::reference::disk::device::{Device, IoError, Options, Request, RequestId, SECTOR_SIZE, SectorFault};
use crate::reference::disk::store::{BLOCK_SIZE, Block, BlockIo, BlockNr, Durability, SECTORS_PER_BLOCK};
use crate::reference::kernel::{Completes, Interrupts, Kernel};
use crate::reference::mutant::{Deviation, Step};
use crate::reference::object::{BlockDevice, Errno, Gendisk, Result, leaf};
use crate::reference::task::Task;
use crate::reference::vfs::operations::{BlockDeviceOperations, callback};
use crate::reference::vfs::types::Geometry;

/// What is done with a completed request's data, in interrupt context.
pub(crate) type Done = Box<dyn FnOnce(&Task, std::result::Result<Vec<u8>, IoError>) + Send>;

/// A disk with those who wait for its requests.
pub(crate) struct Simulated {
    device: Mutex<Device>,
    waiting: Mutex<HashMap<RequestId, Done>>,
    /// Results of requests that are waited for in place.
    results: Mutex<HashMap<RequestId, std::result::Result<Vec<u8>, IoError>>>,
    /// A deviation: flushes do not reach the disk.
    skips_flush: bool,
}

impl Completes for Simulated {
    fn complete_one(&self, interrupts: &Interrupts) -> bool {
        let mut completed = Vec::new();
        let mut raised = false;
        let stepped = leaf(&self.device).step(&mut |completion| completed.push(completion));
        for completion in completed {
            match leaf(&self.waiting).remove(&completion.id) {
                Some(done) => {
                    interrupts.count(false);
                    raised = true;
                    interrupts.raise(Box::new(move |t| done(t, completion.result)));
                }
                None => drop(leaf(&self.results).insert(completion.id, completion.result)),
            }
        }
        debug_assert!(stepped || !raised, "an idle device completes nothing");
        raised
    }
}

impl Simulated {
    /// Submits a request; what is to be done at its completion is done in interrupt context.
    pub(crate) fn submit(&self, t: &Task, request: Request, done: Done) -> Result<()> {
        let interrupts = &t.kernel.interrupts;
        while !leaf(&self.device).has_room() {
            self.complete_one(interrupts);
        }
        let mut waiting = leaf(&self.waiting);
        let id = leaf(&self.device).submit(request).map_err(|_| Errno::EIO)?;
        waiting.insert(id, done);
        drop(waiting);
        interrupts.count(true);
        Ok(())
    }

    /// Submits a request and waits for it in place: for a driver's user that has its own way to sleep.
    fn submit_and_wait(&self, interrupts: &Interrupts, request: Request) -> std::result::Result<Vec<u8>, IoError> {
        while !leaf(&self.device).has_room() {
            self.complete_one(interrupts);
        }
        let id = leaf(&self.device).submit(request).map_err(IoError::Refused)?;
        loop {
            if let Some(result) = leaf(&self.results).remove(&id) {
                return result;
            }
            self.complete_one(interrupts);
        }
    }

    /// Reads on the spot.
    pub(crate) fn read_at_once(&self, t: &Task, request: Request) -> Result<Vec<u8>> {
        self.submit_and_wait(&t.kernel.interrupts, request).map_err(|_| Errno::EIO)
    }

    /// Lets everything complete that is under way.
    fn drain(&self, interrupts: &Interrupts) {
        while leaf(&self.device).under_way() > 0 {
            self.complete_one(interrupts);
        }
    }

    fn sectors(&self) -> u64 {
        leaf(&self.device).sectors()
    }
}

/// The blocks of the disk, for the journaled store: it sleeps before and after, not in the middle of a commit.
#[derive(Clone)]
pub(crate) struct Blocks {
    pub(crate) disk: Arc<Simulated>,
    pub(crate) interrupts: Arc<Interrupts>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Blocks")
    }
}

impl BlockIo for Blocks {
    fn blocks(&self) -> BlockNr {
        BlockNr::try_from(self.disk.sectors() / SECTORS_PER_BLOCK).unwrap_or(BlockNr::MAX)
    }

    fn read(&mut self, nr: BlockNr, block: &mut Block) -> std::result::Result<(), IoError> {
        let request = Request::read(u64::from(nr) * SECTORS_PER_BLOCK, SECTORS_PER_BLOCK);
        block.copy_from_slice(&self.disk.submit_and_wait(&self.interrupts, request)?);
        Ok(())
    }

    fn write(&mut self, writes: &[(BlockNr, Arc<Block>)], durability: Durability) -> std::result::Result<(), IoError> {
        for (nr, block) in writes {
            let mut request = Request::write(u64::from(*nr) * SECTORS_PER_BLOCK, block.to_vec());
            let honest = !self.disk.skips_flush;
            request.preflush = honest && matches!(durability, Durability::Preflush | Durability::PreflushFua);
            request.fua = honest && matches!(durability, Durability::Fua | Durability::PreflushFua);
            self.disk.submit_and_wait(&self.interrupts, request)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::result::Result<(), IoError> {
        if self.disk.skips_flush {
            return Ok(());
        }
        self.disk.submit_and_wait(&self.interrupts, Request::flush()).map(|_| ())
    }

    /// Data is submitted in the same breath as its block is allocated, so it is enough that everything completes.
    fn write_back(&mut self, _: &[BlockNr]) -> std::result::Result<(), IoError> {
        self.disk.drain(&self.interrupts);
        Ok(())
    }

    fn forget(&mut self, _: BlockNr) {}
}

/// Makes a disk of so many blocks and adds it to the machine.
pub(crate) fn new_device(kernel: &Kernel, blocks: u64, seed: u64) -> &'static BlockDevice {
    with_device(kernel, Device::new(Options::new(blocks * SECTORS_PER_BLOCK, seed)))
}

/// The disk as it is, with what is under way and what is in its cache.
pub(crate) fn device_of(device: &'static BlockDevice) -> Result<Device> {
    Ok(leaf(&simulated(device)?.device).clone())
}

/// Makes a sector of the disk unreadable until it is written again.
pub(crate) fn spoil(device: &'static BlockDevice, sector: u64) -> Result<()> {
    leaf(&simulated(device)?.device).inject(sector, SectorFault::Unreadable);
    Ok(())
}

/// Adds a disk that there was already.
pub(crate) fn with_device(kernel: &Kernel, device: Device) -> &'static BlockDevice {
    let skips_flush = kernel.deviation == Deviation::Step(Step::SkipsFlush);
    let disk = Arc::new(Simulated {
        device: Mutex::new(device),
        waiting: Mutex::default(),
        results: Mutex::default(),
        skips_flush,
    });
    let completes: Arc<dyn Completes> = Arc::<Simulated>::clone(&disk);
    kernel.interrupts.add_device(completes);
    let gendisk = kernel.slabs.disks.allocate();
    gendisk.fops.set(Some(&SIMULATED));
    gendisk.sectors.store(disk.sectors(), SeqCst);
    gendisk.hidden_sectors.store(8, SeqCst);
    let bdev = kernel.slabs.devices.allocate();
    bdev.bd_disk.set(Some(gendisk));
    *leaf(&bdev.driver) = Some(disk);
    bdev
}

/// The disk behind a block device.
pub(crate) fn simulated(device: &'static BlockDevice) -> Result<Arc<Simulated>> {
    let driver = leaf(&device.driver).clone();
    driver.and_then(|driver| driver.downcast::<Simulated>().ok()).ok_or(Errno::ENODEV)
}

/// Reads blocks and waits.
pub(crate) fn read_blocks(t: &Task, device: &'static BlockDevice, block: u64, data: &mut [u8]) -> Result<()> {
    t.schedule("a read from the disk");
    let sectors = (data.len() / SECTOR_SIZE) as u64;
    let request = Request::read(block * SECTORS_PER_BLOCK, sectors);
    let read = simulated(device)?.submit_and_wait(&t.kernel.interrupts, request).map_err(|_| Errno::EIO)?;
    data.copy_from_slice(&read);
    Ok(())
}

/// Writes blocks and waits.
pub(crate) fn write_blocks(t: &Task, device: &'static BlockDevice, block: u64, data: &[u8]) -> Result<()> {
    t.schedule("a write to the disk");
    let request = Request::write(block * SECTORS_PER_BLOCK, data.to_vec());
    simulated(device)?.submit_and_wait(&t.kernel.interrupts, request).map(|_| ()).map_err(|_| Errno::EIO)
}

/// Commands of the driver.
pub(crate) const BLKGETSIZE: u32 = 0x1260;

static SIMULATED: BlockDeviceOperations = BlockDeviceOperations {
    open: callback!(simdisk_open),
    release: callback!(simdisk_release),
    ioctl: callback!(simdisk_ioctl),
    compat_ioctl: callback!(simdisk_compat_ioctl),
    direct_access: callback!(simdisk_direct_access),
    unlock_native_capacity: callback!(simdisk_unlock_native_capacity),
    getgeo: callback!(simdisk_getgeo),
    swap_slot_free_notify: callback!(simdisk_swap_slot_free_notify),
};

fn simdisk_open(t: &Task, device: &'static BlockDevice, _: u32) -> Result<()> {
    let disk = simulated(device)?;
    if device.disk().openers.load(SeqCst) == 0 {
        // The first one spins it up.
        t.schedule("the disk to spin up");
        disk.submit_and_wait(&t.kernel.interrupts, Request::read(0, 1)).map_err(|_| Errno::EIO)?;
    }
    Ok(())
}

/// The last one flushes its cache.
fn simdisk_release(t: &Task, disk: &'static Gendisk, _: u32) {
    if disk.openers.load(SeqCst) == 0 {
        t.schedule("the disk to spin down");
    }
}

fn simdisk_ioctl(_: &Task, device: &'static BlockDevice, command: u32, _: u64) -> Result<u64> {
    if command == BLKGETSIZE { Ok(device.disk().sectors.load(SeqCst)) } else { Err(Errno::ENOTTY) }
}

fn simdisk_compat_ioctl(t: &Task, device: &'static BlockDevice, command: u32, argument: u64) -> Result<u64> {
    let size = simdisk_ioctl(t, device, command, argument)?;
    if size > u64::from(u32::MAX) { Err(Errno::EFBIG) } else { Ok(size) }
}

/// The simulated disk is memory, so its contents can be had without a request.
fn simdisk_direct_access(_: &Task, device: &'static BlockDevice, sector: u64) -> Result<Vec<u8>> {
    let disk = simulated(device)?;
    let device = leaf(&disk.device);
    if sector >= device.sectors() {
        return Err(Errno::EINVAL);
    }
    Ok(device.durable(sector).map_or_else(|| vec![0; SECTOR_SIZE], <[u8]>::to_vec))
}

fn simdisk_unlock_native_capacity(_: &Task, disk: &'static Gendisk) {
    disk.sectors.fetch_add(disk.hidden_sectors.swap(0, SeqCst), SeqCst);
}

fn simdisk_getgeo(_: &Task, device: &'static BlockDevice) -> Result<Geometry> {
    let sectors = device.disk().sectors.load(SeqCst);
    Ok(Geometry { heads: 16, sectors: 63, cylinders: u16::try_from(sectors / (16 * 63)).unwrap_or(u16::MAX) })
}

/// Under a spinlock: the slot is noted, and its blocks are given up later.
fn simdisk_swap_slot_free_notify(_: &Task, device: &'static BlockDevice, slot: u64) {
    leaf(&device.freed_slots).push(slot);
}

/// Blocks of a page.
pub(crate) const BLOCKS_PER_PAGE: usize = crate::reference::object::PAGE_SIZE / BLOCK_SIZE;
