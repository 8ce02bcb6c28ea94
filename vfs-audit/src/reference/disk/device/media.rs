//! The pristine store under the faults: durable sectors, and the volatile write cache before them.
//!
//! It holds what a device without faults would hold. A sector in the cache keeps every version since it was last
//! durable, because a power cut may leave any one of them.

use std::collections::BTreeMap;

use super::request::{SECTOR_SIZE, Sector};
use crate::reference::disk::rng::Rng;

/// Most sector versions the write cache holds; beyond, it writes back by itself.
pub const CACHE_VERSIONS_MAX: usize = 65_536;

#[derive(Debug, Clone)]
struct Version {
    order: u64,
    data: Box<Sector>,
}

/// Durable sectors and the cache.
#[derive(Debug, Clone)]
pub(super) struct Media {
    durable: Vec<u8>,
    cache: BTreeMap<u64, Vec<Version>>,
    cached_versions: usize,
    /// Counts completed writes: what a flush covers is "all up to here".
    order: u64,
    cache_is_volatile: bool,
    pub(super) evictions: u64,
}

impl Media {
    pub(super) fn new(sectors: u64, cache_is_volatile: bool) -> Self {
        let bytes = sectors as usize * SECTOR_SIZE;
        let (durable, cache) = (vec![0; bytes], BTreeMap::new());
        Self { durable, cache, cached_versions: 0, order: 0, cache_is_volatile, evictions: 0 }
    }

    /// What a read sees: the newest version.
    pub(super) fn newest(&self, sector: u64) -> &[u8] {
        match self.cache.get(&sector).and_then(|versions| versions.last()) {
            Some(version) => &version.data[..],
            None => self.durable_sector(sector),
        }
    }

    /// What survives for certain.
    pub(super) fn durable_sector(&self, sector: u64) -> &[u8] {
        &self.durable[range(sector)]
    }

    /// Marks that one more write completed; its sectors are written after this.
    pub(super) fn next_write(&mut self) {
        self.order += 1;
    }

    /// The number of the last completed write.
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// Writes one sector, into the cache or through it.
    pub(super) fn write(&mut self, sector: u64, data: &[u8], through: bool) {
        if through || !self.cache_is_volatile {
            self.durable[range(sector)].copy_from_slice(data);
            if let Some(older) = self.cache.remove(&sector) {
                self.cached_versions -= older.len();
            }
            return;
        }
        let mut copy = Box::new([0; SECTOR_SIZE]);
        copy.copy_from_slice(data);
        self.cache.entry(sector).or_default().push(Version { order: self.order, data: copy });
        self.cached_versions += 1;
        if self.cached_versions > CACHE_VERSIONS_MAX {
            self.evict();
        }
    }

    /// Makes durable every version of a write up to `order`.
    pub(super) fn flush(&mut self, order: u64) {
        let durable = &mut self.durable;
        let cached_versions = &mut self.cached_versions;
        self.cache.retain(|sector, versions| {
            let covered = versions.partition_point(|version| version.order <= order);
            if let Some(last) = versions[..covered].last() {
                durable[range(*sector)].copy_from_slice(&last.data[..]);
            }
            versions.drain(..covered);
            *cached_versions -= covered;
            !versions.is_empty()
        });
    }

    /// The power goes: each cached sector keeps its durable contents or any one later version. Returns how many sectors
    /// lost their newest contents.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) -> u64 {
        let survival = Survival::draw(rng);
        let mut lost = 0;
        for (sector, versions) in std::mem::take(&mut self.cache) {
            let kept = survival.versions_kept(versions.len(), rng);
            if kept > 0 {
                self.durable[range(sector)].copy_from_slice(&versions[kept - 1].data[..]);
            }
            lost += u64::from(kept < versions.len());
        }
        self.cached_versions = 0;
        lost
    }

    fn evict(&mut self) {
        if let Some((sector, versions)) = self.cache.pop_first() {
            if let Some(last) = versions.last() {
                self.durable[range(sector)].copy_from_slice(&last.data[..]);
            }
            self.cached_versions -= versions.len();
            self.evictions += 1;
        }
    }
}

/// How much of the unflushed survives one power cut. The extremes are drawn often: all lost shows a missing flush at
/// once, one in a mix shows a missing order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Survival {
    Nothing,
    Everything,
    Any,
}

impl Survival {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::Nothing,
            1 => Self::Everything,
            _ => Self::Any,
        }
    }

    /// How many of `len` versions, oldest first, had reached the medium; 0 is none.
    pub(super) fn versions_kept(self, len: usize, rng: &mut Rng) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything => len,
            Self::Any => rng.index(len + 1),
        }
    }
}

fn range(sector: u64) -> std::ops::Range<usize> {
    let start = sector as usize * SECTOR_SIZE;
    start..start + SECTOR_SIZE
}
