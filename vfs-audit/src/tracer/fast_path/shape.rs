//! Which plans are compiled: of a plan, all that its code depends on.

use vfs_audit_common::{
    FLAG_AND_MASK, FLAG_ATOMIC, FLAG_IN_INTERRUPT, FLAG_IS_DIRECTORY, FLAG_MEMBER_EQUALS, FLAG_MEMBER_MASK,
    FLAG_PRESENT, FLAG_ROLES_DIFFER, FROM_CONSTANT, FROM_ROLE, FlagReader, HookPlan, LOCK_FOLIO, LOCK_MUTEX,
    LOCK_RWSEM, LOCK_SPIN, LOCK_UNTRACKED, OF_HEAD_PAGE, RoleReader, SlotReader, WATCH_NONE, WatchReader,
};

/// Kinds of flags whose readings are compiled.
const FLAGS: [u8; 8] = [
    FLAG_AND_MASK,
    FLAG_ROLES_DIFFER,
    FLAG_PRESENT,
    FLAG_IS_DIRECTORY,
    FLAG_ATOMIC,
    FLAG_MEMBER_MASK,
    FLAG_MEMBER_EQUALS,
    FLAG_IN_INTERRUPT,
];

/// What the code of a plan depends on. Plans of one shape share their code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) table: RoleReader,
    pub(super) superblock: RoleReader,
    pub(super) roles: Vec<RoleReader>,
    pub(super) flags: Vec<FlagReader>,
    pub(super) slots: Vec<SlotReader>,
    /// Where in the table the function stands when it is called through it; empty: the table is not asked.
    pub(super) table_slots: Vec<u16>,
    /// Whether calls through the table are counted by hook.
    pub(super) is_shared: bool,
    /// What is watched from the entry on: `WATCH_*`.
    pub(super) watched: u8,
    /// Bits of the op.
    pub(super) op_bits: u64,
    /// Objects that are watched to the exit.
    pub(super) watches: Vec<WatchReader>,
}

impl Shape {
    /// The shape of `plan`; `None` when it is left to the interpreter.
    pub(super) fn of(plan: &HookPlan) -> Option<Self> {
        let first = |len: u8| usize::from(len);
        let shape = Self {
            table: plan.table,
            superblock: plan.sb,
            roles: plan.roles[..first(plan.roles_len)].to_vec(),
            flags: plan.flags[..first(plan.flags_len)].to_vec(),
            slots: plan.slots[..first(plan.slots_len)].to_vec(),
            table_slots: plan.slot_offsets[..first(plan.slot_offsets_len)].to_vec(),
            is_shared: plan.is_shared != 0,
            watched: plan.watched,
            op_bits: plan.op_bits,
            watches: plan.watches[..first(plan.watches_len)].to_vec(),
        };
        let asks_around = plan.stack_flag | plan.syscall_flag | plan.within_flag | plan.area_flag != 0;
        let is_always_watched = plan.watched == WATCH_NONE || plan.watch_mask == 0;
        let is_simple = is_always_watched && !asks_around && plan.is_own_table == 0;
        (is_simple && shape.is_compiled()).then_some(shape)
    }

    fn is_compiled(&self) -> bool {
        // An argument of its own that is always zero has no register.
        let is_reached = |(number, reader): (usize, &RoleReader)| {
            let from_role = reader.source & FROM_ROLE != 0;
            let role = usize::from(reader.source & !FROM_ROLE);
            reader.source & FROM_CONSTANT == 0
                && reader.at_exit_only == 0
                && (if from_role { role < number } else { role < super::register::ARGUMENTS.len() })
        };
        let count = self.roles.len();
        let ends = [&self.table, &self.superblock];
        // A mutex needs its table only where mutexes are tracked.
        let is_known = |slot: &SlotReader| match slot.kind & !LOCK_UNTRACKED {
            LOCK_RWSEM | LOCK_SPIN | LOCK_FOLIO => true,
            LOCK_MUTEX => slot.kind & LOCK_UNTRACKED != 0,
            _ => false,
        };
        self.roles.iter().enumerate().all(is_reached)
            && ends.into_iter().all(|reader| is_reached((count, reader)))
            && self.flags.iter().all(|flag| FLAGS.contains(&flag.kind) && self.has_what_it_reads(flag))
            && self.slots.iter().all(|slot| is_known(slot) && usize::from(slot.role) < count)
            && self.watches.iter().all(|watch| usize::from(watch.role) < count)
    }

    fn has_what_it_reads(&self, flag: &FlagReader) -> bool {
        let is_role = |role: u8| usize::from(role) < self.roles.len();
        match flag.kind {
            FLAG_AND_MASK => usize::from(flag.a) < super::register::ARGUMENTS.len(),
            FLAG_ROLES_DIFFER => is_role(flag.a) && is_role(flag.b),
            FLAG_ATOMIC | FLAG_IN_INTERRUPT => true,
            _ => is_role(flag.a) && flag.b != OF_HEAD_PAGE,
        }
    }

    /// Whether no argument is read but the first.
    pub(super) fn reads_first_argument_alone(&self) -> bool {
        let reads = |reader: &RoleReader| reader.source & FROM_ROLE != 0 || reader.source == 0;
        self.roles.iter().chain([&self.table, &self.superblock]).all(reads)
    }

    /// Whether one of the flags asks for the context.
    pub(super) fn reads_context(&self) -> bool {
        self.flags.iter().any(|flag| matches!(flag.kind, FLAG_ATOMIC | FLAG_IN_INTERRUPT))
    }
}
