//! What a rule catalogue is once it is read: plain data, shared by the plan compiler, the checker and the commands.
//!
//! Nothing here reads a file, and nothing here names an op.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Path from the identity role's object to the operations table (`i_op`).
    pub operations: Vec<String>,
    /// Path from the identity role's object to its superblock (`i_sb`); empty when the object is the superblock.
    pub superblock: Vec<String>,
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
    /// What the document says about it.
    pub rules: Vec<Rule>,
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
}

/// Where a role's path starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleSource {
    /// An argument of the callback.
    Argument(Argument),
    /// Another role, named earlier.
    Role(String),
}

/// An argument by type, as the struct member's prototype in BTF gives it: releases move arguments, types stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Struct name of a pointer (`inode`), or the name of a base type or typedef (`unsigned int`, `umode_t`).
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
    /// A fact that no probe reads yet, by its expression; the rules that need it are not observable live.
    Other(String),
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
    /// Struct that embeds it (`inode`).
    pub owner: String,
    /// Member, as a path (`i_rwsem`, `s_writers.rw_sem`).
    pub field: Vec<String>,
    /// Its kind.
    pub kind: LockKind,
    /// Names of it in other releases and in the document (`i_mutex`, `s_vfs_rename_sem`).
    pub also: Vec<String>,
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

/// A known dubious case: data, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Rule id.
    pub rule: String,
    /// Glob over the callback, empty for any.
    pub callback: String,
    /// Glob over the caller's symbol, empty for any.
    pub caller: String,
    /// Glob over the file system type, empty for any.
    pub fs: String,
    /// Why the case is known and dubious.
    pub reason: String,
}
