//! `cargo xtask limits`: writes LIMITS.md anew from the rules.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace;

/// Arguments of `limits`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {}

/// Has the test that compares the page write it.
///
/// # Errors
/// The project cannot be built, or the page cannot be written.
pub fn run(_: &Args) -> Result<()> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root()).env("UPDATE_EXPECT", "1");
    process::run(cargo.args(["test", "--quiet", "--package", "vfs-audit", "--test", "limits"]))
        .context("writing LIMITS.md")
}
