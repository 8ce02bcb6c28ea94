//! `rules explain`: everything that is known of one rule.

use super::super::args::{ListFormat, RulesExplainArgs};
use super::super::{Advice, Exit, output};
use crate::rules::{Catalogue, explain};

/// Rules that are named when one is not known.
const SUGGESTIONS_MAX: usize = 5;

/// Explains the rule.
///
/// # Errors
/// There is no such rule set, or no such rule in it.
pub(super) fn run(args: &RulesExplainArgs) -> anyhow::Result<Exit> {
    let catalogue = super::catalogue(&args.rules)?;
    let Some(explanation) = explain(&catalogue, &args.id) else { return Err(unknown(&catalogue, &args.id).into()) };
    match args.format {
        ListFormat::Json => output::print(&super::json(&explanation)?)?,
        ListFormat::Table => output::print(&super::escaped(&explanation.to_string()))?,
    }
    Ok(Exit::Clean)
}

fn unknown(catalogue: &Catalogue, id: &str) -> Advice {
    let near = nearest(catalogue, id);
    let hint = if near.is_empty() {
        format!("`vfs-audit rules list --rules {}` shows them all", catalogue.name)
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Advice::new(format!("{} has no rule `{id}`", catalogue.name), hint)
}

/// Ids that contain what was asked for, or its op; the shortest first.
fn nearest<'c>(catalogue: &'c Catalogue, id: &str) -> Vec<&'c str> {
    let op = id.split('.').nth(1).unwrap_or(id);
    let mut near: Vec<&str> = Vec::new();
    for wanted in [id, op] {
        let fits = |known: &&str| !wanted.is_empty() && known.split('.').any(|part| part == wanted);
        let mut found: Vec<&str> = catalogue.rules().map(|rule| rule.id.as_str()).filter(fits).collect();
        if found.is_empty() {
            found = catalogue.rules().map(|rule| rule.id.as_str()).filter(|known| known.contains(wanted)).collect();
        }
        found.sort_by_key(|known| known.len());
        near.extend(found);
        if !near.is_empty() {
            break;
        }
    }
    near.truncate(SUGGESTIONS_MAX);
    near
}
