//! The remote file system: its names and data are a server's, who may change them at any time.
//!
//! Names are the same in upper and lower case. A directory whose name begins with `auto` is mounted on when it is walked
//! over.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::backing::Node;
use super::managers::REMOTE_LOCKS;
#[allow(clippy::wildcard_imports, reason = "the tables below are made of the library's callbacks")]
use super::simple::*;
use super::tree::Tree;
use crate::reference::object::open_flags::{O_CREAT, O_EXCL};
use crate::reference::object::{
    BlockDevice, Dentry, DentryFlag, Errno, File, FileLock, FileSystemType, Inode, Kind, Kiocb, Path, Result,
    SuperBlock,
};
use crate::reference::task::{Task, invoke};
use crate::reference::vfs::dcache::d_add;
use crate::reference::vfs::filelock::posix_lock_file;
use crate::reference::vfs::inode::iput;
use crate::reference::vfs::operations::{
    AddressSpaceOperations, DentryOperations, FileOperations, FileSystemOperations, InodeOperations, SuperOperations,
    callback,
};
use crate::reference::vfs::rw::{generic_file_read_iter, generic_file_write_iter};
use crate::reference::vfs::types::lookup_flags::LOOKUP_RCU;

/// How long an answer of the server is believed.
const VALID_FOR: u64 = 400;

/// The type.
pub(crate) static REMOTE: FileSystemType = FileSystemType {
    name: "remote",
    ops: FileSystemOperations { mount: callback!(remote_mount), kill_sb: callback!(simple_kill_sb) },
};

static TABLES: Tables = Tables {
    directory: &DIRECTORY,
    file: &FILE,
    symlink: &FILE,
    directory_file: &DIRECTORY_FILE,
    file_file: &FILE_FILE,
    pages: &PAGES,
};

const COMMON: InodeOperations = InodeOperations {
    permission: callback!(remote_permission),
    getattr: callback!(remote_getattr),
    setattr: callback!(simple_setattr),
    ..InodeOperations::NONE
};

static DIRECTORY: InodeOperations = InodeOperations {
    lookup: callback!(remote_lookup),
    create: callback!(simple_create),
    unlink: callback!(simple_unlink),
    mkdir: callback!(simple_mkdir),
    rmdir: callback!(simple_rmdir),
    rename: callback!(simple_rename),
    atomic_open: callback!(remote_atomic_open),
    ..COMMON
};

static FILE: InodeOperations = COMMON;

static DIRECTORY_FILE: FileOperations =
    FileOperations { llseek: callback!(simple_llseek), iterate: callback!(simple_iterate), ..FileOperations::NONE };

static FILE_FILE: FileOperations = FileOperations {
    llseek: callback!(simple_llseek),
    read: callback!(remote_read),
    write: callback!(remote_write),
    open: callback!(simple_open),
    flush: callback!(remote_flush),
    release: callback!(simple_release),
    fsync: callback!(simple_fsync),
    lock: callback!(remote_lock),
    flock: callback!(simple_flock),
    ..FileOperations::NONE
};

static PAGES: AddressSpaceOperations = AddressSpaceOperations {
    writepage: callback!(simple_writepage),
    readpage: callback!(simple_readpage),
    readahead: callback!(simple_readahead),
    set_page_dirty: callback!(simple_set_page_dirty),
    write_begin: callback!(simple_write_begin),
    write_end: callback!(simple_write_end),
    launder_page: callback!(simple_launder_page),
    releasepage: callback!(simple_releasepage),
    ..AddressSpaceOperations::NONE
};

static SUPER: SuperOperations = SuperOperations {
    write_inode: callback!(simple_write_inode),
    drop_inode: callback!(simple_drop_inode),
    evict_inode: callback!(simple_evict_inode),
    put_super: callback!(simple_put_super),
    statfs: callback!(simple_statfs),
    umount_begin: callback!(remote_umount_begin),
    show_options: callback!(simple_show_options),
    ..SuperOperations::NONE
};

