//! What a rule catalogue is once it is read: plain data, shared by the plan compiler, the checker and the commands.
//!
//! Nothing here reads a file, and nothing here names an op.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fact::FactReader;
use crate::observation::Point;

/// All rules in use, with what they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Name of the rule set (`v6.12`, or the path of an imported document).
    pub name: String,
    /// Operations tables, in the document's order.
    pub tables: Vec<Table>,
    /// Lock classes by the name that requirements use.
    pub locks: BTreeMap<String, LockClass>,
    /// Known dubious cases.
    pub exceptions: Vec<Exception>,
}

/// One operations table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The kernel's struct (`inode_operations`).
    pub name: String,
    /// Heading of its section in the document (`xattr_handler operations`).
    pub section: String,
    /// Structs that hold its ops' slots, for kernels that have split the struct; the first that has the slot counts.
    pub structs: Vec<String>,
    /// Path from the identity role's object to the operations table (`i_op`); empty when the object is the table.
    pub operations: Vec<String>,
    /// Path from the identity role's object to its superblock (`i_sb`); empty when the object is the superblock.
    pub superblock: Vec<String>,
    /// Headings of the section's columns in this release, after the first (`ops`).
    pub columns: Vec<String>,
    /// Lines that speak of the whole section (`all may block`), with white space collapsed.
    pub lines: Vec<String>,
    /// Ops of the release in use.
    pub ops: Vec<Op>,
}

/// One op: a slot of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Op {
    /// Member of the struct (`rename`).
    pub name: String,
    /// Roles in reading order; the first is the identity role.
    pub roles: Vec<Role>,
    /// Named condition facts.
    pub facts: Vec<Fact>,
    /// The document's row, one cell per column, blank ones too; empty when the op has no row.
    pub cells: Vec<Cell>,
    /// Facts that tell this op from others when one function serves several slots (`rmdir`: the victim is a directory).
    pub told_apart_by: Vec<Condition>,
    /// Path to the operations table where this op differs from its table's.
    pub operations: Option<Vec<String>>,
    /// Path to the superblock where this op differs from its table's.
    pub superblock: Option<Vec<String>>,
    /// Other paths to the superblock, for kernels whose structs differ.
    pub superblock_alternatives: Vec<Vec<String>>,
    /// No superblock can be reached from what the op is called with.
    pub without_superblock: bool,
    /// What the document says about it.
    pub rules: Vec<Rule>,
}

/// One cell of the document's table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Heading of its column in this release (`PageLocked(page)`).
    pub column: String,
    /// What stands in it, with every run of white space written as one blank; empty when the cell is blank.
    pub text: String,
}

/// A role and how its object is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Name (`dir`, `victim`).
    pub name: String,
    /// Where to start.
    pub from: RoleSource,
    /// Members to follow: a pointer is dereferenced, an embedded struct is an offset.
    pub path: Vec<String>,
    /// Other ways to the same object, for kernels whose prototypes or structs differ; the first that BTF resolves counts.
    pub alternatives: Vec<(RoleSource, Vec<String>)>,
}

/// Where a role's path starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleSource {
    /// An argument of the callback.
    Argument(Argument),
    /// Another role, named earlier.
    Role(String),
    /// What the callback returned; such a role has an object at exit only.
    Result,
}

/// An argument by type, as the struct member's prototype in BTF gives it: releases move arguments, types stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Struct name of a pointer (`inode`), or the name of a base type or typedef (`unsigned int`, `umode_t`). With a `*` at
    /// its end (`folio *`) the argument points to a pointer that the callback fills: such a role is read at exit.
    pub type_name: String,
    /// Which of the arguments of this type, from 1.
    pub nth: u8,
}

/// A named condition fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Name (`cross_directory`).
    pub name: String,
    /// How it is read.
    pub reader: FactReader,
}

/// One documented statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `<table>.<op>[.<aspect>]`.
    pub id: String,
    /// Where it must hold.
    pub point: Point,
    /// Facts that must be so for the rule to apply.
    pub when: Vec<Condition>,
    /// All of these must hold. Empty: observed, never judged (`why_not_judged` says why).
    pub requires: Vec<Requirement>,
    /// Why there is nothing to judge (blank cell, advice, obsolete).
    pub why_not_judged: Option<String>,
    /// The document's cell as written (`exclusive (both)`), or a short pointer to its sentence.
    pub document: String,
    /// Our reading, in our words.
    pub statement: String,
    /// What kind of statement it is.
    pub standing: Standing,
    /// Columns whose cells the rule reads.
    pub cites: Vec<String>,
    /// Locks whose state is recorded although nothing is required of them.
    pub observes: Vec<LockOf>,
    /// What a check of this rule in particular can miss, in words; empty when nothing beyond the general limits.
    pub misses: String,
    /// What a check of this rule in particular can wrongly report, likewise.
    pub misreports: String,
    /// First release whose document says so; the oldest known one when absent.
    pub since: Option<String>,
    /// Last release whose document says so; absent when it still does.
    pub until: Option<String>,
}

