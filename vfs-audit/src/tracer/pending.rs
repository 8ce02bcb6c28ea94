//! Pages and folios that were still locked when the callback returned: who must unlock them may do so later.
//!
//! The kernel side notes them, the daemon looks at them from time to time. One that stays locked for so long that no device
//! would take it is a lock that nobody releases; one that the run's end found locked for less is not known.

use std::{
    collections::{BTreeMap, HashMap as Looks},
    time::Duration,
};

use aya::maps::{HashMap, MapData, MapError};
use vfs_audit_common::{FLAG_PENDING, ObservationKey, Pending};

use super::{decode::UNREAD_SHIFT, plan::OpPlan};
use crate::{btf::Btf, kernel::Memory};

/// A page that stays locked for so long after the callback's return is not waiting for its device any more.
pub(super) const LOCKED_TOO_LONG: Duration = Duration::from_secs(5);
/// Looks that must have found it locked until then, without one between that did not.
const LOOKS_MIN: u32 = 4;

/// What is known of a page's lock, from BTF.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageLock {
    bit: u32,
    mapping: u64,
}

impl PageLock {
    /// Nothing when this kernel's pages are of another kind.
    pub(super) fn of(btf: &Btf) -> Option<Self> {
        let mapping = btf.offset_of("folio", &["mapping"]).or_else(|_| btf.offset_of("page", &["mapping"])).ok()?;
        Some(Self { bit: btf.enumerator("PG_locked").filter(|bit| *bit < 64)?, mapping: mapping.into() })
    }

    /// Whether the page at `address` is locked, and still of the mapping that it was noted with.
    pub(super) fn is_still_locked(self, memory: &impl Memory, address: u64, pending: &Pending) -> bool {
        let word = memory.word(address).unwrap_or(0);
        word >> self.bit & 1 != 0 && memory.word(address + self.mapping) == Some(pending.mapping)
    }
}

/// How pages that were noted have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Locked for too long, by key.
    pub(super) never: BTreeMap<ObservationKey, u64>,
    /// Locked still, but not for that long, by key.
    pub(super) not_yet: BTreeMap<ObservationKey, u64>,
}

/// What was seen of the pages that were noted, from look to look.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Pages noted until the look that found nothing more to wait for.
    pub(super) seen: u64,
    /// Looks that found the page locked, by page and time of its note.
    looks: Looks<(u64, u64), u32>,
    /// Pages that stayed locked for too long, by key; that they may be unlocked later changes nothing.
    never: BTreeMap<ObservationKey, u64>,
}

impl Waiting {
    /// One look, which found these of the noted pages `still_locked`. Returns the pages of which all is known now.
    ///
    /// A page may have been unlocked, and be locked by somebody else at the moment of a look: only one that every look finds
    /// locked has stayed so.
    pub(super) fn look(&mut self, still_locked: &[(u64, Pending)], now_ns: u64) -> Vec<u64> {
        let before = std::mem::take(&mut self.looks);
        let mut known = Vec::new();
        for (page, pending) in still_locked {
            let place = (*page, pending.time_ns);
            let looks = before.get(&place).copied().unwrap_or(0) + 1;
            let waited = Duration::from_nanos(now_ns.saturating_sub(pending.time_ns));
            if waited >= LOCKED_TOO_LONG && looks >= LOOKS_MIN {
                *self.never.entry(pending.key).or_default() += 1;
                known.push(*page);
            } else {
                self.looks.insert(place, looks);
            }
        }
        known
    }

    /// How the pages have ended, those in `still_locked` included.
    pub(super) fn ended(&self, still_locked: &[(u64, Pending)]) -> Ended {
        let mut ended = Ended { never: self.never.clone(), not_yet: BTreeMap::new() };
        let unknown = still_locked.iter().filter(|(page, pending)| self.looks.contains_key(&(*page, pending.time_ns)));
        for (_, pending) in unknown {
            *ended.not_yet.entry(pending.key).or_default() += 1;
        }
        ended
    }
}

