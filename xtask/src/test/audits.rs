//! Live audits: correct load, faults on purpose, a tracer that is killed, kernels and users that refuse.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use vfs_audit_tests::expected::{self, Reported};
use vfs_audit_tests::fault::{Fault, release_of};

use crate::bench;
use crate::build;
use crate::kernel_module::{self, NoHeaders};
use crate::test::cases::{Case, Evidence, Expected, FILESYSTEMS, Ready};
use crate::workspace;

const WORKLOAD_IN_GUEST: &str = "/usr/local/bin/vfs-workload";
const MODULE_IN_GUEST: &str = "/vfs_faulty.ko";
/// Ops of `inode_operations` that the correct load must reach on every kernel.
const INODE_OPS_MIN: usize = 18;

/// Both reports of one audit of `load`, and the exit code into a file.
const CORRECT_LOAD: &str = "vfs-audit run -o /out/report.json --format json \
    --also table:/out/report.txt -- vfs-workload all /mnt";

/// Every fault that leaves the log clean, on every file system, under one audit; what was done is said on stdout. The
/// module's own file system is mounted and in use before: its tables are found from what lives.
const FAULTS: &str = "insmod /vfs_faulty.ko && mkdir /own && mount -t vfs_faulty_fs none /own && touch /own/file || exit 99; \
    vfs-workload hold /own -- vfs-audit run --format json \
    -o /out/report.json --also table:/out/report.txt -- sh -c 'vfs-workload faults /own || exit 97; \
    for fs in ext4 xfs btrfs tmpfs overlay; do vfs-workload faults /mnt/$fs --quiet-only || exit 98; done'";

/// The same calls, made correctly.
const FAULTS_MADE_CORRECTLY: &str = "insmod /vfs_faulty.ko && mkdir /own && mount -t vfs_faulty_fs none /own && \
    touch /own/file || exit 99; vfs-workload hold /own -- vfs-audit run --format json \
    -o /out/report.json --also table:/out/report.txt -- sh -c 'vfs-workload faults /own --ok || exit 97; \
    for fs in ext4 xfs btrfs tmpfs overlay; do vfs-workload faults /mnt/$fs --ok || exit 98; done'";
/// The module's own file system, in /proc/mounts and in reports.
pub(super) const PSEUDO_FS: &str = "vfs_faulty_fs";

const KILLED: &str = "vfs-workload kill /mnt/ext4 -- vfs-audit run --for 1000s";

/// Everything an unprivileged user, a kernel without BTF and one whose symbols are hidden must be told: one message each.
const REFUSALS: &str = "su -s /bin/sh nobody -c 'vfs-audit run --for 1s' 2> /out/no-root; echo no-root $?; \
    mount -t tmpfs none /sys/kernel/btf; vfs-audit run --for 1s 2> /out/no-btf; echo no-btf $?; \
    umount /sys/kernel/btf; \
    echo 2 > /proc/sys/kernel/kptr_restrict; vfs-audit run --for 1s 2> /out/no-symbols; echo no-symbols $?; true";
/// One round of the load in the file system that the cost is measured on.
const CHURN: &str = "vfs-workload churn /mnt/ext4 --rounds 400";
/// One invocation in so many may be missed where the kernel skips probes.
const SKIPPED_SHARE: u64 = 1000;
/// Where tasks are preempted in programs, a short load may miss so many: 7.3 skipped two and four of some thousand.
const SKIPPED_FEW: u64 = 8;
/// Calls from an interrupt in the middle of the same function's program: the kernel skips such a one on any kernel. None was in
/// 112 reports of live runs that were looked through for it; that one comes is a matter of time.
const NESTED_FEW: u64 = 1;
/// Faults of several hundred that a skipped probe may leave undecided.
const UNDECIDED_MAX: usize = 4;
/// More bytes than the kernel's longest function has.
const FUNCTION_BYTES_MAX: u64 = 1 << 18;
/// What an audited round may cost, in bare ones.
const COST_MOST: f64 = 1.08;

/// The same load under each backend, on one file system and in one table: a trampoline's program is proved for each function.
const EVERY_WAY: &str = "for way in kprobe.multi kprobe fentry; do vfs-audit run --backend $way --fs ext4 --op 'inode_operations.*' --format json \
    -o /out/$way.json -- vfs-workload ext4 /mnt/ext4 || exit 97; done";

