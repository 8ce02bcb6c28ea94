//! `rules import` and `rules diff` on samples, on the kernel's own documents where they are at hand, and on damaged files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adopted;
mod damage;
mod differences;
mod documents;
mod layout;
mod samples;
mod witness;
