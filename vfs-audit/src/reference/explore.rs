//! Interleavings of a workload under the controlled scheduler, each from a seed of its own.

use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use super::fs::new_device;
use super::lock::{Fault, FaultKind, Lock, Mode as LockMode};
use super::mutant::{Deviation, Step};
use super::object::{Path, leaf};
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
    /// Seeds of interleavings with a fault, and the first fault of each.
    pub failing: Vec<(u64, Fault)>,
}

/// Failing seeds that are kept.
const FAILING_MAX: usize = 20;

/// Names of the workloads that can be explored.
pub fn workloads() -> Vec<&'static str> {
    CONTENTIONS.iter().map(|contention| contention.name).collect()
}

/// Explores a workload from a seed on; nothing when there is none of that name. With `inverted`, one of its tasks takes
/// two locks in the order opposite to everybody else's.
pub fn explore(
    catalogue: &Catalogue,
    workload: &str,
    seed: u64,
    interleavings: u64,
    inverted: bool,
) -> Option<Exploration> {
    let contention = CONTENTIONS.iter().find(|contention| contention.name == workload)?;
    let deviation = if inverted { Deviation::Step(Step::InvertedOrder) } else { Deviation::None };
    let mut lab = Lab::new(Arc::new(Plans::compile(catalogue)), deviation);
    let mut exploration = Exploration::default();
    let mut seen = HashSet::new();
    for number in 0..interleavings {
        let seed = seed.wrapping_add(number);
        let (trace, faults) = interleave(&mut lab, contention, seed);
        exploration.interleavings += 1;
        exploration.steps += trace.steps;
        exploration.distinct += u64::from(seen.insert(trace.hash));
        if let Some(fault) = faults.into_iter().next()
            && exploration.failing.len() < FAILING_MAX
        {
            exploration.failing.push((seed, fault));
        }
    }
    exploration.run = lab.finish();
    Some(exploration)
}

/// One interleaving on a machine of its own.
fn interleave(lab: &mut Lab, contention: &'static Contention, seed: u64) -> (Trace, Vec<Fault>) {
    let kernel = lab.machine();
    let root = Mutex::new(None);
    lab.on(&kernel, "setup", seed, |t| {
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
        lab.on(&kernel, "teardown", seed, |t| {
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

/// What a wrong task does: the second parent before the first, without the rename mutex.
fn invert(t: &Task, root: Path) {
    let _frame = t.frame("invert");
    let child = leaf(&root.dentry.d_children).get("a").copied().and_then(|dentry| dentry.inode());
    let (Some(parent), Some(child)) = (root.dentry.inode(), child) else { return };
    let (first, second): (&'static Lock, &'static Lock) = (&child.i_rwsem, &parent.i_rwsem);
    for _ in 0..STEPS * 2 {
        first.acquire(t, LockMode::Exclusive);
        t.kernel.deviated.fetch_add(1, SeqCst);
        second.acquire(t, LockMode::Exclusive);
        second.release(t);
        first.release(t);
    }
}
