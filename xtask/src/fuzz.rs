//! `cargo xtask fuzz`: the coverage-guided fuzz targets of `tests/fuzz`, each for a bounded time.
//!
//! cargo-fuzz and a C++ compiler are not everywhere: where they are missing, that is said and counted as skipped. No sanitizer
//! is built in: the parsers are safe Rust (a test watches over that), in which a fault is a panic, a hang or too much memory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::test::Tally;
use crate::workspace;

/// Every target, with what it eats.
pub const TARGETS: [(&str, &str); 7] = [
    ("rule_files", "rule files"),
    ("documents", "documents for `rules import`"),
    ("recording", "recordings"),
    ("frames", "recordings with right checksums, through the checker into every form of report"),
    ("baseline", "baselines"),
    ("btf", "BTF"),
    ("kallsyms", "kernel symbols"),
];
/// The release that is known to work.
const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// Seconds a target, unless said otherwise.
const SECONDS: u32 = 20;
/// Seconds a target among the tests.
const SECONDS_IN_TESTS: u32 = 5;
/// Why targets cannot be built.
const NO_COMPILER: &str = "no C++ compiler for libFuzzer (apt-get install g++)";
/// A single input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 25;
/// Longest input in bytes.
const INPUT_BYTES_MAX: u32 = 65_536;
/// An input that makes the parser take more memory is a finding.
const MEMORY_MIB_MAX: u32 = 3_072;

/// Arguments of `fuzz`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Targets; all of them when none is named.
    #[arg(value_name = "TARGET", value_parser = TARGETS.map(|(name, _)| name))]
    pub targets: Vec<String>,
    /// Seconds a target.
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    pub seconds: u32,
    /// Install cargo-fuzz where it is missing.
    #[arg(long)]
    pub install: bool,
}

/// Fuzzes; the code is 0 when nothing was found.
///
/// # Errors
/// A target cannot be built, or its seeds cannot be made.
pub fn run(args: &Args) -> Result<i32> {
    let named = |(name, _): &&(&str, &str)| args.targets.is_empty() || args.targets.iter().any(|target| target == name);
    let wanted: Vec<&(&str, &str)> = TARGETS.iter().filter(named).collect();
    let mut tally = Tally::default();
    let seeds = seeds()?;
    // Without cargo-fuzz too.
    must_compile()?;
    if let Some(reason) = unavailable(args.install)? {
        for (name, _) in &wanted {
            println!("skip: fuzz {name}: {reason}");
            tally.skipped += 1;
        }
        println!("{tally}");
        return Ok(0);
    }
    for (name, what) in wanted {
        match fuzz(name, &seeds, args.seconds)? {
            Finding::None(inputs) => {
                println!("pass: fuzz {name}: {what}: {inputs} inputs in {} s, no finding", args.seconds);
                tally.passed += 1;
            }
            Finding::At(artifacts) => {
                println!("FAIL: fuzz {name}: {what}: a finding: {}", artifacts.display());
                tally.failed += 1;
            }
        }
    }
    println!("{tally}");
    Ok(i32::from(tally.failed > 0))
}

/// Fuzzes every target for a moment, as part of the tests.
///
/// # Errors
/// A target cannot be built, or has a finding.
pub fn must_pass() -> Result<()> {
    let args = Args { targets: Vec::new(), seconds: SECONDS_IN_TESTS, install: false };
    ensure!(run(&args)? == 0, "a fuzz target has a finding");
    Ok(())
}

/// What a target's run came to.
enum Finding {
    None(u64),
    At(PathBuf),
}

