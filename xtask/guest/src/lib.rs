//! What the host's side of the VM harness and PID 1 of the guest share: the archive format and the plan of a run.
//!
//! The crate has no dependency but `libc`, so that the guest's init is quickly built as a static binary.

pub mod cpio;
pub mod plan;
