//! `run` and `record`: a live audit, and a live recording.

use super::Exit;
use super::args::{RecordArgs, RunArgs};

/// Audits the live kernel.
///
/// # Errors
/// Always.
pub fn run(_: &RunArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("run: not built yet")
}

/// Records the live kernel.
///
/// # Errors
/// Always.
pub fn record(_: &RecordArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("record: not built yet")
}
