//! The verdicts, grouped by operations table; what was not observed is condensed.

use std::collections::{BTreeMap, BTreeSet};

use prettytable::format::{Alignment, FormatBuilder, LinePosition, LineSeparator};
use prettytable::{Cell, Row, Table};

use super::page::{Ink, Page, counted, grouped, wrap};
use crate::checker::{RuleVerdict, Verdict};
use crate::report::{Report, escape};

/// Fewest columns to which rule names are wrapped.
const RULE_COLUMNS_MIN: usize = 24;
/// Columns between rule and document, and around them, at figures of up to nine characters.
const FIGURE_COLUMNS: usize = 59;
/// Fewest columns for the document's cell.
const DOCUMENT_COLUMNS_MIN: usize = 18;
/// Lines that a condensed list may take.
const LIST_LINES_MAX: usize = 3;

/// Writes every operations table that has rules.
pub(super) fn write(page: &mut Page, report: &Report) {
    let mut tables: Vec<&str> = Vec::new();
    for rule in &report.findings.rules {
        if tables.last() != Some(&table_of(&rule.id)) {
            tables.push(table_of(&rule.id));
        }
    }
    let (observed, silent): (Vec<&str>, Vec<&str>) = tables.into_iter().partition(|table| is_observed(report, table));
    for table in observed {
        write_table(page, report, table);
    }
    if !silent.is_empty() {
        page.blank();
        page.line(Ink::Plain, "Operations tables of which no rule was observed");
        let rules = |table: &&str| format!("{table}: {}", counted(rules_of(report, table).count() as u64, "rule"));
        page.fields("unobserved", &silent.iter().map(rules).collect::<Vec<_>>());
    }
}

fn table_of(id: &str) -> &str {
    id.split_once('.').map_or(id, |(table, _)| table)
}

fn short(id: &str) -> &str {
    id.split_once('.').map_or(id, |(_, rest)| rest)
}

fn rules_of<'r>(report: &'r Report, table: &'r str) -> impl Iterator<Item = &'r RuleVerdict> {
    report.findings.rules.iter().filter(move |rule| table_of(&rule.id) == table)
}

fn is_observed(report: &Report, table: &str) -> bool {
    let silent = |verdict: &Verdict| matches!(verdict, Verdict::Unobserved | Verdict::NotObservable(_));
    rules_of(report, table).any(|rule| !silent(&rule.verdict))
}

fn write_table(page: &mut Page, report: &Report, table: &str) {
    let seen: Vec<(&str, u64)> = report
        .findings
        .invocations
        .iter()
        .filter(|(op, _)| table_of(op) == table)
        .map(|(op, count)| (short(op), *count))
        .collect();
    let invocations = seen.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    let ops = counted(seen.len() as u64, "op");
    page.blank();
    let on = file_systems(report, table);
    page.line(Ink::Plain, &format!("{table}: {} of {ops}{on}", counted(invocations, "invocation")));
    let shown: Vec<&RuleVerdict> = rules_of(report, table).filter(|rule| is_shown(&rule.verdict)).collect();
    if !shown.is_empty() {
        page.laid_out(&layout(page, &shown));
    }
    for rule in &shown {
        if let Some(why) = rule.verdict.reason() {
            page.field("inconclusive", &format!("{}: {why}", short(&rule.id)));
        }
    }
    write_silent(page, report, table);
}

/// Rules that have no row of their own.
fn write_silent(page: &mut Page, report: &Report, table: &str) {
    let mut not_judged = Vec::new();
    let mut unobserved = Vec::new();
    let mut not_observable: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut stale: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for rule in rules_of(report, table) {
        let id = short(&rule.id).to_owned();
        match &rule.verdict {
            Verdict::NotJudged if rule.seen.is_empty() => not_judged.push(id),
            Verdict::NotJudged => not_judged.push(format!("{id} ({})", seen(rule))),
            Verdict::Unobserved => unobserved.push(id),
            Verdict::NotObservable(why) => not_observable.entry(why).or_default().push(id),
            Verdict::Stale(why) => stale.entry(why).or_default().push(id),
            Verdict::Satisfied | Verdict::Violated | Verdict::Inconclusive(_) => {}
        }
    }
    page.listing("not judged", &not_judged, LIST_LINES_MAX);
    page.listing("unobserved", &unobserved, LIST_LINES_MAX);
    write_by_reason(page, "not readable", not_observable);
    write_by_reason(page, "stale", stale);
}

/// A reason, and under it the rules that it is about.
fn write_by_reason(page: &mut Page, label: &str, reasons: BTreeMap<&str, Vec<String>>) {
    for (why, ids) in reasons {
        page.field(label, &format!("{why}:"));
        page.listing("", &ids, LIST_LINES_MAX);
    }
}

