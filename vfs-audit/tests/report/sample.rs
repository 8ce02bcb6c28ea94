//! A report with something of everything, and names that try to do harm.

use std::collections::BTreeMap;

use vfs_audit::checker::{Disagreement, Evidence, Excepted, Findings, RuleVerdict, SetApart, Verdict, Violation};
use vfs_audit::observation::{
    Example, Held, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word,
};
use vfs_audit::oracle::{Answer, Compared, Comparison, Holds, OracleReport};
use vfs_audit::report::{
    AuditedCommand, ByFileSystem, HookState, HookStatus, KernelInfo, Loss, Report, Source, Timing, Tracker,
};

/// A name with a line break, terminal escapes and a bidirectional override in it.
pub(crate) const EVIL: &str = "evil\n\x1b[2J\u{202e}<b>&\u{9b}1m";

pub(crate) fn names<T: Clone>(pairs: &[(&str, T)]) -> BTreeMap<String, T> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn rule(id: &str, verdict: Verdict, counts: [u32; 4], document: &str) -> RuleVerdict {
    let [satisfied, violated, unknown, not_applicable] = counts;
    let applicable = satisfied + violated + unknown;
    RuleVerdict {
        id: id.into(),
        verdict,
        satisfied: satisfied.into(),
        violated: violated.into(),
        unknown: unknown.into(),
        suspected: unknown.into(),
        unproven: 0,
        excepted: 0,
        not_applicable: not_applicable.into(),
        support: (applicable > 0).then(|| f64::from(satisfied) / f64::from(applicable)),
        document: document.into(),
        by_fs: names(&[("ext4", u64::from(satisfied))]),
        seen: BTreeMap::new(),
    }
}

pub(crate) fn observation(op: &str) -> Observation {
    Observation {
        table: "inode_operations".into(),
        op: op.into(),
        also: vec![],
        callback: format!("ext4_{op}"),
        fs: "ext4".into(),
        sb_id: "vda1".into(),
        caller: "fault_call+0x2a [vfs_faults]".into(),
        route: Route::Table,
        point: Point::Entry,
        history_complete: true,
        facts: BTreeMap::new(),
        locks: vec![LockEvidence {
            role: "dir".into(),
            lock: "i_rwsem".into(),
            reading: LockReading::Read { word: Word::Free, tracked: Tracked::None },
        }],
        count: 17,
        example: None,
    }
}

pub(crate) fn example() -> Example {
    Example {
        task: Task { comm: EVIL.into(), tid: 312, tgid: 300 },
        time_ns: 12_345_678_901,
        inodes: names(&[("dir", 2), ("source_parent", 131_073)]),
        held: vec![
            Held { lock: "inode.i_rwsem".into(), exclusive: false, site: "path_openat+0x5e1".into() },
            Held { lock: "mutex".into(), exclusive: true, site: "0xffffffffc0a01234".into() },
        ],
        stack: texts(&["ext4_create+0x0", "fault_call+0x2a [vfs_faults]", "0xffffffff81234567", "do_syscall_64+0x82"]),
        sleep_stack: vec![],
    }
}

pub(crate) fn violation(id: &str, fingerprint: &str, evidence: Evidence, counterexample: Observation) -> Violation {
    Violation {
        rule: id.into(),
        fingerprint: fingerprint.into(),
        evidence,
        count: 19,
        required: "i_rwsem of dir held exclusive".into(),
        found: "i_rwsem of dir: free (the lock word proves it)".into(),
        known: false,
        counterexample,
    }
}

fn hook(op: &str, state: HookState, reason: &str) -> HookStatus {
    HookStatus {
        op: format!("inode_operations.{op}"),
        callback: format!("ext4_{op}"),
        fs: "ext4".into(),
        probe: "kprobe.multi".into(),
        state,
        reason: reason.into(),
        count: 17,
    }
}

