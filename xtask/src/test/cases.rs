//! The live cases: what runs on which kernels, and what must come back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::kernels;
use crate::test::{audits, changes, crowd, hardship, oracle, security, stress};
use crate::vm::Outcome;

/// The five file systems that every kernel under test has.
pub(crate) const FILESYSTEMS: &[&str] = &["ext4", "xfs", "btrfs", "tmpfs", "overlay"];

/// How a case's run must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The command ends with this code, and the kernel log is clean.
    Code(i32),
    /// The same, or with 3 for an audit that missed something: how much it may have missed, its check says.
    CodeOrIncomplete(i32),
    /// The kernel log has a splat.
    Splat,
    /// The command does not end in time.
    TimeOut,
}

/// What a case needs beside the daemon, which every guest has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Files for the guest.
    Files(Vec<(PathBuf, String)>),
    /// The case cannot run here, for this reason.
    Skip(String),
}

/// What a run brought back.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Output, logs and end.
    pub outcome: &'a Outcome,
    /// The directory with what the guest left in `/out`.
    pub out: &'a Path,
    /// What `uname -r` says in the guest.
    pub release: &'a str,
}

impl Evidence<'_> {
    /// A JSON file that the guest left in `/out`.
    ///
    /// # Errors
    /// When it is not there or is no JSON.
    pub fn json(&self, name: &str) -> Result<serde_json::Value> {
        let text = std::fs::read_to_string(self.out.join(name)).with_context(|| format!("no {name} came back"))?;
        serde_json::from_str(&text).with_context(|| format!("{name} is no JSON"))
    }
}

/// Gets ready what a case needs on the kernel of this series ("6.12").
pub type Prepare = Box<dyn Fn(&str) -> Result<Ready>>;
/// Looks at what came back.
pub type Check = Box<dyn Fn(&Evidence<'_>) -> Result<()>>;

/// One live test.
pub struct Case {
    /// A sentence that is true when it passes.
    pub name: String,
    /// Kernel series, each a run of its own.
    pub kernels: Vec<String>,
    /// File systems under `/mnt/TYPE`.
    pub filesystems: Vec<String>,
    /// Kernel modules beside those of the file systems.
    pub modules: Vec<String>,
    /// Whether the guest's clock counts instructions.
    pub icount: bool,
    /// More words for the kernel's command line.
    pub append: String,
    /// Gets ready what it needs.
    pub prepare: Prepare,
    /// The guest's command.
    pub command: Vec<String>,
    /// How the run must end.
    pub expected: Expected,
    /// Limit of each run.
    pub timeout: Duration,
    /// Looks at what came back.
    pub check: Check,
    /// Whether it has been seen to pass on its kernels: one that has not says nothing yet, and is run on request only.
    pub is_proven: bool,
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Case").field("name", &self.name).field("kernels", &self.kernels).finish_non_exhaustive()
    }
}

impl Case {
    /// A case on all kernels with all file systems whose command ends with 0 within five minutes.
    pub fn new(name: &str, command: &[&str]) -> Self {
        Self {
            name: name.into(),
            kernels: kernels::ALL.iter().map(ToString::to_string).collect(),
            filesystems: FILESYSTEMS.iter().map(ToString::to_string).collect(),
            modules: Vec::new(),
            icount: false,
            append: String::new(),
            prepare: Box::new(|_| Ok(Ready::Files(Vec::new()))),
            command: command.iter().map(ToString::to_string).collect(),
            expected: Expected::Code(0),
            timeout: Duration::from_secs(300),
            check: Box::new(|_| Ok(())),
            is_proven: true,
        }
    }

    /// The same, as a case that has not been seen to pass yet.
    #[must_use]
    pub fn unproven(mut self) -> Self {
        self.is_proven = false;
        self
    }

    /// The same on these kernels only.
    #[must_use]
    pub fn on(mut self, kernels: &[&str]) -> Self {
        self.kernels = kernels.iter().map(ToString::to_string).collect();
        self
    }

