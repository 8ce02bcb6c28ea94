//! Live audits under hardship: the system goes on, the load's results are right, what is lost is counted, and nothing is
//! reported that did not happen.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::test::audits::{self, has_no_violation, is_healthy};
use crate::test::cases::{Case, Evidence, Expected, Ready};

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
    (
        "memory is short",
        "cd /sys/fs/cgroup && echo +memory > cgroup.subtree_control && mkdir short && echo 24M > short/memory.max && \
         echo $$ > short/cgroup.procs || exit 93;",
    ),
    ("ten thousand tasks come and go", "(n=0; while [ $n -lt 10000 ]; do ( : ); n=$((n+1)); done) &"),
];

/// A table of the kernel side that is much too small: its name, the option, and the cause that is counted then.
const FULL: &[(&str, &str, &str)] = &[
    ("the ring of first sights is full", "--ring 4096", "event_ring_full"),
    ("the table of observations is full", "--keys 8", "key_table_full"),
];

/// A task that holds more locks than its table has room for: a fault, and two calls that are right, one of which needs a lock
/// that had no room.
const HELD_FULL: &str = "insmod /vfs_faulty.ko || exit 99; vfs-audit run --fs ext4 --format json -o /out/report.json -- sh -c '\
    vfs-workload fault create-no-lock /mnt/ext4 --deep && vfs-workload fault create-no-lock:ok /mnt/ext4 --deep && \
    vfs-workload fault iterate-shared-no-lock:ok /mnt/ext4 --deep'";

/// File systems on file systems: an overlay whose lower layer is an overlay on ext4.
const NESTED: &str = "mkdir -p /mnt/tmpfs/upper /mnt/tmpfs/work /deep && \
    mount -t overlay -o lowerdir=/mnt/overlay,upperdir=/mnt/tmpfs/upper,workdir=/mnt/tmpfs/work none /deep || exit 94; \
    vfs-audit run --format json -o /out/report.json -- vfs-workload overlay /deep";

/// Faults on the later pages of huge folios.
const HUGE: &str = "vfs-audit run --format json -o /out/report.json --also table:/out/report.txt -- \
    vfs-workload system /mnt/ext4 --only huge_pages";

/// Killed while it looks around, attaches, tests itself and observes; the last is there long enough to say that it observed.
const KILLED_ANYWHERE: &str = "before=$(vfs-workload bpf-count); for wait in 500 1500 3000 5000 7000 9000 12000 30000; do \
    vfs-audit run --for 1000s > /dev/null 2> /out/killed-after-$wait & pid=$!; usleep ${wait}000; kill -9 $pid; done; wait; \
    left=60; until [ \"$(vfs-workload bpf-count)\" = \"$before\" ]; do left=$((left - 1)); test $left -gt 0 || break; sleep 1; \
    done; echo before: $before; echo after: $(vfs-workload bpf-count); vfs-workload ext4 /mnt/ext4 > /out/load";

/// Tasks come and go while the audit attaches, and their addresses serve the load's tasks afterwards.
const COMING_AND_GOING: &str = "(until [ -e /observed ]; do ls /mnt/ext4 > /dev/null; done) & \
    vfs-audit run --fs ext4 --format json -o /out/report.json -- sh -c 'touch /observed; vfs-workload ext4 /mnt/ext4 || exit 98; \
    n=0; while [ $n -lt 200 ]; do ls /mnt/ext4 > /dev/null; n=$((n+1)); done'; code=$?; wait; exit $code";

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

/// A case with the workload, on 6.12 with ext4 alone.
fn on_ext4(name: &str, command: &str) -> Case {
    Case::new(name, &[command])
        .on(&["6.12"])
        .with_only(&["ext4"])
        .with(|_| audits::workload().map(|file| Ready::Files(vec![file])))
        .within(600)
}

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = HARDSHIPS
        .iter()
        .map(|(name, meanwhile)| {
            let command = format!("{AUDITED} '{meanwhile} {LOAD} && wait'; code=$?; [ $code = 0 ] || [ $code = 3 ]");
            on_ext4(&format!("an audit stands it when {name}"), &command)
                .checked(|evidence| stands(&evidence.json("report.json")?))
        })
        .collect();
    cases.extend(tables_that_are_full());
    cases.extend(nested_and_killed());
    cases.push(
        on_ext4("an audit knows tasks that began while it attached from those that ended then", COMING_AND_GOING)
            .checked(|evidence| {
                let report = evidence.json("report.json")?;
                stands(&report)?;
                is_healthy(&report)
            }),
    );
    cases.push(on_ext4("two auditors at once see the same", TWO_AUDITORS).checked(both_stand));
    cases.push(
        // The kernel holds a module as long as something in it is probed.
        on_ext4("a module whose callbacks are hooked can be unloaded once the audit has ended", UNLOADED)
            .with_only(&["ext4", "xfs"])
            .checked(|evidence| {
                ensure!(evidence.outcome.stdout.lines().any(|line| line == "0"), "xfs is still loaded");
                stands(&evidence.json("report.json")?)
            }),
    );
    cases.push(on_ext4("a full disk costs the rest of a recording and is said", DISK_FULL).checked(a_part_is_readable));
    cases
}

