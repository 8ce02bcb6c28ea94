//! Comparing a store with its model: the live store exactly, a recovered one with what had been promised.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::fmt;

use super::super::device::SECTOR_SIZE;
use super::super::store::{BLOCK_SIZE, Error, Ino, Kind, Problem, ROOT_INO};
use super::contents::Contents;
use super::model::{Model, NAMES, Name, Node, Tree, name_bytes};
use super::workload::CrashStore;

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The store failed an operation or a mount that it should have done.
    Failed(Error),
    /// The store contradicts itself.
    Unsound(Problem),
    /// The live store holds another tree than was made, or the recovered one a tree that was never there, or one older
    /// than promised.
    Tree {
        /// The first difference from what was promised.
        difference: String,
        /// Operations that the crash was free to lose.
        unpromised: u64,
    },
    /// A file holds what it cannot hold at this moment.
    Data {
        /// The file.
        ino: Ino,
        /// The first wrong sector in it.
        sector: usize,
    },
    /// A mount after a clean unmount had something to recover.
    NotClean,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the store failed: {error}"),
            Self::Unsound(problem) => write!(f, "the store contradicts itself: {problem:?}"),
            Self::Tree { difference, unpromised } => {
                write!(f, "the tree is none of the {unpromised} since the last promise: {difference}")
            }
            Self::Data { ino, sector } => write!(f, "sector {sector} of inode {ino} holds what it cannot hold"),
            Self::NotClean => write!(f, "a cleanly unmounted store had something to recover"),
        }
    }
}

/// The live store must hold exactly what was written.
pub(super) fn live(store: &mut CrashStore<'_>, model: &Model) -> Result<(), Finding> {
    sound(store, true)?;
    let tree = read_tree(store).map_err(Finding::Failed)?;
    if tree != model.tree {
        return Err(Finding::Tree { difference: tree.difference(&model.tree), unpromised: 0 });
    }
    for (ino, node) in tree.nodes.iter().filter(|(_, node)| node.kind == Kind::File) {
        let bytes = store.read(*ino, 0, node.size as usize).map_err(Finding::Failed)?;
        let expected = model.contents_of(*ino).map_or(&[][..], Contents::now);
        if let Some(at) = (0..bytes.len().max(expected.len())).find(|at| bytes.get(*at) != expected.get(*at)) {
            return Err(Finding::Data { ino: *ino, sector: at / SECTOR_SIZE });
        }
    }
    Ok(())
}

/// The recovered store must be sound and hold a tree no older than promised, with contents that belong to it. Returns
/// the model of what is there now.
pub(super) fn recovered(store: &mut CrashStore<'_>, model: &Model) -> Result<Model, Finding> {
    sound(store, false)?;
    let tree = read_tree(store).map_err(Finding::Failed)?;
    let Some(op) = model.moment_of(&tree) else {
        let difference = tree.difference(model.promised_tree());
        return Err(Finding::Tree { difference, unpromised: model.unpromised() });
    };
    let mut contents = BTreeMap::new();
    for (ino, node) in tree.nodes.iter().filter(|(_, node)| node.kind == Kind::File) {
        let bytes = store.read(*ino, 0, node.size as usize).map_err(Finding::Failed)?;
        let empty = Contents::default();
        let expected = model.contents_of(*ino).unwrap_or(&empty);
        for (sector, bytes) in bytes.chunks(SECTOR_SIZE).enumerate() {
            if !expected.may_hold(sector, op, bytes) {
                return Err(Finding::Data { ino: *ino, sector });
            }
        }
        contents.insert(*ino, Contents::promised(&bytes, &mapped_blocks(store, *ino, node.size)?));
    }
    Ok(Model::durable(tree, contents, model.op()))
}

fn sound(store: &mut CrashStore<'_>, orphans_allowed: bool) -> Result<(), Finding> {
    let report = store.check(orphans_allowed);
    report.problems.into_iter().next().map_or(Ok(()), |problem| Err(Finding::Unsound(problem)))
}

fn mapped_blocks(store: &mut CrashStore<'_>, ino: Ino, size: u64) -> Result<Vec<bool>, Finding> {
    let blocks = 0..size.div_ceil(BLOCK_SIZE as u64);
    blocks.map(|logical| Ok(store.map_block(ino, logical).map_err(Finding::Failed)?.is_some())).collect()
}

/// The store's whole namespace.
fn read_tree(store: &mut CrashStore<'_>) -> Result<Tree, Error> {
    let names: BTreeMap<Vec<u8>, Name> = (0..NAMES).map(|name| (name_bytes(name), name)).collect();
    let mut tree = Tree::default();
    tree.nodes.insert(ROOT_INO, read_node(store, ROOT_INO)?);
    let mut directories = vec![ROOT_INO];
    while let Some(dir) = directories.pop() {
        for entry in store.list(dir, 0, usize::MAX)? {
            let name = names.get(&entry.name).copied().ok_or(Error::Name { bytes: entry.name.len() })?;
            tree.entries.insert((dir, name), entry.ino);
            if let Slot::Vacant(slot) = tree.nodes.entry(entry.ino) {
                let node = slot.insert(read_node(store, entry.ino)?);
                if node.kind == Kind::Directory {
                    directories.push(entry.ino);
                }
            }
        }
    }
    Ok(tree)
}

fn read_node(store: &mut CrashStore<'_>, ino: Ino) -> Result<Node, Error> {
    let inode = store.inode(ino)?;
    let target = if inode.kind == Kind::Symlink { store.read_symlink(ino)? } else { Vec::new() };
    let size = if inode.kind == Kind::File { inode.size } else { 0 };
    Ok(Node { kind: inode.kind, nlink: inode.nlink, size, mtime_ns: inode.mtime_ns, mode: inode.mode, target })
}