/// What was seen of the locks that a rule observes.
fn seen(rule: &RuleVerdict) -> String {
    let seen = rule.seen.iter().map(|(what, count)| format!("{what} {}", grouped(*count)));
    seen.collect::<Vec<_>>().join("; ")
}

/// The file systems that the table's rules were satisfied on.
fn file_systems(report: &Report, table: &str) -> String {
    let counts = rules_of(report, table).flat_map(|rule| &rule.by_fs);
    let names: BTreeSet<&str> = counts.filter(|(_, count)| **count > 0).map(|(fs, _)| fs.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" on {}", Vec::from_iter(names).join(", ")) }
}

/// Rules that get a row of their own.
fn is_shown(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Satisfied | Verdict::Violated | Verdict::Inconclusive(_) => true,
        Verdict::Unobserved | Verdict::NotJudged | Verdict::NotObservable(_) | Verdict::Stale(_) => false,
    }
}

fn layout(page: &Page, rules: &[&RuleVerdict]) -> String {
    let longest = rules.iter().map(|rule| short(&rule.id).chars().count()).max().unwrap_or(0);
    let room = page.style.width.saturating_sub(FIGURE_COLUMNS);
    let rule_columns = longest.min(room.saturating_sub(DOCUMENT_COLUMNS_MIN).max(RULE_COLUMNS_MIN));
    let document_columns = room.saturating_sub(rule_columns).max(DOCUMENT_COLUMNS_MIN);
    let mut table = Table::new();
    let line = LineSeparator::new('-', '-', '-', '-');
    table.set_format(FormatBuilder::new().padding(2, 0).separator(LinePosition::Title, line).build());
    let titles = ["rule", "verdict", "satisfied", "violated", "unknown", "support", "document"];
    table.set_titles(Row::new(titles.iter().map(|title| Cell::new(title)).collect()));
    for rule in rules {
        table.add_row(row(rule, rule_columns, document_columns));
    }
    let verdict_at = 2 + rule_columns.max("rule".len()) + 2;
    table.to_string().lines().map(|line| coloured(page, line, verdict_at) + "\n").collect()
}

fn row(rule: &RuleVerdict, rule_columns: usize, document_columns: usize) -> Row {
    let wrapped = |text: &str, columns| Cell::new(&wrap(&escape::text(text), columns).join("\n"));
    let figure = |text: &str| Cell::new_align(text, Alignment::RIGHT);
    Row::new(vec![
        wrapped(short(&rule.id), rule_columns),
        Cell::new(name(&rule.verdict).0),
        figure(&grouped(rule.satisfied)),
        figure(&grouped(rule.violated)),
        figure(&grouped(rule.unknown)),
        figure(&support(rule.support)),
        wrapped(&rule.document, document_columns),
    ])
}

/// The line with the verdict in it coloured; the layout cannot do it, it counts escapes as columns.
fn coloured(page: &Page, line: &str, verdict_at: usize) -> String {
    let Some((before, after)) = line.split_at_checked(verdict_at) else { return line.to_owned() };
    let shown = [Verdict::Satisfied, Verdict::Violated, Verdict::Inconclusive(String::new())];
    for (word, ink) in shown.iter().map(name) {
        if let Some(rest) = after.strip_prefix(word).filter(|rest| rest.starts_with(' ')) {
            let gap = rest.len() - rest.trim_start().len();
            if word != "satisfied" || rest[gap..].starts_with(|c: char| c.is_ascii_digit()) {
                return format!("{before}{}{rest}", page.style.ink(ink, word));
            }
        }
    }
    line.to_owned()
}

fn name(verdict: &Verdict) -> (&'static str, Ink) {
    match verdict {
        Verdict::Satisfied => ("satisfied", Ink::Good),
        Verdict::Violated => ("VIOLATED", Ink::Bad),
        Verdict::Inconclusive(_) => ("inconclusive", Ink::Doubtful),
        Verdict::Unobserved => ("unobserved", Ink::Faint),
        Verdict::NotJudged => ("not judged", Ink::Faint),
        Verdict::NotObservable(_) => ("not observable", Ink::Faint),
        Verdict::Stale(_) => ("stale", Ink::Doubtful),
    }
}

/// The support in percent, never rounded up: 100 % means every one.
fn support(support: Option<f64>) -> String {
    let Some(support) = support else { return "-".to_owned() };
    let percent = (support * 10_000.0).floor() / 100.0;
    if support >= 1.0 { "100 %".to_owned() } else { format!("{percent:.2} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_is_never_rounded_up() {
        assert_eq!(support(Some(1.0)), "100 %");
        assert_eq!(support(Some(0.999_999)), "99.99 %");
        assert_eq!(support(Some(0.5)), "50.00 %");
        assert_eq!(support(Some(0.0)), "0.00 %");
        assert_eq!(support(None), "-");
    }
}