/// Tables of the kernel side that are much too small.
fn tables_that_are_full() -> Vec<Case> {
    let mut cases: Vec<Case> = FULL
        .iter()
        .map(|(name, option, cause)| {
            let command = format!("vfs-audit run {option} --fs ext4 --format json -o /out/report.json -- {LOAD}");
            on_ext4(&format!("an audit stands it when {name}"), &command)
                .ends(Expected::Code(3))
                .checked(|evidence| stands_with_loss(&evidence.json("report.json")?, cause))
        })
        .collect();
    cases.push(
        on_ext4("an audit stands it when a task holds more locks than there is room for", HELD_FULL)
            .with(audits::workload_and_module)
            .ends(Expected::Code(1))
            .checked(only_the_fault_is_reported),
    );
    cases
}

/// File systems on file systems, and a tracer that is killed wherever it is.
fn nested_and_killed() -> Vec<Case> {
    vec![
        on_ext4("file systems on file systems are told apart", NESTED)
            .with_only(&["ext4", "tmpfs", "overlay"])
            .checked(|evidence| {
                let report = evidence.json("report.json")?;
                stands(&report)?;
                ensure!(report["loss"]["total"] == 0, "loss: {}", report["loss"]);
                let count = |fs: &str| report["invocations_by_fs"]["inode_operations.create"][fs].as_u64();
                ensure!(count("overlay") > Some(0) && count("tmpfs") > Some(0), "{}", report["invocations_by_fs"]);
                Ok(())
            }),
        on_ext4("the pages of huge folios are known by their heads", HUGE)
            .on(&["6.12", "7.3"])
            .ends(Expected::CodeOrIncomplete(0))
            .checked(tails_are_known),
        on_ext4("a tracer leaves nothing behind wherever it is killed", KILLED_ANYWHERE)
            .checked(nothing_is_left_anywhere),
    ]
}

/// The faults on tail pages: each page is locked and belongs to its file.
fn tails_are_known(evidence: &Evidence<'_>) -> Result<()> {
    let report = evidence.json("report.json")?;
    stands(&report)?;
    let said = evidence.outcome.stdout.lines().find(|line| line.starts_with("system huge_pages: "));
    ensure!(said.is_some_and(|said| !said.contains("not offered")), "there was no huge page: {said:?}");
    let rules = report["rules"].as_array().context("the report has no rules")?;
    for id in ["locked", "not_truncated"].map(|aspect| format!("vm_operations_struct.fault.{aspect}")) {
        let rule = rules.iter().find(|rule| rule["id"] == *id).with_context(|| format!("no rule {id}"))?;
        ensure!(rule["satisfied"].as_u64() >= Some(6) && rule["unknown"] == 0, "{rule}");
    }
    Ok(())
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

/// The same where so much was lost, for this cause and no other.
fn stands_with_loss(report: &Value, cause: &str) -> Result<()> {
    stands(report)?;
    let causes = report["loss"]["by_cause"].as_object().context("the report has no causes of loss")?;
    for (known, count) in causes {
        ensure!((count.as_u64() > Some(0)) == (known == cause), "{known}: {count}");
    }
    ensure!(report["command"]["exit_code"] == 0, "the load ended so: {}", report["command"]);
    // What there was room for has its verdict.
    let rules = report["rules"].as_array().context("the report has no rules")?;
    ensure!(rules.iter().any(|rule| rule["verdict"] == "satisfied"), "no rule has a verdict");
    Ok(())
}

fn only_the_fault_is_reported(evidence: &Evidence<'_>) -> Result<()> {
    let report = evidence.json("report.json")?;
    ensure!(report["command"]["exit_code"] == 0, "the load ended so: {}", report["command"]);
    ensure!(report["loss"]["by_cause"]["held_table_full"].as_u64() > Some(0), "loss: {}", report["loss"]);
    ensure!(
        report["incomplete"].as_array().is_some_and(|reasons| !reasons.is_empty()),
        "the run is said to be complete"
    );
    let violations = report["violations"].as_array().context("the report has no violations")?;
    let rules: Vec<&Value> = violations.iter().map(|violation| &violation["rule"]).collect();
    ensure!(rules == ["inode_operations.create"], "reported: {rules:?}");
    let function = violations[0]["stack"].to_string();
    ensure!(function.contains("vfs_faulty_create_no_lock+"), "reported for another call: {function}");
    Ok(())
}

fn nothing_is_left_anywhere(evidence: &Evidence<'_>) -> Result<()> {
    let stdout = &evidence.outcome.stdout;
    let line = |prefix: &str| stdout.lines().find_map(|line| line.strip_prefix(prefix)).context("no count came back");
    ensure!(line("before: ")? == line("after: ")?, "{stdout}");
    let said = |wait: u32| std::fs::read_to_string(evidence.out.join(format!("killed-after-{wait}")));
    // Some were killed before they observed, and the last one while it did.
    ensure!(!said(500)?.contains("observing") && said(30_000)?.contains("observing"), "{:?}", said(30_000)?);
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