/// Every page that was noted.
pub(super) fn noted(map: &HashMap<&MapData, u64, Pending>) -> Vec<(u64, Pending)> {
    let as_counted =
        |(page, pending): (u64, Pending)| (page, Pending { key: pending.key.without_lockdep(), ..pending });
    // One that goes meanwhile is no loss; a walk of a map that changes meanwhile may come by one twice.
    let noted: BTreeMap<u64, Pending> = map.iter().filter_map(Result::ok).map(as_counted).collect();
    noted.into_iter().collect()
}

/// Forgets pages.
///
/// # Errors
/// The map cannot be used.
pub(super) fn forget(map: &mut HashMap<&mut MapData, u64, Pending>, pages: &[u64]) -> Result<(), MapError> {
    for page in pages {
        match map.remove(page) {
            // It is gone as wanted; aya has no error of its own for this call.
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The key as it was counted while the unlocking was waited for: the fact has both of its bits.
pub(super) fn while_waiting(key: &ObservationKey, plan: &OpPlan) -> ObservationKey {
    ObservationKey { flags: key.flags | both_bits(plan), ..*key }
}

fn both_bits(plan: &OpPlan) -> u32 {
    let flags = plan.readers.flags.iter().take(plan.readers.all_flags_len.into()).enumerate();
    flags
        .filter(|(_, flag)| flag.kind == FLAG_PENDING)
        .map(|(bit, _)| 1 << bit | 1 << (bit as u32 + UNREAD_SHIFT))
        .sum()
}

/// What `count` invocations of a key that was counted while waiting came to: keys with counts.
pub(super) fn settled(key: &ObservationKey, count: u64, plan: &OpPlan, ended: &Ended) -> Vec<(ObservationKey, u64)> {
    let bits = both_bits(plan);
    let waiting = key.flags & bits;
    if key.point == 0 || waiting == 0 || waiting >> UNREAD_SHIFT == 0 || waiting.trailing_zeros() >= UNREAD_SHIFT {
        return vec![(*key, count)];
    }
    let never = ended.never.get(key).copied().unwrap_or(0).min(count);
    let not_yet = ended.not_yet.get(key).copied().unwrap_or(0).min(count - never);
    let value = bits & 0xffff;
    let unread = bits & !0xffff;
    let with = |flags: u32, count: u64| (count > 0).then_some((ObservationKey { flags, ..*key }, count));
    let flags = key.flags & !bits;
    [with(flags | value, count - never - not_yet), with(flags, never), with(flags | unread, not_yet)]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use vfs_audit_common::SLOTS_MAX;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn noted(page: u64) -> (u64, Pending) {
        let key = ObservationKey {
            hook: 1,
            history_complete: 1,
            point: 1,
            flags: 0,
            caller: 2,
            table: 3,
            sb: 4,
            slots: [0; SLOTS_MAX],
        };
        (page, Pending { key, time_ns: SECOND, mapping: 5 })
    }

    fn never(waiting: &Waiting) -> u64 {
        waiting.ended(&[]).never.values().sum()
    }

    #[test]
    fn a_page_that_every_look_finds_locked_for_too_long_is_never_unlocked() {
        let mut waiting = Waiting::default();
        for second in 2..6 {
            assert!(waiting.look(&[noted(0x40)], second * SECOND).is_empty());
            assert_eq!(waiting.ended(&[noted(0x40)]).not_yet.values().sum::<u64>(), 1);
        }
        assert_eq!(waiting.look(&[noted(0x40)], 6 * SECOND), [0x40]);
        // Whoever unlocks it now is too late.
        waiting.look(&[], 7 * SECOND);
        assert_eq!(never(&waiting), 1);
        assert!(waiting.ended(&[]).not_yet.is_empty());
    }

    #[test]
    fn a_page_that_one_look_finds_unlocked_is_locked_by_somebody_else_later() {
        let mut waiting = Waiting::default();
        for second in 2..6 {
            waiting.look(&[noted(0x40)], second * SECOND);
        }
        waiting.look(&[], 6 * SECOND);
        waiting.look(&[noted(0x40)], 7 * SECOND);
        assert_eq!(never(&waiting), 0);
    }

    #[test]
    fn a_long_time_without_looks_says_nothing() {
        let mut waiting = Waiting::default();
        assert!(waiting.look(&[noted(0x40)], 60 * SECOND).is_empty());
        assert_eq!(never(&waiting), 0);
    }
}
