//! The journaled store as a backing: one lock around it, and its errors as error numbers.

use std::sync::{Arc, Mutex, OnceLock};

use super::super::backing::{Backing, Name, Node};
use super::super::device::{BLOCKS_PER_PAGE, Blocks, read_blocks, simulated, write_blocks};
use crate::reference::disk::store::{
    BLOCK_SIZE, BlockNr, Error, FormatOptions, Ino, Kind as StoreKind, Mapped, MountOptions, ROOT_INO, Store, format,
};
use crate::reference::lock::{Lock, Mode};
use crate::reference::object::{BlockDevice, Errno, Kind, Result, leaf};
use crate::reference::task::Task;
use crate::reference::vfs::types::Statfs;

/// Bytes of a block.
pub(super) const BLOCK: u64 = BLOCK_SIZE as u64;
/// Where a directory names its place.
const SELF_NAMES: [&str; 2] = [".", ".."];

/// A mounted store.
pub(crate) struct Engine {
    device: &'static BlockDevice,
    store: Mutex<Store<Blocks>>,
    lock: OnceLock<&'static Lock>,
}

fn errno(error: &Error) -> Errno {
    match error {
        Error::Io(_) | Error::Corrupt { .. } | Error::JournalDamaged { .. } => Errno::EIO,
        Error::Aborted => Errno::EROFS,
        Error::NoInode { .. } => Errno::ESTALE,
        Error::NoEntry { .. } => Errno::ENOENT,
        Error::Exists { .. } => Errno::EEXIST,
        Error::NotDirectory { .. } => Errno::ENOTDIR,
        Error::IsDirectory { .. } => Errno::EISDIR,
        Error::NotEmpty { .. } => Errno::ENOTEMPTY,
        Error::NoSpace | Error::NoInodes => Errno::ENOSPC,
        Error::FileTooLarge { .. } => Errno::EFBIG,
        Error::Geometry { .. }
        | Error::Loop { .. }
        | Error::Name { .. }
        | Error::HandleOpen
        | Error::NoHandle
        | Error::HandleFailed
        | Error::HandleTooLarge { .. } => Errno::EINVAL,
    }
}

fn ino(number: u64) -> Ino {
    Ino::try_from(number).unwrap_or(Ino::MAX)
}

impl Engine {
    /// Mounts the store on a device; a device without one gets one.
    pub(super) fn mount(t: &Task, device: &'static BlockDevice) -> Result<Self> {
        let mut blocks = Blocks { disk: simulated(device)?, interrupts: Arc::clone(&t.kernel.interrupts) };
        let mounted = Store::mount(blocks.clone(), MountOptions::default());
        let (store, _) = if let Ok(mounted) = mounted {
            mounted
        } else {
            let options = FormatOptions { journal_blocks: 256, inodes: 512 };
            format(&mut blocks, options).map_err(|error| errno(&error))?;
            Store::mount(blocks, MountOptions::default()).map_err(|error| errno(&error))?
        };
        Ok(Self { device, store: Mutex::new(store), lock: OnceLock::new() })
    }

    /// Says which lock guards it, once there is a superblock.
    pub(super) fn set_lock(&self, lock: &'static Lock) {
        let _ = self.lock.set(lock);
    }

    /// Works on the store, which may read and write the disk meanwhile.
    fn with<T>(&self, t: &Task, work: impl FnOnce(&mut Store<Blocks>) -> std::result::Result<T, Error>) -> Result<T> {
        let lock = self.lock.get().copied();
        if let Some(lock) = lock {
            lock.acquire(t, Mode::Exclusive);
        }
        let mut store = leaf(&self.store);
        store.set_time(t.kernel.now());
        let result = work(&mut store);
        drop(store);
        if let Some(lock) = lock {
            lock.release(t);
        }
        result.map_err(|error| errno(&error))
    }

    /// Where a block of a file is.
    pub(super) fn map(&self, t: &Task, number: u64, block: u64) -> Result<Option<BlockNr>> {
        self.with(t, |store| store.map_block(ino(number), block))
    }

