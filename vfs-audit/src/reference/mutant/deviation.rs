//! What can be wrong with a mutant.

use crate::reference::lock::Class;
use crate::reference::observe::Op;

/// The single deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// None: the reference.
    #[default]
    None,
    /// A caller enters a callback wrongly; only its entry, so that what the callback calls is as ever.
    Entry(Op, Entry),
    /// A callback sleeps before it returns.
    SleepIn(Op),
    /// A function acquires a lock wrongly.
    Acquire {
        /// The function.
        function: &'static str,
        /// The lock.
        class: Class,
        /// How.
        wrong: Wrong,
    },
    /// A step of a protocol is left out or done wrong.
    Step(Step),
}

/// How an entry is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// In atomic context.
    Atomic,
    /// In rcu-walk.
    RcuWalk,
    /// With a lock that is held wrongly.
    Lock {
        /// Its class.
        class: Class,
        /// Which of the held ones of the class, in the order of acquisition.
        nth: usize,
        /// How.
        wrong: Wrong,
    },
}

/// How a lock is held wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Not at all.
    NotTaken,
    /// Shared instead of exclusive.
    Shared,
    /// Another lock of the class.
    AnotherObject,
}

/// A step that deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `fileattr_get` is called with the inode held shared.
    FileattrGetShared,
    /// An inode is freed at once, not after a grace period.
    FreeInodeAtOnce,
    /// `mount` returns with the superblock unlocked.
    MountUnlocks,
    /// `kill_sb` returns with the superblock locked.
    KillSbKeepsLock,
    /// A quota file is read while it is written.
    QuotaReadInWrite,
    /// A quota file is written twice at once.
    QuotaWriteInWrite,
    /// A quota structure that is marked dirty is written at once.
    MarkDirtyWrites,
    /// `writepage` that has dirtied the page again returns with it locked.
    WritepageKeepsLock,
    /// `writepage` for sync starts no I/O.
    SyncSkipsIo,
    /// `writepage` for sync does not wait for writeback that is under way.
    SyncDoesNotWait,
    /// `writepage` that has dirtied the page again says so by its result.
    RedirtyResult,
    /// `writepage` neither dirties the page again nor sets it under writeback.
    SkipsWriteback,
    /// `writepage` unlocks the page before it sets it under writeback.
    UnlockThenWriteback,
    /// Writeback that was begun is never ended.
    WritebackNeverEnds,
    /// `readpage` leaves the page locked.
    ReadpageKeepsLock,
    /// `readahead` is asked for a page that is not locked.
    ReadaheadUnlocked,
    /// `readahead` leaves a page locked.
    ReadaheadKeepsLock,
    /// `readpages` leaves a page locked.
    ReadpagesKeepsLock,
    /// `writepages` does not count what it writes.
    DoesNotCountDown,
    /// `writepages` writes a page of another mapping.
    WritesStray,
    /// `write_begin` gives back a page that is not locked.
    WriteBeginUnlocked,
    /// `write_end` leaves the page locked.
    WriteEndKeepsLock,
    /// `freepage` is called before the page is removed.
    FreepageTooEarly,
    /// `launder_page` unlocks the page and locks it again.
    LaunderUnlocks,
    /// `launder_page` says that a dirty page is clean.
    LaunderLeavesDirty,
    /// `swap_deactivate` is called by swapon.
    DeactivateInSwapon,
    /// A buffer is unlocked before its completion is called.
    EndIoUnlocked,
    /// A buffer's completion is called by the task that submits it.
    EndIoInTask,
    /// `fasync` does not keep the FASYNC bit.
    FasyncForgetsFlag,
    /// `setlease` does not record the lease.
    SetleaseForgets,
    /// The caller of `fallocate` holds `invalidate_lock`, and the callback does not take it.
    FallocateRelies,
    /// `copy_file_range` takes the lock of one file only.
    CopyLocksOne,
    /// `remap_file_range` takes the lock of one file only.
    RemapLocksOne,
    /// The caller of `fault` holds `invalidate_lock`, and the callback does not take it.
    FaultRelies,
    /// The page of a fault is not unlocked by the caller.
    FaultPageStaysLocked,
    /// `fault` says that the page is locked, and it is not.
    FaultUnlocks,
    /// `fault` returns a page that was truncated.
    FaultTruncated,
    /// `map_pages` writes page-table entries by hand.
    MapPagesByHand,
    /// `page_mkwrite` returns zero for a truncated page.
    MkwriteIgnoresTruncation,
    /// `page_mkwrite` gives a truncated page back as locked.
    MkwriteTruncatedLocked,
    /// `page_mkwrite` says that the page is locked, and it is not.
    MkwriteUnlocks,
    /// `pfn_mkwrite` returns a page state.
    PfnMkwriteResult,
    /// The driver does not flush the disk's cache.
    SkipsFlush,
    /// A task takes two directories in the order opposite to a rename's, without the rename mutex.
    InvertedOrder,
    /// A release forgets to wake who waits.
    ForgetsWakeUp,
}
