//! What the store has done, in numbers.

/// Counters of one mounted store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handles that ended well.
    pub handles: u64,
    /// Handles that were undone.
    pub handles_undone: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Blocks written to the journal's log, descriptors and commit records included.
    pub log_blocks: u64,
    /// Blocks revoked.
    pub revokes: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Blocks a checkpoint wrote to their place.
    pub checkpoint_blocks: u64,
    /// Data blocks written before a commit because the transaction allocated them.
    pub ordered_blocks: u64,
    /// Data blocks written, ordered ones included.
    pub data_blocks: u64,
    /// Metadata blocks found in memory.
    pub cache_hits: u64,
    /// Metadata blocks read from below.
    pub cache_misses: u64,
    /// Commits forced because the transaction, the revokes or the space to be freed were near their limit.
    pub forced_commits: u64,
    /// Times the dirty data reached its limit and was written.
    pub dirty_limit_reached: u64,
}
