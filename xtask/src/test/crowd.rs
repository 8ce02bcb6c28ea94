//! Faults in a crowd: each is committed again and again while other tasks make the same calls correctly, on two processors.
//! Every one of them must be counted, as its rule, and nothing of what the crowd does.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vfs_audit_tests::expected;

use crate::test::audits::{self, PSEUDO_FS};
use crate::test::cases::{Case, Evidence, Expected, FILESYSTEMS};

/// How often each fault is committed where nobody says.
pub(super) const TIMES: u32 = 3;

/// The kernel may skip one of so many invocations, see `audits::faults_are_reported`.
const SKIPPED_SHARE: u64 = 100_000;

/// The crowd is as it would be without the tracer; the module's own file system is in use before: see `audits`.
fn script(times: u32) -> String {
    let crowded: Vec<String> = FILESYSTEMS.iter().map(|kind| format!("/mnt/{kind}")).collect();
    format!(
        "insmod /vfs_faulty.ko && mkdir /own && mount -t vfs_faulty_fs none /own && touch /own/file || exit 99; \
         vfs-workload hold /own -- vfs-audit run --format json -o /out/report.json --also table:/out/report.txt -- \
         vfs-workload crowd {} -- sh -c 'vfs-workload faults /own --crowded --times {times} || exit 97; \
         for fs in {}; do vfs-workload faults /mnt/$fs --quiet-only --times {times} || exit 98; done'",
        crowded.join(","),
        FILESYSTEMS.join(" ")
    )
}

/// The case, with each fault committed so often.
pub(super) fn case(times: u32) -> Case {
    Case::new("each fault in a crowd is counted as exactly its rule", &[&script(times)])
        .on(&["6.12"])
        .with(audits::workload_and_module)
        .within(900 + 120 * u64::from(times))
        .ends(Expected::Code(1))
        .checked(move |evidence| faults_are_counted(evidence, times))
}

fn faults_are_counted(evidence: &Evidence<'_>, times: u32) -> Result<()> {
    audits::faults_are_reported(evidence, true)?;
    let report = evidence.json("report.json")?;
    let (lost, invocations) = (report["loss"]["total"].as_u64(), report["summary"]["invocations"].as_u64());
    ensure!(lost <= invocations.map(|count| count / SKIPPED_SHARE), "loss: {}", report["loss"]);
    ensure!(report["command"]["exit_code"] == 0, "the load ended so: {}", report["command"]);
    let counts = counts(&report)?;
    let mut wrong = Vec::new();
    for ((function, file_system), count) in &counts {
        // A fault may make its call more than once each time, but always as often.
        if *count == 0 || count % u64::from(times) != 0 {
            wrong.push(format!("{function} on {file_system}: {count} of {times} times"));
        }
    }
    let crowd = evidence.outcome.stdout.lines().find(|line| line.starts_with("crowd: ")).context("no crowd")?;
    println!(
        "      {}: {} faults, {times} times each, {crowd}; {} invocations",
        evidence.release,
        counts.len(),
        report["summary"]["invocations"]
    );
    ensure!(wrong.is_empty(), "not counted as often as committed:\n      {}", wrong.join("\n      "));
    Ok(())
}

/// Violating invocations by the module's function that made the call, and the file system.
fn counts(report: &Value) -> Result<BTreeMap<(String, String), u64>> {
    let mut counts = BTreeMap::new();
    for violation in report["violations"].as_array().context("the report has no violations")? {
        let frames = violation["stack"].as_array().context("a violation has no stack")?;
        let stack: Vec<String> = frames.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let function = expected::module_function(&stack).context("a violation without a fault")?;
        let is_own = expected::is_made_on_pseudo_fs(&stack);
        let kind = if is_own { PSEUDO_FS } else { violation["fs"].as_str().unwrap_or_default() };
        let count = violation["count"].as_u64().context("a violation has no count")?;
        *counts.entry((function.to_owned(), kind.to_owned())).or_default() += count;
    }
    Ok(counts)
}