    /// Finds or makes a block of a file, and does something with it before anything can be committed.
    pub(super) fn allocate(
        &self,
        t: &Task,
        number: u64,
        block: u64,
        then: impl FnOnce(Mapped) -> Result<()>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        self.with(t, |store| {
            let mapped = store.allocate_mapped_block(ino(number), block)?;
            outcome = then(mapped);
            Ok(())
        })?;
        outcome
    }

    /// Makes what a file has durable.
    pub(super) fn commit(&self, t: &Task, number: u64) -> Result<()> {
        t.schedule("the journal to be written");
        self.with(t, |store| store.fsync(ino(number)))
    }
}

fn kind_of(kind: StoreKind) -> Kind {
    match kind {
        StoreKind::File => Kind::Regular,
        StoreKind::Directory => Kind::Directory,
        StoreKind::Symlink => Kind::Symlink,
        StoreKind::Special => Kind::Device,
    }
}

fn store_kind(mode: u32) -> StoreKind {
    match Kind::of(mode) {
        Kind::Regular => StoreKind::File,
        Kind::Directory => StoreKind::Directory,
        Kind::Symlink => StoreKind::Symlink,
        Kind::Device => StoreKind::Special,
    }
}

/// Permission bits.
fn permissions(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}

impl Backing for Engine {
    fn root(&self) -> u64 {
        u64::from(ROOT_INO)
    }

    fn node(&self, t: &Task, number: u64) -> Result<Node> {
        let inode = self.with(t, |store| store.inode(ino(number)))?;
        let open = if number == self.root() { 0o777 } else { 0 };
        Ok(Node {
            mode: kind_of(inode.kind).bits() | u32::from(inode.mode & 0o7777) | open,
            uid: inode.uid,
            nlink: inode.nlink,
            size: inode.size,
        })
    }

    fn lookup(&self, t: &Task, dir: u64, name: &str) -> Result<Option<u64>> {
        let entry = self.with(t, |store| store.lookup(ino(dir), name.as_bytes()))?;
        Ok(entry.map(|entry| u64::from(entry.ino)))
    }

    fn create(&self, t: &Task, dir: u64, name: &str, node: Node) -> Result<u64> {
        let made = self.with(t, |store| {
            let made = store.create(ino(dir), name.as_bytes(), store_kind(node.mode), permissions(node.mode))?;
            store.update_inode(made, |inode| inode.uid = node.uid)?;
            Ok(made)
        })?;
        Ok(u64::from(made))
    }

    fn create_unnamed(&self, t: &Task, node: Node) -> Result<u64> {
        self.with(t, |store| store.allocate_inode(store_kind(node.mode), permissions(node.mode))).map(u64::from)
    }

    fn symlink(&self, t: &Task, dir: u64, name: &str, target: &str) -> Result<u64> {
        self.with(t, |store| store.symlink(ino(dir), name.as_bytes(), target.as_bytes())).map(u64::from)
    }

    fn target(&self, t: &Task, number: u64) -> Result<String> {
        let bytes = self.with(t, |store| store.read_symlink(ino(number)))?;
        String::from_utf8(bytes).map_err(|_| Errno::EIO)
    }

    fn link(&self, t: &Task, number: u64, dir: u64, name: &str) -> Result<()> {
        self.with(t, |store| store.link(ino(number), ino(dir), name.as_bytes()))
    }

    fn unlink(&self, t: &Task, dir: u64, name: &str) -> Result<()> {
        self.with(t, |store| store.unlink(ino(dir), name.as_bytes())).map(|_| ())
    }

    fn rmdir(&self, t: &Task, dir: u64, name: &str) -> Result<()> {
        self.with(t, |store| store.rmdir(ino(dir), name.as_bytes())).map(|_| ())
    }

