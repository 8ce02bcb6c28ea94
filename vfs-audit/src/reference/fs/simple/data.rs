//! What changes where a file's data is: size, holes, copies, direct I/O.
//!
//! Each of these drops pages from the cache, so each keeps faults and reads from reloading them meanwhile.

use std::sync::atomic::Ordering::SeqCst;

use super::backing;
use crate::reference::lock::{Lock, Mode, Nest};
use crate::reference::mutant::Step;
use crate::reference::object::{Errno, File, Inode, Kiocb, PAGE_SIZE, Result, leaf};
use crate::reference::task::Task;
use crate::reference::vfs::inode::mark_inode_dirty;
use crate::reference::vfs::pagecache::truncate_inode_pages_range;
use crate::reference::vfs::quota::charge;
use crate::reference::vfs::types::Extent;
use crate::reference::vfs::types::falloc::{KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE};
use crate::reference::vfs::writeback::filemap_write_and_wait;

const PAGE: u64 = PAGE_SIZE as u64;

/// Cuts a file off, or makes it longer; the caller holds the inode.
pub(crate) fn set_size(t: &Task, inode: &'static Inode, size: u64) -> Result<()> {
    let _frame = t.frame("truncate_setsize");
    let mapping = &inode.i_mapping;
    charge(t, inode, inode.size(), size)?;
    mapping.invalidate_lock.acquire(t, Mode::Exclusive);
    let before = inode.i_size.swap(size, SeqCst);
    if size < before {
        truncate_inode_pages_range(t, mapping, size, u64::MAX);
    }
    let result = backing(inode.sb()).set_size(t, inode.number(), size);
    mapping.invalidate_lock.release(t);
    mark_inode_dirty(t, inode);
    result
}

pub(crate) fn simple_fallocate(t: &Task, file: &'static File, mode: i32, offset: u64, length: u64) -> Result<()> {
    let inode = file.inode();
    let mapping = file.mapping();
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let result = if mode & (PUNCH_HOLE | ZERO_RANGE) != 0 {
        let relies = t.deviates(Step::FallocateRelies) && t.holds(&mapping.invalidate_lock);
        if !relies {
            mapping.invalidate_lock.acquire(t, Mode::Exclusive);
        }
        let result = punch(t, inode, offset, offset + length);
        if !relies {
            mapping.invalidate_lock.release(t);
        }
        result
    } else if mode & KEEP_SIZE == 0 && offset + length > inode.size() {
        set_size(t, inode, offset + length)
    } else {
        Ok(())
    };
    inode.i_rwsem.release(t);
    result
}

/// Makes a hole: the cache first, then the backing, with nothing coming in between.
fn punch(t: &Task, inode: &'static Inode, from: u64, to: u64) -> Result<()> {
    let to = to.min(inode.size());
    if from >= to {
        return Ok(());
    }
    // What is dirty at the edges must not be lost with the middle.
    filemap_write_and_wait(t, &inode.i_mapping)?;
    truncate_inode_pages_range(t, &inode.i_mapping, from, to);
    zero_edges(t, inode, from, to)?;
    backing(inode.sb()).punch(t, inode.number(), from.div_ceil(PAGE), to / PAGE)
}

/// Zeroes in the backing what of a range lies within a page.
fn zero_edges(t: &Task, inode: &'static Inode, from: u64, to: u64) -> Result<()> {
    let backing = backing(inode.sb());
    let mut edges = vec![from / PAGE, to / PAGE];
    edges.dedup();
    for index in edges {
        let base = index * PAGE;
        let within = |at: u64| at.saturating_sub(base).min(PAGE) as usize;
        let (first, last) = (within(from), within(to));
        if first < last && last - first < PAGE_SIZE {
            let mut data = vec![0; PAGE_SIZE];
            backing.read_page(t, inode.number(), index, &mut data)?;
            data[first..last].fill(0);
            backing.write_page(t, inode.number(), index, &data)?;
        }
    }
    Ok(())
}

/// Holds the invalidate locks of two files, in the order of their addresses.
fn lock_two(t: &Task, a: &'static Lock, b: &'static Lock) {
    let (first, second) = if a.raw().address() < b.raw().address() { (a, b) } else { (b, a) };
    first.acquire(t, Mode::Exclusive);
    if !std::ptr::eq(first, second) {
        second.acquire_nested(t, Mode::Exclusive, Nest::Child2);
    }
}

fn unlock_two(t: &Task, a: &'static Lock, b: &'static Lock) {
    a.release(t);
    if !std::ptr::eq(a, b) {
        b.release(t);
    }
}

