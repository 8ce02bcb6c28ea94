//! `rules list`: every rule of a rule set, table by table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::args::{Filters, ListFormat, RulesListArgs};
use super::super::{Exit, output, selection};
use crate::report::{counted, wrap};
use crate::rules::{Catalogue, ListedRule, Standing, list};

/// Columns for what a rule requires.
const SUMMARY_COLUMNS: usize = 68;
/// Columns for a rule's name within its table.
const NAME_COLUMNS: usize = 30;

/// Lists the rules.
///
/// # Errors
/// There is no such rule set, or a pattern matches nothing.
pub(super) fn run(args: &RulesListArgs) -> anyhow::Result<Exit> {
    let catalogue = super::catalogue(&args.rules)?;
    let filters = Filters { op: args.op.clone(), rule: args.rule.clone(), ..Filters::default() };
    selection::prove(&catalogue, &filters, &[])?;
    let wanted = |rule: &ListedRule| filters.wants_op(&rule.table, &rule.op) && filters.wants_rule(&rule.id);
    let rules: Vec<ListedRule> = list(&catalogue).into_iter().filter(wanted).collect();
    match args.format {
        ListFormat::Json => output::print(&super::json(&rules)?)?,
        ListFormat::Table => output::print(&table(&catalogue, &rules))?,
    }
    Ok(Exit::Clean)
}

fn table(catalogue: &Catalogue, rules: &[ListedRule]) -> String {
    let mut text = summary(catalogue, rules);
    let mut at = "";
    for rule in rules {
        if rule.table != at {
            at = &rule.table;
            let _ = writeln!(text, "\n{at}");
        }
        write_rule(&mut text, rule);
    }
    text.push_str("\n`vfs-audit rules explain ID` says more of one rule.\n");
    text
}

fn summary(catalogue: &Catalogue, rules: &[ListedRule]) -> String {
    let ops: BTreeSet<(&str, &str)> = rules.iter().map(|rule| (rule.table.as_str(), rule.op.as_str())).collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in rules {
        *kinds.entry(kind(rule)).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let silent = rules.iter().filter(|rule| rule.not_observable_live.is_some()).count();
    let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    let mut text =
        format!("{}: {} on {}{kinds}\n", catalogue.name, number(rules.len(), "rule"), number(ops.len(), "op"));
    if silent > 0 {
        let _ = writeln!(text, "{silent} of them cannot be read on a live kernel yet (marked ~)");
    }
    text
}

fn number(count: usize, noun: &str) -> String {
    counted(count as u64, noun)
}

fn write_rule(text: &mut String, rule: &ListedRule) {
    let name = rule.id.strip_prefix(&format!("{}.", rule.table)).unwrap_or(&rule.id);
    let mark = if rule.not_observable_live.is_some() { "~" } else { " " };
    let lines = wrap(&rule.summary(), SUMMARY_COLUMNS);
    let head = format!("{mark} {name:<NAME_COLUMNS$} {:<13} ", kind(rule));
    let indent = head.chars().count();
    for (number, line) in lines.iter().enumerate() {
        let margin = if number == 0 { head.clone() } else { " ".repeat(indent) };
        let _ = writeln!(text, "{}", format!("{margin}{line}").trim_end());
    }
}

/// The kind of statement in one word.
fn kind(rule: &ListedRule) -> &'static str {
    if rule.stale.is_some() {
        return "stale";
    }
    match rule.standing {
        Standing::Judged => "judged",
        Standing::NotPromised => "not promised",
        Standing::Undocumented => "undocumented",
        Standing::Permissive => "permissive",
        Standing::Advice => "advice",
        Standing::Informational => "informational",
        Standing::Obsolete => "obsolete",
    }
}
