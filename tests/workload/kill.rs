//! The tracer is killed in the middle of the load: nothing of it may be left in the kernel, and the load must not notice.

use std::io::{Read as _, Write as _, stderr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bpf::Tracing;
use crate::file_systems::{self, GROUPS};
use crate::sys;

/// How long the tracer may take to attach.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the kernel may take to drop what a killed process held.
const DETACH_TIMEOUT: Duration = Duration::from_secs(180);
/// The counts have settled when they are the same this many times in a row.
const SETTLED_POLLS: u32 = 10;
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Rounds of the load that are still to come when the tracer is killed.
const ROUNDS_AFTER: u32 = 3;

/// Runs `command`, and under it the load on `directory`; kills it in mid-load. Returns a line that says what was seen.
pub(crate) fn check(directory: &Path, command: &[String]) -> Result<String> {
    let before = Tracing::count()?;
    let mut tracer = start(command)?;
    let attached = wait_until_attached(&mut tracer, before);
    let load = attached.is_ok().then(|| start_load(directory));
    tracer.kill().context("killing the tracer")?;
    let status = tracer.wait().context("waiting for the tracer")?;
    let attached = attached?;
    if let Some(load) = load {
        let code = sys::wait(load?).context("the load under the tracer")?;
        ensure!(code == 0, "the load failed while the tracer was killed");
    }
    let after = wait_until_gone(before)?;
    file_systems::run(directory, GROUPS, 1).context("the load after the tracer was killed")?;
    Ok(format!("before: {before}\nattached: {attached}\nkilled: {status}\nafter: {after}"))
}

fn start(command: &[String]) -> Result<Child> {
    let Some((program, arguments)) = command.split_first() else { bail!("no command to run and kill") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.spawn().with_context(|| format!("starting {program}"))
}

/// Starts the load and returns once it is in full swing: one round is done, more are to come.
fn start_load(directory: &Path) -> Result<libc::pid_t> {
    let (mut reader, mut writer) = sys::pipe()?;
    let pid = sys::fork(|| {
        let mut load = || -> Result<()> {
            file_systems::run(directory, GROUPS, 1)?;
            writer.write_all(b".")?;
            file_systems::run(directory, GROUPS, ROUNDS_AFTER).map(drop)
        };
        let ended = load();
        if let Err(error) = &ended {
            // Nothing is left to tell a closed standard error to.
            let _ = writeln!(stderr(), "vfs-workload: the load under the tracer: {error:#}");
        }
        i32::from(ended.is_err())
    })?;
    drop(writer);
    let mut byte = [0];
    // A load that failed at once says so by its exit code.
    let _ = reader.read(&mut byte).context("waiting for the load")?;
    Ok(pid)
}

/// Until there are more programs than before and the counts no longer change.
fn wait_until_attached(tracer: &mut Child, before: Tracing) -> Result<Tracing> {
    let deadline = Instant::now() + ATTACH_TIMEOUT;
    let (mut last, mut settled) = (before, 0);
    while settled < SETTLED_POLLS {
        if let Some(status) = tracer.try_wait()? {
            bail!("the tracer ended by itself: {status}");
        }
        ensure!(Instant::now() < deadline, "the tracer has not attached in {ATTACH_TIMEOUT:?}: {last}");
        sleep(POLL_INTERVAL);
        let now = Tracing::count()?;
        settled = if now == last && now.programs > before.programs { settled + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

fn wait_until_gone(before: Tracing) -> Result<Tracing> {
    let deadline = Instant::now() + DETACH_TIMEOUT;
    loop {
        let now = Tracing::count()?;
        if now == before {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "left behind after {DETACH_TIMEOUT:?}: {now}; before: {before}");
        sleep(POLL_INTERVAL);
    }
}
