//! What is asked of the device and what it answers: requests, their flags, completions, errors.
//!
//! The flags mean what the kernel's `Documentation/block/writeback_cache_control.rst` (v5.15) says of them.

use thiserror::Error;

/// Bytes in a sector: the unit the device writes whole or not at all.
pub const SECTOR_SIZE: usize = 512;
/// Most sectors one request may cover.
pub const REQUEST_SECTORS_MAX: u64 = 2048;

/// The contents of one sector.
pub type Sector = [u8; SECTOR_SIZE];

/// Names a submitted request until its completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a request does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Read this many sectors.
    Read {
        /// How many.
        sectors: u64,
    },
    /// Write these bytes, a whole number of sectors.
    Write {
        /// The bytes.
        data: Vec<u8>,
    },
    /// Make durable every write that had completed when this was submitted.
    Flush,
    /// Give up the contents of this many sectors; they read as zeros afterwards.
    Discard {
        /// How many.
        sectors: u64,
    },
}

/// The kind of a request, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A flush of the write cache.
    Flush,
    /// A discard.
    Discard,
}

/// One request to the device: a bio that has become a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub op: Op,
    /// Its first sector; 0 for a flush.
    pub sector: u64,
    /// `REQ_PREFLUSH`: flush the cache before this write's own data is written.
    pub preflush: bool,
    /// `REQ_FUA`: complete only when this write's own data is durable.
    pub fua: bool,
}

impl Request {
    /// A read of `sectors` sectors from `sector` on.
    pub fn read(sector: u64, sectors: u64) -> Self {
        Self { op: Op::Read { sectors }, sector, preflush: false, fua: false }
    }

    /// A write of `data` from `sector` on.
    pub fn write(sector: u64, data: Vec<u8>) -> Self {
        Self { op: Op::Write { data }, sector, preflush: false, fua: false }
    }

    /// A flush of the write cache.
    pub fn flush() -> Self {
        Self { op: Op::Flush, sector: 0, preflush: false, fua: false }
    }

    /// A discard of `sectors` sectors from `sector` on.
    pub fn discard(sector: u64, sectors: u64) -> Self {
        Self { op: Op::Discard { sectors }, sector, preflush: false, fua: false }
    }

    /// The same request with `REQ_PREFLUSH`.
    #[must_use]
    pub fn with_preflush(mut self) -> Self {
        self.preflush = true;
        self
    }

    /// The same request with `REQ_FUA`.
    #[must_use]
    pub fn with_fua(mut self) -> Self {
        self.fua = true;
        self
    }

    /// The kind of this request.
    pub fn kind(&self) -> OpKind {
        match self.op {
            Op::Read { .. } => OpKind::Read,
            Op::Write { .. } => OpKind::Write,
            Op::Flush => OpKind::Flush,
            Op::Discard { .. } => OpKind::Discard,
        }
    }

    /// How many sectors it covers; 0 for a flush.
    pub fn sectors(&self) -> u64 {
        match &self.op {
            Op::Read { sectors } | Op::Discard { sectors } => *sectors,
            Op::Write { data } => (data.len() / SECTOR_SIZE) as u64,
            Op::Flush => 0,
        }
    }

    /// Refuses what no device of `device_sectors` sectors can do.
    pub(super) fn validate(&self, device_sectors: u64) -> Result<(), SubmitError> {
        if let Op::Write { data } = &self.op
            && data.len() % SECTOR_SIZE != 0
        {
            return Err(SubmitError::Unaligned { bytes: data.len() });
        }
        let sectors = self.sectors();
        if self.kind() == OpKind::Flush {
            return Ok(());
        }
        if sectors == 0 || sectors > REQUEST_SECTORS_MAX {
            return Err(SubmitError::Length { sectors });
        }
        match self.sector.checked_add(sectors) {
            Some(end) if end <= device_sectors => Ok(()),
            Some(_) | None => Err(SubmitError::OutOfRange { sector: self.sector, sectors, device_sectors }),
        }
    }
}

/// The end of a request, as the device reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Which request.
    pub id: RequestId,
    /// What it did.
    pub kind: OpKind,
    /// Its first sector.
    pub sector: u64,
    /// The bytes read (empty for all but reads), or why it failed.
    pub result: Result<Vec<u8>, IoError>,
    /// Simulated time of submission, in nanoseconds.
    pub submitted_ns: u64,
    /// Simulated time of completion, in nanoseconds.
    pub completed_ns: u64,
}

/// Why a request that was accepted did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IoError {
    /// A sector could not be read.
    #[error("sector {sector} could not be read")]
    Read {
        /// The sector.
        sector: u64,
    },
    /// A write failed; any of its sectors may hold the old or the new contents.
    #[error("sector {sector} could not be written")]
    Write {
        /// The first sector of the write.
        sector: u64,
    },
    /// The power went away before the request completed.
    #[error("the device lost power")]
    PowerLost,
    /// The request was refused at submission.
    #[error("the device refused the request")]
    Refused(#[source] SubmitError),
}

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// As many requests as the queue holds are under way: run a step and try again.
    #[error("the request queue is full ({depth} requests)")]
    QueueFull {
        /// The queue's depth.
        depth: usize,
    },
    /// The request reaches past the end of the device.
    #[error("{sectors} sectors from {sector} on end past the device's {device_sectors}")]
    OutOfRange {
        /// First sector asked for.
        sector: u64,
        /// How many.
        sectors: u64,
        /// How many the device has.
        device_sectors: u64,
    },
    /// No sectors, or more than one request may carry.
    #[error("a request of {sectors} sectors is empty or too long")]
    Length {
        /// How many were asked for.
        sectors: u64,
    },
    /// The data of a write is no whole number of sectors.
    #[error("{bytes} bytes are no whole number of sectors")]
    Unaligned {
        /// How many bytes.
        bytes: usize,
    },
    /// The device has no power.
    #[error("the device has no power")]
    PowerLost,
}
