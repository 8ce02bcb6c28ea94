//! Mapped files: areas, page faults, and access from outside.

use std::sync::atomic::Ordering::SeqCst;

use super::open::{fput, get_file};
use super::pagecache::{ATTEMPTS_MAX, lock_page, pin, set_page_dirty, unlock_page};
use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::fault_flags::FAULT_FLAG_WRITE;
use crate::reference::object::vm_fault::{VM_FAULT_ERROR, VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_SIGBUS};
use crate::reference::object::vm_flags::{VM_IO, VM_PFNMAP, VM_SHARED, VM_WRITE};
use crate::reference::object::{Entry, Errno, File, FileMode, Mm, PAGE_SIZE, Page, Result, Slot, VmFault, Vma, leaf};
use crate::reference::observe::Function;
use crate::reference::task::{Task, invoke};

/// Where the first area of an address space begins.
const MMAP_BASE: u64 = 0x10_0000;
/// Entries that fault-around looks at on each side.
const FAULT_AROUND_PAGES: u64 = 2;

/// An address space of the task's own.
pub(crate) fn mm_of(t: &Task) -> &'static Mm {
    if let Some(mm) = t.mm.get() {
        return mm;
    }
    let mm = t.kernel.slabs.mms.allocate();
    t.mm.set(Some(mm));
    mm
}

/// Maps a file; gives the address.
pub(crate) fn do_mmap(t: &Task, file: &'static File, length: u64, offset: u64, write: bool) -> Result<u64> {
    let _frame = t.frame("do_mmap");
    let callback = file.ops().mmap.ok_or(Errno::ENODEV)?;
    let mm = mm_of(t);
    mm.mmap_lock.acquire(t, Mode::Exclusive);
    let result = mmap_region(t, mm, file, (length, offset), write, |area| invoke!(t, Mmap, callback, file, area));
    mm.mmap_lock.release(t);
    result
}

