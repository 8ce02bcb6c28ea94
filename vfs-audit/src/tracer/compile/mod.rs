//! Compiles one op: where its roles, locks and facts lie on this kernel.

mod facts;
mod functions;
mod locks;

use std::collections::BTreeMap;

use vfs_audit_common::{
    ARGUMENT_RESULT, FLAG_IN_SYSCALL, FLAG_ON_STACK, FLAG_VMA_LOCKED, FLAG_WITHIN, FLAGS_MAX, FROM_ROLE, FlagReader,
    HookPlan, INTERRUPT_FLAGS_MAX, INTERRUPT_ROLES_MAX, INTERRUPT_SLOTS_MAX, ROLE_STEPS_MAX, ROLES_MAX, RoleReader,
    WATCH_EXIT, WATCH_FRAME, WATCH_SLEEP,
};

pub(super) use functions::Functions;

use super::plan::{Identity, NOTHING, OpPlan, PlannedRole, PlannedSlot};
use crate::{
    btf::{Btf, Prototype, Step},
    kernel::Symbols,
    observation::Point,
    rules::{Argument, Catalogue, Demand, FactReader, Op, Read, Requirement, Role, RoleSource, Rule, Table, glob},
};

/// Arguments that a callback receives in registers (x86-64).
const REGISTER_ARGUMENTS: usize = 6;

/// What a compilation stands on.
pub(super) struct Ground<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) btf: &'a Btf,
    pub(super) symbols: &'a Symbols,
    /// Whether the locks that no rule demands are read too.
    pub(super) everything: bool,
}

impl<'a> Ground<'a> {
    /// What the kernel says of its functions.
    fn kernel(&self) -> (&'a Btf, &'a Symbols) {
        (self.btf, self.symbols)
    }
}

