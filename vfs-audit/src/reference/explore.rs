//! Interleavings of a workload under the controlled scheduler, each from a seed of its own.

use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use super::fs::new_device;
use super::lock::{Fault, FaultKind, Mode as LockMode, Nest};
use super::mutant::{Deviation, Step};
use super::object::{Dentry, Path, leaf};
use super::observe::Plans;
use super::run::{Lab, Run};
use super::sched::{Program, Trace, explore_once};
use super::task::Task;
use super::workload::contend::{CONTENTIONS, Contention, view};
use super::workload::user::User;
use crate::rules::Catalogue;

/// Blocks of a workload's disk.
const DISK_BLOCKS: u64 = 2048;
/// Steps of each task of one interleaving.
const STEPS: u64 = 2;

/// What many interleavings came to.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// What they brought together.
    pub run: Run,
    /// Interleavings run.
    pub interleavings: u64,
    /// Those that differ from all others in who went on when.
    pub distinct: u64,
    /// Scheduling points passed.
    pub steps: u64,
    /// Interleavings with a fault.
    pub failed: u64,
    /// Seeds of some of them, with what was found.
    pub failing: Vec<(u64, Vec<Fault>)>,
}

/// What can be wrong with a workload's tasks, for the scheduler to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrongdoing {
    /// A task acquires two directories in an order of its own.
    Inversion,
    /// The end of writeback wakes nobody.
    LostWakeUp,
}

impl Wrongdoing {
    fn step(self) -> Step {
        match self {
            Self::Inversion => Step::InvertedOrder,
            Self::LostWakeUp => Step::ForgetsWakeUp,
        }
    }
}

/// Failing seeds that are kept.
const FAILING_MAX: usize = 20;

/// Names of the workloads that can be explored.
pub fn workloads() -> Vec<&'static str> {
    CONTENTIONS.iter().map(|contention| contention.name).collect()
}

/// Explores a workload from a seed on, with something wrong if asked for; nothing when there is none of that name.
pub fn explore(
    catalogue: &Catalogue,
    workload: &str,
    seed: u64,
    interleavings: u64,
    wrong: Option<Wrongdoing>,
) -> Option<Exploration> {
    let contention = CONTENTIONS.iter().find(|contention| contention.name == workload)?;
    let deviation = wrong.map_or(Deviation::None, |wrong| Deviation::Step(wrong.step()));
    let mut lab = Lab::new(Arc::new(Plans::compile(catalogue)), deviation);
    let mut exploration = Exploration::default();
    let mut seen = HashSet::new();
    for number in 0..interleavings {
        let seed = seed.wrapping_add(number);
        let (trace, faults) = interleave(&mut lab, contention, seed);
        exploration.interleavings += 1;
        exploration.steps += trace.steps;
        exploration.distinct += u64::from(seen.insert(trace.hash));
        exploration.failed += u64::from(!faults.is_empty());
        if !faults.is_empty() && exploration.failing.len() < FAILING_MAX {
            exploration.failing.push((seed, faults));
        }
    }
    exploration.run = lab.finish();
    Some(exploration)
}

/// One interleaving on a machine of its own.
fn interleave(lab: &mut Lab, contention: &'static Contention, seed: u64) -> (Trace, Vec<Fault>) {
    let kernel = lab.machine();
    let root = Mutex::new(None);
    Lab::on(&kernel, "setup", seed, |t| {
        t.uid.set(0);
        let device = (contention.fs == "disk").then(|| new_device(t.kernel, DISK_BLOCKS, seed));
        let user = User::mount(t, contention.fs, device)?;
        (contention.before)(&user)?;
        *leaf(&root) = Some(user.root);
        Ok(())
    });
    let Some(root) = *leaf(&root) else {
        lab.retire(&kernel);
        return (Trace::default(), kernel.faults());
    };
    let mut programs: Vec<_> = contention.tasks.iter().map(|(name, body)| program(name, *body, root)).collect();
    if lab.deviation == Deviation::Step(Step::InvertedOrder) {
        programs.push(Program { name: "inverter", body: Box::new(move |t| invert(t, root)) });
    }
    let trace = explore_once(&kernel, programs, seed);
    if !trace.stuck {
        Lab::on(&kernel, "teardown", seed, |t| {
            let mounted = leaf(&t.kernel.globals.mounts).iter().any(|mount| std::ptr::eq(*mount, root.mnt));
            if mounted { view(t, root).umount(false) } else { Ok(()) }
        });
        check_memory(&kernel);
    }
    let faults = kernel.faults();
    lab.retire(&kernel);
    (trace, faults)
}

fn program(name: &'static str, body: fn(&User<'_, '_>, u64) -> super::object::Result<()>, root: Path) -> Program {
    Program {
        name,
        body: Box::new(move |t| {
            t.uid.set(0);
            if let Err(error) = body(&view(t, root), STEPS) {
                let what = format!("the task `{name}` ended with error {}", error.0);
                t.kernel.report(Fault { kind: FaultKind::WrongData, what });
            }
        }),
    }
}

/// After everything is unmounted nothing may be left.
fn check_memory(kernel: &super::kernel::Kernel) {
    let slabs = &kernel.slabs;
    let left = [
        ("superblocks", slabs.super_blocks.in_use()),
        ("inodes", slabs.inodes.in_use()),
        ("dentries", slabs.dentries.in_use()),
        ("mounts", slabs.mounts.in_use()),
    ];
    for (what, count) in left.into_iter().filter(|(_, count)| *count > 0) {
        let what = format!("{count} {what} are left after everything was unmounted");
        kernel.report(Fault { kind: FaultKind::BadObject, what });
    }
}

/// What a wrong task does: it holds two parents as a rename does, but without the rename mutex, so that nothing says which
/// of them comes first. The classes are in order; only the instances are not.
fn invert(t: &Task, root: Path) {
    let _frame = t.frame("invert");
    let of = |name: &str| leaf(&root.dentry.d_children).get(name).copied().and_then(Dentry::inode);
    let (Some(a), Some(b)) = (of("a"), of("b")) else { return };
    for _ in 0..STEPS * 2 {
        for (first, second) in [(a, b), (b, a)] {
            first.i_rwsem.acquire_nested(t, LockMode::Exclusive, Nest::Parent);
            t.kernel.deviated.fetch_add(1, SeqCst);
            second.i_rwsem.acquire_nested(t, LockMode::Exclusive, Nest::Parent2);
            second.i_rwsem.release(t);
            first.i_rwsem.release(t);
        }
    }
}
