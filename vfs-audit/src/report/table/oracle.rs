//! The oracle's section of the table: by kind of lock, how often lockdep said the same.

use super::{Ink, Page, counted, grouped};
use crate::{
    oracle::{Agreement, Case, LockAgreement, OracleReport},
    report::Report,
};

/// Denied claims that are shown; JSON has more.
const CASES_SHOWN: usize = 10;

/// The section, when lockdep was asked.
pub(super) fn write(page: &mut Page, report: &Report) {
    let Some(oracle) = &report.oracle else { return };
    page.blank();
    page.line(Ink::Plain, "Compared with lockdep");
    let points = grouped(oracle.invocations);
    let compared = counted(oracle.compared, "lock");
    page.field("compared", &format!("{compared} at {points} entries and exits of callbacks"));
    page.laid_out(&table(&oracle.by_kind()));
    let ink = if oracle.disagreed == 0 { Ink::Good } else { Ink::Bad };
    page.line(ink, &format!("  certain claims that lockdep denies: {}", grouped(oracle.disagreed)));
    write_cases(page, oracle);
}

/// A row for each kind of lock: agreed, and behind `!` what lockdep denied.
fn table(rows: &[LockAgreement]) -> String {
    let line = |name: &str, [certain, tracked, word, not_certain, none]: [&str; 5]| {
        format!("  {name:<12} {certain:>18} {tracked:>14} {word:>20} {not_certain:>12} {none:>12}")
    };
    let mut lines = vec![line("lock", ["certain", "tracked only", "word only", "not certain", "not asked"])];
    for row in rows {
        let [certain, tracked, word, not_certain] =
            [&row.certain, &row.tracked_only, &row.word_only, &row.not_certain].map(figures);
        let none = grouped(row.unasked + row.unknown + row.no_claim);
        lines.push(line(&row.kind, [&certain, &tracked, &word, &not_certain, &none]));
    }
    lines.join("\n")
}

fn figures(agreement: &Agreement) -> String {
    let Agreement { agreed, disagreed } = *agreement;
    if disagreed == 0 { grouped(agreed) } else { format!("{} !{}", grouped(agreed), grouped(disagreed)) }
}

fn write_cases(page: &mut Page, oracle: &OracleReport) {
    let text = |case: &Case| {
        let Case { lock, at, fs, said, lockdep, count, task, .. } = case;
        let because = case.reason.map_or("", |reason| reason.text());
        format!("{lock} at {at} on {fs}: {said}; lockdep: {lockdep} ({}), {task} {because}", grouped(*count))
    };
    for case in oracle.cases.iter().take(CASES_SHOWN) {
        page.field(if case.reason.is_none() { "denied" } else { "not certain" }, &text(case));
    }
}
