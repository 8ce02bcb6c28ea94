//! `doctor`: what this kernel offers, what is missing, what to do about it.

use super::Exit;
use super::args::DoctorArgs;

/// Looks the host over.
///
/// # Errors
/// Always.
pub fn run(_: &DoctorArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("doctor: not built yet")
}
