//! The command line as plain data; nothing is opened or decided here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod live;

pub use live::{Backend, LiveFilters};

const EXIT_CODES: &str = "\
Exit code:
  0  no violation
  1  violations (with a baseline: new ones)
  2  could not run
  3  no violation that counts, but incomplete: loss, a hook that failed, a required rule undecided, a suspicion

Results go to stdout, progress and messages to stderr.";

const LINT_EXIT_CODES: &str = "Exit code: 0 no fault, 1 faults, 2 could not read the files.";
const IMPORT_EXIT_CODES: &str =
    "Exit code: 0 every cell was read, 3 some could not be read for certain (named on stderr), 2 no such document.";
const DIFF_EXIT_CODES: &str = "Exit code: 0 no difference, 1 differences, 2 could not read one of the two.";

const COMPARE_EXIT_CODES: &str = "\
Each recording is related to the rules of its own kernel's release, unless `--rules` names one set for all.

Exit code: 0 nothing deviates, 1 a run deviates, 2 could not compare, 3 nothing deviates but a run is incomplete.";

/// Audits a Linux kernel against the VFS locking rules that it documents.
#[derive(Clone, Debug, Parser)]
#[command(name = "vfs-audit", version, about, after_help = EXIT_CODES, infer_long_args = false)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Audit the live kernel (root)
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Record a run of the live kernel, to be checked later (root)
    Record(RecordArgs),
    /// Check recorded runs, with any rules
    #[command(after_help = EXIT_CODES)]
    Check(CheckArgs),
    /// Compare what is documented, what the reference VFS does and what kernels do, rule by rule
    #[command(after_help = COMPARE_EXIT_CODES)]
    Compare(CompareArgs),
    /// List, explain, prove, import and compare rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Say what would be hooked, and what not and why; attaches nothing (root)
    Probes(ProbesArgs),
    /// Say what this kernel offers, what is missing, and what to do about it
    Doctor(DoctorArgs),
    /// Run the reference VFS under the same checker, without a kernel and without root
    #[command(after_help = EXIT_CODES)]
    Reference(ReferenceArgs),
    /// Print the JSON Schema of `--format json`
    Schema,
}

/// `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Compare every lock that is read with what lockdep says of it: a test of this tool, for kernels with lockdep
    #[arg(long, help_heading = "Advanced")]
    pub oracle: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub live: LiveFilters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub filters: Filters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub judging: Judging,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub output: Output,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub extent: Extent,
}

/// `record`.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// File to record to
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: PathBuf,
    /// Keep kernel addresses that have no symbol
    #[arg(long)]
    pub addresses: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub live: LiveFilters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub filters: Filters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub extent: Extent,
}

/// `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Recordings; several of one rule set are checked as one run
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub filters: Filters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub judging: Judging,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub output: Output,
}

/// `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Recordings: of reference runs and of live kernels, in the order of the columns
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// A column for each file system of each recording
    #[arg(long)]
    pub by_fs: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub filters: Filters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    /// Form of the comparison
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `probes`.
#[derive(Clone, Debug, Args)]
pub struct ProbesArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub live: LiveFilters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub filters: Filters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    /// Form of the list
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    /// Show kernel addresses that have no symbol
    #[arg(long)]
    pub addresses: bool,
}

/// `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
    /// Show kernel addresses, where what was found names some
    #[arg(long)]
    pub addresses: bool,
}

/// What the tasks of a workload can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WrongArg {
    /// Acquire two directories in an order of their own
    Inversion,
    /// End writeback without waking who waits for it
    WakeUp,
    /// Keep flushes from the disk (with `--workload power-cut`)
    Flush,
}

/// `reference`.
#[derive(Clone, Debug, Args)]
pub struct ReferenceArgs {
    /// Where all chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Run all mutants instead (or those that match), and say how each comes off
    #[arg(long, value_name = "GLOB", num_args = 0..=1, default_missing_value = "*")]
    pub mutants: Option<String>,
    /// What to run: each (every op by itself), fsx, mix (load, on threads), crash (of the on-disk store), power-cut (under the
    /// whole VFS), or interleavings of rename, truncate, umount, freeze, lease
    #[arg(long, value_name = "NAME", default_value = "each")]
    pub workload: String,
    /// Interleavings of a workload, or crashes, to run
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub interleavings: u64,
    /// Something wrong for the scheduler to find
    #[arg(long, value_enum)]
    pub wrong: Option<WrongArg>,
    /// Threads of a load
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// Run once more without observing anything, to say what that costs
    #[arg(long)]
    pub cost: bool,
    /// Record what was observed, to be checked later
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// System calls to make, at least
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub ops: u64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub filters: Filters,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub judging: Judging,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub output: Output,
}

/// `rules`.
#[derive(Clone, Debug, Subcommand)]
pub enum RulesCommand {
    /// List the rules of a rule set
    List(RulesListArgs),
    /// Explain one rule: what it says, where, what is observed, what that can miss
    Explain(RulesExplainArgs),
    /// List what a check of each rule can miss, what it can wrongly report, and how it is judged
    Limits(RulesLimitsArgs),
    /// Prove rule files: every fault of every file, with its place
    #[command(after_help = LINT_EXIT_CODES)]
    Lint(RulesLintArgs),
    /// Read a release's locking.rst and say what stands in it
    #[command(after_help = IMPORT_EXIT_CODES)]
    Import(RulesImportArgs),
    /// Compare two rule sets or documents, cell by cell
    #[command(after_help = DIFF_EXIT_CODES)]
    Diff(RulesDiffArgs),
}

