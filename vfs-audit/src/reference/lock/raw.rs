//! The lock word that every lock of the reference VFS is made of: readers, a writer and its task.
//!
//! It knows no class and no task table; the façade types beside it do.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::observation::Word;

const WRITER: u64 = 1 << 63;
const OWNER_SHIFT: u32 = 32;
const OWNER_MASK: u64 = 0x7fff_ffff;
const READERS_MASK: u64 = 0xffff_ffff;

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    /// With other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock word with its waiters.
#[derive(Debug, Default)]
pub(crate) struct RawLock {
    state: AtomicU64,
    /// Tasks that wait, so that a release without waiters wakes nobody.
    waiters: AtomicU32,
    /// Writers that wait: readers queue behind them.
    waiting_writers: AtomicU32,
    /// Releases so far: tells whether a lock was given up since.
    releases: AtomicU32,
}

impl RawLock {
    /// Takes the lock if it is free for the mode.
    pub(crate) fn try_acquire(&self, mode: Mode, task: u32, barging: bool) -> bool {
        match mode {
            Mode::Exclusive => {
                let taken = WRITER | u64::from(task) << OWNER_SHIFT;
                self.state.compare_exchange(0, taken, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            }
            Mode::Shared => {
                if !barging && self.waiting_writers.load(Ordering::SeqCst) > 0 {
                    return false;
                }
                let more = |state: u64| (state & WRITER == 0).then_some(state + 1);
                self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
            }
        }
    }

    /// Gives the lock up; true when somebody may wait for it.
    pub(crate) fn release(&self, mode: Mode) -> bool {
        match mode {
            Mode::Exclusive => self.state.store(0, Ordering::SeqCst),
            Mode::Shared => {
                self.state.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.releases.fetch_add(1, Ordering::SeqCst);
        self.waiters.load(Ordering::SeqCst) > 0
    }

    /// Turns the writer into a reader; true when somebody may wait.
    pub(crate) fn downgrade(&self) -> bool {
        self.state.store(1, Ordering::SeqCst);
        self.waiters.load(Ordering::SeqCst) > 0
    }

    /// Notes that a task waits, or does no longer.
    pub(crate) fn announce(&self, mode: Mode, waits: bool) {
        let change = |counter: &AtomicU32| {
            if waits { counter.fetch_add(1, Ordering::SeqCst) } else { counter.fetch_sub(1, Ordering::SeqCst) }
        };
        change(&self.waiters);
        if mode == Mode::Exclusive {
            change(&self.waiting_writers);
        }
    }

    /// What the word says to a task, for a lock that knows its owner.
    pub(crate) fn word_of(&self, task: u32) -> Word {
        let state = self.state.load(Ordering::SeqCst);
        if state == 0 {
            Word::Free
        } else if state & WRITER == 0 {
            Word::Readers
        } else if state >> OWNER_SHIFT & OWNER_MASK == u64::from(task) {
            Word::ExclusiveSelf
        } else {
            Word::ExclusiveOther
        }
    }

    /// What the word says, for a lock that knows no owner.
    pub(crate) fn ownerless_word(&self) -> Word {
        if self.state.load(Ordering::SeqCst) == 0 { Word::Free } else { Word::Taken }
    }

    /// Whether anybody holds it.
    pub(crate) fn is_held(&self) -> bool {
        self.state.load(Ordering::SeqCst) != 0
    }

    /// Readers at this moment.
    pub(crate) fn readers(&self) -> u32 {
        let state = self.state.load(Ordering::SeqCst);
        if state & WRITER == 0 { (state & READERS_MASK) as u32 } else { 0 }
    }

    /// Releases so far.
    pub(crate) fn releases(&self) -> u32 {
        self.releases.load(Ordering::SeqCst)
    }

    /// Makes the word as new, for an object that is used again.
    pub(crate) fn reset(&self) {
        self.state.store(0, Ordering::SeqCst);
        self.waiters.store(0, Ordering::SeqCst);
        self.waiting_writers.store(0, Ordering::SeqCst);
    }

    /// Where it is: the identity of the lock instance.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_alone_and_known_by_its_word() {
        let lock = RawLock::default();
        assert!(lock.try_acquire(Mode::Exclusive, 7, false));
        assert!(!lock.try_acquire(Mode::Exclusive, 8, false));
        assert!(!lock.try_acquire(Mode::Shared, 8, false));
        assert_eq!((lock.word_of(7), lock.word_of(8)), (Word::ExclusiveSelf, Word::ExclusiveOther));
        assert_eq!(lock.ownerless_word(), Word::Taken);
        lock.release(Mode::Exclusive);
        assert_eq!((lock.word_of(7), lock.releases()), (Word::Free, 1));
    }

    #[test]
    fn readers_share_and_queue_behind_a_writer_that_waits() {
        let lock = RawLock::default();
        assert!(lock.try_acquire(Mode::Shared, 1, false) && lock.try_acquire(Mode::Shared, 2, false));
        assert_eq!((lock.word_of(1), lock.readers()), (Word::Readers, 2));
        lock.announce(Mode::Exclusive, true);
        assert!(!lock.try_acquire(Mode::Shared, 3, false));
        assert!(lock.try_acquire(Mode::Shared, 3, true), "unless it may barge");
        lock.announce(Mode::Exclusive, false);
        assert!(lock.try_acquire(Mode::Shared, 4, false));
    }

    #[test]
    fn a_downgraded_lock_lets_readers_in() {
        let lock = RawLock::default();
        assert!(lock.try_acquire(Mode::Exclusive, 1, false));
        lock.downgrade();
        assert!(lock.try_acquire(Mode::Shared, 2, false));
        assert_eq!(lock.readers(), 2);
    }
}
