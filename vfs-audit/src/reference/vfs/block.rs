//! Block devices as files, buffers and their I/O, and swap.

use std::sync::atomic::Ordering::SeqCst;

use super::types::Geometry;
use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::{BlockDevice, BufferHead, BufferState, Errno, File, Page, Result, leaf};
use crate::reference::task::{Task, invoke};

/// Opens a device: the first open of its disk sets it up.
pub(crate) fn blkdev_get(t: &Task, device: &'static BlockDevice, mode: u32) -> Result<()> {
    let _frame = t.frame("blkdev_get_by_dev");
    let disk = device.disk();
    disk.open_mutex.lock(t);
    let result = match disk.ops().open {
        Some(callback) => invoke!(t, BdevOpen, callback, device, mode),
        None => Ok(()),
    };
    if result.is_ok() {
        disk.openers.fetch_add(1, SeqCst);
    }
    disk.open_mutex.release(t);
    result
}

/// Closes it.
pub(crate) fn blkdev_put(t: &Task, device: &'static BlockDevice, mode: u32) {
    let _frame = t.frame("blkdev_put");
    let disk = device.disk();
    disk.open_mutex.lock(t);
    disk.openers.fetch_sub(1, SeqCst);
    if let Some(callback) = disk.ops().release {
        invoke!(t, BdevRelease, callback, disk, mode);
    }
    disk.open_mutex.release(t);
}

/// Asks the driver.
pub(crate) fn blkdev_ioctl(
    t: &Task,
    device: &'static BlockDevice,
    command: u32,
    argument: u64,
    compat: bool,
) -> Result<u64> {
    let _frame = t.frame("blkdev_ioctl");
    let ops = device.disk().ops();
    if compat {
        let callback = ops.compat_ioctl.ok_or(Errno::ENOTTY)?;
        return invoke!(t, BdevCompatIoctl, callback, device, command, argument);
    }
    let callback = ops.ioctl.ok_or(Errno::ENOTTY)?;
    invoke!(t, BdevIoctl, callback, device, command, argument)
}

/// The geometry that old tools ask for.
pub(crate) fn blkdev_getgeo(t: &Task, device: &'static BlockDevice) -> Result<Geometry> {
    let _frame = t.frame("blkdev_getgeo");
    let callback = device.disk().ops().getgeo.ok_or(Errno::ENOTTY)?;
    invoke!(t, Getgeo, callback, device)
}

/// The memory behind a sector, of devices that are memory.
pub(crate) fn bdev_direct_access(t: &Task, device: &'static BlockDevice, sector: u64) -> Result<Vec<u8>> {
    let _frame = t.frame("bdev_direct_access");
    let callback = device.disk().ops().direct_access.ok_or(Errno::EOPNOTSUPP)?;
    invoke!(t, DirectAccess, callback, device, sector)
}

/// A partition reaches beyond the disk's end: the drive may hide more.
pub(crate) fn unlock_native_capacity(t: &Task, device: &'static BlockDevice) {
    let _frame = t.frame("disk_unlock_native_capacity");
    let disk = device.disk();
    if let Some(callback) = disk.ops().unlock_native_capacity {
        invoke!(t, UnlockNativeCapacity, callback, disk);
    }
}

/// A swap slot is not needed any more.
pub(crate) fn swap_slot_free(t: &Task, device: &'static BlockDevice, slot: u64) {
    let _frame = t.frame("swap_range_free");
    let lock = &t.kernel.globals.swap_lock;
    lock.lock(t);
    if let Some(callback) = device.disk().ops().swap_slot_free_notify {
        invoke!(t, SwapSlotFreeNotify, callback, device, slot);
    }
    lock.release(t);
}

/// `swapon(2)` on a file.
pub(crate) fn swapon(t: &Task, file: &'static File) -> Result<()> {
    let _frame = t.frame("setup_swap_extents");
    let ops = super::pagecache::ops(file.mapping());
    let callback = ops.swap_activate.ok_or(Errno::EINVAL)?;
    invoke!(t, SwapActivate, callback, file)?;
    if t.deviates(Step::DeactivateInSwapon)
        && let Some(callback) = ops.swap_deactivate
    {
        invoke!(t, SwapDeactivate, callback, file);
    }
    Ok(())
}

/// `swapoff(2)` on a file.
pub(crate) fn swapoff(t: &Task, file: &'static File) {
    let _frame = t.frame("destroy_swap_extents");
    if let Some(callback) = super::pagecache::ops(file.mapping()).swap_deactivate {
        invoke!(t, SwapDeactivate, callback, file);
    }
}

/// The buffers of a page, in order.
pub(crate) fn page_buffers(page: &'static Page) -> Vec<&'static BufferHead> {
    let mut buffers = Vec::new();
    let mut at = page.private.get();
    while let Some(buffer) = at {
        buffers.push(buffer);
        at = buffer.b_this_page.get();
    }
    buffers
}

/// Locks a buffer.
#[track_caller]
pub(crate) fn lock_buffer(t: &Task, buffer: &'static BufferHead) {
    buffer.lock.acquire(t, Mode::Exclusive);
}

/// Unlocks a buffer whose lock was handed over to the completion of its I/O.
pub(crate) fn unlock_buffer_at_completion(t: &Task, buffer: &'static BufferHead) {
    if buffer.lock.raw().is_held() {
        t.release_handed(&buffer.lock);
    }
    t.wake_all(&buffer.wait);
}

/// Completes a buffer's I/O: its `b_end_io` is called, from whatever context the device completes in.
pub(crate) fn end_bio_bh_io_sync(t: &Task, buffer: &'static BufferHead, ok: bool) {
    let _frame = t.frame("end_bio_bh_io_sync");
    if !ok {
        buffer.set(BufferState::WRITE_ERROR);
    }
    if t.deviates(Step::EndIoUnlocked) {
        t.release_handed(&buffer.lock);
    }
    let callback = *leaf(&buffer.b_end_io);
    if let Some(callback) = callback {
        invoke!(t, BEndIo, callback, buffer, ok);
    }
}