/// `rules list`.
#[derive(Clone, Debug, Args)]
pub struct RulesListArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    /// Only rules whose id matches
    #[arg(long = "rule", value_name = "GLOB", value_delimiter = ',')]
    pub rule: Vec<String>,
    /// Only rules of these ops (`rename`, `inode_operations.*`)
    #[arg(long = "op", value_name = "GLOB", value_delimiter = ',')]
    pub op: Vec<String>,
    /// Form of the list
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `rules explain`.
#[derive(Clone, Debug, Args)]
pub struct RulesExplainArgs {
    /// Rule id, as reports and `rules list` show it
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would stand in the help")]
    pub rules: RuleSource,
    /// Form of the explanation
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `rules lint`.
#[derive(Clone, Debug, Args)]
pub struct RulesLintArgs {
    /// Directory of rule files
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// `rules limits`.
#[derive(Clone, Debug, Args)]
pub struct RulesLimitsArgs {
    /// Of this rule set only (as elsewhere), instead of all releases
    #[arg(long = "rules", value_name = "auto|RELEASE|FILE|DIR")]
    pub rules: Option<String>,
    /// Form of the page
    #[arg(long, value_enum, default_value_t = LimitsFormat::Md)]
    pub format: LimitsFormat,
}

/// `rules import`.
#[derive(Clone, Debug, Args)]
pub struct RulesImportArgs {
    /// The document: locking.rst of any release, or the 4.x Locking, also as pasted from a web page
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// `rules diff`.
#[derive(Clone, Debug, Args)]
pub struct RulesDiffArgs {
    /// A release (`v6.12`), a document's file, or a directory of rule files (`DIR`, `DIR@v6.12`)
    #[arg(value_name = "A")]
    pub a: String,
    /// The other one
    #[arg(value_name = "B")]
    pub b: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// Which invocations and rules are wanted.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// Only these file system types
    #[arg(long = "fs", value_name = "TYPE", value_delimiter = ',')]
    pub fs: Vec<String>,
    /// Only these ops (`rename`, `inode_operations.*`)
    #[arg(long = "op", value_name = "GLOB", value_delimiter = ',')]
    pub op: Vec<String>,
    /// Only rules whose id matches
    #[arg(long = "rule", value_name = "GLOB", value_delimiter = ',')]
    pub rule: Vec<String>,
}

/// Where the rules come from.
#[derive(Clone, Debug, Default, Args)]
pub struct RuleSource {
    /// Rule set: `auto` (of the kernel in question), a release (`v6.12`), a document (a kernel's own locking.rst), or a
    /// directory of rule files (`DIR`, `DIR@v6.12`)
    #[arg(long = "rules", value_name = "auto|RELEASE|FILE|DIR", default_value = "auto")]
    pub rules: String,
}

/// How findings are judged.
#[derive(Clone, Debug, Default, Args)]
pub struct Judging {
    /// Read "the caller need not hold it" as "must not hold it"
    #[arg(long)]
    pub strict: bool,
    /// Rules that must have been decided, else the run is incomplete
    #[arg(long, value_name = "RULE", num_args = 1.., value_delimiter = ',')]
    pub require: Vec<String>,
    /// Known violations: marked, not counted
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write a baseline that knows every violation of this run
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
}

/// Where the report goes, and how it looks.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write the report to a file
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write the report in another form too (`json:report.json`)
    #[arg(long, value_name = "FORMAT:FILE", value_parser = also)]
    pub also: Vec<(Format, PathBuf)>,
    /// Show kernel addresses that have no symbol
    #[arg(long)]
    pub addresses: bool,
}

/// How long a live run lasts.
#[derive(Clone, Debug, Default, Args)]
pub struct Extent {
    /// How long to run (`30s`, `5m`, `1h`); without it and without a command until Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Command to run under audit; the run ends with it
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One object, see `vfs-audit schema`
    Json,
    /// The same, one object per line
    Jsonl,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// XML test results, for CI servers
    Junit,
    /// KTAP, as the kernel's tests speak it
    Ktap,
}

/// Forms of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Forms of the page of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LimitsFormat {
    /// Markdown
    #[default]
    Md,
    /// For programs
    Json,
}

/// A form and a file, with a colon between.
fn also(text: &str) -> Result<(Format, PathBuf), String> {
    let (form, file) = text.split_once(':').filter(|(_, file)| !file.is_empty()).ok_or("write FORMAT:FILE")?;
    Ok((Format::from_str(form, true)?, PathBuf::from(file)))
}

/// A number and a unit; without a unit, seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time; write `30s`, `5m` or `1h`"))?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{unit}` is not a unit of time; write `ms`, `s`, `m` or `h`")),
    };
    let millis = number.checked_mul(millis).filter(|millis| *millis > 0);
    millis.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is no time to run for"))
}

#[cfg(test)]
mod tests;
