//! `vfs-audit check` and its neighbours, run as a user runs them.

mod as_user;
#[path = "report/expect.rs"]
mod expect;
#[expect(dead_code, reason = "shared with the tests of reports, which use the rest")]
#[path = "report/sample.rs"]
mod sample;

use std::path::Path;
use std::process::Command;

use as_user::{Refusal, Scratch, json, recording, refused, run};
use vfs_audit::observation::{LockEvidence, LockReading, Observation, Tracked, Word};
use vfs_audit::report::Loss;

/// `create` with the directory's lock held by this task, or free.
fn create(held: bool, count: u64) -> Observation {
    let (word, tracked) = if held { (Word::ExclusiveSelf, Tracked::Exclusive) } else { (Word::Free, Tracked::None) };
    let reading = LockReading::Read { word, tracked };
    let caller = if held { "vfs_create+0x1c2" } else { "fault_create+0x2a [vfs_faults]" };
    Observation {
        caller: caller.into(),
        locks: vec![LockEvidence { role: "dir".into(), lock: "i_rwsem".into(), reading }],
        facts: sample::names(&[("atomic", false)]),
        count,
        example: Some(sample::example()),
        ..sample::observation("create")
    }
}

fn good(release: &str) -> Vec<u8> {
    recording(release, &[create(true, 1000)], Loss::default())
}

fn bad(release: &str) -> Vec<u8> {
    recording(release, &[create(true, 1000), create(false, 3), create(false, 4)], Loss::default())
}