const OWN_DOCUMENT: &str = "vfs-audit run --rules /locking.rst -o /out/report.json --format json \
    --also table:/out/report.txt -- vfs-workload all /mnt";
/// The document of the kernel under test, where the documents are at hand.
const DOCUMENT: &str = "../shared/locking/v6.12.0/locking.rst";

const LOCKED_DOWN: &str = "vfs-audit run --for 1s 2> /out/refused; echo refused $?";

/// All of them.
pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new("correct load is audited without a violation", &[CORRECT_LOAD])
            .with(|_| workload().map(|file| Ready::Files(vec![file])))
            .within(900)
            .ends(Expected::CodeOrIncomplete(0))
            .checked(correct_load_is_clean),
        Case::new("each fault is reported as exactly its rule", &[FAULTS])
            .with(workload_and_module)
            .within(900)
            .ends(Expected::Code(1))
            .checked(|evidence| faults_are_reported(evidence, false)),
        Case::new("the same calls made correctly are not reported", &[FAULTS_MADE_CORRECTLY])
            .on(&["6.12", "7.3"])
            .with(workload_and_module)
            .within(900)
            .ends(Expected::CodeOrIncomplete(0))
            .checked(nothing_is_reported),
        Case::new("an audit costs eight per cent at most", &[&bench::script(CHURN, "")])
            .on(&["6.12"])
            .counted()
            // Others bring modules that make ext4's checksums, and so a bare round, cheaper by a third.
            .with_only(&["ext4"])
            .with(|_| workload().map(|file| Ready::Files(vec![file])))
            .within(1500)
            .checked(is_cheap),
        Case::new("every way of hooking sees the same", &[EVERY_WAY])
            .on(&["6.12"])
            .with(|_| workload().map(|file| Ready::Files(vec![file])))
            .within(1200)
            .checked(ways_agree),
        Case::new("a kernel is audited by its own document", &[OWN_DOCUMENT])
            .on(&["6.12"])
            .with(workload_and_document)
            .checked(correct_load_is_clean),
        Case::new("a killed tracer leaves nothing behind", &[KILLED])
            .with(|_| workload().map(|file| Ready::Files(vec![file])))
            .within(900)
            .checked(nothing_is_left),
        Case::new("who cannot audit is told why", &[REFUSALS]).on(&["6.12"]).checked(|evidence| {
            is_told(evidence, "no-root", "root")?;
            is_told(evidence, "no-btf", "BTF")?;
            is_told(evidence, "no-symbols", "kptr_restrict")
        }),
        Case::new("a kernel that refuses is said to", &[LOCKED_DOWN])
            .on(&["6.12"])
            .booted_with("lockdown=confidentiality lsm=lockdown")
            .checked(|evidence| is_told(evidence, "refused", "lockdown")),
    ]
}

pub(super) fn workload() -> Result<(PathBuf, String)> {
    let program = build::guest_program("vfs-audit-tests", "vfs-workload")?;
    Ok((program, WORKLOAD_IN_GUEST.to_owned()))
}

pub(super) fn workload_and_module(kernel: &str) -> Result<Ready> {
    match kernel_module::build(kernel, &workspace::cache_dir()?, Path::new("tests/faulty")) {
        Ok(module) => Ok(Ready::Files(vec![workload()?, (module, MODULE_IN_GUEST.to_owned())])),
        Err(error) if error.downcast_ref::<NoHeaders>().is_some() => Ok(Ready::Skip(format!("{error:#}"))),
        Err(error) => Err(error),
    }
}

fn list<'a>(report: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    report[key].as_array().with_context(|| format!("the report has no list {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}

/// Nothing lost, no contradiction of the witnesses, no release missed: else the figures beside it mean little.
pub(super) fn is_healthy(report: &Value) -> Result<()> {
    is_healthy_where(report, is_preempted_in_programs(report)?)
}

/// Whether a task can be preempted in the middle of an exit's program, and no other kprobe runs on its CPU meanwhile:
/// kprobe.multi is built on the function graph tracer there.
fn is_preempted_in_programs(report: &Value) -> Result<bool> {
    Ok(release_of(text(&report["kernel"], "release")?).is_some_and(|release| release >= (6, 14)))
}

