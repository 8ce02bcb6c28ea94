//! `cargo xtask stress`: stress-ng's file system stressors under audit, on each kernel and file system.
//!
//! stress-ng is a load that nobody here wrote. What it makes a stock kernel do must be reported as no violation.

pub(crate) mod package;
pub(crate) mod stressors;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::build;
use crate::kernels::{self, Kernel, NotAtHand};
use crate::vm::{End, Outcome, Vm, file_systems};
use crate::workspace;

use stressors::{CLASS, LEFT_OUT, Load, Stressors, at_once, lacking, type_of_superblock};

/// Names the report on all file systems.
const ALL: &str = "all";
const DAEMON_IN_GUEST: &str = "/usr/local/bin/vfs-audit";
/// Beyond the stressors' own time: boot, attaching and detaching on kernels where that is slow, and stressors that end late.
const SLACK: Duration = Duration::from_secs(600);
/// Times its own seconds that a stressor may take: emulation makes some end late.
const STRETCH: u32 = 4;
/// File systems that stressors can write to.
pub(crate) const WRITABLE: &[&str] =
    &["ext4", "xfs", "btrfs", "tmpfs", "overlay", "f2fs", "vfat", "exfat", "ntfs3", "nfs"];

/// Arguments of `stress`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Kernels: 5.10, 6.1, 6.12, 6.12-amd64, 6.18, 7.3, lockdep, all, or the path of a bzImage.
    #[arg(long, default_value = "all", value_delimiter = ',', value_name = "LIST")]
    pub kernel: Vec<String>,
    /// File systems; else all that the kernel has.
    #[arg(long = "fs", value_delimiter = ',', value_name = "LIST")]
    pub filesystems: Vec<String>,
    /// Seconds for each stressor.
    #[arg(long, default_value_t = 3, value_name = "S")]
    pub seconds: u32,
    /// Only these stressors.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub only: Vec<String>,
    /// Where to put the reports and logs.
    #[arg(long, default_value = "out/stress", value_name = "DIR")]
    pub out: PathBuf,
    /// One audit of all file systems at the same time, in place of one for each: much sooner done.
    #[arg(long)]
    pub at_once: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// One kernel and file system under stress.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Kernel release.
    pub kernel: String,
    /// File system.
    pub fs: String,
    /// Stressors that did something.
    pub ran: Vec<String>,
    /// Stressors that came to nothing in their time.
    pub idle: Vec<String>,
    /// Stressors that stress-ng skipped, with its reason.
    pub skipped: std::collections::BTreeMap<String, String>,
    /// What stress-ng calls failures of the system.
    pub failures: Vec<String>,
    /// Invocations audited.
    pub invocations: u64,
    /// Rules violated for certain, with the callback.
    pub violations: Vec<String>,
    /// Rules that are suspected to be violated.
    pub suspected: Vec<String>,
    /// What the audit lost.
    pub lost: u64,
    /// Exit code of `vfs-audit run`.
    pub exit: u64,
    /// What kept the run from ending as it should.
    pub trouble: Option<String>,
}

