//! Load for the live tests, by real system calls, checked by itself: exit code 0 when every call did what it must.
//!
//! It knows nothing of vfs-audit: the same program runs with the tracer and without.

mod acl;
mod allocation;
mod attributes;
mod bpf;
mod churn;
mod data;
mod file_systems;
mod io;
mod kill;
mod locks;
mod memory;
mod names;
mod own;
mod renames;
mod rights;
mod scan;
mod session;
mod stage;
mod stress;
mod sys;
mod system;
mod whole;
mod xattrs;

use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use vfs_audit_tests::fault::{FAULTS, find, release_of};

use crate::stage::{Manner, Outcome};

const USAGE: &str = "\
usage: vfs-workload all DIR [--only GROUP] [--rounds N]   every directory below DIR, each taken for a file system
       vfs-workload NAME DIR [--only GROUP] [--rounds N]  the file system at DIR, reported as NAME
       vfs-workload system DIR [--only GROUP] [--images IMAGES] [--settle S]  mounts, devices, swap, quota and servers of its
                                                   own; DIR as for all. Changes the whole machine: for a VM. Waits S seconds
                                                   behind the first mount of each type
       vfs-workload groups                         the groups of both
       vfs-workload stress DIR [--tasks T] [--seconds S]
       vfs-workload crowd DIR,... -- COMMAND...    run COMMAND while two tasks do the same below each directory
       vfs-workload churn DIR [--rounds N]         metadata and data churn; prints nanoseconds per round
       vfs-workload scan DIR [--rounds N]          a directory read, attributes and absent names, over and over
       vfs-workload fault NAME[:ok] DIR [--deep]   commit one fault of vfs_faulty.ko, or make its call correctly; --deep: with
                                                   many other locks held
       vfs-workload faults DIR [--ok] [--quiet-only] [--crowded] [--times N]  all that the file system at DIR is for (those of the module's
                                                   own file system, or the others), each N times; --quiet-only leaves out
                                                   those that the kernel warns of, --crowded those that a crowd must not meet
       vfs-workload hold DIR -- COMMAND...         run COMMAND while files of the module's own file system are in use
       vfs-workload bpf-count                      programs, maps, links, kprobes and traced functions in the kernel
       vfs-workload as UID[:CAPABILITY,...] -- COMMAND...  as this user, with these capabilities and no others
       vfs-workload kill DIR -- COMMAND...         run COMMAND, kill -9 it under load, expect nothing left behind
exit code: 0 all right, 1 something was wrong, 2 could not run, 3 the file system does not offer what was asked";

/// Tasks of a crowd below each directory.
const CROWD_TASKS: u32 = 2;

