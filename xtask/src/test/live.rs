//! Runs live cases one after another and counts how they ended.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::kernels::{self, NotAtHand};
use crate::test::cases::{Case, Evidence, Expected, Ready};
use crate::vm::{End, Outcome, Vm};

/// More skipped runs than this are a failure: nothing was tested then.
const SKIPS_MAX: usize = 2;
/// Of a failed case's daemon, so many of its last lines are shown.
const NOTES_SHOWN: usize = 10;
/// What an audit ends with that has missed something.
const INCOMPLETE: i32 = 3;
const DAEMON_IN_GUEST: &str = "/usr/local/bin/vfs-audit";

/// Which cases to run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Selection<'a> {
    pub(crate) only: Option<&'a str>,
    pub(crate) kernel: Option<&'a str>,
    pub(crate) unproven: bool,
}

impl Selection<'_> {
    fn takes(&self, case: &Case, kernel: &str) -> bool {
        self.only.is_none_or(|pattern| case.name.contains(pattern)) && self.kernel.is_none_or(|only| only == kernel)
    }
}

/// How many runs ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that ended as they must.
    pub passed: usize,
    /// Runs that did not.
    pub failed: usize,
    /// Runs that could not be made.
    pub skipped: usize,
}

impl Tally {
    /// Whether something passed, nothing failed and not too much was skipped.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0 && self.skipped <= SKIPS_MAX
    }

    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Runs every selected case on each of its kernels; logs and reports go below `directory`.
pub(crate) fn run(cases: &[Case], selection: &Selection<'_>, daemon: &Path, directory: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut is_any = false;
    for case in cases {
        if !case.is_proven && selection.only.is_none() && !selection.unproven {
            println!("not run: {}: it has not been seen to pass yet (`--unproven` runs it)", case.name);
            continue;
        }
        for kernel in case.kernels.iter().filter(|kernel| selection.takes(case, kernel)) {
            is_any = true;
            let start = Instant::now();
            let out = directory.join(format!("{}-{kernel}", directory_name(&case.name)));
            let verdict = attempt(case, kernel, daemon, &out);
            let seconds = start.elapsed().as_secs_f32();
            match &verdict {
                Verdict::Passed => println!("pass: {} [{kernel}] {seconds:.1} s", case.name),
                Verdict::Failed(reason) => {
                    println!("FAIL: {} [{kernel}] {seconds:.1} s: {reason}\n      logs: {}", case.name, out.display());
                    for note in last_notes(&out) {
                        println!("      > {note}");
                    }
                }
                Verdict::Skipped(reason) => println!("skip: {} [{kernel}]: {reason}", case.name),
            }
            tally.count(&verdict);
        }
    }
    if !is_any {
        bail!("no live case matches");
    }
    if tally.skipped > SKIPS_MAX {
        println!("too many runs were skipped: at most {SKIPS_MAX} may be");
    }
    Ok(tally)
}

/// The last that the daemon has said in the guest: of a run elsewhere, what is printed here may be all that is kept.
fn last_notes(out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out.join("stderr.log")).unwrap_or_default();
    let notes: Vec<&str> = text.lines().filter(|line| line.starts_with("vfs-audit: ")).collect();
    notes[notes.len().saturating_sub(NOTES_SHOWN)..].iter().map(|line| (*line).to_owned()).collect()
}

fn attempt(case: &Case, kernel: &str, daemon: &Path, out: &Path) -> Verdict {
    let files = match (case.prepare)(kernel) {
        Ok(Ready::Files(files)) => files,
        Ok(Ready::Skip(reason)) => return Verdict::Skipped(reason),
        Err(error) => return Verdict::Failed(format!("getting ready: {error:#}")),
    };
    let result = boot(case, kernel, daemon, files, out).and_then(|(outcome, release)| {
        ends_as_expected(case.expected, &outcome)?;
        (case.check)(&Evidence { outcome: &outcome, out, release: &release })
    });
    match result {
        Ok(()) => Verdict::Passed,
        Err(error) if error.is::<NotAtHand>() => Verdict::Skipped(error.to_string()),
        Err(error) => Verdict::Failed(format!("{error:#}")),
    }
}

