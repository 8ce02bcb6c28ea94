//! The end of a live run: keys and counters become observations and figures.

use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
};

use aya::maps::{HashMap, MapData, PerCpuArray};
use vfs_audit_common::{
    COUNTED_KEY_READY, COUNTED_PLACES, Control, CountedPlace, Loss, ObservationKey, Pending, SLEEP_EVENTS_MAX, Stat,
};

use super::{
    decode::{Decoder, Known},
    pending::{self, Ended, LOCKED_TOO_LONG, PageLock},
    plan::OpPlan,
    programs,
    session::{Brought, Session, TracerError, map, map_mut, monotonic_ns},
    sys,
    tail_call::TailCalls,
};
use crate::{
    kernel::{Peek, Symbols},
    observation::Observation,
    oracle::{Answer, Compared},
};

/// Runs of lock primitives' programs that the kernel may skip before what tasks hold by their tables alone counts as suspected
/// only. The marks on tasks that run while a program waits catch nearly all of them: in a run under stress-ng on 7.3, one of
/// 20,331 was left that made a lookup look unlocked.
const SKIPPED_AND_TOLD_MAX: u64 = 1000;

/// Which runs the kernel skipped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missed {
    /// Of which program, in words.
    pub program: String,
    /// Whether an interrupt came in the middle of it, and called the same function.
    pub is_nested: bool,
}

/// How many runs of `program` the kernel has skipped; `None` where it does not say.
fn missed_runs(program: &OwnedFd) -> Option<u64> {
    sys::program_info(program.as_raw_fd()).ok().map(|info| info.missed)
}

/// Adds what lockdep said at the invocations of `key`.
fn compare(compared: &mut Compared, decoder: &Decoder<'_>, key: &ObservationKey, count: u64) {
    let Some((fs, comparisons)) = decoder.comparisons(key, count) else { return };
    if comparisons.iter().any(|comparison| matches!(comparison.answer, Answer::Holds(_))) {
        *compared.invocations.entry(fs).or_default() += count;
    }
    compared.comparisons.extend(comparisons);
}

