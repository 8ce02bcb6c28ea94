//! Pages that must go or move: for direct I/O, for want of memory, for compaction, because their memory has failed.

use std::sync::atomic::Ordering::SeqCst;

use super::pagecache::{
    belongs, delete_from_page_cache, find_lock_page, find_pages, lock_page, ops, put_page, try_to_release_page,
    trylock_page, unlock_page, unmap_page, wait_on_page_writeback,
};
use crate::reference::lock::{Mode, Nest};
use crate::reference::object::{AddressSpace, Errno, PAGE_SIZE, Page, PageFlag, Result, leaf};
use crate::reference::task::{Task, invoke};

/// Removes the pages of a range that are clean, or can be made so: for direct I/O.
pub(crate) fn invalidate_inode_pages2_range(
    t: &Task,
    mapping: &'static AddressSpace,
    from: u64,
    to: u64,
) -> Result<()> {
    let _frame = t.frame("invalidate_inode_pages2_range");
    let page_size = PAGE_SIZE as u64;
    for pinned in find_pages(t, mapping, from / page_size, to.div_ceil(page_size)) {
        let page = pinned.page;
        let index = page.index();
        lock_page(t, page);
        if !belongs(page, mapping, index) {
            unlock_page(t, page);
            continue;
        }
        wait_on_page_writeback(t, page);
        unmap_page(t, page);
        let result = launder_page(t, page);
        let gone = result.is_ok() && !page.is(PageFlag::DIRTY) && try_to_release_page(t, page);
        if gone {
            delete_from_page_cache(t, page);
        }
        unlock_page(t, page);
        if gone {
            put_page(t, page);
        }
        result?;
    }
    Ok(())
}

fn launder_page(t: &Task, page: &'static Page) -> Result<()> {
    let callback = page.mapping.get().and_then(|mapping| ops(mapping).launder_page);
    match callback {
        Some(callback) if page.is(PageFlag::DIRTY) => invoke!(t, LaunderPage, callback, page),
        _ => Ok(()),
    }
}

/// Frees pages of a mapping that are idle; dirty ones are written first.
pub(crate) fn shrink_page_list(t: &Task, mapping: &'static AddressSpace) -> usize {
    let _frame = t.frame("shrink_page_list");
    let mut freed = 0;
    for pinned in find_pages(t, mapping, 0, u64::MAX) {
        let page = pinned.page;
        let index = page.index();
        if !trylock_page(t, page) {
            continue;
        }
        if !belongs(page, mapping, index) || (page.is(PageFlag::DIRTY) && !super::writeback::pageout(t, page)) {
            if t.holds(&page.lock) {
                unlock_page(t, page);
            }
            continue;
        }
        if !t.holds(&page.lock) {
            continue;
        }
        let idle = !page.is(PageFlag::DIRTY) && !page.is(PageFlag::WRITEBACK) && !is_mapped(mapping, page);
        let gone = idle && try_to_release_page(t, page);
        if gone {
            delete_from_page_cache(t, page);
        }
        unlock_page(t, page);
        if gone {
            put_page(t, page);
            freed += 1;
        }
    }
    freed
}

fn is_mapped(mapping: &'static AddressSpace, page: &'static Page) -> bool {
    let areas = leaf(&mapping.areas).clone();
    areas
        .iter()
        .filter_map(|area| area.vm_mm.get())
        .any(|mm| leaf(&mm.entries).values().any(|entry| entry.page.is_some_and(|mapped| std::ptr::eq(mapped, page))))
}

/// Moves the pages of a mapping to other memory.
pub(crate) fn migrate_pages(t: &Task, mapping: &'static AddressSpace) -> usize {
    let _frame = t.frame("unmap_and_move");
    let ops = ops(mapping);
    let Some(migrate) = ops.migratepage else { return 0 };
    let mut moved = 0;
    for pinned in find_pages(t, mapping, 0, u64::MAX) {
        let old = pinned.page;
        let index = old.index();
        lock_page(t, old);
        if !belongs(old, mapping, index) {
            unlock_page(t, old);
            continue;
        }
        wait_on_page_writeback(t, old);
        unmap_page(t, old);
        let isolated = ops.isolate_page.is_none_or(|callback| invoke!(t, IsolatePage, callback, old));
        let mut done = false;
        if isolated {
            let new = t.kernel.slabs.pages.allocate();
            new.pins.fetch_add(1, SeqCst);
            new.lock.acquire_nested(t, Mode::Exclusive, Nest::Child);
            done = invoke!(t, Migratepage, migrate, mapping, new, old).is_ok();
            unlock_page(t, new);
            if !done {
                t.kernel.slabs.pages.free(new);
            }
            if let Some(callback) = ops.putback_page
                && !done
            {
                invoke!(t, PutbackPage, callback, old);
            }
        }
        unlock_page(t, old);
        if done {
            put_page(t, old);
            moved += 1;
        }
    }
    moved
}

/// What most do to migrate a page: the new one takes the old one's place, with its data and state.
pub(crate) fn migrate_page_move(mapping: &'static AddressSpace, new: &'static Page, old: &'static Page) {
    leaf(&new.data).clone_from_slice(&leaf(&old.data));
    new.flags.store(old.flags.load(SeqCst) & !(1 << PageFlag::ISOLATED), SeqCst);
    new.private.set(old.private.get());
    let mut pages = leaf(&mapping.pages);
    new.mapping.set(Some(mapping));
    new.index.store(old.index(), SeqCst);
    pages.insert(old.index(), new);
    drop(pages);
    old.private.set(None);
    old.flags.store(0, SeqCst);
    old.mapping.set(None);
}

/// A page's memory has failed: the file must do without it.
pub(crate) fn memory_failure(t: &Task, mapping: &'static AddressSpace, index: u64) -> Result<()> {
    let _frame = t.frame("memory_failure");
    let Some(page) = find_lock_page(t, mapping, index) else { return Err(Errno::ENOENT) };
    wait_on_page_writeback(t, page);
    unmap_page(t, page);
    let result = match ops(mapping).error_remove_page {
        Some(callback) => invoke!(t, ErrorRemovePage, callback, mapping, page),
        None => Err(Errno::EOPNOTSUPP),
    };
    let gone = page.mapping.get().is_none();
    unlock_page(t, page);
    if gone {
        put_page(t, page);
    }
    result
}
