//! File callbacks.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::mutant::Step;
use crate::reference::object::WritebackControl;
use crate::reference::object::open_flags::{FASYNC, O_APPEND};
use crate::reference::object::{Errno, File, FileLock, Inode, Kiocb, PAGE_SIZE, Page, Result, VmFault, Vma, leaf};
use crate::reference::task::Task;
use crate::reference::vfs::filelock::flock_lock_inode;
use crate::reference::vfs::filemap::{filemap_fault, filemap_map_pages, filemap_page_mkwrite};
use crate::reference::vfs::inode::write_inode;
use crate::reference::vfs::lease::generic_setlease;
use crate::reference::vfs::operations::{VmOperations, callback};
use crate::reference::vfs::pagecache::page_cache_readahead;
use crate::reference::vfs::reclaim::shrink_page_list;
use crate::reference::vfs::rw::{generic_file_read_iter, generic_file_write_iter};
use crate::reference::vfs::types::Pipe;
use crate::reference::vfs::writeback::filemap_write_and_wait;

pub(crate) fn simple_llseek(t: &Task, file: &'static File, offset: i64, whence: i32) -> Result<u64> {
    let inode = file.inode();
    let base = match whence {
        0 => 0,
        1 => file.f_pos.load(SeqCst),
        2 => {
            // The size and the position that follows from it belong together.
            inode.i_rwsem.read(t);
            let size = inode.size();
            inode.i_rwsem.release(t);
            size
        }
        _ => return Err(Errno::EINVAL),
    };
    let position = base.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
    file.f_pos.store(position, SeqCst);
    Ok(position)
}

pub(crate) fn simple_read_iter(t: &Task, kiocb: &Kiocb, buffer: &mut [u8]) -> Result<usize> {
    generic_file_read_iter(t, kiocb, buffer)
}

pub(crate) fn simple_write_iter(t: &Task, kiocb: &Kiocb, data: &[u8]) -> Result<usize> {
    generic_file_write_iter(t, kiocb, data)
}

pub(crate) fn simple_open(_: &Task, inode: &'static Inode, file: &'static File) -> Result<()> {
    leaf(&file.private_data).extend(inode.number().to_le_bytes());
    Ok(())
}

pub(crate) fn simple_release(_: &Task, _: &'static Inode, file: &'static File) -> Result<()> {
    leaf(&file.private_data).clear();
    Ok(())
}

/// What the descriptor has written is on its way when it closes.
pub(crate) fn simple_flush(_: &Task, file: &'static File) -> Result<()> {
    if file.f_inode.get().is_some() { Ok(()) } else { Err(Errno::EBADF) }
}

pub(crate) fn simple_fsync(t: &Task, file: &'static File, _: u64, _: u64, datasync: bool) -> Result<()> {
    let inode = file.inode();
    filemap_write_and_wait(t, file.mapping())?;
    if datasync { Ok(()) } else { write_inode(t, inode, &WritebackControl::new(true, i64::MAX)) }
}

/// Keeps the bit that says who wants signals.
pub(crate) fn simple_fasync(t: &Task, _: i32, file: &'static File, on: i32) -> Result<i32> {
    if !t.deviates(Step::FasyncForgetsFlag) {
        if on != 0 {
            file.f_flags.fetch_or(FASYNC, SeqCst);
        } else {
            file.f_flags.fetch_and(!FASYNC, SeqCst);
        }
    }
    Ok(1)
}

pub(crate) fn simple_flock(t: &Task, file: &'static File, _: i32, request: &'static FileLock) -> Result<()> {
    flock_lock_inode(t, file.inode(), request)
}

pub(crate) fn simple_setlease(
    t: &Task,
    file: &'static File,
    argument: i64,
    lease: Option<&'static FileLock>,
) -> Result<()> {
    if t.deviates(Step::SetleaseForgets) {
        return Ok(());
    }
    generic_setlease(t, file, argument, lease)
}

pub(crate) fn simple_poll(_: &Task, file: &'static File) -> u32 {
    let readable = file.f_pos.load(SeqCst) < file.inode().size();
    u32::from(readable) | 4
}

/// Commands of the simple file systems' files.
pub(crate) mod command {
    /// Gives the number of cached pages.
    pub(crate) const CACHED_PAGES: u32 = 1;
    /// Gives the size in pages.
    pub(crate) const SIZE_PAGES: u32 = 2;
}

pub(crate) fn simple_ioctl(_: &Task, file: &'static File, command: u32, _: u64) -> Result<u64> {
    match command {
        command::CACHED_PAGES => Ok(leaf(&file.mapping().pages).len() as u64),
        command::SIZE_PAGES => Ok(file.inode().size().div_ceil(PAGE_SIZE as u64)),
        _ => Err(Errno::ENOTTY),
    }
}

