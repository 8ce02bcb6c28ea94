//! Quota: structures that count who uses what, kept in a quota file.
//!
//! As in the document, structures are written, acquired and released with `dqptr_sem` held, and a quota file's header with
//! `dqonoff_sem`; both are of the reference VFS only, since no running kernel has them.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::lock::Mode;
use crate::reference::mutant::Step;
use crate::reference::object::{Dquot, DquotFlag, Errno, Inode, Result, SuperBlock, leaf};
use crate::reference::task::{Task, invoke};

/// Bytes of one entry of a quota file: in use, allowed.
const ENTRY_BYTES: usize = 16;
/// Bytes of a quota file's header.
const HEADER_BYTES: u64 = 16;

/// Where a structure stands in the quota file.
fn place(dquot: &'static Dquot) -> u64 {
    HEADER_BYTES + u64::from(dquot.dq_id.load(SeqCst)) * ENTRY_BYTES as u64
}

/// The structure of a user, read from the quota file when it is the first use.
pub(crate) fn dqget(t: &Task, sb: &'static SuperBlock, id: u32) -> Result<&'static Dquot> {
    let _frame = t.frame("dqget");
    let known = leaf(&sb.s_dquots).get(&id).copied();
    let dquot = if let Some(dquot) = known {
        dquot.dq_count.fetch_add(1, SeqCst);
        dquot
    } else {
        let new = t.kernel.slabs.dquots.allocate();
        new.dq_sb.set(Some(sb));
        new.dq_id.store(id, SeqCst);
        let mut dquots = leaf(&sb.s_dquots);
        if let Some(faster) = dquots.get(&id).copied() {
            faster.dq_count.fetch_add(1, SeqCst);
            t.kernel.slabs.dquots.free(new);
            faster
        } else {
            dquots.insert(id, new);
            new
        }
    };
    let callback = sb.quota_ops().acquire_dquot.ok_or(Errno::ENOSYS)?;
    if dquot.dq_flags.load(SeqCst) & DquotFlag::ACTIVE == 0 {
        sb.dqptr_sem.acquire(t, Mode::Exclusive);
        let result = invoke!(t, AcquireDquot, callback, dquot);
        sb.dqptr_sem.release(t);
        result?;
    }
    Ok(dquot)
}

/// Drops a use; the last one writes and releases the structure.
pub(crate) fn dqput(t: &Task, dquot: &'static Dquot) -> Result<()> {
    let _frame = t.frame("dqput");
    let Some(sb) = dquot.dq_sb.get() else { return Ok(()) };
    if dquot.dq_count.fetch_sub(1, SeqCst) > 1 {
        return Ok(());
    }
    let write = sb.quota_ops().write_dquot.ok_or(Errno::ENOSYS)?;
    let release = sb.quota_ops().release_dquot.ok_or(Errno::ENOSYS)?;
    sb.dqptr_sem.acquire(t, Mode::Exclusive);
    let mut result = Ok(());
    if dquot.dq_count.load(SeqCst) == 0 && leaf(&sb.s_dquots).values().any(|known| std::ptr::eq(*known, dquot)) {
        if dquot.dq_flags.load(SeqCst) & DquotFlag::MODIFIED != 0 {
            result = invoke!(t, WriteDquot, write, dquot);
        }
        result = result.and(invoke!(t, ReleaseDquot, release, dquot));
        leaf(&sb.s_dquots).remove(&dquot.dq_id.load(SeqCst));
        t.kernel.slabs.dquots.free(dquot);
    }
    sb.dqptr_sem.release(t);
    result
}

/// Charges an inode's owner, or gives back; nothing where no quota is counted.
pub(crate) fn charge(t: &Task, inode: &'static Inode, before: u64, after: u64) -> Result<()> {
    let _frame = t.frame("__dquot_alloc_space");
    let Some(dquot) = inode.i_dquot.get() else { return Ok(()) };
    let grown = after.saturating_sub(before);
    if grown > 0 && dquot.dq_used.load(SeqCst) + grown > dquot.dq_limit.load(SeqCst) {
        return Err(Errno::EDQUOT);
    }
    dquot.dq_used.fetch_add(grown, SeqCst);
    dquot.dq_used.fetch_sub(before.saturating_sub(after), SeqCst);
    let callback = inode.sb().quota_ops().mark_dirty.ok_or(Errno::ENOSYS)?;
    invoke!(t, MarkDirty, callback, dquot)
}

/// `quotactl(Q_SYNC)`: all structures and the header are written.
pub(crate) fn dquot_writeback(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    let _frame = t.frame("dquot_writeback_dquots");
    let ops = sb.quota_ops();
    let (Some(write), Some(info)) = (ops.write_dquot, ops.write_info) else { return Ok(()) };
    sb.dqonoff_sem.acquire(t, Mode::Exclusive);
    let dquots: Vec<_> = leaf(&sb.s_dquots).values().copied().collect();
    let mut result = Ok(());
    for dquot in dquots {
        if dquot.dq_flags.load(SeqCst) & DquotFlag::MODIFIED != 0 {
            sb.dqptr_sem.acquire(t, Mode::Shared);
            result = result.and(invoke!(t, WriteDquot, write, dquot));
            sb.dqptr_sem.release(t);
        }
    }
    let kind = 0;
    result = result.and(invoke!(t, WriteInfo, info, sb, kind));
    sb.dqonoff_sem.release(t);
    result
}

/// The usual `acquire_dquot`: reads the structure.
pub(crate) fn dquot_acquire(t: &Task, dquot: &'static Dquot) -> Result<()> {
    let _frame = t.frame("dquot_acquire");
    let sb = dquot.dq_sb.get().ok_or(Errno::EIO)?;
    if dquot.dq_flags.load(SeqCst) & DquotFlag::ACTIVE != 0 {
        return Ok(());
    }
    let mut entry = [0; ENTRY_BYTES];
    sb.dqio_sem.acquire(t, Mode::Shared);
    let read = read_file(t, sb, place(dquot), &mut entry);
    sb.dqio_sem.release(t);
    if read? == ENTRY_BYTES {
        dquot.dq_used.store(number(&entry[..8]), SeqCst);
        let limit = number(&entry[8..]);
        dquot.dq_limit.store(if limit == 0 { u64::MAX } else { limit }, SeqCst);
    }
    dquot.dq_flags.fetch_or(DquotFlag::ACTIVE, SeqCst);
    Ok(())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The usual `write_dquot`: writes the structure.
pub(crate) fn dquot_commit(t: &Task, dquot: &'static Dquot) -> Result<()> {
    let _frame = t.frame("dquot_commit");
    let sb = dquot.dq_sb.get().ok_or(Errno::EIO)?;
    dquot.dq_flags.fetch_and(!DquotFlag::MODIFIED, SeqCst);
    let mut entry = dquot.dq_used.load(SeqCst).to_le_bytes().to_vec();
    entry.extend(dquot.dq_limit.load(SeqCst).to_le_bytes());
    sb.dqio_sem.acquire(t, Mode::Exclusive);
    let written = write_file(t, sb, place(dquot), &entry);
    sb.dqio_sem.release(t);
    written.map(|_| ())
}

/// The usual `mark_dirty`.
pub(crate) fn dquot_mark_dirty(t: &Task, dquot: &'static Dquot) -> Result<()> {
    let _frame = t.frame("dquot_mark_dquot_dirty");
    dquot.dq_flags.fetch_or(DquotFlag::MODIFIED, SeqCst);
    if t.deviates(Step::MarkDirtyWrites) {
        return dquot_commit(t, dquot);
    }
    Ok(())
}

/// The usual `write_info`: writes the header.
pub(crate) fn dquot_commit_info(t: &Task, sb: &'static SuperBlock) -> Result<()> {
    let _frame = t.frame("dquot_commit_info");
    sb.dqio_sem.acquire(t, Mode::Exclusive);
    let written = write_file(t, sb, 0, b"quota reference!");
    sb.dqio_sem.release(t);
    written.map(|_| ())
}

fn read_file(t: &Task, sb: &'static SuperBlock, at: u64, buffer: &mut [u8]) -> Result<usize> {
    let _frame = t.frame("v2_read_dquot");
    let callback = sb.ops().quota_read.ok_or(Errno::ENOSYS)?;
    invoke!(t, QuotaRead, callback, sb, at, buffer)
}

fn write_file(t: &Task, sb: &'static SuperBlock, at: u64, data: &[u8]) -> Result<usize> {
    let _frame = t.frame("v2_write_dquot");
    let callback = sb.ops().quota_write.ok_or(Errno::ENOSYS)?;
    invoke!(t, QuotaWrite, callback, sb, at, data)
}

/// What a deviating quota file does while it is written: it is read, or written once more.
pub(crate) fn meddle(t: &Task, sb: &'static SuperBlock, data: &[u8]) {
    if t.is_in("meddle") {
        return;
    }
    let _frame = t.frame("meddle");
    if t.deviates(Step::QuotaReadInWrite) {
        // The answer is of no interest: that it is asked for is the deviation.
        let _ = read_file(t, sb, 0, &mut [0; ENTRY_BYTES]);
    }
    if t.deviates(Step::QuotaWriteInWrite) {
        let _ = write_file(t, sb, 0, data);
    }
}
