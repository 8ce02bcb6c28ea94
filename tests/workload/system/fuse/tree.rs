//! The files that the FUSE server keeps in its memory.

use std::collections::BTreeMap;

use super::wire::Answer;

/// Number of the root, given by the protocol.
pub(super) const ROOT: u64 = 1;

/// An inode.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) mode: u32,
    pub(super) links: u32,
    pub(super) owner: (u32, u32),
    pub(super) device: u32,
    /// Seconds: of access, modification, change.
    pub(super) times: [u64; 3],
    /// Of a file; the target of a symbolic link.
    pub(super) content: Vec<u8>,
    /// Of a directory.
    pub(super) entries: BTreeMap<Vec<u8>, u64>,
    pub(super) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    pub(super) fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Adds `struct fuse_attr`.
    pub(super) fn describe(&self, number: u64, answer: Answer) -> Answer {
        let size = self.content.len() as u64;
        let times = self.times;
        answer.longs(&[number, size, size.div_ceil(512), times[0], times[1], times[2]]).words(&[
            0,
            0,
            0,
            self.mode,
            self.links,
            self.owner.0,
            self.owner.1,
            self.device,
            4096,
            0,
        ])
    }
}

/// All inodes, by number. One without names stays: it may still be open, and the server lives shortly.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<u64, Node>,
}

impl Tree {
    /// An empty root.
    pub(super) fn new() -> Self {
        let root = Node { mode: libc::S_IFDIR | 0o755, links: 2, ..Node::default() };
        Self { nodes: BTreeMap::from([(ROOT, root)]) }
    }

    pub(super) fn node(&mut self, number: u64) -> Result<&mut Node, i32> {
        self.nodes.get_mut(&number).ok_or(libc::ESTALE)
    }

    /// The number behind a name.
    pub(super) fn find(&mut self, parent: u64, name: &[u8]) -> Result<u64, i32> {
        self.node(parent)?.entries.get(name).copied().ok_or(libc::ENOENT)
    }

    /// Gives a new inode a name.
    pub(super) fn add(&mut self, parent: u64, name: &[u8], node: Node) -> Result<u64, i32> {
        if self.find(parent, name).is_ok() {
            return Err(libc::EEXIST);
        }
        let number = self.nodes.keys().next_back().map_or(ROOT, |last| last + 1);
        self.node(parent)?.entries.insert(name.to_vec(), number);
        let links = if node.is_directory() { 2 } else { 1 };
        self.nodes.insert(number, Node { links, ..node });
        Ok(number)
    }

    /// Gives an inode another name.
    pub(super) fn link(&mut self, number: u64, parent: u64, name: &[u8]) -> Result<(), i32> {
        if self.find(parent, name).is_ok() {
            return Err(libc::EEXIST);
        }
        self.node(number)?.links += 1;
        self.node(parent)?.entries.insert(name.to_vec(), number);
        Ok(())
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, parent: u64, name: &[u8]) -> Result<(), i32> {
        let number = self.find(parent, name)?;
        let node = self.node(number)?;
        if !node.entries.is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        node.links = if node.is_directory() { 0 } else { node.links - 1 };
        self.node(parent)?.entries.remove(name);
        Ok(())
    }

    /// Moves a name, over another one or in exchange for it.
    pub(super) fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), flags: u32) -> Result<(), i32> {
        let number = self.find(from.0, from.1)?;
        let there = self.find(to.0, to.1);
        match (there, flags) {
            (Ok(_), libc::RENAME_NOREPLACE) => return Err(libc::EEXIST),
            (Ok(other), libc::RENAME_EXCHANGE) => {
                self.node(from.0)?.entries.insert(from.1.to_vec(), other);
            }
            (Err(errno), libc::RENAME_EXCHANGE) => return Err(errno),
            (_, flags) if flags & !libc::RENAME_NOREPLACE != 0 => return Err(libc::EINVAL),
            (Ok(_), _) => {
                self.remove(to.0, to.1)?;
                self.node(from.0)?.entries.remove(from.1);
            }
            (Err(_), _) => {
                self.node(from.0)?.entries.remove(from.1);
            }
        }
        self.node(to.0)?.entries.insert(to.1.to_vec(), number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Node {
        Node { mode: libc::S_IFREG | 0o644, ..Node::default() }
    }

    #[test]
    fn names_are_added_linked_moved_and_removed() {
        let mut tree = Tree::new();
        let number = tree.add(ROOT, b"a", file()).unwrap();
        assert_eq!(tree.add(ROOT, b"a", file()), Err(libc::EEXIST));
        tree.link(number, ROOT, b"b").unwrap();
        assert_eq!(tree.node(number).unwrap().links, 2);
        tree.rename((ROOT, b"a"), (ROOT, b"c"), 0).unwrap();
        assert_eq!((tree.find(ROOT, b"a"), tree.find(ROOT, b"c")), (Err(libc::ENOENT), Ok(number)));
        tree.remove(ROOT, b"b").unwrap();
        assert_eq!(tree.node(number).unwrap().links, 1);
    }

    #[test]
    fn an_exchange_needs_both_names_and_a_rename_without_replacing_only_one() {
        let mut tree = Tree::new();
        let (one, two) = (tree.add(ROOT, b"a", file()).unwrap(), tree.add(ROOT, b"b", file()).unwrap());
        tree.rename((ROOT, b"a"), (ROOT, b"b"), libc::RENAME_EXCHANGE).unwrap();
        assert_eq!((tree.find(ROOT, b"a"), tree.find(ROOT, b"b")), (Ok(two), Ok(one)));
        assert_eq!(tree.rename((ROOT, b"a"), (ROOT, b"b"), libc::RENAME_NOREPLACE), Err(libc::EEXIST));
        assert_eq!(tree.rename((ROOT, b"a"), (ROOT, b"c"), libc::RENAME_EXCHANGE), Err(libc::ENOENT));
    }

    #[test]
    fn a_directory_with_entries_stays() {
        let mut tree = Tree::new();
        let directory = tree.add(ROOT, b"d", Node { mode: libc::S_IFDIR, ..Node::default() }).unwrap();
        tree.add(directory, b"f", file()).unwrap();
        assert_eq!(tree.remove(ROOT, b"d"), Err(libc::ENOTEMPTY));
    }
}
