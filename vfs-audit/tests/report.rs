//! Reports as whole texts, their exit codes, baselines, and what may not leave.

#[path = "report/expect.rs"]
mod expect;
#[path = "report/sample.rs"]
mod sample;
#[path = "report/schema.rs"]
mod schema;

use vfs_audit::checker::Findings;
use vfs_audit::observation::{Observation, Point, Route};
use vfs_audit::oracle::OracleReport;
use vfs_audit::report::baseline::Baseline;
use vfs_audit::report::date::Date;
use vfs_audit::report::{
    Addresses, ByFileSystem, Exit, Report, Style, Terms, escape, exit_code, render_json, render_json_lines,
    render_junit, render_ktap, render_sarif, render_schema, render_table,
};

const BASELINE: &str = r#"
[[known]]
fingerprint = "5c0e1f3a9b7d2468"
rule = "inode_operations.create.dir"
reason = "reported upstream"
expires = "2026-12-31"

[[known]]
fingerprint = "00000000deadbeef"
rule = "super_operations.sync_fs.s_umount"
reason = "known since 6.1"
expires = "2026-01-31"

[[known]]
fingerprint = "9999999999999999"
rule = "inode_operations.link.dir"
reason = "was fixed"
"#;

/// Every form there is.
fn every_form(report: &Report) -> [String; 6] {
    [
        render_table(report, Style::default()),
        render_json(report).unwrap_or_default(),
        render_json_lines(report).unwrap_or_default(),
        render_sarif(report).unwrap_or_default(),
        render_junit(report),
        render_ktap(report),
    ]
}

fn day(text: &str) -> Date {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn concluded(require: &[&str]) -> Report {
    let require: Vec<String> = require.iter().map(|pattern| (*pattern).to_owned()).collect();
    let mut report = sample::report();
    report.redact(Addresses::Hidden);
    report.conclude(&Terms { require: &require, baseline: None });
    report
}

/// A report without violation, suspicion, loss or failure.
fn clean() -> Report {
    let findings = sample::report().findings;
    let rules = findings.rules.into_iter().filter(|rule| rule.id == "inode_operations.link.dir").collect();
    let invocations = sample::names(&[("inode_operations.link", 1_234_567)]);
    let loss = vfs_audit::report::Loss { total: 0, by_cause: sample::names(&[("event_ring_full", 0)]) };
    let findings = Findings { rules, invocations, ..Findings::default() };
    Report { findings, loss, hooks: vec![], ..sample::report() }
}

#[test]
fn a_full_report_as_a_table() {
    expect::same("full.txt", &render_table(&concluded(&["inode_operations.*"]), Style::default()));
}

#[test]
fn a_full_report_as_json() {
    expect::same("full.json", &render_json(&concluded(&[])).unwrap());
}

#[test]
fn a_full_report_as_sarif() {
    let text = render_sarif(&concluded(&[])).unwrap();
    expect::same("full.sarif", &text);
    let sarif: serde_json::Value = serde_json::from_str(&text).unwrap();
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4, "two certain, one known dubious, one suspected");
    for result in results {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(result["level"] == "none", result["kind"] == "review", "the format demands it");
    }
    assert_eq!(results[2]["suppressions"][0]["justification"], "overlayfs locks the upper directory itself");
}

#[test]
fn a_full_report_as_junit_xml() {
    let text = render_junit(&concluded(&[]));
    expect::same("full.xml", &text);
    let cases = text.matches("<testcase ").count();
    assert!(text.contains(&format!("tests=\"{cases}\" failures=\"2\" errors=\"0\" skipped=\"9\"")), "{text}");
    assert_eq!(text.matches("<failure ").count(), 2);
}

#[test]
fn a_full_report_as_ktap() {
    expect::same("full.ktap", &render_ktap(&concluded(&[])));
}

#[test]
fn a_full_report_as_json_lines() {
    let report = concluded(&[]);
    let lines = render_json_lines(&report).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&render_json(&report).unwrap()).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for line in lines.lines() {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = line.as_object_mut().unwrap().remove("type").unwrap();
        seen.entry(kind.as_str().unwrap().to_owned()).or_insert_with(Vec::new).push(line);
    }
    for (kind, list) in [("hook", "hooks"), ("rule", "rules"), ("violation", "violations"), ("suspected", "suspected")]
    {
        assert_eq!(serde_json::Value::from(seen[kind].clone()), whole[list]);
    }
    assert_eq!(seen["loss"][0], whole["loss"]);
    assert_eq!(seen["end"][0]["exit"], whole["exit"]);
    assert_eq!(seen["run"][0]["kernel"], whole["kernel"]);
}

#[test]
fn an_incomplete_run_is_no_passed_test() {
    let mut report = Report { loss: sample::report().loss, ..clean() };
    report.conclude(&Terms::default());
    assert!(render_junit(&report).contains("<failure message=\"the run is incomplete\""));
    assert!(render_ktap(&report).ends_with("not ok 1 complete\nnot ok 2 run\n"));
}

