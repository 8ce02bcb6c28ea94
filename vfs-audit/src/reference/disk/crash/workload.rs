//! The seeded workload: each step is drawn, done in the store, and where it succeeded done in the model too.

use super::super::rng::Rng;
use super::super::store::{BLOCK_SIZE, DirectIo, Error, Ino, Kind, ROOT_INO, Store, WRITE_BLOCKS_MAX};
use super::model::{Model, NAMES, Name, Node, name_bytes, target_bytes};

/// Most directories at once.
const DIRECTORIES_MAX: usize = 4;
/// Bytes a file may have: beyond the direct blocks, so that blocks of numbers come and go.
const FILE_SIZE_MAX: u64 = 24 * BLOCK_SIZE as u64;
/// Bytes of one write: fewer than one handle takes, so that each write happens wholly or not at all.
const WRITE_SIZE_MAX: u64 = (WRITE_BLOCKS_MAX as u64 - 1) * BLOCK_SIZE as u64;

/// The store as the workload sees it: the device outlives it.
pub(super) type CrashStore<'a> = Store<&'a mut DirectIo>;

/// Why a workload ended before its last step.
#[derive(Debug)]
pub(super) enum Stop {
    /// The power went, or the device failed and the store gave up, as it should.
    Device,
    /// The store failed an operation that it should have done.
    Wrong(Error),
}

/// The steps, and which share of a hundred each has.
const STEPS: [(u64, Step); 17] = [
    (10, Step::Create),
    (5, Step::Mkdir),
    (3, Step::Symlink),
    (21, Step::Write),
    (7, Step::SetSize),
    (3, Step::Link),
    (14, Step::Unlink),
    (4, Step::Rmdir),
    (9, Step::Rename),
    (2, Step::Exchange),
    (8, Step::Fsync),
    (2, Step::Sync),
    (4, Step::WriteBack),
    (4, Step::Commit),
    (3, Step::Checkpoint),
    (3, Step::Close),
    (2, Step::Chmod),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Mkdir,
    Symlink,
    Write,
    SetSize,
    Link,
    Unlink,
    Rmdir,
    Rename,
    Exchange,
    Fsync,
    Sync,
    WriteBack,
    Commit,
    Checkpoint,
    Close,
    Chmod,
}

/// A workload under way.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    rng: Rng,
    pub(super) model: Model,
    /// Operations that the store has done.
    pub(super) operations: u64,
    /// Fsyncs, syncs and commits that succeeded.
    pub(super) promises: u64,
}

impl Workload {
    pub(super) fn new(rng: Rng, model: Model) -> Self {
        Self { rng, model, operations: 0, promises: 0 }
    }

    /// Does one step. A step that has nothing to act on does nothing.
    pub(super) fn step(&mut self, store: &mut CrashStore<'_>) -> Result<(), Stop> {
        let op = self.model.next_op();
        store.set_time(op);
        let result = match self.draw() {
            Step::Create => self.create(store, op, Kind::File),
            Step::Mkdir => self.create(store, op, Kind::Directory),
            Step::Symlink => self.create(store, op, Kind::Symlink),
            Step::Write => self.write(store, op),
            Step::SetSize => self.set_size(store, op),
            Step::Link => self.link(store, op),
            Step::Unlink => self.unlink(store, op),
            Step::Rmdir => self.rmdir(store, op),
            Step::Rename => self.rename(store, op),
            Step::Exchange => self.exchange(store, op),
            Step::Fsync => self.fsync(store),
            Step::Sync => self.sync(store),
            Step::WriteBack => self.write_back(store),
            Step::Commit => self.commit(store),
            Step::Checkpoint => store.checkpoint(),
            Step::Close => self.close(store, op),
            Step::Chmod => self.chmod(store),
        };
        match result {
            Ok(()) => {
                self.operations += 1;
                self.model.record();
                Ok(())
            }
            // A full store is no fault: the operation has been undone.
            Err(Error::NoSpace | Error::NoInodes) => Ok(()),
            Err(Error::Io(_) | Error::Aborted) => Err(Stop::Device),
            Err(error) => Err(Stop::Wrong(error)),
        }
    }

