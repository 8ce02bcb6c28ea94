//! Kinds of fact: what a condition or a requirement can ask beside locks, and who can read it.

use super::model::{Argument, LockOf};

/// How a fact is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactReader {
    /// `a != b`: the two roles' objects are not the same.
    RolesDiffer(String, String),
    /// `present(role)`: the role has an object.
    Present(String),
    /// `directory(role)`: the role is an inode whose `i_mode` says directory.
    IsDirectory(String),
    /// `argument & mask`: not zero.
    Mask(Argument, u32),
    /// `slept` (at exit): the task gave up the CPU of its own will between entry and exit.
    Slept,
    /// `role.member & mask`: a member of a role's object, not zero under the mask.
    MemberMask {
        /// Role whose object has the member.
        role: String,
        /// Member, as a path.
        path: Vec<String>,
        /// Mask.
        mask: u64,
    },
    /// `role.member == value`.
    MemberEquals {
        /// Role whose object has the member.
        role: String,
        /// Member, as a path.
        path: Vec<String>,
        /// Value.
        value: i64,
    },
    /// `argument >= role.member`: an argument that is at least as large as a member of a role's object, both signed.
    ArgumentReaches {
        /// Argument.
        argument: Argument,
        /// Role whose object has the member.
        role: String,
        /// Member, as a path.
        path: Vec<String>,
    },
    /// `bit(role.member, ENUMERATOR)`: one bit of a member, numbered by an enumerator that BTF knows (`PG_writeback`).
    MemberBit {
        /// Role whose object has the member.
        role: String,
        /// Member, as a path.
        path: Vec<String>,
        /// Enumerator that numbers the bit.
        bit: String,
    },
    /// `at_exit(fact)`: another fact, read once more at the return.
    AtExit(Box<FactReader>),
    /// `result < 0` (at exit): the callback returned a negative number.
    ResultNegative,
    /// `error(result)` (at exit): the callback returned an error pointer.
    ResultIsErrorPointer,
    /// `result == value` (at exit).
    ResultEquals(i64),
    /// `result & mask` (at exit): not zero.
    ResultMask(u64),
    /// `called(f | g)` (at exit): one of the functions ran on this task between entry and exit.
    Called(Vec<String>),
    /// `called_op(op | op)` (at exit): a callback of one of the ops ran on this task between entry and exit.
    CalledOp(Vec<String>),
    /// `order(f | g, h | i)` (at exit): one of each ran on this task between entry and exit, one of the first ones first.
    Order(Vec<String>, Vec<String>),
    /// `acquired(role.lock)` (at exit): the task acquired the lock between entry and exit.
    Acquired(LockOf),
    /// `released(role.lock)` (at exit): the task released the lock between entry and exit.
    Released(LockOf),
    /// `eventually_released(role.lock)` (at exit): the lock was released before the return or by a later completion.
    EventuallyReleased(LockOf),
    /// `eventually_called(f | g)` (at exit): one of the functions ran for the same object before the return or later.
    EventuallyCalled(Vec<String>),
    /// `counts_down(role.member, f | g)` (at exit): the member fell by as much as the functions ran.
    CountsDown {
        /// Role whose object has the member.
        role: String,
        /// Member, as a path.
        path: Vec<String>,
        /// Functions that are counted.
        functions: Vec<String>,
    },
    /// `strays(role, f | g)` (at exit): one of the functions ran for an object that is not the role's.
    Strays {
        /// Role whose object it should be for.
        role: String,
        /// Functions.
        functions: Vec<String>,
    },
    /// `called_from(f | g)`: one of the functions is on the task's stack.
    CalledFrom(Vec<String>),
    /// `in_syscall(name | name)`: the task is in one of these system calls.
    InSyscall(Vec<String>),
    /// `within(op)`: the task is inside an invocation of the op for another superblock, which has led here: file systems are
    /// stacked.
    Within(String),
    /// `vma_locked(role)`: the area's own lock is held, whatever kind it is of.
    VmaLocked(String),
    /// `overlaps(role, op)` (at exit): an invocation of the op for the role's object was under way at the same time.
    Overlaps {
        /// Role.
        role: String,
        /// Op of the same table.
        op: String,
    },
    /// `all_locked(role)`: every folio that the role's object stands for (a readahead window, an iterator) is locked.
    AllFoliosLocked(String),
    /// `all_released(role)` (at exit): every such folio was unlocked before the return or by a later completion.
    AllFoliosReleased(String),
    /// `atomic`: sleeping is not allowed (preemption or interrupts off, a spinlock held, an RCU read side entered).
    Atomic,
    /// `in_interrupt`: hard or soft interrupt context.
    InInterrupt,
    /// `in_rcu_callback`: called by RCU after a grace period.
    InRcuCallback,
    /// `in_rcu_walk`: the task is walking a path in rcu-walk mode.
    InRcuWalk,
}