type End = (&'static File, u64);

/// Copies a range in the backing, with neither file changing meanwhile.
fn transfer(t: &Task, (from, from_at): End, (to, to_at): End, length: usize, skip_source: bool) -> Result<usize> {
    let (source, target) = (from.inode(), to.inode());
    let (a, b) = (&source.i_rwsem, &target.i_rwsem);
    lock_two(t, a, b);
    let (source_lock, target_lock) = (&from.mapping().invalidate_lock, &to.mapping().invalidate_lock);
    if skip_source {
        target_lock.acquire(t, Mode::Exclusive);
    } else {
        lock_two(t, source_lock, target_lock);
    }
    let result = copy_locked(t, (source, from_at), (target, to_at), length as u64);
    if skip_source {
        target_lock.release(t);
    } else {
        unlock_two(t, source_lock, target_lock);
    }
    unlock_two(t, a, b);
    result
}

type Place = (&'static Inode, u64);

fn copy_locked(t: &Task, (source, from_at): Place, (target, to_at): Place, length: u64) -> Result<usize> {
    let length = length.min(source.size().saturating_sub(from_at));
    if std::ptr::eq(source, target) && from_at < to_at + length && to_at < from_at + length {
        return Err(Errno::EINVAL);
    }
    if length == 0 {
        return Ok(0);
    }
    filemap_write_and_wait(t, &source.i_mapping)?;
    filemap_write_and_wait(t, &target.i_mapping)?;
    truncate_inode_pages_range(t, &target.i_mapping, to_at / PAGE * PAGE, (to_at + length).div_ceil(PAGE) * PAGE);
    let backing = backing(source.sb());
    let (mut from, mut to) = (vec![0; PAGE_SIZE], vec![0; PAGE_SIZE]);
    for byte_at in (to_at..to_at + length).scan(u64::MAX, |last, at| {
        let new = at / PAGE != *last;
        *last = at / PAGE;
        Some(new.then_some(at))
    }) {
        let Some(at) = byte_at else { continue };
        let end = ((at / PAGE + 1) * PAGE).min(to_at + length);
        backing.read_page(t, target.number(), at / PAGE, &mut to)?;
        for place in at..end {
            let source_place = from_at + (place - to_at);
            if place == at || source_place % PAGE == 0 {
                backing.read_page(t, source.number(), source_place / PAGE, &mut from)?;
            }
            to[(place % PAGE) as usize] = from[(source_place % PAGE) as usize];
        }
        backing.write_page(t, target.number(), at / PAGE, &to)?;
    }
    if to_at + length > target.size() {
        charge(t, target, target.size(), to_at + length)?;
        target.i_size.store(to_at + length, SeqCst);
        mark_inode_dirty(t, target);
    }
    Ok(length as usize)
}

pub(crate) fn simple_copy_file_range(
    t: &Task,
    from: &'static File,
    from_at: u64,
    to: &'static File,
    to_at: u64,
    length: usize,
) -> Result<usize> {
    let skip = t.deviates(Step::CopyLocksOne) && !std::ptr::eq(from.inode(), to.inode());
    transfer(t, (from, from_at), (to, to_at), length, skip)
}

/// Shares whole pages only.
pub(crate) fn simple_remap_file_range(
    t: &Task,
    from: &'static File,
    from_at: u64,
    to: &'static File,
    to_at: u64,
    length: usize,
) -> Result<usize> {
    if !from_at.is_multiple_of(PAGE) || !to_at.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let skip = t.deviates(Step::RemapLocksOne) && !std::ptr::eq(from.inode(), to.inode());
    transfer(t, (from, from_at), (to, to_at), length, skip)
}

/// Reads or writes past the page cache; the caller has written and dropped what the cache had of it.
pub(crate) fn simple_direct_io(t: &Task, kiocb: &Kiocb, buffer: &mut [u8], write: bool) -> Result<usize> {
    let inode = kiocb.ki_filp.inode();
    let backing = backing(inode.sb());
    let mut data = vec![0; PAGE_SIZE];
    let mut done = 0;
    let length = if write {
        buffer.len()
    } else {
        buffer.len().min(usize::try_from(inode.size().saturating_sub(kiocb.ki_pos)).unwrap_or(usize::MAX))
    };
    while done < length {
        let at = kiocb.ki_pos + done as u64;
        let within = (at % PAGE) as usize;
        let count = (length - done).min(PAGE_SIZE - within);
        backing.read_page(t, inode.number(), at / PAGE, &mut data)?;
        if write {
            data[within..within + count].copy_from_slice(&buffer[done..done + count]);
            backing.write_page(t, inode.number(), at / PAGE, &data)?;
        } else {
            buffer[done..done + count].copy_from_slice(&data[within..within + count]);
        }
        done += count;
    }
    let end = kiocb.ki_pos + done as u64;
    if write && end > inode.size() {
        inode.i_size.store(end, SeqCst);
        mark_inode_dirty(t, inode);
    }
    Ok(done)
}

/// Where data is, as far as the cache and the size tell: one extent per run of pages.
pub(crate) fn simple_fiemap(t: &Task, inode: &'static Inode, start: u64, length: u64) -> Result<Vec<Extent>> {
    filemap_write_and_wait(t, &inode.i_mapping)?;
    let end = start.saturating_add(length).min(inode.size());
    let count = leaf(&inode.i_mapping.pages).len() as u64;
    let extent = Extent { logical: start, physical: inode.number() << 20, length: end.saturating_sub(start) };
    Ok(if extent.length == 0 && count == 0 { Vec::new() } else { vec![extent] })
}
