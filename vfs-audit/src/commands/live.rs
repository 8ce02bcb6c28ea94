//! A live run from its start to its end, for `run` and `record`: the session, the audited command, the signals.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    time::MissedTickBehavior,
};
use vfs_audit_common::Stat;

use super::{
    Advice,
    args::{self, Extent, Filters, LiveFilters},
    mounts, note, rights,
};
use crate::{
    kernel::KernelRelease,
    report::{AuditedCommand, HookState, HookStatus, KernelInfo, Loss, ProgramCost, Timing, Tracker},
    rules::Catalogue,
    tracer::{Backend, Brought, ObjectError, Session, Sizes, TracerError, Unattached, Wanted},
};

/// Between two looks at the ring buffer and at what is attached.
const TEND_EVERY: Duration = Duration::from_millis(200);
/// Between two looks for new file systems, in looks of the first kind.
const LOOK_AROUND_EVERY: u32 = 5;
/// Looks after which functions that are called directly all the time are looked for less often, and between two such.
const TAKE_OFF_EVERY: u32 = 50;
/// What the shell says of a program that cannot be started.
const CANNOT_START: i32 = 127;

/// What a live run came to, beyond the observations.
pub(super) struct Outcome {
    pub(super) brought: Brought,
    pub(super) seconds: f64,
    pub(super) command: Option<AuditedCommand>,
    pub(super) hooks: Vec<HookStatus>,
    pub(super) loss: Loss,
    pub(super) tracker: Tracker,
    pub(super) timing: Timing,
    pub(super) incomplete: Vec<String>,
}

/// The running kernel.
///
/// # Errors
/// `uname(2)` fails.
pub(super) fn kernel() -> anyhow::Result<KernelRelease> {
    KernelRelease::running().context("asking the kernel for its name")
}

/// What is read beyond what the rules demand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beyond {
    /// Locks that no rule demands.
    pub(super) everything: bool,
    /// What lockdep says of each lock.
    pub(super) oracle: bool,
}

impl Beyond {
    /// All that a later check may ask for.
    pub(super) const EVERYTHING: Self = Self { everything: true, oracle: false };
}

/// Finds out what is to be hooked.
///
/// # Errors
/// This kernel, or our rights on it, do not allow it; with what to do.
pub(super) fn prepare(
    catalogue: &Catalogue,
    filters: &Filters,
    live: &LiveFilters,
    beyond: Beyond,
) -> anyhow::Result<Session> {
    let wanted = Wanted {
        fs: filters.fs.clone(),
        op: filters.op.clone(),
        devices: mounts::devices(&live.mount)?,
        // What lockdep is asked for are the locks that are read: the more, the better a test.
        everything: beyond.everything || beyond.oracle,
        oracle: beyond.oracle,
        track_mutexes: live.track_mutexes,
        count_programs: live.program_stats,
        sizes: Sizes { keys: live.keys, ring_bytes: live.ring },
        backend: live.backend.map(|backend| match backend {
            args::Backend::KprobeMulti => Backend::KprobeMulti,
            args::Backend::Kprobe => Backend::Kprobe,
            args::Backend::Fentry => Backend::Fentry,
        }),
        progress: Some(|done, of| note(&format!("{done} of {of} callbacks done"))),
    };
    note("looking for the operations tables in use");
    Ok(Session::prepare(catalogue, wanted).map_err(advise)?)
}

/// The error with what to do about it.
pub(super) fn advise(error: TracerError) -> Advice {
    let hint = match &error {
        TracerError::Btf(_) => "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (distribution kernels are)",
        TracerError::Kernel(_) => "`vfs-audit doctor` says what this kernel offers",
        TracerError::Lockdep(_) => {
            "--oracle is for kernels built with CONFIG_PROVE_LOCKING=y; `cargo xtask oracle` boots one"
        }
        TracerError::Symbols(_) => "sysctl kernel.kptr_restrict=1 shows root the addresses",
        TracerError::Object(ObjectError::NotBuiltIn) => "`cargo xtask build` builds target/release/vfs-audit",
        TracerError::Object(_) | TracerError::Map(_) | TracerError::Peek(_) => {
            "is bpf(2) allowed here? a container or lockdown mode may forbid it; `vfs-audit doctor` says"
        }
        TracerError::Tracepoint { .. } | TracerError::Primitives(_) | TracerError::Callbacks(_) => {
            "this kernel refuses such probes: `vfs-audit doctor` says which; `cargo xtask audit` audits a kernel in a VM"
        }
    };
    Advice::new("the live kernel cannot be audited", hint).because(error)
}

