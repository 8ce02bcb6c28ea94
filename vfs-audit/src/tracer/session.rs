//! One live run: start, look around from time to time, finish. Over 500 lines, since every step works on the same maps and
//! links, whose order of attaching and reading matters.

use std::{
    collections::BTreeMap, ffi::CStr, os::fd::AsRawFd as _, os::fd::OwnedFd, path::Path, sync::Arc, time::Instant,
};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, Queue, RingBuf},
};
use thiserror::Error;
use vfs_audit_common::{
    Control, ENABLED_FAST, FLAG_ATOMIC, FLAG_IN_INTERRUPT, HOOK_PLACES_LEN, HOOKS_MAX, HookPlace, HookPlaces, HookPlan,
    KernelOffsets, LOCK_MUTEX, LockdepOffsets, Stat, TASK_SLOTS, TASKS_ASIDE_MAX, hook_place,
};

use super::{
    attach::{Attached, Attachment, Backend, Manner},
    collect::Missed,
    decode::Events,
    fast_path,
    hooks::{HookTable, Sizes, Sources, Wanted},
    object::{Object, ObjectError},
    offsets::{kernel_offsets, preemption_count},
    oracle::Lockdep,
    pending::Waiting,
    plan::{OpPlan, Plans},
    primitives::{PRIMITIVES, Primitive, handed_over, untracked},
    programs::{Counting, ProgramFigures},
    sys,
    trampoline::{trampoline, trampoline_program},
};
use crate::{
    btf::{Btf, BtfError},
    kernel::{LiveTables, Peek, PeekError, Symbols, SymbolsError},
    observation::Observation,
    oracle::Compared,
    rules::Catalogue,
};

/// Program and raw tracepoint.
type Tracepoint = (&'static str, &'static CStr);

/// Raw tracepoints that are always attached.
const TRACEPOINTS: &[Tracepoint] = &[
    ("task_free", c"sched_process_free"),
    ("task_new", c"task_newtask"),
    ("resync_worker", c"workqueue_execute_start"),
    ("sched_switch", c"sched_switch"),
];

/// Program and tracepoint that are attached only while they are needed, see [`Session::tend`].
const RESYNC: Tracepoint = ("resync", c"sys_enter");
/// Looks without a new invocation of incomplete history after which it is taken off: every system call pays for it.
const QUIET_LOOKS: u32 = 2;
/// Direct calls of a shared function after which, when hardly any call came through a table, its probe is taken off …
const DIRECT_CALLS_MAX: u64 = 1_000;
/// … hardly any: less than one in so many.
const TABLE_CALLS_SHARE: u64 = 100;

/// Open files that we may want: two for each probe that is a probe alone, and some for maps and programs.
const FILES_MAX: libc::rlim_t = 4 * HOOKS_MAX as libc::rlim_t;
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
        tracepoint: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Lockdep is to be asked, and has nothing to say.
    #[error("this kernel has no lockdep to compare with: {0}")]
    Lockdep(String),
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
    /// Runs of programs on lock primitives that the kernel skipped; the tasks concerned are marked.
    pub probes_skipped: u64,
    /// Health figures.
    pub stats: BTreeMap<Stat, u64>,
    /// Direct calls by hook number.
    pub direct: BTreeMap<usize, u64>,
    /// Runs of programs on callbacks that the kernel skipped.
    pub missed: BTreeMap<Missed, u64>,
    /// Comparisons with lockdep, when it was asked.
    pub compared: Option<Compared>,
    /// What our programs took, when it was asked for.
    pub programs: Vec<ProgramFigures>,
}

/// How a hook is attached.
#[derive(Clone, Debug, PartialEq)]
pub struct HookFate {
    /// `Ok`, or why not.
    pub attached: Attached,
    /// Second of the run since when it is.
    pub since: f64,
    /// Why it was taken off before the end, when it was.
    pub taken_off: Option<String>,
}

