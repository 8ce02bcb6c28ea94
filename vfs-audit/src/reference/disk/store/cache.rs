//! Clean metadata blocks kept in memory, so that each is read and verified once; bounded, oldest out first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Block, BlockNr};

/// Verified metadata blocks that equal what is on disk.
#[derive(Debug)]
pub(super) struct CleanCache {
    blocks: BTreeMap<BlockNr, Arc<Block>>,
    order: VecDeque<BlockNr>,
    blocks_max: usize,
}

impl CleanCache {
    pub(super) fn new(blocks_max: usize) -> Self {
        Self { blocks: BTreeMap::new(), order: VecDeque::new(), blocks_max }
    }

    pub(super) fn get(&self, nr: BlockNr) -> Option<Arc<Block>> {
        self.blocks.get(&nr).cloned()
    }

    pub(super) fn put(&mut self, nr: BlockNr, block: Arc<Block>) {
        if self.blocks_max == 0 {
            return;
        }
        if self.blocks.insert(nr, block).is_none() {
            self.order.push_back(nr);
        }
        while self.blocks.len() > self.blocks_max {
            let Some(oldest) = self.order.pop_front() else { return };
            self.blocks.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, nr: BlockNr) {
        if self.blocks.remove(&nr).is_some() {
            self.order.retain(|other| *other != nr);
        }
    }
}
