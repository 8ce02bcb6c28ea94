//! The comparison as a table for people: what was observed line by line, with the reasons under each operations table, then
//! what was not, by reason.

use std::collections::BTreeMap;

use prettytable::format::{FormatBuilder, LinePosition, LineSeparator};
use prettytable::{Cell as TableCell, Row, Table};

use super::{Cell, Comparison, Line, Relation, Verdict};
use crate::report::{Source, counted, escape, grouped, wrap};

/// Columns of running text.
const WIDTH: usize = 110;
/// Columns for the document's cell.
const DOCUMENT_COLUMNS: usize = 22;
/// Columns for a rule's name within its table.
const RULE_COLUMNS: usize = 30;

/// The comparison as text.
pub fn render(comparison: &Comparison) -> String {
    let mut text = legend(comparison);
    text.push_str(&summary(comparison));
    let mut tables: Vec<&str> = comparison.rules.iter().map(|line| table_of(&line.rule)).collect();
    tables.dedup();
    for table in tables {
        text.push_str(&section(comparison, table));
    }
    text.push_str(&silent(comparison));
    text
}

/// A letter for each run, and what it stands for.
fn legend(comparison: &Comparison) -> String {
    let mut text = String::from("Runs\n");
    for (at, run) in comparison.runs.iter().enumerate() {
        let what = match run.source {
            Source::Reference => "reference VFS".to_owned(),
            Source::Live | Source::Recorded => format!("kernel {}", run.kernel),
        };
        let fs = if run.fs.is_empty() { String::new() } else { format!(" on {}", run.fs) };
        let observations = counted(run.observations, "observation");
        let line = format!("{}  {what}{fs}, rules {}: {}, {observations}", letter(at), run.rules, run.name);
        push(&mut text, &format!("  {line}"));
        run.incomplete.iter().for_each(|reason| push(&mut text, &format!("     incomplete: {reason}")));
    }
    text
}

fn summary(comparison: &Comparison) -> String {
    let counts: Vec<String> = comparison.summary.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
    format!("\nRESULT: {} rules: {}\n", comparison.rules.len(), counts.join(", "))
}

/// One operations table: its observed lines, and under them why they are not all agreement.
fn section(comparison: &Comparison, table: &str) -> String {
    let lines: Vec<&Line> = comparison.rules.iter().filter(|line| table_of(&line.rule) == table).collect();
    let shown: Vec<&Line> = lines.into_iter().filter(|line| is_shown(line)).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut rows = Table::new();
    let separator = LineSeparator::new('-', '-', '-', '-');
    rows.set_format(FormatBuilder::new().padding(1, 1).separator(LinePosition::Title, separator).build());
    let letters = (0..comparison.runs.len()).map(letter);
    let titles = ["rule", "documented"].map(str::to_owned).into_iter().chain(letters).chain(["result".to_owned()]);
    rows.set_titles(titles.collect::<Vec<_>>().into());
    for line in &shown {
        rows.add_row(row(line));
    }
    let mut text = format!("\n{}\n", escape::text(table));
    rows.to_string().lines().for_each(|line| push(&mut text, line));
    for line in shown.iter().filter(|line| line.verdict != Verdict::Agree) {
        reasons(&mut text, line);
    }
    text
}

/// Lines with a row of their own: something was observed, or the document is stale.
fn is_shown(line: &Line) -> bool {
    !matches!(line.verdict, Verdict::Unobserved | Verdict::NotJudged) || line.runs.iter().any(was_observed)
}

fn was_observed(cell: &Cell) -> bool {
    match cell.relation {
        Relation::Deviates | Relation::Stale | Relation::Stricter | Relation::Undecided | Relation::Agrees => true,
        Relation::NotJudged | Relation::Unobserved | Relation::NoRule => false,
    }
}

fn row(line: &Line) -> Row {
    let wrapped = |text: &str, columns| TableCell::new(&wrap(&escape::text(text), columns).join("\n"));
    let cells = [wrapped(short(&line.rule), RULE_COLUMNS), wrapped(&line.document, DOCUMENT_COLUMNS)].into_iter();
    let runs = line.runs.iter().map(|cell| TableCell::new(&figure(cell)));
    Row::new(cells.chain(runs).chain([TableCell::new(&line.verdict.to_string())]).collect())
}

