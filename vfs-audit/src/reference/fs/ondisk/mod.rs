//! The on-disk file system: names and attributes in a journaled store, data in blocks that go through buffer heads.

mod buffers;
mod engine;

use std::sync::Arc;

use super::simple::{self, Fill, Tables, simple_fill_super};
use crate::reference::object::{
    AddressSpace, BlockDevice, Dentry, Errno, File, FileSystemType, Inode, Page, Result, SuperBlock, leaf,
};
use crate::reference::observe::Function;
use crate::reference::task::Task;
use crate::reference::vfs::block::{blkdev_get, blkdev_put};
use crate::reference::vfs::operations::{
    AddressSpaceOperations, FileOperations, FileSystemOperations, InodeOperations, SuperOperations, callback,
};
use crate::reference::vfs::types::Extent;
use buffers::{
    disk_invalidatepage, disk_readahead, disk_readpage, disk_releasepage, disk_write_begin, disk_writepage,
    disk_writepages,
};
use engine::Engine;
use simple::{
    simple_alloc_inode, simple_create, simple_destroy_inode, simple_direct_io, simple_dirty_inode, simple_drop_inode,
    simple_error_remove_page, simple_evict_inode, simple_fadvise, simple_fallocate, simple_fasync, simple_fileattr_get,
    simple_fileattr_set, simple_flush, simple_free_inode, simple_freepage, simple_freeze_fs, simple_fsync,
    simple_get_link, simple_getattr, simple_is_partially_uptodate, simple_isolate_page, simple_iterate_shared,
    simple_kill_sb, simple_link, simple_llseek, simple_lookup, simple_migratepage, simple_mkdir, simple_mknod,
    simple_mmap, simple_open, simple_permission, simple_put_super, simple_putback_page, simple_read_iter,
    simple_readlink, simple_release, simple_remount_fs, simple_rename, simple_rmdir, simple_set_page_dirty,
    simple_setattr, simple_setlease, simple_show_options, simple_statfs, simple_symlink, simple_sync_fs,
    simple_tmpfile, simple_unfreeze_fs, simple_unlink, simple_update_time, simple_write_end, simple_write_inode,
    simple_write_iter,
};

/// The type.
pub(crate) static DISK: FileSystemType = FileSystemType {
    name: "disk",
    ops: FileSystemOperations { mount: callback!(disk_mount), kill_sb: callback!(disk_kill_sb) },
};

static TABLES: Tables = Tables {
    directory: &DIRECTORY,
    file: &FILE,
    symlink: &SYMLINK,
    directory_file: &DIRECTORY_FILE,
    file_file: &FILE_FILE,
    pages: &PAGES,
};

const COMMON: InodeOperations = InodeOperations {
    permission: callback!(simple_permission),
    getattr: callback!(simple_getattr),
    setattr: callback!(simple_setattr),
    update_time: callback!(simple_update_time),
    fileattr_get: callback!(simple_fileattr_get),
    fileattr_set: callback!(simple_fileattr_set),
    ..InodeOperations::NONE
};

static DIRECTORY: InodeOperations = InodeOperations {
    lookup: callback!(simple_lookup),
    create: callback!(simple_create),
    link: callback!(simple_link),
    unlink: callback!(simple_unlink),
    symlink: callback!(simple_symlink),
    mkdir: callback!(simple_mkdir),
    rmdir: callback!(simple_rmdir),
    mknod: callback!(simple_mknod),
    rename: callback!(simple_rename),
    tmpfile: callback!(simple_tmpfile),
    ..COMMON
};

static FILE: InodeOperations = InodeOperations { fiemap: callback!(disk_fiemap), ..COMMON };

static SYMLINK: InodeOperations =
    InodeOperations { readlink: callback!(simple_readlink), get_link: callback!(simple_get_link), ..COMMON };

static DIRECTORY_FILE: FileOperations = FileOperations {
    llseek: callback!(simple_llseek),
    iterate_shared: callback!(simple_iterate_shared),
    ..FileOperations::NONE
};

static FILE_FILE: FileOperations = FileOperations {
    llseek: callback!(simple_llseek),
    read_iter: callback!(simple_read_iter),
    write_iter: callback!(simple_write_iter),
    iopoll: callback!(disk_iopoll),
    mmap: callback!(simple_mmap),
    open: callback!(simple_open),
    flush: callback!(simple_flush),
    release: callback!(simple_release),
    fsync: callback!(disk_fsync),
    fasync: callback!(simple_fasync),
    setlease: callback!(simple_setlease),
    fallocate: callback!(simple_fallocate),
    fadvise: callback!(simple_fadvise),
    ..FileOperations::NONE
};

static PAGES: AddressSpaceOperations = AddressSpaceOperations {
    writepage: callback!(disk_writepage),
    readpage: callback!(disk_readpage),
    writepages: callback!(disk_writepages),
    set_page_dirty: callback!(simple_set_page_dirty),
    readahead: callback!(disk_readahead),
    write_begin: callback!(disk_write_begin),
    write_end: callback!(simple_write_end),
    bmap: callback!(disk_bmap),
    invalidatepage: callback!(disk_invalidatepage),
    releasepage: callback!(disk_releasepage),
    freepage: callback!(simple_freepage),
    direct_IO: callback!(simple_direct_io),
    isolate_page: callback!(simple_isolate_page),
    migratepage: callback!(simple_migratepage),
    putback_page: callback!(simple_putback_page),
    is_partially_uptodate: callback!(simple_is_partially_uptodate),
    error_remove_page: callback!(simple_error_remove_page),
    swap_activate: callback!(disk_swap_activate),
    swap_deactivate: callback!(disk_swap_deactivate),
    ..AddressSpaceOperations::NONE
};

