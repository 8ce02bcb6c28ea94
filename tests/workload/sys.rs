//! System calls that the standard library does not wrap, as functions that return `io::Result`.
//!
//! Nothing here decides what to call or judges a result.

pub(crate) mod locking;
pub(crate) mod mapping;
pub(crate) mod mounting;
pub(crate) mod moving;
pub(crate) mod uring;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_int, c_uint, c_void};

/// `FS_IOC_FIEMAP`.
const FS_IOC_FIEMAP: libc::Ioctl = 0xc020_660b;
/// `FS_IOC_FSGETXATTR`.
const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f;
/// `FS_APPEND_FL`: the file can only be appended to.
pub(crate) const FS_APPEND_FL: c_uint = 0x20;
/// `FS_NODUMP_FL`: backups leave the file out.
pub(crate) const FS_NODUMP_FL: c_uint = 0x40;
/// Extents that one fiemap call asks for.
const FIEMAP_EXTENTS: usize = 8;

/// The result of a system call made by its number.
pub(crate) fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A path as the kernel wants it.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

pub(crate) fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(crate) fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// `mknod(2)`.
pub(crate) fn mknod(path: &Path, mode: libc::mode_t, device: libc::dev_t) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    check(unsafe { libc::mknod(path.as_ptr(), mode, device) }).map(drop)
}

/// `renameat2(2)` relative to the working directory.
pub(crate) fn rename_with_flags(from: &Path, to: &Path, flags: c_uint) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: both paths are NUL-terminated strings that outlive the call.
    let result = unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
    };
    check(result as c_int).map(drop)
}

/// `linkat(2)` of an open file without a name.
pub(crate) fn link_open_file(file: &File, to: &Path) -> io::Result<()> {
    let to = c_path(to)?;
    // SAFETY: both strings are NUL-terminated and outlive the call; the descriptor is open.
    check(unsafe { libc::linkat(file.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::AT_EMPTY_PATH) })
        .map(drop)
}

/// `lsetxattr(2)`.
pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    let (path, name) = (c_path(path)?, CString::new(name)?);
    let (data, size) = (value.as_ptr().cast::<c_void>(), value.len());
    // SAFETY: strings are NUL-terminated, the value is `size` bytes long, all outlive the call.
    check(unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), data, size, 0) }).map(drop)
}

/// `lgetxattr(2)`.
pub(crate) fn get_xattr(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let (path, name) = (c_path(path)?, CString::new(name)?);
    let mut value = vec![0u8; 4096];
    // SAFETY: strings are NUL-terminated, the buffer is as long as said.
    let size = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(check_size(size)?);
    Ok(value)
}

/// `llistxattr(2)`: the names.
pub(crate) fn list_xattr(path: &Path) -> io::Result<Vec<String>> {
    let path = c_path(path)?;
    let mut names = vec![0u8; 4096];
    // SAFETY: the path is NUL-terminated, the buffer is as long as said.
    let size = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(check_size(size)?);
    Ok(names.split(|&byte| byte == 0).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// `lremovexattr(2)`.
pub(crate) fn remove_xattr(path: &Path, name: &str) -> io::Result<()> {
    let (path, name) = (c_path(path)?, CString::new(name)?);
    // SAFETY: both strings are NUL-terminated and outlive the call.
    check(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

/// `FS_IOC_GETFLAGS`.
pub(crate) fn get_flags(file: &File) -> io::Result<c_uint> {
    let mut flags: c_uint = 0;
    // SAFETY: the ioctl writes one int through the pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS as _, &raw mut flags) })?;
    Ok(flags)
}

/// `FS_IOC_SETFLAGS`.
pub(crate) fn set_flags(file: &File, flags: c_uint) -> io::Result<()> {
    // SAFETY: the ioctl reads one int through the pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS as _, &raw const flags) }).map(drop)
}

/// `FS_IOC_FSGETXATTR`: the `fsx_xflags`.
pub(crate) fn get_extended_flags(file: &File) -> io::Result<u32> {
    // struct fsxattr: xflags, extsize, nextents, projid, cowextsize, 8 bytes of padding.
    let mut attributes = [0u32; 7];
    // SAFETY: the ioctl writes sizeof(struct fsxattr) = 28 bytes through the pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FSGETXATTR, attributes.as_mut_ptr()) })?;
    Ok(attributes[0])
}

/// `FS_IOC_FIEMAP` over the whole file, synced first: the number of extents mapped.
pub(crate) fn extents(file: &File) -> io::Result<u32> {
    // struct fiemap: start, length (u64), flags, mapped_extents, extent_count, reserved (u32), then 56 bytes an extent.
    let mut request = [0u64; 4 + 7 * FIEMAP_EXTENTS];
    request[1] = u64::MAX;
    request[2] = 1; // FIEMAP_FLAG_SYNC
    request[3] = FIEMAP_EXTENTS as u64;
    // SAFETY: the buffer has the header and room for the number of extents that it names.
    check(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, request.as_mut_ptr()) })?;
    Ok((request[2] >> 32) as u32)
}

/// `fallocate(2)`.
pub(crate) fn fallocate(file: &File, mode: c_int, range: Range<u32>) -> io::Result<()> {
    let (offset, length) = (range.start.into(), (range.end - range.start).into());
    // SAFETY: only integers are passed.
    check(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) }).map(drop)
}