/// Why nothing can be fuzzed here.
fn unavailable(install: bool) -> Result<Option<String>> {
    let has = || process::output(cargo().args(["fuzz", "--version"])).is_ok();
    if !has() && install {
        let mut cargo = cargo();
        cargo.current_dir("/").args(["install", "cargo-fuzz", "--version", CARGO_FUZZ_VERSION, "--locked", "--quiet"]);
        process::run(&mut cargo).context("installing cargo-fuzz")?;
    }
    if !has() {
        return Ok(Some(format!("no cargo-fuzz (cargo install cargo-fuzz --version {CARGO_FUZZ_VERSION} --locked)")));
    }
    if !has_compiler() {
        return Ok(Some(NO_COMPILER.to_owned()));
    }
    Ok(None)
}

/// The targets must compile, where there is a C++ compiler for what they link.
fn must_compile() -> Result<()> {
    if !has_compiler() {
        println!("skip: compiling the fuzz targets: {NO_COMPILER}");
        return Ok(());
    }
    let mut cargo = cargo();
    cargo.env("CARGO_TARGET_DIR", workspace::target_dir());
    cargo.args(["check", "--quiet", "--locked", "--manifest-path", "tests/fuzz/Cargo.toml", "--bins"]);
    process::run(&mut cargo).context("compiling the fuzz targets")
}

fn has_compiler() -> bool {
    process::find("c++").is_some() || process::find("g++").is_some()
}

/// Makes the inputs to begin with.
fn seeds() -> Result<PathBuf> {
    let directory = workspace::target_dir().join("fuzz/seeds");
    let mut cargo = cargo();
    cargo.env("CARGO_TARGET_DIR", workspace::target_dir());
    cargo.args(["run", "--quiet", "--locked", "--manifest-path", "tests/fuzz/Cargo.toml", "--example", "seeds", "--"]);
    process::run(cargo.arg(&directory)).context("making the seeds")?;
    Ok(directory)
}

fn fuzz(name: &str, seeds: &Path, seconds: u32) -> Result<Finding> {
    let target_dir = workspace::target_dir().join("fuzz");
    let (corpus, artifacts) = (target_dir.join("corpus").join(name), target_dir.join("artifacts").join(name));
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    }
    let mut build = cargo_fuzz("build", &target_dir);
    process::run(build.arg(name)).with_context(|| format!("building the fuzz target {name}"))?;
    let log = target_dir.join(format!("{name}.log"));
    let file = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut run = cargo_fuzz("run", &target_dir);
    run.arg(name).arg(&corpus).arg(seeds.join(name)).arg("--").stderr(file);
    run.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    run.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    run.arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/", artifacts.display()));
    let status = run.status().context("starting cargo fuzz")?;
    let said = fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
    match (status.success(), executed(&said)) {
        (true, Some(inputs)) if inputs > 0 => Ok(Finding::None(inputs)),
        (true, _) => bail!("the fuzz target {name} tried nothing: {}", log.display()),
        (false, _) => {
            let last = said.lines().rev().take(40).collect::<Vec<_>>();
            last.iter().rev().for_each(|line| println!("      {line}"));
            Ok(Finding::At(artifacts))
        }
    }
}

/// Inputs tried, as libFuzzer's closing statistics say.
fn executed(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok()
}

fn cargo_fuzz(command: &str, target_dir: &Path) -> Command {
    let mut cargo = cargo();
    // Instrumentation needs unstable options, which a stable compiler takes with this.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["fuzz", command, "--sanitizer", "none", "--fuzz-dir", "tests/fuzz", "--target-dir"]).arg(target_dir);
    cargo
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root());
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
        cargo.env_remove(variable);
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest = fs::read_to_string(workspace::root().join("tests/fuzz/Cargo.toml")).unwrap();
        let bins: Vec<&str> = manifest.split("[[bin]]").skip(1).filter_map(|bin| bin.split('"').nth(1)).collect();
        assert_eq!(bins, TARGETS.map(|(name, _)| name));
    }

    #[test]
    fn how_much_was_tried_is_read_from_the_closing_statistics() {
        assert_eq!(executed("Done 5 runs\nstat::number_of_executed_units: 123\nstat::x: 1\n"), Some(123));
        assert_eq!(executed("ERROR: libFuzzer\n"), None);
    }
}
