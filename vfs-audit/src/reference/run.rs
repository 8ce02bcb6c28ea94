//! A run: machines with a workload on them, and everything that they brought.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::fs;
use super::kernel::Kernel;
use super::lock::{Fault, FaultKind};
use super::mutant::Deviation;
use super::object::{Path, Result, leaf};
use super::observe::{Plans, Results};
use super::random::Random;
use super::sched::{Mode, Stuck};
use super::task::Task;
use super::workload::contend::view;
use super::workload::each::SCENARIOS;
use super::workload::user::User;
use super::workload::{fsx, mix};
use crate::observation::Observation;
use crate::rules::Catalogue;

/// What to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all chance comes from.
    pub seed: u64,
    /// System calls at least.
    pub ops: u64,
    /// Threads, for workloads that run on several.
    pub threads: usize,
    /// The workload.
    pub workload: Workload,
}

/// What a run brought.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Equal invocations, folded, each with a count.
    pub observations: Vec<Observation>,
    /// What the lock model and the data checks found.
    pub faults: Vec<Fault>,
    /// Rules that the reference VFS cannot decide, by id, with the reason.
    pub missing: BTreeMap<String, String>,
    /// System calls made.
    pub syscalls: u64,
    /// Callbacks invoked.
    pub invocations: u64,
    /// Times that the deviation took effect.
    pub deviated: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Several machines, one after the other, that share what they record.
pub(crate) struct Lab {
    pub(crate) plans: Arc<Plans>,
    pub(crate) deviation: Deviation,
    results: Arc<Results>,
    faults: Vec<Fault>,
    deviated: u64,
    began: Instant,
}

impl Lab {
    /// A lab for a rule set.
    pub(crate) fn new(plans: Arc<Plans>, deviation: Deviation) -> Self {
        let results = Arc::default();
        Self { plans, deviation, results, faults: Vec::new(), deviated: 0, began: Instant::now() }
    }

    /// A machine that has just come up.
    pub(crate) fn machine(&self) -> Arc<Kernel> {
        Kernel::new(Arc::clone(&self.plans), Arc::clone(&self.results), fs::ALL, self.deviation)
    }

    /// Takes over what a machine has found; it is not used any more.
    pub(crate) fn retire(&mut self, kernel: &Kernel) {
        self.results.settle(&kernel.calls);
        self.deviated += kernel.deviated.load(std::sync::atomic::Ordering::SeqCst);
        for fault in kernel.faults() {
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }

    /// Runs a program on a machine of its own, on this thread.
    pub(crate) fn alone(&mut self, name: &'static str, seed: u64, program: impl FnOnce(&Task) -> Result<()>) {
        let kernel = self.machine();
        Self::on(&kernel, name, seed, program);
        self.retire(&kernel);
    }

    /// Runs a program on a machine, on this thread.
    pub(crate) fn on(kernel: &Kernel, name: &'static str, seed: u64, program: impl FnOnce(&Task) -> Result<()>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let task = Task::new(kernel, name, Mode::Threads, seed);
            program(&task)
        }));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let what = format!("the program `{name}` ended with error {}", error.0);
                kernel.report(Fault { kind: FaultKind::WrongData, what });
            }
            // The fault that it is stuck in was reported.
            Err(payload) if payload.is::<Stuck>() => {}
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Ends the run.
    pub(crate) fn finish(self) -> Run {
        let brought = self.results.finish(&self.plans);
        Run {
            observations: brought.observations,
            faults: self.faults,
            missing: self.plans.missing().clone(),
            syscalls: brought.syscalls,
            invocations: brought.invocations,
            deviated: self.deviated,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }

    /// System calls so far.
    pub(crate) fn syscalls(&self) -> u64 {
        self.results.syscalls()
    }
}

/// What is run on this thread, or on several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Every op by itself, round after round.
    Each,
    /// Random operations on one file, checked against a model.
    Fsx,
    /// A mix of the usual calls, as fast as they go.
    Mix,
}

/// Runs a workload.
pub fn run(catalogue: &Catalogue, config: &Config) -> Run {
    run_with(Plans::compile(catalogue), config)
}

/// Runs it with nothing observed: what the reference VFS costs by itself.
pub fn run_unobserved(config: &Config) -> Run {
    run_with(Plans::none(), config)
}

fn run_with(plans: Plans, config: &Config) -> Run {
    let mut lab = Lab::new(Arc::new(plans), Deviation::None);
    let mut random = Random::new(config.seed);
    match config.workload {
        Workload::Mix => mixed(&mut lab, config),
        Workload::Each => {
            while lab.syscalls() < config.ops {
                each_once(&mut lab, &mut random);
            }
        }
        Workload::Fsx => {
            let steps = config.ops.div_ceil(fsx::FILE_SYSTEMS.len() as u64);
            for fs in fsx::FILE_SYSTEMS {
                lab.alone("fsx", random.next(), |t| fsx::fsx(t, fs, steps));
            }
        }
    }
    lab.finish()
}

/// Threads on one machine, each with its share of the calls.
fn mixed(lab: &mut Lab, config: &Config) {
    let kernel = lab.machine();
    let root = Mutex::new(None);
    Lab::on(&kernel, "setup", config.seed, |t| {
        t.uid.set(0);
        let user = User::mount(t, "memory", None)?;
        mix::prepare(&user)?;
        *leaf(&root) = Some(user.root);
        Ok(())
    });
    let Some(root) = *leaf(&root) else { return };
    let threads = config.threads.max(1);
    let share = config.ops / threads as u64;
    kernel.parking.set_threads(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let kernel = &kernel;
            let seed = config.seed.wrapping_add(thread as u64);
            scope.spawn(move || Lab::on(kernel, "mix", seed, |t| mix_rounds(t, root, thread, share)));
        }
    });
    kernel.parking.set_threads(1);
    Lab::on(&kernel, "teardown", config.seed, |t| view(t, root).umount(false));
    lab.retire(&kernel);
}

fn mix_rounds(t: &Task, root: Path, thread: usize, share: u64) -> Result<()> {
    t.uid.set(0);
    let mut number = 0;
    while t.syscalls_made() < share {
        mix::round(t, root, thread, number)?;
        number += 1;
    }
    Ok(())
}

/// One round of every scenario.
pub(crate) fn each_once(lab: &mut Lab, random: &mut Random) {
    for scenario in SCENARIOS {
        lab.alone(scenario.name, random.next(), scenario.run);
    }
}