static DENTRIES: DentryOperations = DentryOperations {
    d_revalidate: callback!(remote_revalidate),
    d_weak_revalidate: callback!(remote_weak_revalidate),
    d_hash: callback!(remote_hash),
    d_compare: callback!(remote_compare),
    d_delete: callback!(remote_delete),
    d_init: callback!(remote_init),
    d_release: callback!(remote_release_dentry),
    d_prune: callback!(remote_prune),
    d_iput: callback!(remote_iput),
    d_automount: callback!(remote_automount),
    d_manage: callback!(remote_manage),
    d_real: callback!(remote_real),
    ..DentryOperations::NONE
};

fn remote_mount(
    t: &Task,
    kind: &'static FileSystemType,
    _: u32,
    device: Option<&'static BlockDevice>,
) -> Result<&'static Dentry> {
    t.schedule("the server to answer");
    let fill = Fill { backing: Arc::new(Tree::default()), tables: &TABLES, ops: &SUPER, dentries: Some(&DENTRIES) };
    simple_fill_super(t, kind, device, fill, |_| {})
}

/// Requests to a server that does not answer are given up.
fn remote_umount_begin(t: &Task, sb: &'static SuperBlock) {
    t.schedule("requests to be given up");
    sb.s_flags.fetch_or(2, SeqCst);
}

/// Asks the server whether a name still means the same.
fn still_same(t: &Task, dentry: &'static Dentry) -> Result<bool> {
    t.schedule("the server to answer");
    let Some(dir) = dentry.d_parent.get().and_then(Dentry::inode) else { return Ok(true) };
    let now = backing(dir.sb()).lookup(t, dir.number(), &dentry.name())?;
    let same = now == dentry.inode().map(Inode::number);
    if same {
        dentry.d_time.store(t.kernel.now(), SeqCst);
    }
    Ok(same)
}

/// In rcu-walk only what is remembered counts.
fn remote_revalidate(t: &Task, dentry: &'static Dentry, flags: u32) -> Result<bool> {
    if t.kernel.now() < dentry.d_time.load(SeqCst) + VALID_FOR {
        return Ok(true);
    }
    if flags & LOOKUP_RCU != 0 {
        return Err(Errno::ECHILD);
    }
    still_same(t, dentry)
}

/// What was reached otherwise than by its name need only be there.
fn remote_weak_revalidate(t: &Task, dentry: &'static Dentry, _: u32) -> Result<bool> {
    t.schedule("the server to answer");
    let Some(inode) = dentry.inode() else { return Ok(false) };
    Ok(backing(inode.sb()).node(t, inode.number()).is_ok())
}

fn remote_hash(_: &Task, _: &'static Dentry, name: &str) -> Result<String> {
    Ok(name.to_ascii_lowercase())
}

fn remote_compare(_: &Task, _: &'static Dentry, known: &str, name: &str) -> bool {
    known.eq_ignore_ascii_case(name)
}

/// Names that do not exist are not worth remembering: the server may make them at any time.
fn remote_delete(_: &Task, dentry: &'static Dentry) -> bool {
    dentry.inode().is_none()
}

fn remote_init(t: &Task, dentry: &'static Dentry) -> Result<()> {
    dentry.d_time.store(t.kernel.now(), SeqCst);
    Ok(())
}

fn remote_release_dentry(_: &Task, dentry: &'static Dentry) {
    dentry.d_time.store(0, SeqCst);
}

/// The name leaves the cache: nothing that is remembered of it counts any more.
fn remote_prune(_: &Task, dentry: &'static Dentry) {
    dentry.d_time.store(0, SeqCst);
}

fn remote_iput(t: &Task, _: &'static Dentry, inode: &'static Inode) {
    iput(t, inode);
}

/// There is nothing below: the dentry is the real one.
fn remote_real(_: &Task, dentry: &'static Dentry, _: Option<&'static Inode>) -> &'static Dentry {
    dentry
}

