//! Inodes: their attributes, their place in the inode table, allocation.

use super::sealed::{BlockKind, get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use super::{BlockIo, BlockNr, Error, Store};

/// The number of an inode; the first is 1.
pub type Ino = u32;

/// The root directory's inode.
pub const ROOT_INO: Ino = 1;
/// Inodes in one block of the table.
pub(super) const INODES_PER_BLOCK: u32 = 9;
/// Block numbers an inode holds itself.
pub const DIRECT_BLOCKS: usize = 10;
pub(super) const INODE_SIZE: usize = 112;

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device, block device, fifo or socket: `special` says which device, `mode` which kind.
    Special,
}

impl Kind {
    pub(super) fn encode(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Symlink => 3,
            Self::Special => 4,
        }
    }

    pub(super) fn decode(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::File),
            2 => Some(Self::Directory),
            3 => Some(Self::Symlink),
            4 => Some(Self::Special),
            _ => None,
        }
    }
}

/// An inode's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, and for [`Kind::Special`] the file type bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many directory entries name it; a directory has one for itself and one for each directory in it.
    pub nlink: u32,
    /// Bytes.
    pub size: u64,
    /// Last access, in nanoseconds of the caller's clock.
    pub atime_ns: u64,
    /// Last change of contents.
    pub mtime_ns: u64,
    /// Last change of attributes.
    pub ctime_ns: u64,
    /// Blocks in use, those with block numbers included.
    pub blocks: u32,
    /// Differs each time the number is used anew.
    pub generation: u32,
    /// The caller's own.
    pub flags: u32,
    /// The device number of a special file; the parent of a directory.
    pub special: u32,
    pub(super) direct: [BlockNr; DIRECT_BLOCKS],
    pub(super) indirect: BlockNr,
    pub(super) double_indirect: BlockNr,
}

impl Inode {
    pub(super) fn new(kind: Kind, mode: u16, now_ns: u64, generation: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            nlink: 0,
            size: 0,
            atime_ns: now_ns,
            mtime_ns: now_ns,
            ctime_ns: now_ns,
            blocks: 0,
            generation,
            flags: 0,
            special: 0,
            direct: [0; DIRECT_BLOCKS],
            indirect: 0,
            double_indirect: 0,
        }
    }

    pub(super) fn encode(&self, bytes: &mut [u8]) {
        bytes[0] = self.kind.encode();
        put_u16(bytes, 2, self.mode);
        put_u32(bytes, 4, self.uid);
        put_u32(bytes, 8, self.gid);
        put_u32(bytes, 12, self.nlink);
        put_u64(bytes, 16, self.size);
        put_u64(bytes, 24, self.atime_ns);
        put_u64(bytes, 32, self.mtime_ns);
        put_u64(bytes, 40, self.ctime_ns);
        put_u32(bytes, 48, self.blocks);
        put_u32(bytes, 52, self.generation);
        put_u32(bytes, 56, self.flags);
        put_u32(bytes, 60, self.special);
        for (index, nr) in self.direct.iter().enumerate() {
            put_u32(bytes, 64 + index * 4, *nr);
        }
        put_u32(bytes, 104, self.indirect);
        put_u32(bytes, 108, self.double_indirect);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut direct = [0; DIRECT_BLOCKS];
        for (index, nr) in direct.iter_mut().enumerate() {
            *nr = get_u32(bytes, 64 + index * 4);
        }
        Some(Self {
            kind: Kind::decode(bytes[0])?,
            mode: get_u16(bytes, 2),
            uid: get_u32(bytes, 4),
            gid: get_u32(bytes, 8),
            nlink: get_u32(bytes, 12),
            size: get_u64(bytes, 16),
            atime_ns: get_u64(bytes, 24),
            mtime_ns: get_u64(bytes, 32),
            ctime_ns: get_u64(bytes, 40),
            blocks: get_u32(bytes, 48),
            generation: get_u32(bytes, 52),
            flags: get_u32(bytes, 56),
            special: get_u32(bytes, 60),
            direct,
            indirect: get_u32(bytes, 104),
            double_indirect: get_u32(bytes, 108),
        })
    }
}

impl<B: BlockIo> Store<B> {
    /// The inode `ino`.
    ///
    /// # Errors
    /// There is none, or it could not be read.
    pub fn inode(&mut self, ino: Ino) -> Result<Inode, Error> {
        let (nr, at) = self.inode_place(ino)?;
        let block = self.block(nr, BlockKind::InodeTable)?;
        Inode::decode(&block[at..at + INODE_SIZE]).ok_or(Error::NoInode { ino })
    }

    /// Changes attributes of `ino`, as part of the running transaction. What the store keeps itself (`kind`, `blocks`,
    /// the block map) is left as it is.
    ///
    /// # Errors
    /// There is no such inode, or the journal is aborted.
    pub fn update_inode(&mut self, ino: Ino, change: impl FnOnce(&mut Inode)) -> Result<Inode, Error> {
        self.transact(|store| {
            let before = store.inode(ino)?;
            let mut after = before.clone();
            change(&mut after);
            after.kind = before.kind;
            after.blocks = before.blocks;
            after.direct = before.direct;
            after.indirect = before.indirect;
            after.double_indirect = before.double_indirect;
            store.put_inode(ino, &after)?;
            Ok(after)
        })
    }

    /// Allocates an inode with no name and no link; a mount after a crash frees it if it still has none.
    ///
    /// # Errors
    /// No inode is free, or the journal is aborted.
    pub fn allocate_inode(&mut self, kind: Kind, mode: u16) -> Result<Ino, Error> {
        self.transact(|store| {
            let ino = store.take_inode_bit()?;
            let (nr, at) = store.inode_place(ino)?;
            let generation = get_u32(&store.block(nr, BlockKind::InodeTable)?[at..], 52).wrapping_add(1);
            let inode = Inode::new(kind, mode, store.now_ns, generation);
            store.put_inode(ino, &inode)?;
            Ok(ino)
        })
    }

    /// Frees an inode and all its blocks: for eviction, when nothing names it and nobody has it open.
    ///
    /// # Errors
    /// There is no such inode, or the journal is aborted.
    pub fn free_inode(&mut self, ino: Ino) -> Result<(), Error> {
        self.transact(|store| {
            store.truncate(ino, 0)?;
            let (nr, at) = store.inode_place(ino)?;
            // The generation stays, so that the number's next use differs.
            store.change_block(nr, BlockKind::InodeTable, |block| block[at] = 0)?;
            store.return_inode_bit(ino)
        })
    }

    pub(super) fn put_inode(&mut self, ino: Ino, inode: &Inode) -> Result<(), Error> {
        let (nr, at) = self.inode_place(ino)?;
        self.change_block(nr, BlockKind::InodeTable, |block| inode.encode(&mut block[at..at + INODE_SIZE]))
    }

    fn inode_place(&self, ino: Ino) -> Result<(BlockNr, usize), Error> {
        if ino == 0 || ino > self.layout.inodes {
            return Err(Error::NoInode { ino });
        }
        let index = ino - 1;
        let at = (index % INODES_PER_BLOCK) as usize * INODE_SIZE;
        Ok((self.layout.inode_table() + index / INODES_PER_BLOCK, at))
    }
}
