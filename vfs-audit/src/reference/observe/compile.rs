//! From a rule catalogue to plans: names become indices, members and classes.
//!
//! What cannot be resolved (a member or a function that the reference VFS does not have, because the rules are of another
//! release) makes the rules that need it not decidable, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{FACTS_MAX, FactPlan, From, LOCKS_MAX, LockPlan, Plan, Reader, RolePlan};
use super::value::{Member, flag_bit};
use super::{Function, Op};
use crate::observation::Point;
use crate::reference::lock::Class;
use crate::rules::{Argument, Catalogue, FactReader, GLOBAL_ROLE, LockOf, Read, Role, RoleSource, Table};

/// The plans of all ops.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    plans: Vec<Option<Plan>>,
    /// Rules that cannot be decided, with the reason.
    missing: BTreeMap<String, String>,
    /// Functions that are looked for beyond a return.
    watched: Vec<Function>,
}

impl Plans {
    /// Plans for a catalogue.
    pub(crate) fn compile(catalogue: &Catalogue) -> Self {
        let mut plans = Self { plans: vec![None; Op::ALL.len()], ..Self::default() };
        for (table, op) in catalogue.ops() {
            let known = Op::named(&table.name, &op.name);
            let compiled = known
                .ok_or_else(|| "the reference VFS has no such op".to_owned())
                .and_then(|known| OpCompiler::new(catalogue, table, op, known).compile(&mut plans.missing));
            match compiled {
                Ok(plan) => {
                    let place = plan.op as usize;
                    plans.plans[place] = Some(plan);
                }
                Err(reason) => {
                    for rule in op.rules.iter().filter(|rule| !rule.requires.is_empty()) {
                        plans.missing.insert(rule.id.clone(), reason.clone());
                    }
                }
            }
        }
        plans.find_watched();
        plans
    }

    /// Plans for nothing: no callback is observed.
    pub(crate) fn none() -> Self {
        Self { plans: vec![None; Op::ALL.len()], ..Self::default() }
    }

    /// The plan of an op, if any rule speaks of it.
    pub(crate) fn of(&self, op: Op) -> Option<&Plan> {
        self.plans[op as usize].as_ref()
    }

    /// Rules that cannot be decided.
    pub(crate) fn missing(&self) -> &BTreeMap<String, String> {
        &self.missing
    }

    /// Functions that are looked for beyond a return.
    pub(crate) fn watched(&self) -> &[Function] {
        &self.watched
    }

    fn find_watched(&mut self) {
        let facts = self.plans.iter().flatten().flat_map(Plan::facts);
        let mut watched = BTreeSet::new();
        for fact in facts {
            if let Reader::EventuallyCalled(functions) = &fact.reader {
                watched.extend(functions.iter().copied());
            }
        }
        self.watched = watched.into_iter().collect();
    }
}

/// One op on its way to a plan.
struct OpCompiler<'c> {
    catalogue: &'c Catalogue,
    table: &'c Table,
    op: &'c crate::rules::Op,
    known: Op,
    roles: Vec<RolePlan>,
}

type Reason = String;

impl<'c> OpCompiler<'c> {
    fn new(catalogue: &'c Catalogue, table: &'c Table, op: &'c crate::rules::Op, known: Op) -> Self {
        Self { catalogue, table, op, known, roles: Vec::new() }
    }

    fn compile(mut self, missing: &mut BTreeMap<String, String>) -> Result<Plan, Reason> {
        for role in &self.op.roles {
            let plan = self.role(role)?;
            self.roles.push(plan);
        }
        let (entry_locks, exit_locks) = (self.locks(Point::Entry, missing), self.locks(Point::Exit, missing));
        let (entry_facts, exit_facts) = self.facts(missing);
        if entry_facts.len() + exit_facts.len() > FACTS_MAX || entry_locks.len().max(exit_locks.len()) > LOCKS_MAX {
            return Err("the op has more facts or locks than one observation holds".to_owned());
        }
        let superblock = self.superblock();
        let any = |wanted: fn(&Reader) -> bool| exit_facts.iter().any(|fact| wanted(&fact.reader));
        Ok(Plan {
            op: self.known,
            has_exit: self.op.rules.iter().any(|rule| rule.point == Point::Exit && !rule.requires.is_empty()),
            overlaps: any(|reader| matches!(reader, Reader::Overlaps(_))) || self.is_overlapped(),
            needs_before: any(|reader| {
                matches!(
                    reader,
                    Reader::EventuallyReleased(..)
                        | Reader::EventuallyCalled(_)
                        | Reader::AllReleased(_)
                        | Reader::CountsDown { .. }
                        | Reader::Acquired(..)
                        | Reader::Released(..)
                )
            }),
            roles: self.roles,
            entry_locks,
            exit_locks,
            entry_facts,
            exit_facts,
            superblock,
        })
    }