/// A running live audit; dropping it detaches everything.
pub struct Session {
    pub(super) object: Object,
    pub(super) btf: Arc<Btf>,
    /// Where lockdep is, when it is asked.
    pub(super) lockdep: Option<Lockdep>,
    pub(super) symbols: Symbols,
    /// The modules whose symbols they have; `None` where nobody says.
    modules: Option<Vec<String>>,
    pub(super) plans: Plans,
    pub(super) live: LiveTables,
    pub(super) hooks: HookTable,
    pub(super) wanted: Wanted,
    pub(super) callbacks: Attachment,
    /// By hook number.
    pub(super) fates: Vec<HookFate>,
    /// The link of [`RESYNC`] while it is attached.
    resync: Option<[OwnedFd; 2]>,
    /// (program, link) of each of [`TRACEPOINTS`].
    tracepoints: Vec<[OwnedFd; 2]>,
    /// Invocations by user tasks of incomplete history at the last look; `None` before the first.
    incomplete_seen: Option<u64>,
    /// Looks since that number has grown.
    quiet_looks: u32,
    /// Invocations of our own that the self-test saw.
    pub(super) self_test: u64,
    /// What the kernel had skipped before anything was observed.
    pub(super) missed_before: BTreeMap<Missed, u64>,
    /// Lock primitives that the self-test has called, and whose probes did not fire; `None`: not tested.
    pub(super) silent: Option<Vec<&'static str>>,
    /// Addresses of the per-CPU offsets and of the preemption count; 0 when this kernel's cannot be found.
    pub(super) preemption_count: (u64, u64),
    /// Whether contexts can be told: what probing adds is known.
    pub(super) context_known: bool,
    /// The kernel counts what our programs take, when it was asked to.
    pub(super) counting: Option<Counting>,
    pub(super) lock_hooks: Vec<LockHook>,
    /// (program, link) of each attached lock primitive.
    pub(super) lock_links: Vec<[OwnedFd; 2]>,
    ring: RingBuf<MapData>,
    pub(super) events: Events,
    pub(super) waiting: Waiting,
    pub(super) control: Control,
    /// What the map of places says.
    places: Box<HookPlaces>,
    pub(super) started: Instant,
}

/// The clock in which the kernel keeps its tasks' start times, in nanoseconds.
pub(super) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

impl Session {
    /// Finds out what is to be hooked; nothing is attached yet.
    ///
    /// # Errors
    /// When this kernel, or our rights on it, do not allow a live audit.
    pub fn prepare(catalogue: &Catalogue, wanted: Wanted) -> Result<Self, TracerError> {
        allow_many_files();
        let btf = Arc::new(Btf::read(Path::new("/sys/kernel/btf/vmlinux"), None)?);
        let modules = loaded_modules();
        let symbols = Symbols::read()?;
        let offsets = kernel_offsets(&btf, &symbols).map_err(TracerError::Kernel)?;
        let lockdep = wanted.oracle.then(|| Lockdep::find(&btf, &symbols)).transpose().map_err(TracerError::Lockdep)?;
        let asked = lockdep.map(|lockdep| lockdep.offsets).unwrap_or_default();
        let mut object = load_object(&btf, (&offsets, &asked), wanted.sizes)?;
        offer_places_aside(&mut object.ebpf)?;
        Peek::load(&mut object.ebpf)?;
        let events = object.ebpf.take_map("EVENTS").ok_or_else(|| missing_map("EVENTS"))?;
        let ring = RingBuf::try_from(events)?;
        let mut plans = Plans::compile(catalogue, &btf, &symbols, wanted.everything);
        if !wanted.track_mutexes {
            plans.leave_untracked(LOCK_MUTEX);
        }
        let preemption_count = preemption_count(&btf, &symbols).unwrap_or_else(|why| {
            plans.leave_unread(catalogue, &[FLAG_ATOMIC, FLAG_IN_INTERRUPT], &why);
            (0, 0)
        });
        let peek = Peek::new(&object.ebpf)?;
        if lockdep.is_some_and(|lockdep| lockdep.is_off(&peek)) {
            return Err(TracerError::Lockdep("it has switched itself off, as it does after a splat".to_owned()));
        }
        let live = LiveTables::find(&peek, &symbols, &btf).map_err(TracerError::Kernel)?;
        let mut hooks = HookTable::default();
        let sources =
            Sources { live: &live, plans: &plans, memory: &peek, symbols: &symbols, btf: &btf, wanted: &wanted };
        hooks.extend(&sources);
        if hooks.hooks.len() > HOOKS_MAX {
            return Err(TracerError::Kernel(format!(
                "{} callbacks, and there is room for {HOOKS_MAX}",
                hooks.hooks.len()
            )));
        }
        Ok(Self {
            object,
            btf,
            lockdep,
            symbols,
            modules,
            plans,
            live,
            hooks,
            callbacks: Attachment::by(wanted.backend),
            wanted,
            fates: Vec::new(),
            resync: None,
            tracepoints: Vec::new(),
            incomplete_seen: None,
            quiet_looks: 0,
            self_test: 0,
            missed_before: BTreeMap::new(),
            silent: None,
            preemption_count,
            context_known: false,
            counting: None,
            lock_hooks: Vec::new(),
            lock_links: Vec::new(),
            ring,
            events: Events::default(),
            waiting: Waiting::default(),
            control: Control::default(),
            places: no_places(),
            started: Instant::now(),
        })
    }

