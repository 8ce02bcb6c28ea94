//! The live kernel: plans, probes, and the observations they bring back.
//!
//! `plan` and `compile` say what to read, `hooks` where, `attach`, `trampoline` and `primitives` how, `fast_path` how at less cost; `object` is the eBPF side, `sys` what aya lacks;
//! `session` runs it all, `collect` and `decode` turn its raw data into observations,
//! `pending` looks after pages that are unlocked later.
//!
//! # What this can miss
//! - Facts that `compile` refuses, and percpu-rwsems: rules that need them are *not observable*.
//! - Who holds a spinlock, a page or a buffer: their words name nobody.
//! - A sleep after two jumps in a row out of a callback; a sleep below more than 32 frames.
//! - Callbacks of file systems that are mounted and gone between two looks at the kernel (a second apart), those of tables that
//!   neither an object nor a symbol's name has shown, and those that the kernel allows no probe on (listed as *not seen*).
//! - That interrupts are off, where kprobe.multi is built on the function graph tracer (since 6.14) or callbacks are hooked by
//!   fentry: those probes do not save the processor's flags. `doctor` says which it is.
//! - Invocations while the tracer is being switched on or off.
//!
//! # What this can wrongly report
//! - A lock that one task releases for another stays in the first task's table until that task next enters a system call;
//!   its word, where it says that the lock is free, wins at once.
//! - The kernel skips a program that is already running on a CPU, in a task that was preempted there. Tasks that run meanwhile
//!   are marked, and their violations are suspected only; a task that had no table before, and was born in that moment, is not.
//! - A page as never unlocked, should its device take more than five seconds while the run ends.
//! - A context as atomic, should another tracer switch preemption off in a way of its own: what function tracers add is
//!   subtracted by the task's recursion bits, what probing adds by the self-test.

mod attach;
mod call;
mod collect;
mod compile;
mod decode;
mod fast_path;
mod group;
mod hooks;
mod object;
mod offsets;
mod oracle;
mod pending;
mod plan;
mod primitives;
mod programs;
mod progress;
mod self_test;
mod session;
mod sys;
mod tail_call;
mod trampoline;

pub use attach::{Attached, Backend, Unattached};
pub use hooks::{Hook, HookTable, Sizes, Wanted};
pub use object::ObjectError;
pub use plan::{Identity, OpPlan, PlannedRole, PlannedSlot, Plans};
pub use primitives::{PRIMITIVES, Primitive};
pub use programs::ProgramFigures;
pub use session::{Brought, HookFate, LockHook, Session, TracerError};
