//! The workload program as a user runs it, without root and without a VM: what it prints and how it ends.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Output};

fn workload(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_vfs-workload")).args(arguments).output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A directory of this test's own, empty.
fn directory(name: &str) -> io::Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("vfs-workload-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory)?;
    Ok(directory)
}

#[test]
fn a_crowd_makes_calls_and_leaves_nothing_behind() {
    let directory = directory("crowd").unwrap();
    let output = workload(&["stress", directory.to_str().unwrap(), "--tasks", "3", "--seconds", "1"]).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line = text(&output.stdout);
    let calls: u64 = line.trim_end().trim_end_matches(" calls").rsplit(' ').next().unwrap().parse().unwrap();
    assert!(line.contains(": 3 tasks, 1 s, ") && calls > 100, "{line}");
    std::fs::remove_dir(&directory).unwrap();
}

#[test]
fn a_file_system_that_refuses_a_call_is_named_with_the_call() {
    let output = workload(&["proc", "/proc"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("/proc, names, round 0: mkdir /proc/vfs-workload: "), "{message}");
}

#[test]
fn a_crowd_that_cannot_work_is_a_failure() {
    let output = workload(&["stress", "/proc", "--seconds", "1"]).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

#[test]
fn a_wrong_command_line_is_told_from_a_failure() {
    let wrong: [&[&str]; 6] = [
        &[],
        &["--help"],
        &["stress", "/tmp", "--tasks", "many"],
        &["all", "/tmp", "--laps", "3"],
        &["fault", "no-such-fault", "/tmp"],
        &["fault", "create-no-lock:wrong", "/tmp"],
    ];
    for arguments in wrong {
        let output = workload(arguments).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("usage: vfs-workload"), "{arguments:?}: {}", text(&output.stderr));
    }
}
