//! `probes`: what would be hooked, and what not and why.

use super::Exit;
use super::args::ProbesArgs;

/// Lists the hooks.
///
/// # Errors
/// Always.
pub fn run(_: &ProbesArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("probes: not built yet")
}