/// Attaches, runs for as long as was asked for, and brings back what was seen; `began` is when the command did.
///
/// # Errors
/// The kernel refuses the probes, or a signal handler cannot be set up.
pub(super) fn observe(
    session: &mut Session,
    catalogue: &Catalogue,
    live: &LiveFilters,
    extent: &Extent,
    began: Instant,
) -> anyhow::Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the event loop")?;
    note(&format!("attaching to {} callbacks", session.hooks().count()));
    session.start(catalogue, live.pid).map_err(advise)?;
    let attach_seconds = began.elapsed().as_secs_f64();
    let hooks = session.hooks().filter(|(_, fate)| fate.is_some_and(|fate| fate.attached.is_ok())).count();
    let backend = session.backend().map_or("nothing", |backend| backend.name());
    note(&format!("observing {hooks} callbacks by {backend}"));
    let reached = session.is_reached_by_self_test();
    let (command, mut incomplete) = runtime.block_on(until_the_end(session, extent))?;
    for primitive in session.silent().unwrap_or_default() {
        let what = "what tasks hold is not known";
        incomplete.push(format!("the self-test called {primitive}, and the probe there did not fire: {what}"));
    }
    if reached && session.self_test() == 0 {
        incomplete.push("the self-test at the start saw none of its own calls: the probes do not fire".to_owned());
    }
    let seconds = session.elapsed();
    let stopping = Instant::now();
    let brought = session.finish().map_err(advise)?;
    let programs = brought.programs.iter().map(|program| ProgramCost {
        name: program.name.clone(),
        runs: program.runs,
        nanoseconds: program.nanoseconds,
    });
    let programs = programs.collect();
    let timing = Timing { attach_seconds, stop_seconds: stopping.elapsed().as_secs_f64(), programs };
    for (cause, missed) in brought.missed.iter().filter(|(_, missed)| **missed > 0) {
        note(&format!("the kernel skipped {missed} runs of {}, which was running on that CPU already", cause.program));
    }
    for what in &session.live().cut_short {
        note(&format!(
            "the search for operations tables: {what}; tables that only later objects have may not be hooked"
        ));
    }
    incomplete.extend(session.unread_tables().iter().cloned());
    let loss = Loss { total: brought.loss.values().sum(), by_cause: brought.loss.clone() };
    let mut tracker = Tracker::default();
    brought.observations.iter().for_each(|observation| tracker.tally(observation));
    tracker.probes_skipped = brought.probes_skipped;
    tracker.releases_missed = brought.stats.get(&Stat::ReleaseMissed).copied().unwrap_or(0);
    let hooks = hook_statuses(session, &brought.direct);
    Ok(Outcome { brought, seconds, command, hooks, loss, tracker, timing, incomplete })
}