fn mmap_region(
    t: &Task,
    mm: &'static Mm,
    file: &'static File,
    (length, offset): (u64, u64),
    write: bool,
    mmap: impl FnOnce(&'static Vma) -> Result<()>,
) -> Result<u64> {
    let _frame = t.frame("mmap_region");
    if let Some(callback) = file.ops().mmap_capabilities {
        let capabilities = invoke!(t, MmapCapabilities, callback, file);
        if capabilities == 0 {
            return Err(Errno::ENODEV);
        }
    }
    let end = leaf(&mm.areas).iter().map(|area| area.vm_end.load(SeqCst)).max().unwrap_or(MMAP_BASE);
    let wanted = end + PAGE_SIZE as u64;
    let start = match file.ops().get_unmapped_area {
        Some(callback) => invoke!(t, GetUnmappedArea, callback, file, wanted, length)?,
        None => wanted,
    };
    let area = t.kernel.slabs.vmas.allocate();
    area.vm_mm.set(Some(mm));
    area.vm_file.set(Some(get_file(file)));
    area.vm_start.store(start, SeqCst);
    area.vm_end.store(start + length, SeqCst);
    area.vm_pgoff.store(offset / PAGE_SIZE as u64, SeqCst);
    let write = write && file.may(FileMode::WRITE);
    area.vm_flags.store(VM_SHARED | if write { VM_WRITE } else { 0 }, SeqCst);
    if let Err(error) = mmap(area) {
        fput(t, file);
        t.kernel.slabs.vmas.free(area);
        return Err(error);
    }
    leaf(&file.mapping().areas).push(area);
    leaf(&mm.areas).push(area);
    Ok(start)
}

/// Unmaps the area at an address.
pub(crate) fn do_munmap(t: &Task, address: u64) -> Result<()> {
    let _frame = t.frame("do_munmap");
    let mm = mm_of(t);
    mm.mmap_lock.acquire(t, Mode::Exclusive);
    let area = find_vma(mm, address);
    if let Some(area) = area {
        leaf(&mm.areas).retain(|other| !std::ptr::eq(*other, area));
        mm.page_table_lock.lock(t);
        leaf(&mm.entries).retain(|at, _| !area.contains(*at));
        mm.page_table_lock.release(t);
        t.downgrade(&mm.mmap_lock);
        remove_vma(t, area);
    }
    mm.mmap_lock.release(t);
    area.map(|_| ()).ok_or(Errno::EINVAL)
}

fn remove_vma(t: &Task, area: &'static Vma) {
    let _frame = t.frame("remove_vma");
    if let Some(callback) = area.ops().close {
        invoke!(t, VmClose, callback, area);
    }
    let file = area.file();
    leaf(&file.mapping().areas).retain(|other| !std::ptr::eq(*other, area));
    fput(t, file);
    t.kernel.slabs.vmas.free(area);
}

/// Ends an address space.
pub(crate) fn exit_mmap(t: &Task) {
    let _frame = t.frame("exit_mmap");
    let Some(mm) = t.mm.take() else { return };
    mm.mmap_lock.acquire(t, Mode::Exclusive);
    let areas = std::mem::take(&mut *leaf(&mm.areas));
    leaf(&mm.entries).clear();
    for area in areas {
        remove_vma(t, area);
    }
    mm.mm_users.fetch_sub(1, SeqCst);
    mm.mmap_lock.release(t);
    t.kernel.slabs.mms.free(mm);
}

/// `fork(2)`: a copy of the address space, which is then the task's; gives the old one.
pub(crate) fn dup_mmap(t: &Task) -> Result<&'static Mm> {
    let _frame = t.frame("dup_mmap");
    let (old, new) = (mm_of(t), t.kernel.slabs.mms.allocate());
    old.mmap_lock.acquire(t, Mode::Exclusive);
    new.mmap_lock.acquire_nested(t, Mode::Exclusive, crate::reference::lock::Nest::Child);
    let areas = leaf(&old.areas).clone();
    for area in areas {
        let copy = t.kernel.slabs.vmas.allocate();
        copy.vm_mm.set(Some(new));
        copy.vm_file.set(Some(get_file(area.file())));
        copy.vm_ops.set(area.vm_ops.get());
        for (to, from) in
            [(&copy.vm_start, &area.vm_start), (&copy.vm_end, &area.vm_end), (&copy.vm_pgoff, &area.vm_pgoff)]
        {
            to.store(from.load(SeqCst), SeqCst);
        }
        copy.vm_flags.store(area.vm_flags.load(SeqCst), SeqCst);
        if let Some(callback) = copy.ops().open {
            invoke!(t, VmOpen, callback, copy);
        }
        leaf(&copy.file().mapping().areas).push(copy);
        leaf(&new.areas).push(copy);
    }
    new.mmap_lock.release(t);
    old.mmap_lock.release(t);
    t.mm.set(Some(new));
    Ok(old)
}

