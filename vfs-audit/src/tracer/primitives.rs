//! The lock primitives and the program that each gets, by effect.
//!
//! All names are tried; a kernel has those of its configuration (a debug kernel the `_nested` ones), and a name that is
//! absent there is a normal answer. What must be there is one way each of acquiring and releasing, see [`untracked`].

use crate::kernel::Symbols;

/// A primitive: function, program, and whether the program runs at its entry (else at its exit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primitive {
    /// Kernel function.
    pub function: &'static str,
    /// Program of the eBPF object.
    pub program: &'static str,
    /// fentry, else fexit.
    pub at_entry: bool,
    /// Lock kind, for the hook table (`rwsem`, `mutex`).
    pub kind: &'static str,
}

const fn at_entry(kind: &'static str, function: &'static str, program: &'static str) -> Primitive {
    Primitive { function, program, at_entry: true, kind }
}

const fn at_exit(kind: &'static str, function: &'static str, program: &'static str) -> Primitive {
    Primitive { function, program, at_entry: false, kind }
}

/// Releases first: while only they are attached nothing is noted, so nothing stale can be. A lock that one task alone can
/// hold needs no probe on its release: its word says that it is free.
pub const PRIMITIVES: &[Primitive] = &[
    at_entry("rwsem", "up_read", "release"),
    at_entry("rwsem", "downgrade_write", "downgrade"),
    at_entry("rwsem", "down_read", "acquire_shared"),
    at_entry("rwsem", "down_read_nested", "acquire_shared"),
    at_exit("rwsem", "down_read_interruptible", "acquire_shared_if_zero"),
    at_exit("rwsem", "down_read_killable", "acquire_shared_if_zero"),
    at_exit("rwsem", "down_read_killable_nested", "acquire_shared_if_zero_2"),
    at_exit("rwsem", "down_read_trylock", "acquire_shared_if_nonzero"),
    at_entry("rwsem", "down_write", "acquire_exclusive"),
    at_entry("rwsem", "down_write_nested", "acquire_exclusive"),
    at_entry("rwsem", "_down_write_nest_lock", "acquire_exclusive"),
    at_exit("rwsem", "down_write_killable", "acquire_exclusive_if_zero"),
    at_exit("rwsem", "down_write_killable_nested", "acquire_exclusive_if_zero_2"),
    at_exit("rwsem", "down_write_trylock", "acquire_exclusive_if_nonzero"),
    at_entry("mutex", "mutex_lock", "acquire_mutex"),
    at_entry("mutex", "mutex_lock_nested", "acquire_mutex"),
    at_entry("mutex", "_mutex_lock_nest_lock", "acquire_mutex"),
    at_entry("mutex", "mutex_lock_io", "acquire_mutex"),
    at_entry("mutex", "mutex_lock_io_nested", "acquire_mutex"),
    at_exit("mutex", "mutex_lock_interruptible", "acquire_mutex_if_zero"),
    at_exit("mutex", "mutex_lock_interruptible_nested", "acquire_mutex_if_zero_2"),
    at_exit("mutex", "mutex_lock_killable", "acquire_mutex_if_zero"),
    at_exit("mutex", "mutex_lock_killable_nested", "acquire_mutex_if_zero_2"),
    at_exit("mutex", "_mutex_lock_killable", "acquire_mutex_if_zero_3"),
    at_exit("mutex", "mutex_trylock", "acquire_mutex_if_nonzero"),
    at_exit("mutex", "_mutex_trylock_nest_lock", "acquire_mutex_if_nonzero_2"),
];

/// The one function that takes an rwsem shared, by `down_read_non_owner()`, for whoever comes to release it: which is `down_read()`
/// on a kernel without lockdep.
const HANDS_OVER: &str = "nfs_complete_unlink";

/// Beginning and end of the function that takes a lock for another task, where this kernel has it now: call sites in it.
pub(super) fn handed_over(symbols: &Symbols) -> (u64, u64) {
    let found = symbols.addresses(HANDS_OVER).first().map(|start| (*start, symbols.end_of(*start)));
    found.and_then(|(start, end)| Some((start, end?))).unwrap_or_default()
}

/// What of `kinds` cannot be tracked when only `attached` are: empty when each can be acquired and released.
pub(super) fn untracked(attached: &[&Primitive], kinds: &[&str]) -> Vec<String> {
    let has = |kind: &str, program: &str| {
        attached
            .iter()
            .any(|p| p.kind == kind && (p.program == program || p.program.starts_with(&format!("{program}_"))))
    };
    let mut missing = Vec::new();
    for (kind, programs) in
        [("rwsem", &["acquire_shared", "acquire_exclusive", "release", "downgrade"][..]), ("mutex", &["acquire_mutex"])]
    {
        for program in programs.iter().filter(|_| kinds.contains(&kind)) {
            if !has(kind, program) {
                missing.push(format!("no probe of kind {program} on any {kind} primitive"));
            }
        }
    }
    missing
}