/// The same, where the kernel `may_skip` a few runs of programs.
pub(super) fn is_healthy_where(report: &Value, may_skip: bool) -> Result<()> {
    ensure!(report["loss"]["total"] == 0 || has_only_skipped(report, may_skip)?, "loss: {}", report["loss"]);
    ensure!(report["tracker"]["disagreements"] == 0, "disagreements: {}", report["tracker"]);
    // A release whose probe the kernel skipped is missed.
    let count =
        |figure: &str| report["tracker"][figure].as_u64().with_context(|| format!("the report has no {figure}"));
    ensure!(count("releases_missed")? <= count("probes_skipped")?, "releases missed: {}", report["tracker"]);
    let mut reasons = list(report, "incomplete")?.iter().filter_map(Value::as_str);
    let is_excused = |reason: &&str| {
        (is_doubtful(report) && reason.starts_with("suspected violations")) || reason.starts_with("something was lost")
    };
    let reason = reasons.find(|reason| !is_excused(reason));
    ensure!(reason.is_none(), "incomplete: {reason:?}");
    Ok(())
}

/// Whether all that was lost are a few runs that the kernel skipped, where it `may_skip` a share of them.
fn has_only_skipped(report: &Value, may_skip: bool) -> Result<bool> {
    let lost = |cause: &str| report["loss"]["by_cause"][cause].as_u64().unwrap_or(0);
    let (missed, nested) = (lost("probe_missed"), lost("interrupt_nested"));
    let invocations = report["summary"]["invocations"].as_u64().context("the report counts no invocations")?;
    let few = if is_preempted_in_programs(report)? { SKIPPED_FEW } else { 0 };
    let most = if may_skip { (invocations / SKIPPED_SHARE).max(few) } else { few };
    Ok(report["loss"]["total"] == missed + nested && missed <= most && nested <= NESTED_FEW)
}

/// Whether the kernel skipped probes in favour of a preempted task's: then what concerns some tasks is suspected only.
fn is_doubtful(report: &Value) -> bool {
    report["tracker"]["probes_skipped"].as_u64() != Some(0)
}

pub(super) fn has_no_violation(report: &Value) -> Result<()> {
    has_no_violation_but(report, &[])
}

/// The same, where the kernel does otherwise than its document says in the pairs of rule and file system type `known`.
pub(super) fn has_no_violation_but(report: &Value, known: &[(&str, &str)]) -> Result<()> {
    // What the kernel is known to do otherwise has its reason in the rules, and is listed apart; of inode operations nothing is.
    let excepted = list(report, "excepted")?.iter().filter_map(|case| case["rule"].as_str());
    let unknown: BTreeSet<_> = excepted.filter(|rule| rule.starts_with("inode_operations.")).collect();
    ensure!(unknown.is_empty(), "excepted: {unknown:?}");
    for kind in ["violations", "suspected"] {
        let is_new = |v: &&Value| !known.iter().any(|(rule, fs)| v["rule"] == *rule && v["fs"] == *fs);
        let new = list(report, kind)?.iter().filter(is_new);
        let rules: BTreeSet<_> = new.map(|v| format!("{} on {} in {}", v["rule"], v["fs"], v["callback"])).collect();
        ensure!(rules.is_empty(), "{kind}: {rules:?}");
    }
    Ok(())
}

fn correct_load_is_clean(evidence: &Evidence<'_>) -> Result<()> {
    let report = evidence.json("report.json")?;
    has_no_violation(&report)?;
    is_healthy(&report)?;
    let exercised: BTreeSet<&str> = report["invocations"]
        .as_object()
        .context("the report counts no invocations")?
        .keys()
        .filter_map(|op| op.strip_prefix("inode_operations."))
        .collect();
    ensure!(exercised.len() >= INODE_OPS_MIN, "only {} ops were reached: {exercised:?}", exercised.len());
    let satisfied = list(&report, "rules")?.iter().filter(|rule| rule["verdict"] == "satisfied").count();
    ensure!(satisfied >= INODE_OPS_MIN, "only {satisfied} rules are satisfied");
    Ok(())
}

fn is_cheap(evidence: &Evidence<'_>) -> Result<()> {
    is_healthy(&evidence.json("report.json")?)?;
    let (bare, audited) = bench::medians(&evidence.outcome.stdout)?;
    let most = f64::from(u32::try_from(bare)?) * COST_MOST;
    ensure!(f64::from(u32::try_from(audited)?) <= most, "{audited} instructions a round, {bare} without the audit");
    Ok(())
}

