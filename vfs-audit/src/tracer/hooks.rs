//! The hook table: which function serves which op of which living operations table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vfs_audit_common::{EVENT_RING_BYTES, KEYS_MAX};

use super::{
    attach::Backend,
    plan::{Identity, OpPlan, Plans},
};
use crate::{
    btf::Btf,
    kernel::{LiveTable, LiveTables, Memory, Symbols, TableSource},
    rules::glob,
};

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
    /// Lists that the tables stand in, where objects point to a list.
    pub lists: BTreeSet<u64>,
    /// Why the function gets no probe, where that is known before one is tried.
    pub unprobed: Option<&'static str>,
}

/// Room in tables of the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Distinct observations.
    pub keys: u32,
    /// Bytes of the ring buffer of first sights.
    pub ring_bytes: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { keys: KEYS_MAX as u32, ring_bytes: EVENT_RING_BYTES }
    }
}

/// Which ops and file systems are wanted.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Wanted {
    /// File system types; empty for all.
    pub fs: Vec<String>,
    /// Patterns over `table.op` or `op`; empty for all.
    pub op: Vec<String>,
    /// Devices (`major << 20 | minor`) of the superblocks whose invocations are wanted; empty for all.
    pub devices: Vec<u32>,
    /// Whether locks that no rule demands are read too: for recordings, and for `--strict`.
    pub everything: bool,
    /// Whether mutexes are tracked too; without it their words are the only witness.
    pub track_mutexes: bool,
    /// Room in the kernel side's tables.
    pub sizes: Sizes,
    /// Whether every lock is compared with what lockdep says of it.
    pub oracle: bool,
    /// Whether the kernel shall count what our programs take.
    pub count_programs: bool,
    /// The one way of hooking that is wanted; `None` for the first that works.
    pub backend: Option<Backend>,
    /// Told once a second how many callbacks are done, and of how many, while they are hooked one by one.
    pub progress: Option<fn(usize, usize)>,
}

impl Wanted {
    /// Whether ops of a table that objects of `fs` point to are wanted; a table of nobody in particular may be anybody's.
    fn accepts_fs(&self, fs: &BTreeSet<String>) -> bool {
        self.fs.is_empty() || fs.is_empty() || self.fs.iter().any(|wanted| fs.contains(wanted))
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
    /// Functions by (address of the table or of the list of tables, slot offset).
    pub slots: BTreeMap<(u64, u32), Vec<u64>>,
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

/// What the hooks are looked for in.
pub(super) struct Sources<'a, M: Memory> {
    /// Living tables.
    pub(super) live: &'a LiveTables,
    /// Plans.
    pub(super) plans: &'a Plans,
    /// Kernel memory.
    pub(super) memory: &'a M,
    /// Symbols.
    pub(super) symbols: &'a Symbols,
    /// Types.
    pub(super) btf: &'a Btf,
    /// What is wanted.
    pub(super) wanted: &'a Wanted,
}

impl HookTable {
    /// Adds what the sources have and the table has not; returns the numbers of the new hooks.
    pub(super) fn extend(&mut self, from: &Sources<'_, impl Memory>) -> std::ops::Range<usize> {
        let before = self.hooks.len();
        let places: BTreeMap<u64, usize> = self.hooks.iter().enumerate().map(|(n, hook)| (hook.address, n)).collect();
        let mut places = places;
        let mut tables: HashMap<u64, Option<Vec<u8>>> = HashMap::new();
        for (number, plan) in from.plans.ops.iter().enumerate() {
            if plan.identity == Identity::Object {
                self.add_by_prototype(from, (number, plan), &mut places);
                continue;
            }
            for found in from.live.of_kind(&plan.structure) {
                let bytes = tables
                    .entry(found.address)
                    .or_insert_with(|| from.memory.bytes(found.address, table_bytes(from.plans, &plan.structure)));
                self.add_slot(from, (number, plan), (found, bytes.as_deref()), &mut places);
            }
        }
        before..self.hooks.len()
    }

    fn add_slot(
        &mut self,
        from: &Sources<'_, impl Memory>,
        (number, plan): (usize, &OpPlan),
        (found, bytes): (&LiveTable, Option<&[u8]>),
        places: &mut BTreeMap<u64, usize>,
    ) {
        if !from.wanted.accepts_fs(&found.fs) {
            return;
        }
        let at = plan.slot_offset as usize;
        let slot = bytes.and_then(|bytes| bytes.get(at..at + 8)?.try_into().ok());
        let Some(function) = slot.map(u64::from_le_bytes) else {
            let text = format!("a table of {} ({}) cannot be read", plan.structure, found.symbol);
            if found.source == TableSource::Object && !self.unread.contains(&text) {
                self.unread.push(text);
            }
            return;
        };
        let is_callback = function != 0
            && from.symbols.is_text(function)
            && (found.source == TableSource::Object || fits(from, function, plan));
        if !is_callback {
            // Known to hold nothing: a call of some other function for this table was a direct one.
            self.slots.entry((found.address, plan.slot_offset)).or_default();
            return;
        }
        for table in found.lists.iter().chain([&found.address]) {
            let functions = self.slots.entry((*table, plan.slot_offset)).or_default();
            if !functions.contains(&function) {
                functions.push(function);
            }
        }
        if from.wanted.accepts_op(&plan.table, &plan.op) {
            let hook = self.hook_of(function, (from.symbols, from.memory), places);
            let symbol = &found.symbol;
            let name = if symbol.is_empty() { "a table without a symbol" } else { symbol };
            hook.note(number, name, &found.fs, found.source == TableSource::Object);
            hook.lists.extend(&found.lists);
        }
    }