#[test]
fn the_schema_describes_every_report() {
    let schema: serde_json::Value = serde_json::from_str(&render_schema().unwrap()).unwrap();
    for report in [concluded(&["inode_operations.*"]), clean()] {
        let json: serde_json::Value = serde_json::from_str(&render_json(&report).unwrap()).unwrap();
        schema::assert_valid(&schema, &schema, &json, "$");
    }
    let wrong: serde_json::Value = serde_json::json!({ "schema_version": "one" });
    assert!(schema::errors(&schema, &schema, &wrong, "$").len() > 10, "the test itself can fail");
}

#[test]
fn a_clean_report_as_a_table() {
    let mut report = clean();
    report.conclude(&Terms::default());
    assert_eq!(exit_code(&report), Exit::Clean);
    expect::same("clean.txt", &render_table(&report, Style::default()));
}

#[test]
fn a_report_with_a_baseline_as_a_table() {
    let baseline = Baseline::parse(BASELINE).unwrap();
    let mut report = sample::report();
    report.redact(Addresses::Hidden);
    report.conclude(&Terms { require: &[], baseline: Some((&baseline, "known.toml", day("2026-06-01"))) });
    assert_eq!(exit_code(&report), Exit::Violated, "one entry expired");
    expect::same("baseline.txt", &render_table(&report, Style::default()));
}