    /// The same with another end.
    #[must_use]
    pub fn ends(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    /// The same with a look at what came back.
    #[must_use]
    pub fn checked(mut self, check: impl Fn(&Evidence<'_>) -> Result<()> + 'static) -> Self {
        self.check = Box::new(check);
        self
    }

    /// The same with files for the guest, or a reason to skip it.
    #[must_use]
    pub fn with(mut self, prepare: impl Fn(&str) -> Result<Ready> + 'static) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    /// The same with these file systems only.
    #[must_use]
    pub fn with_only(mut self, filesystems: &[&str]) -> Self {
        self.filesystems = filesystems.iter().map(ToString::to_string).collect();
        self
    }

    /// The same with these kernel modules, beside those of the file systems.
    #[must_use]
    pub fn also_loading(mut self, modules: &[&str]) -> Self {
        self.modules = modules.iter().map(ToString::to_string).collect();
        self
    }

    /// The same in a guest whose clock counts instructions.
    #[must_use]
    pub fn counted(mut self) -> Self {
        self.icount = true;
        self
    }

    /// The same with more words for the kernel's command line.
    #[must_use]
    pub fn booted_with(mut self, append: &str) -> Self {
        append.clone_into(&mut self.append);
        self
    }

    /// The same with another limit.
    #[must_use]
    pub fn within(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }
}

/// Every live case, in the order in which they run; faults in a crowd are committed so many `times`.
pub(crate) fn all(times: u32) -> Vec<Case> {
    let mut cases = harness();
    cases.extend(audits::all());
    cases.push(crowd::case(times));
    cases.extend(changes::all().into_iter().chain(security::all()).chain(hardship::all()).chain(stress::all()));
    cases.extend(oracle::all());
    cases
}

/// The harness itself: it must see every kind of failure before its successes mean anything.
fn harness() -> Vec<Case> {
    let quick = &["6.12"][..];
    vec![
        Case::new("a failing command is seen to fail", &["exit 3"]).on(quick).ends(Expected::Code(3)),
        Case::new("a hanging command is a time-out", &["sleep", "1000"]).on(quick).ends(Expected::TimeOut).within(25),
        Case::new("a crash of the kernel is a splat", &["echo c > /proc/sysrq-trigger"])
            .on(quick)
            .ends(Expected::Splat),
        Case::new("the guest has its kernel, file systems and daemon", &[GUEST_SURVEY]).checked(guest_is_complete),
    ]
}

const GUEST_SURVEY: &str = "uname -r; for fs in ext4 xfs btrfs tmpfs overlay; do \
    echo $fs > /mnt/$fs/file && cat /mnt/$fs/file || exit 1; done; \
    test -e /sys/kernel/btf/vmlinux && vfs-audit --version && cp /proc/mounts /out/";

fn guest_is_complete(evidence: &Evidence<'_>) -> Result<()> {
    let lines: Vec<&str> = evidence.outcome.stdout.lines().collect();
    ensure!(lines.first() == Some(&evidence.release), "the guest runs {:?}, not {}", lines.first(), evidence.release);
    ensure!(lines.get(1..6) == Some(FILESYSTEMS), "not every file system keeps a file: {lines:?}");
    let mounts = std::fs::read_to_string(evidence.out.join("mounts")).context("/out did not come back")?;
    for kind in FILESYSTEMS {
        let is_mounted = mounts.lines().any(|line| line.contains(&format!(" /mnt/{kind} {kind} ")));
        ensure!(is_mounted, "{kind} is not mounted on /mnt/{kind}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_a_kernel_and_a_limit() {
        let cases = all(crowd::TIMES);
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            assert!(!case.kernels.is_empty() && !case.command.is_empty(), "{case:?}");
            assert!(case.timeout > Duration::ZERO && case.timeout <= Duration::from_secs(1800), "{case:?}");
        }
    }
}
