//! What is to be read at an op: roles, locks and facts, resolved to places among arguments and members.

use super::value::Member;
use super::{Function, Op};
use crate::reference::lock::Class;

/// Slots of locks per side: they are packed into one number.
pub(crate) const LOCKS_MAX: usize = 8;
/// Facts per op: one bit each.
pub(crate) const FACTS_MAX: usize = 64;

/// Where a role's object is.
#[derive(Clone, Debug)]
pub(crate) struct RolePlan {
    pub(crate) name: String,
    pub(crate) from: From,
    pub(crate) path: Vec<Member>,
}

/// Where a path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Argument(usize),
    /// An argument that the callback fills.
    Filled(usize),
    Role(usize),
    Result,
}

/// A lock to read.
#[derive(Clone, Debug)]
pub(crate) struct LockPlan {
    pub(crate) role: String,
    /// Name as the rules have it.
    pub(crate) lock: String,
    pub(crate) class: Class,
    /// The role's index; a variable of the kernel has none.
    pub(crate) index: Option<usize>,
}

/// A fact to read.
#[derive(Clone, Debug)]
pub(crate) struct FactPlan {
    pub(crate) name: String,
    pub(crate) reader: Reader,
}

/// How a fact is read; as the rules' readers, with names resolved.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    Differ(usize, usize),
    Present(usize),
    IsDirectory(usize),
    Mask(usize, u32),
    MemberMask {
        role: usize,
        path: Vec<Member>,
        mask: u64,
    },
    MemberEquals {
        role: usize,
        path: Vec<Member>,
        value: i64,
    },
    ArgumentReaches {
        argument: usize,
        role: usize,
        path: Vec<Member>,
    },
    CalledFrom(Vec<String>),
    InSyscall(Vec<String>),
    /// What the reference VFS has nothing of.
    Never,
    AllLocked(usize),
    Atomic,
    InInterrupt,
    InRcuCallback,
    InRcuWalk,
    Slept,
    AtExit(Box<Reader>),
    ResultNegative,
    ResultIsErrorPointer,
    ResultEquals(i64),
    ResultMask(u64),
    Called(Vec<Function>),
    CalledOp(Vec<Op>),
    Order(Vec<Function>, Vec<Function>),
    Acquired(usize, Class),
    Released(usize, Class),
    EventuallyReleased(usize, Class),
    EventuallyCalled(Vec<Function>),
    CountsDown {
        role: usize,
        path: Vec<Member>,
        functions: Vec<Function>,
    },
    Strays {
        role: usize,
        functions: Vec<Function>,
    },
    /// By an invocation for the same first role's object.
    Overlaps(Op),
    AllReleased(usize),
}

/// All that is read at an op.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) op: Op,
    pub(crate) roles: Vec<RolePlan>,
    /// Locks read at the entry.
    pub(crate) entry_locks: Vec<LockPlan>,
    /// Locks read at the return.
    pub(crate) exit_locks: Vec<LockPlan>,
    /// Facts read at the entry, then those that are known at the return only.
    pub(crate) entry_facts: Vec<FactPlan>,
    pub(crate) exit_facts: Vec<FactPlan>,
    /// Whether a rule speaks of the return.
    pub(crate) has_exit: bool,
    /// Path from the first role to the superblock; nothing when there is no way.
    pub(crate) superblock: Option<Vec<Member>>,
    /// Whether invocations that overlap are looked for.
    pub(crate) overlaps: bool,
    /// Whether a fact of the return must note something at the entry.
    pub(crate) needs_before: bool,
}

impl Plan {
    /// All facts in the order of their bits.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &FactPlan> {
        self.entry_facts.iter().chain(&self.exit_facts)
    }
}