#[test]
fn no_line_of_a_table_is_wider_than_asked_but_for_commands_to_copy() {
    for width in [100, 110, 120] {
        let text = render_table(&concluded(&[]), Style { width, colour: false });
        for line in text.lines().filter(|line| !line.contains("rules explain")) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let plain = render_table(&concluded(&[]), Style::default());
    let coloured = render_table(&concluded(&[]), Style { colour: true, ..Style::default() });
    assert!(!plain.contains('\x1b'));
    assert!(coloured.contains("\x1b[1;31mVIOLATED\x1b[0m"));
    let stripped = coloured.replace("\x1b[0m", "").replace("\x1b[1;31m", "").replace("\x1b[32m", "");
    assert_eq!(stripped.replace("\x1b[33m", "").replace("\x1b[2m", ""), plain);
}

#[test]
fn names_from_outside_act_on_nothing() {
    let report = concluded(&[]);
    for text in every_form(&report) {
        assert!(text.contains("evil"), "{text}");
        assert!(!text.chars().any(|c| c != '\n' && escape::is_hazardous(c)), "{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&render_json(&report).unwrap()).unwrap();
    assert_eq!(json["violations"][0]["task"]["comm"], sample::EVIL, "the data itself is unchanged");
}

#[test]
fn kernel_addresses_leave_only_when_asked_for() {
    let mut shown = sample::report();
    shown.redact(Addresses::Shown);
    let shown = render_json(&shown).unwrap();
    assert_eq!(shown.matches("0xffffffff").count(), 4);
    let hidden = concluded(&[]);
    for text in every_form(&hidden) {
        assert!(!text.contains("0xffff"), "{text}");
        assert!(text.contains("address hidden"));
    }
}

#[test]
fn a_violation_outweighs_incompleteness() {
    assert_eq!(exit_code(&concluded(&[])), Exit::Violated);
}

#[test]
fn each_kind_of_missing_evidence_makes_a_clean_run_incomplete() {
    let lossy = Report { loss: sample::report().loss, ..clean() };
    let hookless = Report { hooks: sample::report().hooks, ..clean() };
    let mut silent = clean();
    silent.findings.invocations.clear();
    let mut suspicious = clean();
    suspicious.findings.suspected = sample::report().findings.suspected;
    let asked = OracleReport { invocations: 9, ..OracleReport::default() };
    let with = |oracle| Report { oracle: Some(oracle), ..clean() };
    for (mut report, reason) in [
        (
            with(OracleReport { disagreed: 2, ..asked.clone() }),
            "lockdep says something else of locks that this tool claims to know: 2 times",
        ),
        (
            with(OracleReport { lockdep_off: true, ..asked }),
            "lockdep has switched itself off during the run: what it said since is worth nothing",
        ),
        (with(OracleReport::default()), "lockdep was asked at no invocation"),
        (lossy, "something was lost: 3 (event_ring_full 3)"),
        (hookless, "hooks that failed: 1"),
        (silent, "nothing was observed: no invocation reached the checker"),
        (suspicious, "suspected violations, neither proved nor ruled out: 1"),
        (Report { incomplete: vec!["cut".into()], ..clean() }, "cut"),
    ] {
        report.conclude(&Terms::default());
        assert_eq!(report.incomplete, [reason]);
        assert_eq!(exit_code(&report), Exit::Incomplete);
    }
}

#[test]
fn a_required_rule_must_have_been_decided() {
    for (pattern, reason) in [
        ("inode_operations.tmpfile.*", Some("required rule inode_operations.tmpfile.dir: unobserved")),
        ("no_such.*", Some("required rule no_such.*: the rule set has no such rule")),
        (
            "*.permission.*",
            Some("required rule inode_operations.permission.may_block: not judged: the document promises nothing here"),
        ),
        ("inode_operations.link.dir", None),
    ] {
        let mut report = clean();
        report.findings.rules = sample::report().findings.rules;
        report.conclude(&Terms { require: &[pattern.to_owned()], baseline: None });
        assert_eq!(report.incomplete.first().map(String::as_str), reason, "{pattern}");
    }
}

#[test]
fn a_known_violation_is_marked_and_not_counted() {
    let baseline = Baseline::parse(BASELINE).unwrap();
    let mut report = clean();
    report.findings.rules = sample::report().findings.rules;
    report.findings.violations = sample::report().findings.violations;
    report.conclude(&Terms { require: &[], baseline: Some((&baseline, "b", day("2026-01-31"))) });
    assert_eq!(exit_code(&report), Exit::Clean, "on its last day an entry still holds");
    assert!(report.findings.violations.iter().all(|violation| violation.known));
    assert_eq!(report.findings.violations.len(), 2, "marked, not dropped");
    let used = report.baseline.unwrap();
    assert_eq!((used.known.len(), used.expired.len(), used.not_seen.len()), (2, 0, 1));
}

#[test]
fn a_baseline_made_from_a_report_knows_that_report() {
    let mut first = sample::report();
    first.conclude(&Terms::default());
    let text = Baseline::of(&first, day("2026-06-01")).to_toml().unwrap();
    expect::same("written.toml", &text);
    let baseline = Baseline::parse(&text).unwrap();
    let mut second = sample::report();
    second.conclude(&Terms { require: &[], baseline: Some((&baseline, "b", day("2027-01-01"))) });
    assert_eq!(exit_code(&second), Exit::Incomplete, "only what is incomplete is left");
    let again = Baseline::of(&second, day("2027-01-01"));
    assert_eq!(again, baseline, "reasons are kept");
}

#[test]
fn a_baseline_may_be_json() {
    let text = r#"{"known": [{"fingerprint": "a", "rule": "r", "reason": "why"}]}"#;
    assert_eq!(Baseline::parse(text).unwrap().len(), 1);
    assert!(Baseline::parse("").unwrap().is_empty());
}

#[test]
fn a_baseline_that_says_too_little_or_too_much_is_refused() {
    for (text, message) in [
        (
            "[[known]]\nfingerprint = 'a'\nrule = 'r'\nreason = ' '",
            "the entry a has no reason; say why the violation is accepted",
        ),
        ("[[known]]\nfingerprint = 'a'\nrule = 'r'\nreason = 'x'\nexpires = 'soon'", "the entry a expires on no day"),
        (
            "[[known]]\nfingerprint = 'a'\nrule = 'r'\nreason = 'x'\n[[known]]\nfingerprint = 'a'\nrule = 'r'\nreason = 'x'",
            "the entry a stands there twice",
        ),
    ] {
        assert_eq!(Baseline::parse(text).unwrap_err().to_string(), message);
    }
    for text in [
        "[[known]]\nfingerprint = 'a'",
        "[[knwon]]\n",
        "{",
        "[[known]]\nfingerprint = 'a'\nrule = 'r'\nreason = 'x'\nuntil = 'y'",
    ] {
        assert!(Baseline::parse(text).is_err(), "{text}");
    }
}

#[test]
fn invocations_by_file_system_add_up_to_those_by_op() {
    let report: serde_json::Value = serde_json::from_str(&render_json(&concluded(&[])).unwrap()).unwrap();
    let by_fs = report["invocations_by_fs"].as_object().unwrap();
    for (op, count) in report["invocations"].as_object().unwrap() {
        let sum: u64 = by_fs[op].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(Some(sum), count.as_u64(), "{op}");
    }
}

#[test]
fn only_what_is_judged_is_counted_by_file_system() {
    let mut by_fs = ByFileSystem::default();
    let called = sample::observation("create");
    by_fs.tally("create", &called);
    by_fs.tally("create", &called);
    by_fs.tally("create", &Observation { point: Point::Exit, ..called.clone() });
    by_fs.tally("create", &Observation { route: Route::Direct, ..called.clone() });
    by_fs.tally("create", &Observation { fs: "xfs".into(), count: u64::MAX, ..called });
    let expected = sample::names(&[("ext4", 34), ("xfs", u64::MAX)]);
    assert_eq!(by_fs.0["inode_operations.create"], expected);
    assert_eq!(by_fs.0.len(), 1);
}
