//! How long it takes to check a recording, and how much memory: `cargo bench -p vfs-audit --bench check [-- COUNT]`.
//!
//! The recordings are made here: COUNT observations (ten million unless said) over every op of the newest rule set, with
//! task, stack, held locks and inodes, first as a live run gives them (a few thousand distinct shapes), then with every
//! one of them distinct, the worst that a file can hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use vfs_audit::observation::{
    Example, Held, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word,
};
use vfs_audit::recording::{End, Header, Writer};
use vfs_audit::report::{Addresses, KernelInfo};
use vfs_audit::rules::{Catalogue, Read};

const COUNT: u64 = 10_000_000;
/// Callers per op and file system of a live run.
const CALLERS: u64 = 8;
const FILE_SYSTEMS: [&str; 5] = ["ext4", "xfs", "btrfs", "tmpfs", "overlay"];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(COUNT);
    let release = *Catalogue::releases().last().context("no rule set")?;
    let catalogue = Catalogue::load(release)?;
    let models = models(&catalogue);
    for (name, distinct) in [("as a live run gives them", false), ("every one distinct", true)] {
        for count in [count / 10, count] {
            measure(name, release, &models, count, distinct)?;
        }
    }
    Ok(())
}

fn measure(name: &str, release: &str, models: &[Observation], count: u64, distinct: bool) -> anyhow::Result<()> {
    let path = std::env::temp_dir().join(format!("vfs-audit-bench-{}.vfa", std::process::id()));
    let started = Instant::now();
    record(&path, release, models, count, distinct)?;
    let recorded = started.elapsed();
    let bytes = std::fs::metadata(&path)?.len();
    let started = Instant::now();
    let (exit, memory_kib) = check(&path)?;
    let checked = started.elapsed();
    std::fs::remove_file(&path)?;
    let line = format!(
        "{count} observations, {name}: {} MiB, recorded in {:.2} s, checked in {:.2} s, {} MiB at most, exit {exit}",
        bytes >> 20,
        recorded.as_secs_f64(),
        checked.as_secs_f64(),
        memory_kib / 1024,
    );
    std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes())?;
    Ok(())
}

/// Runs the program as a user would; its exit code and the most memory it had.
fn check(path: &Path) -> anyhow::Result<(i32, i64)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vfs-audit"));
    let child = command.arg("check").arg(path).stdout(Stdio::null()).spawn()?;
    let pid = i32::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: a plain C struct of numbers, for which zero bytes are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of ours; the child is not waited for elsewhere.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    anyhow::ensure!(waited == pid, "waiting for the check");
    Ok((libc::WEXITSTATUS(status), usage.ru_maxrss))
}

fn record(path: &Path, release: &str, models: &[Observation], count: u64, distinct: bool) -> anyhow::Result<()> {
    let kernel = KernelInfo { release: release.trim_start_matches('v').into(), ..KernelInfo::default() };
    let header = Header { tool_version: "bench".into(), kernel, ..Header::default() };
    let mut writer = Writer::create(BufWriter::new(File::create(path)?), &header, Addresses::Hidden)?;
    for number in 0..count {
        let model = usize::try_from(number % models.len() as u64)?;
        let mut observation = models[model].clone();
        vary(&mut observation, number, distinct);
        writer.push(&observation)?;
    }
    writer.finish(&End { seconds: 60.0, ..End::default() })?;
    Ok(())
}

/// What differs from one invocation to the next.
fn vary(observation: &mut Observation, number: u64, distinct: bool) {
    observation.count = 1 + number % 1000;
    if distinct {
        observation.caller = format!("caller_{number}+0x10");
    }
    if let Some(example) = &mut observation.example {
        example.time_ns = number * 1_234;
        example.task.tid = 1000 + (number % 200) as u32;
        example.inodes.values_mut().for_each(|inode| *inode = number);
    }
}

/// One observation per op, file system, caller, and lock state.
fn models(catalogue: &Catalogue) -> Vec<Observation> {
    let mut models = Vec::new();
    for (table, op) in catalogue.ops() {
        for (fs, caller) in FILE_SYSTEMS.iter().flat_map(|fs| (0..CALLERS).map(move |caller| (fs, caller))) {
            let reads = op.rules.iter().flat_map(vfs_audit::rules::Rule::reads);
            let (mut locks, mut facts) = (Vec::new(), BTreeMap::new());
            for read in reads {
                match read {
                    Read::Lock { role, lock } => locks.push(lock_of(role, lock, caller)),
                    Read::Fact(fact) => drop(facts.insert(fact.to_owned(), caller % 2 == 0)),
                }
            }
            locks.sort();
            locks.dedup();
            models.push(Observation {
                table: table.name.clone(),
                op: op.name.clone(),
                also: Vec::new(),
                callback: format!("{fs}_{}", op.name),
                fs: (*fs).to_owned(),
                sb_id: "vda1".to_owned(),
                caller: format!("vfs_{}+{caller:#x}", op.name),
                route: Route::Table,
                point: Point::Entry,
                history_complete: true,
                facts,
                locks,
                count: 1,
                example: Some(example(fs, &op.name)),
            });
        }
    }
    models
}

/// Held exclusive by this task; one caller in eight does not hold it.
fn lock_of(role: &str, lock: &str, caller: u64) -> LockEvidence {
    let (word, tracked) =
        if caller == 0 { (Word::Free, Tracked::None) } else { (Word::ExclusiveSelf, Tracked::Exclusive) };
    LockEvidence { role: role.to_owned(), lock: lock.to_owned(), reading: LockReading::Read { word, tracked } }
}

fn example(fs: &str, op: &str) -> Example {
    let stack = ["vfs_", "do_", "__x64_sys_"].map(|layer| format!("{layer}{op}+0x1c2"));
    Example {
        task: Task { comm: "fsstress".to_owned(), tid: 1, tgid: 1 },
        time_ns: 0,
        inodes: BTreeMap::from([("dir".to_owned(), 2)]),
        held: vec![Held { lock: "dir.i_rwsem".to_owned(), exclusive: true, site: "path_openat+0x5e1".to_owned() }],
        stack: std::iter::once(format!("{fs}_{op}+0x0"))
            .chain(stack)
            .chain((0..12).map(|depth| format!("frame_{depth}+0x10")))
            .collect(),
        sleep_stack: Vec::new(),
    }
}
