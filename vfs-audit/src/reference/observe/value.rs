//! Objects by type, and their members by name: what a kernel's BTF would be asked.
//!
//! Roles and facts name members as paths (`d_inode`, `i_sb`); here each step of such a path is followed on the reference
//! VFS's own objects. Which members a rule reads is not known here.

use std::sync::atomic::Ordering::SeqCst;

use crate::reference::kernel::Kernel;
use crate::reference::lock::{Class, Lock};
use crate::reference::object::{
    AddressSpace, BlockDevice, BufferHead, Dentry, Dquot, File, FileLock, FileLockContext, FileSystemType, Gendisk,
    Inode, Kiocb, Mm, Page, PageFlag, PageList, Path, ReadaheadControl, Slot, SuperBlock, VmFault, Vma,
    WritebackControl,
};

/// A number or an object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// No object, or nothing that a rule could speak of.
    Null,
    Number(i64),
    Inode(&'static Inode),
    Dentry(&'static Dentry),
    SuperBlock(&'static SuperBlock),
    FileSystem,
    Mapping(&'static AddressSpace),
    Page(&'static Page),
    /// A pointer that the callback fills.
    PageSlot(&'a Slot<Page>),
    File(&'static File),
    Kiocb(&'a Kiocb),
    Writeback(&'a WritebackControl),
    Window(&'a ReadaheadControl),
    Pages(&'a PageList),
    Path(&'a Path),
    Buffer(&'static BufferHead),
    Dquot(&'static Dquot),
    FileLock(&'static FileLock),
    LockContext(&'static FileLockContext),
    Vma(&'static Vma),
    Mm(&'static Mm),
    Fault(&'a VmFault),
    Device(&'static BlockDevice),
    Disk(&'static Gendisk),
    /// A member that is a struct with nothing but a counter in it (`mm_users`).
    Counter(i64),
}

macro_rules! members {
    ($($variant:ident = $name:literal;)*) => {
        /// A member that a path can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Member {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Member {
            /// The member of a name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

members! {
    DInode = "d_inode"; DSb = "d_sb"; Dentry = "dentry"; ISb = "i_sb"; IFlctx = "i_flctx"; IMapping = "i_mapping";
    Mapping = "mapping"; Host = "host"; FInode = "f_inode"; FMapping = "f_mapping"; FMode = "f_mode"; FFlags = "f_flags";
    KiFilp = "ki_filp"; FlFile = "fl_file"; FlFlags = "fl_flags"; VmMm = "vm_mm"; VmFile = "vm_file"; Vma = "vma";
    Flags = "flags"; Page = "page"; BdDisk = "bd_disk"; DqSb = "dq_sb"; SyncMode = "sync_mode"; NrToWrite = "nr_to_write";
    MmUsers = "mm_users"; ICount = "i_count"; ISize = "i_size"; Counter = "counter"; BPage = "b_page";
}

impl Value<'_> {
    /// One step of a path; nothing when the type has no such member.
    pub(crate) fn follow(self, member: Member) -> Option<Self> {
        Some(match (self, member) {
            (Self::Null, _) => Self::Null,
            (Self::Dentry(dentry), Member::DInode) => dentry.d_inode.get().as_value(),
            (Self::Dentry(dentry), Member::DSb) => dentry.d_sb.get().as_value(),
            (Self::Path(path), Member::Dentry) => Self::Dentry(path.dentry),
            (Self::Inode(inode), Member::ISb) => inode.i_sb.get().as_value(),
            (Self::Inode(inode), Member::IFlctx) => Self::LockContext(&inode.i_flctx),
            (Self::Inode(inode), Member::IMapping) => Self::Mapping(&inode.i_mapping),
            (Self::Inode(inode), Member::ICount) => Self::Counter(inode.i_count.load(SeqCst).into()),
            (Self::Inode(inode), Member::ISize) => Self::Number(inode.size().cast_signed()),
            (Self::Inode(inode), Member::Flags) => Self::Number(inode.i_flags.load(SeqCst).into()),
            (Self::Mapping(mapping), Member::Host) => mapping.host.get().as_value(),
            (Self::Mapping(mapping), Member::Flags) => Self::Number(mapping.flags.load(SeqCst).into()),
            (Self::Page(page), Member::Mapping) => page.mapping.get().as_value(),
            (Self::Page(page), Member::Flags) => Self::Number(page.flags.load(SeqCst).into()),
            (Self::Window(window), Member::Mapping) => Self::Mapping(window.mapping),
            (Self::Buffer(buffer), Member::BPage) => buffer.b_page.get().as_value(),
            (Self::Kiocb(kiocb), Member::KiFilp) => Self::File(kiocb.ki_filp),
            (Self::Writeback(control), Member::SyncMode) => Self::Number(control.sync_mode.into()),
            (Self::Writeback(control), Member::NrToWrite) => Self::Number(control.nr_to_write.load(SeqCst)),
            (Self::Dquot(dquot), Member::DqSb) => dquot.dq_sb.get().as_value(),
            (Self::Device(device), Member::BdDisk) => device.bd_disk.get().as_value(),
            (Self::Counter(count), Member::Counter) => Self::Number(count),
            _ => return self.follow_file(member).or_else(|| self.follow_memory(member)),
        })
    }

    fn follow_file(self, member: Member) -> Option<Self> {
        Some(match (self, member) {
            (Self::File(file), Member::FInode) => file.f_inode.get().as_value(),
            (Self::File(file), Member::FMapping) => file.f_mapping.get().as_value(),
            (Self::File(file), Member::FMode) => Self::Number(file.f_mode.load(SeqCst).into()),
            (Self::File(file), Member::FFlags) => Self::Number(file.f_flags.load(SeqCst).into()),
            (Self::FileLock(lock), Member::FlFile) => lock.fl_file.get().as_value(),
            (Self::FileLock(lock), Member::FlFlags) => Self::Number(lock.fl_flags.load(SeqCst).into()),
            _ => return None,
        })
    }

    fn follow_memory(self, member: Member) -> Option<Self> {
        Some(match (self, member) {
            (Self::Vma(area), Member::VmMm) => area.vm_mm.get().as_value(),
            (Self::Vma(area), Member::VmFile) => area.vm_file.get().as_value(),
            (Self::Fault(fault), Member::Vma) => Self::Vma(fault.vma),
            (Self::Fault(fault), Member::Flags) => Self::Number(fault.flags.into()),
            (Self::Fault(fault), Member::Page) => fault.page.get().as_value(),
            (Self::Mm(mm), Member::MmUsers) => Self::Counter(mm.mm_users.load(SeqCst).into()),
            _ => return None,
        })
    }

    /// The object's lock of a class; nothing when its type has none.
    pub(crate) fn lock(self, class: Class) -> Option<&'static Lock> {
        Some(match (self, class) {
            (Self::Inode(inode), Class::IRwsem) => &inode.i_rwsem,
            (Self::Inode(inode), Class::ILock) => &inode.i_lock,
            (Self::Mapping(mapping), Class::InvalidateLock) => &mapping.invalidate_lock,
            (Self::Page(page), Class::FolioLock) => &page.lock,
            (Self::Buffer(buffer), Class::BhLock) => &buffer.lock,
            (Self::SuperBlock(sb), Class::SUmount) => &sb.s_umount,
            (Self::SuperBlock(sb), Class::RenameMutex) => &sb.s_vfs_rename_mutex,
            (Self::SuperBlock(sb), Class::DqioSem) => &sb.dqio_sem,
            (Self::SuperBlock(sb), Class::DqonoffSem) => &sb.dqonoff_sem,
            (Self::SuperBlock(sb), Class::DqptrSem) => &sb.dqptr_sem,
            (Self::Mm(mm), Class::MmapLock) => &mm.mmap_lock,
            (Self::Disk(disk), Class::OpenMutex) => &disk.open_mutex,
            (Self::File(file), Class::FPosLock) => &file.f_pos_lock,
            (Self::Dentry(dentry), Class::DLock) => &dentry.d_lock,
            (Self::LockContext(context), Class::FlcLock) => &context.flc_lock,
            _ => return None,
        })
    }

    /// Where the object is, as its identity; zero for no object.
    pub(crate) fn address(self) -> usize {
        match self {
            Self::Inode(inode) => inode.address(),
            Self::Dentry(dentry) => dentry.address(),
            Self::SuperBlock(sb) => std::ptr::from_ref(sb) as usize,
            Self::Mapping(mapping) => mapping.address(),
            Self::Page(page) => page.address(),
            Self::File(file) => std::ptr::from_ref(file) as usize,
            Self::Null
            | Self::Number(_)
            | Self::Counter(_)
            | Self::FileSystem
            | Self::PageSlot(_)
            | Self::Kiocb(_)
            | Self::Writeback(_)
            | Self::Window(_)
            | Self::Pages(_)
            | Self::Path(_)
            | Self::Buffer(_)
            | Self::Dquot(_)
            | Self::FileLock(_)
            | Self::LockContext(_)
            | Self::Vma(_)
            | Self::Mm(_)
            | Self::Fault(_)
            | Self::Device(_)
            | Self::Disk(_) => 0,
        }
    }

    /// The pages that an object stands for.
    pub(crate) fn pages(self) -> Vec<&'static Page> {
        match (self, ()) {
            (Self::Window(window), ()) => window.pages.clone(),
            (Self::Pages(list), ()) => list.pages.iter().map(|(_, page)| *page).collect(),
            (Self::Page(page), ()) => vec![page],
            _ => Vec::new(),
        }
    }

    /// A number, where it is one; no object is zero.
    pub(crate) fn number(self) -> Option<i64> {
        match (self, ()) {
            (Self::Null, ()) => Some(0),
            (Self::Number(number), ()) => Some(number),
            // A pointer that is not null.
            _ => Some(i64::MAX),
        }
    }

    /// Whether there is an object.
    pub(crate) fn is_present(self) -> bool {
        !matches!(self, Self::Null)
    }
}

/// The lock of a kernel's variable.
pub(crate) fn global_lock(kernel: &Kernel, class: Class) -> Option<&Lock> {
    let globals = &kernel.globals;
    Some(match (class, ()) {
        (Class::RenameLock, ()) => &globals.rename_lock,
        (Class::NamespaceSem, ()) => &globals.namespace_sem,
        (Class::BlockedLockLock, ()) => &globals.blocked_lock_lock,
        (Class::SwapLock, ()) => &globals.swap_lock,
        _ => return None,
    })
}

/// The number of a flag's bit by its enumerator.
pub(crate) fn flag_bit(enumerator: &str) -> Option<u32> {
    Some(match enumerator {
        "PG_writeback" => PageFlag::WRITEBACK,
        "PG_dirty" => PageFlag::DIRTY,
        "PG_private" => PageFlag::PRIVATE,
        "PG_uptodate" => PageFlag::UPTODATE,
        "PG_error" => PageFlag::ERROR,
        "AS_EXITING" => crate::reference::object::MappingFlag::AS_EXITING,
        _ => return None,
    })
}

/// What an argument or a result is, for whoever looks at a call.
pub(crate) trait AsValue<'a> {
    /// As a value.
    fn as_value(&self) -> Value<'a>;
}

macro_rules! objects {
    ($($type:ty => $variant:ident;)*) => {$(
        impl<'a> AsValue<'a> for &'static $type {
            fn as_value(&self) -> Value<'a> {
                Value::$variant(self)
            }
        }
    )*};
}

objects! {
    Inode => Inode; Dentry => Dentry; SuperBlock => SuperBlock; AddressSpace => Mapping;
    Page => Page; File => File; BufferHead => Buffer; Dquot => Dquot; FileLock => FileLock; Vma => Vma;
    BlockDevice => Device; Gendisk => Disk; Mm => Mm;
}

impl<'a> AsValue<'a> for &'static FileSystemType {
    fn as_value(&self) -> Value<'a> {
        Value::FileSystem
    }
}

macro_rules! passing {
    ($($type:ty => $variant:ident;)*) => {$(
        impl<'a> AsValue<'a> for &'a $type {
            fn as_value(&self) -> Value<'a> {
                Value::$variant(self)
            }
        }
    )*};
}

passing! {
    Slot<Page> => PageSlot; Kiocb => Kiocb; WritebackControl => Writeback; ReadaheadControl => Window; PageList => Pages;
    Path => Path; VmFault => Fault;
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl<'a> AsValue<'a> for $type {
            fn as_value(&self) -> Value<'a> {
                Value::Number(i64::from(*self))
            }
        }
    )*};
}

numbers! { i32 u32 i64 bool }

macro_rules! opaque {
    ($($type:ty)*) => {$(
        impl<'a> AsValue<'a> for $type {
            fn as_value(&self) -> Value<'a> {
                Value::Null
            }
        }
    )*};
}

// Offsets and lengths: the kernel's are signed.
impl<'a> AsValue<'a> for u64 {
    fn as_value(&self) -> Value<'a> {
        Value::Number(self.cast_signed())
    }
}

opaque! {
    usize &str String &[u8] &mut [u8] &crate::reference::vfs::types::Attributes
    &crate::reference::vfs::types::Pipe
}

impl<'a, T: Copy + AsValue<'a>> AsValue<'a> for Option<T> {
    fn as_value(&self) -> Value<'a> {
        self.map_or(Value::Null, |object| object.as_value())
    }
}
