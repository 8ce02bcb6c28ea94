//! Inodes: from their allocation to their end, and what is written of them.

use std::sync::atomic::Ordering::SeqCst;

use super::pagecache::truncate_inode_pages_final;
use crate::reference::lock::{Fault, FaultKind};
use crate::reference::mutant::Step;
use crate::reference::object::{Inode, InodeState, Path, Result, SuperBlock, WritebackControl, leaf};
use crate::reference::task::{Task, invoke};

/// Atime is written when it is this much older than now.
const ATIME_GRAIN: u64 = 64;

/// A new inode of a superblock, in no list yet.
pub(crate) fn new_inode(t: &Task, sb: &'static SuperBlock) -> &'static Inode {
    let _frame = t.frame("alloc_inode");
    let inode = match sb.ops().alloc_inode {
        Some(callback) => invoke!(t, AllocInode, callback, sb),
        None => t.kernel.slabs.inodes.allocate(),
    };
    inode.i_sb.set(Some(sb));
    inode.i_mapping.host.set(Some(inode));
    inode.i_nlink.store(1, SeqCst);
    inode
}

/// The inode of a number: the one in the cache, or a new one that is set up by the caller (the flag says so).
pub(crate) fn iget(t: &Task, sb: &'static SuperBlock, number: u64) -> (&'static Inode, bool) {
    let _frame = t.frame("iget_locked");
    loop {
        t.rcu_read_lock();
        let known = leaf(&sb.s_inodes).get(&number).copied();
        let Some(inode) = known else {
            t.rcu_read_unlock();
            break;
        };
        inode.i_lock.lock(t);
        let same = inode.i_state.load(SeqCst) & InodeState::FREEING == 0 && inode.number() == number;
        if same {
            inode.i_count.fetch_add(1, SeqCst);
        }
        inode.i_lock.release(t);
        t.rcu_read_unlock();
        if same {
            wait_on_new(t, inode);
            return (inode, false);
        }
        t.wait(&inode.i_wait, "an inode that is being freed", || {
            leaf(&sb.s_inodes).get(&number).is_none_or(|now| !std::ptr::eq(*now, inode))
        });
    }
    let inode = new_inode(t, sb);
    inode.i_ino.store(number, SeqCst);
    inode.i_state.store(InodeState::NEW, SeqCst);
    let faster = {
        let mut inodes = leaf(&sb.s_inodes);
        let faster = inodes.contains_key(&number);
        if !faster {
            inodes.insert(number, inode);
        }
        faster
    };
    if faster {
        destroy_inode(t, inode);
        return iget(t, sb, number);
    }
    (inode, true)
}

fn wait_on_new(t: &Task, inode: &'static Inode) {
    t.wait(&inode.i_wait, "an inode that is being read", || inode.i_state.load(SeqCst) & InodeState::NEW == 0);
}

/// Says that an inode from [`iget`] is set up.
pub(crate) fn unlock_new_inode(t: &Task, inode: &'static Inode) {
    inode.i_state.fetch_and(!InodeState::NEW, SeqCst);
    t.wake_all(&inode.i_wait);
}

/// Puts a newly made inode into its superblock's list.
pub(crate) fn insert_inode(inode: &'static Inode) {
    leaf(&inode.sb().s_inodes).insert(inode.number(), inode);
}

/// Takes a reference.
pub(crate) fn ihold(inode: &'static Inode) -> &'static Inode {
    inode.i_count.fetch_add(1, SeqCst);
    inode
}

/// Drops a reference; the last one may end the inode.
pub(crate) fn iput(t: &Task, inode: &'static Inode) {
    let _frame = t.frame("iput");
    inode.i_lock.lock(t);
    if inode.i_count.fetch_sub(1, SeqCst) > 1 {
        inode.i_lock.release(t);
        return;
    }
    let drop = match inode.sb().ops().drop_inode {
        Some(callback) => invoke!(t, DropInode, callback, inode),
        None => inode.i_nlink.load(SeqCst) == 0,
    };
    let unmounting = inode.sb().s_root.get().is_none();
    if !drop && !unmounting {
        inode.i_lock.release(t);
        return;
    }
    inode.i_state.fetch_or(InodeState::FREEING, SeqCst);
    inode.i_lock.release(t);
    evict(t, inode);
}

/// Ends an inode that nobody refers to.
fn evict(t: &Task, inode: &'static Inode) {
    let _frame = t.frame("evict");
    if inode.i_nlink.load(SeqCst) > 0 {
        write_inode_now(t, inode);
    }
    match inode.sb().ops().evict_inode {
        Some(callback) => invoke!(t, EvictInode, callback, inode),
        None => truncate_inode_pages_final(t, inode),
    }
    {
        let mut inodes = leaf(&inode.sb().s_inodes);
        if inodes.get(&inode.number()).is_some_and(|now| std::ptr::eq(*now, inode)) {
            inodes.remove(&inode.number());
        }
    }
    t.wake_all(&inode.i_wait);
    if inode.i_mapping.dirty_pages.load(SeqCst) > 0 {
        let what = format!("inode {} ends with dirty pages", inode.number());
        t.kernel.report(Fault { kind: FaultKind::BadObject, what });
    }
    destroy_inode(t, inode);
}

fn destroy_inode(t: &Task, inode: &'static Inode) {
    let _frame = t.frame("destroy_inode");
    let ops = inode.sb().ops();
    if let Some(callback) = ops.destroy_inode {
        invoke!(t, DestroyInode, callback, inode);
    }
    let free = move |t: &Task| {
        let _frame = t.frame("i_callback");
        match ops.free_inode {
            Some(callback) => invoke!(t, FreeInode, callback, inode),
            None => t.kernel.slabs.inodes.free(inode),
        }
    };
    if t.deviates(Step::FreeInodeAtOnce) {
        free(t);
    } else {
        t.kernel.rcu.call(Box::new(free));
    }
}

/// Ends all idle inodes of a superblock that is unmounted.
pub(crate) fn evict_inodes(t: &Task, sb: &'static SuperBlock) {
    let _frame = t.frame("evict_inodes");
    let inodes: Vec<_> = leaf(&sb.s_inodes).values().copied().collect();
    for inode in inodes {
        inode.i_lock.lock(t);
        let idle = inode.i_count.load(SeqCst) == 0 && inode.i_state.load(SeqCst) & InodeState::FREEING == 0;
        if idle {
            inode.i_state.fetch_or(InodeState::FREEING, SeqCst);
        }
        inode.i_lock.release(t);
        if idle {
            evict(t, inode);
        }
    }
    let busy = leaf(&sb.s_inodes).len();
    if busy > 0 {
        let what = format!("{busy} inodes in use after unmount");
        t.kernel.report(Fault { kind: FaultKind::BadObject, what });
    }
}

/// The numbers of a superblock's inodes, in order.
pub(crate) fn inode_numbers(sb: &'static SuperBlock) -> Vec<u64> {
    let mut numbers: Vec<_> = leaf(&sb.s_inodes).keys().copied().collect();
    numbers.sort_unstable();
    numbers
}

/// The inode of a number, without a reference: to be looked at inside an RCU read side only.
pub(crate) fn listed(sb: &'static SuperBlock, number: u64) -> Option<&'static Inode> {
    leaf(&sb.s_inodes).get(&number).copied()
}

/// Ends inodes that are only cached; says how many.
pub(crate) fn prune_icache(t: &Task, sb: &'static SuperBlock) -> usize {
    let _frame = t.frame("prune_icache_sb");
    let mut pruned = 0;
    for number in inode_numbers(sb) {
        t.rcu_read_lock();
        let Some(inode) = listed(sb, number) else {
            t.rcu_read_unlock();
            continue;
        };
        inode.i_lock.lock(t);
        let busy = InodeState::FREEING | InodeState::NEW | InodeState::DIRTY;
        let idle = inode.i_count.load(SeqCst) == 0
            && inode.i_state.load(SeqCst) & busy == 0
            && inode.i_mapping.dirty_pages.load(SeqCst) == 0;
        if idle {
            inode.i_state.fetch_or(InodeState::FREEING, SeqCst);
        }
        inode.i_lock.release(t);
        t.rcu_read_unlock();
        if idle {
            evict(t, inode);
            pruned += 1;
        }
    }
    pruned
}

/// Says that something of an inode must be written.
pub(crate) fn mark_inode_dirty(t: &Task, inode: &'static Inode) {
    let _frame = t.frame("__mark_inode_dirty");
    if let Some(callback) = inode.sb().ops().dirty_inode {
        let flags = InodeState::DIRTY;
        invoke!(t, DirtyInode, callback, inode, flags);
    }
    inode.i_lock.lock(t);
    inode.i_state.fetch_or(InodeState::DIRTY, SeqCst);
    inode.i_lock.release(t);
}

/// Writes an inode if it is dirty.
pub(crate) fn write_inode(t: &Task, inode: &'static Inode, control: &WritebackControl) -> Result<()> {
    let _frame = t.frame("write_inode");
    inode.i_lock.lock(t);
    let dirty = inode.i_state.fetch_and(!InodeState::DIRTY, SeqCst) & InodeState::DIRTY != 0;
    inode.i_lock.release(t);
    match inode.sb().ops().write_inode {
        Some(callback) if dirty => invoke!(t, WriteInode, callback, inode, control),
        _ => Ok(()),
    }
}

fn write_inode_now(t: &Task, inode: &'static Inode) {
    let control = WritebackControl::new(true, i64::MAX);
    let written = super::writeback::do_writepages(t, &inode.i_mapping, &control)
        .and_then(|()| super::writeback::filemap_fdatawait(t, &inode.i_mapping))
        .and_then(|()| write_inode(t, inode, &control));
    if written.is_err() {
        // The error was seen by whoever synced; what cannot be written is lost with the inode.
        super::pagecache::forget_dirty(&inode.i_mapping);
    }
}

/// Notes that a file was read.
pub(crate) fn touch_atime(t: &Task, path: &Path) {
    let _frame = t.frame("touch_atime");
    let Some(inode) = path.inode() else { return };
    let now = t.kernel.now();
    if now < inode.i_atime.load(SeqCst) + ATIME_GRAIN {
        return;
    }
    match inode.i_op.get().and_then(|ops| ops.update_time) {
        Some(callback) => invoke!(t, UpdateTime, callback, inode, now),
        None => inode.i_atime.store(now, SeqCst),
    }
}
