//! `cargo xtask oracle`: the tool's word against lockdep's, lock by lock, in a VM whose kernel has it.
//!
//! The exit code is 1 when lockdep denies what the tool claims to know, or switches itself off, or when it was asked at fewer
//! invocations than are wanted.

mod figures;
mod kernel;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::build;
use crate::coverage::load::{LOADS, POSIX, SCRIPT_IN_GUEST, load, system};
use crate::kernels::{self, Kernel, NotAtHand};
use crate::load as workload;
use crate::stress::{WRITABLE, package};
use crate::vm::{End, Vm, file_systems};
use crate::workspace::{self, Scratch};

pub(crate) use figures::Oracle;

const DAEMON_IN_GUEST: &str = "/usr/local/bin/vfs-audit";
/// What the guest leaves in `/out`.
const REPORT: &str = "oracle.json";

/// Arguments of `oracle`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The kernel with lockdep: of another series with its name ("lockdep-7.3").
    #[arg(long, default_value = kernels::LOCKDEP, value_name = "NAME")]
    pub kernel: String,
    /// Build the kernel from Debian's source where none is at hand: some 15 minutes on two processors.
    #[arg(long)]
    pub build: bool,
    /// File systems; else all that the kernel has.
    #[arg(long = "fs", value_delimiter = ',', value_name = "LIST")]
    pub filesystems: Vec<String>,
    /// Seconds for each stressor of stress-ng.
    #[arg(long, default_value_t = 3, value_name = "S")]
    pub seconds: u32,
    /// Minutes of each boot's audit: what the stressors leave of them is churn and scan on each file system.
    #[arg(long, default_value_t = 15, value_name = "M")]
    pub minutes: u32,
    /// Invocations at which lockdep must have been asked; the loads are repeated until it was.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub least: u64,
    /// Boots after which that is given up.
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub boots: usize,
    /// Where to put the reports and logs.
    #[arg(long, default_value = "out/oracle", value_name = "DIR")]
    pub out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is booted, and where its results go.
struct Ground<'a> {
    kernel: &'a Kernel,
    daemon: &'a Path,
    out: &'a Path,
}

/// Audits the kernel with lockdep under every load, and prints how often lockdep said the same.
///
/// # Errors
/// There is no such kernel, a build or the VM fails, or no report comes back.
pub fn run(args: &Args) -> Result<i32> {
    let kernel = at_hand(&args.kernel, args.build)?;
    let daemon = build::run(&build::Args::default())?;
    let out = workspace::root().join(&args.out);
    let offered = file_systems(&kernel)?;
    let is_wanted = |kind: &&&str| args.filesystems.is_empty() || args.filesystems.iter().any(|fs| fs == **kind);
    let kinds: Vec<&str> = WRITABLE.iter().filter(|kind| offered.contains(kind)).filter(is_wanted).copied().collect();
    ensure!(!kinds.is_empty(), "the kernel has none of the file systems that are wanted");
    let posix: Vec<&str> = kinds.iter().filter(|kind| POSIX.contains(kind)).copied().collect();
    let _ = fs::remove_dir_all(&out);
    let ground = Ground { kernel: &kernel, daemon: &daemon, out: &out };
    let mut sum = Oracle::default();
    for number in 0..args.boots {
        let (name, kinds, script) = match number {
            0 => ("system".to_owned(), &posix, system()),
            _ => (format!("files-{number}"), &kinds, load(&kinds, args.seconds) + &churn(&kinds)),
        };
        sum.add(&audit(&ground, (&name, args.minutes), kinds, &script).with_context(|| format!("the load {name}"))?);
        eprintln!("oracle: lockdep was asked at {} invocations so far", sum.invocations);
        if number > 0 && sum.invocations >= args.least {
            break;
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&sum)?);
    } else {
        println!("{}", sum.table());
    }
    Ok(i32::from(!sum.is_borne_out(args.least)))
}

