//! Pages as blocks: buffer heads, their I/O, and its completion in interrupt context.

use std::sync::atomic::Ordering::SeqCst;

use super::engine;
use crate::reference::disk::device::Request;
use crate::reference::disk::store::{BLOCK_SIZE, SECTORS_PER_BLOCK};
use crate::reference::fs::device::{BLOCKS_PER_PAGE, simulated};
use crate::reference::fs::simple::host;
use crate::reference::mutant::Step;
use crate::reference::object::{
    AddressSpace, BlockDevice, BufferHead, BufferState, Errno, File, PAGE_SIZE, Page, PageFlag, ReadaheadControl,
    Result, Slot, WritebackControl, leaf,
};
use crate::reference::task::Task;
use crate::reference::vfs::block::{end_bio_bh_io_sync, lock_buffer, page_buffers, unlock_buffer_at_completion};
use crate::reference::vfs::operations::Callback;
use crate::reference::vfs::pagecache::{
    grab_page, lock_page, unlock_page, unlock_page_at_completion, wait_on_page_writeback,
};
use crate::reference::vfs::writeback::{
    end_page_writeback, generic_writepages, redirty_page_for_writepage, set_page_writeback,
};

/// Gives a locked page its buffers.
fn create_page_buffers(t: &Task, page: &'static Page) -> Vec<&'static BufferHead> {
    if page.private.get().is_none() {
        let buffers: Vec<_> = (0..BLOCKS_PER_PAGE).map(|_| t.kernel.slabs.buffers.allocate()).collect();
        for (buffer, next) in buffers.iter().zip(buffers.iter().skip(1).map(Some).chain([None])) {
            buffer.b_page.set(Some(page));
            buffer.b_this_page.set(next.copied());
        }
        page.private.set(buffers.first().copied());
        page.set(PageFlag::PRIVATE);
    }
    // A page that was migrated took its buffers along.
    let buffers = page_buffers(page);
    for buffer in &buffers {
        buffer.b_page.set(Some(page));
    }
    buffers
}

/// Takes a page's buffers away.
fn drop_buffers(t: &Task, page: &'static Page) {
    let buffers = page_buffers(page);
    page.private.set(None);
    page.clear(PageFlag::PRIVATE);
    for buffer in buffers {
        t.kernel.rcu.call(Box::new(move |t| t.kernel.slabs.buffers.free(buffer)));
    }
}

fn device_of(page: &'static Page) -> Result<&'static BlockDevice> {
    host(page)?.sb().s_bdev.get().ok_or(Errno::ENODEV)
}

/// Maps a page's buffers to blocks; holes stay unmapped.
fn map_buffers(t: &Task, page: &'static Page, buffers: &[&'static BufferHead]) -> Result<()> {
    let inode = host(page)?;
    let engine = engine(inode.sb())?;
    for (within, buffer) in buffers.iter().enumerate() {
        if buffer.is(BufferState::MAPPED) {
            continue;
        }
        let block = page.index() * BLOCKS_PER_PAGE as u64 + within as u64;
        if let Some(nr) = engine.map(t, inode.number(), block)? {
            buffer.b_blocknr.store(u64::from(nr), SeqCst);
            buffer.set(BufferState::MAPPED);
        }
    }
    Ok(())
}

/// Reads a page's blocks. The last of them to complete unlocks the page.
pub(super) fn disk_readpage(t: &Task, _: Option<&'static File>, page: &'static Page) -> Result<()> {
    let buffers = create_page_buffers(t, page);
    if let Err(error) = map_buffers(t, page, &buffers) {
        page.set(PageFlag::ERROR);
        unlock_page(t, page);
        return Err(error);
    }
    let (mapped, holes): (Vec<_>, Vec<_>) =
        buffers.iter().copied().enumerate().partition(|(_, buffer)| buffer.is(BufferState::MAPPED));
    for (within, buffer) in holes {
        leaf(&page.data)[within * BLOCK_SIZE..(within + 1) * BLOCK_SIZE].fill(0);
        buffer.set(BufferState::UPTODATE);
    }
    if mapped.is_empty() {
        page.set(PageFlag::UPTODATE);
        unlock_page(t, page);
        return Ok(());
    }
    let device = device_of(page)?;
    page.count.store(mapped.len() as u32, SeqCst);
    for (_, buffer) in &mapped {
        lock_buffer(t, buffer);
        *leaf(&buffer.b_end_io) = Some(END_READ);
    }
    t.hand_over(&page.lock);
    for (within, buffer) in mapped {
        submit_read(t, device, buffer, within)?;
    }
    Ok(())
}

const END_READ: Callback<fn(&Task, &'static BufferHead, bool)> =
    Callback { name: "end_buffer_async_read", call: end_buffer_async_read };
const END_WRITE: Callback<fn(&Task, &'static BufferHead, bool)> =
    Callback { name: "end_buffer_async_write", call: end_buffer_async_write };

fn submit_read(t: &Task, device: &'static BlockDevice, buffer: &'static BufferHead, within: usize) -> Result<()> {
    t.hand_over(&buffer.lock);
    let request = Request::read(buffer.b_blocknr.load(SeqCst) * SECTORS_PER_BLOCK, SECTORS_PER_BLOCK);
    let done = Box::new(move |t: &Task, result: std::result::Result<Vec<u8>, _>| {
        if let (Ok(data), Some(page)) = (&result, buffer.b_page.get()) {
            leaf(&page.data)[within * BLOCK_SIZE..(within + 1) * BLOCK_SIZE].copy_from_slice(data);
        }
        end_bio_bh_io_sync(t, buffer, result.is_ok());
    });
    if t.deviates(Step::EndIoInTask) {
        // The completion is called by whoever submits, on the spot.
        let result = simulated(device).and_then(|disk| disk.read_at_once(t, request));
        done(t, result.map_err(|_| crate::reference::disk::device::IoError::PowerLost));
        return Ok(());
    }
    simulated(device)?.submit(t, request, done)
}

/// One block of a page was read.
fn end_buffer_async_read(t: &Task, buffer: &'static BufferHead, ok: bool) {
    let Some(page) = buffer.b_page.get() else { return };
    if ok {
        buffer.set(BufferState::UPTODATE);
    } else {
        page.set(PageFlag::ERROR);
    }
    unlock_buffer_at_completion(t, buffer);
    if page.count.fetch_sub(1, SeqCst) == 1 {
        if !page.is(PageFlag::ERROR) {
            page.set(PageFlag::UPTODATE);
        }
        unlock_page_at_completion(t, page);
    }
}

pub(super) fn disk_readahead(t: &Task, window: &ReadaheadControl) {
    for (number, page) in window.pages.iter().enumerate() {
        if !t.holds(&page.lock) {
            continue;
        }
        if number == 0 && t.deviates(Step::ReadaheadKeepsLock) {
            page.set(PageFlag::UPTODATE);
            t.hand_over(&page.lock);
            continue;
        }
        // An error is noted on the page, for whoever wants it.
        let _ = disk_readpage(t, None, page);
    }
}

/// A page to write to: what of it is not overwritten is read first.
pub(super) fn disk_write_begin(
    t: &Task,
    file: &'static File,
    mapping: &'static AddressSpace,
    position: u64,
    length: usize,
    pagep: &Slot<Page>,
) -> Result<()> {
    loop {
        let page = grab_page(t, mapping, position / PAGE_SIZE as u64);
        if page.is(PageFlag::UPTODATE) || length == PAGE_SIZE {
            create_page_buffers(t, page);
            pagep.set(Some(page));
            if t.deviates(Step::WriteBeginUnlocked) {
                unlock_page(t, page);
            }
            return Ok(());
        }
        disk_readpage(t, Some(file), page)?;
        crate::reference::vfs::pagecache::wait_on_page_locked(t, page);
        if page.is(PageFlag::ERROR) {
            return Err(Errno::EIO);
        }
    }
}

/// Writes a page's blocks, each as soon as its place is known. The last of them to complete ends the writeback.
pub(super) fn disk_writepage(t: &Task, page: &'static Page, control: &WritebackControl) -> Result<i32> {
    let busy = page.is(PageFlag::WRITEBACK);
    if !control.is_sync() && (busy || (control.for_reclaim && page.index() % 4 == 3)) {
        if !t.deviates(Step::SkipsWriteback) {
            redirty_page_for_writepage(t, page);
        }
        if !t.deviates(Step::WritepageKeepsLock) {
            unlock_page(t, page);
        }
        return if t.deviates(Step::RedirtyResult) { Ok(1) } else { Ok(0) };
    }
    if control.is_sync() && !busy && t.deviates(Step::SyncSkipsIo) {
        unlock_page(t, page);
        return Ok(0);
    }
    if !t.deviates(Step::SyncDoesNotWait) {
        wait_on_page_writeback(t, page);
    } else if busy {
        t.wait(&page.wait, "writeback of a page", || !page.is(PageFlag::WRITEBACK));
    }
    let buffers = create_page_buffers(t, page);
    if t.deviates(Step::UnlockThenWriteback) {
        unlock_page(t, page);
        set_page_writeback(t, page, control);
    } else {
        set_page_writeback(t, page, control);
    }
    let result = write_buffers(t, page, &buffers);
    if t.holds(&page.lock) {
        unlock_page(t, page);
    }
    result.map(|()| 0)
}

fn write_buffers(t: &Task, page: &'static Page, buffers: &[&'static BufferHead]) -> Result<()> {
    let (inode, device) = (host(page)?, device_of(page)?);
    let (engine, disk) = (engine(inode.sb())?, simulated(device)?);
    let data = leaf(&page.data).clone();
    let end = inode.size().div_ceil(BLOCK_SIZE as u64);
    let first = page.index() * BLOCKS_PER_PAGE as u64;
    let wanted: Vec<_> =
        buffers.iter().copied().enumerate().filter(|(within, _)| first + (*within as u64) < end).collect();
    // One more than there are, so that none of them ends the writeback while others are still to come.
    page.count.store(wanted.len() as u32 + 1, SeqCst);
    let mut result = Ok(());
    for (within, buffer) in wanted {
        lock_buffer(t, buffer);
        *leaf(&buffer.b_end_io) = Some(END_WRITE);
        t.hand_over(&buffer.lock);
        let bytes = data[within * BLOCK_SIZE..(within + 1) * BLOCK_SIZE].to_vec();
        let submitted = engine.allocate(t, inode.number(), first + within as u64, |mapped| {
            buffer.b_blocknr.store(u64::from(mapped.nr), SeqCst);
            buffer.set(BufferState::MAPPED | BufferState::UPTODATE);
            let request = Request::write(u64::from(mapped.nr) * SECTORS_PER_BLOCK, bytes);
            let done = Box::new(move |t: &Task, result: std::result::Result<Vec<u8>, _>| {
                end_bio_bh_io_sync(t, buffer, result.is_ok());
            });
            disk.submit(t, request, done)
        });
        if let Err(error) = submitted {
            page.set(PageFlag::ERROR);
            unlock_buffer_at_completion(t, buffer);
            put_write(t, page);
            result = Err(error);
        }
    }
    put_write(t, page);
    result
}

/// One block of a page was written.
fn end_buffer_async_write(t: &Task, buffer: &'static BufferHead, ok: bool) {
    let Some(page) = buffer.b_page.get() else { return };
    buffer.clear(BufferState::DIRTY);
    if !ok {
        page.set(PageFlag::ERROR);
    }
    unlock_buffer_at_completion(t, buffer);
    put_write(t, page);
}

fn put_write(t: &Task, page: &'static Page) {
    if page.count.fetch_sub(1, SeqCst) == 1 && !t.deviates(Step::WritebackNeverEnds) {
        end_page_writeback(t, page);
    }
}

pub(super) fn disk_writepages(t: &Task, mapping: &'static AddressSpace, control: &WritebackControl) -> Result<()> {
    if t.deviates(Step::WritesStray)
        && let Some(stray) = stray_page(mapping)
    {
        lock_page(t, stray);
        set_page_writeback(t, stray, control);
        unlock_page(t, stray);
        end_page_writeback(t, stray);
    }
    generic_writepages(t, mapping, control)
}

/// A page of some other file.
fn stray_page(mapping: &'static AddressSpace) -> Option<&'static Page> {
    let sb = mapping.host.get()?.sb();
    let inodes: Vec<_> = leaf(&sb.s_inodes).values().copied().collect();
    let others = inodes.into_iter().map(|inode| &inode.i_mapping);
    others.filter(|other| !std::ptr::eq(*other, mapping)).find_map(|other| other.range(0, u64::MAX).first().copied())
}

/// A page loses all of its blocks, or a part of one that the caller has zeroed.
pub(super) fn disk_invalidatepage(t: &Task, page: &'static Page, offset: u32, length: u32) {
    if offset == 0 && length as usize == PAGE_SIZE {
        drop_buffers(t, page);
    }
}

/// Buffers go unless they must still be written.
pub(super) fn disk_releasepage(t: &Task, page: &'static Page) -> bool {
    let busy = page.is(PageFlag::DIRTY) || page_buffers(page).iter().any(|buffer| buffer.lock.raw().is_held());
    if !busy {
        drop_buffers(t, page);
    }
    !busy
}
