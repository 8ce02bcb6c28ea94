//! Workloads: what is done to the reference VFS.

pub(crate) mod contend;
pub(crate) mod each;
pub(crate) mod user;