/// One op's compilation.
pub(super) struct Compiler<'a> {
    ground: &'a Ground<'a>,
    table: &'a Table,
    op: &'a Op,
    prototype: &'a Prototype,
    functions: &'a mut Functions,
    roles: Vec<PlannedRole>,
    role_errors: BTreeMap<String, String>,
    plan: HookPlan,
    slots: Vec<PlannedSlot>,
    exit_slots: Vec<PlannedSlot>,
    /// Facts of the entry and of the exit, with their readers.
    entry: Vec<(String, FlagReader)>,
    exit: Vec<(String, FlagReader)>,
    constants: Vec<u64>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        ground: &'a Ground<'a>,
        (table, op): (&'a Table, &'a Op),
        prototype: &'a Prototype,
        functions: &'a mut Functions,
    ) -> Self {
        Self {
            ground,
            table,
            op,
            prototype,
            functions,
            roles: Vec::new(),
            role_errors: BTreeMap::new(),
            plan: HookPlan::default(),
            slots: Vec::new(),
            exit_slots: Vec::new(),
            entry: Vec::new(),
            exit: Vec::new(),
            constants: Vec::new(),
        }
    }

    /// # Errors
    /// When the identity role cannot be reached: then nothing of the op can be read.
    pub(super) fn plan(
        mut self,
        structure: &str,
        slot_offset: u32,
        unreadable: &mut BTreeMap<String, String>,
    ) -> Result<OpPlan, String> {
        for role in &self.op.roles {
            if let Err(why) = self.add_role(role) {
                self.role_errors.insert(role.name.clone(), why);
            }
        }
        let identity = self.identify(structure)?;
        let mut slept = None;
        for rule in &self.op.rules {
            if let Err(why) = self.add_rule(rule, &mut slept) {
                unreadable.insert(rule.id.clone(), why);
            }
        }
        for condition in &self.op.told_apart_by {
            // Not needed by any rule, and then only less is known of which op it was.
            let _ = self.add_fact(&condition.fact);
        }
        if self.plan.watched & WATCH_EXIT != 0 {
            slept = None;
        }
        if self.plan.watched & WATCH_FRAME != 0 {
            // What is called inside must find every invocation.
            self.plan.watch_mask = 0;
        }
        Ok(self.finish(structure, slot_offset, identity, slept))
    }

    fn finish(mut self, structure: &str, slot_offset: u32, identity: Identity, slept: Option<String>) -> OpPlan {
        self.plan.roles_len = self.roles.len() as u8;
        self.plan.slots_len = self.slots.len() as u8;
        self.plan.exit_slots_len = self.exit_slots.len() as u8;
        self.plan.flags_len = self.entry.len() as u8;
        self.plan.all_flags_len = (self.entry.len() + self.exit.len()) as u8;
        let all = self.entry.iter().chain(&self.exit);
        for (place, (_, reader)) in self.plan.flags.iter_mut().zip(all) {
            *place = *reader;
            self.plan.reads_context |= u8::from(facts::needs_context(reader.kind));
        }
        let number = |kind: u8| {
            let place = self.entry.iter().position(|(_, reader)| reader.kind == kind);
            place.map_or(0, |place| place as u8 + 1)
        };
        self.plan.stack_flag = number(FLAG_ON_STACK);
        self.plan.syscall_flag = number(FLAG_IN_SYSCALL);
        self.plan.within_flag = number(FLAG_WITHIN);
        self.plan.area_flag = number(FLAG_VMA_LOCKED);
        for (place, constant) in self.plan.constants.iter_mut().zip(&self.constants) {
            *place = *constant;
        }
        OpPlan {
            table: self.table.name.clone(),
            structure: structure.to_owned(),
            op: self.op.name.clone(),
            arguments: self.prototype.arguments.clone(),
            slot_offset,
            identity,
            is_of_interrupts: self.is_of_interrupts(),
            readers: self.plan,
            roles: self.roles,
            slots: self.slots,
            exit_slots: self.exit_slots,
            facts: self.entry.into_iter().chain(self.exit).map(|(name, _)| name).collect(),
            slept,
            told_apart_by: self.op.told_apart_by.iter().map(|c| (c.fact.clone(), c.is)).collect(),
        }
    }

    /// Whether a rule asks for interrupts or RCU callbacks.
    fn is_of_interrupts(&self) -> bool {
        let mut facts = self.op.facts.iter().map(|fact| &fact.reader);
        let asks = facts.any(|reader| matches!(reader, FactReader::InInterrupt | FactReader::InRcuCallback));
        // What the small program for interrupts has room for.
        let fits = self.roles.len() <= INTERRUPT_ROLES_MAX
            && self.entry.len() <= INTERRUPT_FLAGS_MAX
            && self.slots.len() <= INTERRUPT_SLOTS_MAX
            && self.plan.watched & WATCH_EXIT == 0;
        asks && fits
    }

    /// Where the operations table and the superblock of a call are.
    fn identify(&mut self, structure: &str) -> Result<Identity, String> {
        (self.plan.table, self.plan.sb) = (NOTHING, NOTHING);
        let Some(identity) = self.op.roles.first() else { return Ok(Identity::Call) };
        if let Some(why) = self.role_errors.get(&identity.name) {
            return Err(why.clone());
        }
        let operations = self.op.operations.as_ref().unwrap_or(&self.table.operations);
        // The first role from which the way leads; an op that gets none such (a page that has left its mapping) is known by
        // the call alone.
        let way = |index: usize| {
            let (source, owner) = (FROM_ROLE | index as u8, &self.roles[index].owner);
            let reader = self.follow(source, owner, operations, &[]).ok()?.0;
            Some((index, reader))
        };
        let Some((index, table)) = (0..self.roles.len()).find_map(way) else {
            if self.op.superblock.is_some() {
                self.plan.sb = self.superblock(0)?;
            }
            return Ok(Identity::Call);
        };
        self.plan.table = table;
        let owner = self.roles[index].owner.clone();
        if !self.op.without_superblock {
            self.plan.sb = self.superblock(index)?;
        }
        // An object that is the table itself: a type that lives, or a slot in each object.
        let is_own = operations.is_empty() && owner == structure && self.table.operations.is_empty();
        Ok(if is_own { Identity::Object } else { Identity::Table })
    }

    fn superblock(&self, role: usize) -> Result<RoleReader, String> {
        let own = self.op.superblock.as_ref().unwrap_or(&self.table.superblock);
        let mut why = String::new();
        for path in std::iter::once(own).chain(&self.op.superblock_alternatives) {
            match self.follow(FROM_ROLE | role as u8, &self.roles[role].owner, path, &[]) {
                Ok((reader, _)) => return Ok(reader),
                Err(e) => why = e,
            }
        }
        Err(why)
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

    /// The reader from `source`, an object of struct `owner` behind the pointers `before`, along `path`, and the struct at the
    /// end.
    fn follow(
        &self,
        source: u8,
        owner: &str,
        path: &[String],
        before: &[Step],
    ) -> Result<(RoleReader, String), String> {
        let (steps, end) =
            if path.is_empty() { (Vec::new(), owner.to_owned()) } else { self.ground.btf.walk(owner, path)? };
        Ok((chain(source, before.iter().copied().chain(steps), &path.join("."))?, end))
    }

    fn add_role(&mut self, role: &Role) -> Result<(), String> {
        let ways = std::iter::once((&role.from, &role.path)).chain(role.alternatives.iter().map(|(f, p)| (f, p)));
        let mut why = String::new();
        for (from, path) in ways {
            match self.reach(from, path) {
                Ok((reader, owner)) => {
                    self.push_role(&role.name, owner, reader)?;
                    return Ok(());
                }
                Err(e) => why = e,
            }
        }
        Err(why)
    }

    fn push_role(&mut self, name: &str, owner: String, reader: RoleReader) -> Result<usize, String> {
        if self.roles.len() == ROLES_MAX {
            return Err(format!("more than {ROLES_MAX} roles"));
        }
        self.plan.roles[self.roles.len()] = reader;
        self.roles.push(PlannedRole { name: name.to_owned(), owner });
        Ok(self.roles.len() - 1)
    }

    fn reach(&self, from: &RoleSource, path: &[String]) -> Result<(RoleReader, String), String> {
        match from {
            RoleSource::Argument(argument) => {
                let (index, type_name) = self.argument(argument)?;
                // A pointer that the callback fills.
                if let Some(owner) = type_name.strip_suffix(" *") {
                    let (reader, end) = self.follow(index, owner, path, &[Step::Dereference(0)])?;
                    return Ok((RoleReader { at_exit_only: 1, ..reader }, end));
                }
                self.follow(index, &type_name, path, &[])
            }
            RoleSource::Role(name) => {
                let index = self.role(name)?;
                self.follow(FROM_ROLE | index as u8, &self.roles[index].owner, path, &[])
            }
            RoleSource::Result => {
                let (reader, end) = self.follow(ARGUMENT_RESULT, &self.prototype.result, path, &[])?;
                Ok((RoleReader { at_exit_only: 1, ..reader }, end))
            }
        }
    }

    fn role(&self, name: &str) -> Result<usize, String> {
        self.roles.iter().position(|role| role.name == name).ok_or_else(|| {
            self.role_errors.get(name).cloned().unwrap_or_else(|| format!("the role {name} is not reached"))
        })
    }

    /// Everything that `rule` reads.
    fn add_rule(&mut self, rule: &Rule, slept: &mut Option<String>) -> Result<(), String> {
        if !self.ground.everything && !demands(rule) && rule.observes.is_empty() {
            return Ok(());
        }
        let mut watched = 0;
        for read in rule.reads() {
            match read {
                Read::Lock { role, lock } => {
                    self.add_slot(role, lock, rule.point)?;
                    watched |= if rule.point == Point::Exit { WATCH_EXIT } else { 0 };
                }
                Read::Fact(name) => {
                    let reader = self.reader(name)?;
                    if matches!(reader, FactReader::Slept) {
                        watched |= WATCH_SLEEP;
                        *slept = Some(name.to_owned());
                    } else if reader.is_of_exit() {
                        watched |= WATCH_EXIT;
                    }
                    self.add_fact(name)?;
                }
            }
        }
        if watched != 0 {
            self.watch(rule, watched);
        }
        for known in &self.ground.catalogue.exceptions {
            if !known.when.is_empty() && glob::matches(&known.rule, &rule.id) {
                for condition in &known.when {
                    // Without it the case is not known for what it is, and reported.
                    let _ = self.add_fact(&condition.fact);
                }
            }
        }
        Ok(())
    }

    fn reader(&self, name: &str) -> Result<&'a FactReader, String> {
        let fact = self.op.facts.iter().find(|fact| fact.name == name);
        fact.map(|fact| &fact.reader).ok_or_else(|| format!("the fact {name} is not named"))
    }

    /// Watches the callback for the invocations that `rule` speaks of, as far as its entry tells.
    fn watch(&mut self, rule: &Rule, watched: u8) {
        let mut mask = 0;
        for condition in rule.when.iter().filter(|condition| condition.is) {
            if let Some(bit) = self.entry.iter().position(|(name, _)| *name == condition.fact) {
                mask |= 1 << bit;
            }
        }
        // Two rules that watch: what both speak of is in both masks.
        self.plan.watch_mask =
            if self.plan.watched & (WATCH_EXIT | WATCH_SLEEP) == 0 { mask } else { self.plan.watch_mask & mask };
        self.plan.watched |= watched;
    }

    fn has_room_for_a_fact(&self) -> Result<(), String> {
        if self.entry.len() + self.exit.len() < FLAGS_MAX {
            Ok(())
        } else {
            Err(format!("more than {FLAGS_MAX} facts"))
        }
    }
}

