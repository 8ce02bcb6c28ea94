//! The table of mutants: what deviates, and the rule that must catch it.
//!
//! A mutant whose deviation breaks two rules by what the rules say names both (a quota file cannot be read while it is
//! written without being written while it is read).

use super::{Deviation, Entry, Step, Wrong};
use crate::reference::lock::Class;
use crate::reference::observe::Op;

/// One mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) id: String,
    /// What deviates, in words.
    pub(crate) what: String,
    pub(crate) deviation: Deviation,
    /// The rules that must catch it, and no others.
    pub(crate) rules: Vec<String>,
}

/// Ops that may sleep: calling one in atomic context breaks `<op>.may_block`.
const MAY_BLOCK: &[Op] = &[
    Op::DRevalidate,
    Op::DWeakRevalidate,
    Op::DInit,
    Op::DRelease,
    Op::DIput,
    Op::DAutomount,
    Op::DManage,
    Op::DReal,
    Op::Lookup,
    Op::Create,
    Op::Link,
    Op::Mknod,
    Op::Symlink,
    Op::Mkdir,
    Op::Unlink,
    Op::Rmdir,
    Op::Rename,
    Op::Readlink,
    Op::GetLink,
    Op::Truncate,
    Op::Setattr,
    Op::Permission,
    Op::GetAcl,
    Op::Getattr,
    Op::Listxattr,
    Op::Fiemap,
    Op::UpdateTime,
    Op::AtomicOpen,
    Op::Tmpfile,
    Op::FileattrGet,
    Op::FileattrSet,
    Op::XattrList,
    Op::XattrGet,
    Op::XattrSet,
    Op::AllocInode,
    Op::DestroyInode,
    Op::DirtyInode,
    Op::WriteInode,
    Op::EvictInode,
    Op::PutSuper,
    Op::SyncFs,
    Op::FreezeFs,
    Op::UnfreezeFs,
    Op::Statfs,
    Op::RemountFs,
    Op::UmountBegin,
    Op::ShowOptions,
    Op::QuotaRead,
    Op::QuotaWrite,
    Op::BdevTryToFreePage,
    Op::Mount,
    Op::KillSb,
    Op::Writepage,
    Op::Readpage,
    Op::Writepages,
    Op::Readahead,
    Op::Readpages,
    Op::WriteBegin,
    Op::WriteEnd,
    Op::Bmap,
    Op::Invalidatepage,
    Op::Releasepage,
    Op::DirectIo,
    Op::IsolatePage,
    Op::Migratepage,
    Op::PutbackPage,
    Op::LaunderPage,
    Op::IsPartiallyUptodate,
    Op::ErrorRemovePage,
    Op::SwapActivate,
    Op::SwapDeactivate,
    Op::LmExpireLock,
    Op::Llseek,
    Op::Read,
    Op::Write,
    Op::ReadIter,
    Op::WriteIter,
    Op::Iopoll,
    Op::Iterate,
    Op::IterateShared,
    Op::Poll,
    Op::UnlockedIoctl,
    Op::CompatIoctl,
    Op::Mmap,
    Op::Open,
    Op::Flush,
    Op::Release,
    Op::Fsync,
    Op::Fasync,
    Op::Lock,
    Op::Sendpage,
    Op::GetUnmappedArea,
    Op::CheckFlags,
    Op::Flock,
    Op::SpliceWrite,
    Op::SpliceRead,
    Op::Setlease,
    Op::Fallocate,
    Op::ShowFdinfo,
    Op::MmapCapabilities,
    Op::CopyFileRange,
    Op::RemapFileRange,
    Op::Fadvise,
];

