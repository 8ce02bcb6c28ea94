//! Compiles the catalogue and the running kernel's BTF into fact readers: per op, where its roles, locks and facts lie.
//!
//! A thing that this kernel or the kernel side cannot read makes the rules that need it unreadable, with the reason; it
//! never makes a rule pass.

use std::collections::BTreeMap;

use vfs_audit_common::{
    FLAG_AND_MASK, FLAG_ATOMIC, FLAG_IS_DIRECTORY, FLAG_PRESENT, FLAG_ROLES_DIFFER, FLAGS_MAX, FlagReader, HookPlan,
    LOCK_MUTEX, LOCK_RWSEM, LOCK_UNTRACKED, ROLE_STEPS_MAX, ROLES_MAX, RoleReader, SLOT_OFFSETS_MAX, SLOTS_MAX,
    SlotReader,
};

use super::hooks::Hook;
use crate::{
    btf::{Btf, Prototype, Step},
    observation::Point,
    rules::{Argument, Catalogue, FactReader, GLOBAL_ROLE, LockKind, Op, Read, Role, RoleSource, Rule, Table},
};

/// Arguments that a callback receives in registers (x86-64).
const REGISTER_ARGUMENTS: usize = 6;
/// Marks a role source that is another role.
const FROM_ROLE: u8 = 0x80;

/// A role as it is read on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRole {
    /// Name.
    pub name: String,
    /// Struct of its object.
    pub owner: String,
}

/// A lock slot as it is read on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSlot {
    /// Index of its role.
    pub role: usize,
    /// Lock class.
    pub lock: String,
}

/// What is read at one op's callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpPlan {
    /// Operations table.
    pub table: String,
    /// Op.
    pub op: String,
    /// Byte offset of the op's slot in its table.
    pub slot_offset: u32,
    /// For the kernel side.
    pub readers: HookPlan,
    /// Roles, in the order of `readers.roles`.
    pub roles: Vec<PlannedRole>,
    /// Lock slots, in the order of `readers.slots`.
    pub slots: Vec<PlannedSlot>,
    /// Facts, in the order of `readers.flags`.
    pub facts: Vec<String>,
    /// Name of the fact that says whether the task slept, when the callback is watched.
    pub slept: Option<String>,
    /// Facts that tell this op from another that the same function serves.
    pub told_apart_by: Vec<(String, bool)>,
}

/// All plans, and the rules that cannot be read here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// One per op that this kernel has.
    pub ops: Vec<OpPlan>,
    /// Why a rule cannot be read, by its id.
    pub unreadable: BTreeMap<String, String>,
}

impl Plans {
    /// Plans every op of the tables in `tables` that this kernel has.
    pub fn compile(catalogue: &Catalogue, btf: &Btf, tables: &[&str]) -> Self {
        let mut plans = Self::default();
        for table in &catalogue.tables {
            let slots = if tables.contains(&table.name.as_str()) { btf.slots(&table.name) } else { Vec::new() };
            for op in &table.ops {
                let slot = slots.iter().find(|(name, ..)| *name == op.name);
                let planned = match slot {
                    _ if slots.is_empty() => Err(format!("{} are not hooked live", table.name)),
                    None => Err(format!("this kernel has no {}.{}", table.name, op.name)),
                    Some((_, offset, prototype)) => {
                        Compiler::new(catalogue, btf, table, op, prototype).plan(*offset, &mut plans.unreadable)
                    }
                };
                match planned {
                    Ok(plan) => plans.ops.push(plan),
                    Err(why) => {
                        let ids = op.rules.iter().map(|rule| (rule.id.clone(), why.clone()));
                        plans.unreadable.extend(ids);
                    }
                }
            }
        }
        plans
    }
}

impl Plans {
    /// Marks every lock of `kind` as one whose primitives are not probed.
    pub(super) fn leave_untracked(&mut self, kind: u8) {
        for plan in &mut self.ops {
            plan.readers.slots.iter_mut().filter(|slot| slot.kind == kind).for_each(|slot| slot.kind |= LOCK_UNTRACKED);
        }
    }

