//! Moving data without a buffer of one's own, and calls about how a file's data is kept.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use libc::{c_int, c_void};

use super::{check, check_long, check_size};

const FICLONE: libc::Ioctl = 0x4004_9409;
const FICLONERANGE: libc::Ioctl = 0x4020_940d;
const FIDEDUPERANGE: libc::Ioctl = 0xc018_9436;
const FIBMAP: libc::Ioctl = 1;
/// `FS_IOC32_GETVERSION`: one that the file system itself has to know, unlike that for the flags.
const FS_IOC32_GETVERSION: u32 = 0x8004_7601;

/// `splice(2)` between two descriptors at their own positions.
pub(crate) fn splice(from: RawFd, to: RawFd, length: usize) -> io::Result<usize> {
    let none = std::ptr::null_mut();
    // SAFETY: no offsets are passed.
    check_size(unsafe { libc::splice(from, none, to, none, length, 0) })
}

/// `sendfile(2)` from the file's own position.
pub(crate) fn sendfile(from: &File, to: &File, length: usize) -> io::Result<usize> {
    // SAFETY: no offset is passed.
    check_size(unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), length) })
}

/// `copy_file_range(2)` of the first `length` bytes, as often as it takes: each call may copy less than is asked for.
pub(crate) fn copy_range(from: &File, to: &File, length: usize) -> io::Result<usize> {
    let (mut from_at, mut to_at) = (0i64, 0i64);
    let mut copied = 0;
    while copied < length {
        let left = length - copied;
        // SAFETY: both offsets outlive the call.
        let bytes = check_size(unsafe {
            libc::copy_file_range(from.as_raw_fd(), &raw mut from_at, to.as_raw_fd(), &raw mut to_at, left, 0)
        })?;
        if bytes == 0 {
            break;
        }
        copied += bytes;
    }
    Ok(copied)
}

/// `FICLONE`: all of `from` into `to`, sharing the blocks.
pub(crate) fn clone_file(from: &File, to: &File) -> io::Result<()> {
    // SAFETY: the ioctl takes a descriptor.
    check(unsafe { libc::ioctl(to.as_raw_fd(), FICLONE, from.as_raw_fd()) }).map(drop)
}

/// `FICLONERANGE` of `length` bytes at the start.
pub(crate) fn clone_range(from: &File, to: &File, length: u64) -> io::Result<()> {
    // struct file_clone_range: descriptor, offset, length, offset.
    let range = [u64::from(from.as_raw_fd().cast_unsigned()), 0, length, 0];
    // SAFETY: the ioctl reads 32 bytes through the pointer.
    check(unsafe { libc::ioctl(to.as_raw_fd(), FICLONERANGE, range.as_ptr()) }).map(drop)
}

/// `FIDEDUPERANGE` of `length` equal bytes at the start of both: how many are shared now.
pub(crate) fn deduplicate(from: &File, to: &File, length: u64) -> io::Result<u64> {
    // struct file_dedupe_range: offset, length, one target (u16), reserved; then the target's descriptor, offset,
    // bytes shared, status (i32), reserved.
    let mut range = [0, length, 1, u64::from(to.as_raw_fd().cast_unsigned()), 0, 0, 0];
    // SAFETY: the ioctl reads and writes the header and the one target that it names.
    check(unsafe { libc::ioctl(from.as_raw_fd(), FIDEDUPERANGE, range.as_mut_ptr()) })?;
    match range[6] as i32 {
        0 => Ok(range[5]),
        status if status < 0 => Err(io::Error::from_raw_os_error(-status)),
        _ => Err(io::Error::other("the ranges are said to differ")),
    }
}

/// `FIBMAP`: where the file's block lies on the device.
pub(crate) fn block_of(file: &File, index: c_int) -> io::Result<c_int> {
    let mut block = index;
    // SAFETY: the ioctl reads and writes one int through the pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), FIBMAP, &raw mut block) })?;
    Ok(block)
}

/// `posix_fadvise(2)` on the whole file.
pub(crate) fn advise(file: &File, advice: c_int) -> io::Result<()> {
    // SAFETY: only integers are passed.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// `readahead(2)` from the start.
pub(crate) fn read_ahead(file: &File, length: usize) -> io::Result<()> {
    // SAFETY: only integers are passed.
    check_size(unsafe { libc::readahead(file.as_raw_fd(), 0, length) }).map(drop)
}

/// `sync_file_range(2)` of everything, to the end.
pub(crate) fn sync_range(file: &File) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: only integers are passed.
    check(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) }).map(drop)
}

/// `lseek(2)`.
pub(crate) fn seek(file: &File, offset: i64, whence: c_int) -> io::Result<i64> {
    // SAFETY: only integers are passed.
    check_long(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) })
}

/// `preadv2(2)` into one buffer.
pub(crate) fn read_with(file: &File, buffer: &mut [u8], offset: i64, flags: c_int) -> io::Result<usize> {
    let vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast::<c_void>(), iov_len: buffer.len() };
    // SAFETY: the vector describes the buffer, and both outlive the call.
    check_size(unsafe { libc::preadv2(file.as_raw_fd(), &raw const vector, 1, offset, flags) })
}

/// `pwritev2(2)` of one buffer.
pub(crate) fn write_with(file: &File, buffer: &[u8], offset: i64, flags: c_int) -> io::Result<usize> {
    let vector = libc::iovec { iov_base: buffer.as_ptr().cast_mut().cast::<c_void>(), iov_len: buffer.len() };
    // SAFETY: the vector describes the buffer, which the kernel only reads; both outlive the call.
    check_size(unsafe { libc::pwritev2(file.as_raw_fd(), &raw const vector, 1, offset, flags) })
}

/// `poll(2)` without waiting: what is ready.
pub(crate) fn poll(descriptor: RawFd, events: libc::c_short) -> io::Result<libc::c_short> {
    let mut request = libc::pollfd { fd: descriptor, events, revents: 0 };
    // SAFETY: one pollfd, as said.
    check(unsafe { libc::poll(&raw mut request, 1, 0) })?;
    Ok(request.revents)
}

/// `FS_IOC32_GETVERSION` as a 32-bit program makes it: 0 or an errno. Ends the process where the kernel runs none.
pub(crate) fn compat_get_version(file: &File) -> io::Result<c_int> {
    // The kernel takes 32 bits of the address.
    let memory = super::mapping::Mapping::anonymous(libc::MAP_PRIVATE | libc::MAP_32BIT, super::mapping::PAGE)?;
    Ok(compat_ioctl(file.as_raw_fd(), FS_IOC32_GETVERSION, memory.address() as u32))
}

/// `ioctl(2)` by the 32-bit system call interface: 0 or an errno.
pub(crate) fn compat_ioctl(descriptor: RawFd, command: u32, argument: u32) -> c_int {
    const NR_IOCTL: u64 = 54;
    let mut result = NR_IOCTL;
    // SAFETY: interrupt 0x80 takes its arguments in ebx, ecx, edx; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {descriptor}",
            "int 0x80",
            "xchg rbx, {descriptor}",
            descriptor = inout(reg) u64::from(descriptor.cast_unsigned()) => _,
            inout("rax") result,
            in("rcx") u64::from(command),
            in("rdx") u64::from(argument),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let result = result as i32;
    if result < 0 { -result } else { 0 }
}
