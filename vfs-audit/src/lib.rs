//! vfs-audit: audits the VFS callbacks of a live Linux kernel against the locking rules that the kernel documents.
//!
//! The way of the data: `rules` (TOML) and `btf` make a `plan` per hook; `tracer` loads it into the kernel and brings
//! back [`observation::Observation`]s; `checker`, a pure function, turns rules and observations into verdicts;
//! `report` renders them. Only `commands` prints, exits or reads the environment.

pub mod btf;
pub mod checker;
pub mod commands;
pub mod compare;
pub mod kernel;
#[cfg(test)]
mod mutation;
pub mod observation;
pub mod oracle;
pub mod recording;
pub mod reference;
pub mod report;
pub mod rules;
pub mod tracer;