/// What the command came to.
enum End {
    Right,
    NotOffered,
    Code(u8),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(End::Right) => ExitCode::SUCCESS,
        Ok(End::NotOffered) => ExitCode::from(3),
        Ok(End::Code(code)) => ExitCode::from(code),
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
        ["hold", directory, "--", ..] if words.len() > 3 => {
            let code = own::hold(Path::new(directory), &arguments[3..])?;
            return Ok(End::Code(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        ["fault", name, directory] => return one_fault(name, Path::new(directory), false),
        ["fault", name, directory, "--deep"] => return one_fault(name, Path::new(directory), true),
        ["faults", directory, options @ ..] => all_faults(Path::new(directory), options)?,
        ["crowd", directories, "--", ..] if words.len() > 3 => return crowd(directories, &arguments[3..]),
        ["churn", directory, options @ ..] => churn(Path::new(directory), options)?,
        ["scan", directory, options @ ..] => scan::run(Path::new(directory), rounds(options)?)?,
        ["stress", directory, options @ ..] => stress(Path::new(directory), options)?,
        ["groups"] => groups()?,
        ["system", directory, options @ ..] => whole_system(Path::new(directory), options)?,
        ["all", directory, options @ ..] => load(&file_systems::below(Path::new(directory))?, None, options)?,
        [name, directory, options @ ..] if !name.starts_with('-') => {
            load(&[PathBuf::from(directory)], Some(name), options)?;
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

/// One line per file system and group.
fn load(directories: &[PathBuf], name: Option<&str>, options: &[&str]) -> Result<()> {
    only_known(options, &["--rounds", "--only"])?;
    let rounds = number(options, "--rounds", 1)?;
    let groups = chosen(file_systems::GROUPS, options, |(name, _)| name)?;
    for directory in directories {
        let own_name = directory.file_name().unwrap_or_default().to_string_lossy();
        for group in &groups {
            for (group, counts) in file_systems::run(directory, &[*group], rounds)? {
                say(&format!("{} {group}: {}", name.unwrap_or(&own_name), counts.line()))?;
            }
        }
    }
    Ok(())
}

/// All groups, or the one that `--only` names.
fn chosen<T: Copy>(groups: &[T], options: &[&str], name: impl Fn(&T) -> &str) -> Result<Vec<T>> {
    let Some(at) = options.iter().position(|option| *option == "--only") else { return Ok(groups.to_vec()) };
    let wanted = options.get(at + 1).copied().unwrap_or_default();
    match groups.iter().find(|group| name(group) == wanted) {
        Some(group) => Ok(vec![*group]),
        None => usage(format!("no group is called {wanted:?}")),
    }
}

fn groups() -> Result<()> {
    file_systems::GROUPS.iter().try_for_each(|(name, _)| say(&format!("all {name}")))?;
    system::GROUPS.iter().try_for_each(|(name, _)| say(&format!("system {name}")))
}

/// One line per group.
fn whole_system(directory: &Path, options: &[&str]) -> Result<()> {
    only_known(options, &["--images", "--only", "--settle"])?;
    sys::mounting::settle_for(Duration::from_secs(number(options, "--settle", 0)?.into()));
    let at = options.iter().position(|option| *option == "--images");
    let images = at.and_then(|at| options.get(at + 1)).copied().unwrap_or(system::IMAGES);
    let mut failures = Vec::new();
    for (name, exercise) in chosen(system::GROUPS, options, |(name, _)| name)? {
        match system::run(directory, Path::new(images), exercise) {
            Ok(counts) => say(&format!("system {name}: {}", counts.line()))?,
            // The others do not depend on it.
            Err(error) => failures.push(format!("system {name}: {error:#}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

fn stress(directory: &Path, options: &[&str]) -> Result<()> {
    only_known(options, &["--tasks", "--seconds"])?;
    let (tasks, seconds) = (number(options, "--tasks", 4)?, number(options, "--seconds", 10)?);
    let calls = stress::run(directory, tasks, Duration::from_secs(seconds.into()))?;
    say(&format!("stress {}: {tasks} tasks, {seconds} s, {calls} calls", directory.display()))
}

fn crowd(directories: &str, command: &[String]) -> Result<End> {
    let directories: Vec<PathBuf> = directories.split(',').map(PathBuf::from).collect();
    let (code, calls) = stress::around(&directories, CROWD_TASKS, command)?;
    say(&format!("crowd: {} tasks, {calls} calls", directories.len() * CROWD_TASKS as usize))?;
    Ok(End::Code(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn churn(directory: &Path, options: &[&str]) -> Result<()> {
    let rounds = rounds(options)?;
    let nanoseconds = churn::run(directory, rounds)?;
    say(&format!("churn {} {rounds} iters {nanoseconds} ns/iter", directory.display()))
}

fn one_fault(name: &str, directory: &Path, deep: bool) -> Result<End> {
    let (name, correctly) = match name.split_once(':') {
        None => (name, false),
        Some((name, "ok")) => (name, true),
        Some(_) => return usage(format!("{name}: only \":ok\" may follow a fault's name")),
    };
    let Some(fault) = find(name) else { return usage(format!("no fault is called {name}")) };
    stage::check_module()?;
    Ok(match stage::perform(directory, fault, Manner { correctly, deep })? {
        Outcome::Done => End::Right,
        Outcome::NotOffered => End::NotOffered,
    })
}

/// Does it so often, as long as it can be done.
fn repeated(times: u32, mut perform: impl FnMut() -> Result<Outcome>) -> Result<Outcome> {
    let mut outcome = perform()?;
    for _ in 1..times {
        if outcome == Outcome::Done {
            outcome = perform()?;
        }
    }
    Ok(outcome)
}

/// One line each: the name, and what became of it.
fn all_faults(directory: &Path, options: &[&str]) -> Result<()> {
    let times = number(options, "--times", 1)?;
    let is_known = |(at, option): (usize, &&str)| {
        ["--ok", "--quiet-only", "--crowded", "--times"].contains(option) || (at > 0 && options[at - 1] == "--times")
    };
    if let Some((_, option)) = options.iter().enumerate().find(|option| !is_known(*option)) {
        return usage(format!("unknown option {option}"));
    }
    let (correctly, quiet_only) = (options.contains(&"--ok"), options.contains(&"--quiet-only"));
    let crowded = options.contains(&"--crowded");
    stage::check_module()?;
    let kind = file_systems::type_of(directory)?;
    let is_own = kind == own::PSEUDO_FS;
    let release = sys::release()?;
    let release = release_of(&release).with_context(|| format!("no release: {release}"))?;
    let mut failures = Vec::new();
    for fault in FAULTS.iter().filter(|fault| fault.scene.is_on_pseudo_fs() == is_own) {
        if !correctly && quiet_only && fault.is_warned_of_on(&kind) || crowded && fault.wants_to_be_alone {
            continue;
        }
        let result = if fault.is_of(release) {
            match repeated(times, || stage::perform(directory, fault, Manner { correctly, deep: false })) {
                Ok(Outcome::Done) => "done".to_owned(),
                Ok(Outcome::NotOffered) if !is_own => "not offered".to_owned(),
                Ok(Outcome::NotOffered) => {
                    failures.push(fault.name);
                    "failed: the module does not have the op".to_owned()
                }
                Err(error) => {
                    failures.push(fault.name);
                    format!("failed: {error:#}")
                }
            }
        } else {
            "not of this release".to_owned()
        };
        say(&format!("{}{} {}: {result}", fault.name, if correctly { ":ok" } else { "" }, directory.display()))?;
    }
    if failures.is_empty() { Ok(()) } else { bail!("{} faults failed: {}", failures.len(), failures.join(", ")) }
}
