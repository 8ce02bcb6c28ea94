//! `rules limits`: what a check of each rule can miss and can wrongly report, generated from the rules.

use super::super::args::{LimitsFormat, RuleSource, RulesLimitsArgs};
use super::super::{Exit, output};
use crate::rules::{Catalogue, Limits};

/// Prints the page, of one rule set or of all.
///
/// # Errors
/// There is no such rule set, or stdout cannot be written.
pub(super) fn run(args: &RulesLimitsArgs) -> anyhow::Result<Exit> {
    let catalogues = match &args.rules {
        Some(name) => vec![super::catalogue(&RuleSource { rules: name.clone() })?],
        None => Catalogue::load_all()?,
    };
    let limits = Limits::of(&catalogues);
    match args.format {
        LimitsFormat::Json => output::print(&super::json(&limits)?)?,
        LimitsFormat::Md => output::print(&super::escaped_lines(&limits.page()))?,
    }
    Ok(Exit::Clean)
}