    fn draw(&mut self) -> Step {
        let mut at = self.rng.below(STEPS.iter().map(|(share, _)| share).sum());
        for (share, step) in STEPS {
            if at < share {
                return step;
            }
            at -= share;
        }
        Step::Sync
    }

    fn create(&mut self, store: &mut CrashStore<'_>, op: u64, kind: Kind) -> Result<(), Error> {
        let (dir, name) = (self.directory(), self.name());
        let directories = self.model.tree.nodes.values().filter(|node| node.kind == Kind::Directory).count();
        let is_full = kind == Kind::Directory && directories >= DIRECTORIES_MAX;
        if is_full || self.model.tree.entries.contains_key(&(dir, name)) {
            return Ok(());
        }
        let mut node = Node { kind, nlink: 1, size: 0, mtime_ns: op, mode: 0o600, target: Vec::new() };
        let ino = match kind {
            Kind::Symlink => {
                node.mode = 0o777;
                node.target = target_bytes(op);
                store.symlink(dir, &name_bytes(name), &node.target)?
            }
            Kind::File | Kind::Directory | Kind::Special => store.create(dir, &name_bytes(name), kind, node.mode)?,
        };
        if kind == Kind::Directory {
            node.nlink = 2;
            self.change_links(dir, 1);
        }
        self.model.tree.entries.insert((dir, name), ino);
        self.model.tree.nodes.insert(ino, node);
        self.touch(dir, op);
        Ok(())
    }

    fn write(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let Some(ino) = self.inode_of(|node| node.kind == Kind::File) else { return Ok(()) };
        let offset = self.offset_in(ino);
        let len = match self.rng.below(3) {
            0 => 1 + self.rng.below(600),
            1 => (1 + self.rng.below(4)) * BLOCK_SIZE as u64,
            _ => 1 + self.rng.below(WRITE_SIZE_MAX - 1),
        };
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        store.write(ino, offset, &bytes)?;
        self.model.contents(ino).write(op, offset as usize, &bytes);
        if let Some(node) = self.model.tree.node(ino) {
            node.size = node.size.max(offset + len);
            node.mtime_ns = op;
        }
        Ok(())
    }

    fn set_size(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let Some(ino) = self.inode_of(|node| node.kind == Kind::File) else { return Ok(()) };
        let size = if self.rng.below(3) == 0 { 0 } else { self.offset_in(ino) };
        store.set_size(ino, size)?;
        self.model.contents(ino).set_size(op, size as usize);
        if let Some(node) = self.model.tree.node(ino) {
            node.size = size;
            node.mtime_ns = op;
        }
        Ok(())
    }

    fn link(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let (dir, name) = (self.directory(), self.name());
        let Some(ino) = self.inode_of(|node| node.kind != Kind::Directory) else { return Ok(()) };
        if self.model.tree.entries.contains_key(&(dir, name)) {
            return Ok(());
        }
        store.link(ino, dir, &name_bytes(name))?;
        self.model.tree.entries.insert((dir, name), ino);
        self.change_links(ino, 1);
        self.touch(dir, op);
        Ok(())
    }

    fn unlink(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let Some((dir, name)) = self.entry_of(|node| node.kind != Kind::Directory) else { return Ok(()) };
        let (ino, left) = store.unlink(dir, &name_bytes(name))?;
        self.model.tree.entries.remove(&(dir, name));
        self.touch(dir, op);
        self.after_unlink(store, op, ino, left)
    }

    fn rmdir(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let Some((dir, name)) = self.entry_of(|node| node.kind == Kind::Directory) else { return Ok(()) };
        let Some(ino) = self.model.tree.entries.get(&(dir, name)).copied() else { return Ok(()) };
        if self.model.tree.has_entries(ino) {
            return Ok(());
        }
        store.rmdir(dir, &name_bytes(name))?;
        self.model.tree.entries.remove(&(dir, name));
        self.change_links(dir, -1);
        self.touch(dir, op);
        self.after_unlink(store, op, ino, 0)
    }

