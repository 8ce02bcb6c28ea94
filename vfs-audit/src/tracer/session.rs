//! One live run: start, look around from time to time, finish.

use std::{collections::BTreeMap, os::fd::AsRawFd as _, os::fd::OwnedFd, path::Path, sync::Arc, time::Instant};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf},
    programs::RawTracePoint,
};
use thiserror::Error;
use vfs_audit_common::{HOOKS_MAX, HookPlan, Loss, ObservationKey, STATS_LEN, Stat};

use super::{
    attach::{Attachment, Backend, trampoline},
    decode::{Decoder, Events},
    hooks::{HookTable, Wanted},
    object::{Object, ObjectError},
    offsets::kernel_offsets,
    plan::Plans,
    primitives::{PRIMITIVES, Primitive, untracked},
    sys,
};
use crate::{
    btf::{Btf, BtfError},
    kernel::{LiveTables, Peek, PeekError, Symbols, SymbolsError},
    observation::Observation,
    rules::Catalogue,
};

/// Operations tables whose callbacks are hooked.
const TABLES: &[&str] = &["inode_operations"];
/// Raw tracepoints that are always attached: program, tracepoint.
const TRACEPOINTS: &[(&str, &str)] = &[
    ("task_free", "sched_process_free"),
    ("resync", "sys_enter"),
    ("resync_worker", "workqueue_execute_start"),
    ("sched_switch", "sched_switch"),
];

