//! Named deviations of the store, each of which the crash checker must catch.

/// One deviation of the store from what it should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// The commit record is written without flushing the log before it.
    CommitWithoutPreflush,
    /// The commit record is written without FUA.
    CommitWithoutFua,
    /// The journal's tail moves on before the checkpointed blocks are flushed.
    CheckpointBeforeFlush,
    /// Replay does not compare a transaction with its checksum.
    ReplayWithoutChecksum,
    /// Fsync does not write the file's data.
    FsyncWithoutData,
    /// Data of newly allocated blocks is not written before the commit.
    CommitWithoutOrderedData,
    /// Freed metadata blocks are not revoked.
    FreeWithoutRevoke,
    /// Blocks freed by a transaction that has not committed are used again.
    ReuseBeforeCommit,
    /// Metadata is written to its place before the transaction commits.
    WriteBeforeCommit,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 9] = [
        Self::CommitWithoutPreflush,
        Self::CommitWithoutFua,
        Self::CheckpointBeforeFlush,
        Self::ReplayWithoutChecksum,
        Self::FsyncWithoutData,
        Self::CommitWithoutOrderedData,
        Self::FreeWithoutRevoke,
        Self::ReuseBeforeCommit,
        Self::WriteBeforeCommit,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommitWithoutPreflush => "commit-without-preflush",
            Self::CommitWithoutFua => "commit-without-fua",
            Self::CheckpointBeforeFlush => "checkpoint-before-flush",
            Self::ReplayWithoutChecksum => "replay-without-checksum",
            Self::FsyncWithoutData => "fsync-without-data",
            Self::CommitWithoutOrderedData => "commit-without-ordered-data",
            Self::FreeWithoutRevoke => "free-without-revoke",
            Self::ReuseBeforeCommit => "reuse-before-commit",
            Self::WriteBeforeCommit => "write-before-commit",
        }
    }

    /// What it does, in a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::CommitWithoutPreflush => "the commit record is written without flushing the log before it",
            Self::CommitWithoutFua => "the commit record is written without FUA",
            Self::CheckpointBeforeFlush => "the journal's tail moves on before the checkpointed blocks are flushed",
            Self::ReplayWithoutChecksum => "replay does not compare a transaction with its checksum",
            Self::FsyncWithoutData => "fsync does not write the file's data",
            Self::CommitWithoutOrderedData => "data of newly allocated blocks is not written before the commit",
            Self::FreeWithoutRevoke => "freed metadata blocks are not revoked in the journal",
            Self::ReuseBeforeCommit => "blocks freed by an uncommitted transaction are used again",
            Self::WriteBeforeCommit => "metadata is written to its place before its transaction commits",
        }
    }

    /// The mutant of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}