/// Each backend sees the same ops, with the same verdicts.
fn ways_agree(evidence: &Evidence<'_>) -> Result<()> {
    let mut first: Option<Vec<(String, String)>> = None;
    for way in ["kprobe.multi", "kprobe", "fentry"] {
        let report = evidence.json(&format!("{way}.json"))?;
        ensure!(report["kernel"]["callback_backend"] == way, "{way}: {}", report["kernel"]);
        has_no_violation(&report)?;
        is_healthy(&report)?;
        let mut verdicts = Vec::new();
        for rule in list(&report, "rules")?.iter().filter(|rule| rule["verdict"] == "satisfied") {
            verdicts.push((text(rule, "id")?.to_owned(), rule["satisfied"].to_string()));
        }
        let on_ext4: Vec<_> = verdicts.into_iter().filter(|(id, _)| !is_walked_by_all(id)).collect();
        ensure!(on_ext4.len() >= INODE_OPS_MIN, "{way}: only {} rules are satisfied", on_ext4.len());
        match &first {
            None => first = Some(on_ext4),
            Some(expected) => ensure!(*expected == on_ext4, "{way} saw {on_ext4:?}, kprobe.multi {expected:?}"),
        }
    }
    Ok(())
}

/// Ops of path walks, whose number depends on what the guest does beside the load, and on what it has cached.
fn is_walked_by_all(rule: &str) -> bool {
    ["permission", "lookup", "getattr", "update_time", "get_link", "readlink"].iter().any(|op| rule.contains(op))
}

fn workload_and_document(_: &str) -> Result<Ready> {
    let document = workspace::root().join(DOCUMENT);
    if !document.is_file() {
        return Ok(Ready::Skip(format!("{DOCUMENT} is not at hand")));
    }
    Ok(Ready::Files(vec![workload()?, (document, "/locking.rst".to_owned())]))
}

fn nothing_is_reported(evidence: &Evidence<'_>) -> Result<()> {
    let report = evidence.json("report.json")?;
    has_no_violation(&report)?;
    is_healthy(&report)
}