/// Ops that must not sleep: one that does breaks `<op>.<aspect>`.
const MUST_NOT_SLEEP: &[(Op, &str)] = &[
    (Op::DRevalidate, "must_not_sleep"),
    (Op::DHash, "must_not_sleep"),
    (Op::DCompare, "must_not_sleep"),
    (Op::DDelete, "must_not_sleep"),
    (Op::DPrune, "must_not_sleep"),
    (Op::DDname, "must_not_sleep"),
    (Op::DManage, "must_not_sleep"),
    (Op::Permission, "rcu_walk"),
    (Op::FreeInode, "must_not_sleep"),
    (Op::DropInode, "must_not_sleep"),
    (Op::SetPageDirty, "must_not_sleep"),
    (Op::Freepage, "must_not_sleep"),
    (Op::FlCopyLock, "must_not_sleep"),
    (Op::FlReleasePrivate, "must_not_sleep"),
    (Op::LmNotify, "must_not_sleep"),
    (Op::LmGrant, "must_not_sleep"),
    (Op::LmBreak, "must_not_sleep"),
    (Op::LmChange, "must_not_sleep"),
    (Op::LmBreakerOwnsLease, "must_not_sleep"),
    (Op::LmLockExpirable, "must_not_sleep"),
    (Op::MapPages, "must_not_sleep"),
];

/// Ops that are never called in rcu-walk.
const NOT_IN_RCU_WALK: &[Op] = &[
    Op::DWeakRevalidate,
    Op::DDelete,
    Op::DInit,
    Op::DRelease,
    Op::DPrune,
    Op::DIput,
    Op::DDname,
    Op::DAutomount,
    Op::DReal,
];