    fn rename(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let Some(from) = self.entry_of(|_| true) else { return Ok(()) };
        let to = (self.directory(), self.name());
        let (Some(moved), replaced) = (self.entry(from), self.entry(to)) else { return Ok(()) };
        let is_directory = self.is_directory(moved);
        let is_refused = (is_directory && self.is_at_or_below(to.0, moved))
            || replaced.is_some_and(|ino| {
                ino == moved || self.is_directory(ino) != is_directory || self.model.tree.has_entries(ino)
            });
        if is_refused {
            return Ok(());
        }
        let left = store.rename((from.0, &name_bytes(from.1)), (to.0, &name_bytes(to.1)))?;
        self.model.tree.entries.remove(&from);
        self.model.tree.entries.insert(to, moved);
        self.touch(from.0, op);
        self.touch(to.0, op);
        if is_directory {
            self.change_links(from.0, -1);
            // A replaced directory takes its link to the parent with it.
            self.change_links(to.0, i32::from(left.is_none()));
        }
        match left {
            Some((ino, left)) => self.after_unlink(store, op, ino, left),
            None => Ok(()),
        }
    }

    fn exchange(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let (Some(a), Some(b)) = (self.entry_of(|_| true), self.entry_of(|_| true)) else { return Ok(()) };
        let (Some(a_ino), Some(b_ino)) = (self.entry(a), self.entry(b)) else { return Ok(()) };
        let makes_loop = |moved, dir| self.is_directory(moved) && self.is_at_or_below(dir, moved);
        if makes_loop(a_ino, b.0) || makes_loop(b_ino, a.0) {
            return Ok(());
        }
        store.exchange((a.0, &name_bytes(a.1)), (b.0, &name_bytes(b.1)))?;
        self.model.tree.entries.insert(a, b_ino);
        self.model.tree.entries.insert(b, a_ino);
        for (ino, from, to) in [(a_ino, a.0, b.0), (b_ino, b.0, a.0)] {
            if self.is_directory(ino) {
                self.change_links(from, -1);
                self.change_links(to, 1);
            }
            self.touch(to, op);
        }
        Ok(())
    }

    fn fsync(&mut self, store: &mut CrashStore<'_>) -> Result<(), Error> {
        let Some(ino) = self.inode_of(|node| node.kind == Kind::File) else { return Ok(()) };
        store.fsync(ino)?;
        self.model.contents(ino).promise();
        self.model.promise_tree();
        self.promises += 1;
        Ok(())
    }

    fn sync(&mut self, store: &mut CrashStore<'_>) -> Result<(), Error> {
        store.sync()?;
        self.model.promise_all_contents();
        self.model.promise_tree();
        self.promises += 1;
        Ok(())
    }

    /// Data reaches the device, in its cache; nothing is promised.
    fn write_back(&mut self, store: &mut CrashStore<'_>) -> Result<(), Error> {
        match self.inode_of(|node| node.kind == Kind::File) {
            Some(wanted) => store.write_back(|ino| ino == wanted),
            None => Ok(()),
        }
    }

    fn commit(&mut self, store: &mut CrashStore<'_>) -> Result<(), Error> {
        store.commit()?;
        self.model.promise_tree();
        self.promises += 1;
        Ok(())
    }

    /// The last user of an unlinked inode closes it.
    fn close(&mut self, store: &mut CrashStore<'_>, op: u64) -> Result<(), Error> {
        let Some(ino) = self.model.open_orphans.first().copied() else { return Ok(()) };
        store.free_inode(ino)?;
        self.model.open_orphans.remove(0);
        self.model.contents(ino).set_size(op, 0);
        Ok(())
    }