fn boot(
    case: &Case,
    kernel: &str,
    daemon: &Path,
    files: Vec<(PathBuf, String)>,
    out: &Path,
) -> Result<(Outcome, String)> {
    let _ = fs::remove_dir_all(out);
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    let command: Vec<&str> = case.command.iter().map(String::as_str).collect();
    let mut vm = Vm::new(kernels::fetch(kernel)?, &command);
    vm.filesystems.clone_from(&case.filesystems);
    vm.modules.clone_from(&case.modules);
    vm.append.clone_from(&case.append);
    vm.icount = case.icount;
    vm.smp = if case.icount { 1 } else { vm.smp };
    vm.files = vec![(daemon.to_path_buf(), DAEMON_IN_GUEST.to_owned())];
    vm.files.extend(files);
    vm.timeout = case.timeout;
    vm.out = Some(out.to_path_buf());
    Ok((vm.run()?, vm.kernel.release))
}

fn ends_as_expected(expected: Expected, outcome: &Outcome) -> Result<()> {
    match (expected, &outcome.end) {
        (Expected::Code(expected) | Expected::CodeOrIncomplete(expected), End::Exited(code)) if expected == *code => {
            Ok(())
        }
        (Expected::CodeOrIncomplete(_), End::Exited(INCOMPLETE))
        | (Expected::Splat, End::Splat(_))
        | (Expected::TimeOut, End::TimedOut(_)) => Ok(()),
        (_, End::Exited(code)) => {
            bail!("expected {expected:?}, the command ended with {code}: {}", last(&outcome.stderr))
        }
        (_, End::Splat(lines)) => bail!("expected {expected:?}, the kernel log has a splat: {}", lines.join("\n")),
        (_, End::TimedOut(limit)) => bail!("expected {expected:?}, no end after {} s", limit.as_secs()),
        (_, End::Broken(reason)) => {
            bail!("expected {expected:?}, there is no result: {reason} {}", last(&outcome.stderr))
        }
    }
}

/// The last lines of what a command said.
fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(5)).copied().collect::<Vec<_>>().join("\n")
}

/// A case's name as part of a path.
fn directory_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vm::Accel;

    #[test]
    fn the_closing_line_has_exactly_this_form() {
        let tally = Tally { passed: 12, failed: 0, skipped: 1 };
        assert_eq!(tally.to_string(), "12 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn failures_too_many_skips_and_nothing_at_all_are_not_good() {
        assert!(Tally { passed: 1, failed: 0, skipped: SKIPS_MAX }.is_good());
        assert!(!Tally { passed: 9, failed: 1, skipped: 0 }.is_good());
        assert!(!Tally { passed: 9, failed: 0, skipped: SKIPS_MAX + 1 }.is_good());
        assert!(!Tally::default().is_good());
    }

    fn tally_of(case: Case) -> Tally {
        let selection = Selection { only: None, kernel: Some("6.12"), unproven: false };
        run(&[case], &selection, Path::new("/daemon"), Path::new("/nonexistent")).unwrap()
    }

    #[test]
    fn a_case_that_cannot_run_is_skipped_and_one_that_cannot_be_made_ready_fails() {
        let skipped = Case::new("skipped", &["true"]).with(|_| Ok(Ready::Skip("no headers".into())));
        assert_eq!(tally_of(skipped), Tally { passed: 0, failed: 0, skipped: 1 });
        let failed = Case::new("failed", &["true"]).with(|kernel| bail!("no compiler for {kernel}"));
        assert_eq!(tally_of(failed), Tally { passed: 0, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_run_passes_only_with_the_end_that_is_expected() {
        let ends = [End::Exited(0), End::Exited(1), End::Splat(vec![]), End::TimedOut(Duration::ZERO)];
        let expectations = [Expected::Code(0), Expected::Code(1), Expected::Splat, Expected::TimeOut];
        for (e, expected) in expectations.into_iter().enumerate() {
            for (i, end) in ends.iter().chain([&End::Broken("no sentinel".into())]).enumerate() {
                assert_eq!(ends_as_expected(expected, &outcome(end.clone())).is_ok(), e == i, "{expected:?} {end:?}");
            }
        }
    }

    fn outcome(end: End) -> Outcome {
        Outcome {
            end,
            command_code: None,
            elapsed: Duration::ZERO,
            accel: Accel::Tcg,
            stdout: String::new(),
            stderr: String::new(),
            kernel_log: String::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn a_selection_looks_at_name_and_kernel() {
        let case = Case::new("guests boot", &["true"]);
        assert!(Selection::default().takes(&case, "6.1"));
        assert!(Selection { only: Some("boot"), kernel: Some("6.1"), unproven: false }.takes(&case, "6.1"));
        assert!(!Selection { only: Some("fault"), kernel: None, unproven: false }.takes(&case, "6.1"));
        assert!(!Selection { only: None, kernel: Some("6.12"), unproven: false }.takes(&case, "6.1"));
    }
}
