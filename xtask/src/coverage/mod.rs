//! `cargo xtask coverage`: what audits have reached of each release's document, as a table of kernel, file system and op.
//!
//! The figures come from reports: those of audits that it runs in VMs, or those of earlier runs (`--from`). The exit code is
//! 1 when a judged rule has neither a verdict nor a stated reason, or when something stated to be out of reach was reached.

mod document;
mod figures;
pub(crate) mod load;
mod reports;
mod table;
mod unreached;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::kernels::{self, NotAtHand};
use crate::workspace;

use document::Document;
use reports::{Kernel, Merged, Report};

pub use figures::{Cell, Covered, Op, Summary};

/// Arguments of `coverage`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Kernels: 6.1, 6.12, 6.12-amd64, 6.18, 7.3, lockdep, or all.
    #[arg(long, default_value = "all", value_delimiter = ',', value_name = "LIST")]
    pub kernel: Vec<String>,
    /// File systems; else all that the kernel has.
    #[arg(long = "fs", value_delimiter = ',', value_name = "LIST")]
    pub filesystems: Vec<String>,
    /// Read the JSON reports below this directory instead of running audits.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Where to put the reports of the audits.
    #[arg(long, default_value = "out/coverage", value_name = "DIR")]
    pub out: PathBuf,
    /// Seconds for each stressor of stress-ng.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seconds: u32,
    /// How to print it.
    #[arg(long, default_value = "table")]
    pub format: Format,
}

/// Forms of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON array, an object for each kernel.
    Json,
}

/// Audits, or reads reports, and prints what they have reached.
///
/// # Errors
/// A build or a VM fails, there is no report, or one that cannot be read.
pub fn run(args: &Args) -> Result<i32> {
    let daemon = build::run(&build::Args::default())?;
    let directory = match &args.from {
        Some(directory) => directory.clone(),
        None => audit(args, &daemon)?,
    };
    let covered = of_reports(&daemon, &directory)?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&covered)?),
        Format::Table => covered.iter().for_each(|kernel| println!("{}", table::render(kernel))),
    }
    Ok(i32::from(!covered.iter().all(Covered::is_complete)))
}

/// Runs the audits and returns where their reports lie.
fn audit(args: &Args, daemon: &Path) -> Result<PathBuf> {
    let directory = workspace::root().join(&args.out);
    for name in &args.kernel {
        let kernels = match kernels::named(name) {
            Err(error) if error.is::<NotAtHand>() => {
                eprintln!("coverage: without {name}: {error}");
                continue;
            }
            other => other?,
        };
        for kernel in kernels {
            load::audit(args, &kernel, daemon, &directory)?;
        }
    }
    Ok(directory)
}

/// The coverage of each kernel that has reports below `directory`.
fn of_reports(daemon: &Path, directory: &Path) -> Result<Vec<Covered>> {
    let mut kernels: BTreeMap<Kernel, Merged> = BTreeMap::new();
    for path in json_files(directory)? {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let Some(report) = Report::read(&text).with_context(|| format!("reading {}", path.display()))? else {
            continue;
        };
        if !report.kernel.rules.starts_with('v') {
            eprintln!("coverage: without {}: it is by the rules of a file", path.display());
            continue;
        }
        kernels.entry(report.kernel.clone()).or_default().add(&report);
    }
    ensure!(!kernels.is_empty(), "no report below {}", directory.display());
    let covered = |(kernel, merged): (&Kernel, &Merged)| {
        let document = Document::of(daemon, &kernel.rules)?;
        Ok(Covered::new(kernel, &document, merged))
    };
    kernels.iter().map(covered).collect()
}

/// Every JSON file below a directory, in order.
fn json_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(json_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