/// A cell in a word and its figures.
fn figure(cell: &Cell) -> String {
    let note = if cell.document.is_some() { " *" } else { "" };
    let text = match cell.relation {
        Relation::Deviates => format!("deviates {}/{}", grouped(cell.broken), grouped(cell.applied)),
        Relation::Agrees | Relation::Stricter | Relation::Undecided if cell.applied > 0 => {
            format!("{} {}", cell.relation, grouped(cell.applied))
        }
        Relation::Unobserved => "-".to_owned(),
        Relation::Agrees
        | Relation::Stricter
        | Relation::Undecided
        | Relation::Stale
        | Relation::NotJudged
        | Relation::NoRule => cell.relation.to_string(),
    };
    text + note
}

/// Why a line is not agreement, run by run; runs of one reason together.
fn reasons(text: &mut String, line: &Line) {
    let mut by_reason: Vec<(&str, Vec<String>)> = Vec::new();
    for (at, cell) in line.runs.iter().enumerate().filter(|(_, cell)| !cell.why.is_empty()) {
        match by_reason.iter_mut().find(|(why, _)| *why == cell.why) {
            Some((_, letters)) => letters.push(letter(at)),
            None => by_reason.push((&cell.why, vec![letter(at)])),
        }
    }
    push(text, &format!(" {}: {}", short(&line.rule), line.verdict));
    for (why, letters) in by_reason {
        indented(text, &format!("{}: {why}", letters.join(", ")));
    }
    for (at, cell) in line.runs.iter().enumerate() {
        if let Some(document) = &cell.document {
            indented(text, &format!("{} *: its own document says `{document}`", letter(at)));
        }
    }
}

/// What was not observed or is not judged, by run and reason.
fn silent(comparison: &Comparison) -> String {
    let mut by_reason: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
    for line in &comparison.rules {
        // The lines with a row of their own have said why, unless they are agreement.
        let is_told = is_shown(line) && line.verdict != Verdict::Agree;
        for (at, cell) in line.runs.iter().enumerate().filter(|(_, cell)| !cell.why.is_empty() && !is_told) {
            by_reason.entry((at, &cell.why)).or_default().push(&line.rule);
        }
    }
    let mut text = String::new();
    let mut at = usize::MAX;
    for ((run, why), rules) in by_reason {
        if run != at {
            at = run;
            push(&mut text, "");
            push(&mut text, &format!("Not observed or not judged in {}", letter(run)));
        }
        for line in wrap(&format!("{}: {why}", counted(rules.len() as u64, "rule")), WIDTH - 2) {
            push(&mut text, &format!("  {}", escape::text(&line)));
        }
        for named in names(comparison, &rules) {
            indented(&mut text, &named);
        }
    }
    text
}

/// Rules by operations table; an op whose rules are all among them is named once (`mkdir.*`).
fn names(comparison: &Comparison, rules: &[&str]) -> Vec<String> {
    let mut tables: Vec<(&str, Vec<String>)> = Vec::new();
    for rule in rules {
        let whole = op_of(rule);
        let of_op = comparison.rules.iter().map(|line| line.rule.as_str()).filter(|id| op_of(id) == whole);
        let is_whole = of_op.clone().count() > 1 && of_op.clone().all(|id| rules.contains(&id));
        let name = if is_whole { format!("{}.*", short(whole)) } else { short(rule).to_owned() };
        match tables.last_mut().filter(|(table, _)| *table == table_of(rule)) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => tables.push((table_of(rule), vec![name])),
        }
    }
    tables.into_iter().map(|(table, names)| format!("{table}: {}", names.join(", "))).collect()
}

/// The op of a rule (`inode_operations.mkdir`).
fn op_of(id: &str) -> &str {
    id.match_indices('.').nth(1).map_or(id, |(at, _)| &id[..at])
}

fn indented(text: &mut String, line: &str) {
    for line in wrap(&escape::text(line), WIDTH - 4) {
        push(text, &format!("    {line}"));
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(&escape::text(line.trim_end()));
    text.push('\n');
}

/// `A` for the first run, `AA` for the 27th.
fn letter(at: usize) -> String {
    let own = char::from(b'A' + u8::try_from(at % 26).unwrap_or(0));
    if at < 26 { own.to_string() } else { letter(at / 26 - 1) + &own.to_string() }
}

fn table_of(id: &str) -> &str {
    id.split_once('.').map_or(id, |(table, _)| table)
}

fn short(id: &str) -> &str {
    id.split_once('.').map_or(id, |(_, rest)| rest)
}
