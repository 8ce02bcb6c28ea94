//! The page cache: pages of a mapping, how they come in, and how they go.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::{
    AddressSpace, Errno, File, Inode, MappingFlag, PAGE_SIZE, Page, PageFlag, PageList, ReadaheadControl, Result, leaf,
};
use crate::reference::observe::Function;
use crate::reference::task::{Task, invoke};
use crate::reference::vfs::operations::AddressSpaceOperations;

/// Pages that one readahead brings in.
const READAHEAD_PAGES: u64 = 4;

/// A mapping's operations.
pub(crate) fn ops(mapping: &'static AddressSpace) -> &'static AddressSpaceOperations {
    mapping.a_ops.get().unwrap_or(&AddressSpaceOperations::NONE)
}

/// A page that does not go away while somebody looks at it.
pub(crate) struct Pinned<'t, 'k> {
    t: &'t Task<'k>,
    pub(crate) page: &'static Page,
}

impl Drop for Pinned<'_, '_> {
    fn drop(&mut self) {
        unpin(self.t, self.page);
    }
}

/// Keeps a page's memory.
pub(crate) fn pin<'t, 'k>(t: &'t Task<'k>, page: &'static Page) -> Pinned<'t, 'k> {
    page.pins.fetch_add(1, SeqCst);
    Pinned { t, page }
}

/// Lets it go; the last one frees a page that has left the cache.
fn unpin(t: &Task, page: &'static Page) {
    if page.pins.fetch_sub(1, SeqCst) == 1 && page.is_leaving.swap(false, SeqCst) {
        t.kernel.slabs.pages.free(page);
    }
}

/// The page at an index, if it is in the cache.
pub(crate) fn find_page<'t, 'k>(t: &'t Task<'k>, mapping: &'static AddressSpace, index: u64) -> Option<Pinned<'t, 'k>> {
    leaf(&mapping.pages).get(&index).map(|page| pin(t, page))
}

/// The pages of a range, in order.
pub(crate) fn find_pages<'t, 'k>(
    t: &'t Task<'k>,
    mapping: &'static AddressSpace,
    from: u64,
    to: u64,
) -> Vec<Pinned<'t, 'k>> {
    leaf(&mapping.pages).range(from..to).map(|(_, page)| pin(t, page)).collect()
}

/// Locks a page. Whoever waits for the lock or holds it has a pin.
#[track_caller]
pub(crate) fn lock_page(t: &Task, page: &'static Page) {
    page.pins.fetch_add(1, SeqCst);
    page.lock.lock(t);
}

/// Locks a page if that needs no waiting.
#[track_caller]
pub(crate) fn trylock_page(t: &Task, page: &'static Page) -> bool {
    let locked = page.lock.try_acquire(t, Mode::Exclusive);
    if locked {
        page.pins.fetch_add(1, SeqCst);
    }
    locked
}

/// Unlocks a page.
pub(crate) fn unlock_page(t: &Task, page: &'static Page) {
    t.called(Function::UnlockPage, page.address());
    page.lock.release(t);
    unpin(t, page);
}

/// Unlocks a page whose lock was handed over to the completion of its I/O.
pub(crate) fn unlock_page_at_completion(t: &Task, page: &'static Page) {
    t.called(Function::UnlockPage, page.address());
    t.release_handed(&page.lock);
    unpin(t, page);
}

/// The page at an index, locked, if it is in the cache.
pub(crate) fn find_lock_page(t: &Task, mapping: &'static AddressSpace, index: u64) -> Option<&'static Page> {
    let _frame = t.frame("find_lock_page");
    loop {
        let page = find_page(t, mapping, index)?.page;
        lock_page(t, page);
        if belongs(page, mapping, index) {
            return Some(page);
        }
        unlock_page(t, page);
    }
}

/// Whether a page is still where it was found.
pub(crate) fn belongs(page: &'static Page, mapping: &'static AddressSpace, index: u64) -> bool {
    page.mapping.get().is_some_and(|now| std::ptr::eq(now, mapping)) && page.index() == index
}

/// A new page at an index, locked; nothing when somebody else was faster.
pub(crate) fn add_to_page_cache(t: &Task, mapping: &'static AddressSpace, index: u64) -> Option<&'static Page> {
    let page = t.kernel.slabs.pages.allocate();
    lock_page(t, page);
    if add_page_locked(mapping, index, page) {
        return Some(page);
    }
    unlock_page(t, page);
    t.kernel.slabs.pages.free(page);
    None
}

/// Puts a locked page into a mapping; false when there is one already.
pub(crate) fn add_page_locked(mapping: &'static AddressSpace, index: u64, page: &'static Page) -> bool {
    let mut pages = leaf(&mapping.pages);
    if pages.contains_key(&index) {
        return false;
    }
    page.mapping.set(Some(mapping));
    page.index.store(index, SeqCst);
    pages.insert(index, page);
    true
}

/// The page at an index, locked, made if need be.
pub(crate) fn grab_page(t: &Task, mapping: &'static AddressSpace, index: u64) -> &'static Page {
    loop {
        if let Some(page) = find_lock_page(t, mapping, index) {
            return page;
        }
        if let Some(page) = add_to_page_cache(t, mapping, index) {
            return page;
        }
    }
}

/// Waits until a page is not locked.
pub(crate) fn wait_on_page_locked(t: &Task, page: &'static Page) {
    if page.lock.raw().is_held() {
        lock_page(t, page);
        page.lock.release(t);
        unpin(t, page);
    }
}

/// Brings the page at an index in, and some after it, with `invalidate_lock` held shared.
pub(crate) fn page_cache_readahead(t: &Task, file: &'static File, index: u64) -> Result<()> {
    let _frame = t.frame("page_cache_ra_unbounded");
    let mapping = file.mapping();
    mapping.invalidate_lock.read(t);
    let result = read_pages(t, file, mapping, index);
    mapping.invalidate_lock.release(t);
    result
}

/// The same for a caller that holds `invalidate_lock`.
pub(crate) fn read_pages(t: &Task, file: &'static File, mapping: &'static AddressSpace, index: u64) -> Result<()> {
    let _frame = t.frame("read_pages");
    let ops = ops(mapping);
    let last = mapping.host.get().map_or(0, |inode| inode.size().div_ceil(PAGE_SIZE as u64));
    let indices = index..(index + READAHEAD_PAGES).min(last.max(index + 1));
    if let Some(callback) = ops.readahead {
        let pages: Vec<_> = indices.filter_map(|index| add_to_page_cache(t, mapping, index)).collect();
        if pages.is_empty() {
            return Ok(());
        }
        let odd = t.deviates(Step::ReadaheadUnlocked).then(|| pages[0]);
        if let Some(page) = odd {
            page.lock.release(t);
        }
        let window = &ReadaheadControl { mapping, pages };
        invoke!(t, Readahead, callback, window);
        return Ok(());
    }
    if let Some(callback) = ops.readpages {
        let missing = indices.filter(|index| mapping.page(*index).is_none());
        let pages = missing.map(|index| (index, t.kernel.slabs.pages.allocate())).collect();
        let list = &PageList { pages };
        return invoke!(t, Readpages, callback, file, mapping, list);
    }
    match add_to_page_cache(t, mapping, index) {
        Some(page) => read_page(t, Some(file), page),
        None => Ok(()),
    }
}

/// Reads a locked page; it is unlocked when its I/O is complete. The caller holds `invalidate_lock`.
pub(crate) fn read_page(t: &Task, file: Option<&'static File>, page: &'static Page) -> Result<()> {
    let _frame = t.frame("filemap_read_page");
    let mapping = page.mapping.get().ok_or(Errno::EIO)?;
    let callback = ops(mapping).readpage.ok_or(Errno::EINVAL)?;
    page.clear(PageFlag::ERROR);
    invoke!(t, Readpage, callback, file, page)
}

/// A page that is up to date, not locked.
pub(crate) fn read_cache_page<'t, 'k>(t: &'t Task<'k>, file: &'static File, index: u64) -> Result<Pinned<'t, 'k>> {
    let _frame = t.frame("filemap_get_pages");
    let mapping = file.mapping();
    for _ in 0..ATTEMPTS_MAX {
        let Some(pinned) = find_page(t, mapping, index) else {
            page_cache_readahead(t, file, index)?;
            continue;
        };
        let page = pinned.page;
        wait_on_page_locked(t, page);
        if !belongs(page, mapping, index) {
            continue;
        }
        if page.is(PageFlag::UPTODATE) || update_page(t, file, page, index)? {
            return Ok(pinned);
        }
    }
    Err(Errno::EIO)
}

/// Attempts to bring a page in before that counts as an error.
pub(crate) const ATTEMPTS_MAX: u32 = 1000;

/// Brings a page that is in the cache, but not up to date, to it; true when what is there will do.
fn update_page(t: &Task, file: &'static File, page: &'static Page, index: u64) -> Result<bool> {
    let _frame = t.frame("filemap_update_page");
    let mapping = file.mapping();
    mapping.invalidate_lock.read(t);
    lock_page(t, page);
    let mut enough = page.is(PageFlag::UPTODATE);
    let mut result = Ok(());
    if !belongs(page, mapping, index) {
        unlock_page(t, page);
    } else if !enough && is_partially_uptodate(t, page, 0, PAGE_SIZE) {
        enough = true;
        unlock_page(t, page);
    } else if enough {
        unlock_page(t, page);
    } else {
        result = read_page(t, Some(file), page);
    }
    mapping.invalidate_lock.release(t);
    result?;
    wait_on_page_locked(t, page);
    if page.is(PageFlag::ERROR) {
        return Err(Errno::EIO);
    }
    Ok(enough)
}

fn is_partially_uptodate(t: &Task, page: &'static Page, from: usize, count: usize) -> bool {
    let callback = page.mapping.get().and_then(|mapping| ops(mapping).is_partially_uptodate);
    callback.is_some_and(|callback| invoke!(t, IsPartiallyUptodate, callback, page, from, count))
}

/// Marks a page dirty.
pub(crate) fn set_page_dirty(t: &Task, page: &'static Page) -> bool {
    let _frame = t.frame("set_page_dirty");
    let Some(mapping) = page.mapping.get() else { return false };
    match ops(mapping).set_page_dirty {
        Some(callback) => invoke!(t, SetPageDirty, callback, page),
        None => set_page_dirty_nobuffers(t, page),
    }
}

/// What most do to mark a page dirty. It does not sleep.
pub(crate) fn set_page_dirty_nobuffers(_: &Task, page: &'static Page) -> bool {
    let newly = !page.set(PageFlag::DIRTY);
    if newly && let Some(mapping) = page.mapping.get() {
        mapping.dirty_pages.fetch_add(1, SeqCst);
    }
    newly
}

/// Clears a page's dirty bit, because it is about to be written or to go.
pub(crate) fn clear_page_dirty(page: &'static Page) -> bool {
    let was = page.clear(PageFlag::DIRTY);
    if was && let Some(mapping) = page.mapping.get() {
        mapping.dirty_pages.fetch_sub(1, SeqCst);
    }
    was
}

/// Forgets what could not be written.
pub(crate) fn forget_dirty(mapping: &'static AddressSpace) {
    for page in mapping.range(0, u64::MAX) {
        clear_page_dirty(page);
    }
}

/// Waits until no I/O writes a page.
pub(crate) fn wait_on_page_writeback(t: &Task, page: &'static Page) {
    t.called(Function::WaitOnPageWriteback, page.address());
    if page.is(PageFlag::WRITEBACK) {
        t.wait(&page.wait, "writeback of a page", || !page.is(PageFlag::WRITEBACK));
    }
}

/// Takes a locked page out of its mapping and frees it.
pub(crate) fn delete_from_page_cache(t: &Task, page: &'static Page) {
    let _frame = t.frame("delete_from_page_cache");
    let Some(mapping) = page.mapping.get() else { return };
    let callback = ops(mapping).freepage;
    if t.deviates(Step::FreepageTooEarly)
        && let Some(callback) = callback
    {
        invoke!(t, Freepage, callback, page);
    }
    remove(mapping, page);
    if let Some(callback) = callback
        && !t.deviates(Step::FreepageTooEarly)
    {
        invoke!(t, Freepage, callback, page);
    }
}

fn remove(mapping: &'static AddressSpace, page: &'static Page) {
    clear_page_dirty(page);
    let mut pages = leaf(&mapping.pages);
    if pages.get(&page.index()).is_some_and(|now| std::ptr::eq(*now, page)) {
        pages.remove(&page.index());
    }
    drop(pages);
    page.mapping.set(None);
}

/// Drops the reference of the cache; the memory is free for the next page once no walk can look at it.
pub(crate) fn put_page(t: &Task, page: &'static Page) {
    t.kernel.rcu.call(Box::new(move |t| {
        page.is_leaving.store(true, SeqCst);
        if page.pins.load(SeqCst) == 0 && page.is_leaving.swap(false, SeqCst) {
            t.kernel.slabs.pages.free(page);
        }
    }));
}

/// Removes the pages of a range; the caller holds `invalidate_lock` exclusive, or the inode is being evicted.
pub(crate) fn truncate_inode_pages_range(t: &Task, mapping: &'static AddressSpace, from: u64, to: u64) {
    let _frame = t.frame("truncate_inode_pages_range");
    t.called(Function::TruncateInodePagesRange, mapping.address());
    let page_size = PAGE_SIZE as u64;
    let (first, last) = (from.div_ceil(page_size), if to == u64::MAX { u64::MAX } else { to / page_size });
    for pinned in find_pages(t, mapping, first, last.max(first)) {
        let page = pinned.page;
        let index = page.index();
        lock_page(t, page);
        if belongs(page, mapping, index) {
            wait_on_page_writeback(t, page);
            unmap_page(t, page);
            invalidate_page(t, page, 0, PAGE_SIZE);
            delete_from_page_cache(t, page);
            unlock_page(t, page);
            put_page(t, page);
        } else {
            unlock_page(t, page);
        }
    }
    for edge in [from, to] {
        if edge % page_size != 0 && edge != u64::MAX {
            zero_part(t, mapping, from, to, edge / page_size);
        }
    }
}

/// Zeroes the part of a range that lies within one page.
fn zero_part(t: &Task, mapping: &'static AddressSpace, from: u64, to: u64, index: u64) {
    let Some(page) = find_lock_page(t, mapping, index) else { return };
    wait_on_page_writeback(t, page);
    let base = index * PAGE_SIZE as u64;
    let within = |at: u64| at.saturating_sub(base).min(PAGE_SIZE as u64) as usize;
    leaf(&page.data)[within(from)..within(to)].fill(0);
    invalidate_page(t, page, within(from), within(to) - within(from));
    if page.is(PageFlag::UPTODATE) {
        set_page_dirty(t, page);
    }
    unlock_page(t, page);
}

/// Lets the file system drop what it knows of a part of a locked page.
fn invalidate_page(t: &Task, page: &'static Page, offset: usize, length: usize) {
    let _frame = t.frame("do_invalidatepage");
    let Some(mapping) = page.mapping.get() else { return };
    if let Some(callback) = ops(mapping).invalidatepage {
        let (offset, length) = (offset as u32, length as u32);
        invoke!(t, Invalidatepage, callback, page, offset, length);
    }
}

/// Removes all pages of an inode that is being evicted.
pub(crate) fn truncate_inode_pages_final(t: &Task, inode: &'static Inode) {
    let mapping = &inode.i_mapping;
    mapping.flags.fetch_or(1 << MappingFlag::AS_EXITING, SeqCst);
    truncate_inode_pages_range(t, mapping, 0, u64::MAX);
}

/// Removes the entries of all page tables that map a page.
pub(crate) fn unmap_page(t: &Task, page: &'static Page) {
    let Some(mapping) = page.mapping.get() else { return };
    let areas = leaf(&mapping.areas).clone();
    for area in areas {
        let Some(mm) = area.vm_mm.get() else { continue };
        mm.page_table_lock.lock(t);
        leaf(&mm.entries).retain(|_, entry| !entry.page.is_some_and(|mapped| std::ptr::eq(mapped, page)));
        mm.page_table_lock.release(t);
    }
}

/// Asks the file system to let go of what hangs on a locked page.
pub(crate) fn try_to_release_page(t: &Task, page: &'static Page) -> bool {
    let _frame = t.frame("try_to_release_page");
    if page.is(PageFlag::WRITEBACK) {
        return false;
    }
    let callback = page.mapping.get().and_then(|mapping| ops(mapping).releasepage);
    callback.is_none_or(|callback| invoke!(t, Releasepage, callback, page))
}
