//! The oracle's side of the tracer: where lockdep keeps what a task holds, and what its answers in the keys come to.

use vfs_audit_common::{
    LOCK_BUFFER, LOCK_FOLIO, LOCK_MUTEX, LOCK_PAGE, LOCK_RCU, LOCK_RWSEM, LOCK_SPIN, LOCK_UNTRACKED, LockdepOffsets,
    NAME_BYTES, ObservationKey, SLOT_LOCKDEP_EXCLUSIVE, SLOT_LOCKDEP_MASK, SLOT_LOCKDEP_NONE, SLOT_LOCKDEP_SHARED,
};

use super::decode::{Decoder, name, reading};
use crate::{
    btf::Btf,
    kernel::{Memory, Symbols},
    observation::{LockReading, Point},
    oracle::{Answer, Comparison, Holds, Verdict, judge},
};

/// Where lockdep is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lockdep {
    /// For the programs.
    pub(super) offsets: LockdepOffsets,
    /// Address of `debug_locks`, which is 0 once lockdep has switched itself off.
    debug_locks: u64,
}

impl Lockdep {
    /// Finds it.
    ///
    /// # Errors
    /// Names what this kernel lacks: lockdep, or a part of it that has another form.
    pub(super) fn find(btf: &Btf, symbols: &Symbols) -> Result<Self, String> {
        let at = |owner: &str, field: &str| btf.offset_of(owner, &[field]);
        let address = |name: &str| symbols.addresses(name).first().copied().ok_or_else(|| format!("no symbol {name}"));
        let task_held_locks = at("task_struct", "held_locks")?;
        // A bit field.
        let read = btf.first_bit_of("held_lock", "read").ok_or("no field held_lock.read")?;
        let offsets = LockdepOffsets {
            rcu_lock_map: address("rcu_lock_map")?,
            task_held_locks,
            task_lockdep_depth: at("task_struct", "lockdep_depth")?,
            task_lockdep_recursion: at("task_struct", "lockdep_recursion")?,
            held_bytes: btf.size_of("held_lock").ok_or("no struct held_lock")?,
            held_instance: at("held_lock", "instance")?,
            held_bits: read / 32 * 4,
            read_shift: read % 32,
            rwsem_map: at("rw_semaphore", "dep_map")?,
            mutex_map: at("mutex", "dep_map")?,
            spin_map: at("raw_spinlock", "dep_map")?,
        };
        Ok(Self { offsets, debug_locks: address("debug_locks")? })
    }

    /// Whether it has switched itself off; what cannot be read counts as off.
    pub(super) fn is_off(self, memory: &dyn Memory) -> bool {
        memory.bytes(self.debug_locks, 4).is_none_or(|bytes| bytes == [0; 4])
    }
}

/// The name of a kind of lock word, and whether lockdep knows such locks.
fn kind_of(kind: u8) -> (&'static str, bool) {
    match kind & !LOCK_UNTRACKED {
        LOCK_RWSEM => ("rwsem", true),
        LOCK_MUTEX => ("mutex", true),
        LOCK_SPIN => ("spinlock", true),
        LOCK_RCU => ("rcu", true),
        LOCK_FOLIO | LOCK_PAGE => ("page lock", false),
        LOCK_BUFFER => ("buffer lock", false),
        _ => ("?", false),
    }
}

/// What the bits of a slot say of lockdep.
fn answer(kind: u8, state: u8) -> Answer {
    match state & SLOT_LOCKDEP_MASK {
        SLOT_LOCKDEP_NONE => Answer::Holds(Holds::No),
        SLOT_LOCKDEP_SHARED => Answer::Holds(Holds::Shared),
        SLOT_LOCKDEP_EXCLUSIVE => Answer::Holds(Holds::Exclusive),
        _ if kind_of(kind).1 => Answer::Unasked,
        _ => Answer::Unknown,
    }
}

impl Decoder<'_> {
    /// Every lock of `key`, which has lockdep's answers and was seen `count` times; with the file system type. Nothing for a
    /// hook number that we never gave.
    pub(super) fn comparisons(&self, key: &ObservationKey, count: u64) -> Option<(String, Vec<Comparison>)> {
        let hook = self.hooks.hooks.get(usize::from(key.hook))?;
        let plan = self.plans.ops.get(*hook.plans.first()?)?;
        let event = self.events.answered(key);
        let (fs, _) = self.superblock(key, event, hook);
        let (point, slots, readers) = if key.point == 0 {
            (Point::Entry, &plan.slots, &plan.readers.slots[..])
        } else {
            (Point::Exit, &plan.exit_slots, &plan.readers.exit_slots[..])
        };
        let mut comparisons = Vec::new();
        for ((slot, reader), state) in slots.iter().zip(readers).zip(&key.slots) {
            let LockReading::Read { word, tracked } = reading(*state) else { continue };
            // What probing adds to the depth of read sides is not known then.
            if reader.kind == LOCK_RCU && !self.known.context {
                continue;
            }
            comparisons.push(Comparison {
                lock: slot.lock.clone(),
                kind: kind_of(reader.kind).0,
                op: format!("{}.{}", plan.table, plan.op),
                callback: hook.callback.clone(),
                role: plan.roles.get(slot.role)?.name.clone(),
                fs: fs.clone(),
                point,
                word,
                tracked,
                history_complete: self.known.is_complete(key),
                answer: answer(reader.kind, *state),
                count,
                sight: None,
            });
        }
        for comparison in &mut comparisons {
            if matches!(judge(comparison).1, Verdict::Disagreed | Verdict::Explained(_)) {
                let task =
                    |event: &vfs_audit_common::Event| format!("{} ({})", name(&event.comm[..NAME_BYTES]), event.tid);
                comparison.sight = event.map(|event| (task(event), self.stack(event)));
            }
        }
        Some((fs, comparisons))
    }
}

#[cfg(test)]
mod tests {
    use vfs_audit_common::{SLOT_TRACKED_SHARED, SLOT_WORD_READERS};

    use super::*;

    #[test]
    fn an_answer_stands_beside_both_witnesses_and_leaves_them_alone() {
        let state = SLOT_WORD_READERS | SLOT_TRACKED_SHARED;
        for (bits, expected) in [
            (0, Answer::Unasked),
            (SLOT_LOCKDEP_NONE, Answer::Holds(Holds::No)),
            (SLOT_LOCKDEP_SHARED, Answer::Holds(Holds::Shared)),
            (SLOT_LOCKDEP_EXCLUSIVE, Answer::Holds(Holds::Exclusive)),
        ] {
            assert_eq!(answer(LOCK_RWSEM, state | bits), expected);
            assert_eq!(reading(state | bits), reading(state));
        }
        assert_eq!(answer(LOCK_MUTEX | LOCK_UNTRACKED, state), Answer::Unasked);
        assert_eq!(answer(LOCK_FOLIO, state), Answer::Unknown);
    }

    #[test]
    fn a_key_without_the_answers_is_that_of_a_run_without_lockdep() {
        let mut key = ObservationKey { slots: [SLOT_WORD_READERS; 8], ..ObservationKey::default() };
        let plain = key;
        key.slots[3] |= SLOT_LOCKDEP_EXCLUSIVE;
        assert_ne!(key, plain);
        assert_eq!(key.without_lockdep(), plain);
    }
}
