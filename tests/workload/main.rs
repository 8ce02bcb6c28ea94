//! Load for the live tests, by real system calls, checked by itself: exit code 0 when every call did what it must.
//!
//! It knows nothing of vfs-audit: the same program runs with the tracer and without.

mod acl;
mod attributes;
mod bpf;
mod churn;
mod data;
mod file_systems;
mod kill;
mod names;
mod renames;
mod rights;
mod session;
mod stage;
mod stress;
mod sys;

use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use vfs_audit_tests::fault::{FAULTS, find};

use crate::stage::Outcome;

const USAGE: &str = "\
usage: vfs-workload all DIR [--rounds N]           every directory below DIR, each taken for a file system
       vfs-workload NAME DIR [--rounds N]          the file system at DIR, reported as NAME
       vfs-workload stress DIR [--tasks T] [--seconds S]
       vfs-workload churn DIR [--rounds N]         metadata and data churn; prints nanoseconds per round
       vfs-workload fault NAME[:ok] DIR            commit one fault of vfs_faulty.ko, or make its call correctly
       vfs-workload faults DIR [--ok] [--quiet-only]  all of them; --quiet-only leaves out those that the kernel warns of
       vfs-workload bpf-count                      programs, maps, links, kprobes and traced functions in the kernel
       vfs-workload as UID[:CAPABILITY,...] -- COMMAND...  as this user, with these capabilities and no others
       vfs-workload kill DIR -- COMMAND...         run COMMAND, kill -9 it under load, expect nothing left behind
exit code: 0 all right, 1 something was wrong, 2 could not run, 3 the file system does not offer what was asked";

/// What the command came to.
enum End {
    Right,
    NotOffered,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(End::Right) => ExitCode::SUCCESS,
        Ok(End::NotOffered) => ExitCode::from(3),
        Err(error) if error.is::<Usage>() => fail(&format!("vfs-workload: {error}\n{USAGE}"), 2),
        Err(error) if error.is::<stage::NoModule>() => fail(&format!("vfs-workload: {error:#}"), 2),
        Err(error) => fail(&format!("vfs-workload: {error:#}"), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Nothing is left to tell a closed standard error to.
    let _ = writeln!(stderr(), "{message}");
    ExitCode::from(code)
}

/// The command line is not one of those in [`USAGE`].
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(Usage(message.into()).into())
}

fn say(line: &str) -> Result<()> {
    writeln!(stdout(), "{line}").context("writing to standard output")
}

fn run(arguments: &[String]) -> Result<End> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bpf-count"] => say(&bpf::Tracing::count()?.to_string())?,
        ["as", user, "--", ..] => rights::become_command(user, &arguments[3..])?,
        ["kill", directory, "--", ..] => say(&kill::check(Path::new(directory), &arguments[3..])?)?,
        ["fault", name, directory] => return one_fault(name, Path::new(directory)),
        ["faults", directory, options @ ..] => all_faults(Path::new(directory), options)?,
        ["churn", directory, options @ ..] => churn(Path::new(directory), options)?,
        ["stress", directory, options @ ..] => stress(Path::new(directory), options)?,
        ["all", directory, options @ ..] => {
            let directories = file_systems::below(Path::new(directory))?;
            load(&directories, None, rounds(options)?)?;
        }
        [name, directory, options @ ..] if !name.starts_with('-') => {
            load(&[PathBuf::from(directory)], Some(name), rounds(options)?)?;
        }
        _ => return usage("no such command"),
    }
    Ok(End::Right)
}

/// The number after an option that the command knows.
fn number(options: &[&str], known: &str, default: u32) -> Result<u32> {
    let Some(at) = options.iter().position(|option| *option == known) else { return Ok(default) };
    match options.get(at + 1).map(|value| value.parse()) {
        Some(Ok(value)) => Ok(value),
        _ => usage(format!("{known} needs a number")),
    }
}

/// Every option must be one that the command knows, each with its value.
fn only_known(options: &[&str], known: &[&str]) -> Result<()> {
    for pair in options.chunks(2) {
        if !known.contains(&pair[0]) {
            return usage(format!("unknown option {}", pair[0]));
        }
    }
    Ok(())
}

fn rounds(options: &[&str]) -> Result<u32> {
    only_known(options, &["--rounds"])?;
    number(options, "--rounds", 1)
}

fn load(directories: &[PathBuf], name: Option<&str>, rounds: u32) -> Result<()> {
    for directory in directories {
        let counts = file_systems::run(directory, rounds)?;
        let own_name = directory.file_name().unwrap_or_default().to_string_lossy();
        say(&format!("{}: {}", name.unwrap_or(&own_name), counts.line()))?;
    }
    Ok(())
}

fn stress(directory: &Path, options: &[&str]) -> Result<()> {
    only_known(options, &["--tasks", "--seconds"])?;
    let (tasks, seconds) = (number(options, "--tasks", 4)?, number(options, "--seconds", 10)?);
    let calls = stress::run(directory, tasks, Duration::from_secs(seconds.into()))?;
    say(&format!("stress {}: {tasks} tasks, {seconds} s, {calls} calls", directory.display()))
}

fn churn(directory: &Path, options: &[&str]) -> Result<()> {
    let rounds = rounds(options)?;
    let nanoseconds = churn::run(directory, rounds)?;
    say(&format!("churn {} {rounds} iters {nanoseconds} ns/iter", directory.display()))
}

fn one_fault(name: &str, directory: &Path) -> Result<End> {
    let (name, correctly) = match name.split_once(':') {
        None => (name, false),
        Some((name, "ok")) => (name, true),
        Some(_) => return usage(format!("{name}: only \":ok\" may follow a fault's name")),
    };
    let Some(fault) = find(name) else { return usage(format!("no fault is called {name}")) };
    stage::check_module()?;
    Ok(match stage::perform(directory, fault, correctly)? {
        Outcome::Done => End::Right,
        Outcome::NotOffered => End::NotOffered,
    })
}

/// One line each: the name, and what became of it.
fn all_faults(directory: &Path, options: &[&str]) -> Result<()> {
    if let Some(option) = options.iter().find(|option| !["--ok", "--quiet-only"].contains(option)) {
        return usage(format!("unknown option {option}"));
    }
    let (correctly, quiet_only) = (options.contains(&"--ok"), options.contains(&"--quiet-only"));
    stage::check_module()?;
    let kind = file_systems::type_of(directory)?;
    let mut failures = Vec::new();
    for fault in FAULTS.iter().filter(|fault| correctly || !quiet_only || !fault.is_warned_of_on(&kind)) {
        let result = match stage::perform(directory, fault, correctly) {
            Ok(Outcome::Done) => "done".to_owned(),
            Ok(Outcome::NotOffered) => "not offered".to_owned(),
            Err(error) => {
                failures.push(fault.name);
                format!("failed: {error:#}")
            }
        };
        say(&format!("{}{} {}: {result}", fault.name, if correctly { ":ok" } else { "" }, directory.display()))?;
    }
    if failures.is_empty() { Ok(()) } else { bail!("{} faults failed: {}", failures.len(), failures.join(", ")) }
}
