//! The file system in memory: nothing is ever read from or written to a disk.
//!
//! A device node of it stands for device memory, which is mapped without pages.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

#[allow(clippy::wildcard_imports, reason = "the tables below are made of the library's callbacks")]
use super::simple::*;
use super::tree::Tree;
use crate::reference::mutant::Step;
use crate::reference::object::vm_fault::{VM_FAULT_LOCKED, VM_FAULT_SIGBUS};
use crate::reference::object::vm_flags::{VM_IO, VM_PFNMAP};
use crate::reference::object::{
    BlockDevice, Dentry, Errno, File, FileSystemType, Inode, Kind, PAGE_SIZE, Page, Result, VmFault, Vma,
    WritebackControl,
};
use crate::reference::task::Task;
use crate::reference::vfs::memory::remap_pfn_range;
use crate::reference::vfs::operations::{
    AddressSpaceOperations, DentryOperations, FileOperations, FileSystemOperations, InodeOperations, SuperOperations,
    VmOperations, callback,
};
use crate::reference::vfs::pagecache::set_page_dirty;
use crate::reference::vfs::writeback::AOP_WRITEPAGE_ACTIVATE;

/// The type.
pub(crate) static MEMORY: FileSystemType = FileSystemType {
    name: "memory",
    ops: FileSystemOperations { mount: callback!(memory_mount), kill_sb: callback!(simple_kill_sb) },
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
    truncate: callback!(memory_truncate),
    update_time: callback!(simple_update_time),
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

static FILE: InodeOperations = InodeOperations { fiemap: callback!(simple_fiemap), ..COMMON };

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
    poll: callback!(simple_poll),
    unlocked_ioctl: callback!(simple_ioctl),
    compat_ioctl: callback!(simple_compat_ioctl),
    mmap: callback!(memory_mmap),
    open: callback!(simple_open),
    flush: callback!(simple_flush),
    release: callback!(simple_release),
    fsync: callback!(simple_fsync),
    fasync: callback!(simple_fasync),
    flock: callback!(simple_flock),
    sendpage: callback!(simple_sendpage),
    get_unmapped_area: callback!(simple_get_unmapped_area),
    check_flags: callback!(simple_check_flags),
    splice_write: callback!(simple_splice_write),
    splice_read: callback!(simple_splice_read),
    setlease: callback!(simple_setlease),
    fallocate: callback!(simple_fallocate),
    show_fdinfo: callback!(simple_show_fdinfo),
    mmap_capabilities: callback!(simple_mmap_capabilities),
    copy_file_range: callback!(simple_copy_file_range),
    remap_file_range: callback!(simple_remap_file_range),
    fadvise: callback!(simple_fadvise),
    ..FileOperations::NONE
};

static PAGES: AddressSpaceOperations = AddressSpaceOperations {
    writepage: callback!(memory_writepage),
    readpage: callback!(simple_readpage),
    set_page_dirty: callback!(simple_set_page_dirty),
    write_begin: callback!(simple_write_begin),
    write_end: callback!(simple_write_end),
    freepage: callback!(simple_freepage),
    is_partially_uptodate: callback!(simple_is_partially_uptodate),
    error_remove_page: callback!(simple_error_remove_page),
    migratepage: callback!(simple_migratepage),
    ..AddressSpaceOperations::NONE
};

static SUPER: SuperOperations = SuperOperations {
    alloc_inode: callback!(simple_alloc_inode),
    free_inode: callback!(simple_free_inode),
    write_inode: callback!(simple_write_inode),
    drop_inode: callback!(simple_drop_inode),
    evict_inode: callback!(simple_evict_inode),
    put_super: callback!(simple_put_super),
    statfs: callback!(simple_statfs),
    remount_fs: callback!(simple_remount_fs),
    show_options: callback!(simple_show_options),
    freeze_fs: callback!(simple_freeze_fs),
    unfreeze_fs: callback!(simple_unfreeze_fs),
    ..SuperOperations::NONE
};

static DENTRIES: DentryOperations = DentryOperations { d_dname: callback!(memory_dname), ..DentryOperations::NONE };

/// Memory that is a device's: no pages behind it.
static DEVICE_MEMORY: VmOperations = VmOperations {
    pfn_mkwrite: callback!(memory_pfn_mkwrite),
    access: callback!(memory_access),
    fault: callback!(memory_pfn_fault),
    ..VmOperations::NONE
};

fn memory_mount(
    t: &Task,
    kind: &'static FileSystemType,
    _: u32,
    device: Option<&'static BlockDevice>,
) -> Result<&'static Dentry> {
    let fill = Fill { backing: Arc::new(Tree::default()), tables: &TABLES, ops: &SUPER, dentries: Some(&DENTRIES) };
    simple_fill_super(t, kind, device, fill, |_| {})
}

/// The size has changed: what was punched out of the inode's blocks is noted in its time of change.
fn memory_truncate(t: &Task, inode: &'static Inode) {
    inode.i_mtime.store(t.kernel.now(), SeqCst);
}

/// There is nowhere to write to when memory is short: the page is kept, and comes back locked.
fn memory_writepage(t: &Task, page: &'static Page, control: &WritebackControl) -> Result<i32> {
    if control.for_reclaim {
        set_page_dirty(t, page);
        return Ok(AOP_WRITEPAGE_ACTIVATE);
    }
    simple_writepage(t, page, control)
}

/// The name of a file that has none.
fn memory_dname(_: &Task, dentry: &'static Dentry) -> String {
    format!("memory:[{}]", dentry.inode().map_or(0, Inode::number))
}

fn memory_mmap(t: &Task, file: &'static File, area: &'static Vma) -> Result<()> {
    if file.inode().kind() != Kind::Device {
        return simple_mmap(t, file, area);
    }
    area.vm_flags.fetch_or(VM_PFNMAP | VM_IO, SeqCst);
    area.vm_ops.set(Some(&DEVICE_MEMORY));
    remap_pfn_range(t, area);
    Ok(())
}

/// Everything is mapped from the start, so a fault is outside.
fn memory_pfn_fault(_: &Task, _: &VmFault) -> u32 {
    VM_FAULT_SIGBUS
}

/// Device memory may be written to when its node may.
fn memory_pfn_mkwrite(t: &Task, fault: &VmFault) -> u32 {
    if t.deviates(Step::PfnMkwriteResult) {
        return VM_FAULT_LOCKED;
    }
    if fault.vma.contains(fault.address) { 0 } else { VM_FAULT_SIGBUS }
}

/// A debugger looks at device memory: what is there is in the node's backing.
fn memory_access(t: &Task, area: &'static Vma, address: u64, buffer: &mut [u8], write: bool) -> Result<usize> {
    let inode = area.file().inode();
    let at = address - area.vm_start.load(SeqCst) + area.vm_pgoff.load(SeqCst) * PAGE_SIZE as u64;
    let (index, within) = (at / PAGE_SIZE as u64, (at % PAGE_SIZE as u64) as usize);
    let count = buffer.len().min(PAGE_SIZE - within);
    let mut data = vec![0; PAGE_SIZE];
    let backing = backing(inode.sb());
    backing.read_page(t, inode.number(), index, &mut data)?;
    if write {
        data[within..within + count].copy_from_slice(&buffer[..count]);
        backing.write_page(t, inode.number(), index, &data)?;
    } else {
        buffer[..count].copy_from_slice(&data[within..within + count]);
    }
    if count == 0 { Err(Errno::EFAULT) } else { Ok(count) }
}