fn at_hand(name: &str, may_build: bool) -> Result<Kernel> {
    let series = kernels::lockdep_series(name);
    let series =
        series.with_context(|| format!("{name} has no lockdep\nhint: lockdep, or lockdep-7.3 for another series"))?;
    match kernels::fetch(name) {
        Err(error) if error.is::<NotAtHand>() && may_build => kernel::build(series),
        Err(error) if error.is::<NotAtHand>() => Err(error.context(
            "lockdep is in no kernel of Debian's\nhint: cargo xtask oracle --build builds one from Debian's source",
        )),
        other => other,
    }
}

/// One boot with one audit of `script`.
fn audit(ground: &Ground<'_>, (name, minutes): (&str, u32), kinds: &[&str], script: &str) -> Result<Oracle> {
    let out = ground.out.join(name);
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    let scratch = Scratch::below(ground.out)?;
    let place = scratch.path().join("load");
    fs::write(&place, script).context("writing the load")?;
    let mut vm =
        Vm::new(ground.kernel.clone(), &[&command(&format!("--for {}s -- sh {SCRIPT_IN_GUEST}", 60 * minutes))]);
    vm.filesystems = kinds.iter().map(ToString::to_string).collect();
    vm.modules = workload::modules(ground.kernel)?;
    vm.append = workload::KERNEL_WORDS.into();
    let files = [(ground.daemon, DAEMON_IN_GUEST), (&place, SCRIPT_IN_GUEST)];
    vm.files = files.map(|(host, guest)| (host.to_path_buf(), guest.to_owned())).to_vec();
    vm.files.extend(workload::files(scratch.path())?);
    vm.files.extend(package::files()?);
    vm.timeout = Duration::from_secs(60 * u64::from(minutes)) + SLACK;
    vm.out = Some(out.clone());
    eprintln!("oracle: {name}: auditing {} with {}", ground.kernel.release, kinds.join(", "));
    let outcome = vm.run()?;
    if outcome.end != End::Exited(0) {
        outcome.report(&ground.kernel.release);
    }
    for line in fs::read_to_string(out.join(LOADS)).unwrap_or_default().lines().filter(|line| !line.ends_with(": 0")) {
        eprintln!("oracle: {name}: {line} (its exit code)");
    }
    let text = fs::read_to_string(out.join(REPORT)).context("no report came back")?;
    let report: Value = serde_json::from_str(&text).context("the report is no JSON")?;
    Oracle::of(&report)
}

/// Beyond the audit itself: boot, attaching and collecting under emulation.
const SLACK: Duration = Duration::from_secs(1200);
/// More rounds than there is time for.
const ROUNDS: u32 = 100_000_000;

/// The audit of `load`, with what else `run` is to be told, with the oracle on, mutexes tracked too. What it finds of rules is no matter of the oracle's.
pub(crate) fn command(load: &str) -> String {
    format!(
        "vfs-audit run --oracle --track-mutexes --format json -o /out/{REPORT} --also table:/out/oracle.txt {load}; \
         code=$?; [ $code != 2 ] || exit $code"
    )
}

/// Many calls of few callbacks, on each file system at once, until the audit ends.
fn churn(kinds: &[&str]) -> String {
    let mut script = String::new();
    for kind in kinds {
        let works = if POSIX.contains(kind) { &["churn", "scan"][..] } else { &["scan"] };
        for work in works {
            let _ = writeln!(script, "load {work}-{kind} vfs-workload {work} /mnt/{kind} --rounds {ROUNDS} &");
        }
    }
    script.push_str("wait\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::load::first_line;

    #[test]
    fn a_run_that_could_not_begin_is_an_error_and_a_violation_is_not() {
        let command = command("--for 7s -- sh /load");
        assert!(command.contains("--oracle") && command.contains("--for 7s -- sh /load;"), "{command}");
        assert!(command.ends_with("[ $code != 2 ] || exit $code"), "{command}");
    }

    #[test]
    fn churn_is_a_load_for_each_file_system_and_says_how_it_ended() {
        let script = first_line() + &churn(&["ext4", "vfat"]);
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(lines[1], "load churn-ext4 vfs-workload churn /mnt/ext4 --rounds 100000000 &");
        assert_eq!(lines[3..], ["load scan-vfat vfs-workload scan /mnt/vfat --rounds 100000000 &", "wait"], "no links");
    }
}