    /// Attaches everything and begins to observe; `pid` restricts the observations to one process.
    ///
    /// # Errors
    /// When lock primitives, tracepoints or all callbacks refuse their probes.
    pub fn start(&mut self, catalogue: &Catalogue, pid: Option<u32>) -> Result<(), TracerError> {
        // Whatever makes tables of tasks comes after what sees tasks go: or a dead task's table would be left to whoever gets its
        // address.
        for tracepoint in TRACEPOINTS {
            self.tracepoints.push(attach_tracepoint(&self.object, *tracepoint)?);
        }
        self.attach_primitives()?;
        self.started = Instant::now();
        self.attach_callbacks(0)?;
        self.note_functions(catalogue);
        let (hands_over, hands_over_end) = handed_over(&self.symbols);
        let control = Control {
            enabled: 1,
            tgid: pid.unwrap_or(0).into(),
            own_tgid: std::process::id().into(),
            hands_over,
            hands_over_end,
            ..Control::default()
        };
        let mut control = self.prove_probes(control)?;
        if pid.is_none() && matches!(self.callbacks.fast, Some(Ok(_))) {
            control.enabled = ENABLED_FAST.into();
        }
        self.set_control(control)?;
        self.missed_before = self.missed();
        // Tasks born from now on are seen from their first lock.
        self.set_control(Control { since: monotonic_ns(), ..control })?;
        if self.wanted.count_programs {
            let counting = Counting::begin();
            self.counting = Some(counting.map_err(|error| TracerError::Kernel(format!("BPF_ENABLE_STATS: {error}")))?);
        }
        self.started = Instant::now();
        Ok(())
    }

    pub(super) fn set_control(&mut self, control: Control) -> Result<(), TracerError> {
        let mut place: Array<&mut MapData, Control> = Array::try_from(map_mut(&mut self.object.ebpf, "CONTROL")?)?;
        place.set(0, control, 0)?;
        self.control = control;
        Ok(())
    }

    fn attach_primitives(&mut self) -> Result<(), TracerError> {
        let mut attached = Vec::new();
        let kinds: &[&str] = if self.wanted.track_mutexes { &["rwsem", "mutex"] } else { &["rwsem"] };
        for primitive in PRIMITIVES.iter().filter(|primitive| kinds.contains(&primitive.kind)) {
            let state = self.btf.function_named(primitive.function).is_some().then(|| {
                trampoline(&self.object, &self.btf, primitive.function, "", primitive.program).map(|link| {
                    self.lock_links.push(link);
                    attached.push(primitive);
                })
            });
            self.lock_hooks.push(LockHook { primitive: *primitive, state });
        }
        let missing = untracked(&attached, kinds);
        if missing.is_empty() {
            return Ok(());
        }
        let refusal = self.lock_hooks.iter().find_map(|hook| hook.state.as_ref()?.as_ref().err());
        Err(TracerError::Primitives(refusal.cloned().unwrap_or_else(|| missing.join("; "))))
    }

