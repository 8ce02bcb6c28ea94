//! What is read at the callbacks of every op: the catalogue and the running kernel's BTF, compiled into fact readers.
//!
//! A thing that this kernel or the kernel side cannot read makes the rules that need it unreadable, with the reason; it
//! never makes a rule pass.

use std::collections::BTreeMap;

use vfs_audit_common::{FLAG_CALLED, FLAG_ORDER, HookPlan, LOCK_UNTRACKED, SLOT_OFFSETS_MAX, WATCH_EXIT, WATCH_SLEEP};

use super::{
    compile::{Compiler, Functions, Ground},
    hooks::Hook,
};
use crate::{
    btf::Btf,
    kernel::Symbols,
    rules::{Catalogue, Op, Read, Table},
};

/// A role as it is read on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRole {
    /// Name.
    pub name: String,
    /// Struct of its object; empty for a lock that is a variable of the kernel.
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

/// How a call is known to have come through an operations table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The object points to a table, which was read.
    Table,
    /// The object has the slot itself (a buffer head's `b_end_io`): the kernel side looks.
    Object,
    /// The op is called without an object: the call instruction alone tells.
    Call,
}

/// What is read at one op's callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpPlan {
    /// Operations table.
    pub table: String,
    /// Struct that has the op's slot: the table's, or another that its slots were moved to.
    pub structure: String,
    /// Op.
    pub op: String,
    /// Types of the arguments.
    pub arguments: Vec<String>,
    /// Byte offset of the op's slot in its struct.
    pub slot_offset: u32,
    /// How a call is told from a direct one.
    pub identity: Identity,
    /// Whether it may be called in interrupts, where a kprobe's program may find another one running.
    pub is_of_interrupts: bool,
    /// For the kernel side.
    pub readers: HookPlan,
    /// Roles, in the order of `readers.roles`.
    pub roles: Vec<PlannedRole>,
    /// Lock slots of the entry, in the order of `readers.slots`.
    pub slots: Vec<PlannedSlot>,
    /// Lock slots of the exit, in the order of `readers.exit_slots`.
    pub exit_slots: Vec<PlannedSlot>,
    /// Facts, in the order of `readers.flags`: those of the entry first.
    pub facts: Vec<String>,
    /// Name of the fact that says whether the task slept, when the callback is watched for that alone.
    pub slept: Option<String>,
    /// Facts that tell this op from another that the same function serves.
    pub told_apart_by: Vec<(String, bool)>,
}

impl OpPlan {
    /// Whether the callback is watched to its exit.
    pub fn has_exit(&self) -> bool {
        self.readers.watched & WATCH_EXIT != 0
    }

    /// Whether flag number `flag` needs one of the functions whose bits are `bits`.
    pub(super) fn asks_for(&self, flag: usize, bits: u64) -> bool {
        let reader = &self.readers.flags[flag];
        match reader.kind {
            FLAG_CALLED => reader.value & bits != 0,
            FLAG_ORDER => {
                let order = &self.readers.orders[usize::from(reader.a)];
                (order.first | order.second) & bits != 0
            }
            _ => false,
        }
    }

    /// Whether the callback is watched for sleeping alone: without a probe on its exit.
    pub fn is_watched_for_sleep_alone(&self) -> bool {
        self.readers.watched & (WATCH_SLEEP | WATCH_EXIT) == WATCH_SLEEP
    }
}

/// All plans, and the rules that cannot be read here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// One per op that this kernel has.
    pub ops: Vec<OpPlan>,
    /// Why a rule cannot be read, by its id.
    pub unreadable: BTreeMap<String, String>,
    /// Functions whose calls are noted, and the ops whose are.
    pub functions: Functions,
}

impl Plans {
    /// Plans every op of the catalogue that this kernel has. `everything`: also the locks that no rule demands.
    pub fn compile(catalogue: &Catalogue, btf: &Btf, symbols: &Symbols, everything: bool) -> Self {
        let mut plans = Self::default();
        let mut functions = Functions::default();
        let ground = Ground { catalogue, btf, symbols, everything };
        for table in &catalogue.tables {
            for op in &table.ops {
                match plans.plan(&ground, table, op, &mut functions) {
                    Ok(plan) => plans.ops.push(plan),
                    Err(why) => {
                        let ids = op.rules.iter().map(|rule| (rule.id.clone(), why.clone()));
                        plans.unreadable.extend(ids);
                    }
                }
            }
        }
        for plan in &mut plans.ops {
            plan.readers.op_bits = functions.bits_of_op(&plan.op);
        }
        plans.functions = functions;
        plans
    }