/// The faults that the workload says it has committed at `place` ("NAME PLACE: done").
fn committed(stdout: &str, place: &str, mut faults: Vec<&'static Fault>) -> Vec<&'static Fault> {
    let done = format!(" {place}: done");
    let names: BTreeSet<&str> = stdout.lines().filter_map(|line| line.strip_suffix(done.as_str())).collect();
    faults.retain(|fault| names.contains(fault.name));
    faults
}

/// How far into its function a frame (`symbol+0xoffset [module]`) is.
fn offset(frame: &str) -> Option<u64> {
    let (_, offset) = frame.split(' ').next()?.rsplit_once("+0x")?;
    u64::from_str_radix(offset, 16).ok()
}

/// The violations of a report, also the suspected ones, each with the file system that its call was made on.
fn reported(report: &Value) -> Result<Vec<Reported>> {
    let mut reported = Vec::new();
    for violation in list(report, "violations")?.iter().chain(list(report, "suspected")?) {
        let stack: Vec<String> =
            list(violation, "stack")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        // No function is so long: what is shown there is not what ran.
        let is_far = |frame: &String| offset(frame).is_none_or(|offset| offset >= FUNCTION_BYTES_MAX);
        ensure!(!stack.iter().any(is_far), "a frame without its own symbol: {stack:?}");
        let file_system = if expected::is_made_on_pseudo_fs(&stack) { PSEUDO_FS } else { text(violation, "fs")? };
        reported.push(Reported {
            rule: text(violation, "rule")?.to_owned(),
            file_system: file_system.to_owned(),
            stack,
        });
    }
    Ok(reported)
}

/// What the module's own file system must show on this release, all of which must have been committed.
fn on_pseudo_fs(evidence: &Evidence<'_>, is_crowded: bool) -> Result<Vec<&'static Fault>> {
    let release = release_of(evidence.release).with_context(|| format!("no release: {}", evidence.release))?;
    let mut all = expected::on_pseudo_fs(release);
    all.retain(|fault| !(is_crowded && fault.wants_to_be_alone));
    let mut faults = committed(&evidence.outcome.stdout, "/own", all.clone());
    ensure!(faults.len() == all.len(), "only {} of {} faults were committed on /own", faults.len(), all.len());
    // Since 6.14 kprobe.multi has no processor flags (`vfs-audit doctor` says so on such a kernel).
    faults.retain(|fault| release < (6, 14) || !fault.name.ends_with("-interrupts-off"));
    Ok(faults)
}

/// Each fault is there as its rule, and nothing else; those that want to be alone are not committed in a crowd.
pub(super) fn faults_are_reported(evidence: &Evidence<'_>, is_crowded: bool) -> Result<()> {
    let report = evidence.json("report.json")?;
    if is_crowded {
        // The kernel skipped one of 2.2 million invocations once, in a trampoline's program, and counted it; why was not traced.
        is_healthy_where(&report, true)?;
    } else {
        is_healthy(&report)?;
    }
    let suspected = list(&report, "suspected")?;
    ensure!(suspected.is_empty() || is_doubtful(&report), "suspected only: {suspected:?}");
    let reported = reported(&report)?;
    let mut deviations = Vec::new();
    let here = |kind: &str| reported.iter().filter(|v| v.file_system == kind).cloned().collect::<Vec<_>>();
    for file_system in FILESYSTEMS {
        let place = format!("/mnt/{file_system}");
        let committed = committed(&evidence.outcome.stdout, &place, expected::quiet_on(file_system));
        ensure!(committed.len() >= 36, "only {} faults were committed on {file_system}", committed.len());
        deviations.extend(expected::deviations(&committed, &[file_system], &here(file_system)));
    }
    deviations.extend(expected::deviations(&on_pseudo_fs(evidence, is_crowded)?, &[PSEUDO_FS], &here(PSEUDO_FS)));
    let known = |v: &&Reported| v.file_system == PSEUDO_FS || FILESYSTEMS.contains(&v.file_system.as_str());
    let elsewhere: Vec<_> = reported.iter().filter(|v| !known(v)).map(|v| (&v.rule, &v.file_system)).collect();
    ensure!(elsewhere.is_empty(), "reported where no fault was: {elsewhere:?}");
    if is_doubtful(&report) && deviations.len() <= undecided(&report)? {
        // A probe was skipped just before a fault: its call is counted as one of which nothing is known.
        for deviation in &deviations {
            println!("      not decided, since a probe was skipped: {deviation}");
        }
        return Ok(());
    }
    if !deviations.is_empty() {
        bail!("{} deviations:\n      {}", deviations.len(), deviations.join("\n      "));
    }
    Ok(())
}

/// Invocations that some rule applied to and that decided nothing, at most [`UNDECIDED_MAX`].
fn undecided(report: &Value) -> Result<usize> {
    let unknown = list(report, "rules")?.iter().filter_map(|rule| rule["unknown"].as_u64()).sum::<u64>();
    Ok(usize::try_from(unknown).unwrap_or(usize::MAX).min(UNDECIDED_MAX))
}

fn nothing_is_left(evidence: &Evidence<'_>) -> Result<()> {
    let line = |prefix: &str| {
        let found = evidence.outcome.stdout.lines().find_map(|line| line.strip_prefix(prefix));
        found.with_context(|| format!("no line \"{prefix}…\" in {:?}", evidence.outcome.stdout))
    };
    let (before, attached, after) = (line("before: ")?, line("attached: ")?, line("after: ")?);
    ensure!(before == after, "before: {before}; after: {after}");
    ensure!(attached != before, "nothing was attached: {attached}");
    ensure!(line("killed: ")?.contains("signal: 9"), "the tracer was not killed: {}", line("killed: ")?);
    Ok(())
}

/// One clear error that names the `cause` and what to do, exit code 2, nothing else.
pub(super) fn is_told(evidence: &Evidence<'_>, case: &str, word: &str) -> Result<()> {
    let stdout = &evidence.outcome.stdout;
    ensure!(stdout.lines().any(|line| line == format!("{case} 2")), "{case} did not end with 2: {stdout}");
    let message = std::fs::read_to_string(evidence.out.join(case)).with_context(|| format!("no message of {case}"))?;
    ensure!(message.contains(word), "{case}: no word of {word}: {message}");
    // What is told of the progress stands alone; an error has its causes and its hint below it.
    let lines: Vec<&str> = message.lines().collect();
    let is_error = |pair: &&[&str]| pair[0].starts_with("vfs-audit: ") && pair[1].starts_with("  ");
    let errors = lines.windows(2).filter(is_error).count();
    let hints = lines.iter().filter(|line| line.starts_with("  hint: ")).count();
    let ends_with_it = lines.last().is_some_and(|line| line.starts_with("  hint: "));
    ensure!(ends_with_it, "{case}: the hint is not the end: {message}");
    ensure!((errors, hints) == (1, 1), "{case}: {errors} errors and {hints} hints: {message}");
    Ok(())
}
