//! Workloads: what is done to the reference VFS.

pub(crate) mod contend;
pub(crate) mod each;
pub(crate) mod fsx;
pub(crate) mod mix;
pub(crate) mod user;