    /// Says of every rule that reads a flag of `kind` that it cannot be read.
    pub(super) fn leave_unread(&mut self, catalogue: &Catalogue, kind: u8, why: &str) {
        for plan in &self.ops {
            let flags = plan.facts.iter().zip(&plan.readers.flags).filter(|(_, flag)| flag.kind == kind);
            let facts: Vec<Read<'_>> = flags.map(|(name, _)| Read::Fact(name)).collect();
            let table = catalogue.tables.iter().find(|table| table.name == plan.table);
            let op = table.and_then(|table| table.ops.iter().find(|op| op.name == plan.op));
            let rules = op.into_iter().flat_map(|op| &op.rules);
            for rule in rules.filter(|rule| rule.reads().iter().any(|read| facts.contains(read))) {
                self.unreadable.insert(rule.id.clone(), why.to_owned());
            }
        }
    }

    /// What the kernel side reads at `hook`: its first op's plan, with the places of a table where the hook's function
    /// stands when it is called through the table.
    pub(super) fn of_hook(&self, hook: &Hook) -> HookPlan {
        let mut readers = self.ops[hook.plans[0]].readers;
        readers.function = hook.address;
        readers.is_shared = hook.is_shared().into();
        // The daemon tells direct calls by itself; only of shared functions there may be too many for that, unless their slots
        // are more than there is room for.
        if hook.is_shared() && hook.plans.len() <= SLOT_OFFSETS_MAX {
            readers.slot_offsets_len = hook.plans.len() as u8;
            for (place, plan) in readers.slot_offsets.iter_mut().zip(&hook.plans) {
                *place = self.ops[*plan].slot_offset as u16;
            }
        }
        readers
    }
}

/// One op's compilation.
struct Compiler<'a> {
    catalogue: &'a Catalogue,
    btf: &'a Btf,
    table: &'a Table,
    op: &'a Op,
    prototype: &'a Prototype,
    roles: Vec<PlannedRole>,
    role_errors: BTreeMap<String, String>,
    plan: HookPlan,
    slots: Vec<PlannedSlot>,
    facts: Vec<String>,
}