/// Whether the rule demands anything that can be broken without `--strict`.
fn demands(rule: &Rule) -> bool {
    fn is_demand(requirement: &Requirement) -> bool {
        match requirement {
            Requirement::Lock { demand, .. } => *demand != Demand::NotPromised,
            Requirement::Fact(_) => true,
            Requirement::Any(choices) => choices.iter().all(is_demand),
            Requirement::If(_, inner) => is_demand(inner),
        }
    }
    rule.requires.iter().any(is_demand)
}

/// The reader that takes `steps` from `source`.
fn chain(source: u8, steps: impl Iterator<Item = Step>, path: &str) -> Result<RoleReader, String> {
    let too_far = || format!("{path} lies too far in");
    let mut reader = RoleReader { source, ..RoleReader::default() };
    let mut pending = 0u32;
    for step in steps {
        match step {
            Step::Embedded(offset) => pending += offset,
            Step::Dereference(offset) => {
                let step = usize::from(reader.steps);
                if step == ROLE_STEPS_MAX {
                    return Err(format!("{path} takes more than {ROLE_STEPS_MAX} reads"));
                }
                reader.offset[step] = u16::try_from(pending + offset).map_err(|_| too_far())?;
                reader.steps += 1;
                pending = 0;
            }
        }
    }
    reader.add = u16::try_from(pending).map_err(|_| too_far())?;
    Ok(reader)
}
