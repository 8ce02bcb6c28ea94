//! From an invocation to an [`Observation`](crate::observation::Observation): facts and lock readings by name.
//!
//! A small interpreter of the catalogue's roles and fact readers. It knows how to read each *kind* of fact from the
//! reference VFS's objects and from a task's record of what happened, and nothing of what any rule demands. Equal
//! invocations are folded into one key with a count, as the live tracer does.

mod beyond;
mod compile;
mod function;
mod plan;
mod prototype;
pub(crate) mod read;
pub(crate) mod recorder;
mod value;

pub(crate) use beyond::{Calls, Overlaps, Watch};
pub(crate) use compile::Plans;
pub(crate) use function::{Event, Function};
pub(crate) use plan::Plan;
pub(crate) use prototype::Op;
pub(crate) use read::Outcome;
pub(crate) use recorder::{Key, Recorder, Results};
pub(crate) use value::{AsValue, Value};
