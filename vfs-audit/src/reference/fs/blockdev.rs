//! Block devices as files: a tree of one file, whose pages are the device's blocks.

use std::sync::Arc;

use super::backing::{Backing, Name, Node};
use super::device::{BLOCKS_PER_PAGE, read_blocks, write_blocks};
#[allow(clippy::wildcard_imports, reason = "the tables below are made of the library's callbacks")]
use super::simple::*;
use crate::reference::disk::store::{BLOCK_SIZE, SECTORS_PER_BLOCK};
use crate::reference::object::open_flags::O_RDONLY;
use crate::reference::object::{BlockDevice, Dentry, Errno, File, FileSystemType, Kind, Page, Path, Result, leaf};
use crate::reference::task::{Task, invoke};
use crate::reference::vfs::open::do_open;
use crate::reference::vfs::operations::{
    AddressSpaceOperations, FileOperations, FileSystemOperations, InodeOperations, SuperOperations, callback,
};
use crate::reference::vfs::types::Statfs;

/// The type.
pub(crate) static BLOCKDEV: FileSystemType = FileSystemType {
    name: "blockdev",
    ops: FileSystemOperations { mount: callback!(blockdev_mount), kill_sb: callback!(simple_kill_sb) },
};

const ROOT: u64 = 1;
const FILE: u64 = 2;
const NAME: &str = "disk";

static TABLES: Tables = Tables {
    directory: &INODES,
    file: &INODES,
    symlink: &INODES,
    directory_file: &FileOperations::NONE,
    file_file: &FILES,
    pages: &PAGES,
};

static INODES: InodeOperations = InodeOperations {
    lookup: callback!(simple_lookup),
    permission: callback!(simple_permission),
    getattr: callback!(simple_getattr),
    ..InodeOperations::NONE
};

static FILES: FileOperations = FileOperations {
    llseek: callback!(simple_llseek),
    read_iter: callback!(simple_read_iter),
    release: callback!(simple_release),
    ..FileOperations::NONE
};

static PAGES: AddressSpaceOperations = AddressSpaceOperations {
    readpage: callback!(simple_readpage),
    releasepage: callback!(blockdev_releasepage),
    ..AddressSpaceOperations::NONE
};

static SUPER: SuperOperations = SuperOperations { evict_inode: callback!(simple_evict_inode), ..SuperOperations::NONE };

fn blockdev_mount(
    t: &Task,
    kind: &'static FileSystemType,
    _: u32,
    device: Option<&'static BlockDevice>,
) -> Result<&'static Dentry> {
    let backing = Arc::new(Whole(device.ok_or(Errno::ENODEV)?));
    simple_fill_super(t, kind, device, Fill { backing, tables: &TABLES, ops: &SUPER, dentries: None }, |_| {})
}

/// Opens the device that is mounted here as a file.
pub(crate) fn open_device(t: &Task, root: &Path) -> Result<&'static File> {
    do_open(t, root, NAME, O_RDONLY, 0)
}

/// Whoever has mounted the device may have something of its own on the page.
fn blockdev_releasepage(t: &Task, page: &'static Page) -> bool {
    let device = host(page).ok().and_then(|inode| inode.sb().s_bdev.get());
    let supers = leaf(&t.kernel.globals.super_blocks).clone();
    let holder = supers.into_iter().find_map(|sb| {
        let same = match (sb.s_bdev.get(), device) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            _ => false,
        };
        Some((sb, sb.ops().bdev_try_to_free_page.filter(|_| same)?))
    });
    match holder {
        Some((sb, callback)) => invoke!(t, BdevTryToFreePage, callback, sb, page),
        None => simple_releasepage(t, page),
    }
}

/// All blocks of a device.
struct Whole(&'static BlockDevice);

impl Backing for Whole {
    fn root(&self) -> u64 {
        ROOT
    }

    fn node(&self, _: &Task, ino: u64) -> Result<Node> {
        let bytes = self.statfs().blocks * BLOCK_SIZE as u64;
        match ino {
            ROOT => Ok(Node { mode: Kind::Directory.bits() | 0o755, uid: 0, nlink: 2, size: 0 }),
            FILE => Ok(Node { mode: Kind::Device.bits() | 0o600, uid: 0, nlink: 1, size: bytes }),
            _ => Err(Errno::ESTALE),
        }
    }

    fn lookup(&self, _: &Task, dir: u64, name: &str) -> Result<Option<u64>> {
        Ok((dir == ROOT && name == NAME).then_some(FILE))
    }

    fn read_page(&self, t: &Task, _: u64, index: u64, data: &mut [u8]) -> Result<()> {
        for (within, part) in data.chunks_mut(BLOCK_SIZE).enumerate() {
            read_blocks(t, self.0, index * BLOCKS_PER_PAGE as u64 + within as u64, part)?;
        }
        Ok(())
    }

    fn write_page(&self, t: &Task, _: u64, index: u64, data: &[u8]) -> Result<()> {
        for (within, part) in data.chunks(BLOCK_SIZE).enumerate() {
            write_blocks(t, self.0, index * BLOCKS_PER_PAGE as u64 + within as u64, part)?;
        }
        Ok(())
    }

    fn list(&self, _: &Task, _: u64) -> Result<Vec<(String, u64)>> {
        Ok(vec![(NAME.to_owned(), FILE)])
    }

    fn statfs(&self) -> Statfs {
        let sectors = self.0.disk().sectors.load(std::sync::atomic::Ordering::SeqCst);
        Statfs { blocks: sectors / SECTORS_PER_BLOCK, free: 0, inodes: 1 }
    }

    fn sync(&self, _: &Task) -> Result<()> {
        Ok(())
    }

    // A device has the one name that it has.

    fn create(&self, _: &Task, _: u64, _: &str, _: Node) -> Result<u64> {
        Err(Errno::EPERM)
    }

    fn create_unnamed(&self, _: &Task, _: Node) -> Result<u64> {
        Err(Errno::EPERM)
    }

    fn symlink(&self, _: &Task, _: u64, _: &str, _: &str) -> Result<u64> {
        Err(Errno::EPERM)
    }

    fn target(&self, _: &Task, _: u64) -> Result<String> {
        Err(Errno::EINVAL)
    }

    fn link(&self, _: &Task, _: u64, _: u64, _: &str) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn unlink(&self, _: &Task, _: u64, _: &str) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn rmdir(&self, _: &Task, _: u64, _: &str) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn rename(&self, _: &Task, _: Name<'_>, _: Name<'_>, _: bool) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn set_node(&self, _: &Task, _: u64, _: Node) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn set_size(&self, _: &Task, _: u64, _: u64) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn punch(&self, _: &Task, _: u64, _: u64, _: u64) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn free(&self, _: &Task, _: u64) -> Result<()> {
        Err(Errno::EPERM)
    }
}
