//! Set-up, build, VM harness, audit and test of vfs-audit, one file per command.

fn main() {}
