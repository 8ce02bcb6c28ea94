//! Reading, writing and everything else that is done to an open file.

use std::sync::atomic::Ordering::SeqCst;

use super::mount::{WriteLevel, sb_end_write, sb_start_write};
use super::pagecache::{Pinned, lock_page, ops, read_cache_page};
use super::reclaim::invalidate_inode_pages2_range;
use super::types::Pipe;
use super::writeback::filemap_write_and_wait;
use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::open_flags::{O_APPEND, O_DIRECT};
use crate::reference::object::{Errno, File, FileMode, Kiocb, PAGE_SIZE, Page, Result, Slot, leaf};
use crate::reference::task::{Task, invoke};

/// Reads at a position, by whichever of the two ops the file has.
pub(crate) fn vfs_read(t: &Task, file: &'static File, buffer: &mut [u8], position: u64) -> Result<usize> {
    let _frame = t.frame("vfs_read");
    if !file.may(FileMode::READ) {
        return Err(Errno::EBADF);
    }
    if let Some(callback) = file.ops().read {
        return invoke!(t, Read, callback, file, buffer, position);
    }
    let callback = file.ops().read_iter.ok_or(Errno::EINVAL)?;
    let kiocb = &Kiocb { ki_filp: file, ki_pos: position, ki_flags: file.f_flags.load(SeqCst) };
    invoke!(t, ReadIter, callback, kiocb, buffer)
}