    fn chmod(&mut self, store: &mut CrashStore<'_>) -> Result<(), Error> {
        let Some(ino) = self.inode_of(|_| true) else { return Ok(()) };
        let mode = self.rng.below(0o1000) as u16;
        store.update_inode(ino, |inode| inode.mode = mode)?;
        if let Some(node) = self.model.tree.node(ino) {
            node.mode = mode;
        }
        Ok(())
    }

    /// A name of `ino` is gone and `left` remain. Without any it stays open for a while or is freed at once.
    fn after_unlink(&mut self, store: &mut CrashStore<'_>, op: u64, ino: Ino, left: u32) -> Result<(), Error> {
        if left > 0 {
            self.change_links(ino, -1);
            return Ok(());
        }
        self.model.tree.nodes.remove(&ino);
        self.model.open_orphans.push(ino);
        if self.rng.below(4) == 0 {
            return Ok(());
        }
        // The name is gone whether or not freeing gets its turn: that is an operation of its own.
        self.model.record();
        store.free_inode(ino)?;
        self.model.open_orphans.pop();
        self.model.contents(ino).set_size(op, 0);
        Ok(())
    }

    fn touch(&mut self, dir: Ino, op: u64) {
        if let Some(node) = self.model.tree.node(dir) {
            node.mtime_ns = op;
        }
    }

    fn change_links(&mut self, ino: Ino, change: i32) {
        if let Some(node) = self.model.tree.node(ino) {
            node.nlink = node.nlink.saturating_add_signed(change);
        }
    }

    fn entry(&self, place: (Ino, Name)) -> Option<Ino> {
        self.model.tree.entries.get(&place).copied()
    }

    fn is_directory(&self, ino: Ino) -> bool {
        self.model.tree.nodes.get(&ino).is_some_and(|node| node.kind == Kind::Directory)
    }

    fn is_at_or_below(&self, mut at: Ino, above: Ino) -> bool {
        loop {
            if at == above {
                return true;
            }
            let parent = self.model.tree.entries.iter().find(|(_, ino)| **ino == at).map(|((dir, _), _)| *dir);
            match parent {
                Some(dir) => at = dir,
                None => return false,
            }
        }
    }

    fn name(&mut self) -> Name {
        self.rng.below(u64::from(NAMES)) as Name
    }

    fn directory(&mut self) -> Ino {
        self.inode_of(|node| node.kind == Kind::Directory).unwrap_or(ROOT_INO)
    }

    fn inode_of(&mut self, is_wanted: impl Fn(&Node) -> bool) -> Option<Ino> {
        let wanted = |(ino, node): (&Ino, &Node)| is_wanted(node).then_some(*ino);
        let inodes: Vec<Ino> = self.model.tree.nodes.iter().filter_map(wanted).collect();
        let at = self.rng.index(inodes.len());
        inodes.get(at).copied()
    }

    fn entry_of(&mut self, is_wanted: impl Fn(&Node) -> bool) -> Option<(Ino, Name)> {
        let tree = &self.model.tree;
        let is_wanted = |ino: &Ino| tree.nodes.get(ino).is_some_and(&is_wanted);
        let entries: Vec<_> = tree.entries.iter().filter(|(_, ino)| is_wanted(ino)).map(|(place, _)| *place).collect();
        let at = self.rng.index(entries.len());
        entries.get(at).copied()
    }

    /// An offset that often continues the file, often lies in it, and sometimes past its end.
    fn offset_in(&mut self, ino: Ino) -> u64 {
        let size = self.model.tree.nodes.get(&ino).map_or(0, |node| node.size);
        let offset = match self.rng.below(4) {
            0 => size,
            1 => self.rng.below(size + 1) / BLOCK_SIZE as u64 * BLOCK_SIZE as u64,
            2 => self.rng.below(size + 1),
            _ => self.rng.below(FILE_SIZE_MAX),
        };
        offset.min(FILE_SIZE_MAX)
    }
}