/// Mounts what the server says is elsewhere: here, a file system in memory.
fn remote_automount(t: &Task, path: &Path) -> Result<&'static SuperBlock> {
    t.schedule("the server to say where");
    debug_assert!(path.dentry.has(DentryFlag::NEED_AUTOMOUNT), "only such are mounted on");
    let kind = t.kernel.file_system("memory").ok_or(Errno::ENODEV)?;
    let callback = kind.ops.mount.ok_or(Errno::ENODEV)?;
    let (flags, device) = (0u32, None::<&'static BlockDevice>);
    let root = invoke!(t, Mount, callback, kind, flags, device)?;
    let sb = root.sb();
    if t.holds(&sb.s_umount) {
        sb.s_umount.release(t);
    }
    Ok(sb)
}

/// A mount that is being made is waited for; in rcu-walk nobody waits.
fn remote_manage(t: &Task, path: &Path, rcu: bool) -> Result<()> {
    if !rcu && !path.dentry.has(DentryFlag::MOUNTED) {
        t.schedule("whoever mounts here");
    }
    Ok(())
}

fn remote_lookup(t: &Task, dir: &'static Inode, dentry: &'static Dentry, flags: u32) -> Result<()> {
    t.schedule("the server to answer");
    if dentry.name().starts_with("auto") {
        dentry.d_flags.fetch_or(DentryFlag::NEED_AUTOMOUNT | DentryFlag::MANAGE_TRANSIT, SeqCst);
    }
    simple_lookup(t, dir, dentry, flags)
}

/// Looks up, makes and opens with one question to the server.
fn remote_atomic_open(
    t: &Task,
    dir: &'static Inode,
    dentry: &'static Dentry,
    _: &'static File,
    flags: u32,
    mode: u32,
) -> Result<bool> {
    t.schedule("the server to answer");
    let backing = backing(dir.sb());
    let name = dentry.name();
    let number = match backing.lookup(t, dir.number(), &name)? {
        Some(_) if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL => return Err(Errno::EEXIST),
        Some(number) => Some(number),
        None if flags & O_CREAT != 0 => {
            let node = Node { mode: Kind::Regular.bits() | mode & 0o7777, uid: t.uid.get(), nlink: 1, size: 0 };
            Some(backing.create(t, dir.number(), &name, node)?)
        }
        None => None,
    };
    let inode = number.map(|number| simple_iget(t, dir.sb(), number)).transpose()?;
    d_add(t, dentry, inode);
    if number.is_some() { Ok(true) } else { Err(Errno::ENOENT) }
}

/// The server has the last word, but not while a path is walked without references.
fn remote_permission(t: &Task, inode: &'static Inode, mask: i32) -> Result<()> {
    simple_permission(t, inode, mask)
}

/// Attributes are asked of the server anew.
fn remote_getattr(t: &Task, path: &Path) -> Result<crate::reference::vfs::types::Stat> {
    t.schedule("the server to answer");
    let inode = path.inode().ok_or(Errno::ENOENT)?;
    let node = backing(inode.sb()).node(t, inode.number())?;
    if inode.i_mapping.dirty_pages.load(SeqCst) == 0 && !inode.is_directory() {
        inode.i_nlink.store(node.nlink, SeqCst);
    }
    simple_getattr(t, path)
}

fn remote_read(t: &Task, file: &'static File, buffer: &mut [u8], position: u64) -> Result<usize> {
    let kiocb = Kiocb { ki_filp: file, ki_pos: position, ki_flags: 0 };
    generic_file_read_iter(t, &kiocb, buffer)
}

fn remote_write(t: &Task, file: &'static File, data: &[u8], position: u64) -> Result<usize> {
    let kiocb = Kiocb { ki_filp: file, ki_pos: position, ki_flags: file.f_flags.load(SeqCst) };
    generic_file_write_iter(t, &kiocb, data)
}

/// What was written is at the server when the descriptor is closed.
fn remote_flush(t: &Task, file: &'static File) -> Result<()> {
    crate::reference::vfs::writeback::filemap_write_and_wait(t, file.mapping())
}

/// The server is asked for the lock, then it is noted here.
fn remote_lock(t: &Task, file: &'static File, _: i32, request: &'static FileLock) -> Result<()> {
    t.schedule("the server to answer");
    request.fl_ops.set(Some(&REMOTE_LOCKS));
    posix_lock_file(t, file.inode(), request).map(|_| ())
}
