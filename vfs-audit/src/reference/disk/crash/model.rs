//! What the store should hold: the tree now, the trees it may recover to, and what every file may contain.

use std::collections::BTreeMap;

use super::super::store::{Ino, Kind, ROOT_INO};
use super::contents::Contents;

/// Names come from a small pool, so that operations meet each other.
pub(super) type Name = u8;

/// Different names.
pub(super) const NAMES: Name = 18;

/// The bytes of a name.
pub(super) fn name_bytes(name: Name) -> Vec<u8> {
    format!("name-{name:03}").into_bytes()
}

/// The target of a symbolic link made by operation `op`.
pub(super) fn target_bytes(op: u64) -> Vec<u8> {
    format!("../target/of/{op}").into_bytes()
}

/// What the model knows of an inode beside its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) nlink: u32,
    /// Bytes of a file; 0 for all else.
    pub(super) size: u64,
    pub(super) mtime_ns: u64,
    pub(super) mode: u16,
    /// The target of a symbolic link.
    pub(super) target: Vec<u8>,
}

/// A whole namespace: what a recovered store is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) entries: BTreeMap<(Ino, Name), Ino>,
    pub(super) nodes: BTreeMap<Ino, Node>,
}

impl Tree {
    pub(super) fn node(&mut self, ino: Ino) -> Option<&mut Node> {
        self.nodes.get_mut(&ino)
    }

    pub(super) fn has_entries(&self, dir: Ino) -> bool {
        self.entries.range((dir, Name::MIN)..=(dir, Name::MAX)).next().is_some()
    }

    /// The first difference from `other`, for a report.
    pub(super) fn difference(&self, other: &Self) -> String {
        let keys = self.entries.keys().chain(other.entries.keys());
        for key in keys {
            let (here, there) = (self.entries.get(key), other.entries.get(key));
            if here != there {
                return format!("entry {} of directory {}: {here:?}, promised {there:?}", key.1, key.0);
            }
        }
        for ino in self.nodes.keys().chain(other.nodes.keys()) {
            let (here, there) = (self.nodes.get(ino), other.nodes.get(ino));
            if here != there {
                return format!("inode {ino}: {here:?}, promised {there:?}");
            }
        }
        "none".into()
    }
}

/// The model of one mounted store.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) tree: Tree,
    /// Inodes without a name that something has open.
    pub(super) open_orphans: Vec<Ino>,
    contents: BTreeMap<Ino, Contents>,
    /// The tree after each operation, from the last promise on.
    moments: Vec<(u64, Tree)>,
    op: u64,
}

impl Model {
    /// The model of a store that holds `tree` and `contents`, all of it durable, after `op` operations. The numbers go on
    /// from there: as times of change they tell two trees apart that are equal otherwise.
    pub(super) fn durable(tree: Tree, contents: BTreeMap<Ino, Contents>, op: u64) -> Self {
        let moments = vec![(op, tree.clone())];
        Self { tree, open_orphans: Vec::new(), contents, moments, op }
    }

    /// The model of an empty store.
    pub(super) fn empty() -> Self {
        let mut tree = Tree::default();
        let root = Node { kind: Kind::Directory, nlink: 2, size: 0, mtime_ns: 0, mode: 0o755, target: Vec::new() };
        tree.nodes.insert(ROOT_INO, root);
        Self::durable(tree, BTreeMap::new(), 0)
    }

    /// Begins an operation and numbers it; the number is also the time it happens at.
    pub(super) fn next_op(&mut self) -> u64 {
        self.op += 1;
        self.op
    }

    pub(super) fn contents(&mut self, ino: Ino) -> &mut Contents {
        self.contents.entry(ino).or_default()
    }

    pub(super) fn contents_of(&self, ino: Ino) -> Option<&Contents> {
        self.contents.get(&ino)
    }

    /// The operation has happened: a crash may recover to here.
    pub(super) fn record(&mut self) {
        self.moments.push((self.op, self.tree.clone()));
    }

    /// Every operation so far is durable.
    pub(super) fn promise_tree(&mut self) {
        let newest = self.moments.len().saturating_sub(1);
        self.moments.drain(..newest);
    }

    /// All data so far is durable.
    pub(super) fn promise_all_contents(&mut self) {
        for contents in self.contents.values_mut() {
            contents.promise();
        }
    }

    /// How many operations there have been, done or not.
    pub(super) fn op(&self) -> u64 {
        self.op
    }

    /// The operation after which the tree was `recovered`, no earlier than the last promise.
    pub(super) fn moment_of(&self, recovered: &Tree) -> Option<u64> {
        self.moments.iter().rev().find(|(_, tree)| tree == recovered).map(|(op, _)| *op)
    }

    /// The tree that was last promised.
    pub(super) fn promised_tree(&self) -> &Tree {
        self.moments.first().map_or(&self.tree, |(_, tree)| tree)
    }

    /// How many operations a crash now may lose.
    pub(super) fn unpromised(&self) -> u64 {
        self.moments.len() as u64 - 1
    }
}
