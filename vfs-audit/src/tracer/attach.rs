//! Attaching to callbacks: one kprobe.multi link where the kernel has it, else single kprobes, else fentry; chosen by trying.

use std::{
    collections::BTreeMap,
    mem::{self, Discriminant},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
};

use super::{
    fast_path::{self, Compiled, FastPath, Kind, OfHook},
    group::Group,
    hooks::{Hook, NOT_TO_BE_PROBED},
    object::Object,
    progress::Progress,
    sys::{self, At, Purpose, TRACE_FENTRY},
    trampoline::{tracing, trampoline, trampoline_program},
};
use crate::btf::Btf;
use vfs_audit_common::{HookPlan, WATCH_EXIT};

/// How callbacks are hooked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One link for all.
    KprobeMulti,
    /// A kprobe each.
    Kprobe,
    /// A trampoline each.
    Fentry,
}

impl Backend {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KprobeMulti => "kprobe.multi",
            Self::Kprobe => "kprobe",
            Self::Fentry => "fentry",
        }
    }

    /// All, in the order of trying.
    pub const ALL: [Self; 3] = [Self::KprobeMulti, Self::Kprobe, Self::Fentry];
}

/// Why a callback has no probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unattached {
    /// The kernel allows no probe on this function, by whatever way: a normal answer.
    Forbidden(&'static str),
    /// Attaching failed.
    Failed(String),
}

/// Whether a probe is attached.
pub type Attached = Result<(), Unattached>;

impl Unattached {
    /// The reason, in words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Forbidden(why) => why,
            Self::Failed(why) => why,
        }
    }

    /// What is known of a hook before it is tried.
    fn of_hook(hook: &Hook) -> Attached {
        hook.unprobed.map_or(Ok(()), |why| Err(Self::Forbidden(why)))
    }

    /// `EINVAL` for the address of a function's first instruction is the kernel's word that the function is `notrace`
    /// (as everything that it declares `inline`, and still has a copy of, is) or on its list of functions not to be probed.
    fn of_kprobe(error: &std::io::Error) -> Self {
        if error.raw_os_error() == Some(libc::EINVAL) {
            return Self::Forbidden(NOT_TO_BE_PROBED);
        }
        Self::Failed(error.to_string())
    }
}

/// Programs that jump to [`INTERRUPT`], each with the map that says where it lies: see [`Attachment::jump`].
const JUMPS: [(&str, &str); 2] =
    [("callback_interrupt_0", "INTERRUPT_PROGRAM_0"), ("callback_interrupt_1", "INTERRUPT_PROGRAM_1")];
/// The program on callbacks that interrupts call.
const INTERRUPT: &str = "callback_interrupt";