/// Waits for the command, the time, or a signal; looks after the session meanwhile.
async fn until_the_end(
    session: &mut Session,
    extent: &Extent,
) -> anyhow::Result<(Option<AuditedCommand>, Vec<String>)> {
    let mut incomplete = Vec::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut child =
        extent.command.split_first().map(|(program, arguments)| Command::new(program).args(arguments).spawn());
    let argv: Vec<String> = extent.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(Err(error)) = &child {
        incomplete.push(format!("the command could not be started: {error}"));
        return Ok((Some(AuditedCommand { argv, exit_code: Some(CANNOT_START) }), incomplete));
    }
    give_up_rights(session, child.is_some())?;
    let mut tick = tokio::time::interval(TEND_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = tokio::time::sleep(extent.duration.unwrap_or(Duration::from_secs(u64::from(u32::MAX))));
    tokio::pin!(end);
    let mut looks = 0u32;
    let exit_code = loop {
        let ended = async {
            match &mut child {
                Some(Ok(child)) => child.wait().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            status = ended => break status.ok().and_then(|s| s.code().or_else(|| s.signal().map(|signal| 128 + signal))),
            () = &mut end => break None,
            _ = interrupt.recv() => break None,
            _ = terminate.recv() => break None,
            _ = tick.tick() => {
                looks = looks.wrapping_add(1);
                incomplete.extend(tend(session, looks));
            }
        }
    };
    if let Some(Ok(mut child)) = child.filter(|_| exit_code.is_none()) {
        // Our own child, by its handle; it may have ended by itself meanwhile.
        match child.start_kill() {
            Ok(()) => drop(child.wait().await),
            // It runs as somebody else, and we may not: waiting for it could take forever.
            Err(error) => note(&format!("the command could not be ended and goes on: {error}")),
        }
    }
    let command = (!argv.is_empty()).then_some(AuditedCommand { argv, exit_code });
    Ok((command, incomplete))
}

/// Everything is attached and the command, which has the caller's rights, runs: what is not needed from here on is given up.
///
/// # Errors
/// Something could not be given up.
fn give_up_rights(session: &Session, has_command: bool) -> anyhow::Result<()> {
    let mut also = Vec::new();
    // For the callbacks of modules that are loaded later: their types, or a perf event each.
    also.extend((session.backend() != Some(Backend::KprobeMulti)).then_some(rights::SYS_ADMIN));
    also.extend(has_command.then_some(rights::KILL));
    let kept = rights::give_up(&also)?;
    note(&format!("capabilities kept: {}; all others are given up", kept.join(", ")));
    Ok(())
}

/// One look; what fails is a reason for incompleteness, once.
fn tend(session: &mut Session, looks: u32) -> Option<String> {
    session.drain();
    let seldom = looks.is_multiple_of(LOOK_AROUND_EVERY);
    let mut look = || {
        session.look_after_pages()?;
        // Whatever is hot enough to matter shows at the start.
        if looks <= LOOK_AROUND_EVERY || seldom && (looks <= TAKE_OFF_EVERY || looks.is_multiple_of(TAKE_OFF_EVERY)) {
            session.take_off_direct()?;
        }
        session.tend()?;
        if !seldom {
            return Ok(0);
        }
        // A new file system takes a while, in which no page is looked at.
        session.look_around()
    };
    match look() {
        Ok(0) => None,
        Ok(added) => {
            note(&format!("{added} callbacks more, of file systems that were mounted since"));
            None
        }
        Err(error) => Some(format!("looking after the probes: {:#}", anyhow::Error::from(error))),
    }
}

/// The kernel as reports name it.
pub(super) fn kernel_info(kernel: &KernelRelease, catalogue: &Catalogue, session: &Session) -> KernelInfo {
    KernelInfo {
        release: kernel.release.clone(),
        version: kernel.version.clone(),
        machine: kernel.machine.clone(),
        rules: catalogue.name.clone(),
        callback_backend: session.backend().map_or(String::new(), |backend| backend.name().to_owned()),
        lock_backend: "fentry".to_owned(),
    }
}

/// One row per hook and lock primitive, and per op that no living table has.
pub(super) fn hook_statuses(session: &Session, direct: &BTreeMap<usize, u64>) -> Vec<HookStatus> {
    let plans = &session.plans().ops;
    let probe = session.backend().map_or("", |backend| backend.name());
    let mut rows: Vec<HookStatus> = Vec::new();
    for (number, (hook, fate)) in session.hooks().enumerate() {
        let tables = hook.tables.iter().cloned().collect::<Vec<_>>().join(", ");
        let (state, mut reason) = match fate {
            None => (HookState::Absent, format!("not attached; in {tables}")),
            Some(fate) => match &fate.attached {
                Err(Unattached::Forbidden(why)) => (HookState::Absent, (*why).to_owned()),
                Err(Unattached::Failed(why)) => (HookState::Failed, why.clone()),
                Ok(()) if fate.since > 0.0 => (HookState::Attached, format!("in {tables}; since {:.1} s", fate.since)),
                Ok(()) => (HookState::Attached, format!("in {tables}")),
            },
        };
        if let Some(taken_off) = fate.and_then(|fate| fate.taken_off.as_ref()) {
            reason = format!("{reason}; {taken_off}");
        } else if let Some(calls) = direct.get(&number) {
            reason = format!("{reason}; {calls} direct calls besides");
        }
        let ops: Vec<String> =
            hook.plans.iter().map(|plan| format!("{}.{}", plans[*plan].table, plans[*plan].op)).collect();
        rows.push(HookStatus {
            op: ops.join(", "),
            callback: hook.callback.clone(),
            fs: hook.fs.iter().cloned().collect::<Vec<_>>().join(", "),
            probe: probe.to_owned(),
            state,
            reason,
            count: 0,
        });
    }
    rows.extend(
        plans.iter().enumerate().filter(|(plan, _)| !session.hooks().any(|(hook, _)| hook.plans.contains(plan))).map(
            |(_, plan)| HookStatus {
                op: format!("{}.{}", plan.table, plan.op),
                callback: String::new(),
                fs: String::new(),
                probe: String::new(),
                state: HookState::Absent,
                reason: "no living operations table has it".to_owned(),
                count: 0,
            },
        ),
    );
    rows.extend(session.lock_hooks().iter().map(lock_row));
    rows
}

fn lock_row(hook: &crate::tracer::LockHook) -> HookStatus {
    let (state, reason) = match &hook.state {
        None => (HookState::Absent, "this kernel has no such function".to_owned()),
        Some(Ok(())) => (HookState::Attached, String::new()),
        Some(Err(why)) => (HookState::Failed, why.clone()),
    };
    HookStatus {
        op: format!("lock.{}", hook.primitive.kind),
        callback: hook.primitive.function.to_owned(),
        fs: String::new(),
        probe: if hook.primitive.at_entry { "fentry" } else { "fexit" }.to_owned(),
        state,
        reason,
        count: 0,
    }
}
