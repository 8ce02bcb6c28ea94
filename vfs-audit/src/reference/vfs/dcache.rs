//! The dentry cache: names that are known, and how they come and go.

use std::sync::atomic::Ordering::SeqCst;

use super::inode::iput;
use crate::reference::lock::{Fault, FaultKind, Mode, Nest};
use crate::reference::object::{Dentry, DentryFlag, Inode, Path, Result, SuperBlock, leaf};
use crate::reference::task::{Task, invoke};

/// A new dentry for a name in a directory; nobody else sees it yet.
pub(crate) fn d_alloc(t: &Task, parent: &'static Dentry, name: &str) -> Result<&'static Dentry> {
    let _frame = t.frame("d_alloc");
    let dentry = new_dentry(t, parent.sb(), name);
    dget(t, parent);
    dentry.d_parent.set(Some(parent));
    if let Some(ops) = dentry.d_op.get()
        && let Some(callback) = ops.d_init
    {
        invoke!(t, DInit, callback, dentry)?;
    }
    Ok(dentry)
}

/// The dentry of a superblock's root.
pub(crate) fn d_make_root(t: &Task, sb: &'static SuperBlock, inode: &'static Inode) -> &'static Dentry {
    let dentry = new_dentry(t, sb, "/");
    dentry.d_inode.set(Some(inode));
    sb.s_root.set(Some(dentry));
    dentry
}

