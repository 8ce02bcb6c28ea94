//! Writing dirty pages and inodes.

use std::sync::atomic::Ordering::SeqCst;

use super::inode::{inode_numbers, listed, write_inode};
use super::pagecache::{belongs, clear_page_dirty, find_pages, lock_page, ops, set_page_dirty_nobuffers, unlock_page};
use crate::reference::mutant::Step;
use crate::reference::object::{AddressSpace, Errno, InodeState, Page, PageFlag, Result, SuperBlock, WritebackControl};
use crate::reference::observe::Function;
use crate::reference::task::{Task, invoke};

/// `AOP_WRITEPAGE_ACTIVATE`: keep the page, it comes back locked.
pub(crate) const AOP_WRITEPAGE_ACTIVATE: i32 = 0x8_0000;
/// Pages that background writeback writes of one file at a time.
const BACKGROUND_PAGES: i64 = 16;

/// Sets a page under writeback, and counts it.
pub(crate) fn set_page_writeback(t: &Task, page: &'static Page, control: &WritebackControl) {
    // What went wrong before is not what this write comes to.
    page.clear(PageFlag::ERROR);
    page.set(PageFlag::WRITEBACK);
    if !t.deviates(Step::DoesNotCountDown) {
        control.nr_to_write.fetch_sub(1, SeqCst);
    }
    t.called_for_page(Function::SetPageWriteback, page);
}

/// Ends writeback of a page.
pub(crate) fn end_page_writeback(t: &Task, page: &'static Page) {
    page.clear(PageFlag::WRITEBACK);
    page.writebacks_ended.fetch_add(1, SeqCst);
    t.called(Function::EndPageWriteback, page.address());
    if !t.deviates(Step::ForgetsWakeUp) {
        t.wake_all(&page.wait);
    }
}

/// Leaves a page that cannot be written now dirty.
pub(crate) fn redirty_page_for_writepage(t: &Task, page: &'static Page) {
    t.called(Function::RedirtyPage, page.address());
    set_page_dirty_nobuffers(t, page);
}

/// Writes a mapping's dirty pages.
pub(crate) fn do_writepages(t: &Task, mapping: &'static AddressSpace, control: &WritebackControl) -> Result<()> {
    let _frame = t.frame("do_writepages");
    match ops(mapping).writepages {
        Some(callback) => invoke!(t, Writepages, callback, mapping, control),
        None => generic_writepages(t, mapping, control),
    }
}

/// Writes them one by one through `writepage`.
pub(crate) fn generic_writepages(t: &Task, mapping: &'static AddressSpace, control: &WritebackControl) -> Result<()> {
    let _frame = t.frame("write_cache_pages");
    let Some(callback) = ops(mapping).writepage else { return Ok(()) };
    let mut result = Ok(());
    for pinned in find_pages(t, mapping, 0, u64::MAX) {
        let page = pinned.page;
        if !page.is(PageFlag::DIRTY) {
            continue;
        }
        if control.nr_to_write.load(SeqCst) <= 0 && !control.is_sync() {
            break;
        }
        let index = page.index();
        lock_page(t, page);
        if !belongs(page, mapping, index) || !clear_page_dirty(page) {
            unlock_page(t, page);
            continue;
        }
        super::pagecache::unmap_page(t, page);
        match invoke!(t, Writepage, callback, page, control) {
            Ok(AOP_WRITEPAGE_ACTIVATE) => unlock_page(t, page),
            Ok(_) => {}
            Err(error) => result = Err(error),
        }
    }
    result
}

/// Writes one locked page to free memory; true when it may be freed, and is still locked.
pub(crate) fn pageout(t: &Task, page: &'static Page) -> bool {
    let _frame = t.frame("pageout");
    let Some(callback) = page.mapping.get().and_then(|mapping| ops(mapping).writepage) else { return false };
    super::pagecache::unmap_page(t, page);
    if !clear_page_dirty(page) {
        return false;
    }
    let control = &WritebackControl { for_reclaim: true, ..WritebackControl::new(false, 1) };
    // Whatever comes of it, the page is looked at again another time.
    let _ = invoke!(t, Writepage, callback, page, control);
    false
}

/// Waits for the pages of a mapping that are being written.
pub(crate) fn filemap_fdatawait(t: &Task, mapping: &'static AddressSpace) -> Result<()> {
    let _frame = t.frame("filemap_fdatawait_range");
    let mut result = Ok(());
    for pinned in find_pages(t, mapping, 0, u64::MAX) {
        let page = pinned.page;
        if page.is(PageFlag::WRITEBACK) {
            super::pagecache::wait_on_page_writeback(t, page);
        }
        if page.is(PageFlag::ERROR) {
            result = Err(Errno::EIO);
        }
    }
    result
}

/// Writes a mapping and waits for it.
pub(crate) fn filemap_write_and_wait(t: &Task, mapping: &'static AddressSpace) -> Result<()> {
    let control = WritebackControl::new(true, i64::MAX);
    do_writepages(t, mapping, &control)?;
    filemap_fdatawait(t, mapping)
}

/// Writes what is dirty of a superblock: a flusher's round, or a sync's.
pub(crate) fn writeback_sb_inodes(t: &Task, sb: &'static SuperBlock, sync: bool) -> Result<()> {
    let _frame = t.frame("writeback_sb_inodes");
    let mut result = Ok(());
    for number in inode_numbers(sb) {
        t.rcu_read_lock();
        let Some(inode) = listed(sb, number) else {
            t.rcu_read_unlock();
            continue;
        };
        inode.i_lock.lock(t);
        let state = inode.i_state.load(SeqCst);
        let live = state & (InodeState::FREEING | InodeState::NEW) == 0;
        let dirty = state & InodeState::DIRTY != 0 || inode.i_mapping.dirty_pages.load(SeqCst) > 0;
        let wanted = live && (dirty || sync);
        if wanted {
            inode.i_count.fetch_add(1, SeqCst);
        }
        inode.i_lock.release(t);
        t.rcu_read_unlock();
        if !wanted {
            continue;
        }
        let control = WritebackControl::new(sync, if sync { i64::MAX } else { BACKGROUND_PAGES });
        let mut written = do_writepages(t, &inode.i_mapping, &control);
        if sync {
            written = written.and_then(|()| filemap_fdatawait(t, &inode.i_mapping));
        }
        result = result.and(written).and(write_inode(t, inode, &control));
        super::inode::iput(t, inode);
    }
    result
}
