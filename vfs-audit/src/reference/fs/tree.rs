//! A backing in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::backing::{Backing, Name, Node};
use crate::reference::object::{Errno, Kind, PAGE_SIZE, Result, leaf};
use crate::reference::task::Task;
use crate::reference::vfs::types::Statfs;

/// Pages that there are.
const PAGES_MAX: u64 = 1 << 20;
const ROOT: u64 = 1;

/// Files by number.
#[derive(Debug)]
pub(crate) struct Tree(Mutex<Files>);

#[derive(Debug)]
struct Files {
    files: HashMap<u64, Entry>,
    next: u64,
    pages: u64,
}

#[derive(Debug, Default)]
struct Entry {
    node: Node,
    names: BTreeMap<String, u64>,
    target: String,
    pages: HashMap<u64, Box<[u8]>>,
}

impl Default for Tree {
    fn default() -> Self {
        let node = Node { mode: Kind::Directory.bits() | 0o777, uid: 0, nlink: 2, size: 0 };
        let root = Entry { node, ..Entry::default() };
        Self(Mutex::new(Files { files: HashMap::from([(ROOT, root)]), next: ROOT + 1, pages: 0 }))
    }
}

impl Files {
    fn of(&mut self, ino: u64) -> Result<&mut Entry> {
        self.files.get_mut(&ino).ok_or(Errno::ESTALE)
    }

    fn add(&mut self, dir: u64, name: &str, entry: Entry) -> Result<u64> {
        let ino = self.next;
        let is_directory = Kind::of(entry.node.mode) == Kind::Directory;
        let parent = self.of(dir)?;
        if parent.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        parent.names.insert(name.to_owned(), ino);
        parent.node.nlink += u32::from(is_directory);
        self.next += 1;
        self.files.insert(ino, entry);
        Ok(ino)
    }

    /// Takes a name away; what it named loses a link.
    fn remove(&mut self, dir: u64, name: &str) -> Result<()> {
        let ino = self.of(dir)?.names.remove(name).ok_or(Errno::ENOENT)?;
        let entry = self.of(ino)?;
        if Kind::of(entry.node.mode) == Kind::Directory {
            entry.node.nlink = 0;
            self.of(dir)?.node.nlink -= 1;
        } else {
            entry.node.nlink -= 1;
        }
        Ok(())
    }

    fn is_directory(&self, ino: u64) -> bool {
        self.files.get(&ino).is_some_and(|entry| Kind::of(entry.node.mode) == Kind::Directory)
    }

    fn is_empty(&self, ino: u64) -> bool {
        self.files.get(&ino).is_some_and(|entry| entry.names.is_empty())
    }

    fn rename(&mut self, (from, old): Name<'_>, (to, new): Name<'_>, exchange: bool) -> Result<()> {
        let source = *self.of(from)?.names.get(old).ok_or(Errno::ENOENT)?;
        let target = self.of(to)?.names.get(new).copied();
        if !exchange && let Some(target) = target {
            if self.is_directory(target) && !self.is_empty(target) {
                return Err(Errno::ENOTEMPTY);
            }
            self.remove(to, new)?;
        }
        self.of(from)?.names.remove(old);
        self.of(to)?.names.insert(new.to_owned(), source);
        self.shift_link(source, from, to)?;
        if exchange && let Some(target) = target {
            self.of(from)?.names.insert(old.to_owned(), target);
            self.shift_link(target, to, from)?;
        }
        Ok(())
    }

    /// A directory that moves takes the link of its parent entry with it.
    fn shift_link(&mut self, moved: u64, from: u64, to: u64) -> Result<()> {
        if self.is_directory(moved) && from != to {
            self.of(from)?.node.nlink -= 1;
            self.of(to)?.node.nlink += 1;
        }
        Ok(())
    }
}

impl Backing for Tree {
    fn root(&self) -> u64 {
        ROOT
    }

    fn node(&self, _: &Task, ino: u64) -> Result<Node> {
        Ok(leaf(&self.0).of(ino)?.node)
    }

    fn lookup(&self, _: &Task, dir: u64, name: &str) -> Result<Option<u64>> {
        Ok(leaf(&self.0).of(dir)?.names.get(name).copied())
    }

    fn create(&self, _: &Task, dir: u64, name: &str, node: Node) -> Result<u64> {
        leaf(&self.0).add(dir, name, Entry { node, ..Entry::default() })
    }

