//! Live audits under hardship: the system goes on, the load's results are right, what is lost is counted, and nothing is
//! reported that did not happen.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::test::audits::{self, has_no_violation};
use crate::test::cases::{Case, Evidence, Ready};

/// An audit of a load on ext4 while something else happens; `$audit` is the auditor.
const AUDITED: &str = "vfs-audit run --fs ext4 --format json -o /out/report.json -- sh -c";
/// Four tasks at once, whose results are checked by themselves.
const LOAD: &str = "vfs-workload stress /mnt/ext4 --tasks 4 --seconds 8";

/// Meanwhile, beside the load: each a name, and what happens in the audited command's shell before and during the load.
const HARDSHIPS: &[(&str, &str)] = &[
    ("the auditor is stopped for five seconds", "kill -STOP $PPID; (sleep 5; kill -CONT $PPID) &"),
    (
        "the clock jumps by a year and back",
        "now=$(date +%s); (sleep 2; date -s @$((now+31536000)); sleep 2; date -s @$now) > /dev/null &",
    ),
    (
        "a processor goes and comes back",
        "(sleep 2; echo 0 > /sys/devices/system/cpu/cpu1/online; sleep 2; echo 1 > /sys/devices/system/cpu/cpu1/online) &",
    ),
    (
        "caches are dropped again and again",
        "(n=0; while [ $n -lt 20 ]; do echo 3 > /proc/sys/vm/drop_caches; usleep 300000; n=$((n+1)); done) &",
    ),
    (
        "another tracer is on the same functions",
        "cd /sys/kernel/tracing || exit 92; (sleep 1; for f in down_write down_read up_write up_read ext4_create ext4_rename2 \
         ext4_unlink; do echo $f; done > set_ftrace_filter; echo function > current_tracer; sleep 4; echo nop > current_tracer) &",
    ),
    ("ten thousand tasks come and go", "(n=0; while [ $n -lt 10000 ]; do ( : ); n=$((n+1)); done) &"),
];

/// A second auditor inside the first.
const TWO_AUDITORS: &str = "vfs-audit run --fs ext4 --format json -o /out/outer.json -- \
    vfs-audit run --fs ext4 --format json -o /out/inner.json -- vfs-workload ext4 /mnt/ext4";

/// File systems are unmounted and their module is unloaded while its callbacks are hooked.
const UNLOADED: &str = "vfs-audit run --format json -o /out/report.json -- sh -c 'vfs-workload xfs /mnt/xfs || exit 91; \
    umount /mnt/xfs || exit 90; rmmod xfs && exit 89; vfs-workload ext4 /mnt/ext4'; code=$?; left=60; \
    until rmmod xfs; do left=$((left - 1)); test $left -gt 0 || break; sleep 1; done; grep -c ^xfs /proc/modules; exit $code";

/// A recording for which there is room for some of it only; how much is what a first one took.
const DISK_FULL: &str = "vfs-audit record --fs ext4 -o /out/whole.vfa -- vfs-workload ext4 /mnt/ext4 || exit 88; \
    size=$(stat -c %s /out/whole.vfa); mkdir /small; mount -t tmpfs -o size=$((size*2/3)) none /small || exit 87; \
    vfs-audit record --fs ext4 -o /small/part.vfa -- vfs-workload ext4 /mnt/ext4 2> /out/full; echo full $?; \
    cp /small/part.vfa /out/; vfs-audit check /out/part.vfa --format json -o /out/part.json; echo part $?; \
    vfs-audit check /out/whole.vfa --format json -o /out/whole.json; echo whole $?; \
    vfs-audit run --fs ext4 -o /dev/full -- true 2> /out/report-full; echo report-full $?";

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let ready = |_: &str| audits::workload().map(|file| Ready::Files(vec![file]));
    let mut cases: Vec<Case> = HARDSHIPS
        .iter()
        .map(|(name, meanwhile)| {
            let command = format!("{AUDITED} '{meanwhile} {LOAD} && wait'; code=$?; [ $code = 0 ] || [ $code = 3 ]");
            Case::new(&format!("an audit stands it when {name}"), &[&command])
                .on(&["6.12"])
                .with_only(&["ext4"])
                .with(ready)
                .within(600)
                .checked(|evidence| stands(&evidence.json("report.json")?))
        })
        .collect();
    cases.push(
        Case::new("two auditors at once see the same", &[TWO_AUDITORS])
            .on(&["6.12"])
            .with_only(&["ext4"])
            .with(ready)
            .within(600)
            .checked(both_stand),
    );
    cases.push(
        // The kernel holds a module as long as something in it is probed.
        Case::new("a module whose callbacks are hooked can be unloaded once the audit has ended", &[UNLOADED])
            .on(&["6.12"])
            .with_only(&["ext4", "xfs"])
            .with(ready)
            .within(600)
            .checked(|evidence| {
                ensure!(evidence.outcome.stdout.lines().any(|line| line == "0"), "xfs is still loaded");
                stands(&evidence.json("report.json")?)
            }),
    );
    cases.push(
        Case::new("a full disk costs the rest of a recording and is said", &[DISK_FULL])
            .on(&["6.12"])
            .with_only(&["ext4"])
            .with(ready)
            .within(600)
            .checked(a_part_is_readable),
    );
    cases
}

