//! What a file may hold after a crash: for each sector the versions written since it was last promised.

use std::rc::Rc;

use super::super::device::{SECTOR_SIZE, Sector};
use super::super::store::BLOCK_SIZE;

const SECTORS_PER_BLOCK: usize = BLOCK_SIZE / SECTOR_SIZE;

/// One contents of one sector.
#[derive(Debug, Clone)]
struct Version {
    /// The operation that wrote it.
    op: u64,
    /// Zeros where there is none.
    bytes: Option<Rc<Sector>>,
    /// It stands in another block than the version before, or in none: which of the two a file shows is decided by its
    /// metadata alone.
    is_fresh: bool,
    /// Written before the commit of its operation: a file that has recovered to `op` or later shows it or a later one.
    is_floor: bool,
}

const ZERO: Version = Version { op: 0, bytes: None, is_fresh: true, is_floor: true };

/// One inode's contents, now and since the last promise. It outlives the file: the inode number may be used again.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    now: Vec<u8>,
    size: usize,
    is_mapped: Vec<bool>,
    sectors: Vec<Vec<Version>>,
}

impl Contents {
    /// The contents `bytes`, promised, with these blocks not holes.
    pub(super) fn promised(bytes: &[u8], is_mapped: &[bool]) -> Self {
        let mut contents = Self { size: bytes.len(), ..Self::default() };
        contents.grow(bytes.len().max(is_mapped.len() * BLOCK_SIZE));
        contents.now[..bytes.len()].copy_from_slice(bytes);
        contents.is_mapped[..is_mapped.len()].copy_from_slice(is_mapped);
        for sector in 0..contents.sectors.len() {
            let version = contents.version(sector, 0, true, true);
            contents.sectors[sector] = vec![version];
        }
        contents
    }

    /// What a read of the whole file returns now.
    pub(super) fn now(&self) -> &[u8] {
        &self.now[..self.size]
    }

