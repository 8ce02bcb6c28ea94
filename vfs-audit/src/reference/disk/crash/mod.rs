//! Crash and recovery: seeded runs that cut the power, recover, and compare with what was promised durable.
//!
//! A run formats a store and goes through a few cycles. Each cycle is passed through twice from the same state: once to
//! its end, which counts the device's completions and compares the live store with the model; once with the power cut
//! after a number of completions drawn from those. Then the store is mounted (in some runs the power goes again during
//! recovery), checked for soundness, and compared: its tree must be that of some moment no earlier than the last promise,
//! and each sector of each file must be one that the file may hold at that moment. Some runs let the device fail a write,
//! or damage what was written to the journal's log: recovery must then lose nothing, or say that the journal is damaged.
//!
//! # What this can miss
//! Faults in file data and in metadata already in its place (the first has no checksum, the second is the store's own
//! test); a fault in the last commit record, which cannot be told from a crash before it; what happens only under
//! concurrency: the store is one caller's at a time.

mod contents;
mod model;
#[cfg(test)]
mod tests;
mod verify;
mod workload;

use std::fmt;

pub use self::verify::Finding;

use self::model::Model;
use self::workload::{Stop, Workload};
use super::device::{Device, FaultPlan, Options};
use super::rng::Rng;
use super::store::{DirectIo, Error, FormatOptions, Layout, MountOptions, Mutant, SECTORS_PER_BLOCK, Store, format};

/// Crashes in one run.
pub const CYCLES_PER_RUN: u32 = 3;
/// Most steps between two crashes.
pub const STEPS_MAX: u64 = 200;
/// Blocks of the device: few, so that freed blocks are soon used again.
const DEVICE_BLOCKS: u64 = 440;
/// Steps at the end of a cycle in which the log is damaged, where it is.
const STEPS_BEFORE_CRASH: u64 = 40;
/// Enough for transactions of several handles, and few enough that the log is often full.
const JOURNAL_BLOCKS: u32 = 160;
const INODES: u32 = 90;
/// Completions within which a power cut during recovery is drawn: about what a recovery needs.
const RECOVERY_COMPLETIONS: u64 = 200;

/// What runs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Runs done, the failing one included.
    pub runs: u64,
    /// Power cuts during a workload.
    pub crashes: u64,
    /// Power cuts during recovery.
    pub crashes_in_recovery: u64,
    /// Mounts that had transactions to replay.
    pub replays: u64,
    /// Transactions replayed.
    pub transactions_replayed: u64,
    /// Inodes without a name that a mount freed.
    pub orphans_freed: u64,
    /// Operations done before the crashes.
    pub operations: u64,
    /// Fsyncs, syncs and commits that succeeded before the crashes.
    pub promises: u64,
    /// Sectors whose newest contents the power cuts took.
    pub sectors_lost: u64,
    /// Device faults that struck.
    pub faults: u64,
    /// Mounts that refused a damaged journal, each after a fault.
    pub damage_reported: u64,
    /// A checksum over all that was recovered: equal seeds give equal digests.
    pub digest: u32,
    /// What failed first; no run follows it.
    pub failure: Option<Failure>,
}

/// A run that lost or damaged something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed that replays it.
    pub seed: u64,
    /// The cycle of the run, from 0.
    pub cycle: u32,
    /// What is wrong.
    pub finding: Finding,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, crash {}: {}", self.seed, self.cycle + 1, self.finding)
    }
}

/// Does `runs` runs, of the seeds `seed_start` and up, with the store or with a mutant of it. Stops at the first failure.
pub fn run(seed_start: u64, runs: u64, mutant: Option<Mutant>) -> Outcome {
    let mut outcome = Outcome::default();
    for seed in (0..runs).map(|index| seed_start.wrapping_add(index)) {
        outcome.runs += 1;
        let mut run = Run::new(seed, mutant);
        if let Err(finding) = run.go(&mut outcome) {
            outcome.failure = Some(Failure { seed, cycle: run.cycle, finding });
            return outcome;
        }
    }
    outcome
}

/// What the device does wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fair,
    /// One write fails.
    WriteError,
    /// One write to the journal's log is torn, misdirected or leaves a bad sector.
    LogDamage,
}

/// What happens in a cycle.
struct Script {
    steps: u64,
    /// The step from which on the device has `faults`.
    faults_from: u64,
    faults: FaultPlan,
}

struct Run {
    seed: u64,
    rng: Rng,
    cycle: u32,
    weather: Weather,
    mount: MountOptions,
    model: Model,
}

