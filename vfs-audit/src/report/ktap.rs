//! KTAP version 1, as the kernel's own tests speak it: one subtest per operations table, one test per rule.

use super::Report;
use super::cases::{Case, Outcome, Suite, suites};
use super::escape;

/// The report as KTAP.
pub fn render_ktap(report: &Report) -> String {
    let suites = suites(report);
    let mut lines = vec!["KTAP version 1".to_owned(), format!("1..{}", suites.len())];
    for (number, suite) in suites.iter().enumerate() {
        push_suite(&mut lines, suite);
        lines.push(suite_result(number + 1, suite));
    }
    lines.join("\n") + "\n"
}

fn push_suite(lines: &mut Vec<String>, suite: &Suite) {
    lines.push("  KTAP version 1".to_owned());
    lines.push(format!("  # Subtest: {}", name(&suite.name)));
    lines.push(format!("  1..{}", suite.cases.len()));
    for (number, case) in suite.cases.iter().enumerate() {
        lines.extend(case.details.iter().map(|line| format!("  # {}", escape::text(line))));
        lines.push(format!("  {}", case_result(number + 1, case)));
    }
}

fn case_result(number: usize, case: &Case) -> String {
    let name = name(&case.name);
    match case.outcome {
        Outcome::Passed => format!("ok {number} {name}"),
        Outcome::Failed => format!("not ok {number} {name}"),
        Outcome::Skipped => format!("ok {number} {name} # SKIP {}", escape::text(&case.reason)),
    }
}

fn suite_result(number: usize, suite: &Suite) -> String {
    let name = name(&suite.name);
    if suite.count(Outcome::Failed) > 0 {
        format!("not ok {number} {name}")
    } else if suite.count(Outcome::Passed) == 0 {
        format!("ok {number} {name} # SKIP nothing was decided")
    } else {
        format!("ok {number} {name}")
    }
}

/// A name cannot hold the mark that begins a directive.
fn name(raw: &str) -> String {
    escape::text(raw).replace('#', "_")
}