    fn rename(&self, t: &Task, (from, old): Name<'_>, (to, new): Name<'_>, exchange: bool) -> Result<()> {
        let (from, to) = ((ino(from), old.as_bytes()), (ino(to), new.as_bytes()));
        self.with(t, |store| {
            if exchange {
                return store.exchange(from, to);
            }
            store.rename(from, to).map(|_| ())
        })
    }

    fn list(&self, t: &Task, dir: u64) -> Result<Vec<(String, u64)>> {
        let entries = self.with(t, |store| store.list(ino(dir), 0, usize::MAX))?;
        let named =
            entries.into_iter().map(|entry| (String::from_utf8_lossy(&entry.name).into_owned(), u64::from(entry.ino)));
        Ok(named.filter(|(name, _)| !SELF_NAMES.contains(&name.as_str())).collect())
    }

    fn set_node(&self, t: &Task, number: u64, node: Node) -> Result<()> {
        let change = |store: &mut Store<Blocks>| {
            store.update_inode(ino(number), |inode| {
                inode.mode = inode.mode & !0o7777 | permissions(node.mode);
                inode.uid = node.uid;
                if inode.kind == StoreKind::File {
                    inode.size = node.size;
                }
            })
        };
        self.with(t, change).map(|_| ())
    }

    fn set_size(&self, t: &Task, number: u64, size: u64) -> Result<()> {
        // The store's own size may lag behind, and it frees blocks of what it knows to shrink only.
        self.with(t, |store| {
            store.update_inode(ino(number), |inode| inode.size = inode.size.max(size + 1))?;
            store.truncate(ino(number), size)
        })?;
        // What a later extension would show of the last block is cleared.
        let (block, within) = (size / BLOCK, (size % BLOCK) as usize);
        match self.map(t, number, block)? {
            Some(nr) if within > 0 => {
                let mut data = [0; BLOCK_SIZE];
                read_blocks(t, self.device, u64::from(nr), &mut data)?;
                data[within..].fill(0);
                write_blocks(t, self.device, u64::from(nr), &data)
            }
            _ => Ok(()),
        }
    }

    /// The store has no holes in the middle: what is punched out is zeroed.
    fn punch(&self, t: &Task, number: u64, first_page: u64, end_page: u64) -> Result<()> {
        let per_page = BLOCKS_PER_PAGE as u64;
        for block in first_page * per_page..end_page.saturating_mul(per_page).min(first_page * per_page + 4096) {
            if let Some(nr) = self.map(t, number, block)? {
                write_blocks(t, self.device, u64::from(nr), &[0; BLOCK_SIZE])?;
            }
        }
        Ok(())
    }

    fn read_page(&self, t: &Task, number: u64, index: u64, data: &mut [u8]) -> Result<()> {
        for (within, part) in data.chunks_mut(BLOCK_SIZE).enumerate() {
            match self.map(t, number, index * BLOCKS_PER_PAGE as u64 + within as u64)? {
                Some(nr) => read_blocks(t, self.device, u64::from(nr), part)?,
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write_page(&self, t: &Task, number: u64, index: u64, data: &[u8]) -> Result<()> {
        for (within, part) in data.chunks(BLOCK_SIZE).enumerate() {
            let block = index * BLOCKS_PER_PAGE as u64 + within as u64;
            let mut place = 0;
            self.allocate(t, number, block, |mapped| {
                place = u64::from(mapped.nr);
                Ok(())
            })?;
            write_blocks(t, self.device, place, part)?;
        }
        Ok(())
    }

    fn free(&self, t: &Task, number: u64) -> Result<()> {
        self.with(t, |store| store.free_inode(ino(number)))
    }

    fn sync(&self, t: &Task) -> Result<()> {
        t.schedule("the journal to be written");
        self.with(t, Store::sync)
    }

    fn statfs(&self) -> Statfs {
        let usage = leaf(&self.store).statfs();
        Statfs {
            blocks: u64::from(usage.blocks),
            free: u64::from(usage.free_blocks),
            inodes: u64::from(usage.inodes - usage.free_inodes),
        }
    }
}
