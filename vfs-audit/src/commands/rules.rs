//! `rules`: list, explain, prove, import and compare.

use super::Exit;
use super::args::RulesCommand;

pub(super) fn run(_: &RulesCommand) -> anyhow::Result<Exit> {
    anyhow::bail!("x")
}
