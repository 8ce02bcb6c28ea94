//! What most file systems do at a fault: the page cache's pages, against truncation.

use std::sync::atomic::Ordering::SeqCst;

use super::memory::{do_set_pte, set_entry};
use super::mount::{WriteLevel, sb_end_write, sb_start_write};
use super::pagecache::{
    ATTEMPTS_MAX, belongs, find_page, find_pages, lock_page, read_page, read_pages, set_page_dirty, trylock_page,
    unlock_page, wait_on_page_locked, wait_on_page_writeback,
};
use crate::reference::mutant::Step;
use crate::reference::object::vm_fault::{VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_SIGBUS};
use crate::reference::object::{Errno, File, PAGE_SIZE, Page, PageFlag, Result, VmFault, leaf};
use crate::reference::observe::Function;
use crate::reference::task::Task;

/// The usual `fault`: the page from the cache, brought in under `invalidate_lock` if need be, locked.
pub(crate) fn filemap_fault(t: &Task, fault: &VmFault) -> u32 {
    let _frame = t.frame("filemap_fault");
    t.called(Function::FilemapFault, 0);
    let file = fault.vma.file();
    let mapping = file.mapping();
    for _ in 0..ATTEMPTS_MAX {
        if fault.pgoff * PAGE_SIZE as u64 >= file.inode().size() {
            return VM_FAULT_SIGBUS;
        }
        let cached = find_page(t, mapping, fault.pgoff).filter(|pinned| pinned.page.is(PageFlag::UPTODATE));
        let page = match cached {
            Some(pinned) => {
                lock_page(t, pinned.page);
                pinned.page
            }
            None => match bring_in(t, file, fault.pgoff) {
                Ok(page) => page,
                Err(_) => return VM_FAULT_SIGBUS,
            },
        };
        if belongs(page, mapping, fault.pgoff) && page.is(PageFlag::UPTODATE) {
            if fault.pgoff * PAGE_SIZE as u64 >= file.inode().size() {
                unlock_page(t, page);
                return VM_FAULT_SIGBUS;
            }
            fault.page.set(Some(page));
            if t.deviates(Step::FaultUnlocks) {
                unlock_page(t, page);
            }
            if t.deviates(Step::FaultTruncated) {
                page.mapping.set(None);
            }
            return VM_FAULT_LOCKED;
        }
        unlock_page(t, page);
    }
    VM_FAULT_SIGBUS
}

/// Brings a page in with `invalidate_lock` held shared; locked.
fn bring_in(t: &Task, file: &'static File, index: u64) -> Result<&'static Page> {
    let mapping = file.mapping();
    let relied = t.deviates(Step::FaultRelies) && t.holds(&mapping.invalidate_lock);
    if !relied {
        mapping.invalidate_lock.read(t);
    }
    let mut result = Ok(());
    if mapping.page(index).is_none() {
        result = read_pages(t, file, mapping, index);
    }
    if result.is_ok()
        && let Some(pinned) = find_page(t, mapping, index)
    {
        let page = pinned.page;
        wait_on_page_locked(t, page);
        if !page.is(PageFlag::UPTODATE) {
            lock_page(t, page);
            let stale = belongs(page, mapping, index) && !page.is(PageFlag::UPTODATE);
            result = if stale {
                read_page(t, Some(file), page)
            } else {
                unlock_page(t, page);
                Ok(())
            };
            wait_on_page_locked(t, page);
        }
    }
    let page = find_page(t, mapping, index).map(|pinned| pinned.page).inspect(|page| lock_page(t, page));
    if !relied {
        mapping.invalidate_lock.release(t);
    }
    result?;
    let page = page.ok_or(Errno::EIO)?;
    if page.is(PageFlag::ERROR) {
        unlock_page(t, page);
        return Err(Errno::EIO);
    }
    Ok(page)
}

/// The usual `map_pages`: whatever is up to date around the fault and can be locked at once.
pub(crate) fn filemap_map_pages(t: &Task, fault: &VmFault, start: u64, end: u64) -> u32 {
    let _frame = t.frame("filemap_map_pages");
    let area = fault.vma;
    let mapping = area.file().mapping();
    let (first, pgoff) = (area.vm_start.load(SeqCst), area.vm_pgoff.load(SeqCst));
    let mut mapped = 0;
    for pinned in find_pages(t, mapping, start.max(pgoff), end) {
        let page = pinned.page;
        let index = page.index();
        let address = first + index.saturating_sub(pgoff) * PAGE_SIZE as u64;
        if !page.is(PageFlag::UPTODATE) || !area.contains(address) || !trylock_page(t, page) {
            continue;
        }
        let here = belongs(page, mapping, index) && !leaf(&area.mm().entries).contains_key(&address);
        if here {
            if t.deviates(Step::MapPagesByHand) {
                set_entry(area.mm(), address, page, false);
            } else {
                do_set_pte(t, area, address, page, false);
            }
            if index == fault.pgoff {
                mapped = VM_FAULT_NOPAGE;
            }
        }
        unlock_page(t, page);
    }
    mapped
}

/// The usual `page_mkwrite`: the page locked, unless it was truncated meanwhile.
pub(crate) fn filemap_page_mkwrite(t: &Task, fault: &VmFault) -> u32 {
    let _frame = t.frame("filemap_page_mkwrite");
    let (file, Some(page)) = (fault.vma.file(), fault.page.get()) else { return VM_FAULT_SIGBUS };
    let sb = file.inode().sb();
    sb_start_write(t, sb, WriteLevel::PageFault);
    lock_page(t, page);
    let result = if belongs(page, file.mapping(), fault.pgoff) {
        set_page_dirty(t, page);
        wait_on_page_writeback(t, page);
        VM_FAULT_LOCKED
    } else if t.deviates(Step::MkwriteTruncatedLocked) {
        VM_FAULT_NOPAGE | VM_FAULT_LOCKED
    } else {
        unlock_page(t, page);
        if t.deviates(Step::MkwriteIgnoresTruncation) { 0 } else { VM_FAULT_NOPAGE }
    };
    if result == VM_FAULT_LOCKED && t.deviates(Step::MkwriteUnlocks) {
        unlock_page(t, page);
    }
    sb_end_write(t, sb, WriteLevel::PageFault);
    result
}
