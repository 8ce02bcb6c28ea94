//! SARIF 2.1.0, for code-scanning services.
//!
//! A violation is a result of kind `fail`, a suspected one of kind `review`; what a baseline or the list of known dubious
//! cases knows is suppressed, not left out. There are no source files: locations are the callback and the stack.

use serde_json::{Value, json};

use super::{Report, escape, exit_code};
use crate::checker::{RuleVerdict, Violation};
use crate::observation::Observation;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The report as SARIF.
///
/// # Errors
/// None that a report can cause.
pub fn render_sarif(report: &Report) -> serde_json::Result<String> {
    let driver = json!({
        "name": "vfs-audit",
        "version": report.tool_version,
        "rules": report.findings.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    let run = json!({
        "tool": { "driver": driver },
        "invocations": [invocation(report)],
        "results": results(report),
        "properties": { "kernel": report.kernel, "source": report.source, "seconds": report.seconds },
    });
    escape::json(&json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] })).map(|text| text + "\n")
}

fn rule(rule: &RuleVerdict) -> Value {
    let document = if rule.document.is_empty() { "not specified" } else { &rule.document };
    json!({
        "id": rule.id,
        "shortDescription": { "text": format!("{}: {document}", rule.id) },
        "help": { "text": format!("vfs-audit rules explain {}", rule.id) },
        "properties": {
            "verdict": super::json::Verdict::from(&rule.verdict),
            "satisfied": rule.satisfied,
            "violated": rule.violated,
            "unknown": rule.unknown,
        },
    })
}

fn invocation(report: &Report) -> Value {
    let exit = exit_code(report);
    let notes = report.incomplete.iter().map(|why| json!({ "level": "warning", "message": { "text": why } }));
    json!({
        "executionSuccessful": true,
        "exitCode": exit.code(),
        "exitCodeDescription": exit.meaning(),
        "toolExecutionNotifications": notes.collect::<Vec<_>>(),
    })
}

fn results(report: &Report) -> Vec<Value> {
    let findings = &report.findings;
    let certain = findings.violations.iter().map(|found| result(report, found, "fail", report.known_reason(found)));
    let excepted = findings.excepted.iter();
    let excepted = excepted.map(|case| result(report, &case.violation, "fail", Some(case.reason.as_str())));
    let suspected = findings.suspected.iter().map(|found| result(report, found, "review", report.known_reason(found)));
    certain.chain(excepted).chain(suspected).collect()
}

fn result(report: &Report, violation: &Violation, kind: &str, known: Option<&str>) -> Value {
    let seen = &violation.counterexample;
    let index = report.findings.rules.iter().position(|rule| rule.id == violation.rule);
    let mut result = json!({
        "ruleId": violation.rule,
        "kind": kind,
        "level": if kind == "fail" { "error" } else { "none" },
        "message": { "text": message(violation) },
        "partialFingerprints": { "vfsAuditFingerprint/v1": violation.fingerprint },
        "occurrenceCount": violation.count.max(1),
        "locations": [location(&seen.callback, &format!("{}.{} = {}", seen.table, seen.op, seen.callback))],
        "stacks": stacks(seen),
        "properties": super::json::Violation::new(report, violation),
    });
    if let Some(index) = index {
        result["ruleIndex"] = json!(index);
    }
    if let Some(reason) = known {
        result["suppressions"] = json!([{ "kind": "external", "justification": reason }]);
    }
    result
}

fn message(violation: &Violation) -> String {
    let seen = &violation.counterexample;
    let Violation { required, found, .. } = violation;
    format!("{} on {}, called by {}: required {required}; found {found}", seen.callback, seen.fs, seen.caller)
}

fn location(name: &str, full: &str) -> Value {
    json!({ "logicalLocations": [{ "name": name, "fullyQualifiedName": full, "kind": "function" }] })
}

fn stacks(seen: &Observation) -> Vec<Value> {
    let Some(example) = &seen.example else { return Vec::new() };
    let named = [("kernel stack at the callback", &example.stack), ("kernel stack at the sleep", &example.sleep_stack)];
    let stack = |(what, frames): (&str, &Vec<String>)| {
        let frames = frames.iter().map(|frame| json!({ "location": location(frame, frame) }));
        json!({ "message": { "text": what }, "frames": frames.collect::<Vec<_>>() })
    };
    named.into_iter().filter(|(_, frames)| !frames.is_empty()).map(stack).collect()
}
