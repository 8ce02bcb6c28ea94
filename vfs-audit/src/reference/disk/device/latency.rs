//! How long the device takes, in simulated nanoseconds.

use super::request::{OpKind, Request};
use crate::reference::disk::rng::Rng;

/// The latency model: a base per kind, a cost per sector, and a seeded spread that makes completions overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Base of a read.
    pub read_ns: u64,
    /// Base of a write or a discard.
    pub write_ns: u64,
    /// Base of a flush, and of a preflush before its write.
    pub flush_ns: u64,
    /// Added per sector.
    pub sector_ns: u64,
    /// Added for FUA.
    pub fua_ns: u64,
    /// Upper bound of the seeded addition.
    pub spread_ns: u64,
}

impl Default for Latency {
    /// A device of the SATA flash kind.
    fn default() -> Self {
        Self {
            read_ns: 80_000,
            write_ns: 40_000,
            flush_ns: 900_000,
            sector_ns: 500,
            fua_ns: 60_000,
            spread_ns: 120_000,
        }
    }
}

impl Latency {
    /// How long `request` takes.
    pub(super) fn of(&self, request: &Request, rng: &mut Rng) -> u64 {
        let base = match request.kind() {
            OpKind::Read => self.read_ns,
            OpKind::Write | OpKind::Discard => self.write_ns,
            OpKind::Flush => self.flush_ns,
        };
        let preflush = if request.preflush { self.flush_ns } else { 0 };
        let fua = if request.fua { self.fua_ns } else { 0 };
        base + preflush + fua + request.sectors() * self.sector_ns + rng.below(self.spread_ns)
    }
}