    fn create_unnamed(&self, _: &Task, node: Node) -> Result<u64> {
        let mut files = leaf(&self.0);
        let ino = files.next;
        files.next += 1;
        files.files.insert(ino, Entry { node: Node { nlink: 0, ..node }, ..Entry::default() });
        Ok(ino)
    }

    fn symlink(&self, _: &Task, dir: u64, name: &str, target: &str) -> Result<u64> {
        let node = Node { mode: Kind::Symlink.bits() | 0o777, uid: 0, nlink: 1, size: target.len() as u64 };
        leaf(&self.0).add(dir, name, Entry { node, target: target.to_owned(), ..Entry::default() })
    }

    fn target(&self, _: &Task, ino: u64) -> Result<String> {
        Ok(leaf(&self.0).of(ino)?.target.clone())
    }

    fn link(&self, _: &Task, ino: u64, dir: u64, name: &str) -> Result<()> {
        let mut files = leaf(&self.0);
        if files.of(dir)?.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        files.of(ino)?.node.nlink += 1;
        files.of(dir)?.names.insert(name.to_owned(), ino);
        Ok(())
    }

    fn unlink(&self, _: &Task, dir: u64, name: &str) -> Result<()> {
        leaf(&self.0).remove(dir, name)
    }

    fn rmdir(&self, _: &Task, dir: u64, name: &str) -> Result<()> {
        let mut files = leaf(&self.0);
        let ino = *files.of(dir)?.names.get(name).ok_or(Errno::ENOENT)?;
        if !files.is_empty(ino) {
            return Err(Errno::ENOTEMPTY);
        }
        files.remove(dir, name)
    }

    fn rename(&self, _: &Task, from: Name<'_>, to: Name<'_>, exchange: bool) -> Result<()> {
        leaf(&self.0).rename(from, to, exchange)
    }

    fn list(&self, _: &Task, dir: u64) -> Result<Vec<(String, u64)>> {
        Ok(leaf(&self.0).of(dir)?.names.iter().map(|(name, ino)| (name.clone(), *ino)).collect())
    }

    fn set_node(&self, _: &Task, ino: u64, node: Node) -> Result<()> {
        let mut files = leaf(&self.0);
        let entry = files.of(ino)?;
        entry.node = Node { nlink: entry.node.nlink, ..node };
        Ok(())
    }

    fn set_size(&self, _: &Task, ino: u64, size: u64) -> Result<()> {
        let mut files = leaf(&self.0);
        let entry = files.of(ino)?;
        let before = entry.pages.len();
        entry.node.size = size;
        let page_size = PAGE_SIZE as u64;
        entry.pages.retain(|index, _| *index < size.div_ceil(page_size));
        if let Some(last) = entry.pages.get_mut(&(size / page_size)) {
            last[(size % page_size) as usize..].fill(0);
        }
        let gone = (before - entry.pages.len()) as u64;
        files.pages -= gone;
        Ok(())
    }

    fn punch(&self, _: &Task, ino: u64, first_page: u64, end_page: u64) -> Result<()> {
        let mut files = leaf(&self.0);
        let entry = files.of(ino)?;
        let before = entry.pages.len();
        entry.pages.retain(|index, _| !(first_page..end_page).contains(index));
        let gone = (before - entry.pages.len()) as u64;
        files.pages -= gone;
        Ok(())
    }

    fn read_page(&self, _: &Task, ino: u64, index: u64, data: &mut [u8]) -> Result<()> {
        match leaf(&self.0).of(ino)?.pages.get(&index) {
            Some(page) => data.copy_from_slice(page),
            None => data.fill(0),
        }
        Ok(())
    }

    fn write_page(&self, _: &Task, ino: u64, index: u64, data: &[u8]) -> Result<()> {
        let mut files = leaf(&self.0);
        if files.pages >= PAGES_MAX {
            return Err(Errno::ENOSPC);
        }
        let new = files.of(ino)?.pages.insert(index, data.into()).is_none();
        files.pages += u64::from(new);
        Ok(())
    }

    fn free(&self, _: &Task, ino: u64) -> Result<()> {
        let mut files = leaf(&self.0);
        if let Some(entry) = files.files.remove(&ino) {
            files.pages -= entry.pages.len() as u64;
        }
        Ok(())
    }

    fn sync(&self, _: &Task) -> Result<()> {
        Ok(())
    }

    fn statfs(&self) -> Statfs {
        let files = leaf(&self.0);
        Statfs { blocks: PAGES_MAX, free: PAGES_MAX - files.pages, inodes: files.files.len() as u64 }
    }
}