    /// Functions of the op's type: the slot is in each object, and which of them stand there only the calls tell.
    fn add_by_prototype(
        &mut self,
        from: &Sources<'_, impl Memory>,
        (number, plan): (usize, &OpPlan),
        places: &mut BTreeMap<u64, usize>,
    ) {
        if !from.wanted.accepts_op(&plan.table, &plan.op) {
            return;
        }
        for name in from.btf.functions_taking(&plan.arguments) {
            for address in from.symbols.addresses(&name).into_iter().filter(|address| from.symbols.is_text(*address)) {
                let hook = self.hook_of(address, (from.symbols, from.memory), places);
                hook.note(number, &plan.structure, &BTreeSet::new(), false);
            }
        }
    }

    fn hook_of(
        &mut self,
        function: u64,
        (symbols, memory): (&Symbols, &impl Memory),
        places: &mut BTreeMap<u64, usize>,
    ) -> &mut Hook {
        let number = *places.entry(function).or_insert_with(|| {
            let symbol = symbols.resolve(function);
            self.hooks.push(Hook {
                address: function,
                callback: symbol.map_or_else(|| "a function without a symbol".to_owned(), |s| s.name.to_owned()),
                module: symbol.map_or(String::new(), |s| s.module.to_owned()),
                plans: Vec::new(),
                fs: BTreeSet::new(),
                tables: BTreeSet::new(),
                living: false,
                lists: BTreeSet::new(),
                unprobed: symbol.and_then(|s| called_by_rcu(s.name)).or_else(|| {
                    // The place that function tracers need; the kernel's own tracers have none.
                    (!is_traceable(memory, function)).then_some(NOT_TO_BE_PROBED)
                }),
            });
            self.hooks.len() - 1
        });
        &mut self.hooks[number]
    }
}

impl Hook {
    fn note(&mut self, plan: usize, table: &str, fs: &BTreeSet<String>, is_living: bool) {
        if !self.plans.contains(&plan) {
            self.plans.push(plan);
        }
        self.fs.extend(fs.iter().cloned());
        self.tables.insert(table.to_owned());
        self.living |= is_living;
    }
}

/// What is said of functions that the kernel keeps for itself.
pub(super) const NOT_TO_BE_PROBED: &str =
    "the kernel allows no probe on it (inline or notrace): its calls are not seen";

/// Functions in tables for process context that RCU calls as well, directly, for all inodes whose file system has no `free_inode`. An
/// interrupt brings that about, also one in the middle of a program: then the kernel skips the call's, and the run would be
/// incomplete for want of what is no call of an op.
const CALLED_BY_RCU: &[&str] = &["free_inode_nonrcu"];

fn called_by_rcu(function: &str) -> Option<&'static str> {
    CALLED_BY_RCU
        .contains(&function)
        .then_some("RCU calls it for inodes of every kind: the few calls as an op are not told apart")
}

/// Bytes of a table of struct `structure` in which every planned slot is.
fn table_bytes(plans: &Plans, structure: &str) -> usize {
    let of_it = plans.ops.iter().filter(|plan| plan.structure == structure);
    of_it.map(|plan| plan.slot_offset as usize + 8).max().unwrap_or(0)
}

/// Whether the function takes what the op is given, as far as its type is known: a table that a symbol's name stands for may be
/// of another struct.
fn fits(from: &Sources<'_, impl Memory>, function: u64, plan: &OpPlan) -> bool {
    let symbol = from.symbols.function_at(function).filter(|symbol| symbol.module.is_empty());
    // Of several functions of one name, it may be any.
    let prototypes: Vec<u32> = symbol.map_or_else(Vec::new, |symbol| from.btf.prototypes_of(symbol.name).collect());
    let takes = |prototype: &u32| from.btf.arguments_of(*prototype).is_none_or(|taken| taken == plan.arguments);
    prototypes.is_empty() || prototypes.iter().any(takes)
}

/// Whether the function at `address` (x86-64) begins, perhaps behind `endbr64`, with the 5-byte `nop` that function tracers
/// turn into a call, or with such a call. What cannot be read is taken for traceable: then the kernel says.
fn is_traceable(memory: &impl Memory, address: u64) -> bool {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];
    const CALL: u8 = 0xe8;
    const BREAKPOINT: u8 = 0xcc;
    let Some(code) = memory.bytes(address, 16) else { return true };
    let code = code.strip_prefix(&ENDBR64).unwrap_or(&code);
    code.starts_with(&NOP) || matches!(code.first(), Some(&(CALL | BREAKPOINT)))
}