fn new_dentry(t: &Task, sb: &'static SuperBlock, name: &str) -> &'static Dentry {
    let dentry = t.kernel.slabs.dentries.allocate();
    leaf(&dentry.d_name).push_str(name);
    dentry.d_sb.set(Some(sb));
    dentry.d_op.set(sb.s_d_op.get());
    dentry
}

/// Takes a reference.
pub(crate) fn dget(t: &Task, dentry: &'static Dentry) -> &'static Dentry {
    dentry.d_count.fetch_add(1, SeqCst);
    t.point();
    dentry
}

/// Takes a reference unless the dentry is being freed; under its lock.
fn lockref_get_not_dead(t: &Task, dentry: &'static Dentry) -> bool {
    dentry.d_lock.lock(t);
    let alive = !dentry.has(DentryFlag::DEAD);
    if alive {
        dentry.d_count.fetch_add(1, SeqCst);
    }
    dentry.d_lock.release(t);
    alive
}

/// The dentry of a name in a directory, without a reference; may be gone at any time.
pub(crate) fn d_lookup_rcu(t: &Task, parent: &'static Dentry, name: &str) -> Option<(&'static Dentry, u32)> {
    let _frame = t.frame("__d_lookup_rcu");
    let dentry = find(t, parent, name)?;
    let sequence = dentry.d_seq.load(SeqCst);
    let same = dentry.has(DentryFlag::HASHED)
        && dentry.d_parent.get().is_some_and(|now| std::ptr::eq(now, parent))
        && sequence % 2 == 0;
    same.then_some((dentry, sequence))
}

/// The dentry of a name in a directory, with a reference.
pub(crate) fn d_lookup(t: &Task, parent: &'static Dentry, name: &str) -> Option<&'static Dentry> {
    let _frame = t.frame("d_lookup");
    t.rcu_read_lock();
    let dentry = find(t, parent, name).filter(|dentry| lockref_get_not_dead(t, dentry));
    t.rcu_read_unlock();
    let dentry = dentry?;
    let same = dentry.d_parent.get().is_some_and(|now| std::ptr::eq(now, parent)) && dentry.name() == name;
    if same {
        return Some(dentry);
    }
    dput(t, dentry);
    None
}

/// Looks through a directory's names; a file system that compares for itself does so under `rename_lock`.
fn find(t: &Task, parent: &'static Dentry, name: &str) -> Option<&'static Dentry> {
    let compare = parent.d_op.get().and_then(|ops| ops.d_compare);
    let Some(callback) = compare else { return leaf(&parent.d_children).get(name).copied() };
    let rename_lock = &t.kernel.globals.rename_lock;
    rename_lock.lock(t);
    let candidates: Vec<_> = leaf(&parent.d_children).iter().map(|(name, dentry)| (name.clone(), *dentry)).collect();
    let same_length = candidates.into_iter().filter(|(known, _)| known.len() == name.len());
    let mut found = None;
    for (known, dentry) in same_length {
        let known = known.as_str();
        if invoke!(t, DCompare, callback, dentry, known, name) {
            found = Some(dentry);
            break;
        }
    }
    rename_lock.release(t);
    found
}

/// Binds a dentry to its inode (none for a name that is known not to exist) and hashes it. When somebody else was faster,
/// the dentry stays unhashed and the reference to the inode is dropped.
pub(crate) fn d_add(t: &Task, dentry: &'static Dentry, inode: Option<&'static Inode>) {
    let _frame = t.frame("d_add");
    let Some(parent) = dentry.d_parent.get() else { return };
    dentry.d_lock.lock(t);
    let mut children = leaf(&parent.d_children);
    let faster = children.get(&dentry.name()).is_some_and(|known| !known.has(DentryFlag::DEAD));
    if !faster {
        dentry.d_inode.set(inode);
        children.insert(dentry.name(), dentry);
        dentry.d_flags.fetch_or(DentryFlag::HASHED, SeqCst);
        dentry.d_seq.fetch_add(2, SeqCst);
    }
    drop(children);
    dentry.d_lock.release(t);
    if let (true, Some(inode)) = (faster, inode) {
        iput(t, inode);
    }
}

/// Gives a negative dentry its inode.
pub(crate) fn d_instantiate(t: &Task, dentry: &'static Dentry, inode: &'static Inode) {
    dentry.d_lock.lock(t);
    dentry.d_inode.set(Some(inode));
    dentry.d_seq.fetch_add(2, SeqCst);
    dentry.d_lock.release(t);
    if !dentry.has(DentryFlag::HASHED) {
        hash(dentry);
    }
}

fn hash(dentry: &'static Dentry) {
    if let Some(parent) = dentry.d_parent.get() {
        leaf(&parent.d_children).insert(dentry.name(), dentry);
        dentry.d_flags.fetch_or(DentryFlag::HASHED, SeqCst);
    }
}

fn unhash(dentry: &'static Dentry) {
    if dentry.d_flags.fetch_and(!DentryFlag::HASHED, SeqCst) & DentryFlag::HASHED == 0 {
        return;
    }
    if let Some(parent) = dentry.d_parent.get() {
        let mut children = leaf(&parent.d_children);
        let name = dentry.name();
        if children.get(&name).is_some_and(|known| std::ptr::eq(*known, dentry)) {
            children.remove(&name);
        }
    }
}

/// Forgets the name, so that the next walk looks it up again.
pub(crate) fn d_drop(t: &Task, dentry: &'static Dentry) {
    dentry.d_lock.lock(t);
    dentry.d_seq.fetch_add(2, SeqCst);
    unhash(dentry);
    dentry.d_lock.release(t);
}

/// The name's file is gone: a dentry that others use is unhashed, one that is ours alone becomes negative.
pub(crate) fn d_delete(t: &Task, dentry: &'static Dentry) {
    let _frame = t.frame("d_delete");
    dentry.d_lock.lock(t);
    dentry.d_seq.fetch_add(2, SeqCst);
    if dentry.d_count.load(SeqCst) > 1 {
        unhash(dentry);
        dentry.d_lock.release(t);
        return;
    }
    let inode = dentry.d_inode.get();
    dentry.d_inode.set(None);
    dentry.d_lock.release(t);
    drop_inode_of(t, dentry, inode);
}

/// Drops a reference; the last one may end the dentry.
pub(crate) fn dput(t: &Task, dentry: &'static Dentry) {
    let mut next = Some(dentry);
    while let Some(dentry) = next {
        next = dput_one(t, dentry);
    }
}

fn dput_one(t: &Task, dentry: &'static Dentry) -> Option<&'static Dentry> {
    let _frame = t.frame("dput");
    dentry.d_lock.lock(t);
    let left = dentry.d_count.fetch_sub(1, SeqCst) - 1;
    if left < 0 {
        let what = format!("the dentry {} is dropped once too often", dentry.name());
        t.kernel.report(Fault { kind: FaultKind::BadObject, what });
    }
    if left > 0 || dentry.d_parent.get().is_none() {
        dentry.d_lock.release(t);
        return None;
    }
    // Below a directory that is gone nothing is worth keeping: nobody would find it.
    let reachable =
        dentry.d_parent.get().is_none_or(|parent| parent.has(DentryFlag::HASHED) || parent.d_parent.get().is_none());
    if dentry.has(DentryFlag::HASHED) && reachable {
        let unwanted = match dentry.d_op.get().and_then(|ops| ops.d_delete) {
            Some(callback) => invoke!(t, DDelete, callback, dentry),
            None => false,
        };
        if !unwanted {
            dentry.d_lock.release(t);
            return None;
        }
    }
    dentry_kill(t, dentry)
}

/// Ends a dentry that is locked and that nobody refers to; gives its parent, whose reference is to be dropped.
fn dentry_kill(t: &Task, dentry: &'static Dentry) -> Option<&'static Dentry> {
    let _frame = t.frame("__dentry_kill");
    dentry.d_flags.fetch_or(DentryFlag::DEAD, SeqCst);
    if dentry.has(DentryFlag::HASHED) {
        if let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_prune) {
            invoke!(t, DPrune, callback, dentry);
        }
        unhash(dentry);
    }
    dentry.d_seq.fetch_add(2, SeqCst);
    let inode = dentry.d_inode.get();
    dentry.d_inode.set(None);
    let parent = dentry.d_parent.get();
    dentry.d_lock.release(t);
    drop_inode_of(t, dentry, inode);
    if let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_release) {
        invoke!(t, DRelease, callback, dentry);
    }
    t.kernel.rcu.call(Box::new(move |t| t.kernel.slabs.dentries.free(dentry)));
    parent
}

fn drop_inode_of(t: &Task, dentry: &'static Dentry, inode: Option<&'static Inode>) {
    let Some(inode) = inode else { return };
    match dentry.d_op.get().and_then(|ops| ops.d_iput) {
        Some(callback) => invoke!(t, DIput, callback, dentry, inode),
        None => iput(t, inode),
    }
}

/// Frees what nobody uses below a dentry; says how much.
pub(crate) fn shrink_dcache_parent(t: &Task, parent: &'static Dentry) -> usize {
    let _frame = t.frame("shrink_dcache_parent");
    let children: Vec<_> = leaf(&parent.d_children).values().copied().collect();
    let mut freed = 0;
    for child in children {
        freed += shrink_dcache_parent(t, child);
        child.d_lock.lock(t);
        let idle = child.d_count.load(SeqCst) == 0 && !child.has(DentryFlag::DEAD | DentryFlag::MOUNTED);
        let still = child.d_parent.get().is_some_and(|now| std::ptr::eq(now, parent)) && child.has(DentryFlag::HASHED);
        if idle && still {
            if let Some(parent) = dentry_kill(t, child) {
                dput(t, parent);
            }
            freed += 1;
        } else {
            child.d_lock.release(t);
        }
    }
    freed
}

/// Ends all dentries of a superblock that is unmounted; who still uses one is a bug.
pub(crate) fn shrink_dcache_for_umount(t: &Task, sb: &'static SuperBlock) {
    let _frame = t.frame("shrink_dcache_for_umount");
    let root = sb.root();
    shrink_dcache_parent(t, root);
    let busy: Vec<_> = leaf(&root.d_children).values().map(|dentry| dentry.name()).collect();
    if !busy.is_empty() || root.d_count.load(SeqCst) > 1 {
        let what = format!("dentries in use at unmount: {}, root {:?}", busy.join(", "), root.d_count);
        t.kernel.report(Fault { kind: FaultKind::BadObject, what });
    }
    root.d_lock.lock(t);
    sb.s_root.set(None);
    dentry_kill(t, root);
}

/// Moves a dentry to another name: under `rename_lock` and the locks of both, so that lockless walks notice.
pub(crate) fn d_move(t: &Task, dentry: &'static Dentry, target: &'static Dentry, exchange: bool) {
    let _frame = t.frame("d_move");
    let globals = &t.kernel.globals;
    globals.rename_lock.lock(t);
    globals.rename_seq.fetch_add(1, SeqCst);
    dentry.d_lock.acquire_nested(t, Mode::Exclusive, Nest::Child);
    target.d_lock.acquire_nested(t, Mode::Exclusive, Nest::Child2);
    dentry.d_seq.fetch_add(1, SeqCst);
    target.d_seq.fetch_add(1, SeqCst);
    unhash(dentry);
    unhash(target);
    let (parent, new_parent) = (dentry.d_parent.get(), target.d_parent.get());
    dentry.d_parent.set(new_parent);
    target.d_parent.set(parent);
    std::mem::swap(&mut *leaf(&dentry.d_name), &mut *leaf(&target.d_name));
    hash(dentry);
    if exchange {
        hash(target);
    }
    dentry.d_seq.fetch_add(1, SeqCst);
    target.d_seq.fetch_add(1, SeqCst);
    target.d_lock.release(t);
    dentry.d_lock.release(t);
    globals.rename_seq.fetch_add(1, SeqCst);
    globals.rename_lock.release(t);
}

/// Whether a dentry is another one or below it; read under the sequence of `rename_lock`.
pub(crate) fn is_subdir(t: &Task, dentry: &'static Dentry, ancestor: &'static Dentry) -> bool {
    let globals = &t.kernel.globals;
    loop {
        let sequence = globals.rename_seq.load(SeqCst);
        let mut at = Some(dentry);
        let mut found = false;
        while let Some(this) = at {
            if std::ptr::eq(this, ancestor) {
                found = true;
                break;
            }
            at = this.d_parent.get();
        }
        if sequence.is_multiple_of(2) && globals.rename_seq.load(SeqCst) == sequence {
            return found;
        }
        t.relax();
    }
}

/// The name of a path from its root; a file system may make names up.
pub(crate) fn d_path(t: &Task, path: &Path) -> String {
    let _frame = t.frame("d_path");
    let dentry = path.dentry;
    if let Some(callback) = dentry.d_op.get().and_then(|ops| ops.d_dname)
        && dentry.d_parent.get().is_none_or(|_| !dentry.has(DentryFlag::HASHED))
    {
        return invoke!(t, DDname, callback, dentry);
    }
    t.rcu_read_lock();
    let mut parts = Vec::new();
    let mut at = Some(dentry);
    while let Some(this) = at {
        if this.d_parent.get().is_some() {
            parts.push(this.name());
        }
        at = this.d_parent.get();
    }
    t.rcu_read_unlock();
    parts.reverse();
    format!("/{}", parts.join("/"))
}

/// The dentry that really holds the data, for file systems on top of others.
pub(crate) fn d_real(t: &Task, dentry: &'static Dentry) -> &'static Dentry {
    let _frame = t.frame("d_real");
    let inode = dentry.inode();
    match dentry.d_op.get().and_then(|ops| ops.d_real) {
        Some(callback) => invoke!(t, DReal, callback, dentry, inode),
        None => dentry,
    }
}

/// What becomes of a dentry that was seen in rcu-walk when a reference is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legitimate {
    /// It has the reference.
    Yes,
    /// It has the reference, but is not what it was: the reference is to be dropped, outside of the walk.
    Changed,
    /// It is being freed.
    Gone,
}

/// Takes a reference on a dentry that was seen in rcu-walk.
pub(crate) fn legitimize(t: &Task, dentry: &'static Dentry, sequence: u32) -> Legitimate {
    if !lockref_get_not_dead(t, dentry) {
        return Legitimate::Gone;
    }
    if dentry.d_seq.load(SeqCst) == sequence { Legitimate::Yes } else { Legitimate::Changed }
}