/// Stresses each kernel and prints a line per file system; the exit code is 1 when one of them is not as it must be.
///
/// # Errors
/// An unknown kernel or stressor, or a build fails.
pub fn run(args: &Args) -> Result<i32> {
    if let Some(name) = args.only.iter().find(|name| !CLASS.contains(&name.as_str())) {
        anyhow::bail!("no stressor {name} in the class filesystem\nhint: {}", CLASS.join(", "));
    }
    let daemon = build::run(&build::Args::default())?;
    for (name, reason) in LEFT_OUT.iter().filter(|_| args.only.is_empty()) {
        eprintln!("stress: without {name}: {reason}");
    }
    let mut is_good = true;
    let mut rows = Vec::new();
    for name in &args.kernel {
        let kernels = match kernels::named(name) {
            Err(error) if error.is::<NotAtHand>() => {
                eprintln!("stress: without {name}: {error}");
                continue;
            }
            other => other?,
        };
        for kernel in kernels {
            let stressed = stress(args, kernel, &daemon)?;
            for row in &stressed {
                is_good &= row.is_good();
                if !args.json {
                    println!("{}", row.line());
                }
            }
            rows.extend(stressed);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    Ok(i32::from(!is_good || rows.is_empty()))
}

/// One boot, with an audit for each file system.
fn stress(args: &Args, kernel: Kernel, daemon: &Path) -> Result<Vec<Row>> {
    let offered = file_systems(&kernel)?;
    let wanted = |kind: &&&str| args.filesystems.is_empty() || args.filesystems.iter().any(|fs| fs == **kind);
    let kinds: Vec<&str> = WRITABLE.iter().filter(|kind| offered.contains(kind)).filter(wanted).copied().collect();
    let out = workspace::root().join(&args.out).join(&kernel.release);
    let _ = fs::remove_dir_all(&out);
    let command = if args.at_once {
        audit_of_all(&kinds, args)
    } else {
        kinds.iter().map(|kind| audit(kind, args)).collect::<Vec<_>>().join("; ")
    };
    let mut vm = Vm::new(kernel, &[&command]);
    vm.filesystems = kinds.iter().map(ToString::to_string).collect();
    vm.files = vec![(daemon.to_path_buf(), DAEMON_IN_GUEST.to_owned())];
    vm.files.extend(package::files()?);
    let stressors = if args.only.is_empty() { CLASS.len() } else { args.only.len() };
    let seconds = args.seconds * u32::try_from(stressors * kinds.len())? * STRETCH;
    vm.timeout = SLACK + Duration::from_secs(seconds.into());
    vm.out = Some(out.clone());
    let outcome = vm.run()?;
    if outcome.end != End::Exited(0) {
        outcome.report(&vm.kernel.release);
    }
    let report = if args.at_once { Some(ALL) } else { None };
    Ok(kinds.iter().map(|kind| Row::read(kind, report, &vm.kernel.release, &outcome, &out)).collect())
}

/// The guest's command for all file systems together.
fn audit_of_all(kinds: &[&str], args: &Args) -> String {
    let loads = at_once(kinds, &args.only, args.seconds);
    format!(
        "vfs-audit run --format json -o /out/{ALL}.json --also table:/out/{ALL}.txt -- sh -c '{loads}' \
         2> /out/{ALL}.err; true"
    )
}

/// The guest's command for one file system.
fn audit(kind: &str, args: &Args) -> String {
    let load = Load { fs: kind, only: &args.only, seconds: args.seconds }.command().join(" ");
    format!(
        "vfs-audit run --format json -o /out/{kind}.json --also table:/out/{kind}.txt -- sh -c '{load} > /out/{kind}.log 2>&1' \
         2> /out/{kind}.err; true"
    )
}

impl Row {
    /// `report` is the name of the report when there is one of all file systems.
    fn read(kind: &str, report: Option<&str>, release: &str, outcome: &Outcome, out: &Path) -> Self {
        let mut row = Self::of(kind, release, Stressors::read(&text(out, kind, "log").unwrap_or_default()));
        if let Err(error) = row.add_report(out, report) {
            let said = text(out, report.unwrap_or(kind), "err").unwrap_or_default();
            row.trouble = Some(format!("{error:#}; {}", said.trim()));
        }
        if outcome.end != End::Exited(0) {
            row.trouble = Some(format!("the guest's run ended with {}", outcome.code()));
        }
        row
    }

    fn of(kind: &str, release: &str, mut stressors: Stressors) -> Self {
        stressors.skipped.extend(lacking(kind).map(|(name, why)| (name.to_owned(), format!("{name}: {why}"))));
        Self {
            kernel: release.to_owned(),
            fs: kind.to_owned(),
            ran: stressors.ran.into_iter().collect(),
            idle: stressors.idle.into_iter().collect(),
            skipped: stressors.skipped,
            failures: stressors.failures,
            invocations: 0,
            violations: Vec::new(),
            suspected: Vec::new(),
            lost: 0,
            exit: 0,
            trouble: None,
        }
    }

    fn add_report(&mut self, out: &Path, of_all: Option<&str>) -> Result<()> {
        let text = text(out, of_all.unwrap_or(&self.fs), "json")?;
        let mut report: Value = serde_json::from_str(&text).context("the report is no JSON")?;
        let number = |value: &Value| value.as_u64().with_context(|| format!("no number: {value}"));
        self.invocations = number(&report["summary"]["invocations"])?;
        if of_all.is_some() {
            self.invocations = keep_those_of(&mut report, &self.fs);
        }
        self.lost = number(&report["loss"]["total"])?;
        self.exit = number(&report["exit"]["code"])?;
        self.violations = broken(&report, "violations")?;
        self.suspected = broken(&report, "suspected")?;
        let code = &report["command"]["exit_code"];
        ensure!(code == 0, "stress-ng ended with {code}");
        ensure!(self.invocations > 0, "nothing was audited");
        Ok(())
    }

    /// Whether the load ran, and nothing that it did is called a violation.
    pub fn is_good(&self) -> bool {
        self.trouble.is_none() && self.violations.is_empty() && self.suspected.is_empty() && !self.ran.is_empty()
    }

    fn line(&self) -> String {
        let mut line = format!(
            "{} {}: {} stressors ran, {} idle, {} skipped, {} failures; {} invocations, {} violations, {} suspected, lost {}, exit {}",
            self.kernel,
            self.fs,
            self.ran.len(),
            self.idle.len(),
            self.skipped.len(),
            self.failures.len(),
            self.invocations,
            self.violations.len(),
            self.suspected.len(),
            self.lost,
            self.exit
        );
        let details = self.violations.iter().map(|what| format!("violation: {what}"));
        let details = details.chain(self.suspected.iter().map(|what| format!("suspected: {what}")));
        let details = details.chain(self.skipped.values().map(|why| format!("skipped: {why}")));
        let details = details.chain(self.failures.iter().map(|what| format!("failure: {what}")));
        for detail in details.chain(self.trouble.iter().map(|why| format!("TROUBLE: {why}"))) {
            line.push_str("\n    ");
            line.push_str(&detail);
        }
        line
    }
}

/// Leaves of a report on several file systems the violations that concern `kind`, or nobody in particular; returns the
/// invocations on it.
fn keep_those_of(report: &mut Value, kind: &str) -> u64 {
    let type_name = type_of_superblock(kind);
    for list in ["violations", "suspected"] {
        if let Some(list) = report[list].as_array_mut() {
            list.retain(|violation| [type_name, "?", "-"].iter().any(|fs| violation["fs"] == *fs));
        }
    }
    let by_fs = report["invocations_by_fs"].as_object().into_iter().flatten();
    by_fs.filter_map(|(_, by_fs)| by_fs[type_name].as_u64()).sum()
}

/// Rules of a list of violations, each with its callback.
pub(crate) fn broken(report: &Value, list: &str) -> Result<Vec<String>> {
    let list = report[list].as_array().with_context(|| format!("the report has no {list}"))?;
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or("?").to_owned();
    Ok(list.iter().map(|v| format!("{} in {} on {}", word(v, "rule"), word(v, "callback"), word(v, "fs"))).collect())
}

fn text(out: &Path, kind: &str, extension: &str) -> Result<String> {
    let path = out.join(format!("{kind}.{extension}"));
    fs::read_to_string(&path).with_context(|| format!("no {kind}.{extension} came back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let log = "stress-ng: metrc: [7] access  1550  1.01 0.05 0.39 1528.63 3495.68\n";
        Row::of("xfs", "6.12.1", Stressors::read(log))
    }

    #[test]
    fn a_row_is_good_only_with_a_load_and_without_violation_suspicion_or_trouble() {
        assert!(row().is_good());
        assert!(!Row { ran: Vec::new(), ..row() }.is_good());
        assert!(!Row { violations: vec!["r".into()], ..row() }.is_good());
        assert!(!Row { suspected: vec!["r".into()], ..row() }.is_good());
        assert!(!Row { trouble: Some("t".into()), ..row() }.is_good());
    }

    #[test]
    fn of_a_report_on_several_a_file_system_has_its_own_part() {
        let mut report = serde_json::json!({
            "violations": [{"fs": "xfs", "rule": "a"}, {"fs": "nfs4", "rule": "b"}, {"fs": "?", "rule": "c"}],
            "suspected": [{"fs": "xfs", "rule": "d"}],
            "invocations_by_fs": {"op": {"nfs4": 3, "xfs": 4}, "other": {"nfs4": 5}},
        });
        assert_eq!(keep_those_of(&mut report, "nfs"), 8);
        assert_eq!(broken(&report, "violations").unwrap(), ["b in ? on nfs4", "c in ? on ?"]);
        assert!(broken(&report, "suspected").unwrap().is_empty());
    }

    #[test]
    fn a_line_has_every_figure_and_every_trouble() {
        let line = Row { lost: 3, exit: 3, trouble: Some("no report".into()), ..row() }.line();
        assert!(
            line.starts_with("6.12.1 xfs: 1 stressors ran, 0 idle, 0 skipped, 0 failures; 0 invocations"),
            "{line}"
        );
        assert!(line.contains("lost 3, exit 3\n    TROUBLE: no report"), "{line}");
    }
}
