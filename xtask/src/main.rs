//! Set-up, build, VM harness, audit and test of vfs-audit: the command line.
#![allow(clippy::print_stderr, reason = "xtask is a command line tool")]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{audit, bench, build, coverage, deps, fuzz, limits, oracle, setup, stress, test, vm};

/// Set-up, build, VM harness, audit and test of vfs-audit.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Line {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing here for the build and the VMs; says first what that is.
    Setup(setup::Args),
    /// Build the eBPF programs and the static daemon, target/release/vfs-audit.
    Build(build::Args),
    /// Audit this host where its kernel allows it, else a Debian kernel in a VM, and leave the report in out/.
    Audit(audit::Args),
    /// Run the unit tests, the eBPF build and the live tests on real kernels in VMs.
    Test(test::Args),
    /// Measure what an audit costs, in instructions of a guest.
    Bench(bench::Args),
    /// Audit each kernel under every load, and print what was reached of its document's ops and rules.
    Coverage(coverage::Args),
    /// Audit each kernel and file system under the load of stress-ng.
    Stress(stress::Args),
    /// Compare what the tool says of each lock with lockdep, on a kernel that has it.
    Oracle(oracle::Args),
    /// Run a command in a VM on a kernel of Debian's, or your own.
    Vm(vm::Args),
    /// Fuzz the parsers of what strangers send, each for a bounded time.
    Fuzz(fuzz::Args),
    /// Check what the project is built from: licences, sources, advisories.
    Deps(deps::Args),
    /// Write LIMITS.md anew from the rules.
    Limits(limits::Args),
    /// Build a kernel module, by default the faulty one of the live tests, for a kernel of Debian's.
    Module(xtask::kernel_module::Args),
}

fn main() -> ExitCode {
    let is_vm = std::env::args().nth(1).is_some_and(|word| word == "vm");
    // With `vm`, the codes below belong to the guest's command.
    let failure = if is_vm { vm::BROKEN } else { 2 };
    let code = match Line::try_parse() {
        Ok(line) => perform(line.task).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            failure
        }),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { failure } else { 0 }
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn perform(task: Task) -> Result<i32> {
    match task {
        Task::Setup(args) => setup::run(&args).map(|()| 0),
        Task::Build(args) => build::run(&args).map(|_| 0),
        Task::Audit(args) => audit::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Coverage(args) => coverage::run(&args),
        Task::Stress(args) => stress::run(&args),
        Task::Oracle(args) => oracle::run(&args),
        Task::Vm(args) => vm::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Deps(args) => deps::run(&args),
        Task::Limits(args) => limits::run(&args).map(|()| 0),
        Task::Module(args) => xtask::kernel_module::run(&args).map(|()| 0),
    }
}
