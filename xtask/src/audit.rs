//! `cargo xtask audit`: from nothing to the report of a live audit, on this host or in a VM.
//!
//! Exit code: that of `vfs-audit run` (0, 1 and 3 come with a report), or that of the VM harness.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::kernels;
use crate::load;
use crate::setup::{self, Missing};
use crate::vm::{BROKEN, Vm};
use crate::workspace::{self, Scratch};

const KERNEL: &str = "6.12";
const FILESYSTEMS: &[&str] = &["ext4", "xfs", "btrfs", "tmpfs", "overlay"];
const DAEMON_IN_GUEST: &str = "/usr/local/bin/vfs-audit";
/// A slow emulator takes most of it: the load alone is a minute of the guest's time.
const TIMEOUT: Duration = Duration::from_secs(1200);
/// The report for people and the one for programs, in the out directory.
const REPORTS: [(&str, &str); 2] = [("table", "report.txt"), ("json", "report.json")];

/// Arguments of `audit`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where to put the reports.
    #[arg(long, default_value = "out", value_name = "DIR")]
    pub out: PathBuf,
    /// Audit a VM with this kernel, even where this host could be audited.
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,
}

/// Prepares what is missing, audits, and says where the report lies and what to do next.
///
/// # Errors
/// When the build or the VM fails, or no report comes back.
pub fn run(args: &Args) -> Result<i32> {
    if !Missing::find().is_empty() {
        setup::run(&setup::Args::default())?;
    }
    let daemon = build::run(&build::Args::default())?;
    let out = workspace::root().join(&args.out);
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    for (_, name) in REPORTS {
        // A report of an earlier run must not pass for this one's.
        let _ = fs::remove_file(out.join(name));
    }
    let code = match (&args.kernel, host_is_ready(&daemon)) {
        (None, true) => on_host(&daemon, &out)?,
        (kernel, _) => in_vm(kernel.as_deref().unwrap_or(KERNEL), &daemon, &out)?,
    };
    for (_, name) in REPORTS {
        let has_report = fs::metadata(out.join(name)).is_ok_and(|metadata| metadata.len() > 0);
        ensure!(has_report, "no {name} came back (exit code {code}): see the logs in {}", out.display());
    }
    say_what_next(&out, code);
    Ok(code)
}

/// Whether we are root and the daemon finds all it needs on this host.
fn host_is_ready(daemon: &Path) -> bool {
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let doctor = || Command::new(daemon).arg("doctor").stdout(Stdio::null()).stderr(Stdio::null()).status();
    is_root && doctor().is_ok_and(|status| status.success())
}

/// The load stays in a directory of its own: what changes the whole machine is for a VM.
fn on_host(daemon: &Path, out: &Path) -> Result<i32> {
    eprintln!("audit: auditing this host");
    let scratch = Scratch::below(&workspace::target_dir().join("audit"))?;
    // The workload takes every directory below the one that it is given for a file system.
    fs::create_dir(scratch.path().join("host"))?;
    let mut command = Command::new(daemon);
    command.args(run_arguments(out)).arg(load::program()?).arg("all").arg(scratch.path());
    let status = command.status().context("starting vfs-audit")?;
    Ok(status.code().unwrap_or(BROKEN))
}

fn in_vm(kernel: &str, daemon: &Path, out: &Path) -> Result<i32> {
    eprintln!("audit: auditing a VM with Debian's kernel {kernel}: {}", FILESYSTEMS.join(", "));
    let [kernel]: [_; 1] = kernels::named(kernel)?.try_into().ok().context("audit takes one kernel")?;
    let command = [DAEMON_IN_GUEST.to_owned()].into_iter().chain(run_arguments(Path::new("/out")));
    let mut vm = Vm::new(kernel, &[]);
    vm.command = command.chain(["sh", "-c", load::SHELL_LINE].map(str::to_owned)).collect();
    vm.filesystems = FILESYSTEMS.iter().map(ToString::to_string).collect();
    let images = Scratch::below(&workspace::target_dir().join("audit"))?;
    vm.files = load::files(images.path())?;
    vm.files.push((daemon.into(), DAEMON_IN_GUEST.into()));
    vm.modules = load::modules(&vm.kernel)?;
    vm.append = load::KERNEL_WORDS.into();
    vm.timeout = TIMEOUT;
    vm.out = Some(out.to_path_buf());
    vm.is_shown = true;
    let outcome = vm.run()?;
    outcome.report(&vm.kernel.release);
    Ok(outcome.code())
}

/// `run` with both reports into `directory`, up to the command that is audited.
fn run_arguments(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let [(format, name), (other_format, other_name)] = REPORTS;
    let also = format!("{other_format}:{}", file(other_name));
    let words = ["run", "--format", format, "-o", &file(name), "--also", &also, "--"];
    words.map(str::to_owned).to_vec()
}

fn say_what_next(out: &Path, code: i32) {
    let meaning = match code {
        0 => "no violation",
        1 => "violations found",
        3 => "no violation, but the evidence is incomplete",
        _ => "the audit did not end as it should",
    };
    println!("\naudit: {meaning} (exit code {code})");
    println!("audit: the report is {} (for programs: report.json beside it)", out.join(REPORTS[0].1).display());
    println!("next:");
    println!(
        "  cargo xtask audit --kernel 7.3              the same on another kernel: 6.1, 6.12, 6.18, 7.3, or a bzImage"
    );
    println!("  target/release/vfs-audit rules explain ID   what a rule demands, and where the kernel says so");
    println!("  target/release/vfs-audit doctor             whether this host itself can be audited, as root");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_reports_are_asked_for_before_the_audited_command() {
        let expected = "run --format table -o /out/report.txt --also json:/out/report.json --";
        assert_eq!(run_arguments(Path::new("/out")).join(" "), expected);
    }
}