/// Why a live audit cannot begin.
#[derive(Debug, Error)]
pub enum TracerError {
    /// BTF.
    #[error("this kernel says nothing usable of its types; a kernel with CONFIG_DEBUG_INFO_BTF=y is needed")]
    Btf(#[from] BtfError),
    /// The kernel's structures are not as needed.
    #[error("this kernel cannot be audited: {0}")]
    Kernel(String),
    /// Symbols.
    #[error(transparent)]
    Symbols(#[from] SymbolsError),
    /// The eBPF object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Reading kernel memory.
    #[error(transparent)]
    Peek(#[from] PeekError),
    /// A map.
    #[error("a map of the eBPF programs cannot be used")]
    Map(#[from] MapError),
    /// A tracepoint program.
    #[error("cannot attach to tracepoint {tracepoint}")]
    Tracepoint {
        /// Tracepoint.
        tracepoint: &'static str,
        /// Cause.
        #[source]
        source: aya::programs::ProgramError,
    },
    /// Lock primitives cannot be probed.
    #[error("lock primitives cannot be probed: {0}")]
    Primitives(String),
    /// Callbacks cannot be probed.
    #[error("no callback can be probed: {0}")]
    Callbacks(String),
}

/// How the probe on one lock primitive ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHook {
    /// Which.
    pub primitive: Primitive,
    /// `Ok`, or why not; `None`: the kernel has no such function.
    pub state: Option<Result<(), String>>,
}

/// What a run brought back.
#[derive(Debug, Default)]
pub struct Brought {
    /// Observations, in a stable order.
    pub observations: Vec<Observation>,
    /// What was lost, by cause; every cause is listed.
    pub loss: BTreeMap<String, u64>,
    /// Health figures.
    pub stats: BTreeMap<Stat, u64>,
}

/// A running live audit; dropping it detaches everything.
pub struct Session {
    object: Object,
    btf: Arc<Btf>,
    symbols: Symbols,
    plans: Plans,
    live: LiveTables,
    hooks: HookTable,
    wanted: Wanted,
    callbacks: Attachment,
    /// State of each hook, by number, and since when (seconds of the run) it is hooked.
    states: Vec<(Result<(), String>, f64)>,
    lock_hooks: Vec<LockHook>,
    /// (program, link) of each attached lock primitive.
    lock_links: Vec<[OwnedFd; 2]>,
    events: Events,
    started: Instant,
}

/// The clock in which the kernel keeps its tasks' start times, in nanoseconds.
fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Session {
    /// Finds out what is to be hooked; nothing is attached yet.
    ///
    /// # Errors
    /// When this kernel, or our rights on it, do not allow a live audit.
    pub fn prepare(catalogue: &Catalogue, wanted: Wanted) -> Result<Self, TracerError> {
        let btf = Arc::new(Btf::read(Path::new("/sys/kernel/btf/vmlinux"), None)?);
        let offsets = kernel_offsets(&btf).map_err(TracerError::Kernel)?;
        let symbols = Symbols::read()?;
        let mut object = Object::load(&offsets)?;
        Peek::load(&mut object.ebpf)?;
        let plans = Plans::compile(catalogue, &btf, TABLES);
        let peek = Peek::new(&object.ebpf)?;
        let live = LiveTables::find(&peek, &symbols, &btf).map_err(TracerError::Kernel)?;
        let hooks = HookTable::build(&live, &plans, &peek, &symbols, &wanted);
        if hooks.hooks.len() > HOOKS_MAX {
            return Err(TracerError::Kernel(format!("{} callbacks, and there is room for {HOOKS_MAX}", hooks.hooks.len())));
        }
        Ok(Self {
            object,
            btf,
            symbols,
            plans,
            live,
            hooks,
            wanted,
            callbacks: Attachment::default(),
            states: Vec::new(),
            lock_hooks: Vec::new(),
            lock_links: Vec::new(),
            events: Events::default(),
            started: Instant::now(),
        })
    }

    /// Attaches everything and begins to observe; `pid` restricts the observations to one process.
    ///
    /// # Errors
    /// When lock primitives, tracepoints or all callbacks refuse their probes.
    pub fn start(&mut self, pid: Option<u32>) -> Result<(), TracerError> {
        self.attach_primitives()?;
        for (program, tracepoint) in TRACEPOINTS {
            attach_tracepoint(&mut self.object.ebpf, program, tracepoint)?;
        }
        self.started = Instant::now();
        self.attach_callbacks(0)?;
        self.set_control(2, pid.unwrap_or(0).into())?;
        self.set_control(0, 1)?;
        // Tasks born from now on are seen from their first lock.
        self.set_control(1, monotonic_ns())?;
        self.started = Instant::now();
        Ok(())
    }

    fn set_control(&mut self, slot: u32, value: u64) -> Result<(), TracerError> {
        let mut control: Array<&mut MapData, u64> = Array::try_from(map_mut(&mut self.object.ebpf, "CONTROL")?)?;
        Ok(control.set(slot, value, 0)?)
    }

    fn attach_primitives(&mut self) -> Result<(), TracerError> {
        let known = self.btf.function_names();
        let mut attached = Vec::new();
        for primitive in PRIMITIVES {
            let state = known.contains(primitive.function).then(|| {
                trampoline(&self.object, &self.btf, primitive.function, "", primitive.program).map(|link| {
                    self.lock_links.push(link);
                    attached.push(primitive);
                })
            });
            self.lock_hooks.push(LockHook { primitive: *primitive, state });
        }
        let missing = untracked(&attached);
        if missing.is_empty() {
            return Ok(());
        }
        let refusal = self.lock_hooks.iter().find_map(|hook| hook.state.as_ref()?.as_ref().err());
        Err(TracerError::Primitives(refusal.cloned().unwrap_or_else(|| missing.join("; "))))
    }

    /// Attaches the hooks from `first` on.
    fn attach_callbacks(&mut self, first: usize) -> Result<(), TracerError> {
        let mut plans: Array<&mut MapData, HookPlan> = Array::try_from(map_mut(&mut self.object.ebpf, "PLANS")?)?;
        for (number, hook) in self.hooks.hooks.iter().enumerate().skip(first) {
            plans.set(number as u32, self.plans.ops[hook.plans[0]].readers, 0)?;
        }
        let mut numbers: HashMap<&mut MapData, u64, u32> = HashMap::try_from(map_mut(&mut self.object.ebpf, "HOOKS")?)?;
        for (number, hook) in self.hooks.hooks.iter().enumerate().skip(first) {
            numbers.insert(hook.address, number as u32, 0)?;
        }
        let plans = &self.plans;
        let watched = |hook: &super::Hook| plans.ops[hook.plans[0]].readers.watched != 0;
        let results = self.callbacks.add(&self.object, &self.btf, &self.hooks.hooks[first..], first, &watched);
        let since = if first == 0 { 0.0 } else { self.started.elapsed().as_secs_f64() };
        self.states.extend(results.into_iter().map(|result| (result, since)));
        if self.callbacks.backend.is_none() {
            return Err(TracerError::Callbacks(self.callbacks.refused.join("; ")));
        }
        Ok(())
    }

    /// Takes what the kernel side has shipped so far.
    ///
    /// # Errors
    /// When the ring buffer cannot be read.
    pub fn drain(&mut self) -> Result<(), TracerError> {
        let mut ring = RingBuf::try_from(map_mut(&mut self.object.ebpf, "EVENTS")?)?;
        while let Some(record) = ring.next() {
            self.events.take(&record);
        }
        Ok(())
    }

    /// Looks for file systems that were mounted since, and hooks what they brought; returns how many hooks were added.
    ///
    /// # Errors
    /// When the kernel's lists cannot be read any more.
    pub fn look_around(&mut self) -> Result<usize, TracerError> {
        let peek = Peek::new(&self.object.ebpf)?;
        let fresh = self.live.unseen(&peek, &self.symbols, &self.btf).map_err(TracerError::Kernel)?;
        if fresh == 0 {
            return Ok(0);
        }
        // A new file system may have come with a new module, whose symbols were not there before.
        self.symbols = Symbols::read()?;
        let peek = Peek::new(&self.object.ebpf)?;
        self.live = LiveTables::find(&peek, &self.symbols, &self.btf).map_err(TracerError::Kernel)?;
        let added = self.hooks.extend(&self.live, &self.plans, &peek, &self.symbols, &self.wanted);
        if !added.is_empty() {
            self.attach_callbacks(added.start)?;
        }
        Ok(added.len())
    }

    /// Stops observing and brings back what was seen.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn finish(&mut self) -> Result<Brought, TracerError> {
        self.set_control(0, 0)?;
        self.drain()?;
        let missed: u64 = self.lock_links.iter().filter_map(|[program, _]| sys::missed_runs(program.as_raw_fd()).ok()).sum();
        let mut loss = self.losses()?;
        loss.insert("probe_missed".to_owned(), missed);
        loss.insert("event_unknown".to_owned(), self.events.unknown);
        let peek = Peek::new(&self.object.ebpf)?;
        let superblocks = &self.live.superblocks;
        let decoder = Decoder::new(
            (&self.symbols, &peek),
            (&self.hooks, &self.plans),
            superblocks,
            &self.events,
            missed == 0,
        );
        let counts: PerCpuHashMap<&MapData, ObservationKey, u64> = PerCpuHashMap::try_from(map(&self.object.ebpf, "COUNTS")?)?;
        let mut keys = Vec::new();
        for entry in counts.iter() {
            let (key, per_cpu) = entry?;
            keys.push((key, per_cpu.iter().sum::<u64>()));
        }
        keys.sort_unstable();
        let observations = keys.iter().filter_map(|(key, count)| decoder.observation(key, *count)).collect();
        Ok(Brought { observations, loss, stats: self.stats()? })
    }

    fn losses(&self) -> Result<BTreeMap<String, u64>, TracerError> {
        let counters: PerCpuArray<&MapData, u64> = PerCpuArray::try_from(map(&self.object.ebpf, "LOSS")?)?;
        let sum = |cause: &Loss| Ok((cause.name().to_owned(), counters.get(&(*cause as u32), 0)?.iter().sum()));
        Loss::ALL.iter().map(sum).collect()
    }

    fn stats(&self) -> Result<BTreeMap<Stat, u64>, TracerError> {
        let counters: PerCpuArray<&MapData, u64> = PerCpuArray::try_from(map(&self.object.ebpf, "STATS")?)?;
        let sum = |stat: &Stat| Ok((*stat, counters.get(&(*stat as u32), 0)?.iter().sum()));
        const ALL: [Stat; STATS_LEN] = [Stat::IncompleteHistory, Stat::SiteUnknown, Stat::ReleaseMissed, Stat::InInterrupt];
        ALL.iter().map(sum).collect()
    }

    /// The hooks, and how each ended with the second of the run since when it is hooked.
    pub fn hooks(&self) -> impl Iterator<Item = (&super::Hook, Option<&(Result<(), String>, f64)>)> {
        self.hooks.hooks.iter().enumerate().map(|(number, hook)| (hook, self.states.get(number)))
    }

    /// The probes on lock primitives.
    pub fn lock_hooks(&self) -> &[LockHook] {
        &self.lock_hooks
    }

    /// How callbacks are hooked, once they are.
    pub fn backend(&self) -> Option<Backend> {
        self.callbacks.backend
    }

    /// Ways of hooking that were tried and refused, in words.
    pub fn refused(&self) -> &[String] {
        &self.callbacks.refused
    }

    /// The plans.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// What was found alive.
    pub fn live(&self) -> &LiveTables {
        &self.live
    }

    /// Tables that could not be read.
    pub fn unread_tables(&self) -> &[String] {
        &self.hooks.unread
    }
}

fn map<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a aya::maps::Map, TracerError> {
    ebpf.map(name).ok_or_else(|| TracerError::Kernel(format!("the eBPF object has no map {name}")))
}

fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map, TracerError> {
    ebpf.map_mut(name).ok_or_else(|| TracerError::Kernel(format!("the eBPF object has no map {name}")))
}

fn attach_tracepoint(ebpf: &mut Ebpf, name: &str, tracepoint: &'static str) -> Result<(), TracerError> {
    let wrap = |source| TracerError::Tracepoint { tracepoint, source };
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| TracerError::Kernel(format!("the eBPF object has no program {name}")))?;
    let program: &mut RawTracePoint = program.try_into().map_err(wrap)?;
    program.load().map_err(wrap)?;
    program.attach(tracepoint).map_err(wrap)?;
    Ok(())
}