#[test]
fn a_good_run_is_clean() {
    let scratch = Scratch::new("good");
    scratch.file("run.vfa", good("6.12.48+deb13-cloud-amd64"));
    let (code, out, err) = run(&scratch, &["check", "run.vfa"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("RESULT: 0 rules violated, 2 satisfied"), "{out}");
    assert!(out.contains("fsstress -n 1000 (exit code 0)"), "{out}");
}

#[test]
fn a_bad_run_names_the_rule_and_its_counterexample() {
    let scratch = Scratch::new("bad");
    scratch.file("run.vfa", bad("6.12.48+deb13-cloud-amd64"));
    let (code, out, err) = run(&scratch, &["check", "run.vfa", "--op", "create"]);
    assert_eq!((code, err.as_str()), (1, ""));
    expect::same("check_bad.txt", &out);
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--format", "json"]);
    let report = json(&out);
    assert_eq!((code, &report["exit"]["code"]), (1, &1.into()));
    let violations = report["violations"].as_array().map(Vec::len);
    assert_eq!(violations, Some(1), "both faulty observations are one violation");
    assert_eq!(report["violations"][0]["rule"], "inode_operations.create");
    assert_eq!(report["violations"][0]["count"], 7);
    assert_eq!(report["violations"][0]["evidence"], "word");
    assert_eq!(report["source"], "recorded");
    assert_eq!(report["kernel"]["rules"], "v6.12");
}

#[test]
fn filters_narrow_what_is_reported() {
    let scratch = Scratch::new("filters");
    scratch.file("run.vfa", bad("6.12.48"));
    for (arguments, code) in [
        (vec!["--fs", "xfs"], 3),
        (vec!["--fs", "xfs", "--fs", "ext4"], 1),
        (vec!["--op", "rename"], 3),
        (vec!["--op", "inode_operations.cr*"], 1),
        (vec!["--rule", "inode_operations.create.may_block"], 0),
        (vec!["--rule", "inode_operations.create"], 1),
    ] {
        let (found, out, _) = run(&scratch, &[&["check", "run.vfa"][..], &arguments].concat());
        assert_eq!(found, code, "{arguments:?}\n{out}");
    }
    let (_, out, _) = run(&scratch, &["check", "run.vfa", "--format", "json", "--rule", "inode_operations.create"]);
    assert_eq!(json(&out)["rules"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_required_rule_that_is_unobserved_makes_the_run_incomplete() {
    let scratch = Scratch::new("require");
    scratch.file("run.vfa", good("6.12.48"));
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--require", "inode_operations.rename*"]);
    assert_eq!(code, 3);
    assert!(out.contains("required rule inode_operations.rename: unobserved"), "{out}");
    assert_eq!(run(&scratch, &["check", "run.vfa", "--require", "inode_operations.create"]).0, 0);
}

#[test]
fn loss_makes_the_run_incomplete() {
    let scratch = Scratch::new("loss");
    let loss = Loss { total: 2, by_cause: sample::names(&[("event_ring_full", 2)]) };
    scratch.file("run.vfa", recording("6.12.48", &[create(true, 1)], loss));
    let (code, out, _) = run(&scratch, &["check", "run.vfa"]);
    assert_eq!(code, 3);
    assert!(out.contains("something was lost: 2 (event_ring_full 2)"), "{out}");
}

#[test]
fn a_cut_off_recording_gives_what_is_readable_and_says_so() {
    let scratch = Scratch::new("cut");
    let bytes = bad("6.12.48");
    scratch.file("run.vfa", &bytes[..bytes.len() - 20]);
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--rule", "*.may_block"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("run.vfa: the recording has no end: it was cut off"), "{out}");
    assert_eq!(run(&scratch, &["check", "run.vfa"]).0, 1, "a violation in what is readable still counts");
}

#[test]
fn what_cannot_be_checked_says_why_and_what_to_do() {
    let scratch = Scratch::new("refused");
    scratch.file("run.vfa", good("6.12.48"));
    scratch.file("old.vfa", good("6.1.0-41-amd64"));
    scratch.file("not.vfa", "hello");
    scratch.file("broken.toml", "[[known]]\nfingerprint = 1");
    let cases: [Refusal; 8] = [
        (&["check", "none.vfa"], "opening the recording none.vfa", "see that the file is there and readable"),
        (&["check", "not.vfa"], "not a vfs-audit recording", "name a file that `vfs-audit record -o FILE` made"),
        (&["check", "run.vfa", "old.vfa"], "different rules: 6.12.48, 6.1.0-41-amd64", "check them one by one"),
        (&["check", "run.vfa", "--rules", "v9"], "loading the rules `v9`", "use `auto`, one of v5.4, "),
        (&["check", "run.vfa", "--op", "no_op"], "no op matches `no_op`", "`vfs-audit rules list`"),
        (&["check", "run.vfa", "--require", "y*"], "no rule matches `y*`", "`vfs-audit rules list`"),
        (&["check", "run.vfa", "--baseline", "none"], "reading the baseline none", "--write-baseline FILE"),
        (&["check", "run.vfa", "--baseline", "broken.toml"], "reading the baseline broken.toml", "TOML"),
    ];
    refused(&scratch, &cases);
}

#[test]
fn recordings_of_one_rule_set_are_one_run() {
    let scratch = Scratch::new("several");
    scratch.file("a.vfa", good("6.12.48"));
    scratch.file("b.vfa", bad("6.12.50"));
    let (code, out, _) = run(&scratch, &["check", "a.vfa", "b.vfa", "--format", "json"]);
    let report = json(&out);
    assert_eq!((code, &report["seconds"]), (1, &5.0.into()));
    assert_eq!(report["invocations"]["inode_operations.create"], 2007);
    assert_eq!(report["recordings"].as_array().map(Vec::len), Some(2));
    scratch.file("old.vfa", good("6.1.0"));
    assert_eq!(run(&scratch, &["check", "a.vfa", "old.vfa", "--rules", "v6.12"]).0, 0, "one rule set was named");
}

#[test]
fn a_baseline_accepts_what_it_knows() {
    let scratch = Scratch::new("baseline");
    scratch.file("run.vfa", bad("6.12.48"));
    let (code, _, err) = run(&scratch, &["check", "run.vfa", "--write-baseline", "known.toml"]);
    assert_eq!(code, 1);
    assert!(err.contains("baseline of 1 violations in known.toml: give each its reason"), "{err}");
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--baseline", "known.toml"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("VIOLATION 1 of 1 (known): inode_operations.create"), "{out}");
}

#[test]
fn the_report_goes_to_a_file_when_one_is_named() {
    let scratch = Scratch::new("output");
    scratch.file("run.vfa", good("6.12.48"));
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "-o", "report.txt"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let written = std::fs::read_to_string(scratch.0.join("report.txt")).unwrap_or_default();
    assert!(written.starts_with("vfs-audit 0.1.0: check of a recorded run\n"), "{written}");
    assert_eq!(run(&scratch, &["check", "run.vfa", "-o", "no/such/dir"]).0, 2);
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let scratch = Scratch::new("pipe");
    scratch.file("run.vfa", bad("6.12.48"));
    let binary = Path::new(env!("CARGO_BIN_EXE_vfs-audit")).display().to_string();
    let line = format!("{binary} check run.vfa --format json | head -c 1; exit ${{PIPESTATUS[0]}}");
    let output = Command::new("bash").args(["-c", &line]).current_dir(&scratch.0).output();
    let output = output.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let scratch = Scratch::new("usage");
    for arguments in
        [&["check"][..], &[], &["check", "a", "--format", "yaml"], &["run", "--for", "soon"], &["frobnicate"]]
    {
        let (code, out, err) = run(&scratch, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
    assert_eq!(run(&scratch, &["--help"]).0, 0);
    assert_eq!(run(&scratch, &["--version"]).1, "vfs-audit 0.1.0\n");
}