static SUPER: SuperOperations = SuperOperations {
    alloc_inode: callback!(simple_alloc_inode),
    free_inode: callback!(simple_free_inode),
    destroy_inode: callback!(simple_destroy_inode),
    dirty_inode: callback!(simple_dirty_inode),
    write_inode: callback!(simple_write_inode),
    drop_inode: callback!(simple_drop_inode),
    evict_inode: callback!(simple_evict_inode),
    put_super: callback!(simple_put_super),
    sync_fs: callback!(simple_sync_fs),
    freeze_fs: callback!(simple_freeze_fs),
    unfreeze_fs: callback!(simple_unfreeze_fs),
    statfs: callback!(simple_statfs),
    remount_fs: callback!(simple_remount_fs),
    show_options: callback!(simple_show_options),
    bdev_try_to_free_page: callback!(disk_bdev_try_to_free_page),
    ..SuperOperations::NONE
};

fn disk_mount(
    t: &Task,
    kind: &'static FileSystemType,
    flags: u32,
    device: Option<&'static BlockDevice>,
) -> Result<&'static Dentry> {
    let device = device.ok_or(Errno::ENODEV)?;
    blkdev_get(t, device, flags)?;
    t.schedule("the superblock to be read");
    let engine = Arc::new(Engine::mount(t, device)?);
    let holder: Arc<Engine> = Arc::clone(&engine);
    *leaf(&device.bd_holder) = Some(holder);
    let fill = Fill { backing: Arc::<Engine>::clone(&engine), tables: &TABLES, ops: &SUPER, dentries: None };
    simple_fill_super(t, kind, Some(device), fill, |sb| engine.set_lock(&sb.s_journal))
}

fn disk_kill_sb(t: &Task, sb: &'static SuperBlock) {
    let device = sb.s_bdev.get();
    simple_kill_sb(t, sb);
    if let Some(device) = device {
        *leaf(&device.bd_holder) = None;
        blkdev_put(t, device, 0);
    }
}

/// The engine of a superblock.
fn engine(sb: &'static SuperBlock) -> Result<Arc<Engine>> {
    let device = sb.s_bdev.get().ok_or(Errno::ENODEV)?;
    let info = leaf(&device.bd_holder).clone();
    info.and_then(|info| info.downcast::<Engine>().ok()).ok_or(Errno::ENODEV)
}

/// What is written is on the disk when `fsync` returns: data, then the journal, then the disk's own cache.
fn disk_fsync(t: &Task, file: &'static File, start: u64, end: u64, datasync: bool) -> Result<()> {
    simple_fsync(t, file, start, end, datasync)?;
    engine(file.inode().sb())?.commit(t, file.inode().number())
}

fn disk_iopoll(t: &Task, _: &crate::reference::object::Kiocb, _: bool) -> Result<u32> {
    Ok(u32::from(t.take_interrupts()))
}

fn disk_bmap(t: &Task, mapping: &'static AddressSpace, block: u64) -> u64 {
    let Some(inode) = mapping.host.get() else { return 0 };
    engine(inode.sb()).and_then(|engine| engine.map(t, inode.number(), block)).ok().flatten().map_or(0, u64::from)
}

/// Where the blocks of a file are, one extent each run of neighbours.
fn disk_fiemap(t: &Task, inode: &'static Inode, start: u64, length: u64) -> Result<Vec<Extent>> {
    let engine = engine(inode.sb())?;
    let block_size = engine::BLOCK;
    let mut extents: Vec<Extent> = Vec::new();
    for block in start / block_size..start.saturating_add(length).min(inode.size()).div_ceil(block_size) {
        let Some(nr) = engine.map(t, inode.number(), block)? else { continue };
        let (logical, physical) = (block * block_size, u64::from(nr) * block_size);
        match extents.last_mut() {
            Some(last) if last.physical + last.length == physical && last.logical + last.length == logical => {
                last.length += block_size;
            }
            _ => extents.push(Extent { logical, physical, length: block_size }),
        }
    }
    Ok(extents)
}

/// A file can be swapped to when it has no holes: each of its extents is registered.
fn disk_swap_activate(t: &Task, file: &'static File) -> Result<()> {
    let inode = file.inode();
    let extents = disk_fiemap(t, inode, 0, inode.size())?;
    let mapped: u64 = extents.iter().map(|extent| extent.length).sum();
    if mapped < inode.size() {
        return Err(Errno::EINVAL);
    }
    for extent in &extents {
        t.called(Function::AddSwapExtent, inode.address());
        leaf(&file.private_data).extend(extent.physical.to_le_bytes());
    }
    Ok(())
}

fn disk_swap_deactivate(_: &Task, file: &'static File) {
    leaf(&file.private_data).clear();
}

/// A page of the device itself may go when nothing of the journal is on it: when it is clean.
fn disk_bdev_try_to_free_page(_: &Task, sb: &'static SuperBlock, page: &'static Page) -> bool {
    sb.s_root.get().is_some() && !page.is(crate::reference::object::PageFlag::DIRTY)
}
