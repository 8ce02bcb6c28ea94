//! Lock classes of the reference VFS: what a lock is called, how it may be waited for, and where in the order it stands.
//!
//! Names are the kernel's. Nothing here says who must hold which lock when.

/// How a lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The task gives up the CPU.
    Sleeps,
    /// The task spins; holding it makes the context atomic.
    Spins,
}

macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $waiting:ident;)*) => {
        /// All locks of one kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Class {
            $($(#[$doc])* $variant,)*
        }

        impl Class {
            /// Every class.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The kernel's name.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// How it is waited for.
            pub(crate) fn waiting(self) -> Waiting {
                match self {
                    $(Self::$variant => Waiting::$waiting,)*
                }
            }

            /// Whether several of one class are acquired inside each other in an order that is not the class's: pages and buffers
            /// of a file, by their place in it.
            pub(crate) fn nests_by_place(self) -> bool {
                matches!(self, Self::FolioLock | Self::BhLock)
            }

            /// The class of a name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|class| class.name() == name)
            }
        }
    };
}

classes! {
    IRwsem = "i_rwsem" Sleeps;
    ILock = "i_lock" Spins;
    InvalidateLock = "invalidate_lock" Sleeps;
    FolioLock = "folio_lock" Sleeps;
    BhLock = "bh_lock" Sleeps;
    SUmount = "s_umount" Sleeps;
    RenameMutex = "s_vfs_rename_mutex" Sleeps;
    DqioSem = "dqio_sem" Sleeps;
    DqonoffSem = "dqonoff_sem" Sleeps;
    DqptrSem = "dqptr_sem" Sleeps;
    DqLock = "dq_lock" Sleeps;
    MmapLock = "mmap_lock" Sleeps;
    PageTableLock = "page_table_lock" Spins;
    OpenMutex = "open_mutex" Sleeps;
    FPosLock = "f_pos_lock" Sleeps;
    DLock = "d_lock" Spins;
    FlcLock = "flc_lock" Spins;
    BlockedLockLock = "blocked_lock_lock" Spins;
    RenameLock = "rename_lock" Spins;
    NamespaceSem = "namespace_sem" Sleeps;
    SwapLock = "swap_lock" Spins;
    SbWriters = "sb_writers" Sleeps;
    SbPagefaults = "sb_pagefaults" Sleeps;
    SbInternal = "sb_internal" Sleeps;
    JournalLock = "journal_lock" Sleeps;
    QueueLock = "queue_lock" Spins;
    Preempt = "preempt" Spins;
}

/// Place of an acquisition within its class: acquisitions of one class inside each other must say in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Nest {
    /// The usual one.
    Normal = 0,
    /// A parent, before its children.
    Parent = 1,
    /// The second parent.
    Parent2 = 2,
    /// A child of a locked parent.
    Child = 3,
    /// The second child.
    Child2 = 4,
}

/// A class and a place within it, as a small number.
pub(crate) fn order_key(class: Class, nest: Nest) -> usize {
    class as usize * NESTS + nest as usize
}

/// Places within a class.
const NESTS: usize = 5;
/// Keys that there can be.
pub(crate) const ORDER_KEYS_MAX: usize = 192;

const _: () = assert!(Class::ALL.len() * NESTS <= ORDER_KEYS_MAX);

/// What an order key stands for.
pub(crate) fn order_key_name(key: usize) -> String {
    let class = Class::ALL.get(key / NESTS).map_or("?", |class| class.name());
    match key % NESTS {
        0 => class.to_owned(),
        nest => format!("{class}/{nest}"),
    }
}
