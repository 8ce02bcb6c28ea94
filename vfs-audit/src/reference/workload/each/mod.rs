//! Every op by itself: small programs, each on a machine of its own, that between them reach every callback and every
//! condition that a rule has.

mod attr;
mod data;
mod disk;
mod locks;
mod mapped;
mod names;
mod remote;

use crate::reference::lock::{Fault, FaultKind};
use crate::reference::object::{Errno, Result};
use crate::reference::task::Task;

/// A program.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Task) -> Result<()>,
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "names in memory", run: names::memory },
    Scenario { name: "names on disk", run: names::disk },
    Scenario { name: "names at a server", run: remote::names },
    Scenario { name: "a server's mounts", run: remote::mounts },
    Scenario { name: "data in memory", run: data::memory },
    Scenario { name: "transfers in memory", run: data::transfers },
    Scenario { name: "odds and ends in memory", run: data::odds },
    Scenario { name: "data on disk", run: disk::data },
    Scenario { name: "a bad sector", run: disk::bad_sector },
    Scenario { name: "writeback on disk", run: disk::writeback },
    Scenario { name: "page moves on disk", run: disk::pages },
    Scenario { name: "the disk itself", run: disk::device },
    Scenario { name: "swap on disk", run: disk::swap },
    Scenario { name: "freeze and remount", run: disk::freeze },
    Scenario { name: "mapped memory", run: mapped::memory },
    Scenario { name: "mapped disk", run: mapped::disk },
    Scenario { name: "mapped devices", run: mapped::devices },
    Scenario { name: "locks", run: locks::posix },
    Scenario { name: "leases", run: locks::leases },
    Scenario { name: "attributes", run: attr::attributes },
    Scenario { name: "quota", run: attr::quota },
    Scenario { name: "attribute data", run: attr::data },
];

/// Compares what was read with what was written; a difference is a finding.
pub(crate) fn expect_data(t: &Task, what: &str, found: &[u8], expected: &[u8]) {
    if found != expected {
        let at = found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
        let what = format!("{what}: {} bytes read, {} expected, first difference at {at}", found.len(), expected.len());
        t.kernel.report(Fault { kind: FaultKind::WrongData, what });
    }
}

/// Compares a result with the error that a call must end in.
pub(crate) fn expect_error<T>(t: &Task, what: &str, result: Result<T>, expected: Errno) {
    let found = result.err();
    if found != Some(expected) {
        let what = format!("{what}: {found:?} instead of {expected:?}");
        t.kernel.report(Fault { kind: FaultKind::WrongData, what });
    }
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut random = crate::reference::random::Random::new(seed);
    (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(length).collect()
}