impl Run {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut rng = Rng::part(seed, 10);
        let weather = match rng.below(8) {
            0 => Weather::WriteError,
            1 | 2 => Weather::LogDamage,
            _ => Weather::Fair,
        };
        // A small cache makes blocks be read back from where they were placed.
        let clean_blocks_max = if rng.below(2) == 0 { 2 } else { 64 };
        let mount = MountOptions { clean_blocks_max, mutant };
        Self { seed, rng, cycle: 0, weather, mount, model: Model::empty() }
    }

    fn go(&mut self, outcome: &mut Outcome) -> Result<(), Finding> {
        let mut io = DirectIo::new(Device::new(Options::new(DEVICE_BLOCKS * SECTORS_PER_BLOCK, self.seed)));
        let options = FormatOptions { journal_blocks: JOURNAL_BLOCKS, inodes: INODES };
        let layout = format(&mut io, options).map_err(Finding::Failed)?;
        for cycle in 0..CYCLES_PER_RUN {
            self.cycle = cycle;
            let before = io.device().counters();
            let result = self.cycle(&mut io, &layout, outcome);
            let after = io.device().counters();
            outcome.sectors_lost += after.sectors_lost - before.sectors_lost;
            outcome.faults += after.faults() - before.faults();
            match result {
                Ok(model) => self.model = model,
                Err(finding) if self.is_damage_reported(&finding, &io) => {
                    outcome.damage_reported += 1;
                    return Ok(());
                }
                Err(finding) => return Err(finding),
            }
        }
        match self.unmount_cleanly(&mut io) {
            Err(finding) if self.is_damage_reported(&finding, &io) => outcome.damage_reported += 1,
            result => return result,
        }
        Ok(())
    }

    /// Refusing a mount is right where the medium has lost part of the log: nothing else may read it.
    fn is_damage_reported(&self, finding: &Finding, io: &DirectIo) -> bool {
        self.weather == Weather::LogDamage
            && io.device().counters().faults() > 0
            && matches!(finding, Finding::Failed(Error::JournalDamaged { .. } | Error::Io(_)))
    }

    /// Passes through one cycle twice; leaves the device as recovery left it.
    fn cycle(&mut self, io: &mut DirectIo, layout: &Layout, outcome: &mut Outcome) -> Result<Model, Finding> {
        let workload = Workload::new(Rng::part(self.rng.next_u64(), 11), self.model.clone());
        let script = self.script(layout);
        let cut_after = self.pass_to_the_end(&mut io.clone(), workload.clone(), &script)?;
        let workload = self.pass_to_the_cut(io, workload, &script, cut_after)?;
        outcome.crashes += 1;
        outcome.operations += workload.operations;
        outcome.promises += workload.promises;
        io.device_mut().restore_power();
        self.recover(io, &workload.model, outcome)
    }

    /// The first pass: compares the live store with the model, and draws after how many completions to cut the power.
    fn pass_to_the_end(&mut self, io: &mut DirectIo, mut workload: Workload, script: &Script) -> Result<u64, Finding> {
        let (mut store, _) = Store::mount(&mut *io, self.mount).map_err(Finding::Failed)?;
        let mounted = store.io().device().counters().completed;
        let is_stopped = do_steps(&mut store, &mut workload, script)?;
        let completions = store.io().device().counters().completed - mounted;
        let durable_at: Vec<u64> =
            store.io().device().fua_completions().filter_map(|at| at.checked_sub(mounted)).collect();
        if !is_stopped {
            verify::live(&mut store, &workload.model)?;
        }
        // Half of the cuts come at any moment, half just after something has become durable.
        let near = durable_at.get(self.rng.index(durable_at.len())).copied();
        let anywhere = self.rng.below(completions + 1);
        Ok(near.filter(|_| self.rng.below(2) == 0).map_or(anywhere, |at| at + self.rng.below(4) / 3))
    }

    /// The second pass: the same steps until the power goes.
    fn pass_to_the_cut(
        &self,
        io: &mut DirectIo,
        mut workload: Workload,
        script: &Script,
        cut_after: u64,
    ) -> Result<Workload, Finding> {
        let (mut store, _) = Store::mount(&mut *io, self.mount).map_err(Finding::Failed)?;
        store.io_mut().device_mut().cut_power_after(cut_after);
        do_steps(&mut store, &mut workload, script)?;
        if io.device().is_powered() {
            io.device_mut().cut_power(&mut |_| ());
        }
        Ok(workload)
    }

    /// Draws how many steps a cycle has, and when its faults begin: damage to the log tells most when the crash is near.
    fn script(&mut self, layout: &Layout) -> Script {
        let steps = 1 + self.rng.below(STEPS_MAX);
        let faults_from = match self.weather {
            Weather::Fair | Weather::WriteError => 0,
            Weather::LogDamage => steps.saturating_sub(self.rng.below(STEPS_BEFORE_CRASH)),
        };
        Script { steps, faults_from, faults: self.faults(layout) }
    }

    fn recover(&mut self, io: &mut DirectIo, model: &Model, outcome: &mut Outcome) -> Result<Model, Finding> {
        // What struck before the crash stays; recovery itself meets no new faults.
        io.device_mut().set_faults(FaultPlan::default());
        if self.rng.below(3) == 0 {
            io.device_mut().cut_power_after(self.rng.below(RECOVERY_COMPLETIONS));
            let is_cut = Store::mount(&mut *io, self.mount).is_err() && !io.device().is_powered();
            outcome.crashes_in_recovery += u64::from(is_cut);
            if !is_cut {
                io.device_mut().cut_power(&mut |_| ());
            }
            io.device_mut().restore_power();
        }
        let (mut store, recovery) = Store::mount(&mut *io, self.mount).map_err(Finding::Failed)?;
        outcome.replays += u64::from(recovery.transactions > 0);
        outcome.transactions_replayed += recovery.transactions;
        outcome.orphans_freed += recovery.orphans;
        let model = verify::recovered(&mut store, model)?;
        // The mount has not committed what it freed: do so, for the next cycle begins from what is durable.
        store.sync().map_err(Finding::Failed)?;
        outcome.digest = digest(&store, outcome.digest);
        Ok(model)
    }

    /// After a clean unmount nothing is left to recover, and all is there.
    fn unmount_cleanly(&self, io: &mut DirectIo) -> Result<(), Finding> {
        let (store, _) = Store::mount(&mut *io, self.mount).map_err(Finding::Failed)?;
        store.unmount().map_err(Finding::Failed)?;
        io.device_mut().cut_power(&mut |_| ());
        io.device_mut().restore_power();
        let (mut store, recovery) = Store::mount(&mut *io, self.mount).map_err(Finding::Failed)?;
        if recovery.transactions > 0 || recovery.orphans > 0 {
            return Err(Finding::NotClean);
        }
        verify::live(&mut store, &self.model)
    }

    fn faults(&self, layout: &Layout) -> FaultPlan {
        let sectors = |blocks: std::ops::Range<u32>| {
            u64::from(blocks.start) * SECTORS_PER_BLOCK..u64::from(blocks.end) * SECTORS_PER_BLOCK
        };
        let one = FaultPlan { faults_max: 1, fua_is_spared: true, ..FaultPlan::default() };
        match self.weather {
            Weather::Fair => FaultPlan::default(),
            Weather::WriteError => {
                FaultPlan { write_error_ppm: 2_000, sectors: sectors(0..layout.blocks), fua_is_spared: false, ..one }
            }
            Weather::LogDamage => FaultPlan {
                torn_write_ppm: 60_000,
                misdirected_write_ppm: 60_000,
                latent_sector_ppm: 10_000,
                sectors: sectors(layout.journal_start()..layout.block_bitmap()),
                ..one
            },
        }
    }
}

/// Does the steps; true where the device ended them early.
fn do_steps(store: &mut workload::CrashStore<'_>, workload: &mut Workload, script: &Script) -> Result<bool, Finding> {
    // From the start the device keeps in mind what FUA wrote, so that a later fault can spare it.
    let no_faults = FaultPlan { fua_is_spared: script.faults.fua_is_spared, ..FaultPlan::default() };
    store.io_mut().device_mut().set_faults(no_faults);
    for step in 0..script.steps {
        if step == script.faults_from {
            store.io_mut().device_mut().set_faults(script.faults.clone());
        }
        match workload.step(store) {
            Ok(()) => {}
            Err(Stop::Device) => return Ok(true),
            Err(Stop::Wrong(error)) => return Err(Finding::Failed(error)),
        }
    }
    Ok(false)
}

/// Continues `digest` over every block below the store.
fn digest(store: &workload::CrashStore<'_>, digest: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(digest);
    let device = store.io().device();
    for sector in 0..device.sectors() {
        hasher.update(device.durable(sector).unwrap_or(&[]));
    }
    hasher.finalize()
}