/// Writes at a position.
pub(crate) fn vfs_write(t: &Task, file: &'static File, data: &[u8], position: u64) -> Result<usize> {
    let _frame = t.frame("vfs_write");
    if !file.may(FileMode::WRITE) {
        return Err(Errno::EBADF);
    }
    let sb = file.inode().sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let result = if let Some(callback) = file.ops().write {
        invoke!(t, Write, callback, file, data, position)
    } else if let Some(callback) = file.ops().write_iter {
        let kiocb = &Kiocb { ki_filp: file, ki_pos: position, ki_flags: file.f_flags.load(SeqCst) };
        invoke!(t, WriteIter, callback, kiocb, data)
    } else {
        Err(Errno::EINVAL)
    };
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// `read(2)`: at the file's own position, under its lock.
pub(crate) fn read_at_position(t: &Task, file: &'static File, buffer: &mut [u8]) -> Result<usize> {
    file.f_pos_lock.lock(t);
    let result = vfs_read(t, file, buffer, file.f_pos.load(SeqCst));
    if let Ok(count) = result {
        file.f_pos.fetch_add(count as u64, SeqCst);
    }
    file.f_pos_lock.release(t);
    result
}

/// `lseek(2)`.
pub(crate) fn vfs_llseek(t: &Task, file: &'static File, offset: i64, whence: i32) -> Result<u64> {
    let _frame = t.frame("vfs_llseek");
    file.f_pos_lock.lock(t);
    let result = match file.ops().llseek {
        Some(callback) => invoke!(t, Llseek, callback, file, offset, whence),
        None => Err(Errno::EINVAL),
    };
    file.f_pos_lock.release(t);
    result
}

/// `getdents(2)`: by the shared op where there is one.
pub(crate) fn iterate_dir(t: &Task, file: &'static File) -> Result<Vec<(String, u64)>> {
    let _frame = t.frame("iterate_dir");
    let inode = file.inode();
    file.f_pos_lock.lock(t);
    let result = if let Some(callback) = file.ops().iterate_shared {
        inode.i_rwsem.read(t);
        let result = invoke!(t, IterateShared, callback, file);
        inode.i_rwsem.release(t);
        result
    } else if let Some(callback) = file.ops().iterate {
        inode.i_rwsem.acquire(t, Mode::Exclusive);
        let result = invoke!(t, Iterate, callback, file);
        inode.i_rwsem.release(t);
        result
    } else {
        Err(Errno::ENOTDIR)
    };
    file.f_pos_lock.release(t);
    super::inode::touch_atime(t, &file.path());
    result
}

/// The usual `read_iter`: from the page cache, or past it.
pub(crate) fn generic_file_read_iter(t: &Task, kiocb: &Kiocb, buffer: &mut [u8]) -> Result<usize> {
    let _frame = t.frame("generic_file_read_iter");
    let file = kiocb.ki_filp;
    let mapping = file.mapping();
    if kiocb.ki_flags & O_DIRECT != 0
        && let Some(callback) = ops(mapping).direct_IO
    {
        filemap_write_and_wait(t, mapping)?;
        let write = false;
        return invoke!(t, DirectIo, callback, kiocb, buffer, write);
    }
    filemap_read(t, kiocb, buffer)
}

/// Copies from pages, bringing them in as needed.
fn filemap_read(t: &Task, kiocb: &Kiocb, buffer: &mut [u8]) -> Result<usize> {
    let _frame = t.frame("filemap_read");
    let file = kiocb.ki_filp;
    let mut done = 0;
    while done < buffer.len() {
        let position = kiocb.ki_pos + done as u64;
        let size = file.inode().size();
        if position >= size {
            break;
        }
        let pinned = read_cache_page(t, file, position / PAGE_SIZE as u64)?;
        let page = pinned.page;
        let within = (position % PAGE_SIZE as u64) as usize;
        let left = usize::try_from(size - position).unwrap_or(usize::MAX);
        let count = (buffer.len() - done).min(PAGE_SIZE - within).min(left);
        buffer[done..done + count].copy_from_slice(&leaf(&page.data)[within..within + count]);
        done += count;
    }
    super::inode::touch_atime(t, &file.path());
    Ok(done)
}

/// The usual `write_iter`: into the page cache, or past it, with the inode held.
pub(crate) fn generic_file_write_iter(t: &Task, kiocb: &Kiocb, data: &[u8]) -> Result<usize> {
    let _frame = t.frame("generic_file_write_iter");
    let file = kiocb.ki_filp;
    let inode = file.inode();
    inode.i_rwsem.acquire(t, Mode::Exclusive);
    let position = if kiocb.ki_flags & O_APPEND != 0 { inode.size() } else { kiocb.ki_pos };
    let kiocb = Kiocb { ki_filp: file, ki_pos: position, ki_flags: kiocb.ki_flags };
    let result = if kiocb.ki_flags & O_DIRECT != 0 && ops(file.mapping()).direct_IO.is_some() {
        generic_file_direct_write(t, &kiocb, data)
    } else {
        generic_perform_write(t, file, data, position)
    };
    inode.i_mtime.store(t.kernel.now(), SeqCst);
    inode.i_rwsem.release(t);
    result
}

fn generic_file_direct_write(t: &Task, kiocb: &Kiocb, data: &[u8]) -> Result<usize> {
    let _frame = t.frame("generic_file_direct_write");
    let mapping = kiocb.ki_filp.mapping();
    let callback = ops(mapping).direct_IO.ok_or(Errno::EINVAL)?;
    let end = kiocb.ki_pos + data.len() as u64;
    filemap_write_and_wait(t, mapping)?;
    invalidate_inode_pages2_range(t, mapping, kiocb.ki_pos, end)?;
    let mut copy = data.to_vec();
    let (buffer, write) = (copy.as_mut_slice(), true);
    let result = invoke!(t, DirectIo, callback, kiocb, buffer, write);
    // A fault may have brought a page in meanwhile.
    invalidate_inode_pages2_range(t, mapping, kiocb.ki_pos, end)?;
    result
}

/// Copies into pages, one at a time; the caller holds the inode.
pub(crate) fn generic_perform_write(t: &Task, file: &'static File, data: &[u8], position: u64) -> Result<usize> {
    let _frame = t.frame("generic_perform_write");
    let mapping = file.mapping();
    let ops = ops(mapping);
    let (begin, end) = (ops.write_begin.ok_or(Errno::EINVAL)?, ops.write_end.ok_or(Errno::EINVAL)?);
    let mut done = 0;
    while done < data.len() {
        let at = position + done as u64;
        let within = (at % PAGE_SIZE as u64) as usize;
        let count = (data.len() - done).min(PAGE_SIZE - within);
        let slot = Slot::default();
        let pagep: &Slot<Page> = &slot;
        invoke!(t, WriteBegin, begin, file, mapping, at, count, pagep)?;
        let page = slot.get().ok_or(Errno::EIO)?;
        if t.deviates(Step::WriteBeginUnlocked) && !t.holds(&page.lock) {
            // A caller that knows its file system: what comes after is as ever.
            lock_page(t, page);
        }
        leaf(&page.data)[within..within + count].copy_from_slice(&data[done..done + count]);
        let copied = invoke!(t, WriteEnd, end, file, mapping, at, count, page)?;
        done += copied;
    }
    Ok(done)
}

/// `fsync(2)`.
pub(crate) fn vfs_fsync(t: &Task, file: &'static File, datasync: bool) -> Result<()> {
    let _frame = t.frame("vfs_fsync_range");
    let callback = file.ops().fsync.ok_or(Errno::EINVAL)?;
    let (start, end) = (0u64, u64::MAX);
    invoke!(t, Fsync, callback, file, start, end, datasync)
}

/// `fallocate(2)`.
pub(crate) fn vfs_fallocate(t: &Task, file: &'static File, mode: i32, offset: u64, length: u64) -> Result<()> {
    let _frame = t.frame("vfs_fallocate");
    let callback = file.ops().fallocate.ok_or(Errno::EOPNOTSUPP)?;
    if !file.may(FileMode::WRITE) {
        return Err(Errno::EBADF);
    }
    let sb = file.inode().sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let relied = t.deviates(Step::FallocateRelies);
    if relied {
        file.mapping().invalidate_lock.acquire(t, Mode::Exclusive);
    }
    let result = invoke!(t, Fallocate, callback, file, mode, offset, length);
    if relied {
        file.mapping().invalidate_lock.release(t);
    }
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// How two files' ranges are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// `copy_file_range(2)`.
    Copy,
    /// `FICLONERANGE`.
    Remap,
}

/// One end of a transfer.
pub(crate) type End = (&'static File, u64);

/// Copies or shares a range between two files of one file system.
pub(crate) fn vfs_transfer(t: &Task, how: Transfer, from: End, to: End, length: usize) -> Result<usize> {
    let _frame = t.frame(if how == Transfer::Copy { "vfs_copy_file_range" } else { "vfs_clone_file_range" });
    let ((source, source_at), (target, target_at)) = (from, to);
    let sb = target.inode().sb();
    if !std::ptr::eq(sb, source.inode().sb()) {
        return Err(Errno::EXDEV);
    }
    sb_start_write(t, sb, WriteLevel::Write);
    let ops = target.ops();
    let result = match how {
        Transfer::Copy => ops
            .copy_file_range
            .ok_or(Errno::EOPNOTSUPP)
            .and_then(|callback| invoke!(t, CopyFileRange, callback, source, source_at, target, target_at, length)),
        Transfer::Remap => ops
            .remap_file_range
            .ok_or(Errno::EOPNOTSUPP)
            .and_then(|callback| invoke!(t, RemapFileRange, callback, source, source_at, target, target_at, length)),
    };
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// `splice(2)` from a file into a pipe.
pub(crate) fn do_splice_to(t: &Task, file: &'static File, position: u64, pipe: &Pipe, length: usize) -> Result<usize> {
    let _frame = t.frame("do_splice_to");
    let callback = file.ops().splice_read.ok_or(Errno::EINVAL)?;
    invoke!(t, SpliceRead, callback, file, position, pipe, length)
}

/// `splice(2)` from a pipe into a file.
pub(crate) fn do_splice_from(
    t: &Task,
    pipe: &Pipe,
    file: &'static File,
    position: u64,
    length: usize,
) -> Result<usize> {
    let _frame = t.frame("do_splice_from");
    let callback = file.ops().splice_write.ok_or(Errno::EINVAL)?;
    let sb = file.inode().sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let result = invoke!(t, SpliceWrite, callback, pipe, file, position, length);
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// Sends one page into a file.
pub(crate) fn kernel_sendpage(t: &Task, file: &'static File, page: &'static Page, length: usize) -> Result<usize> {
    let _frame = t.frame("pipe_to_sendpage");
    let callback = file.ops().sendpage.ok_or(Errno::EINVAL)?;
    let position = file.inode().size();
    let sb = file.inode().sb();
    sb_start_write(t, sb, WriteLevel::Write);
    let result = invoke!(t, Sendpage, callback, file, page, position, length);
    sb_end_write(t, sb, WriteLevel::Write);
    result
}

/// `poll(2)`.
pub(crate) fn vfs_poll(t: &Task, file: &'static File) -> u32 {
    let _frame = t.frame("vfs_poll");
    file.ops().poll.map_or(0, |callback| invoke!(t, Poll, callback, file))
}

/// `ioctl(2)`, of a 64-bit or of a 32-bit program.
pub(crate) fn vfs_ioctl(t: &Task, file: &'static File, command: u32, argument: u64, compat: bool) -> Result<u64> {
    let _frame = t.frame("vfs_ioctl");
    if compat {
        let callback = file.ops().compat_ioctl.ok_or(Errno::ENOTTY)?;
        return invoke!(t, CompatIoctl, callback, file, command, argument);
    }
    let callback = file.ops().unlocked_ioctl.ok_or(Errno::ENOTTY)?;
    invoke!(t, UnlockedIoctl, callback, file, command, argument)
}

/// A page of `/proc/PID/fdinfo`.
pub(crate) fn show_fdinfo(t: &Task, file: &'static File) -> String {
    let _frame = t.frame("seq_show");
    file.ops().show_fdinfo.map_or_else(String::new, |callback| invoke!(t, ShowFdinfo, callback, file))
}

/// `posix_fadvise(2)`.
pub(crate) fn vfs_fadvise(t: &Task, file: &'static File, offset: u64, length: u64, advice: i32) -> Result<()> {
    let _frame = t.frame("vfs_fadvise");
    let callback = file.ops().fadvise.ok_or(Errno::EINVAL)?;
    invoke!(t, Fadvise, callback, file, offset, length, advice)
}

/// Polls for the completion of a read or write of the file.
pub(crate) fn io_poll(t: &Task, file: &'static File) -> Result<u32> {
    let _frame = t.frame("io_do_iopoll");
    let callback = file.ops().iopoll.ok_or(Errno::EOPNOTSUPP)?;
    let kiocb = &Kiocb { ki_filp: file, ki_pos: 0, ki_flags: O_DIRECT };
    let spin = true;
    invoke!(t, Iopoll, callback, kiocb, spin)
}

/// The page at a position of a file, for whoever sends pages.
pub(crate) fn page_of<'t, 'k>(t: &'t Task<'k>, file: &'static File, index: u64) -> Result<Pinned<'t, 'k>> {
    read_cache_page(t, file, index)
}
