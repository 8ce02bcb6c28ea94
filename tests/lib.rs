//! Live tests, workloads and the faulty kernel module of vfs-audit.

pub mod expected;
pub mod fault;
mod faults;
