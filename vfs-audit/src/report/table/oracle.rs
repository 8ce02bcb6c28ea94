//! The oracle's section of the table: by kind of lock, how often lockdep said the same.

use super::{Ink, Page, counted, grouped};
use crate::{
    oracle::{Agreement, Case, LockAgreement, OracleReport, Witness},
    report::Report,
};

/// Denied claims that are shown; JSON has more.
const CASES_SHOWN: usize = 10;

/// The section, when lockdep was asked.
pub(super) fn write(page: &mut Page, report: &Report) {
    let Some(oracle) = &report.oracle else { return };
    page.blank();
    page.line(Ink::Plain, "Compared with lockdep");
    let invocations = counted(oracle.invocations, "entry or exit").replace("exits", "exit");
    page.field("compared", &format!("{} at {invocations} of callbacks", counted(oracle.compared, "lock")));
    page.laid_out(&table(&oracle.by_kind()));
    let ink = if oracle.disagreed == 0 { Ink::Good } else { Ink::Bad };
    page.line(ink, &format!("  certain claims that lockdep denies: {}", grouped(oracle.disagreed)));
    write_cases(page, oracle);
}

/// A row for each kind of lock: agreed, and behind `!` what lockdep denied.
fn table(rows: &[LockAgreement]) -> String {
    let line = |name: &str, cells: [&str; 7]| {
        let [certain, tracked, word, not_certain, none, word_alone, table_alone] = cells;
        format!(
            "  {name:<12} {certain:>14} {tracked:>14} {word:>18} {not_certain:>12} {none:>14} {word_alone:>18} {table_alone:>18}"
        )
    };
    let head =
        ["certain", "tracked only", "word only", "not certain", "not asked", "word by itself", "table by itself"];
    let mut lines = vec![line("lock", head)];
    for row in rows {
        let [certain, tracked, word, not_certain] =
            [&row.certain, &row.tracked_only, &row.word_only, &row.not_certain].map(agreement);
        let none = grouped(row.unasked + row.unknown + row.no_claim);
        let [word_alone, table_alone] = [&row.word, &row.table].map(witness);
        lines.push(line(&row.kind, [&certain, &tracked, &word, &not_certain, &none, &word_alone, &table_alone]));
    }
    lines.join("\n")
}

fn agreement(agreement: &Agreement) -> String {
    figures(agreement.agreed, agreement.disagreed)
}

fn witness(witness: &Witness) -> String {
    figures(witness.agreed, witness.disagreed)
}

fn figures(agreed: u64, disagreed: u64) -> String {
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