    /// Attaches the hooks from `first` on.
    fn attach_callbacks(&mut self, first: usize) -> Result<(), TracerError> {
        let mut plans: Array<&mut MapData, HookPlan> = Array::try_from(map_mut(&mut self.object.ebpf, "PLANS")?)?;
        let of_hooks: Vec<HookPlan> = self.hooks.hooks[first..].iter().map(|hook| self.plans.of_hook(hook)).collect();
        for (plan, number) in of_hooks.iter().zip(first..) {
            plans.set(number as u32, plan, 0)?;
        }
        let mut numbers: HashMap<&mut MapData, u64, u32> = HashMap::try_from(map_mut(&mut self.object.ebpf, "HOOKS")?)?;
        for (number, hook) in self.hooks.hooks.iter().enumerate().skip(first) {
            numbers.insert(hook.address, number as u32, 0)?;
        }
        // Lockdep is asked by the interpreter alone.
        if first == 0 && self.lockdep.is_none() {
            let (per_cpu_offsets, preempt_count) = self.preemption_count;
            let flags_saved = self.saves_flags();
            let own_tgid = std::process::id();
            let fixed = fast_path::Fixed { per_cpu_offsets, preempt_count, flags_saved, own_tgid };
            self.callbacks.compile(&self.object, &self.btf, &of_hooks, fixed);
        }
        self.give_places(&of_hooks, first)?;
        let plans = &self.plans;
        let manner = Manner {
            watched: &|hook: &super::Hook| plans.ops[hook.plans[0]].has_exit(),
            interrupts: &|hook: &super::Hook| plans.ops[hook.plans[0]].is_of_interrupts,
            plan: &|hook: &super::Hook| plans.of_hook(hook),
            progress: self.wanted.progress,
        };
        let results = self.callbacks.add(&self.object, &self.btf, &self.hooks.hooks[first..], first, &manner);
        let since = if first == 0 { 0.0 } else { self.started.elapsed().as_secs_f64() };
        self.fates.extend(results.into_iter().map(|attached| HookFate { attached, since, taken_off: None }));
        if self.callbacks.backend.is_none() {
            return Err(TracerError::Callbacks(self.callbacks.refused.join("; ")));
        }
        Ok(())
    }

    /// Gives the hooks from `first` on, whose plans are `of_hooks`, their places, where these are free.
    fn give_places(&mut self, of_hooks: &[HookPlan], first: usize) -> Result<(), TracerError> {
        let mut given = Vec::new();
        for ((plan, hook), number) in of_hooks.iter().zip(&self.hooks.hooks[first..]).zip(first..) {
            let place = &mut self.places[hook_place(hook.address) as usize];
            if place.function == 0 {
                *place = HookPlace { function: hook.address, hook: number as u32, code: self.callbacks.code_of(plan) };
                given.push(hook_place(hook.address) as usize);
            }
        }
        let mut map: Array<&mut MapData, HookPlaces> = Array::try_from(map_mut(&mut self.object.ebpf, "HOOK_PLACES")?)?;
        // Whoever finds the function there finds the rest.
        let mut without = self.places.clone();
        for place in given {
            without[place].function = 0;
        }
        map.set(0, without.as_ref(), 0)?;
        map.set(0, self.places.as_ref(), 0)?;
        Ok(())
    }

