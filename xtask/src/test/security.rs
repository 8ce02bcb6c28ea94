//! Live audits with few rights: what it takes, what is given up, what is left behind.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::test::audits::{self, is_healthy};
use crate::test::cases::{Case, Evidence, Ready};

/// Capability numbers of `linux/capability.h`.
const KILL: u32 = 5;
const SYSLOG: u32 = 34;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Waits until the process has renounced new privileges, which is the last thing it gives up; then keeps its status.
const AWAIT: &str = "await() { n=0; until grep -q NoNewPrivs:.1 /proc/$1/status; do n=$((n+1)); \
    [ $n -lt 300 ] || exit 96; usleep 100000; done; cat /proc/$1/task/*/status > $2; }; ";
/// Waits until nothing of tracing is left that was not there before.
const SETTLE: &str = "vfs-workload bpf-count > /tmp/before; settled() { n=0; \
    until vfs-workload bpf-count > /tmp/now && cmp -s /tmp/before /tmp/now; do n=$((n+1)); \
    [ $n -lt 600 ] || { cat /tmp/before /tmp/now; exit 95; }; usleep 100000; done; }; ";
/// Some calls of callbacks, by whoever may write to the directory.
const LOAD: &str = "cd /mnt/ext4/open && mkdir a && echo x > a/f && ln a/f a/g && mv a/g a/h && chmod 600 a/f && \
    ls -l a > /dev/null && rm a/f a/h && rmdir a";

/// An audit by a user who has nothing but what it takes.
fn unprivileged() -> String {
    format!(
        "{SETTLE} mkdir -m 777 /mnt/ext4/open /out/open; \
         vfs-workload as 65534:bpf,perfmon,syslog -- vfs-audit run --fs ext4 --format json -o /out/open/report.json \
         -- sh -c '{AWAIT} await $PPID /out/open/daemon; {LOAD}' || exit 94; settled; \
         for left in bpf,perfmon bpf,syslog perfmon,syslog; do \
         vfs-workload as 65534:$left -- vfs-audit run --for 1s 2> /out/$left; echo $left $?; done"
    )
}

/// An audit by root; the command writes down what rights it has itself.
fn root() -> String {
    format!(
        "{SETTLE} cat /proc/self/status > /out/caller; vfs-audit run --fs ext4 --format json -o /out/report.json -- \
         sh -c 'cat /proc/self/status > /out/command; {AWAIT} await $PPID /out/daemon; \
         vfs-workload ext4 /mnt/ext4' || exit 94; settled"
    )
}

/// Where each end happens: a directory that must be as it was, but for the file that a run was told to write.
const HERE: &str =
    "mkdir /tmp/here && cd /tmp/here || exit 93; left() { settled; ls -A | tr '\\n' ' '; echo; rm -f told; }; ";

/// Ends by themselves.
fn ends() -> String {
    format!(
        "{SETTLE}{HERE} \
         vfs-audit run --fs ext4 -o told -- mkdir /mnt/ext4/normal; echo normal $?; left; \
         vfs-audit run --fs ext4 -o told -- no-such-command; echo no command $?; left; \
         vfs-audit run --fs ext4 -o told --also json:/nowhere/told -- true; echo no place $?; left; ls -A /tmp | tr '\\n' ' '"
    )
}

/// Ends by signals.
fn signals() -> String {
    format!(
        "{SETTLE}{HERE} for signal in TERM INT KILL; do mkfifo /tmp/up; \
         vfs-audit run --fs ext4 -o told -- sh -c 'mkdir /mnt/ext4/$$; echo > /tmp/up; sleep 1000' & \
         read up < /tmp/up; rm /tmp/up; kill -$signal $!; wait $!; echo $signal $?; left; done; ls -A /tmp | tr '\\n' ' '"
    )
}

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let ready = |_: &str| audits::workload().map(|file| Ready::Files(vec![file]));
    vec![
        Case::new("a user with three capabilities can audit, and with fewer is told which", &[&unprivileged()])
            .on(&["6.12"])
            .with_only(&["ext4"])
            .with(ready)
            .within(600)
            .checked(unprivileged_audits),
        Case::new("root gives up all rights but a few, and its command none", &[&root()])
            .on(&["6.12"])
            .with_only(&["ext4"])
            .with(ready)
            .within(600)
            .checked(root_gives_up),
        Case::new("an audit that ends by itself leaves nothing behind", &[&ends()])
            .on(&["6.1", "6.12"])
            .with_only(&["ext4"])
            .with(ready)
            .within(900)
            .checked(|evidence| {
                nothing_stays(
                    evidence,
                    &[("normal", &[0], "told"), ("no command", &[3], "told"), ("no place", &[2], "")],
                )
            }),
        Case::new("an audit that is ended by a signal leaves nothing behind", &[&signals()])
            .on(&["6.1", "6.12"])
            .with_only(&["ext4"])
            .with(ready)
            .within(900)
            .checked(|evidence| {
                nothing_stays(evidence, &[("TERM", &[0], "told"), ("INT", &[0], "told"), ("KILL", &[137], "told")])
            }),
    ]
}

