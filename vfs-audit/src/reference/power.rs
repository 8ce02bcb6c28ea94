//! Power cuts under the whole VFS: what `fsync` has promised is there after the next mount.
//!
//! The store by itself is crashed by `disk::crash`, which looks at far more. Here the promise is made by a system call, on
//! its way through page cache, buffers and journal.

use std::sync::{Arc, Mutex};

use super::disk::device::Device;
use super::fs::{device_of, new_device, with_device};
use super::lock::{Fault, FaultKind};
use super::mutant::{Deviation, Step};
use super::object::open_flags::{O_CREAT, O_RDONLY, O_RDWR};
use super::object::{PAGE_SIZE, Result, leaf};
use super::observe::Plans;
use super::run::{Lab, Run};
use super::task::Task;
use super::workload::each::{expect_data, pattern};
use super::workload::user::User;
use crate::rules::Catalogue;

/// Blocks of the disk.
const DISK_BLOCKS: u64 = 2048;
/// Files of one run; each is promised or not.
const FILES_MAX: u64 = 6;

/// What power cuts came to.
#[derive(Clone, Debug, Default)]
pub struct PowerCuts {
    /// What was observed on the way.
    pub run: Run,
    /// Runs.
    pub runs: u64,
    /// Files that were promised durable.
    pub promises: u64,
    /// Seeds whose promise was broken.
    pub broken: Vec<u64>,
}

/// A file with what is in it, and whether that was promised.
type Promise = (String, Vec<u8>, bool);

/// Cuts the power so many times, each from a seed; with `skips_flush` the driver keeps flushes from the disk.
pub fn power_cuts(catalogue: &Catalogue, seed: u64, runs: u64, skips_flush: bool) -> PowerCuts {
    let deviation = if skips_flush { Deviation::Step(Step::SkipsFlush) } else { Deviation::None };
    let mut lab = Lab::new(Arc::new(Plans::compile(catalogue)), deviation);
    let mut cuts = PowerCuts::default();
    for seed in (0..runs).map(|number| seed.wrapping_add(number)) {
        let (promised, kept) = one(&mut lab, seed);
        cuts.runs += 1;
        cuts.promises += promised;
        if !kept {
            cuts.broken.push(seed);
        }
    }
    cuts.run = lab.finish();
    cuts
}

/// One run; gives the number of promises, and whether all were kept.
fn one(lab: &mut Lab, seed: u64) -> (u64, bool) {
    let written: Mutex<(Vec<Promise>, Option<Device>)> = Mutex::default();
    let before = lab.machine();
    Lab::on(&before, "before the cut", seed, |t| {
        t.uid.set(0);
        let device = new_device(t.kernel, DISK_BLOCKS, seed);
        let user = User::mount(t, "disk", Some(device))?;
        let promises = write(t, &user, seed)?;
        // The machine stops here: nothing is closed, nothing is unmounted.
        *leaf(&written) = (promises, Some(device_of(device)?));
        Ok(())
    });
    lab.retire(&before);
    let (promises, device) = std::mem::take(&mut *leaf(&written));
    let Some(mut device) = device else { return (0, false) };
    device.cut_power(&mut |_| {});
    device.restore_power();
    let after = lab.machine();
    Lab::on(&after, "after the cut", seed, |t| {
        t.uid.set(0);
        let user = User::mount(t, "disk", Some(with_device(t.kernel, device)))?;
        for (name, data, _) in promises.iter().filter(|(_, _, promised)| *promised) {
            match user.open(name, O_RDONLY) {
                Ok(file) => {
                    expect_data(t, "what fsync has promised", &user.read(file, data.len() + 1, 0)?, data);
                    user.close(file)?;
                }
                Err(error) => {
                    let what = format!("a file that was promised cannot be opened: error {}", error.0);
                    t.kernel.report(Fault { kind: FaultKind::WrongData, what });
                }
            }
        }
        user.umount(false)
    });
    let kept = after.faults().is_empty();
    lab.retire(&after);
    (promises.iter().filter(|(_, _, promised)| *promised).count() as u64, kept)
}

/// Writes files, some with a promise.
fn write(t: &Task, user: &User<'_, '_>, seed: u64) -> Result<Vec<Promise>> {
    let mut promises = Vec::new();
    for number in 0..=t.below(FILES_MAX) {
        let name = format!("file{number}");
        let data = pattern(seed ^ number, t.below(3 * PAGE_SIZE as u64) as usize + 1);
        let file = user.open(&name, O_CREAT | O_RDWR)?;
        user.write(file, &data, 0)?;
        let promised = t.below(3) > 0;
        if promised {
            user.fsync(file)?;
        }
        if t.below(2) == 0 {
            user.close(file)?;
        }
        promises.push((name, data, promised));
    }
    Ok(promises)
}