/// Locks that are held wrongly at an entry: the op, the aspect of its rule, the lock, which of the held ones, and how.
const HELD_WRONGLY: &[(Op, &str, Class, usize, Wrong)] = &[
    (Op::DCompare, "rename_lock", Class::RenameLock, 0, Wrong::NotTaken),
    (Op::DDelete, "d_lock", Class::DLock, 0, Wrong::NotTaken),
    (Op::DPrune, "d_lock", Class::DLock, 0, Wrong::AnotherObject),
    (Op::Lookup, "", Class::IRwsem, 0, Wrong::NotTaken),
    (Op::Create, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::Link, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::Link, "source", Class::IRwsem, 1, Wrong::NotTaken),
    (Op::Mknod, "", Class::IRwsem, 0, Wrong::NotTaken),
    (Op::Symlink, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::Mkdir, "", Class::IRwsem, 0, Wrong::AnotherObject),
    (Op::Unlink, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::Unlink, "victim", Class::IRwsem, 1, Wrong::NotTaken),
    (Op::Rmdir, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::Rmdir, "victim", Class::IRwsem, 1, Wrong::AnotherObject),
    (Op::Rename, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::Rename, "mutex", Class::RenameMutex, 0, Wrong::NotTaken),
    (Op::Setattr, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::AtomicOpen, "create", Class::IRwsem, 0, Wrong::Shared),
    (Op::FileattrSet, "", Class::IRwsem, 0, Wrong::NotTaken),
    (Op::XattrSet, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::DropInode, "i_lock", Class::ILock, 0, Wrong::NotTaken),
    (Op::PutSuper, "", Class::SUmount, 0, Wrong::Shared),
    (Op::SyncFs, "", Class::SUmount, 0, Wrong::NotTaken),
    (Op::FreezeFs, "", Class::SUmount, 0, Wrong::Shared),
    (Op::UnfreezeFs, "", Class::SUmount, 0, Wrong::NotTaken),
    (Op::Statfs, "ustat", Class::SUmount, 0, Wrong::NotTaken),
    (Op::RemountFs, "", Class::SUmount, 0, Wrong::AnotherObject),
    (Op::ShowOptions, "namespace_sem", Class::NamespaceSem, 0, Wrong::NotTaken),
    (Op::QuotaRead, "dqio_sem", Class::DqioSem, 0, Wrong::NotTaken),
    (Op::QuotaWrite, "dqio_sem", Class::DqioSem, 0, Wrong::Shared),
    (Op::KillSb, "", Class::SUmount, 0, Wrong::Shared),
    (Op::Writepage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::Readpage, "locked", Class::FolioLock, 0, Wrong::AnotherObject),
    (Op::Readpage, "invalidate_lock", Class::InvalidateLock, 0, Wrong::NotTaken),
    (Op::Readahead, "invalidate_lock", Class::InvalidateLock, 0, Wrong::AnotherObject),
    (Op::Readpages, "invalidate_lock", Class::InvalidateLock, 0, Wrong::NotTaken),
    (Op::WriteBegin, "i_rwsem", Class::IRwsem, 0, Wrong::Shared),
    (Op::WriteEnd, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::WriteEnd, "i_rwsem", Class::IRwsem, 0, Wrong::NotTaken),
    (Op::Invalidatepage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::Invalidatepage, "invalidate_lock", Class::InvalidateLock, 0, Wrong::Shared),
    (Op::Releasepage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::Freepage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::IsolatePage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::Migratepage, "", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::Migratepage, "destination", Class::FolioLock, 1, Wrong::NotTaken),
    (Op::PutbackPage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::LaunderPage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::IsPartiallyUptodate, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::ErrorRemovePage, "locked", Class::FolioLock, 0, Wrong::NotTaken),
    (Op::FlCopyLock, "", Class::ILock, 0, Wrong::NotTaken),
    (Op::LmNotify, "blocked_lock_lock", Class::BlockedLockLock, 0, Wrong::NotTaken),
    (Op::LmBreak, "flc_lock", Class::FlcLock, 0, Wrong::NotTaken),
    (Op::LmChange, "flc_lock", Class::FlcLock, 0, Wrong::AnotherObject),
    (Op::LmBreakerOwnsLease, "flc_lock", Class::FlcLock, 0, Wrong::NotTaken),
    (Op::LmLockExpirable, "flc_lock", Class::FlcLock, 0, Wrong::NotTaken),
    (Op::BdevOpen, "", Class::OpenMutex, 0, Wrong::NotTaken),
    (Op::BdevRelease, "", Class::OpenMutex, 0, Wrong::AnotherObject),
    (Op::SwapSlotFreeNotify, "swap_lock", Class::SwapLock, 0, Wrong::NotTaken),
    (Op::Iterate, "", Class::IRwsem, 0, Wrong::Shared),
    (Op::IterateShared, "", Class::IRwsem, 0, Wrong::NotTaken),
    (Op::WriteDquot, "", Class::DqptrSem, 0, Wrong::NotTaken),
    (Op::AcquireDquot, "", Class::DqptrSem, 0, Wrong::NotTaken),
    (Op::ReleaseDquot, "", Class::DqptrSem, 0, Wrong::NotTaken),
    (Op::WriteInfo, "", Class::DqonoffSem, 0, Wrong::NotTaken),
    (Op::VmOpen, "", Class::MmapLock, 1, Wrong::NotTaken),
    (Op::VmClose, "", Class::MmapLock, 0, Wrong::NotTaken),
    (Op::Fault, "", Class::MmapLock, 0, Wrong::NotTaken),
    (Op::MapPages, "", Class::MmapLock, 0, Wrong::AnotherObject),
    (Op::PageMkwrite, "", Class::MmapLock, 0, Wrong::NotTaken),
    (Op::PfnMkwrite, "", Class::MmapLock, 0, Wrong::NotTaken),
    (Op::VmAccess, "", Class::MmapLock, 0, Wrong::NotTaken),
];

/// Acquisitions that a function gets wrong: name of the mutant, function, lock, how, rule.
const ACQUIRED_WRONGLY: &[(&str, &str, Class, Wrong, &str)] = &[
    ("lookup_slow-unlocked", "lookup_slow", Class::IRwsem, Wrong::NotTaken, "inode_operations.lookup"),
    ("atomic_open-unlocked", "path_openat", Class::IRwsem, Wrong::NotTaken, "inode_operations.atomic_open"),
    ("victims-shared", "lock_two_nondirectories", Class::IRwsem, Wrong::Shared, "inode_operations.rename.*"),
    ("remount-shared", "reconfigure_super", Class::SUmount, Wrong::Shared, "super_operations.remount_fs"),
    (
        "mount-table-unlocked",
        "show_vfsmnt",
        Class::NamespaceSem,
        Wrong::NotTaken,
        "super_operations.show_options.namespace_sem",
    ),
];

