//! What the device has done and what has been done to it, in numbers.

/// Counters of one device since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests accepted.
    pub submitted: u64,
    /// Requests completed, with or without success.
    pub completed: u64,
    /// Reads completed.
    pub reads: u64,
    /// Writes completed.
    pub writes: u64,
    /// Writes that carried FUA.
    pub fua_writes: u64,
    /// Writes that carried a preflush.
    pub preflush_writes: u64,
    /// Flush requests completed.
    pub flushes: u64,
    /// Discards completed.
    pub discards: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Submissions refused because the queue was full.
    pub queue_full: u64,
    /// Most requests under way at once.
    pub queue_depth_highest: u64,
    /// Completions that came after the completion of a later request.
    pub out_of_order: u64,
    /// Sectors the full write cache wrote back by itself.
    pub cache_evictions: u64,
    /// Times the power was cut.
    pub power_cuts: u64,
    /// Sectors whose newest contents a power cut lost.
    pub sectors_lost: u64,
    /// Reads failed by a fault.
    pub read_errors: u64,
    /// Writes failed by a fault.
    pub write_errors: u64,
    /// Writes that claimed success and left sectors out.
    pub torn_writes: u64,
    /// Writes that claimed success and went elsewhere.
    pub misdirected_writes: u64,
    /// Sectors that went bad after a write.
    pub latent_sectors: u64,
    /// Faults that were due but came after the plan's limit.
    pub faults_withheld: u64,
}

impl Counters {
    /// Faults of every kind that took effect.
    pub fn faults(&self) -> u64 {
        self.read_errors + self.write_errors + self.torn_writes + self.misdirected_writes + self.latent_sectors
    }
}
