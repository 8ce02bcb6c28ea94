//! `cargo xtask bench`: what an audit costs, counted in instructions of a guest.
//!
//! The guest's clock counts instructions (`-icount`), so a figure does not depend on what else the machine does. The same
//! load runs bare and audited in one boot, several times each, after a warm-up; the median of each counts: what the file
//! system does beside the load (a new ext4's tables are written in the background) makes single runs differ by 2 %.

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
/// Runs of the load that do not count, then runs of each kind, and rounds of each run.
const WARM_UP: u32 = 3;
const RUNS: u32 = 6;
const ROUNDS: u32 = 500;
const TIMEOUT: Duration = Duration::from_secs(1500);
/// Waits until the kernel has taken the last probe off, which it does one after the other once the audit has ended.
const DETACHED: &str = "until [ \"$(wc -l < /sys/kernel/tracing/enabled_functions)\" = 0 ]; do sleep 0.1; done;";

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
    /// Hooks that were attached.
    pub hooks: usize,
    /// What each of the audit's programs took of a round: name, runs, instructions. Counted in a run of its own, where the
    /// kernel's counting makes them dearer.
    pub programs: Vec<(String, f64, f64)>,
}

impl Measured {
    /// Audited rounds in terms of bare ones.
    pub fn ratio(&self) -> f64 {
        // Thousandths: more than a measurement is good for.
        f64::from(u32::try_from(self.audited * 1000 / self.bare.max(1)).unwrap_or(u32::MAX)) / 1000.0
    }
}

/// Measures and prints; the exit code is 1 when the audit costs more than it may, or lost something.
///
/// # Errors
/// A build or the VM fails, or no figures come back.
pub fn run(args: &Args) -> Result<i32> {
    let daemon = build::run(&build::Args::default())?;
    let measured = measure(args, &daemon)?;
    let Measured { release, bare, audited, lost, hooks, programs } = &measured;
    let ratio = measured.ratio();
    if args.json {
        println!(
            "{}",
            json!({"kernel": release, "fs": args.fs, "bare": bare, "audited": audited, "ratio": ratio, "lost": lost,
                "hooks": hooks, "programs": programs})
        );
    } else {
        println!(
            "{release}, {}: {bare} instructions a round bare, {audited} audited by {hooks} hooks: {ratio:.3}; lost: {lost}",
            args.fs
        );
        for (name, runs, instructions) in programs {
            println!("  {name:15} {runs:6.1} runs a round, {instructions:7.0} instructions");
        }
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
    let script = script(&call, &args.with.join(" "));
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
    let (bare, audited) = medians(&outcome.stdout)?;
    let attached = |hook: &&serde_json::Value| hook["state"] == "attached";
    let hooks = report["hooks"].as_array().map_or(0, |hooks| hooks.iter().filter(attached).count());
    let programs = std::fs::read_to_string(scratch.path().join("programs.json")).context("no programs came back")?;
    let programs = shares(&serde_json::from_str(&programs).context("the figures of the programs are no JSON")?)?;
    Ok(Measured { release: vm.kernel.release, bare, audited, lost, hooks, programs })
}

/// Name, runs and instructions of a round, of each program in a report.
fn shares(report: &serde_json::Value) -> Result<Vec<(String, f64, f64)>> {
    let programs = report["timing"]["programs"].as_array().context("the report has no figures of programs")?;
    ensure!(!programs.is_empty(), "no program ran");
    let share = |program: &serde_json::Value| {
        let number = |key: &str| program[key].as_f64().with_context(|| format!("no {key} in {program}"));
        let name = program["name"].as_str().context("a program without a name")?;
        Ok((name.to_owned(), number("runs")? / f64::from(ROUNDS), number("nanoseconds")? / f64::from(ROUNDS)))
    };
    programs.iter().map(share).collect()
}

/// What the guest does: the load in `call`, bare and under `vfs-audit run` with more `arguments`.
pub(crate) fn script(call: &str, arguments: &str) -> String {
    let call = format!("{call} || exit 97; ");
    let [warm_up, half, all, once] = [WARM_UP, RUNS / 2, RUNS, 1].map(|times| call.repeat(times as usize));
    format!(
        "{warm_up} echo bare; {half} echo audited; vfs-audit run --format json -o /out/report.json {arguments} -- \
         sh -c '{all}' || exit 98; {DETACHED} echo bare; {half} echo programs; \
         vfs-audit run --program-stats --format json -o /out/programs.json {arguments} -- sh -c '{once}' || exit 98"
    )
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

/// The median of each kind: lines `… N ns/iter` below the line that names the kind.
pub(crate) fn medians(stdout: &str) -> Result<(u64, u64)> {
    let (mut bare, mut audited) = (Vec::new(), Vec::new());
    let mut is_audited = None;
    for line in stdout.lines() {
        match line {
            "bare" => is_audited = Some(false),
            "audited" => is_audited = Some(true),
            // Run for the figures of its programs alone.
            "programs" => is_audited = None,
            _ => {
                let Some(figure) = line.strip_suffix(" ns/iter").and_then(|line| line.rsplit(' ').next()) else {
                    continue;
                };
                let figure: u64 = figure.parse().with_context(|| format!("no figure in {line:?}"))?;
                match is_audited {
                    None => {}
                    Some(false) => bare.push(figure),
                    Some(true) => audited.push(figure),
                }
            }
        }
    }
    ensure!(bare.len() == RUNS as usize && audited.len() == RUNS as usize, "figures are missing: {stdout:?}");
    Ok((median(bare), median(audited)))
}

fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    u64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2])
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
    fn the_median_of_each_kind_counts_without_the_warm_up() {
        let text = lines("warm-up", &[1300, 1200]) + &lines("bare", &[606, 605, 608]);
        let text = text + &lines("audited", &[700, 631, 630, 640, 620, 632]) + &lines("bare", &[590, 599, 609]);
        assert_eq!(medians(&text).unwrap(), (605, 631));
    }

    #[test]
    fn a_run_that_is_missing_is_an_error() {
        assert!(medians(&(lines("bare", &[1, 2, 3]) + &lines("audited", &[1, 2, 3, 4, 5, 6]))).is_err());
    }
}