    fn role(&self, role: &Role) -> Result<RolePlan, Reason> {
        let first = (role.from.clone(), role.path.clone());
        let ways = std::iter::once(&first).chain(&role.alternatives);
        let mut ways = ways;
        let found = ways.find_map(|(from, path)| Some((self.source(from)?, members(path)?)));
        let (from, path) = found.ok_or_else(|| format!("the reference VFS has no way to the role `{}`", role.name))?;
        Ok(RolePlan { name: role.name.clone(), from, path })
    }

    fn source(&self, from: &RoleSource) -> Option<From> {
        match from {
            RoleSource::Argument(argument) => {
                let index = self.argument(argument)?;
                Some(if argument.type_name.ends_with('*') { From::Filled(index) } else { From::Argument(index) })
            }
            RoleSource::Role(name) => Some(From::Role(self.index_of(name)?)),
            RoleSource::Result => Some(From::Result),
        }
    }

    fn argument(&self, wanted: &Argument) -> Option<usize> {
        let arguments = self.known.prototype().arguments.iter().enumerate();
        let same = arguments.filter(|(_, type_name)| **type_name == wanted.type_name);
        same.map(|(index, _)| index).nth(usize::from(wanted.nth).saturating_sub(1))
    }

    fn index_of(&self, role: &str) -> Option<usize> {
        self.roles.iter().position(|known| known.name == role)
    }

    fn locks(&self, point: Point, missing: &mut BTreeMap<String, String>) -> Vec<LockPlan> {
        let mut plans: BTreeMap<(String, String), LockPlan> = BTreeMap::new();
        for rule in self.op.rules.iter().filter(|rule| rule.point == point) {
            for read in rule.reads() {
                let Read::Lock { role, lock } = read else { continue };
                if let Some(plan) = self.lock(role, lock) {
                    plans.insert((role.to_owned(), lock.to_owned()), plan);
                } else {
                    let reason = format!("the reference VFS has no {lock} of {role}");
                    missing.insert(rule.id.clone(), reason);
                }
            }
        }
        plans.into_values().collect()
    }

    fn lock(&self, role: &str, lock: &str) -> Option<LockPlan> {
        let class = Class::named(&self.catalogue.lock(lock)?.name)?;
        let index = if role == GLOBAL_ROLE { None } else { Some(self.index_of(role)?) };
        Some(LockPlan { role: role.to_owned(), lock: lock.to_owned(), class, index })
    }

    /// The facts that some rule reads: at the entry, and at the return only.
    fn facts(&self, missing: &mut BTreeMap<String, String>) -> (Vec<FactPlan>, Vec<FactPlan>) {
        let (mut entry, mut exit) = (Vec::new(), Vec::new());
        for fact in &self.op.facts {
            let reads = |rule: &&crate::rules::Rule| rule.reads().contains(&Read::Fact(&fact.name));
            let mut readers = self.op.rules.iter().filter(reads).peekable();
            if readers.peek().is_none() {
                continue;
            }
            match self.reader(&fact.reader) {
                Some(reader) => {
                    let side = if fact.reader.is_of_exit() { &mut exit } else { &mut entry };
                    side.push(FactPlan { name: fact.name.clone(), reader });
                }
                None => {
                    for rule in readers {
                        let reason = format!("the reference VFS cannot read the fact `{}`", fact.name);
                        missing.insert(rule.id.clone(), reason);
                    }
                }
            }
        }
        (entry, exit)
    }

    fn superblock(&self) -> Option<Vec<Member>> {
        if self.op.without_superblock || self.roles.is_empty() {
            return None;
        }
        let own = self.op.superblock.as_ref().unwrap_or(&self.table.superblock);
        std::iter::once(own).chain(&self.op.superblock_alternatives).find_map(|path| members(path))
    }

    /// Whether another op of the table asks for overlaps with this one.
    fn is_overlapped(&self) -> bool {
        let facts = self.table.ops.iter().flat_map(|op| &op.facts);
        facts.into_iter().any(|fact| matches!(&fact.reader, FactReader::Overlaps { op, .. } if *op == self.op.name))
    }

