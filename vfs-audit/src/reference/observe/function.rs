//! Functions that leave a trace when they run, and the record of what happened in an invocation.

macro_rules! functions {
    ($($variant:ident = $name:literal;)*) => {
        /// A function of the kernel that is noted when it runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Function {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Function {
            /// The function of a name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

functions! {
    GenericSetlease = "generic_setlease";
    DoSetPte = "do_set_pte";
    AddSwapExtent = "add_swap_extent";
    FilemapFault = "filemap_fault";
    SetPageWriteback = "__test_set_page_writeback";
    EndPageWriteback = "end_page_writeback";
    WaitOnPageWriteback = "wait_on_page_writeback";
    UnlockPage = "unlock_page";
    RedirtyPage = "redirty_page_for_writepage";
    TruncateInodePagesRange = "truncate_inode_pages_range";
}

/// Something that happened on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It gave up the CPU of its own will.
    Slept,
    /// It acquired the lock at an address.
    Acquired(usize),
    /// It released the lock at an address.
    Released(usize),
    /// A function ran for the object at an address, which belonged to the one at the other address.
    Called(Function, usize, usize),
    /// A callback of an op was called.
    Invoked(super::Op),
}
