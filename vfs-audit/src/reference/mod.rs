//! The reference VFS: a small kernel that keeps the document's rules, run under the same checker for comparison.

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