/// Probes on callbacks; dropping it detaches them.
#[derive(Default)]
pub(super) struct Attachment {
    /// The way that worked.
    pub backend: Option<Backend>,
    /// The only way that is wanted.
    wanted: Option<Backend>,
    /// Why the ways before it did not, in words.
    pub refused: Vec<String>,
    links: Vec<OwnedFd>,
    /// Hooks that can be taken off, each group with links of its own.
    shared: Vec<Group>,
    /// Links of hooks that can be taken off alone, by hook number.
    single: BTreeMap<usize, Vec<OwnedFd>>,
    /// By the place in [`JUMPS`]: the plan whose functions it is for, and the program that it leads to; none where the kernel
    /// refuses it.
    jumps: Vec<(usize, Option<OwnedFd>)>,
    /// Keeps programs loaded that later hooks use too, by name and way of being called.
    programs: Vec<((&'static str, Discriminant<Purpose>), OwnedFd)>,
    /// The usual plans, compiled, or why they are not.
    pub fast: Option<Result<Compiled, String>>,
    /// Programs of callbacks' trampolines, by hook number: each counts the runs that were skipped while it was running already.
    trampolines: Vec<(usize, OwnedFd)>,
}

/// How callbacks are to be hooked.
pub(super) struct Manner<'a> {
    /// Which are watched to their exit.
    pub(super) watched: &'a dyn Fn(&Hook) -> bool,
    /// Which are called in interrupts. The kernel runs no kprobe's program while another one runs on the CPU, and an
    /// interrupt comes when it likes: these get trampolines, where that is counted for each program alone.
    pub(super) interrupts: &'a dyn Fn(&Hook) -> bool,
    /// The plan of each.
    pub(super) plan: &'a dyn Fn(&Hook) -> HookPlan,
    /// Told once a second how many are done, and of how many, where each takes its time.
    pub(super) progress: Option<fn(usize, usize)>,
}

impl Attachment {
    /// Nothing attached yet; `wanted` is the only way to be tried, when there is one.
    pub(super) fn by(wanted: Option<Backend>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Attaches `hooks`, numbered from `first` on; the result says for each why it failed.
    pub(super) fn add(
        &mut self,
        object: &Object,
        btf: &Arc<Btf>,
        hooks: &[Hook],
        first: usize,
        manner: &Manner<'_>,
    ) -> Vec<Attached> {
        if hooks.is_empty() {
            return Vec::new();
        }
        object.forget_modules();
        let ways = self.backend.or(self.wanted).map_or(Backend::ALL.to_vec(), |backend| vec![backend]);
        let mut results =
            vec![Err(Unattached::Failed("no way of hooking works on this kernel".to_owned())); hooks.len()];
        for way in ways {
            let tried = match way {
                Backend::KprobeMulti => self.add_multi(object, btf, hooks, first, manner),
                Backend::Kprobe => {
                    let by_trampoline = self.add_trampolines(object, btf, hooks, first, manner);
                    self.add_kprobes(object, hooks, first, manner, &by_trampoline)
                }
                Backend::Fentry => Ok(self.add_fentries(object, btf, hooks, first, manner)),
            };
            match tried {
                Ok(outcome) if outcome.iter().any(Result::is_ok) => {
                    self.backend = Some(way);
                    return outcome;
                }
                Ok(outcome) => {
                    let why = outcome.iter().find_map(|r| r.as_ref().err()).map(Unattached::reason);
                    self.refused.push(format!("{}: {}", way.name(), why.unwrap_or_default()));
                    results = outcome;
                }
                Err(why) => self.refused.push(format!("{}: {why}", way.name())),
            }
        }
        results
    }

    /// Compiles `plans`, to be used where kprobe.multi is.
    pub(super) fn compile(&mut self, object: &Object, btf: &Btf, plans: &[HookPlan], fixed: fast_path::Fixed) {
        if object.cast().is_some() && self.wanted.is_none_or(|wanted| wanted == Backend::KprobeMulti) {
            self.fast = Some(self.compiled(object, btf, plans, fixed));
        }
    }

    fn compiled(
        &mut self,
        object: &Object,
        btf: &Btf,
        plans: &[HookPlan],
        fixed: fast_path::Fixed,
    ) -> Result<Compiled, String> {
        let (watched, others): (Vec<&HookPlan>, Vec<&HookPlan>) =
            plans.iter().partition(|plan| plan.watched & WATCH_EXIT != 0);
        let both = self.compiled_for_both(object, btf, &watched, fixed);
        let rest = if both.is_ok() { others } else { plans.iter().collect() };
        let interpreter = self.program(object, "callback_entry", Purpose::KprobeMulti).map_err(|e| e.to_string())?;
        let entry = FastPath::load(object, &rest, Kind::Entry { interpreter }, fixed)?;
        Ok(Compiled { entry, both })
    }

    /// Two probes on one function cost the kernel more than all that we do there: it then looks through all of its tracers.
    fn compiled_for_both(
        &mut self,
        object: &Object,
        btf: &Btf,
        plans: &[&HookPlan],
        fixed: fast_path::Fixed,
    ) -> Result<FastPath, String> {
        let is_return = btf.function_named("bpf_session_is_return").ok_or("the kernel has no kprobe.session")?;
        let mut program = |name| self.program(object, name, Purpose::KprobeSession).map_err(|e| e.to_string());
        let (interpreter, exit) = (program("callback_entry")?, program("callback_exit")?);
        FastPath::load(object, plans, Kind::Both { interpreter, exit, is_return }, fixed)
    }

    /// The number of the code for `plan`, see [`FastPath::code_of`].
    pub(super) fn code_of(&self, plan: &HookPlan) -> u32 {
        match &self.fast {
            Some(Ok(compiled)) => compiled.code_of(plan),
            _ => 0,
        }
    }

    /// Notes the calls of functions (name, address, bit); the result says for each why that failed.
    ///
    /// By the way in which callbacks are hooked, which is known by then.
    pub(super) fn note_functions(
        &mut self,
        object: &Object,
        btf: &Arc<Btf>,
        functions: &[(&str, u64, u8)],
    ) -> Vec<Result<(), String>> {
        let text = |error: std::io::Error| error.to_string();
        let attach = |(name, address, bit): &(&str, u64, u8)| -> Result<(), String> {
            // Interrupts call some of them, in the middle of other programs: see [`Manner::interrupts`]. Another is a callback
            // itself, whose frame must be open by then: trampolines come last.
            let cookie = u64::from(*bit);
            if let Ok(program) = trampoline_program(object, btf, name, "", "function_called_fentry")
                && let Ok(link) = sys::link_tracing_with_cookie(program.as_raw_fd(), TRACE_FENTRY, cookie)
            {
                self.links.extend([program, link]);
                return Ok(());
            }
            match self.backend {
                Some(Backend::KprobeMulti) => {
                    let program = self.program(object, "function_called", Purpose::KprobeMulti).map_err(text)?;
                    let link = sys::link_kprobe_multi(program, &[*address], &[cookie], At::Entry);
                    self.links.push(link.map_err(text)?);
                }
                Some(Backend::Kprobe) => {
                    let program = self.program(object, "function_called", Purpose::Kprobe).map_err(text)?;
                    let (link, event) = sys::link_kprobe(program, *address, cookie, false).map_err(text)?;
                    self.links.extend([link, event]);
                }
                Some(Backend::Fentry) | None => return Err("the kernel refuses a probe on it".to_owned()),
            }
            Ok(())
        };
        functions.iter().map(attach).collect()
    }

    /// The programs in use that the kernel counts skipped runs of, those for one hook alone with its number.
    pub(super) fn programs(&self) -> impl Iterator<Item = (Option<usize>, &OwnedFd)> {
        let fast = self.fast.iter().flatten().flat_map(Compiled::programs);
        let of_many = self.programs.iter().map(|(_, program)| program).chain(fast).map(|program| (None, program));
        of_many.chain(self.trampolines.iter().map(|(number, program)| (Some(*number), program)))
    }

    /// Takes hooks off; says of which that was possible. `before_the_run`: those too that share links, whose whole group is not
    /// seen for a moment, and whose callbacks under way would never be seen to return.
    pub(super) fn take_off(&mut self, numbers: &[usize], before_the_run: bool) -> Vec<usize> {
        let mut taken: Vec<usize> = numbers.iter().copied().filter(|n| self.single.remove(n).is_some()).collect();
        let groups = if before_the_run { &mut self.shared[..] } else { &mut [] };
        for group in groups {
            let is_meant = |(_, number): &(u64, u64)| numbers.contains(&(*number as usize));
            let meant: Vec<usize> = group.entries.iter().filter(|at| is_meant(at)).map(|(_, n)| *n as usize).collect();
            if meant.is_empty() {
                continue;
            }
            group.entries.retain(|at| !is_meant(at));
            let exits_before = group.exits.len();
            group.exits.retain(|at| !is_meant(at));
            group.relink(exits_before);
            taken.extend(meant);
        }
        taken
    }

    fn program(&mut self, object: &Object, name: &'static str, purpose: Purpose) -> std::io::Result<i32> {
        let key = (name, mem::discriminant(&purpose));
        if let Some((_, fd)) = self.programs.iter().find(|(known, _)| *known == key) {
            return Ok(fd.as_raw_fd());
        }
        let fd = object.program(name, purpose)?;
        let raw = fd.as_raw_fd();
        self.programs.push((key, fd));
        Ok(raw)
    }

    fn add_multi(
        &mut self,
        object: &Object,
        btf: &Arc<Btf>,
        hooks: &[Hook],
        first: usize,
        manner: &Manner<'_>,
    ) -> Result<Vec<Attached>, String> {
        let interpreter = self.program(object, "callback_entry", Purpose::KprobeMulti).map_err(|e| e.to_string())?;
        let fast = self.fast.as_ref().and_then(|fast| fast.as_ref().ok());
        let entry = fast.map_or(interpreter, |fast| fast.entry.program.as_raw_fd());
        let both = fast.and_then(|fast| fast.both.as_ref().ok()).map(|both| both.program.as_raw_fd());
        let by_trampoline = self.add_trampolines(object, btf, hooks, first, manner);
        let numbered = |wanted: &dyn Fn(&Hook) -> bool| -> Vec<(u64, u64)> {
            let is_left = |(n, hook): &(usize, &Hook)| hook.unprobed.is_none() && !by_trampoline[*n] && wanted(hook);
            let all = hooks.iter().enumerate().filter(is_left);
            all.map(|(n, hook)| (hook.address, (first + n) as u64)).collect()
        };
        // Exits first: of two probes on one function the later one runs first, and the entry program must see the
        // return address before the exit probe replaces it.
        let exits = numbered(manner.watched);
        let exit = match exits.as_slice() {
            _ if both.is_some() => None,
            [] => None,
            _ => Some(self.program(object, "callback_exit", Purpose::KprobeMulti).map_err(|e| e.to_string())?),
        };
        let mut results: Vec<Attached> = hooks.iter().map(Unattached::of_hook).collect();
        let mut failed = |number: u64, why: String| results[number as usize - first] = Err(Unattached::Failed(why));
        let own = numbered(&|hook| !hook.is_shared());
        let shared = numbered(&Hook::is_shared);
        for (entries, is_shared) in [(own, false), (shared, true)] {
            let (with_exit, without): (Vec<_>, Vec<_>) = entries.into_iter().partition(|at| exits.contains(at));
            let group = |program, when, entries, exits| Group {
                when,
                program,
                exit_program: exit,
                entries,
                exits,
                exit_links: Vec::new(),
                links: Vec::new(),
            };
            let groups = if let Some(both) = both {
                vec![group(both, At::Both, with_exit, Vec::new()), group(entry, At::Entry, without, Vec::new())]
            } else {
                let exits = with_exit.clone();
                vec![group(entry, At::Entry, [with_exit, without].concat(), exits)]
            };
            for mut group in groups {
                group.link(&mut failed);
                if is_shared {
                    self.shared.push(group);
                } else {
                    self.links.extend(group.links.into_iter().chain(group.exit_links));
                }
            }
        }
        let is_linked = !self.links.is_empty() || self.shared.iter().any(|group| !group.links.is_empty());
        let refusal = |result: &Attached| result.clone().err().filter(|why| matches!(why, Unattached::Failed(_)));
        if !is_linked && let Some(why) = results.iter().find_map(refusal) {
            // The trampolines stay: the next way has the same.
            self.shared.clear();
            return Err(why.reason().to_owned());
        }
        self.retry_alone(object, hooks, first, manner, &mut results);
        Ok(results)
    }

    /// Attaches trampolines to what is called in interrupts; says of each hook whether it has one now.
    fn add_trampolines(
        &mut self,
        object: &Object,
        btf: &Arc<Btf>,
        hooks: &[Hook],
        first: usize,
        manner: &Manner<'_>,
    ) -> Vec<bool> {
        let attach = |(n, hook): (usize, &Hook)| {
            let has_one = self.single.contains_key(&(first + n));
            let mut attach = || {
                let plan = (manner.plan)(hook);
                let of_hook = OfHook { number: first + n, address: hook.address, plan: &plan };
                let Ok([program, link]) = self.interrupt(object, btf, hook, of_hook) else { return false };
                self.trampolines.push((first + n, program));
                self.single.insert(first + n, vec![link]).is_none()
            };
            hook.unprobed.is_none() && (manner.interrupts)(hook) && (has_one || attach())
        };
        hooks.iter().enumerate().map(attach).collect()
    }

    /// Attaches what jumps to the program where the kernel takes it, else the program itself, which it proves each time.
    fn interrupt(
        &mut self,
        object: &Object,
        btf: &Arc<Btf>,
        hook: &Hook,
        of_hook: OfHook<'_>,
    ) -> Result<[OwnedFd; 2], String> {
        let attach = |program| trampoline(object, btf, &hook.callback, &hook.module, program);
        let Some((jump, map)) = self.jump(object, btf, hook) else { return attach(INTERRUPT) };
        let compiled = || {
            let (purpose, _of_module) = tracing(object, btf, (&hook.callback, &hook.module), TRACE_FENTRY).ok()?;
            let program = fast_path::load_interrupt(object, map, of_hook, purpose)?;
            let link = sys::link_tracing(program.as_raw_fd()).ok()?;
            Some([program, link])
        };
        compiled().map_or_else(|| attach(jump).or_else(|_| attach(INTERRUPT)), Ok)
    }

    /// The program that jumps to the one for functions of the hook's type, which is that of its plan's op: kernels from 6.12
    /// on refuse jumps between programs for functions of different types.
    fn jump(&mut self, object: &Object, btf: &Arc<Btf>, hook: &Hook) -> Option<(&'static str, &'static str)> {
        let plan = hook.plans[0];
        let number = self.jumps.iter().position(|(known, _)| *known == plan).unwrap_or(self.jumps.len());
        let (jump, map) = JUMPS.get(number)?;
        if number == self.jumps.len() {
            let program = trampoline_program(object, btf, &hook.callback, &hook.module, INTERRUPT).ok();
            let program = program.filter(|program| object.set_program(map, program.as_raw_fd()).is_ok());
            self.jumps.push((plan, program));
        }
        self.jumps[number].1.as_ref().map(|_| (*jump, *map))
    }

    /// Tries single kprobes for the hooks that kprobe.multi refused.
    fn retry_alone(
        &mut self,
        object: &Object,
        hooks: &[Hook],
        first: usize,
        manner: &Manner<'_>,
        results: &mut [Attached],
    ) {
        let is_refused = |result: &Attached| matches!(result, Err(Unattached::Failed(_)));
        if results.iter().all(Result::is_err) {
            return;
        }
        for (n, result) in results.iter_mut().enumerate().filter(|(_, result)| is_refused(result)) {
            let Ok(retried) = self.add_kprobes(object, &hooks[n..=n], first + n, manner, &[false]) else { return };
            if let [retried] = retried.as_slice() {
                result.clone_from(retried);
            }
        }
    }

    fn add_kprobes(
        &mut self,
        object: &Object,
        hooks: &[Hook],
        first: usize,
        manner: &Manner<'_>,
        by_trampoline: &[bool],
    ) -> Result<Vec<Attached>, String> {
        let entry = self.program(object, "callback_entry", Purpose::Kprobe).map_err(|e| e.to_string())?;
        let exit = self.program(object, "callback_exit", Purpose::Kprobe).map_err(|e| e.to_string())?;
        let mut results = Vec::with_capacity(hooks.len());
        let mut progress = Progress::begin(manner.progress, hooks.len());
        for (n, hook) in hooks.iter().enumerate() {
            progress.done(n);
            let known = Unattached::of_hook(hook);
            if known.is_err() || by_trampoline[n] {
                results.push(known);
                continue;
            }
            let mut links = Vec::new();
            let mut attach = |program, on_return| -> Attached {
                let linked = sys::link_kprobe(program, hook.address, (first + n) as u64, on_return);
                let (link, event) = linked.map_err(|error| Unattached::of_kprobe(&error))?;
                links.extend([link, event]);
                Ok(())
            };
            // The exit first: see `add_multi`.
            let exited = if (manner.watched)(hook) { attach(exit, true) } else { Ok(()) };
            results.push(exited.and_then(|()| attach(entry, false)));
            self.single.insert(first + n, links);
        }
        Ok(results)
    }

    fn add_fentries(
        &mut self,
        object: &Object,
        btf: &Arc<Btf>,
        hooks: &[Hook],
        first: usize,
        manner: &Manner<'_>,
    ) -> Vec<Attached> {
        let mut progress = Progress::begin(manner.progress, hooks.len());
        let attach = |(n, hook): (usize, &Hook)| {
            progress.done(n);
            Unattached::of_hook(hook)?;
            let mut links = Vec::new();
            let names =
                if (manner.watched)(hook) { &["callback_fexit", "callback_fentry"][..] } else { &["callback_fentry"] };
            for name in names {
                let [program, link] =
                    trampoline(object, btf, &hook.callback, &hook.module, name).map_err(Unattached::Failed)?;
                self.trampolines.push((first + n, program));
                links.push(link);
            }
            self.single.insert(first + n, links);
            Ok(())
        };
        hooks.iter().enumerate().map(attach).collect()
    }
}