impl<'a> Compiler<'a> {
    fn new(catalogue: &'a Catalogue, btf: &'a Btf, table: &'a Table, op: &'a Op, prototype: &'a Prototype) -> Self {
        Self {
            catalogue,
            btf,
            table,
            op,
            prototype,
            roles: Vec::new(),
            role_errors: BTreeMap::new(),
            plan: HookPlan::default(),
            slots: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// # Errors
    /// When the identity role cannot be reached: then nothing of the op can be read.
    fn plan(mut self, slot_offset: u32, unreadable: &mut BTreeMap<String, String>) -> Result<OpPlan, String> {
        for role in &self.op.roles {
            if let Err(why) = self.add_role(role) {
                self.role_errors.insert(role.name.clone(), why);
            }
        }
        let identity = self.op.roles.first().ok_or("no role is named")?;
        let owner = match (self.role_errors.get(&identity.name), self.roles.first()) {
            (None, Some(first)) => first.owner.clone(),
            (why, _) => return Err(why.cloned().unwrap_or_default()),
        };
        let operations = self.op.operations.as_ref().unwrap_or(&self.table.operations);
        let superblock = self.op.superblock.as_ref().unwrap_or(&self.table.superblock);
        self.plan.table = self.follow(FROM_ROLE, &owner, operations)?.0;
        self.plan.sb = self.follow(FROM_ROLE, &owner, superblock)?.0;
        let mut slept = None;
        for rule in &self.op.rules {
            if let Err(why) = self.add_rule(rule, &mut slept) {
                unreadable.insert(rule.id.clone(), why);
            }
        }
        let told_apart_by = self.op.told_apart_by.iter().map(|c| (c.fact.clone(), c.is)).collect();
        for condition in &self.op.told_apart_by {
            // Not needed by any rule, and then only less is known of which op it was.
            let _ = self.add_fact(&condition.fact);
        }
        self.plan.roles_len = self.roles.len() as u8;
        self.plan.slots_len = self.slots.len() as u8;
        self.plan.flags_len = self.facts.len() as u8;
        Ok(OpPlan {
            table: self.table.name.clone(),
            op: self.op.name.clone(),
            slot_offset,
            readers: self.plan,
            roles: self.roles,
            slots: self.slots,
            facts: self.facts,
            slept,
            told_apart_by,
        })
    }

    /// Where argument `wanted` arrives, and the name of its type.
    fn argument(&self, wanted: &Argument) -> Result<(u8, String), String> {
        let of_type = self.prototype.arguments.iter().enumerate().filter(|(_, name)| **name == wanted.type_name);
        let (index, name) = of_type
            .clone()
            .nth(usize::from(wanted.nth).wrapping_sub(1))
            .ok_or_else(|| format!("this kernel passes no argument {}#{}", wanted.type_name, wanted.nth))?;
        if index >= REGISTER_ARGUMENTS {
            return Err(format!("argument {}#{} is passed on the stack", wanted.type_name, wanted.nth));
        }
        Ok((index as u8, name.clone()))
    }

    /// The reader from `source`, an object of struct `owner`, along `path`, and the struct at the end.
    fn follow(&self, source: u8, owner: &str, path: &[String]) -> Result<(RoleReader, String), String> {
        let (steps, end) = self.btf.walk(owner, path)?;
        let mut reader = RoleReader { source, ..RoleReader::default() };
        let mut pending = 0u32;
        for step in steps {
            match step {
                Step::Embedded(offset) => pending += offset,
                Step::Dereference(offset) => {
                    let step = usize::from(reader.steps);
                    if step == ROLE_STEPS_MAX {
                        return Err(format!("{} takes more than {ROLE_STEPS_MAX} reads", path.join(".")));
                    }
                    reader.offset[step] =
                        u16::try_from(pending + offset).map_err(|_| format!("{} lies too far in", path.join(".")))?;
                    reader.steps += 1;
                    pending = 0;
                }
            }
        }
        reader.add = u16::try_from(pending).map_err(|_| format!("{} lies too far in", path.join(".")))?;
        Ok((reader, end))
    }

    fn add_role(&mut self, role: &Role) -> Result<(), String> {
        if self.roles.len() == ROLES_MAX {
            return Err(format!("more than {ROLES_MAX} roles"));
        }
        let ways = std::iter::once((&role.from, &role.path)).chain(role.alternatives.iter().map(|(f, p)| (f, p)));
        let mut why = String::new();
        for (from, path) in ways {
            match self.reach(from, path) {
                Ok((reader, owner)) => {
                    self.plan.roles[self.roles.len()] = reader;
                    self.roles.push(PlannedRole { name: role.name.clone(), owner });
                    return Ok(());
                }
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    fn reach(&self, from: &RoleSource, path: &[String]) -> Result<(RoleReader, String), String> {
        match from {
            RoleSource::Argument(argument) => {
                let (index, owner) = self.argument(argument)?;
                self.follow(index, &owner, path)
            }
            RoleSource::Role(name) => {
                let index = self.role(name)?;
                self.follow(FROM_ROLE | index as u8, &self.roles[index].owner, path)
            }
            RoleSource::Result => Err("objects that a callback returns are not read yet".to_owned()),
        }
    }

    fn role(&self, name: &str) -> Result<usize, String> {
        self.roles.iter().position(|role| role.name == name).ok_or_else(|| {
            self.role_errors.get(name).cloned().unwrap_or_else(|| format!("the role {name} is not reached"))
        })
    }

    /// Everything that `rule` reads.
    fn add_rule(&mut self, rule: &Rule, slept: &mut Option<String>) -> Result<(), String> {
        for read in rule.reads() {
            match read {
                Read::Lock { role, lock } if rule.point == Point::Entry => self.add_slot(role, lock)?,
                Read::Lock { .. } => return Err("locks are read at entry only".to_owned()),
                Read::Fact(name) if matches!(self.reader(name)?, FactReader::Slept) => {
                    self.watch(rule)?;
                    *slept = Some(name.to_owned());
                }
                Read::Fact(name) => self.add_fact(name)?,
            }
        }
        Ok(())
    }

    fn reader(&self, name: &str) -> Result<&'a FactReader, String> {
        let fact = self.op.facts.iter().find(|fact| fact.name == name);
        fact.map(|fact| &fact.reader).ok_or_else(|| format!("the fact {name} is not named"))
    }

    /// Watches the callback from entry to exit for the invocations that `rule` speaks of.
    fn watch(&mut self, rule: &Rule) -> Result<(), String> {
        let mut mask = 0;
        for condition in rule.when.iter().filter(|condition| condition.is) {
            self.add_fact(&condition.fact)?;
            let bit = self.facts.iter().position(|fact| *fact == condition.fact).unwrap_or(0);
            mask |= 1 << bit;
        }
        // Two rules that watch: what both speak of is in both masks.
        self.plan.watch_mask = if self.plan.watched == 0 { mask } else { self.plan.watch_mask & mask };
        self.plan.watched = 1;
        Ok(())
    }

    fn add_slot(&mut self, role: &str, lock: &str) -> Result<(), String> {
        if role == GLOBAL_ROLE {
            return Err(format!("{lock} belongs to no object, and such locks are not read"));
        }
        let class = self.catalogue.locks.get(lock).ok_or_else(|| format!("the lock {lock} is not described"))?;
        let role = self.role(role)?;
        if self.slots.iter().any(|slot| slot.role == role && slot.lock == lock) {
            return Ok(());
        }
        if self.slots.len() == SLOTS_MAX {
            return Err(format!("more than {SLOTS_MAX} locks"));
        }
        let kind = match class.kind {
            LockKind::Rwsem => LOCK_RWSEM,
            LockKind::Mutex => LOCK_MUTEX,
            LockKind::Gone => return Err(format!("no kernel has {lock} any more")),
            LockKind::Spinlock
            | LockKind::Seqlock
            | LockKind::PageLock
            | LockKind::BufferLock
            | LockKind::PercpuRwsem
            | LockKind::Rcu => {
                return Err(format!("{lock} is a {:?}, and words of that kind are not read", class.kind));
            }
        };
        let places =
            std::iter::once((&class.owner, &class.field)).chain(class.alternatives.iter().map(|(o, f)| (o, f)));
        let mut why = format!("{lock} is no lock of struct {}", self.roles[role].owner);
        for (owner, field) in places.filter(|(owner, _)| **owner == self.roles[role].owner) {
            let path: Vec<&str> = field.iter().map(String::as_str).collect();
            match self.btf.offset_of(owner, &path).map(u16::try_from) {
                Ok(Ok(offset)) => {
                    self.plan.slots[self.slots.len()] = SlotReader { role: role as u8, kind, offset };
                    self.slots.push(PlannedSlot { role, lock: lock.to_owned() });
                    return Ok(());
                }
                Ok(Err(_)) => why = format!("{owner}.{} lies too far in", path.join(".")),
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    fn add_fact(&mut self, name: &str) -> Result<(), String> {
        if self.facts.iter().any(|fact| fact == name) {
            return Ok(());
        }
        if self.facts.len() == FLAGS_MAX {
            return Err(format!("more than {FLAGS_MAX} facts"));
        }
        let role = |name: &str| self.role(name).map(|index| index as u8);
        #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there is cannot be read live")]
        let flag = match self.reader(name)? {
            FactReader::RolesDiffer(a, b) => {
                FlagReader { kind: FLAG_ROLES_DIFFER, a: role(a)?, b: role(b)?, ..FlagReader::default() }
            }
            FactReader::Present(a) => FlagReader { kind: FLAG_PRESENT, a: role(a)?, ..FlagReader::default() },
            FactReader::IsDirectory(a) => FlagReader { kind: FLAG_IS_DIRECTORY, a: role(a)?, ..FlagReader::default() },
            FactReader::Mask(argument, mask) => {
                FlagReader { kind: FLAG_AND_MASK, a: self.argument(argument)?.0, mask: *mask, ..FlagReader::default() }
            }
            FactReader::Atomic => {
                self.plan.reads_context = 1;
                FlagReader { kind: FLAG_ATOMIC, ..FlagReader::default() }
            }
            reader => {
                return Err(format!("not observable: the fact {name} ({reader}) is not read live"));
            }
        };
        self.plan.flags[self.facts.len()] = flag;
        self.facts.push(name.to_owned());
        Ok(())
    }
}