fn find_vma(mm: &'static Mm, address: u64) -> Option<&'static Vma> {
    leaf(&mm.areas).iter().copied().find(|area| area.contains(address))
}

/// Reads or writes memory as a program does, faulting pages in; gives the byte that was there.
pub(crate) fn touch(t: &Task, address: u64, write: Option<u8>) -> Result<u8> {
    let mm = mm_of(t);
    for _ in 0..ATTEMPTS_MAX {
        if let Some(byte) = through_entry(t, mm, address, write) {
            return Ok(byte);
        }
        mm.mmap_lock.read(t);
        let result = find_vma(mm, address)
            .ok_or(Errno::EFAULT)
            .and_then(|area| handle_mm_fault(t, area, address, if write.is_some() { FAULT_FLAG_WRITE } else { 0 }));
        mm.mmap_lock.release(t);
        result?;
        if is_device_memory(mm, address) {
            return Ok(0);
        }
    }
    Err(Errno::EFAULT)
}

fn is_device_memory(mm: &'static Mm, address: u64) -> bool {
    find_vma(mm, address).is_some_and(|area| area.vm_flags.load(SeqCst) & VM_PFNMAP != 0)
}

/// What the processor does: through the page table, if the entry allows it.
fn through_entry(t: &Task, mm: &'static Mm, address: u64, write: Option<u8>) -> Option<u8> {
    let base = address / PAGE_SIZE as u64 * PAGE_SIZE as u64;
    mm.page_table_lock.lock(t);
    let entry = leaf(&mm.entries).get(&base).copied();
    let result = entry.filter(|entry| entry.writable || write.is_none()).and_then(|entry| {
        let page = entry.page?;
        let mut data = leaf(&page.data);
        let byte = &mut data[(address - base) as usize];
        let was = *byte;
        *byte = write.unwrap_or(was);
        Some(was)
    });
    if let (Some(_), Some(_), Some(page)) = (result, write, entry.and_then(|entry| entry.page)) {
        set_page_dirty(t, page);
    }
    mm.page_table_lock.release(t);
    result
}

/// Handles a fault; the caller holds `mmap_lock`.
fn handle_mm_fault(t: &Task, area: &'static Vma, address: u64, flags: u32) -> Result<()> {
    let _frame = t.frame("handle_mm_fault");
    let base = address / PAGE_SIZE as u64 * PAGE_SIZE as u64;
    let within = (base - area.vm_start.load(SeqCst)) / PAGE_SIZE as u64;
    let pgoff = area.vm_pgoff.load(SeqCst) + within;
    let fault = VmFault { vma: area, address: base, pgoff, flags, page: Slot::default() };
    let entry = leaf(&area.mm().entries).get(&base).copied();
    let write = flags & FAULT_FLAG_WRITE != 0;
    if write && area.vm_flags.load(SeqCst) & VM_WRITE == 0 {
        return Err(Errno::EFAULT);
    }
    let result = match entry {
        Some(Entry { page: Some(page), writable: false }) if write => do_wp_page(t, &fault, page),
        Some(Entry { page: None, .. }) if write => wp_pfn_shared(t, &fault),
        Some(_) => 0,
        None if write => do_shared_fault(t, &fault),
        None => do_read_fault(t, &fault),
    };
    if result & VM_FAULT_ERROR == 0 { Ok(()) } else { Err(Errno::EFAULT) }
}

fn do_read_fault(t: &Task, fault: &VmFault) -> u32 {
    let _frame = t.frame("do_read_fault");
    if let Some(callback) = fault.vma.ops().map_pages {
        let (start, end) = (fault.pgoff.saturating_sub(FAULT_AROUND_PAGES), fault.pgoff + FAULT_AROUND_PAGES + 1);
        if invoke!(t, MapPages, callback, fault, start, end) & VM_FAULT_NOPAGE != 0 {
            return 0;
        }
    }
    let result = call_fault(t, fault);
    let Some(page) = fault.page.get().filter(|_| result & VM_FAULT_LOCKED != 0) else { return result };
    do_set_pte(t, fault.vma, fault.address, page, false);
    finish_fault(t, page);
    result
}

fn do_shared_fault(t: &Task, fault: &VmFault) -> u32 {
    let _frame = t.frame("do_shared_fault");
    let result = call_fault(t, fault);
    let Some(page) = fault.page.get().filter(|_| result & VM_FAULT_LOCKED != 0) else { return result };
    let pinned = pin(t, page);
    finish_fault(t, page);
    make_writable(t, fault, pinned.page)
}

fn finish_fault(t: &Task, page: &'static Page) {
    if !t.deviates(Step::FaultPageStaysLocked) && t.holds(&page.lock) {
        unlock_page(t, page);
    }
}

fn call_fault(t: &Task, fault: &VmFault) -> u32 {
    let _frame = t.frame("__do_fault");
    let Some(callback) = fault.vma.ops().fault else { return VM_FAULT_SIGBUS };
    let relied = t.deviates(Step::FaultRelies);
    if relied {
        fault.vma.file().mapping().invalidate_lock.read(t);
    }
    let result = invoke!(t, Fault, callback, fault);
    if relied {
        fault.vma.file().mapping().invalidate_lock.release(t);
    }
    result
}

/// A page that is mapped read-only is written to.
fn do_wp_page(t: &Task, fault: &VmFault, page: &'static Page) -> u32 {
    let _frame = t.frame("wp_page_shared");
    make_writable(t, fault, page)
}

fn make_writable(t: &Task, fault: &VmFault, page: &'static Page) -> u32 {
    let pinned = pin(t, page);
    fault.page.set(Some(pinned.page));
    let mut locked = false;
    if let Some(callback) = fault.vma.ops().page_mkwrite {
        let result = invoke!(t, PageMkwrite, callback, fault);
        if result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE) != 0 {
            if result & VM_FAULT_LOCKED != 0 && t.holds(&page.lock) {
                unlock_page(t, page);
            }
            return result & VM_FAULT_ERROR;
        }
        locked = result & VM_FAULT_LOCKED != 0 && t.holds(&page.lock);
    }
    if !locked {
        lock_page(t, page);
    }
    if page.mapping.get().is_some() {
        do_set_pte(t, fault.vma, fault.address, page, true);
        set_page_dirty(t, page);
    }
    unlock_page(t, page);
    0
}

