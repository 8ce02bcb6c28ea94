//! The `vfs-audit` program.

fn main() {}
