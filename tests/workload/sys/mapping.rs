//! Mappings of files and of memory without a file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use libc::c_int;

use super::{check, check_long};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// The same as an offset in a file.
pub(crate) const PAGE_OFFSET: i64 = 4096;

/// A mapping, removed when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    /// `length` bytes of the file from `offset`, shared.
    pub(crate) fn shared(file: &File, protection: c_int, length: usize, offset: i64) -> io::Result<Self> {
        Self::new(protection, libc::MAP_SHARED, file.as_raw_fd(), length, offset)
    }

    /// The start of the file, copied on write.
    pub(crate) fn private(file: &File, length: usize) -> io::Result<Self> {
        Self::new(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE, file.as_raw_fd(), length, 0)
    }

    /// Memory without a file; `flags` beside `MAP_ANONYMOUS`.
    pub(crate) fn anonymous(flags: c_int, length: usize) -> io::Result<Self> {
        Self::new(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_ANONYMOUS | flags, -1, length, 0)
    }

    fn new(protection: c_int, flags: c_int, descriptor: c_int, length: usize, offset: i64) -> io::Result<Self> {
        // SAFETY: the kernel picks a free place; nothing else refers to it.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, descriptor, offset) };
        if start == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { start: start.cast(), length })
        }
    }

    /// Where it starts.
    pub(crate) fn address(&self) -> usize {
        self.start as usize
    }

    /// Reads one byte; what is not there ends the process by a signal.
    pub(crate) fn read(&self, offset: usize) -> u8 {
        assert!(offset < self.length, "outside of the mapping");
        // SAFETY: within the mapping, which lives as long as `self`.
        unsafe { self.start.add(offset).read_volatile() }
    }

    /// Writes one byte.
    pub(crate) fn write(&self, offset: usize, byte: u8) {
        assert!(offset < self.length, "outside of the mapping");
        // SAFETY: within the mapping, which lives as long as `self`.
        unsafe { self.start.add(offset).write_volatile(byte) }
    }

    /// Writes `byte` at the start of each page of the range.
    pub(crate) fn write_pages(&self, range: Range<usize>, byte: u8) {
        range.step_by(PAGE).for_each(|offset| self.write(offset, byte));
    }

    /// Whether each page of the range starts with `byte`.
    pub(crate) fn pages_are(&self, range: Range<usize>, byte: u8) -> bool {
        range.step_by(PAGE).all(|offset| self.read(offset) == byte)
    }

    /// `madvise(2)` on all of it.
    pub(crate) fn advise(&self, advice: c_int) -> io::Result<()> {
        self.advise_part(0..self.length, advice)
    }

    /// `madvise(2)` on a part.
    pub(crate) fn advise_part(&self, range: Range<usize>, advice: c_int) -> io::Result<()> {
        assert!(range.end <= self.length, "outside of the mapping");
        // SAFETY: within the mapping; none of the advices used takes memory away that Rust knows of.
        check(unsafe { libc::madvise(self.start.add(range.start).cast(), range.len(), advice) }).map(drop)
    }

    /// `msync(2)`, to the end.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // SAFETY: the whole mapping.
        check(unsafe { libc::msync(self.start.cast(), self.length, libc::MS_SYNC) }).map(drop)
    }

    /// `mprotect(2)` of a part: the kernel splits the mapping.
    pub(crate) fn protect_part(&self, range: Range<usize>, protection: c_int) -> io::Result<()> {
        assert!(range.end <= self.length, "outside of the mapping");
        // SAFETY: within the mapping; the caller touches it as the new protection allows.
        check(unsafe { libc::mprotect(self.start.add(range.start).cast(), range.len(), protection) }).map(drop)
    }

    /// Takes a part out of the mapping; touching it ends the process.
    pub(crate) fn unmap_part(&self, range: Range<usize>) -> io::Result<()> {
        assert!(range.end <= self.length, "outside of the mapping");
        // SAFETY: within the mapping; unmapping it once more at the end does no harm.
        check(unsafe { libc::munmap(self.start.add(range.start).cast(), range.len()) }).map(drop)
    }

    /// `mremap(2)`: another length, at a place of the kernel's choice.
    pub(crate) fn remap(&mut self, length: usize) -> io::Result<()> {
        // SAFETY: the whole mapping; `self` follows it to its new place.
        let start = unsafe { libc::mremap(self.start.cast(), self.length, length, libc::MREMAP_MAYMOVE) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        (self.start, self.length) = (start.cast(), length);
        Ok(())
    }

    /// `mremap(2)` to another place, over memory that is given up for it.
    pub(crate) fn move_over(&mut self, other: Self) -> io::Result<()> {
        assert!(other.length == self.length, "the places differ in length");
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: both are mappings of ours; the other one is replaced and no longer referred to.
        let start = unsafe { libc::mremap(self.start.cast(), self.length, self.length, flags, other.start) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::mem::forget(other);
        self.start = start.cast();
        Ok(())
    }

    /// The memory as bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the caller mapped it readable and writable; nothing else refers to it.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no longer referred to.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// `shmget(2)` and `shmat(2)`: number and start of new memory of `length` bytes.
pub(crate) fn attach_shared_memory(length: usize) -> io::Result<(c_int, *mut libc::c_void)> {
    // SAFETY: integers are passed; the kernel picks a free place for the mapping.
    unsafe {
        let id = check(libc::shmget(libc::IPC_PRIVATE, length, libc::IPC_CREAT | 0o600))?;
        let start = libc::shmat(id, std::ptr::null(), 0);
        if start.addr() == usize::MAX { Err(io::Error::last_os_error()) } else { Ok((id, start)) }
    }
}

/// `shmdt(2)` of the mapping at `start`; the memory goes with its last user.
pub(crate) fn detach_shared_memory(id: c_int, start: *mut libc::c_void) -> io::Result<()> {
    // SAFETY: the caller no longer refers to the mapping.
    unsafe {
        check(libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()))?;
        check(libc::shmdt(start)).map(drop)
    }
}

/// `memfd_secret(2)`: memory that the kernel itself does not map.
pub(crate) fn secret_memory() -> io::Result<File> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: only flags are passed; the descriptor is ours alone.
    let descriptor = check_long(unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) })?;
    // SAFETY: as above.
    Ok(unsafe { File::from_raw_fd(descriptor as c_int) })
}
