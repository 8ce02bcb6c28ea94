//! Faults of the medium, as an overlay over the pristine store: what reads see where a fault has struck.
//!
//! The pristine store always holds what should be there, so a test can compare; a write to a sector heals it, as a
//! drive's remapping does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::request::{SECTOR_SIZE, Sector};
use crate::reference::disk::rng::Rng;

/// Which faults strike, how often, where, and how many at most. The default strikes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// Chance in a million that a read fails once.
    pub read_error_ppm: u32,
    /// Chance in a million that a write fails once, with any of its sectors written.
    pub write_error_ppm: u32,
    /// Chance in a million that a write claims success and leaves some sectors as they were.
    pub torn_write_ppm: u32,
    /// Chance in a million that a write claims success and lands elsewhere in `sectors`.
    pub misdirected_write_ppm: u32,
    /// Chance in a million that a sector of a write is unreadable from then on.
    pub latent_sector_ppm: u32,
    /// Where faults may strike.
    pub sectors: Range<u64>,
    /// Most faults in all; 0 means none.
    pub faults_max: u64,
    /// Whether FUA writes, and sectors last written by one, are spared.
    pub fua_is_spared: bool,
}

/// What is wrong with a sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectorFault {
    /// It cannot be read.
    Unreadable,
    /// It holds these bytes instead of those written to it.
    Holds(Box<Sector>),
}

/// What a fault does to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteFault {
    Error,
    Torn,
    Misdirected { to: u64 },
    Latent { at: u64 },
}

/// The overlay and the plan that feeds it.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    plan: FaultPlan,
    rng: Rng,
    sectors: BTreeMap<u64, SectorFault>,
    written_by_fua: BTreeSet<u64>,
    struck: u64,
    pub(super) withheld: u64,
}

impl Overlay {
    pub(super) fn new(plan: FaultPlan, rng: Rng) -> Self {
        let (sectors, written_by_fua) = (BTreeMap::new(), BTreeSet::new());
        Self { plan, rng, sectors, written_by_fua, struck: 0, withheld: 0 }
    }

    pub(super) fn set_plan(&mut self, plan: FaultPlan) {
        self.plan = plan;
    }

    pub(super) fn fault_at(&self, sector: u64) -> Option<&SectorFault> {
        self.sectors.get(&sector)
    }

    pub(super) fn put(&mut self, sector: u64, fault: SectorFault) {
        self.sectors.insert(sector, fault);
    }

    /// Puts the bytes `data` over `sector`, unless the plan spares it.
    pub(super) fn overwrite(&mut self, sector: u64, data: &[u8]) {
        if self.plan.fua_is_spared && self.written_by_fua.contains(&sector) {
            return;
        }
        let mut held = Box::new([0; SECTOR_SIZE]);
        held.copy_from_slice(data);
        self.sectors.insert(sector, SectorFault::Holds(held));
    }

    pub(super) fn heal(&mut self, sector: u64, fua: bool) {
        self.sectors.remove(&sector);
        if self.plan.fua_is_spared {
            if fua {
                self.written_by_fua.insert(sector);
            } else {
                self.written_by_fua.remove(&sector);
            }
        }
    }

    /// True where a read of `sectors` fails this once.
    pub(super) fn read_fails(&mut self, sectors: &Range<u64>) -> bool {
        self.may_strike(sectors) && self.rng.chance_ppm(self.plan.read_error_ppm) && self.strike()
    }

    /// The fault of a write of `sectors`, if one strikes.
    pub(super) fn write_fault(&mut self, sectors: &Range<u64>, fua: bool) -> Option<WriteFault> {
        if !self.may_strike(sectors) || (fua && self.plan.fua_is_spared) {
            return None;
        }
        let len = sectors.end - sectors.start;
        let fault = if self.rng.chance_ppm(self.plan.write_error_ppm) {
            WriteFault::Error
        } else if self.rng.chance_ppm(self.plan.torn_write_ppm) {
            WriteFault::Torn
        } else if self.rng.chance_ppm(self.plan.misdirected_write_ppm) {
            let room = (self.plan.sectors.end - self.plan.sectors.start).saturating_sub(len);
            WriteFault::Misdirected { to: self.plan.sectors.start + self.rng.below(room + 1) }
        } else if self.rng.chance_ppm(self.plan.latent_sector_ppm) {
            WriteFault::Latent { at: sectors.start + self.rng.below(len) }
        } else {
            return None;
        };
        self.strike().then_some(fault)
    }

    /// Draws, for a torn or failed write, whether a sector was written.
    pub(super) fn sector_is_written(&mut self) -> bool {
        self.rng.below(2) == 0
    }

    fn may_strike(&self, sectors: &Range<u64>) -> bool {
        self.plan.faults_max > 0 && sectors.start >= self.plan.sectors.start && sectors.end <= self.plan.sectors.end
    }

    fn strike(&mut self) -> bool {
        if self.struck >= self.plan.faults_max {
            self.withheld += 1;
            return false;
        }
        self.struck += 1;
        true
    }
}