/// The same for 32-bit programs, whose numbers do not reach as far.
pub(crate) fn simple_compat_ioctl(t: &Task, file: &'static File, command: u32, argument: u64) -> Result<u64> {
    simple_ioctl(t, file, command, argument & 0xffff_ffff).map(|result| result & 0xffff_ffff)
}

pub(crate) const SIMPLE_VM_OPS: VmOperations = VmOperations {
    open: callback!(simple_vm_open),
    close: callback!(simple_vm_close),
    fault: callback!(simple_fault),
    map_pages: callback!(simple_map_pages),
    page_mkwrite: callback!(simple_page_mkwrite),
    ..VmOperations::NONE
};
static SIMPLE_VM: VmOperations = SIMPLE_VM_OPS;

pub(crate) fn simple_mmap(_: &Task, _: &'static File, area: &'static Vma) -> Result<()> {
    area.vm_ops.set(Some(&SIMPLE_VM));
    Ok(())
}

/// Another address space maps the file: it counts as one more user of its pages.
fn simple_vm_open(_: &Task, area: &'static Vma) {
    area.file().mapping().flags.fetch_add(1 << MAPPED_SHIFT, SeqCst);
}

fn simple_vm_close(_: &Task, area: &'static Vma) {
    let more = |flags: u32| (flags >> MAPPED_SHIFT > 0).then(|| flags - (1 << MAPPED_SHIFT));
    // An area that came by mmap was not counted.
    let _ = area.file().mapping().flags.fetch_update(SeqCst, SeqCst, more);
}

/// Above the mapping's flags: how many copies of areas there are.
const MAPPED_SHIFT: u32 = 16;

fn simple_fault(t: &Task, fault: &VmFault) -> u32 {
    filemap_fault(t, fault)
}

fn simple_map_pages(t: &Task, fault: &VmFault, start: u64, end: u64) -> u32 {
    filemap_map_pages(t, fault, start, end)
}

fn simple_page_mkwrite(t: &Task, fault: &VmFault) -> u32 {
    filemap_page_mkwrite(t, fault)
}

pub(crate) fn simple_get_unmapped_area(_: &Task, _: &'static File, address: u64, _: u64) -> Result<u64> {
    Ok(address.next_multiple_of(PAGE_SIZE as u64))
}

pub(crate) fn simple_mmap_capabilities(_: &Task, file: &'static File) -> u32 {
    u32::from(file.f_mapping.get().is_some())
}

/// Which flags an open file may be given.
pub(crate) fn simple_check_flags(_: &Task, flags: i32) -> Result<()> {
    if flags.cast_unsigned() & O_APPEND != 0 && flags < 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

pub(crate) fn simple_sendpage(
    t: &Task,
    file: &'static File,
    page: &'static Page,
    position: u64,
    length: usize,
) -> Result<usize> {
    let data = leaf(&page.data)[..length.min(PAGE_SIZE)].to_vec();
    let kiocb = Kiocb { ki_filp: file, ki_pos: position, ki_flags: 0 };
    generic_file_write_iter(t, &kiocb, &data)
}

pub(crate) fn simple_splice_read(
    t: &Task,
    file: &'static File,
    position: u64,
    pipe: &Pipe,
    length: usize,
) -> Result<usize> {
    let mut data = vec![0; length];
    let kiocb = Kiocb { ki_filp: file, ki_pos: position, ki_flags: 0 };
    let count = generic_file_read_iter(t, &kiocb, &mut data)?;
    leaf(&pipe.0).extend(&data[..count]);
    Ok(count)
}

pub(crate) fn simple_splice_write(
    t: &Task,
    pipe: &Pipe,
    file: &'static File,
    position: u64,
    length: usize,
) -> Result<usize> {
    let mut waiting = leaf(&pipe.0);
    let count = length.min(waiting.len());
    let data: Vec<u8> = waiting.drain(..count).collect();
    drop(waiting);
    let kiocb = Kiocb { ki_filp: file, ki_pos: position, ki_flags: 0 };
    generic_file_write_iter(t, &kiocb, &data)
}

pub(crate) fn simple_show_fdinfo(_: &Task, file: &'static File) -> String {
    format!("pos: {} ino: {}", file.f_pos.load(SeqCst), file.inode().number())
}

/// Advice: will need (3), do not need (4).
pub(crate) fn simple_fadvise(t: &Task, file: &'static File, offset: u64, _: u64, advice: i32) -> Result<()> {
    match advice {
        3 => page_cache_readahead(t, file, offset / PAGE_SIZE as u64),
        4 => {
            shrink_page_list(t, file.mapping());
            Ok(())
        }
        0..=5 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}
