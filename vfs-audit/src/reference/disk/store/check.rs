//! A whole-store check, as fsck does: every block has one owner, every count is right, every entry leads somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{BlockIo, BlockNr, Error, Ino, Inode, Kind, ROOT_INO, Store};

/// Something that must not be in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Two inodes, or one twice, hold the same block.
    BlockUsedTwice {
        /// The block.
        nr: BlockNr,
        /// The second owner found.
        ino: Ino,
    },
    /// An inode holds a block outside the data area.
    BlockOutOfRange {
        /// The block.
        nr: BlockNr,
        /// Its owner.
        ino: Ino,
    },
    /// An inode holds a block that the bitmap calls free.
    BlockMarkedFree {
        /// The block.
        nr: BlockNr,
        /// Its owner.
        ino: Ino,
    },
    /// The bitmap calls a block used that no inode holds.
    BlockLeaked {
        /// The block.
        nr: BlockNr,
    },
    /// An inode says another number of blocks than it holds.
    BlockCount {
        /// The inode.
        ino: Ino,
        /// What it says.
        said: u32,
        /// What it holds.
        held: u32,
    },
    /// An entry leads to an inode that is not in use.
    EntryDangles {
        /// The directory.
        dir: Ino,
        /// Where the entry leads.
        ino: Ino,
    },
    /// An entry says another kind than its inode.
    EntryKind {
        /// The directory.
        dir: Ino,
        /// The inode.
        ino: Ino,
    },
    /// A directory has a name twice.
    NameTwice {
        /// The directory.
        dir: Ino,
    },
    /// A directory is reached by two entries, or its parent is another.
    DirectoryParent {
        /// The directory.
        ino: Ino,
    },
    /// An inode's link count differs from the entries that lead to it.
    Links {
        /// The inode.
        ino: Ino,
        /// What it says.
        said: u32,
        /// What was found.
        found: u32,
    },
    /// The inode bitmap calls an inode used that no entry leads to.
    InodeLeaked {
        /// The inode.
        ino: Ino,
    },
    /// The free counts in memory differ from the bitmaps.
    FreeCounts,
    /// A block could not be read or is not what it should be.
    Unreadable(Error),
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Inodes in use.
    pub inodes: u32,
    /// Blocks in use by inodes.
    pub blocks: u32,
    /// Directory entries.
    pub entries: u32,
    /// What must not be.
    pub problems: Vec<Problem>,
}

#[derive(Default)]
struct Walk {
    report: Report,
    owned: BTreeSet<BlockNr>,
    links: BTreeMap<Ino, u32>,
}

impl<B: BlockIo> Store<B> {
    /// Checks the whole store as it is in memory and on disk. Inodes without links are leaks unless `orphans_allowed`.
    pub fn check(&mut self, orphans_allowed: bool) -> Report {
        let mut walk = Walk::default();
        if let Err(error) = self.check_all(&mut walk, orphans_allowed) {
            walk.report.problems.push(Problem::Unreadable(error));
        }
        walk.report
    }

    fn check_all(&mut self, walk: &mut Walk, orphans_allowed: bool) -> Result<(), Error> {
        let used = self.used_inodes()?;
        walk.links.insert(ROOT_INO, 2);
        let mut directories = vec![ROOT_INO];
        let mut seen = BTreeSet::from([ROOT_INO]);
        while let Some(dir) = directories.pop() {
            for child in self.check_directory(walk, dir)? {
                if seen.insert(child) {
                    directories.push(child);
                } else {
                    walk.report.problems.push(Problem::DirectoryParent { ino: child });
                }
            }
        }
        for ino in &used {
            let inode = self.inode(*ino)?;
            self.check_inode_blocks(walk, *ino, &inode)?;
            let found = walk.links.get(ino).copied().unwrap_or(0);
            if found != inode.nlink {
                walk.report.problems.push(Problem::Links { ino: *ino, said: inode.nlink, found });
            } else if found == 0 && !orphans_allowed {
                walk.report.problems.push(Problem::InodeLeaked { ino: *ino });
            }
        }
        walk.report.inodes = used.len() as u32;
        self.check_counts(walk, used.len() as u32)
    }

    /// Checks the entries of one directory; returns the directories in it.
    fn check_directory(&mut self, walk: &mut Walk, dir: Ino) -> Result<Vec<Ino>, Error> {
        let mut names = BTreeSet::new();
        let mut children = Vec::new();
        for entry in self.list(dir, 0, usize::MAX)? {
            walk.report.entries += 1;
            if !names.insert(entry.name) {
                walk.report.problems.push(Problem::NameTwice { dir });
            }
            let is_used = entry.ino <= self.layout.inodes && self.inode_is_used(entry.ino)?;
            let inode = if is_used { self.inode(entry.ino).ok() } else { None };
            let Some(inode) = inode else {
                walk.report.problems.push(Problem::EntryDangles { dir, ino: entry.ino });
                continue;
            };
            if inode.kind != entry.kind {
                walk.report.problems.push(Problem::EntryKind { dir, ino: entry.ino });
            }
            if inode.kind != Kind::Directory {
                *walk.links.entry(entry.ino).or_default() += 1;
                continue;
            }
            if inode.special != dir {
                walk.report.problems.push(Problem::DirectoryParent { ino: entry.ino });
            }
            *walk.links.entry(entry.ino).or_default() += 2;
            *walk.links.entry(dir).or_default() += 1;
            children.push(entry.ino);
        }
        Ok(children)
    }

    fn check_inode_blocks(&mut self, walk: &mut Walk, ino: Ino, inode: &Inode) -> Result<(), Error> {
        let blocks = self.blocks_of(inode)?;
        let held = blocks.len() as u32;
        if held != inode.blocks {
            walk.report.problems.push(Problem::BlockCount { ino, said: inode.blocks, held });
        }
        for (nr, _) in blocks {
            if nr < self.layout.data_start() || nr >= self.layout.superblock_copy() {
                walk.report.problems.push(Problem::BlockOutOfRange { nr, ino });
                continue;
            }
            if !walk.owned.insert(nr) {
                walk.report.problems.push(Problem::BlockUsedTwice { nr, ino });
            }
            if !self.block_is_used(nr)? {
                walk.report.problems.push(Problem::BlockMarkedFree { nr, ino });
            }
        }
        walk.report.blocks += held;
        Ok(())
    }

    fn check_counts(&mut self, walk: &mut Walk, used_inodes: u32) -> Result<(), Error> {
        let mut free = 0;
        for nr in self.layout.data_start()..self.layout.superblock_copy() {
            match (self.block_is_used(nr)?, walk.owned.contains(&nr)) {
                (true, false) => walk.report.problems.push(Problem::BlockLeaked { nr }),
                (false, _) => free += 1,
                (true, true) => {}
            }
        }
        if free != self.free_blocks || self.layout.inodes - used_inodes != self.free_inodes {
            walk.report.problems.push(Problem::FreeCounts);
        }
        Ok(())
    }
}
