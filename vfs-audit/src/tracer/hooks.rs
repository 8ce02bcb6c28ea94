//! The hook table: which function serves which op of which living operations table.

use std::collections::{BTreeMap, BTreeSet};

use super::{attach::Backend, plan::Plans};
use crate::{
    kernel::{LiveTables, Memory, Symbols, TableSource},
    rules::glob,
};

/// Bytes of an operations table that are read.
const TABLE_BYTES_MAX: usize = 1024;

/// One function to hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Address of the function.
    pub address: u64,
    /// Its symbol.
    pub callback: String,
    /// Its module; empty for the kernel proper.
    pub module: String,
    /// Indices into the plans of the ops that it serves; never empty, the first gives the plan.
    pub plans: Vec<usize>,
    /// File system types it was found for.
    pub fs: BTreeSet<String>,
    /// The tables it was found in, by symbol where they have one.
    pub tables: BTreeSet<String>,
    /// Whether a living object points to one of them.
    pub living: bool,
}

/// Which ops and file systems are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// File system types; empty for all.
    pub fs: Vec<String>,
    /// Patterns over `table.op` or `op`; empty for all.
    pub op: Vec<String>,
    /// Devices (`major << 20 | minor`) of the superblocks whose invocations are wanted; empty for all.
    pub devices: Vec<u32>,
    /// Whether mutexes are tracked too; without it their words are the only witness.
    pub track_mutexes: bool,
    /// The one way of hooking that is wanted; `None` for the first that works.
    pub backend: Option<Backend>,
}

impl Wanted {
    /// Whether ops of `table` are wanted on any of `fs`.
    fn accepts_fs(&self, fs: &BTreeSet<String>) -> bool {
        self.fs.is_empty() || self.fs.iter().any(|wanted| fs.contains(wanted))
    }

    fn accepts_op(&self, table: &str, op: &str) -> bool {
        let full = format!("{table}.{op}");
        self.op.is_empty() || self.op.iter().any(|pattern| glob::matches(pattern, op) || glob::matches(pattern, &full))
    }
}

/// All hooks, and the slots of each table for telling a table call from a direct one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookTable {
    /// Hooks; the index is the hook number.
    pub hooks: Vec<Hook>,
    /// Function by (table address, slot offset).
    pub slots: BTreeMap<(u64, u32), u64>,
    /// Tables that could not be read, with why.
    pub unread: Vec<String>,
}

impl Hook {
    /// Whether the function looks like a shared one, of none of the owners of the tables that it was found in
    /// (`generic_permission` in `empty_dir_inode_operations`): such a function may be called directly from everywhere.
    pub fn is_shared(&self) -> bool {
        let owner = |symbol: &str| symbol.split('_').next().map(str::to_owned);
        !self.tables.iter().any(|table| owner(table) == owner(&self.callback))
    }
}

impl HookTable {
    /// Reads every living table's slots and keeps the functions that a plan speaks of.
    pub fn build(live: &LiveTables, plans: &Plans, memory: &impl Memory, symbols: &Symbols, wanted: &Wanted) -> Self {
        let mut table = Self::default();
        table.extend(live, plans, memory, symbols, wanted);
        table
    }

    /// Adds what `live` has and the table has not; returns the numbers of the new hooks.
    pub fn extend(
        &mut self,
        live: &LiveTables,
        plans: &Plans,
        memory: &impl Memory,
        symbols: &Symbols,
        wanted: &Wanted,
    ) -> std::ops::Range<usize> {
        let before = self.hooks.len();
        for found in live.inode.values() {
            let known = self.slots.range((found.address, 0)..=(found.address, u32::MAX)).next().is_some();
            if known || !wanted.accepts_fs(&found.fs) {
                continue;
            }
            let Some(bytes) = memory.bytes(found.address, table_bytes(plans)) else {
                self.unread.push(format!("{} at {:#x} cannot be read", found.symbol, found.address));
                continue;
            };
            for (number, plan) in plans.ops.iter().enumerate() {
                let at = plan.slot_offset as usize;
                let Some(slot) = bytes.get(at..at + 8).and_then(|b| b.try_into().ok()) else { continue };
                let function = u64::from_le_bytes(slot);
                if function == 0 || !symbols.is_text(function) {
                    continue;
                }
                self.slots.insert((found.address, plan.slot_offset), function);
                if wanted.accepts_op(&plan.table, &plan.op) {
                    self.add(function, number, found, symbols);
                }
            }
        }
        before..self.hooks.len()
    }

    fn add(&mut self, function: u64, plan: usize, found: &crate::kernel::LiveTable, symbols: &Symbols) {
        let name = if found.symbol.is_empty() { "a table without a symbol".to_owned() } else { found.symbol.clone() };
        let hook = if let Some(hook) = self.hooks.iter_mut().find(|hook| hook.address == function) {
            hook
        } else {
            let symbol = symbols.resolve(function);
            self.hooks.push(Hook {
                address: function,
                callback: symbol.map_or_else(|| format!("{function:#x}"), |s| s.name.to_owned()),
                module: symbol.map_or(String::new(), |s| s.module.to_owned()),
                plans: Vec::new(),
                fs: BTreeSet::new(),
                tables: BTreeSet::new(),
                living: false,
            });
            let last = self.hooks.len() - 1;
            &mut self.hooks[last]
        };
        if !hook.plans.contains(&plan) {
            hook.plans.push(plan);
        }
        hook.fs.extend(found.fs.iter().cloned());
        hook.tables.insert(name);
        hook.living |= found.source == TableSource::Object;
    }
}

/// Bytes to read of a table so that every planned slot is in them.
fn table_bytes(plans: &Plans) -> usize {
    plans.ops.iter().map(|plan| plan.slot_offset as usize + 8).max().unwrap_or(0).min(TABLE_BYTES_MAX)
}