/// Steps of protocols, with the rules that must catch them.
const STEPS: &[(&str, Step, &[&str])] = &[
    ("fileattr_get-shared", Step::FileattrGetShared, &["inode_operations.fileattr_get"]),
    ("free_inode-at-once", Step::FreeInodeAtOnce, &["super_operations.free_inode.rcu_callback"]),
    ("mount-unlocks", Step::MountUnlocks, &["file_system_type.mount.locked"]),
    ("kill_sb-keeps-lock", Step::KillSbKeepsLock, &["file_system_type.kill_sb.unlocks"]),
    (
        "quota-read-in-write",
        Step::QuotaReadInWrite,
        &["super_operations.quota_read.alone", "super_operations.quota_write.alone"],
    ),
    ("quota-write-in-write", Step::QuotaWriteInWrite, &["super_operations.quota_write.alone"]),
    ("mark_dirty-writes", Step::MarkDirtyWrites, &["dquot_operations.mark_dirty.recursion"]),
    ("writepage-keeps-lock", Step::WritepageKeepsLock, &["address_space_operations.writepage.unlocks"]),
    ("writepage-sync-skips-io", Step::SyncSkipsIo, &["address_space_operations.writepage.sync_starts_io"]),
    ("writepage-sync-does-not-wait", Step::SyncDoesNotWait, &["address_space_operations.writepage.sync_waits"]),
    ("writepage-redirty-result", Step::RedirtyResult, &["address_space_operations.writepage.redirtied"]),
    ("writepage-skips-writeback", Step::SkipsWriteback, &["address_space_operations.writepage.writeback"]),
    (
        "writepage-unlocks-first",
        Step::UnlockThenWriteback,
        &["address_space_operations.writepage.writeback_then_unlock"],
    ),
    ("writepage-never-ends", Step::WritebackNeverEnds, &["address_space_operations.writepage.ends_writeback"]),
    ("readpage-keeps-lock", Step::ReadpageKeepsLock, &["address_space_operations.readpage.unlocks"]),
    ("readahead-unlocked", Step::ReadaheadUnlocked, &["address_space_operations.readahead.locked"]),
    ("readahead-keeps-lock", Step::ReadaheadKeepsLock, &["address_space_operations.readahead.unlocks"]),
    ("readpages-keeps-lock", Step::ReadpagesKeepsLock, &["address_space_operations.readpages.unlocks"]),
    ("writepages-miscounts", Step::DoesNotCountDown, &["address_space_operations.writepages.counts_down"]),
    ("writepages-strays", Step::WritesStray, &["address_space_operations.writepages.own_pages"]),
    ("write_begin-unlocked", Step::WriteBeginUnlocked, &["address_space_operations.write_begin.locks"]),
    ("write_end-keeps-lock", Step::WriteEndKeepsLock, &["address_space_operations.write_end.unlocks"]),
    ("freepage-too-early", Step::FreepageTooEarly, &["address_space_operations.freepage.removed"]),
    ("launder-unlocks", Step::LaunderUnlocks, &["address_space_operations.launder_page.keeps_locked"]),
    ("launder-leaves-dirty", Step::LaunderLeavesDirty, &["address_space_operations.launder_page.cleans"]),
    ("swapon-deactivates", Step::DeactivateInSwapon, &["address_space_operations.swap_deactivate.swapoff"]),
    ("b_end_io-unlocked", Step::EndIoUnlocked, &["buffer_head.b_end_io"]),
    ("b_end_io-in-task", Step::EndIoInTask, &["buffer_head.b_end_io.context"]),
    ("fasync-forgets", Step::FasyncForgetsFlag, &["file_operations.fasync.flag"]),
    ("setlease-forgets", Step::SetleaseForgets, &["file_operations.setlease.generic_setlease"]),
    ("fallocate-relies", Step::FallocateRelies, &["file_operations.fallocate.invalidate_lock"]),
    ("copy-locks-one", Step::CopyLocksOne, &["file_operations.copy_file_range.invalidate_lock"]),
    ("remap-locks-one", Step::RemapLocksOne, &["file_operations.remap_file_range.invalidate_lock"]),
    ("fault-relies", Step::FaultRelies, &["vm_operations_struct.fault.invalidate_lock"]),
    ("fault-page-stays-locked", Step::FaultPageStaysLocked, &["vm_operations_struct.fault.unlocked_by_caller"]),
    ("fault-unlocks", Step::FaultUnlocks, &["vm_operations_struct.fault.locked"]),
    ("fault-truncated", Step::FaultTruncated, &["vm_operations_struct.fault.not_truncated"]),
    ("map_pages-by-hand", Step::MapPagesByHand, &["vm_operations_struct.map_pages.sets_entries"]),
    ("page_mkwrite-ignores-truncation", Step::MkwriteIgnoresTruncation, &["vm_operations_struct.page_mkwrite.retries"]),
    (
        "page_mkwrite-truncated-locked",
        Step::MkwriteTruncatedLocked,
        &["vm_operations_struct.page_mkwrite.not_truncated"],
    ),
    ("page_mkwrite-unlocks", Step::MkwriteUnlocks, &["vm_operations_struct.page_mkwrite.locked"]),
    ("pfn_mkwrite-result", Step::PfnMkwriteResult, &["vm_operations_struct.pfn_mkwrite.result"]),
];