/// A lock of a role's object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LockOf {
    /// Role, or [`GLOBAL_ROLE`].
    pub role: String,
    /// Lock class.
    pub lock: String,
}

/// The role of locks that no object embeds (`rename_lock`, `namespace_sem`, RCU).
pub const GLOBAL_ROLE: &str = "global";

/// What kind of statement a rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Says what must hold, and is judged.
    #[default]
    Judged,
    /// Says that the caller does not hold a lock for the callback; judged by `--strict` only.
    NotPromised,
    /// A blank cell: nothing is said.
    Undocumented,
    /// Allows more than one thing (`maybe`), so nothing can break it.
    Permissive,
    /// Advises; no invocation can break it.
    Advice,
    /// Explains; says nothing about a lock, a context or an order.
    Informational,
    /// Speaks of something that is gone.
    Obsolete,
}

/// A fact and what it must be for a rule to apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Name of the fact.
    pub fact: String,
    /// Value it must have.
    pub is: bool,
}

/// One demand of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// State of a role's lock.
    Lock {
        /// Role whose object embeds the lock.
        role: String,
        /// Lock class.
        lock: String,
        /// What it must be.
        demand: Demand,
    },
    /// A fact that must have a value (must not have slept, must have called).
    Fact(Condition),
    /// At least one of these must hold.
    Any(Vec<Requirement>),
    /// Demanded only where all conditions are so.
    If(Vec<Condition>, Box<Requirement>),
}

impl Requirement {
    /// Calls `visit` on every lock and every fact that the requirement reads.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(Read<'a>)) {
        match self {
            Self::Lock { role, lock, .. } => visit(Read::Lock { role, lock }),
            Self::Fact(condition) => visit(Read::Fact(&condition.fact)),
            Self::Any(choices) => choices.iter().for_each(|choice| choice.walk(visit)),
            Self::If(conditions, requirement) => {
                for condition in conditions {
                    visit(Read::Fact(&condition.fact));
                }
                requirement.walk(visit);
            }
        }
    }
}

/// Something that a rule reads at a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read<'a> {
    /// A lock of a role.
    Lock {
        /// Role.
        role: &'a str,
        /// Lock class.
        lock: &'a str,
    },
    /// A named fact.
    Fact(&'a str),
}

impl Rule {
    /// Everything that the rule reads: its conditions, its requirements and the locks it observes.
    pub fn reads(&self) -> std::collections::BTreeSet<Read<'_>> {
        let mut reads = std::collections::BTreeSet::new();
        reads.extend(self.when.iter().map(|condition| Read::Fact(&condition.fact)));
        reads.extend(self.observes.iter().map(|of| Read::Lock { role: &of.role, lock: &of.lock }));
        for requirement in &self.requires {
            requirement.walk(&mut |read| {
                reads.insert(read);
            });
        }
        reads
    }
}

/// What a lock must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Held shared or exclusive.
    SharedAtLeast,
    /// Held exclusive.
    Exclusive,
    /// Held in any way, for locks without modes.
    Held,
    /// Not held at all.
    NotHeld,
    /// Not held, or exclusive: never merely shared.
    NotShared,
    /// The caller need not hold it; `--strict` reads it as not held.
    NotPromised,
}

/// A lock class: all locks of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockClass {
    /// Name (`i_rwsem`).
    pub name: String,
    /// Struct that embeds it (`inode`); empty for a variable of the kernel, whose symbol is then the only `field`.
    pub owner: String,
    /// Member, as a path (`i_rwsem`, `s_writers.rw_sem`).
    pub field: Vec<String>,
    /// Other places of the same lock on other kernels, as owner and member path.
    pub alternatives: Vec<(String, Vec<String>)>,
    /// Its kind.
    pub kind: LockKind,
    /// Names of it in other releases and in the document (`i_mutex`, `s_vfs_rename_sem`).
    pub also: Vec<String>,
    /// What became of it, for [`LockKind::Gone`].
    pub gone: String,
}

/// Kinds of lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockKind {
    /// `struct rw_semaphore`.
    Rwsem,
    /// `struct mutex`.
    Mutex,
    /// `spinlock_t`.
    Spinlock,
    /// `seqlock_t`.
    Seqlock,
    /// `PG_locked` of a page or folio.
    PageLock,
    /// `BH_Lock` of a buffer head.
    BufferLock,
    /// `struct percpu_rw_semaphore`.
    PercpuRwsem,
    /// RCU read side.
    Rcu,
    /// A lock that no running kernel has: rules that name it are stale.
    Gone,
}

impl LockKind {
    /// Whether the live tracer can read locks of this kind.
    pub fn readable_live(self) -> bool {
        !matches!(self, Self::PercpuRwsem | Self::Gone)
    }
}

/// A known dubious case: data, with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// Rule id.
    pub rule: String,
    /// Glob over the callback, empty for any.
    pub callback: String,
    /// Glob over the caller's symbol, empty for any.
    pub caller: String,
    /// Glob over the file system type, empty for any.
    pub fs: String,
    /// Facts of the op that must be so.
    pub when: Vec<Condition>,
    /// Why the case is known and dubious.
    pub reason: String,
}
