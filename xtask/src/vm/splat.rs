//! Finds in a kernel log what no healthy run leaves there.
//!
//! What this can miss: a report whose first line was lost on the console. What it can wrongly report: a line that a
//! test wrote to `/dev/kmsg` itself in the same words.

use regex_lite::Regex;

/// Beginnings of a kernel message (behind the time stamp) that mean a splat.
const BEGINNINGS: &[&str] = &[
    "BUG: ",
    "WARNING: ",
    "KASAN: ",
    "UBSAN: ",
    "KCSAN: ",
    "Oops: ",
    "Kernel panic ",
    "general protection fault",
    "divide error:",
    "invalid opcode:",
    "Internal error: ",
    "------------[ cut here ]------------",
    "watchdog: BUG:",
    "sysrq: Trigger a crash",
];
/// Expressions that mean a splat anywhere in the message.
const ANYWHERE: &str = "(?:INFO: task .* blocked for more than\
    |rcu: .*(?:self-detected stall|detected stalls|kthread starved)\
    |INFO: possible (?:circular|recursive) locking|possible circular locking dependency\
    |suspicious RCU usage|inconsistent lock state|bad unlock balance|held lock freed\
    |unable to handle (?:page fault|kernel)|Unable to mount root\
    |refcount_t: |list_(?:add|del) corruption|stack-protector:|double fault)";
/// Lines that are shown from the first one of a splat on.
const SHOWN_LINES_MAX: usize = 60;

/// The first line of `log` that is a splat, with what follows it; nothing if the log is clean.
pub(crate) fn find(log: &str) -> Option<Vec<&str>> {
    let anywhere = Regex::new(ANYWHERE).ok()?;
    let lines: Vec<&str> = log.lines().map(|line| line.trim_end_matches('\r')).collect();
    let is_splat = |line: &str| {
        let message = message_of(line);
        BEGINNINGS.iter().any(|beginning| message.starts_with(beginning)) || anywhere.is_match(message)
    };
    let first = lines.iter().position(|line| is_splat(line))?;
    Some(lines.iter().skip(first).take(SHOWN_LINES_MAX).copied().collect())
}

/// The message behind `[    1.234567] ` or `[    1.234567][  T123] `.
fn message_of(line: &str) -> &str {
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((stamp, tail)) = inner.split_once(']') else { break };
        let is_stamp = stamp.chars().all(|c| c.is_ascii_digit() || " .TC".contains(c));
        if !is_stamp {
            break;
        }
        rest = tail.trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_splat(message: &str) -> bool {
        find(&format!("[    0.1] Linux version 6.12\r\n[    4.812345] {message}\r\n[    5.0] more\r\n")).is_some()
    }

    #[test]
    fn the_usual_reports_are_splats() {
        for message in [
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580",
            "WARNING: CPU: 1 PID: 77 at fs/namei.c:3000 vfs_create+0x1/0x2",
            "WARNING: fs/namei.c:3000 at vfs_create+0x1/0x2, CPU#1: sh/77",
            "WARNING: possible circular locking dependency detected",
            "WARNING: possible recursive locking detected",
            "WARNING: suspicious RCU usage",
            "Oops: 0000 [#1] PREEMPT SMP NOPTI",
            "Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1] SMP",
            "UBSAN: array-index-out-of-bounds in fs/x.c:1:2",
            "INFO: task umount:123 blocked for more than 120 seconds.",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:1]",
            "Kernel panic - not syncing: sysrq triggered crash",
            "------------[ cut here ]------------",
        ] {
            assert!(is_splat(message), "{message}");
        }
    }

    #[test]
    fn harmless_messages_are_not_splats() {
        for message in [
            "RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!",
            "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
            "faulty: loading out-of-tree module taints kernel.",
            "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable",
            "rcu: Hierarchical RCU implementation.",
            "rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.",
            "vfs-audit-vm: ending what the command left running: sleep (99)",
            "DEBUG: nothing",
        ] {
            assert!(!is_splat(message), "{message}");
        }
    }

    #[test]
    fn the_report_starts_with_the_splat_and_ends_in_bounds() {
        let mut log = String::from("[ 1.0] fine\n[ 2.0][   T77] BUG: bad page state\n");
        log.push_str(&"[ 2.1] line\n".repeat(500));
        let shown = find(&log).unwrap();
        assert_eq!(shown[0], "[ 2.0][   T77] BUG: bad page state");
        assert_eq!(shown.len(), SHOWN_LINES_MAX);
        assert_eq!(find(""), None);
    }
}