/// Every mutant that a rule catches.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for op in MAY_BLOCK {
        let what = format!("`{}` is entered in atomic context", op.prototype().op);
        rows.push(row(*op, "atomic", what, Deviation::Entry(*op, Entry::Atomic), "may_block"));
    }
    for (op, aspect) in MUST_NOT_SLEEP {
        let what = format!("`{}` sleeps", op.prototype().op);
        rows.push(row(*op, "sleeps", what, Deviation::SleepIn(*op), aspect));
    }
    for op in NOT_IN_RCU_WALK {
        let what = format!("`{}` is called in rcu-walk", op.prototype().op);
        rows.push(row(*op, "rcu-walk", what, Deviation::Entry(*op, Entry::RcuWalk), "rcu_walk"));
    }
    for (op, aspect, class, nth, wrong) in HELD_WRONGLY {
        let how = match wrong {
            Wrong::NotTaken => "released",
            Wrong::Shared => "shared",
            Wrong::AnotherObject => "of another object",
        };
        let what = format!("`{}` is entered with {} {how}", op.prototype().op, class.name());
        let entry = Entry::Lock { class: *class, nth: *nth, wrong: *wrong };
        let kind = if aspect.is_empty() { how.to_owned() } else { format!("{aspect}-{how}") };
        rows.push(row(*op, &kind, what, Deviation::Entry(*op, entry), aspect));
    }
    for (id, function, class, wrong, rule) in ACQUIRED_WRONGLY {
        let what = format!("{function} gets {} wrong: {wrong:?}", class.name());
        let deviation = Deviation::Acquire { function, class: *class, wrong: *wrong };
        rows.push(Row { id: (*id).to_owned(), what, deviation, rules: vec![(*rule).to_owned()] });
    }
    for (id, step, rules) in STEPS {
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        rows.push(Row { id: (*id).to_owned(), what: id.replace('-', " "), deviation: Deviation::Step(*step), rules });
    }
    rows
}

fn row(op: Op, kind: &str, what: String, deviation: Deviation, aspect: &str) -> Row {
    let prototype = op.prototype();
    let rule = if aspect.is_empty() { op.full_name() } else { format!("{}.{aspect}", op.full_name()) };
    let id = format!("{}-{}-{}", prototype.table, prototype.op, kind.replace(' ', "-"));
    Row { id, what, deviation, rules: vec![rule] }
}