fn findings() -> Findings {
    let dir = "inode_operations.create.dir";
    let rename = "inode_operations.rename.source_parent_is_exclusive_when_directories_differ";
    let full = Observation { example: Some(example()), ..observation("create") };
    let facts = names(&[("cross_directory", true), ("victim_is_directory", false)]);
    let lost = Observation { facts, also: vec!["rename2".into()], route: Route::Unknown, ..observation("rename") };
    Findings {
        rules: vec![
            rule(dir, Verdict::Violated, [12_003, 17, 0, 2], "exclusive"),
            rule("inode_operations.link.dir", Verdict::Satisfied, [1_234_567, 0, 0, 0], "exclusive (both)"),
            rule(
                rename,
                Verdict::Inconclusive("no field s_vfs_rename_mutex".into()),
                [5, 0, 3, 0],
                "exclusive (both parents, some children) (see below)",
            ),
            RuleVerdict {
                seen: names(&[("inode.i_rwsem: not held", 7), ("inode.i_rwsem: shared", 2)]),
                ..rule("inode_operations.permission.may_block", Verdict::NotJudged, [0, 0, 0, 9], "no")
            },
            rule("inode_operations.tmpfile.dir", Verdict::Unobserved, [0; 4], "no"),
            rule("inode_operations.fiemap.inode", Verdict::Unobserved, [0; 4], "no"),
            rule("super_operations.sync_fs.s_umount", Verdict::Violated, [3, 1, 0, 0], "read"),
            rule("super_operations.put_super.s_lock", Verdict::Stale("s_lock is gone since 3.8".into()), [0; 4], "yes"),
            rule(
                "super_operations.drop_inode.i_lock",
                Verdict::NotObservable("no probe reads spinlocks".into()),
                [0; 4],
                "!!!inode->i_lock!!!",
            ),
            rule(
                "super_operations.statfs.s_umount",
                Verdict::NotObservable("no probe reads spinlocks".into()),
                [0; 4],
                "no",
            ),
            rule("dquot_operations.write_dquot.dqonoff_sem", Verdict::Unobserved, [0; 4], "yes"),
        ],
        violations: vec![
            violation(dir, "5c0e1f3a9b7d2468", Evidence::Word, full),
            violation(
                "super_operations.sync_fs.s_umount",
                "00000000deadbeef",
                Evidence::History,
                observation("sync_fs"),
            ),
        ],
        suspected: vec![violation(rename, "1111222233334444", Evidence::Suspected, lost)],
        excepted: vec![Excepted {
            reason: "overlayfs locks the upper directory itself".into(),
            violation: violation(rename, "7777777777777777", Evidence::Word, observation("rename")),
        }],
        ungrouped: 0,
        set_apart: vec![SetApart {
            op: "inode_operations.create".into(),
            callback: "btrfs_create".into(),
            caller: "btrfs_ioctl+0x99 [btrfs]".into(),
            route: Route::Direct,
            count: 1200,
        }],
        disagreements: vec![Disagreement {
            at: "dir.i_rwsem at ext4_create".into(),
            what: "word free, tracked exclusive".into(),
            count: 2,
        }],
        invocations: names(&[
            ("inode_operations.create", 12_022),
            ("inode_operations.link", 1_234_567),
            ("super_operations.sync_fs", 4),
        ]),
    }
}

/// A lock of which lockdep says the same, and one that another task may hold.
fn compared() -> Compared {
    let held = Comparison {
        lock: "i_rwsem".into(),
        kind: "rwsem",
        op: "inode_operations.create".into(),
        callback: "ext4_create".into(),
        role: "dir".into(),
        fs: "ext4".into(),
        point: Point::Entry,
        word: Word::ExclusiveSelf,
        tracked: Tracked::Exclusive,
        history_complete: true,
        answer: Answer::Holds(Holds::Exclusive),
        count: 12_000,
        sight: None,
    };
    let taken = Comparison {
        lock: "d_lock".into(),
        kind: "spinlock",
        word: Word::Taken,
        tracked: Tracked::Untracked,
        answer: Answer::Holds(Holds::No),
        count: 3,
        fs: EVIL.into(),
        sight: Some((EVIL.into(), texts(&["d_compare+0x0", "0xffffffff81234567"]))),
        ..held.clone()
    };
    Compared { invocations: names(&[("ext4", 12_003)]), comparisons: vec![held, taken], is_lockdep_off: false }
}

/// The report, not yet concluded.
pub(crate) fn report() -> Report {
    Report {
        tool_version: "0.1.0".into(),
        kernel: KernelInfo {
            release: "6.12.48+deb13-cloud-amd64".into(),
            version: "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1".into(),
            machine: "x86_64".into(),
            rules: "v6.12".into(),
            callback_backend: "kprobe.multi".into(),
            lock_backend: "fentry".into(),
        },
        source: Source::Live,
        seconds: 12.34,
        command: Some(AuditedCommand { argv: texts(&["make", "test"]), exit_code: Some(0) }),
        recordings: vec![],
        hooks: vec![
            hook("create", HookState::Attached, "i_op of a live inode"),
            hook("fiemap", HookState::Absent, "no such member in this kernel"),
            hook("rename", HookState::Failed, "EINVAL at 0xffffffff81234567"),
        ],
        findings: findings(),
        loss: Loss { total: 3, by_cause: names(&[("event_ring_full", 3), ("key_table_full", 0)]) },
        tracker: Tracker { disagreements: 0, incomplete_history: 41, releases_missed: 1, probes_skipped: 2 },
        invocations_by_fs: ByFileSystem(names(&[
            ("inode_operations.create", names(&[("ext4", 12_000), (EVIL, 22)])),
            ("inode_operations.link", names(&[("ext4", 1_234_567)])),
            ("super_operations.sync_fs", names(&[("ext4", 4)])),
        ])),
        timing: Some(Timing { attach_seconds: 0.25, stop_seconds: 1.5, programs: Vec::new() }),
        oracle: Some(OracleReport::of(&compared())),
        baseline: None,
        incomplete: vec![],
    }
}