    /// Probes the functions that rules ask for; a rule whose function refuses cannot be read.
    fn note_functions(&mut self, catalogue: &Catalogue) {
        let wanted: Vec<(String, u8)> =
            self.plans.functions.wanted().map(|(name, bit)| (name.to_owned(), bit)).collect();
        let address =
            |name: &str| self.symbols.addresses(name).into_iter().find(|address| self.symbols.is_text(*address));
        let found: Vec<(&str, u64, u8)> =
            wanted.iter().filter_map(|(name, bit)| Some((name.as_str(), address(name)?, *bit))).collect();
        let results = self.callbacks.note_functions(&self.object, &self.btf, &found);
        for ((name, _, bit), result) in found.iter().zip(results) {
            if let Err(why) = result {
                let asks = |plan: &OpPlan, flag: usize| plan.asks_for(flag, 1 << bit);
                self.plans.leave_facts_unread(catalogue, &asks, &format!("{name} cannot be probed: {why}"));
            }
        }
    }

    /// Detaches everything, which takes the kernel a while: a child of ours holds what is attached, and does nothing but
    /// end. Nothing is observed any more.
    pub fn detach(self) {
        let (Ok((waiting, done)), own) = (std::io::pipe(), self) else { return };
        // SAFETY: the child calls nothing but async-signal-safe functions.
        match unsafe { libc::fork() } {
            0 => {
                let mut byte = 0u8;
                // SAFETY: as above; the buffer is one byte of ours.
                unsafe {
                    libc::setsid();
                    libc::close(done.as_raw_fd());
                    for standard in 0..3 {
                        libc::close(standard);
                    }
                    // Until the parent has let go of everything: whoever is last detaches.
                    libc::read(waiting.as_raw_fd(), (&raw mut byte).cast(), 1);
                    libc::_exit(0)
                }
            }
            _ => drop(own),
        }
        drop(done);
    }

    /// Takes what the kernel side has shipped so far.
    ///
    pub fn drain(&mut self) {
        while let Some(record) = self.ring.next() {
            self.events.take(&record);
        }
    }

    /// Looks after the watch on system calls: they are watched only while invocations come from user tasks whose lock
    /// history is incomplete, and at the start, when every task's is.
    ///
    /// # Errors
    /// When a map cannot be read or the tracepoint cannot be attached again.
    pub fn tend(&mut self) -> Result<(), TracerError> {
        let incomplete = self.stat(Stat::IncompleteUser)?;
        let grown = self.incomplete_seen.is_none_or(|seen| incomplete > seen);
        self.incomplete_seen = Some(incomplete);
        self.quiet_looks = if grown { 0 } else { self.quiet_looks.saturating_add(1) };
        match (grown, self.resync.take()) {
            (true, None) => self.resync = Some(attach_tracepoint(&self.object, RESYNC)?),
            // Dropping the link detaches it.
            (false, Some(_)) if self.quiet_looks >= QUIET_LOOKS => {}
            (_, link) => self.resync = link,
        }
        Ok(())
    }

    /// Looks at the pages that somebody must unlock.
    ///
    /// # Errors
    /// When a map cannot be used.
    pub fn look_after_pages(&mut self) -> Result<(), TracerError> {
        // Walking an empty hash map costs as much as walking a full one.
        let awaited = self.stat(Stat::UnlockingAwaited)?;
        if awaited == self.waiting.seen {
            return Ok(());
        }
        let still = self.look_at_pending()?;
        if still.not_yet.is_empty() {
            self.waiting.seen = awaited;
        }
        Ok(())
    }

