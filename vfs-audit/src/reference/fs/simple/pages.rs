//! Address-space callbacks on a backing that reads and writes whole pages.

use std::sync::atomic::Ordering::SeqCst;

use super::backing;
use crate::reference::mutant::Step;
use crate::reference::object::{
    AddressSpace, Errno, File, Inode, PAGE_SIZE, Page, PageFlag, PageList, ReadaheadControl, Result, Slot,
    WritebackControl, leaf,
};
use crate::reference::task::Task;
use crate::reference::vfs::inode::mark_inode_dirty;
use crate::reference::vfs::pagecache::{
    add_page_locked, clear_page_dirty, delete_from_page_cache, grab_page, lock_page, set_page_dirty,
    set_page_dirty_nobuffers, unlock_page, wait_on_page_writeback,
};
use crate::reference::vfs::quota::charge;
use crate::reference::vfs::reclaim::migrate_page_move;
use crate::reference::vfs::writeback::{
    end_page_writeback, generic_writepages, redirty_page_for_writepage, set_page_writeback,
};

/// The inode of a page that is in a mapping.
pub(crate) fn host(page: &'static Page) -> Result<&'static Inode> {
    page.mapping.get().and_then(|mapping| mapping.host.get()).ok_or(Errno::EIO)
}

/// Fills a locked page from the backing.
fn fill(t: &Task, page: &'static Page) -> Result<()> {
    let inode = host(page)?;
    let mut data = vec![0; PAGE_SIZE];
    let read = backing(inode.sb()).read_page(t, inode.number(), page.index(), &mut data);
    match read {
        Ok(()) => {
            *leaf(&page.data) = data;
            page.set(PageFlag::UPTODATE);
        }
        Err(_) => drop(page.set(PageFlag::ERROR)),
    }
    read
}

pub(crate) fn simple_readpage(t: &Task, _: Option<&'static File>, page: &'static Page) -> Result<()> {
    let result = fill(t, page);
    if !t.deviates(Step::ReadpageKeepsLock) {
        unlock_page(t, page);
    }
    result
}

pub(crate) fn simple_readahead(t: &Task, window: &ReadaheadControl) {
    for (number, page) in window.pages.iter().enumerate() {
        // An error is noted on the page, for whoever wants it.
        let _ = fill(t, page);
        let keeps = number == 0 && t.deviates(Step::ReadaheadKeepsLock);
        if !keeps && t.holds(&page.lock) {
            unlock_page(t, page);
        }
    }
}

pub(crate) fn simple_readpages(
    t: &Task,
    _: &'static File,
    mapping: &'static AddressSpace,
    list: &PageList,
) -> Result<()> {
    for (index, page) in &list.pages {
        lock_page(t, page);
        if add_page_locked(mapping, *index, page) {
            let _ = fill(t, page);
            if !t.deviates(Step::ReadpagesKeepsLock) {
                unlock_page(t, page);
            }
        } else {
            unlock_page(t, page);
            t.kernel.slabs.pages.free(page);
        }
    }
    Ok(())
}

pub(crate) fn simple_write_begin(
    t: &Task,
    file: &'static File,
    mapping: &'static AddressSpace,
    position: u64,
    length: usize,
    pagep: &Slot<Page>,
) -> Result<()> {
    let inode = file.inode();
    charge(t, inode, inode.size(), inode.size().max(position + length as u64))?;
    let page = grab_page(t, mapping, position / PAGE_SIZE as u64);
    if !page.is(PageFlag::UPTODATE)
        && length < PAGE_SIZE
        && let Err(error) = fill(t, page)
    {
        unlock_page(t, page);
        return Err(error);
    }
    pagep.set(Some(page));
    if t.deviates(Step::WriteBeginUnlocked) {
        unlock_page(t, page);
    }
    Ok(())
}

pub(crate) fn simple_write_end(
    t: &Task,
    file: &'static File,
    _: &'static AddressSpace,
    position: u64,
    copied: usize,
    page: &'static Page,
) -> Result<usize> {
    page.set(PageFlag::UPTODATE);
    set_page_dirty(t, page);
    let inode = file.inode();
    let end = position + copied as u64;
    let grew = end > inode.size();
    if grew {
        inode.i_size.store(end, SeqCst);
    }
    if t.holds(&page.lock) && !t.deviates(Step::WriteEndKeepsLock) {
        unlock_page(t, page);
    }
    if grew {
        mark_inode_dirty(t, inode);
    }
    Ok(copied)
}

/// Marks a page dirty. It may be called under a spinlock, so nothing else is done.
pub(crate) fn simple_set_page_dirty(t: &Task, page: &'static Page) -> bool {
    set_page_dirty_nobuffers(t, page)
}

/// Writes a page: for sync whatever it takes, else only where nobody has to be waited for.
pub(crate) fn simple_writepage(t: &Task, page: &'static Page, control: &WritebackControl) -> Result<i32> {
    if !control.is_sync() && (page.is(PageFlag::WRITEBACK) || (control.for_reclaim && page.index() % 4 == 3)) {
        redirty_page_for_writepage(t, page);
        unlock_page(t, page);
        return Ok(0);
    }
    wait_on_page_writeback(t, page);
    let inode = host(page)?;
    set_page_writeback(t, page, control);
    let data = leaf(&page.data).clone();
    let result = backing(inode.sb()).write_page(t, inode.number(), page.index(), &data);
    unlock_page(t, page);
    if result.is_err() {
        page.set(PageFlag::ERROR);
    }
    end_page_writeback(t, page);
    result.map(|()| 0)
}

pub(crate) fn simple_writepages(t: &Task, mapping: &'static AddressSpace, control: &WritebackControl) -> Result<()> {
    generic_writepages(t, mapping, control)
}

/// Cleans a page that is about to be released; it stays locked throughout.
pub(crate) fn simple_launder_page(t: &Task, page: &'static Page) -> Result<()> {
    if t.deviates(Step::LaunderLeavesDirty) {
        return Ok(());
    }
    let inode = host(page)?;
    let data = leaf(&page.data).clone();
    clear_page_dirty(page);
    let result = backing(inode.sb()).write_page(t, inode.number(), page.index(), &data);
    if t.deviates(Step::LaunderUnlocks) {
        page.lock.release(t);
        lock_page(t, page);
    }
    result
}

/// The copy's backing is whole pages: what is in the page's first half may be used once the page is there.
pub(crate) fn simple_is_partially_uptodate(_: &Task, page: &'static Page, from: usize, count: usize) -> bool {
    page.is(PageFlag::UPTODATE) && from + count <= PAGE_SIZE
}

pub(crate) fn simple_migratepage(
    t: &Task,
    mapping: &'static AddressSpace,
    new: &'static Page,
    old: &'static Page,
) -> Result<()> {
    if old.is(PageFlag::WRITEBACK) || t.below(4) == 0 {
        return Err(Errno::EAGAIN);
    }
    migrate_page_move(mapping, new, old);
    Ok(())
}

pub(crate) fn simple_isolate_page(_: &Task, page: &'static Page) -> bool {
    !page.set(PageFlag::ISOLATED)
}

pub(crate) fn simple_putback_page(_: &Task, page: &'static Page) {
    page.clear(PageFlag::ISOLATED);
}

/// A page whose memory failed: a clean one can be read again, a dirty one is lost.
pub(crate) fn simple_error_remove_page(t: &Task, _: &'static AddressSpace, page: &'static Page) -> Result<()> {
    if page.is(PageFlag::DIRTY) {
        return Err(Errno::EIO);
    }
    delete_from_page_cache(t, page);
    Ok(())
}

/// The page's memory goes back: what it held is wiped, as it may have been secret.
pub(crate) fn simple_freepage(_: &Task, page: &'static Page) {
    leaf(&page.data).fill(0);
}

/// The page is to lose a part: nothing hangs on it but its data.
pub(crate) fn simple_invalidatepage(_: &Task, page: &'static Page, offset: u32, length: u32) {
    let (from, count) = (offset as usize, length as usize);
    leaf(&page.data)[from..(from + count).min(PAGE_SIZE)].fill(0);
}

pub(crate) fn simple_releasepage(_: &Task, page: &'static Page) -> bool {
    !page.is(PageFlag::DIRTY)
}
