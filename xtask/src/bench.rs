//! `cargo xtask bench`: what an audit costs, counted in instructions of a guest.
//!
//! The guest's clock counts instructions (`-icount`), so a figure does not depend on what else the machine does. The same
//! load runs bare and audited in one boot, several times each; the least of each counts, since what the kernel does
//! beside the load only adds.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::build;
use crate::kernels;
use crate::process;
use crate::vm::{End, Vm};
use crate::workspace::{self, Scratch};

const DAEMON_IN_GUEST: &str = "/usr/local/bin/vfs-audit";
const LOAD_IN_GUEST: &str = "/usr/local/bin/load";
/// Runs of the load, bare and audited, and rounds of each.
const RUNS: u32 = 4;
const ROUNDS: u32 = 500;
const TIMEOUT: Duration = Duration::from_secs(1500);

/// Arguments of `bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Kernel to measure on.
    #[arg(long, default_value = "6.12")]
    pub kernel: String,
    /// File system to run the load on.
    #[arg(long, default_value = "ext4", value_name = "TYPE")]
    pub fs: String,
    /// A C program to take for the load, called with a directory and a number of rounds; else the project's own churn.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// More arguments for `vfs-audit run`, e.g. --track-mutexes.
    #[arg(long = "with", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub with: Vec<String>,
    /// Fail when an audited round costs more than so many bare ones.
    #[arg(long, value_name = "RATIO")]
    pub most: Option<f64>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Kernel release.
    pub release: String,
    /// Instructions of a round with nothing attached.
    pub bare: u64,
    /// Instructions of an audited round.
    pub audited: u64,
    /// What the audit lost.
    pub lost: u64,
}

impl Measured {
    /// Audited rounds in terms of bare ones.
    pub fn ratio(&self) -> f64 {
        self.audited as f64 / self.bare as f64
    }
}

/// Measures and prints; the exit code is 1 when the audit costs more than it may, or lost something.
///
/// # Errors
/// A build or the VM fails, or no figures come back.
pub fn run(args: &Args) -> Result<i32> {
    let daemon = build::run(&build::Args::default())?;
    let measured = measure(args, &daemon)?;
    let Measured { release, bare, audited, lost } = &measured;
    let ratio = measured.ratio();
    if args.json {
        println!(
            "{}",
            json!({"kernel": release, "fs": args.fs, "bare": bare, "audited": audited, "ratio": ratio, "lost": lost})
        );
    } else {
        println!(
            "{release}, {}: {bare} instructions a round bare, {audited} audited: {ratio:.3}; lost: {lost}",
            args.fs
        );
    }
    let is_dear = args.most.is_some_and(|most| ratio > most);
    Ok(i32::from(is_dear || *lost > 0))
}

/// Runs the load bare and audited in one guest.
///
/// # Errors
/// The VM fails, or no figures come back.
pub fn measure(args: &Args, daemon: &std::path::Path) -> Result<Measured> {
    let scratch = Scratch::below(&workspace::target_dir().join("bench"))?;
    let [kernel]: [_; 1] = kernels::named(&args.kernel)?.try_into().ok().context("bench takes one kernel")?;
    let (load, call) = load(args, &scratch)?;
    let call = format!("{call} || exit 97; ").repeat(RUNS as usize);
    let script = format!(
        "echo bare; {call} echo audited; vfs-audit run --format json -o /out/report.json {} -- sh -c '{call}' || exit 98; \
         echo bare; {call}",
        args.with.join(" ")
    );
    let mut vm = Vm::new(kernel, &[&script]);
    vm.icount = true;
    vm.smp = 1;
    vm.filesystems = vec![args.fs.clone()];
    vm.files = vec![(daemon.into(), DAEMON_IN_GUEST.into()), (load, LOAD_IN_GUEST.into())];
    vm.timeout = TIMEOUT;
    vm.out = Some(scratch.path().to_path_buf());
    let outcome = vm.run()?;
    if outcome.end != End::Exited(0) {
        outcome.report(&vm.kernel.release);
    }
    ensure!(outcome.end == End::Exited(0), "the guest's run ended with {}", outcome.code());
    let report = std::fs::read_to_string(scratch.path().join("report.json")).context("no report came back")?;
    let report: serde_json::Value = serde_json::from_str(&report).context("the report is no JSON")?;
    let lost = report["loss"]["total"].as_u64().context("the report counts no losses")?;
    let (bare, audited) = least(&outcome.stdout)?;
    Ok(Measured { release: vm.kernel.release, bare, audited, lost })
}

/// The program of the load, and how the guest calls it.
fn load(args: &Args, scratch: &Scratch) -> Result<(PathBuf, String)> {
    let directory = format!("/mnt/{}", args.fs);
    let Some(source) = &args.load else {
        let program = build::guest_program("vfs-audit-tests", "vfs-workload")?;
        return Ok((program, format!("load churn {directory} --rounds {ROUNDS}")));
    };
    let program = scratch.path().join("load");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-static", "-w", "-o"]).arg(&program).arg(source);
    process::run(&mut compiler).with_context(|| format!("compiling {}", source.display()))?;
    Ok((program, format!("load {directory} {ROUNDS}")))
}

/// The least figure of each kind: lines `… N ns/iter` below the line that names the kind.
fn least(stdout: &str) -> Result<(u64, u64)> {
    let (mut bare, mut audited) = (Vec::new(), Vec::new());
    let mut is_audited = false;
    for line in stdout.lines() {
        match line {
            "bare" => is_audited = false,
            "audited" => is_audited = true,
            _ => {
                let Some(figure) = line.strip_suffix(" ns/iter").and_then(|line| line.rsplit(' ').next()) else {
                    continue;
                };
                let figure: u64 = figure.parse().with_context(|| format!("no figure in {line:?}"))?;
                if is_audited { audited.push(figure) } else { bare.push(figure) }
            }
        }
    }
    ensure!(bare.len() == 2 * RUNS as usize && audited.len() == RUNS as usize, "figures are missing: {stdout:?}");
    let least = |figures: &[u64]| figures.iter().copied().min().unwrap_or_default();
    Ok((least(&bare), least(&audited)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(kind: &str, figures: &[u64]) -> String {
        figures
            .iter()
            .fold(format!("{kind}\n"), |text, figure| text + &format!("churn /mnt/ext4 500 iters {figure} ns/iter\n"))
    }

    #[test]
    fn the_least_figure_of_each_kind_counts() {
        let text = lines("bare", &[900, 650, 610, 600]) + &lines("audited", &[700, 631, 630, 640]);
        let text = text + &lines("bare", &[605, 606, 607, 608]);
        assert_eq!(least(&text).unwrap(), (600, 630));
    }

    #[test]
    fn a_run_that_is_missing_is_an_error() {
        assert!(least(&(lines("bare", &[1, 2, 3, 4]) + &lines("audited", &[1, 2, 3, 4]))).is_err());
    }
}