    /// Takes the probe of a shared function off that is called directly all the time.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn take_off_direct(&mut self) -> Result<(), TracerError> {
        self.take_off_direct_from(DIRECT_CALLS_MAX)
    }

    pub(super) fn take_off_direct_from(&mut self, calls: u64) -> Result<(), TracerError> {
        let shared = self.hooks.hooks.iter().enumerate().filter(|(_, hook)| hook.is_shared());
        let numbers: Vec<usize> = shared.map(|(number, _)| number).collect();
        let mut hot = BTreeMap::new();
        for number in numbers {
            if self.fates.get(number).is_none_or(|fate| fate.attached.is_err() || fate.taken_off.is_some()) {
                continue;
            }
            let direct = self.counter("DIRECT", number)?;
            let all = if direct < calls { 0 } else { self.counter("THROUGH_TABLE", number)? };
            if direct >= calls && all < direct / TABLE_CALLS_SHARE {
                hot.insert(number, (direct, all));
            }
        }
        if hot.is_empty() {
            return Ok(());
        }
        let numbers: Vec<usize> = hot.keys().copied().collect();
        for number in self.callbacks.take_off(&numbers, self.control.since == 0) {
            let at = self.started.elapsed().as_secs_f64();
            let (direct, all) = hot[&number];
            self.fates[number].taken_off =
                Some(format!("taken off after {at:.1} s: {direct} calls were direct, {all} through a table"));
        }
        Ok(())
    }

    pub(super) fn counter(&self, name: &str, number: usize) -> Result<u64, TracerError> {
        let counters: PerCpuArray<&MapData, u64> = PerCpuArray::try_from(map(&self.object.ebpf, name)?)?;
        Ok(counters.get(&(number as u32), 0)?.iter().sum())
    }

    /// Looks for file systems that were mounted since, and hooks what they brought; returns how many hooks were added.
    ///
    /// # Errors
    /// When the kernel's lists cannot be read any more.
    pub fn look_around(&mut self) -> Result<usize, TracerError> {
        let peek = Peek::new(&self.object.ebpf)?;
        if self.live.unseen(&peek) == 0 {
            return Ok(0);
        }
        // A new file system may have come with a new module, whose symbols were not there before; they take half a second.
        let modules = loaded_modules();
        if modules.is_none() || modules != self.modules {
            self.symbols = Symbols::read()?;
            self.modules = modules;
            let (hands_over, hands_over_end) = handed_over(&self.symbols);
            self.set_control(Control { hands_over, hands_over_end, ..self.control })?;
        }
        let peek = Peek::new(&self.object.ebpf)?;
        self.live = LiveTables::find(&peek, &self.symbols, &self.btf).map_err(TracerError::Kernel)?;
        let added = self.hooks.extend(&Sources {
            live: &self.live,
            plans: &self.plans,
            memory: &peek,
            symbols: &self.symbols,
            btf: &self.btf,
            wanted: &self.wanted,
        });
        if !added.is_empty() {
            self.attach_callbacks(added.start)?;
        }
        Ok(added.len())
    }

    /// The hooks, and how each is attached once they are.
    pub fn hooks(&self) -> impl Iterator<Item = (&super::Hook, Option<&HookFate>)> {
        self.hooks.hooks.iter().enumerate().map(|(number, hook)| (hook, self.fates.get(number)))
    }

    /// Whether the probes on callbacks show that interrupts are off.
    ///
    /// A kprobe has all registers. kprobe.multi has them while `struct fprobe` has `ftrace_ops` of its own; since it is built on
    /// the function graph tracer (6.14) it has the arguments only.
    pub fn sees_interrupts(&self) -> bool {
        match self.callbacks.backend {
            Some(Backend::KprobeMulti) => self.saves_flags(),
            Some(Backend::Kprobe) => true,
            Some(Backend::Fentry) | None => false,
        }
    }

    fn saves_flags(&self) -> bool {
        self.btf.offset_of("fprobe", &["ops"]).is_ok()
    }

    /// Whether it is known what probing adds to a context, so that contexts can be told.
    pub fn sees_contexts(&self) -> bool {
        self.context_known
    }

    /// How programs read kernel memory, for `doctor`.
    pub fn reads_by(&self) -> &'static str {
        if self.object.reads_by_cast() { "cast (bpf_rdonly_cast)" } else { "helper (bpf_probe_read_kernel)" }
    }

    /// How usual plans are compiled, for `doctor`: without, an audit costs more and sees the same.
    ///
    /// # Errors
    /// Why they are not, where that was tried.
    pub fn fast_path(&self) -> Result<String, String> {
        match &self.callbacks.fast {
            Some(Ok(compiled)) if self.callbacks.backend == Some(Backend::KprobeMulti) => Ok(compiled.describe()),
            Some(Err(why)) => Err(why.clone()),
            _ => Ok("plans are interpreted: this way of hooking has no fast path".to_owned()),
        }
    }

    /// Invocations of its own that the self-test at the start saw; 0 when nothing that it calls is hooked.
    pub fn self_test(&self) -> u64 {
        self.self_test
    }

    /// Lock primitives that the self-test has called, and whose probes did not fire; `None`: not tested, since the kernel counts
    /// the runs of programs for `CAP_SYS_ADMIN` only.
    pub fn silent(&self) -> Option<&[&'static str]> {
        self.silent.as_deref()
    }

    /// Seconds since observing began.
    pub fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
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

