//! The `vfs-audit` program: parses its arguments and hands them to the commands.

use std::process::ExitCode;

use clap::Parser as _;
use vfs_audit::commands::{self, args::Arguments};

fn main() -> ExitCode {
    commands::main(&Arguments::parse())
}
