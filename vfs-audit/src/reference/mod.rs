//! The reference VFS: the project's own ground, on which rules and checker are tried without a kernel and without root.
//!
//! It knows no rules, and the checker knows nothing of its insides: neither vouches for itself.

pub mod disk;