/// `statfs(2)`: the block size.
pub(crate) fn block_size(path: &Path) -> io::Result<i64> {
    let path = c_path(path)?;
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path is NUL-terminated; all-zero is a valid statfs and the call fills it.
    let status = unsafe {
        check(libc::statfs(path.as_ptr(), status.as_mut_ptr()))?;
        status.assume_init()
    };
    Ok(status.f_bsize)
}

/// `syncfs(2)`.
pub(crate) fn sync_file_system(file: &File) -> io::Result<()> {
    // SAFETY: only a descriptor is passed.
    check(unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// Writes a byte at the start of each page of a shared mapping of the file, which is `length` bytes long.
pub(crate) fn write_through_mapping(file: &File, length: usize, byte: u8) -> io::Result<()> {
    // SAFETY: a fresh shared mapping; nothing else refers to it.
    unsafe {
        let flags = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(std::ptr::null_mut(), length, flags, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        for offset in (0..length).step_by(4096) {
            start.cast::<u8>().add(offset).write_volatile(byte);
        }
        check(libc::msync(start, length, libc::MS_SYNC))?;
        check(libc::munmap(start, length)).map(drop)
    }
}

/// The first page of a file, mapped; the mapping goes with it.
#[derive(Debug)]
pub(crate) struct Mapping(*mut c_void);

/// Length of a [`Mapping`].
const PAGE_BYTES: usize = 4096;

/// `mmap(2)` of the file's first page, to be shared and written.
pub(crate) fn map(file: &File) -> io::Result<Mapping> {
    let flags = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh shared mapping; nothing else refers to it.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), PAGE_BYTES, flags, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Mapping(start)) }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the page was mapped by `map` and nothing refers to it. What cannot be unmapped goes with the process.
        let _ = unsafe { libc::munmap(self.0, PAGE_BYTES) };
    }
}

/// `F_SETLK`: the whole file, for writing.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    // SAFETY: all-zero is a valid flock: from the start to the end of the file.
    let mut lock = unsafe { MaybeUninit::<libc::flock>::zeroed().assume_init() };
    lock.l_type = libc::F_WRLCK as _;
    // SAFETY: the kernel reads one flock through the pointer.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) }).map(drop)
}

/// `F_SETLEASE`: a lease to write.
pub(crate) fn lease(file: &File) -> io::Result<()> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) }).map(drop)
}

/// `uname(2)`: the release.
pub(crate) fn release() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end().to_owned())
}

/// `bpf(2)` with a command that walks ids: the next one after `id`.
pub(crate) fn next_bpf_id(command: c_int, id: u32) -> io::Result<Option<u32>> {
    // union bpf_attr: start_id, next_id, open_flags.
    let mut attributes = [id, 0, 0];
    // SAFETY: the attributes are as long as said; the kernel writes next_id.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(&attributes)) };
    match check(result as c_int) {
        Ok(_) => Ok(Some(attributes[1])),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs `body` in a child process; returns the child's pid. The child ends with what `body` returns.
///
/// The caller must be single-threaded, as every command of this program is.
pub(crate) fn fork(body: impl FnOnce() -> c_int) -> io::Result<libc::pid_t> {
    // SAFETY: this program starts no threads, so the child may run any code.
    match check(unsafe { libc::fork() })? {
        0 => {
            let code = body();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid),
    }
}

/// `waitpid(2)`: the exit code, or an error when the child was killed.
pub(crate) fn wait(pid: libc::pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: the kernel writes the status through the pointer.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    if libc::WIFEXITED(status) {
        Ok(libc::WEXITSTATUS(status))
    } else {
        Err(io::Error::other(format!("child {pid} was killed by signal {}", libc::WTERMSIG(status))))
    }
}

/// The exit code of a child that has ended already.
pub(crate) fn wait_if_ended(pid: libc::pid_t) -> io::Result<Option<c_int>> {
    let mut status = 0;
    // SAFETY: the kernel writes the status through the pointer.
    let ended = check(unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) })?;
    Ok((ended == pid).then_some(libc::WEXITSTATUS(status)))
}

/// Gives up root for good: groups, then group, then user.
pub(crate) fn become_user(uid: libc::uid_t) -> io::Result<()> {
    // SAFETY: only integers and an empty list are passed.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(uid, uid, uid))?;
        check(libc::setresuid(uid, uid, uid)).map(drop)
    }
}

/// `access(2)` with the real ids.
pub(crate) fn access(path: &Path, mode: c_int) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::access(path.as_ptr(), mode) }).map(drop)
}

/// A pipe: the end to read and the end to write.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let mut ends: [RawFd; 2] = [0; 2];
    // SAFETY: the kernel fills in two descriptors, which are ours alone.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])))
    }
}

/// Makes one call in a child process of its own: 0, or the errno that it got.
pub(crate) fn in_child<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<c_int> {
    let child = fork(|| call().err().map_or(0, |error| error.raw_os_error().unwrap_or(255)))?;
    wait(child)
}