/// The modules that are there, each with its address; `None`: a kernel without modules, or one that does not say.
fn loaded_modules() -> Option<Vec<String>> {
    let text = std::fs::read_to_string("/proc/modules").ok()?;
    // Name, bytes, users, who they are, state, address: one that comes back lies elsewhere.
    let module = |line: &str| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.nth(4)?))
    };
    Some(text.lines().filter_map(module).collect())
}

/// Raises the limit of open files as far as we may: a single probe takes two. Where that is too little, the kernel says so.
fn allow_many_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a limit of ours.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            // Root may raise the hard limit too.
            let wanted = libc::rlimit { rlim_cur: FILES_MAX, rlim_max: limit.rlim_max.max(FILES_MAX) };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) != 0 {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
    }
}

/// Loads the object with the fast way of reading memory where the kernel takes it, else without.
fn load_object(
    btf: &Arc<Btf>,
    (offsets, lockdep): (&KernelOffsets, &LockdepOffsets),
    sizes: Sizes,
) -> Result<Object, TracerError> {
    if let (Some(function), Some(cast_type)) = (btf.function_named("bpf_rdonly_cast"), btf.struct_named("pt_regs")) {
        let object = Object::load(&KernelOffsets { cast_type, ..*offsets }, lockdep, Some(function), sizes)?;
        // A primitive that every kernel has, as a trial; attaching it would take a grace period to detach again.
        if trampoline_program(&object, btf, "down_write", "", "acquire_exclusive").is_ok() {
            return Ok(object);
        }
    }
    Ok(Object::load(offsets, lockdep, None, sizes)?)
}

/// Room for every place, on the heap from the start: it is large.
fn no_places() -> Box<HookPlaces> {
    let places: Box<[HookPlace]> = vec![HookPlace::default(); HOOK_PLACES_LEN].into();
    places.try_into().unwrap_or_else(|_| unreachable!("it has that length"))
}

/// Tells the programs which places there are for tasks whose own is taken.
fn offer_places_aside(ebpf: &mut Ebpf) -> Result<(), TracerError> {
    let mut free: Queue<&mut MapData, u32> = Queue::try_from(map_mut(ebpf, "ASIDE_FREE")?)?;
    for place in TASK_SLOTS..TASK_SLOTS + TASKS_ASIDE_MAX {
        free.push(place as u32, 0)?;
    }
    Ok(())
}

pub(super) fn map<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a aya::maps::Map, TracerError> {
    ebpf.map(name).ok_or_else(|| missing_map(name))
}

fn missing_map(name: &str) -> TracerError {
    TracerError::Kernel(format!("the eBPF object has no map {name}"))
}

pub(super) fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::maps::Map, TracerError> {
    ebpf.map_mut(name).ok_or_else(|| missing_map(name))
}

/// Program and link of a raw tracepoint.
fn attach_tracepoint(object: &Object, (program, tracepoint): Tracepoint) -> Result<[OwnedFd; 2], TracerError> {
    let attach = || {
        let program = object.program(program, sys::Purpose::RawTracepoint)?;
        let link = sys::link_raw_tracepoint(program.as_raw_fd(), tracepoint)?;
        Ok([program, link])
    };
    attach().map_err(|source| TracerError::Tracepoint { tracepoint: tracepoint.to_string_lossy().into_owned(), source })
}