impl FactReader {
    /// Why the live tracer cannot read this kind of fact on any kernel; the reference VFS reads every kind.
    pub fn unreadable_live(&self) -> Option<&'static str> {
        match self {
            Self::EventuallyCalled(_) => Some("calls after the callback's return are not followed to its object"),
            Self::CountsDown { .. } => Some("work that the callback leaves to other tasks is not counted for it"),
            Self::Overlaps { .. } => Some("invocations of other tasks are not set beside each other"),
            Self::AllFoliosLocked(_) | Self::AllFoliosReleased(_) => {
                Some("the folios of a window or an iterator are not walked")
            }
            Self::AtExit(inner) => inner.unreadable_live(),
            Self::RolesDiffer(..)
            | Self::Present(_)
            | Self::IsDirectory(_)
            | Self::Mask(..)
            | Self::Slept
            | Self::MemberMask { .. }
            | Self::MemberEquals { .. }
            | Self::ArgumentReaches { .. }
            | Self::MemberBit { .. }
            | Self::ResultNegative
            | Self::ResultIsErrorPointer
            | Self::ResultEquals(_)
            | Self::ResultMask(_)
            | Self::Called(_)
            | Self::CalledOp(_)
            | Self::Order(..)
            | Self::Acquired(_)
            | Self::Released(_)
            | Self::EventuallyReleased(_)
            | Self::Strays { .. }
            | Self::CalledFrom(_)
            | Self::InSyscall(_)
            | Self::Within(_)
            | Self::VmaLocked(_)
            | Self::Atomic
            | Self::InInterrupt
            | Self::InRcuCallback
            | Self::InRcuWalk => None,
        }
    }

    /// Whether the fact is followed through the callback by other probes: one that was missed makes it wrong.
    pub fn is_followed(&self) -> bool {
        matches!(
            self,
            Self::Called(_)
                | Self::CalledOp(_)
                | Self::Order(..)
                | Self::Acquired(_)
                | Self::Released(_)
                | Self::EventuallyReleased(_)
                | Self::EventuallyCalled(_)
                | Self::CountsDown { .. }
                | Self::Strays { .. }
        )
    }

    /// Whether the fact is known only at the callback's return.
    pub fn is_of_exit(&self) -> bool {
        match self {
            Self::Slept
            | Self::AtExit(_)
            | Self::ResultNegative
            | Self::ResultIsErrorPointer
            | Self::ResultEquals(_)
            | Self::ResultMask(_)
            | Self::Called(_)
            | Self::CalledOp(_)
            | Self::Order(..)
            | Self::Acquired(_)
            | Self::Released(_)
            | Self::EventuallyReleased(_)
            | Self::EventuallyCalled(_)
            | Self::CountsDown { .. }
            | Self::Strays { .. }
            | Self::AllFoliosReleased(_)
            | Self::Overlaps { .. } => true,
            Self::RolesDiffer(..)
            | Self::Present(_)
            | Self::IsDirectory(_)
            | Self::Mask(..)
            | Self::MemberMask { .. }
            | Self::MemberEquals { .. }
            | Self::ArgumentReaches { .. }
            | Self::MemberBit { .. }
            | Self::CalledFrom(_)
            | Self::InSyscall(_)
            | Self::Within(_)
            | Self::VmaLocked(_)
            | Self::AllFoliosLocked(_)
            | Self::Atomic
            | Self::InInterrupt
            | Self::InRcuCallback
            | Self::InRcuWalk => false,
        }
    }

    /// Whether the fact takes one of the plan's flag bits.
    pub fn takes_a_flag(&self) -> bool {
        matches!(
            self,
            Self::RolesDiffer(..)
                | Self::Present(_)
                | Self::IsDirectory(_)
                | Self::Mask(..)
                | Self::MemberMask { .. }
                | Self::MemberEquals { .. }
                | Self::ArgumentReaches { .. }
                | Self::MemberBit { .. }
        )
    }

    /// Roles that the reader needs.
    pub fn roles(&self) -> Vec<&str> {
        match self {
            Self::RolesDiffer(a, b) => vec![a, b],
            Self::Present(role)
            | Self::IsDirectory(role)
            | Self::VmaLocked(role)
            | Self::AllFoliosLocked(role)
            | Self::AllFoliosReleased(role)
            | Self::Overlaps { role, .. }
            | Self::MemberMask { role, .. }
            | Self::MemberEquals { role, .. }
            | Self::ArgumentReaches { role, .. }
            | Self::MemberBit { role, .. }
            | Self::CountsDown { role, .. }
            | Self::Strays { role, .. }
            | Self::Acquired(LockOf { role, .. })
            | Self::Released(LockOf { role, .. })
            | Self::EventuallyReleased(LockOf { role, .. }) => vec![role],
            Self::AtExit(inner) => inner.roles(),
            Self::Mask(..)
            | Self::Slept
            | Self::ResultNegative
            | Self::ResultIsErrorPointer
            | Self::ResultEquals(_)
            | Self::ResultMask(_)
            | Self::Called(_)
            | Self::CalledOp(_)
            | Self::Order(..)
            | Self::EventuallyCalled(_)
            | Self::CalledFrom(_)
            | Self::InSyscall(_)
            | Self::Within(_)
            | Self::Atomic
            | Self::InInterrupt
            | Self::InRcuCallback
            | Self::InRcuWalk => Vec::new(),
        }
    }
}
