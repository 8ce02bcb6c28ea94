//! `cargo xtask test`: everything a stranger can run: unit tests, the eBPF build, and the live cases in VMs.
//!
//! The last line is `N passed, N failed, N skipped`, of the live cases; unit tests have their runner's own summary.

mod audits;
mod cases;
mod changes;
mod crowd;
mod hardship;
mod live;
mod oracle;
mod security;
mod stress;

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::deps;
use crate::fuzz;
use crate::process;
use crate::setup::{self, Missing};
use crate::workspace;

pub use cases::{Case, Check, Evidence, Expected, Prepare, Ready};
pub use live::Tally;

/// Arguments of `test`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only the live cases whose name contains this; leaves out the unit tests.
    #[arg(long, value_name = "PATTERN")]
    pub only: Option<String>,
    /// Live cases on this kernel only: 6.1, 6.12, 6.18 or 7.3.
    #[arg(long)]
    pub kernel: Option<String>,
    /// Live cases too that have not been seen to pass yet; `--only` takes them anyway.
    #[arg(long)]
    pub unproven: bool,
    /// How often each fault is committed in the crowd of correct calls.
    #[arg(long, default_value_t = crowd::TIMES, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,
    /// Live cases on one kernel only.
    #[arg(long)]
    pub quick: bool,
}

/// The kernel of `--quick`.
const QUICK_KERNEL: &str = "6.12";

/// Runs all of it and returns the exit code.
///
/// # Errors
/// When the unit tests or a build fail.
pub fn run(args: &Args) -> Result<i32> {
    if !Missing::find().is_empty() {
        setup::run(&setup::Args::default())?;
    }
    if args.only.is_none() {
        lint()?;
        section("dependencies");
        deps::must_pass()?;
        section("unit tests");
        process::run(cargo().arg("test")).context("unit tests")?;
        section("fuzz targets");
        fuzz::must_pass()?;
    }
    section("build");
    let daemon = build::run(&build::Args::default())?;
    section("live tests");
    let tally = live_cases(args, &daemon)?;
    println!("{tally}");
    Ok(i32::from(!tally.is_good()))
}

fn live_cases(args: &Args, daemon: &Path) -> Result<Tally> {
    let kernel = args.kernel.as_deref().or(args.quick.then_some(QUICK_KERNEL));
    let selection = live::Selection { only: args.only.as_deref(), kernel, unproven: args.unproven };
    live::run(&cases::all(args.times), &selection, daemon, &workspace::target_dir().join("live"))
}

/// Warnings are errors in CI only: a newer compiler's must not keep anybody from testing.
fn lint() -> Result<()> {
    if env::var_os("CI").is_none() {
        return Ok(());
    }
    section("lints");
    let has_clippy = process::output(cargo().args(["clippy", "--version"])).is_ok();
    if !has_clippy {
        println!("lints: not run: this toolchain has no clippy");
        return Ok(());
    }
    process::run(cargo().args(["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"])).context("lints")
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root());
    cargo
}

fn section(name: &str) {
    println!("== {name}");
}
