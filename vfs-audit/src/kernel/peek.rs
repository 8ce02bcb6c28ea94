//! Reading kernel memory: a program that the daemon runs itself, attached to nothing.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    ptr::NonNull,
};

use aya::{
    Ebpf,
    maps::Map,
    programs::{Program, RawTracePoint, RawTracePointRunOptions, TestRun as _},
};
use thiserror::Error;
use vfs_audit_common::PEEK_BYTES;

/// Why kernel memory cannot be read.
#[derive(Debug, Error)]
pub enum PeekError {
    /// The eBPF object lacks a part: it was built from other sources.
    #[error("the eBPF object has no {0}")]
    Missing(&'static str),
    /// The kernel refuses the program.
    #[error("the kernel refuses the program that reads its memory")]
    Program(#[from] aya::programs::ProgramError),
    /// The map cannot be used.
    #[error("the map of read bytes cannot be used")]
    Map(#[source] std::io::Error),
}

/// A source of kernel memory; the live one, or a picture of it in tests.
pub trait Memory {
    /// `len` bytes at `address`; `None` where nothing can be read.
    fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>>;

    /// The 8 bytes at `address`.
    fn word(&self, address: u64) -> Option<u64> {
        self.bytes(address, 8).and_then(|b| Some(u64::from_le_bytes(b.try_into().ok()?)))
    }

    /// The text at `address` up to its NUL, at most `len` bytes.
    fn text(&self, address: u64, len: usize) -> Option<String> {
        let bytes = self.bytes(address, len)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// Reads the running kernel's memory.
pub struct Peek<'a> {
    program: &'a RawTracePoint,
    bytes: Mapping,
}

/// The bytes that the program reads, in our memory: a system call for each copy would cost more than the reading.
struct Mapping(NonNull<u8>);

impl Mapping {
    fn of(map: &Map) -> Result<Self, PeekError> {
        let Map::Array(data) = map else { return Err(PeekError::Missing("array PEEKED")) };
        let fd = data.fd().as_fd().as_raw_fd();
        // SAFETY: a new mapping at a place of the kernel's choice.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), PEEK_BYTES, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        let at = if at == libc::MAP_FAILED { None } else { NonNull::new(at.cast()) };
        at.map(Self).ok_or_else(|| PeekError::Map(std::io::Error::last_os_error()))
    }

    /// The first `len` bytes, at most [`PEEK_BYTES`].
    fn copy(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len.min(PEEK_BYTES)];
        // SAFETY: the mapping is of `PEEK_BYTES` and lives as long as we; nobody writes there but the program, which is not
        // running.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our mapping, of which no reference is left.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PEEK_BYTES) };
    }
}

impl<'a> Peek<'a> {
    /// Borrows the loaded program and its map; see [`Peek::load`].
    ///
    /// # Errors
    /// When the object lacks them.
    pub fn new(ebpf: &'a Ebpf) -> Result<Self, PeekError> {
        let bytes = Mapping::of(ebpf.map("PEEKED").ok_or(PeekError::Missing("map PEEKED"))?)?;
        let Some(Program::RawTracePoint(program)) = ebpf.program("peek") else {
            return Err(PeekError::Missing("program peek"));
        };
        Ok(Self { program, bytes })
    }

    /// Loads the program.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn load(ebpf: &mut Ebpf) -> Result<(), PeekError> {
        let program = ebpf.program_mut("peek").ok_or(PeekError::Missing("program peek"))?;
        let program: &mut RawTracePoint = program.try_into()?;
        Ok(program.load()?)
    }
}

impl Memory for Peek<'_> {
    fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        if len > PEEK_BYTES {
            return None;
        }
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = address;
        options.args[1] = len as u64;
        let result = self.program.test_run(options).ok()?;
        (result.return_value == 0).then(|| self.bytes.copy(len))
    }
}