    fn reader(&self, reader: &FactReader) -> Option<Reader> {
        let role = |name: &String| self.index_of(name);
        let lock = |of: &LockOf| Some((self.index_of(&of.role)?, Class::named(&self.catalogue.lock(&of.lock)?.name)?));
        Some(match reader {
            FactReader::RolesDiffer(a, b) => Reader::Differ(role(a)?, role(b)?),
            FactReader::Present(name) => Reader::Present(role(name)?),
            FactReader::IsDirectory(name) => Reader::IsDirectory(role(name)?),
            FactReader::Mask(argument, mask) => Reader::Mask(self.argument(argument)?, *mask),
            FactReader::Slept => Reader::Slept,
            FactReader::MemberMask { role: name, path, mask } => {
                Reader::MemberMask { role: role(name)?, path: members(path)?, mask: *mask }
            }
            FactReader::MemberEquals { role: name, path, value } => {
                Reader::MemberEquals { role: role(name)?, path: members(path)?, value: *value }
            }
            FactReader::ArgumentReaches { argument, role: name, path } => {
                Reader::ArgumentReaches { argument: self.argument(argument)?, role: role(name)?, path: members(path)? }
            }
            FactReader::MemberBit { role: name, path, bit } => {
                Reader::MemberMask { role: role(name)?, path: members(path)?, mask: 1 << flag_bit(bit)? }
            }
            FactReader::AtExit(inner) => Reader::AtExit(Box::new(self.reader(inner)?)),
            FactReader::ResultNegative => Reader::ResultNegative,
            FactReader::ResultIsErrorPointer => Reader::ResultIsErrorPointer,
            FactReader::ResultEquals(value) => Reader::ResultEquals(*value),
            FactReader::ResultMask(mask) => Reader::ResultMask(*mask),
            FactReader::Called(names) => Reader::Called(functions(names)?),
            FactReader::CalledOp(names) => Reader::CalledOp(ops_named(names)?),
            FactReader::Order(first, second) => Reader::Order(functions(first)?, functions(second)?),
            FactReader::Acquired(of) => lock(of).map(|(role, class)| Reader::Acquired(role, class))?,
            FactReader::Released(of) => lock(of).map(|(role, class)| Reader::Released(role, class))?,
            FactReader::EventuallyReleased(of) => {
                lock(of).map(|(role, class)| Reader::EventuallyReleased(role, class))?
            }
            FactReader::EventuallyCalled(names) => Reader::EventuallyCalled(functions(names)?),
            FactReader::CountsDown { role: name, path, functions: names } => {
                Reader::CountsDown { role: role(name)?, path: members(path)?, functions: functions(names)? }
            }
            FactReader::Strays { role: name, functions: names } => {
                Reader::Strays { role: role(name)?, functions: functions(names)? }
            }
            FactReader::CalledFrom(names) => Reader::CalledFrom(names.clone()),
            FactReader::InSyscall(names) => Reader::InSyscall(names.clone()),
            // It stacks no file systems, and its areas have no locks of their own.
            FactReader::Within(_) | FactReader::VmaLocked(_) => Reader::Never,
            FactReader::Overlaps { role: name, op } => {
                // Invocations are told apart by their identity role, the first one.
                (role(name)? == 0).then_some(Reader::Overlaps(Op::named(&self.table.name, op)?))?
            }
            FactReader::AllFoliosLocked(name) => Reader::AllLocked(role(name)?),
            FactReader::AllFoliosReleased(name) => Reader::AllReleased(role(name)?),
            FactReader::Atomic => Reader::Atomic,
            FactReader::InInterrupt => Reader::InInterrupt,
            FactReader::InRcuCallback => Reader::InRcuCallback,
            FactReader::InRcuWalk => Reader::InRcuWalk,
        })
    }
}

/// Ops by name, of whichever table has them.
fn ops_named(names: &[String]) -> Option<Vec<Op>> {
    let of = |name: &String| Op::ALL.iter().copied().filter(|op| op.prototype().op == name).collect::<Vec<_>>();
    let found: Vec<Op> = names.iter().flat_map(of).collect();
    (!found.is_empty()).then_some(found)
}

fn members(path: &[String]) -> Option<Vec<Member>> {
    path.iter().map(|name| Member::named(name)).collect()
}

/// The functions that the reference VFS has of these; it must have one.
fn functions(names: &[String]) -> Option<Vec<Function>> {
    let found: Vec<_> = names.iter().filter_map(|name| Function::named(name)).collect();
    (!found.is_empty()).then_some(found)
}
