//! Set-up, build, VM harness, audit and test of vfs-audit, one file per command.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "xtask is a command line tool")]

pub mod archive;
pub mod audit;
pub mod bench;
pub mod build;
pub mod coverage;
pub mod deps;
pub mod fuzz;
pub mod kernel_module;
pub mod kernels;
pub mod limits;
mod load;
mod natural_order;
pub mod oracle;
pub mod process;
pub mod setup;
pub mod stress;
pub mod test;
pub mod toolchain;
pub mod vm;
pub mod workspace;
