//! Mutants: the reference VFS with one named deviation each, and the rule that must catch it.
//!
//! A deviation is data. Those of locks and contexts take effect where every callback is called or every lock is
//! acquired; those of a protocol are steps that the VFS or a file system asks for by name.

mod deviation;
mod table;
mod trial;

pub(crate) use deviation::{Deviation, Entry, Step, Wrong};
pub use trial::{Trial, list, try_all, without_mutant};
