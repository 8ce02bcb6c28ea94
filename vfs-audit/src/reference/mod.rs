//! The reference VFS: the project's own ground, on which rules and checker are tried without a kernel and without root.
//!
//! A small kernel with the kernel's nouns (`object`) and verbs (`vfs`), example file systems that fill every slot of the
//! document's tables (`fs`), a simulated disk below them ([`disk`]), and locks over a model (`lock`) that knows every
//! holder. A call through a table (`task::invoke`) is an invocation: `observe` reads from it what the catalogue's roles and
//! facts name, and folds equal invocations into one [`Observation`](crate::observation::Observation) with a count. It runs
//! as threads, or under a controlled scheduler that explores interleavings from a seed (`sched`).
//!
//! It knows no rules, and the checker knows nothing of its insides: neither vouches for itself. What a wrong kernel looks
//! like is told by [`mutant`]s: each deviates in one thing, and each must be reported as just the rule that this breaks.
//!
//! # What this does not model
//! Processors with memory orders of their own (everything is sequentially consistent), NUMA, cgroups, huge pages, pipes and
//! sockets beyond what splice needs, namespaces other than the one of mounts, credentials beyond a user id, interrupts that
//! nest, priorities, timeouts of locks. Nothing here says how fast a kernel is.
//!
//! # What it can miss
//! The controlled scheduler switches at lock operations, invocations and waits only, so a race between two plain reads and
//! writes is not explored. Quota locks that no kernel has any more (`dqptr_sem`, `dqonoff_sem`) are real here, because the
//! document names them: their rules are satisfied by the reference and still stale.

#![allow(clippy::unnecessary_wraps, reason = "a callback has the signature of its slot, whatever it needs of it")]
#![allow(clippy::struct_field_names, clippy::similar_names, reason = "members have the kernel's names")]
#![allow(clippy::type_complexity, reason = "the type of a slot is a prototype")]

pub mod disk;
mod explore;
mod fs;
mod kernel;
mod lock;
pub mod mutant;
mod object;
mod observe;
mod power;
mod random;
mod run;
mod sched;
mod task;
mod vfs;
mod workload;

pub use explore::{Exploration, Wrongdoing, explore, workloads};
pub use lock::{Fault, FaultKind};
pub use power::{PowerCuts, power_cuts};
pub use run::{Config, Run, Workload, run, run_unobserved};
