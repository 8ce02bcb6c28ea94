//! Places in tables that a hash gives: both sides, and the code that the daemon makes, look there.
#![allow(clippy::inline_always, reason = "in an eBPF program a call costs more than what is called here")]

use crate::{COUNTED_PLACES, HELD_LOCKS_MAX, KEY_SPREAD, ObservationKey, TASK_SLOTS};

/// Places of [`crate::HookPlace`]s: a power of two.
pub const HOOK_PLACES_LEN: usize = 16_384;
/// An odd number that spreads the low bits of what it multiplies over the high ones.
pub const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The place of `value` among `places`, a power of two.
#[inline(always)]
const fn place(value: u64, places: usize) -> u32 {
    (value.wrapping_mul(SPREAD) >> (64 - places.trailing_zeros())) as u32
}

/// The place of `function` among [`HOOK_PLACES_LEN`].
#[inline(always)]
pub const fn hook_place(function: u64) -> u32 {
    place(function, HOOK_PLACES_LEN)
}

/// The place of `task` among [`TASK_SLOTS`]: task structures lie on 64-byte boundaries.
#[inline(always)]
pub const fn task_place(task: u64) -> u32 {
    place(task >> 6, TASK_SLOTS)
}

/// The first place of the lock at `instance` among exclusive holdings: locks lie on 8-byte boundaries.
#[inline(always)]
pub const fn lock_place(instance: u64) -> u32 {
    place(instance >> 3, HELD_LOCKS_MAX)
}

/// The place of `key` among [`COUNTED_PLACES`].
#[inline(always)]
pub const fn key_place(key: &ObservationKey) -> u32 {
    let first =
        key.hook as u64 | (key.history_complete as u64) << 16 | (key.point as u64) << 24 | (key.flags as u64) << 32;
    let folded =
        key.caller ^ key.table << 20 ^ key.sb ^ (u64::from_ne_bytes(key.slots) ^ first).wrapping_mul(KEY_SPREAD);
    place(folded, COUNTED_PLACES)
}
