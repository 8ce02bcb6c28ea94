//! Set-up, build, VM harness, audit and test of vfs-audit: the command line.
#![allow(clippy::print_stderr, reason = "xtask is a command line tool")]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{build, vm};

/// Set-up, build, VM harness, audit and test of vfs-audit.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Line {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the eBPF programs and the static daemon, target/release/vfs-audit.
    Build(build::Args),
    /// Run a command in a VM on a kernel of Debian's, or your own.
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let task = Line::parse().task;
    let failure = if matches!(task, Task::Vm(_)) { vm::BROKEN } else { 1 };
    let code = perform(task).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        failure
    });
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn perform(task: Task) -> Result<i32> {
    match task {
        Task::Build(args) => build::run(&args).map(|_| 0),
        Task::Vm(args) => vm::run(&args),
    }
}