fn bits(numbers: &[u32]) -> u64 {
    numbers.iter().fold(0, |bits, number| bits | 1 << number)
}

/// Every value of a field in the status of all threads.
fn fields<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    status.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).collect()
}

fn read(evidence: &Evidence<'_>, name: &str) -> Result<String> {
    std::fs::read_to_string(evidence.out.join(name)).with_context(|| format!("no {name} came back"))
}

/// Every thread has these capabilities and no others, nor a way to get some.
fn has_only(status: &str, kept: u64) -> Result<()> {
    ensure!(!fields(status, "CapPrm").is_empty(), "no status: {status}");
    let expected = format!("{kept:016x}");
    for (set, expected) in
        [("CapPrm", &*expected), ("CapEff", &*expected), ("CapInh", &"0".repeat(16)), ("CapAmb", &"0".repeat(16))]
    {
        let found = fields(status, set);
        ensure!(found.iter().all(|value| *value == expected), "{set} is {found:?}, not {expected}");
    }
    let renounced = fields(status, "NoNewPrivs");
    ensure!(renounced.iter().all(|value| *value == "1"), "new privileges can be had: {renounced:?}");
    Ok(())
}

fn saw_calls(report: &Value) -> Result<()> {
    is_healthy(report)?;
    let seen = report["invocations"]["inode_operations.rename"].as_u64();
    ensure!(seen.is_some_and(|count| count > 0), "no rename was seen: {}", report["invocations"]);
    Ok(())
}

fn unprivileged_audits(evidence: &Evidence<'_>) -> Result<()> {
    saw_calls(&evidence.json("open/report.json")?)?;
    has_only(&read(evidence, "open/daemon")?, bits(&[SYSLOG, PERFMON, BPF]))?;
    for (left, missing) in [("bpf,perfmon", "CAP_SYSLOG"), ("bpf,syslog", "CAP_PERFMON"), ("perfmon,syslog", "CAP_BPF")]
    {
        audits::is_told(evidence, left, missing)?;
    }
    Ok(())
}

fn root_gives_up(evidence: &Evidence<'_>) -> Result<()> {
    saw_calls(&evidence.json("report.json")?)?;
    let kept = bits(&[KILL, SYSLOG, PERFMON, BPF]);
    let daemon = read(evidence, "daemon")?;
    has_only(&daemon, kept)?;
    let bounds = fields(&daemon, "CapBnd");
    ensure!(bounds.iter().all(|value| *value == format!("{kept:016x}")), "the bounds are {bounds:?}");
    let (caller, command) = (read(evidence, "caller")?, read(evidence, "command")?);
    for field in ["Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"] {
        let (caller, command) = (fields(&caller, field), fields(&command, field));
        ensure!(!caller.is_empty() && caller == command, "{field}: the caller has {caller:?}, its command {command:?}");
    }
    Ok(())
}

/// After each end, in this order and with one of the codes, there is what the run was told to write and nothing else.
fn nothing_stays(evidence: &Evidence<'_>, expected: &[(&str, &[u8], &str)]) -> Result<()> {
    let stdout = &evidence.outcome.stdout;
    let mut lines = stdout.lines().map(str::trim);
    for (end, codes, left) in expected {
        let is_said = |line: &&str| codes.iter().any(|code| *line == format!("{end} {code}"));
        lines.find(is_said).with_context(|| format!("no end \"{end}\" with {codes:?}, or not in order: {stdout}"))?;
        let found = lines.next().unwrap_or_default();
        ensure!(found == *left, "after \"{end}\" there is {found:?}, not {left:?}");
    }
    let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    ensure!(rest == ["before here now"], "left in /tmp: {rest:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_more_than_it_may_have_is_seen() {
        let status = |kept: &str, ambient: &str, renounced: &str| {
            format!(
                "CapInh:\t{0}\nCapPrm:\t{kept}\nCapEff:\t{kept}\nCapAmb:\t{ambient}\nNoNewPrivs:\t{renounced}\n",
                "0".repeat(16)
            )
        };
        let (none, few) = ("0".repeat(16), "000000c400000000");
        let kept = bits(&[SYSLOG, PERFMON, BPF]);
        assert!(has_only(&status(few, &none, "1"), kept).is_ok());
        assert!(has_only(&(status(few, &none, "1") + &status("000001ffffffffff", &none, "1")), kept).is_err());
        assert!(has_only(&status(few, few, "1"), kept).is_err());
        assert!(has_only(&status(few, &none, "0"), kept).is_err());
        assert!(has_only("", kept).is_err());
    }
}