impl Session {
    /// Stops observing and brings back what was seen.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn finish(&mut self) -> Result<Brought, TracerError> {
        self.set_control(Control { enabled: 0, ..self.control })?;
        self.drain();
        // Programs and trampolines have had symbols since they were attached only: without these they would be taken for whatever
        // stands before them. Older ones are better than no report.
        if let Ok(symbols) = Symbols::read() {
            self.symbols = symbols;
        }
        let figures = if self.counting.take().is_some() { programs::figures().unwrap_or_default() } else { Vec::new() };
        // Where the kernel says which task must not migrate, those for which a probe may have been skipped are marked.
        let skips: Option<u64> = self.lock_links.iter().map(|[program, _]| missed_runs(program)).sum();
        let skipped = skips.unwrap_or(0);
        let is_marked = self.btf.offset_of("task_struct", &["migration_disabled"]).is_ok();
        let mut loss = self.losses()?;
        let mut missed = self.missed();
        for (cause, before) in &self.missed_before {
            missed.entry(cause.clone()).and_modify(|runs| *runs = runs.saturating_sub(*before));
        }
        let of = |is_nested: bool| missed.iter().filter(move |(cause, _)| cause.is_nested == is_nested).map(|(_, n)| n);
        loss.insert("probe_missed".to_owned(), of(false).sum());
        *loss.entry(Loss::InterruptNested.name().to_owned()).or_default() += of(true).sum::<u64>();
        loss.insert("event_unknown".to_owned(), self.events.unknown);
        let is_told = skipped == 0 || (is_marked && skipped <= SKIPPED_AND_TOLD_MAX);
        let known = Known {
            history: is_told && self.silent.as_ref().is_none_or(Vec::is_empty),
            doubted: skips == Some(0),
            context: self.context_known,
        };
        let ended = self.wait_for_pending()?;
        let keys = self.keys()?;
        let (observations, compared, not_shipped) = self.observations(&keys, &ended, known)?;
        loss.insert("sleep_not_shipped".to_owned(), not_shipped);
        let mut direct = BTreeMap::new();
        for number in 0..self.hooks.hooks.len() {
            let count = self.counter("DIRECT", number)?;
            if count > 0 {
                direct.insert(number, count);
            }
        }
        Ok(Brought {
            observations,
            probes_skipped: skipped,
            loss,
            stats: self.stats()?,
            direct,
            missed,
            compared,
            programs: figures,
        })
    }

    /// Runs of programs on callbacks that the kernel has skipped since they were loaded.
    pub(super) fn missed(&self) -> BTreeMap<Missed, u64> {
        let mut missed: BTreeMap<Missed, u64> = BTreeMap::new();
        for (hook, program) in self.callbacks.programs() {
            let Ok(info) = sys::program_info(program.as_raw_fd()) else { continue };
            let hook = hook.and_then(|number| self.hooks.hooks.get(number));
            let cause = Missed {
                program: hook.map_or(info.name, |hook| format!("the program on {}", hook.callback)),
                is_nested: hook.is_some_and(|hook| self.plans.ops[hook.plans[0]].is_of_interrupts),
            };
            *missed.entry(cause).or_default() += info.missed;
        }
        missed
    }

    /// Every key with its count.
    fn keys(&self) -> Result<BTreeMap<ObservationKey, u64>, TracerError> {
        let counts: HashMap<&MapData, ObservationKey, u64> = HashMap::try_from(map(&self.object.ebpf, "COUNTS")?)?;
        let mut keys: BTreeMap<ObservationKey, u64> = BTreeMap::new();
        for entry in &counts {
            let (key, count) = entry?;
            *keys.entry(key).or_default() += count;
        }
        let counted: PerCpuArray<&MapData, CountedPlace> = PerCpuArray::try_from(map(&self.object.ebpf, "COUNTED")?)?;
        for place in 0..COUNTED_PLACES as u32 {
            let of_cpus = counted.get(&place, 0)?;
            for entry in of_cpus.iter().flatten().filter(|entry| entry.state == COUNTED_KEY_READY) {
                *keys.entry(entry.key).or_default() += entry.count;
            }
        }
        Ok(keys)
    }

    fn observations(
        &self,
        keys: &BTreeMap<ObservationKey, u64>,
        ended: &Ended,
        known: Known,
    ) -> Result<(Vec<Observation>, Option<Compared>, u64), TracerError> {
        let peek = Peek::new(&self.object.ebpf)?;
        let superblocks = &self.live.superblocks;
        let tail_calls = TailCalls::find(&self.hooks.hooks, (&peek, &self.symbols), keys.keys());
        let decoder = Decoder::new(
            (&self.symbols, &peek),
            (&self.hooks, &self.plans),
            superblocks,
            &self.events,
            (known, &tail_calls),
        );
        let is_wanted = |key: &ObservationKey| {
            self.wanted.devices.is_empty()
                || superblocks.get(&key.sb).is_some_and(|sb| self.wanted.devices.contains(&sb.device))
        };
        let compared = self.lockdep.map(|lockdep| {
            let mut compared = Compared { is_lockdep_off: lockdep.is_off(&peek), ..Compared::default() };
            for (key, count) in keys.iter().filter(|(key, _)| is_wanted(key)) {
                compare(&mut compared, &decoder, key, *count);
            }
            compared
        });
        let mut judged: BTreeMap<ObservationKey, u64> = BTreeMap::new();
        for (key, count) in keys {
            *judged.entry(key.without_lockdep()).or_default() += count;
        }
        let mut observations = Vec::new();
        for (key, count) in judged.iter().filter(|(key, _)| is_wanted(key)) {
            let Some(plan) = self.hooks.hooks.get(usize::from(key.hook)).map(|hook| &self.plans.ops[hook.plans[0]])
            else {
                continue;
            };
            for (key, count) in pending::settled(key, *count, plan, ended) {
                observations.extend(decoder.observation(&key, count));
            }
            observations.extend(decoder.exits_without_probe(key, *count));
        }
        Ok((observations, compared, self.sleeps_not_shipped(&decoder)?))
    }

    /// Sleeps beyond those that are shipped, inside callbacks of which one was proved to have slept: they count as not slept.
    ///
    /// # Errors
    /// When the map cannot be read.
    fn sleeps_not_shipped(&self, decoder: &Decoder<'_>) -> Result<u64, TracerError> {
        let sleeps: HashMap<&MapData, u32, u64> = HashMap::try_from(map(&self.object.ebpf, "SLEEPS")?)?;
        let mut not_shipped = 0;
        for entry in &sleeps {
            let (hook, count) = entry?;
            let plan = self.hooks.hooks.get(hook as usize).map(|hook| &self.plans.ops[hook.plans[0]]);
            if count > SLEEP_EVENTS_MAX
                && plan.is_some_and(OpPlan::is_watched_for_sleep_alone)
                && decoder.has_slept(hook)
            {
                not_shipped += count - SLEEP_EVENTS_MAX;
            }
        }
        Ok(not_shipped)
    }

    /// Looks at the pages that were still locked when their callback returned, and forgets those that are not any more.
    ///
    /// # Errors
    /// When the map cannot be used.
    pub(super) fn look_at_pending(&mut self) -> Result<Ended, TracerError> {
        let Some(lock) = PageLock::of(&self.btf) else { return Ok(Ended::default()) };
        let noted = pending::noted(&HashMap::<&MapData, u64, Pending>::try_from(map(&self.object.ebpf, "PENDING")?)?);
        let peek = Peek::new(&self.object.ebpf)?;
        let (still, gone): (Vec<_>, Vec<_>) =
            noted.into_iter().partition(|(page, pending)| lock.is_still_locked(&peek, *page, pending));
        let mut gone: Vec<u64> = gone.into_iter().map(|(page, _)| page).collect();
        gone.extend(self.waiting.look(&still, monotonic_ns()));
        pending::forget(
            &mut HashMap::<&mut MapData, u64, Pending>::try_from(map_mut(&mut self.object.ebpf, "PENDING")?)?,
            &gone,
        )?;
        Ok(self.waiting.ended(&still))
    }

    /// The same, until no page is left of which it is not known yet.
    fn wait_for_pending(&mut self) -> Result<Ended, TracerError> {
        /// Looks within the time that makes a page a stuck one.
        const LOOKS: u32 = 20;
        let mut ended = self.look_at_pending()?;
        for _ in 0..LOOKS {
            if ended.not_yet.is_empty() {
                break;
            }
            thread::sleep(LOCKED_TOO_LONG / LOOKS);
            ended = self.look_at_pending()?;
        }
        Ok(ended)
    }

    fn losses(&self) -> Result<BTreeMap<String, u64>, TracerError> {
        let counters: PerCpuArray<&MapData, u64> = PerCpuArray::try_from(map(&self.object.ebpf, "LOSS")?)?;
        let sum = |cause: &Loss| Ok((cause.name().to_owned(), counters.get(&(*cause as u32), 0)?.iter().sum()));
        Loss::ALL.iter().map(sum).collect()
    }

    /// One health figure so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub(super) fn stat(&self, stat: Stat) -> Result<u64, TracerError> {
        self.counter("STATS", stat as usize)
    }

    /// The health figures so far.
    ///
    /// # Errors
    /// When the map cannot be read.
    fn stats(&self) -> Result<BTreeMap<Stat, u64>, TracerError> {
        let counters: PerCpuArray<&MapData, u64> = PerCpuArray::try_from(map(&self.object.ebpf, "STATS")?)?;
        let sum = |stat: &Stat| Ok((*stat, counters.get(&(*stat as u32), 0)?.iter().sum()));
        Stat::ALL.iter().map(sum).collect()
    }
}