/// Calls were seen and none is reported; what was lost, and nothing else, makes the run incomplete.
fn stands(report: &Value) -> Result<()> {
    has_no_violation(report)?;
    let seen: u64 =
        report["invocations"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    ensure!(seen > 0, "no call was seen");
    let lost = report["loss"]["total"].as_u64().context("the report counts no loss")?;
    let reasons = report["incomplete"].as_array().context("the report has no list of reasons")?;
    let code = report["exit"]["code"].as_u64().context("the report has no exit code")?;
    ensure!(code == 0 || code == 3, "exit code {code}: {reasons:?}");
    ensure!((code == 0) == reasons.is_empty(), "exit code {code} for {reasons:?}");
    ensure!(lost == 0 || code == 3, "{lost} lost, and exit code {code}");
    let seconds = report["seconds"].as_f64().context("the report has no duration")?;
    ensure!((0.0..600.0).contains(&seconds), "a run of {seconds} s");
    Ok(())
}

fn both_stand(evidence: &Evidence<'_>) -> Result<()> {
    let (outer, inner) = (evidence.json("outer.json")?, evidence.json("inner.json")?);
    for report in [&outer, &inner] {
        stands(report)?;
        ensure!(report["exit"]["code"] == 0, "{}", report["incomplete"]);
    }
    // The outer one sees all that the inner one sees, and what the inner one itself does besides.
    for op in ["create", "rename", "unlink", "mkdir"] {
        let count = |report: &Value| report["invocations"][format!("inode_operations.{op}")].as_u64();
        ensure!(
            count(&inner).is_some() && count(&inner) == count(&outer),
            "{op}: {:?}, {:?}",
            count(&inner),
            count(&outer)
        );
    }
    Ok(())
}

fn a_part_is_readable(evidence: &Evidence<'_>) -> Result<()> {
    let stdout = &evidence.outcome.stdout;
    audits::is_told(evidence, "full", "No space left")?;
    audits::is_told(evidence, "report-full", "No space left")?;
    let said = |wanted: &[&str]| stdout.lines().any(|line| wanted.contains(&line));
    ensure!(said(&["part 3"]), "a recording that was cut off is complete: {stdout}");
    ensure!(said(&["whole 0", "whole 3"]), "the whole recording is wrong: {stdout}");
    let (part, whole) = (evidence.json("part.json")?, evidence.json("whole.json")?);
    let seen = |report: &Value| report["recordings"][0]["observations"].as_u64().unwrap_or(0);
    ensure!(0 < seen(&part) && seen(&part) < seen(&whole), "{} of {} observations", seen(&part), seen(&whole));
    has_no_violation(&part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn loss_without_exit_code_3_and_a_jump_of_time_are_seen() {
        let report = |lost: u64, code: u64, reasons: &[&str], seconds: f64| {
            json!({ "violations": [], "suspected": [], "excepted": [], "invocations": { "a.b": 1 }, "loss": { "total": lost },
                    "incomplete": reasons, "exit": { "code": code }, "seconds": seconds })
        };
        assert!(stands(&report(0, 0, &[], 9.0)).is_ok());
        assert!(stands(&report(5, 3, &["5 lost"], 9.0)).is_ok());
        assert!(stands(&report(5, 0, &[], 9.0)).is_err());
        assert!(stands(&report(0, 3, &[], 9.0)).is_err());
        assert!(stands(&report(0, 0, &[], 3.2e7)).is_err());
    }
}