    /// The operation `op` writes `bytes` at `offset`.
    pub(super) fn write(&mut self, op: u64, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.grow(end);
        if end > self.size {
            self.clear_tail(op, self.size);
        }
        self.now[offset..end].copy_from_slice(bytes);
        self.size = self.size.max(end);
        for block in offset / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE) {
            let is_fresh = !std::mem::replace(&mut self.is_mapped[block], true);
            for sector in block * SECTORS_PER_BLOCK..(block + 1) * SECTORS_PER_BLOCK {
                let is_written = sector * SECTOR_SIZE < end && (sector + 1) * SECTOR_SIZE > offset;
                if is_written || is_fresh {
                    self.push(sector, op, is_fresh);
                }
            }
        }
    }

    /// The operation `op` makes the file `size` bytes long.
    pub(super) fn set_size(&mut self, op: u64, size: usize) {
        self.grow(size);
        self.clear_tail(op, size.min(self.size));
        for block in size.div_ceil(BLOCK_SIZE)..self.is_mapped.len() {
            if std::mem::take(&mut self.is_mapped[block]) {
                self.now[block * BLOCK_SIZE..(block + 1) * BLOCK_SIZE].fill(0);
                for sector in block * SECTORS_PER_BLOCK..(block + 1) * SECTORS_PER_BLOCK {
                    self.push(sector, op, true);
                }
            }
        }
        self.size = size;
    }

    /// Everything written so far is durable.
    pub(super) fn promise(&mut self) {
        for versions in &mut self.sectors {
            versions.drain(..versions.len().saturating_sub(1));
        }
    }

    /// Whether a file that has recovered to the moment after `op` may hold `bytes` in this sector; `bytes` are cut at the
    /// end of the file.
    pub(super) fn may_hold(&self, sector: usize, op: u64, bytes: &[u8]) -> bool {
        let versions = self.sectors.get(sector).map_or(&[ZERO][..], |versions| versions);
        let reached = versions.partition_point(|version| version.op <= op);
        let is_start = |version: &Version| version.is_floor || version.is_fresh;
        let start = versions[..reached].iter().rposition(is_start).unwrap_or(0);
        let later = versions[reached..].iter().position(|version| version.is_fresh);
        let end = later.map_or(versions.len(), |at| reached + at);
        versions[start..end].iter().any(|version| match &version.bytes {
            Some(held) => &held[..bytes.len()] == bytes,
            None => bytes.iter().all(|byte| *byte == 0),
        })
    }

    fn grow(&mut self, size: usize) {
        let blocks = size.div_ceil(BLOCK_SIZE);
        if blocks > self.is_mapped.len() {
            self.is_mapped.resize(blocks, false);
            self.now.resize(blocks * BLOCK_SIZE, 0);
            self.sectors.resize(blocks * SECTORS_PER_BLOCK, vec![ZERO]);
        }
    }

    /// The store clears what a mapped block holds past the end of the file, before the commit.
    fn clear_tail(&mut self, op: u64, end: usize) {
        let block = end / BLOCK_SIZE;
        if !end.is_multiple_of(BLOCK_SIZE) && self.is_mapped[block] {
            self.now[end..(block + 1) * BLOCK_SIZE].fill(0);
            for sector in block * SECTORS_PER_BLOCK..(block + 1) * SECTORS_PER_BLOCK {
                let version = self.version(sector, op, false, true);
                self.sectors[sector].push(version);
            }
        }
    }

    fn push(&mut self, sector: usize, op: u64, is_fresh: bool) {
        let version = self.version(sector, op, is_fresh, is_fresh);
        self.sectors[sector].push(version);
    }

    fn version(&self, sector: usize, op: u64, is_fresh: bool, is_floor: bool) -> Version {
        let bytes = &self.now[sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE];
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        let bytes = (!is_zero).then(|| {
            let mut copy = [0; SECTOR_SIZE];
            copy.copy_from_slice(bytes);
            Rc::new(copy)
        });
        Version { op, bytes, is_fresh, is_floor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(contents: &Contents, op: u64, byte: u8) -> bool {
        contents.may_hold(0, op, &[byte; SECTOR_SIZE])
    }

    #[test]
    fn after_a_promise_only_that_version_and_later_ones_may_be_there() {
        let mut contents = Contents::default();
        contents.write(1, 0, &[1; BLOCK_SIZE]);
        contents.write(2, 0, &[2; BLOCK_SIZE]);
        contents.promise();
        contents.write(3, 0, &[3; BLOCK_SIZE]);
        assert_eq!([0, 1, 2, 3].map(|byte| holds(&contents, 2, byte)), [false, false, true, true]);
    }

    #[test]
    fn a_hole_and_what_fills_it_are_told_apart_by_the_metadata() {
        let mut contents = Contents::default();
        contents.write(5, 0, &[5; BLOCK_SIZE]);
        assert_eq!([0, 5].map(|byte| holds(&contents, 4, byte)), [true, false]);
        assert_eq!([0, 5].map(|byte| holds(&contents, 5, byte)), [false, true]);
        contents.set_size(6, 0);
        assert_eq!([0, 5].map(|byte| holds(&contents, 5, byte)), [false, true]);
        assert_eq!([0, 5].map(|byte| holds(&contents, 6, byte)), [true, false]);
    }

    #[test]
    fn a_cleared_tail_is_a_floor_once_its_operation_is_recovered() {
        let mut contents = Contents::default();
        contents.write(1, 0, &[1; BLOCK_SIZE]);
        contents.promise();
        contents.set_size(2, 100);
        contents.set_size(3, BLOCK_SIZE);
        let second = |op, byte| contents.may_hold(1, op, &[byte; SECTOR_SIZE]);
        assert_eq!((second(1, 1), second(1, 0)), (true, true));
        assert_eq!((second(3, 1), second(3, 0)), (false, true));
    }
}
