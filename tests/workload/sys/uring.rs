//! One read through an `io_uring` that polls for completion, the one caller of `iopoll`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::check_long;
use super::mapping::Mapping;

const IORING_SETUP_IOPOLL: u32 = 1;
const IORING_OP_READ: u8 = 22;
const IORING_ENTER_GETEVENTS: u32 = 1;
const IORING_OFF_CQ_RING: i64 = 0x800_0000;
const IORING_OFF_SQES: i64 = 0x1000_0000;
const RING_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);
const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Reads into the buffer from the file's start; the file must have been opened with `O_DIRECT`.
pub(crate) fn polled_read(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    // struct io_uring_params: sq_entries, cq_entries, flags, …; sq_off (10 words) at word 10, cq_off at word 20.
    let mut parameters = [0u32; 30];
    parameters[2] = IORING_SETUP_IOPOLL;
    // SAFETY: the parameters are 120 bytes, as the kernel's struct.
    let descriptor = check_long(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) })?;
    // SAFETY: the descriptor is ours alone.
    let ring = unsafe { File::from_raw_fd(descriptor as i32) };
    let submissions = Mapping::shared(&ring, BOTH, RING_BYTES, 0)?;
    let completions = Mapping::shared(&ring, BOTH, RING_BYTES, IORING_OFF_CQ_RING)?;
    let mut entries = Mapping::shared(&ring, BOTH, RING_BYTES, IORING_OFF_SQES)?;
    let entry = &mut entries.bytes()[..64];
    entry[0] = IORING_OP_READ;
    entry[4..8].copy_from_slice(&file.as_raw_fd().to_le_bytes());
    entry[16..24].copy_from_slice(&(buffer.as_mut_ptr() as u64).to_le_bytes());
    entry[24..28].copy_from_slice(&(buffer.len() as u32).to_le_bytes());
    // sq_off: head, tail, ring_mask, ring_entries, flags, dropped, array.
    word(&submissions, parameters[16]).store(0, Ordering::Relaxed);
    word(&submissions, parameters[11]).store(1, Ordering::Release);
    let (flags, none) = (IORING_ENTER_GETEVENTS, std::ptr::null::<u8>());
    let start = Instant::now();
    let mut submitted = 1;
    // Polling stops early when another task wants the processor.
    while word(&completions, parameters[21]).load(Ordering::Acquire) == 0 {
        // SAFETY: one entry is submitted once; its buffer lives until its completion.
        check_long(unsafe { libc::syscall(libc::SYS_io_uring_enter, ring.as_raw_fd(), submitted, 1, flags, none, 0) })?;
        submitted = 0;
        // The kernel may still write into the buffer: there is no way back.
        assert!(start.elapsed() < PATIENCE, "the ring has no completion");
    }
    // cq_off: head, tail, ring_mask, ring_entries, overflow, cqes; a completion is user_data (u64), result (i32), flags.
    let result = word(&completions, parameters[25] + 8).load(Ordering::Relaxed).cast_signed();
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// The word at this offset of a ring.
fn word(ring: &Mapping, offset: u32) -> &AtomicU32 {
    assert!(offset as usize + 4 <= RING_BYTES, "outside of the ring");
    // SAFETY: aligned and within the mapping, which the kernel and we share by atomic accesses only.
    unsafe { &*((ring.address() + offset as usize) as *const AtomicU32) }
}
