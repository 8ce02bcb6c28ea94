//! The locks that the FUSE server keeps, and who waits for one. A lock is on a whole file here, whatever its range.

/// A lock, held or wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    /// The inode that it is on.
    pub(super) node: u64,
    /// Who, as the kernel names him.
    pub(super) owner: u64,
    /// `F_RDLCK` or `F_WRLCK`.
    pub(super) kind: i32,
    /// Taken by `flock(2)`.
    pub(super) is_flock: bool,
}

impl Lock {
    fn is_of(&self, other: &Self) -> bool {
        (self.node, self.owner, self.is_flock) == (other.node, other.owner, other.is_flock)
    }

    fn excludes(&self, other: &Self) -> bool {
        let is_same_place = self.node == other.node && self.is_flock == other.is_flock;
        is_same_place && self.owner != other.owner && [self.kind, other.kind].contains(&libc::F_WRLCK)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Vec<Lock>,
    /// With the request that is answered when the lock is had.
    waiting: Vec<(u64, Lock)>,
}

impl Locks {
    /// A lock that is in the way of `wanted`.
    pub(super) fn conflict(&self, wanted: &Lock) -> Option<Lock> {
        self.held.iter().find(|held| held.excludes(wanted)).copied()
    }

    /// Takes a lock in place of the owner's earlier one; `false` when another is in the way.
    pub(super) fn take(&mut self, wanted: Lock) -> bool {
        let is_free = self.conflict(&wanted).is_none();
        if is_free {
            self.release(&wanted);
            self.held.push(wanted);
        }
        is_free
    }

    /// Releases what the owner holds there.
    pub(super) fn release(&mut self, lock: &Lock) {
        self.held.retain(|held| !held.is_of(lock));
    }

    /// Takes a lock as soon as it is free.
    pub(super) fn wait(&mut self, request: u64, wanted: Lock) {
        self.waiting.push((request, wanted));
    }

    /// Requests whose lock is had by now.
    pub(super) fn granted(&mut self) -> Vec<u64> {
        let waiting = std::mem::take(&mut self.waiting);
        let (granted, waiting): (Vec<_>, _) = waiting.into_iter().partition(|(_, wanted)| self.take(*wanted));
        self.waiting = waiting;
        granted.into_iter().map(|(request, _)| request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: u64, kind: i32) -> Lock {
        Lock { node: 1, owner, kind, is_flock: false }
    }

    #[test]
    fn readers_share_and_a_writer_waits_for_them() {
        let mut locks = Locks::default();
        assert!(locks.take(lock(1, libc::F_RDLCK)) && locks.take(lock(2, libc::F_RDLCK)));
        assert!(!locks.take(lock(3, libc::F_WRLCK)));
        locks.wait(9, lock(3, libc::F_WRLCK));
        locks.release(&lock(1, libc::F_UNLCK));
        assert!(locks.granted().is_empty());
        locks.release(&lock(2, libc::F_UNLCK));
        assert_eq!(locks.granted(), [9]);
        assert!(locks.granted().is_empty() && locks.conflict(&lock(1, libc::F_RDLCK)).is_some());
    }

    #[test]
    fn an_owner_changes_his_own_lock_and_the_two_families_do_not_meet() {
        let mut locks = Locks::default();
        assert!(locks.take(lock(1, libc::F_WRLCK)) && locks.take(lock(1, libc::F_RDLCK)));
        assert!(locks.take(Lock { is_flock: true, ..lock(2, libc::F_WRLCK) }));
        assert!(locks.take(Lock { node: 2, ..lock(2, libc::F_WRLCK) }));
    }
}