    fn plan(
        &mut self,
        ground: &Ground<'_>,
        table: &Table,
        op: &Op,
        functions: &mut Functions,
    ) -> Result<OpPlan, String> {
        let own = [table.name.clone()];
        let structures = if table.structs.is_empty() { &own[..] } else { &table.structs };
        let slot = structures.iter().find_map(|structure| {
            let slots = ground.btf.slots(structure);
            slots.into_iter().find(|(name, ..)| *name == op.name).map(|slot| (structure, slot))
        });
        let Some((structure, (_, offset, prototype))) = slot else {
            return Err(format!("this kernel has no {}.{}", table.name, op.name));
        };
        let compiler = Compiler::new(ground, (table, op), &prototype, functions);
        compiler.plan(structure, offset, &mut self.unreadable)
    }

    /// Marks every lock of `kind` as one whose primitives are not probed.
    pub(super) fn leave_untracked(&mut self, kind: u8) {
        for plan in &mut self.ops {
            let slots = plan.readers.slots.iter_mut().chain(&mut plan.readers.exit_slots);
            slots.filter(|slot| slot.kind == kind).for_each(|slot| slot.kind |= LOCK_UNTRACKED);
        }
    }

    /// Says of every rule that reads a flag of one of `kinds` that it cannot be read.
    pub(super) fn leave_unread(&mut self, catalogue: &Catalogue, kinds: &[u8], why: &str) {
        let is_of_them = |plan: &OpPlan, flag: usize| kinds.contains(&plan.readers.flags[flag].kind);
        self.leave_facts_unread(catalogue, &is_of_them, why);
    }

    /// Says of every rule that reads a flag that `wanted` accepts (by plan and number) that it cannot be read.
    pub(super) fn leave_facts_unread(
        &mut self,
        catalogue: &Catalogue,
        wanted: &dyn Fn(&OpPlan, usize) -> bool,
        why: &str,
    ) {
        for plan in &self.ops {
            let flags = plan.facts.iter().enumerate().filter(|(flag, _)| wanted(plan, *flag));
            let facts: Vec<Read<'_>> = flags.map(|(_, name)| Read::Fact(name)).collect();
            let rules = catalogue.op(&plan.table, &plan.op).into_iter().flat_map(|op| &op.rules);
            for rule in rules.filter(|rule| rule.reads().iter().any(|read| facts.contains(read))) {
                self.unreadable.insert(rule.id.clone(), why.to_owned());
            }
        }
    }

    /// What the kernel side reads at `hook`: its first op's plan, with the places of a table where the hook's function
    /// stands when it is called through the table.
    pub(super) fn of_hook(&self, hook: &Hook) -> HookPlan {
        let plan = &self.ops[hook.plans[0]];
        let mut readers = plan.readers;
        readers.function = hook.address;
        readers.is_shared = hook.is_shared().into();
        readers.is_own_table = (plan.identity == Identity::Object).into();
        // The daemon tells direct calls by itself; only of shared functions there may be too many for that, unless their slots
        // are more than there is room for. An object's own slot only the kernel side can look at.
        let is_asked = match plan.identity {
            Identity::Table => hook.is_shared() && hook.lists.is_empty(),
            Identity::Object => true,
            Identity::Call => false,
        };
        if is_asked && hook.plans.len() <= SLOT_OFFSETS_MAX {
            readers.slot_offsets_len = hook.plans.len() as u8;
            for (place, plan) in readers.slot_offsets.iter_mut().zip(&hook.plans) {
                *place = self.ops[*plan].slot_offset as u16;
            }
        }
        readers
    }
}

/// A reader that finds nothing: from the argument that is always zero.
pub(super) const NOTHING: vfs_audit_common::RoleReader =
    vfs_audit_common::RoleReader { source: 7, steps: 0, offset: [0; 4], add: 0, at_exit_only: 0, pad: 0 };