/// Memory without pages behind it is written to.
fn wp_pfn_shared(t: &Task, fault: &VmFault) -> u32 {
    let _frame = t.frame("wp_pfn_shared");
    if let Some(callback) = fault.vma.ops().pfn_mkwrite {
        let result = invoke!(t, PfnMkwrite, callback, fault);
        if result & (VM_FAULT_ERROR | VM_FAULT_NOPAGE) != 0 {
            return result & VM_FAULT_ERROR;
        }
    }
    let mm = fault.vma.mm();
    mm.page_table_lock.lock(t);
    leaf(&mm.entries).insert(fault.address, Entry { page: None, writable: true });
    mm.page_table_lock.release(t);
    0
}

/// Sets a page-table entry up.
pub(crate) fn do_set_pte(t: &Task, area: &'static Vma, address: u64, page: &'static Page, writable: bool) {
    t.called(Function::DoSetPte, page.address());
    let mm = area.mm();
    mm.page_table_lock.lock(t);
    set_entry(mm, address, page, writable);
    mm.page_table_lock.release(t);
}

pub(super) fn set_entry(mm: &'static Mm, address: u64, page: &'static Page, writable: bool) {
    leaf(&mm.entries).insert(address, Entry { page: Some(page), writable });
}

/// Reads or writes another task's memory, as a debugger does.
pub(crate) fn access_process_vm(
    t: &Task,
    mm: &'static Mm,
    address: u64,
    buffer: &mut [u8],
    write: bool,
) -> Result<usize> {
    let _frame = t.frame("__access_remote_vm");
    mm.mmap_lock.read(t);
    let area = find_vma(mm, address);
    let result = area.ok_or(Errno::EFAULT).and_then(|area| {
        let special = area.vm_flags.load(SeqCst) & (VM_IO | VM_PFNMAP) != 0;
        let callback = area.ops().access.filter(|_| special).ok_or(Errno::EFAULT)?;
        invoke!(t, VmAccess, callback, area, address, buffer, write)
    });
    mm.mmap_lock.release(t);
    result
}

/// Maps an area's device memory: entries without pages.
pub(crate) fn remap_pfn_range(t: &Task, area: &'static Vma) {
    let mm = area.mm();
    mm.page_table_lock.lock(t);
    let mut address = area.vm_start.load(SeqCst);
    while address < area.vm_end.load(SeqCst) {
        leaf(&mm.entries).insert(address, Entry { page: None, writable: false });
        address += PAGE_SIZE as u64;
    }
    mm.page_table_lock.release(t);
}
