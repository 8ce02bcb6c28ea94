//! XML test results as CI servers read them: one suite per operations table, one case per rule.

use super::Report;
use super::cases::{Case, Outcome, Suite, suites};
use super::escape::xml;

/// The report as XML test results.
pub fn render_junit(report: &Report) -> String {
    let suites = suites(report);
    let sum = |outcome| suites.iter().map(|suite| suite.count(outcome)).sum::<usize>();
    let tests: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    let (failures, skipped, seconds) = (sum(Outcome::Failed), sum(Outcome::Skipped), report.seconds);
    let figures =
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\"");
    let suites: String = suites.iter().map(|one| suite(report, one)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"vfs-audit\" {figures}>\n{suites}</testsuites>\n"
    )
}

fn suite(report: &Report, suite: &Suite) -> String {
    let attributes = [
        ("name", xml(&suite.name)),
        ("tests", suite.cases.len().to_string()),
        ("failures", suite.count(Outcome::Failed).to_string()),
        ("errors", "0".to_owned()),
        ("skipped", suite.count(Outcome::Skipped).to_string()),
        ("hostname", xml(&report.kernel.release)),
    ];
    let attributes = attributes.map(|(name, value)| format!(" {name}=\"{value}\"")).concat();
    let cases: String = suite.cases.iter().map(|one| case(suite, one)).collect();
    format!("  <testsuite{attributes}>\n{cases}  </testsuite>\n")
}

fn case(suite: &Suite, case: &Case) -> String {
    let start = format!("    <testcase classname=\"{}\" name=\"{}\"", xml(&suite.name), xml(&case.name));
    let reason = xml(&case.reason);
    let body = match case.outcome {
        Outcome::Passed => return start + "/>\n",
        Outcome::Failed => {
            let details: String = case.details.iter().map(|line| xml(line) + "\n").collect();
            format!("<failure message=\"{reason}\" type=\"violation\">{details}</failure>")
        }
        Outcome::Skipped => format!("<skipped message=\"{reason}\"/>"),
    };
    format!("{start}>\n      {body}\n    </testcase>\n")
}
