//! The live kernel: plans, probes, and the observations they bring back.
//!
//! `plan` says what to read, `hooks` where, `attach` and `primitives` how; `object` is the eBPF side, `sys` what aya lacks;
//! `session` runs it all, `decode` turns its raw data into observations.
//!
//! # What this can miss
//! Locks other than rwsems and mutexes; acquisitions by primitives that have no probe (see `primitives`); callbacks of
//! tables that appear between two looks at the kernel; invocations while the tracer is being switched on or off.
//!
//! # What this can wrongly report
//! A lock that one task releases for another stays in the first task's table until that task next enters a system call;
//! its word, where it says that the lock is free, wins at once.

mod attach;
mod call;
mod decode;
mod hooks;
mod object;
mod offsets;
mod plan;
mod primitives;
mod session;
mod sys;
mod tail_call;

pub use attach::{Attached, Backend, Unattached};
pub use hooks::{Hook, HookTable, Wanted};
pub use object::ObjectError;
pub use plan::{OpPlan, PlannedRole, PlannedSlot, Plans};
pub use primitives::{PRIMITIVES, Primitive};
pub use session::{Brought, HookFate, LockHook, Session, TracerError};
