//! The maps, the constants set at load and the on/off flag.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, Queue, RingBuf},
};
use vfs_audit_common::{
    COUNTED_PLACES, ContextBase, Control, CountedPlace, EVENT_RING_BYTES, HOOKS_MAX, HookPlaces, HookPlan, KEYS_MAX,
    KernelOffsets, LOSS_CAUSES, LockdepOffsets, Loss, ObservationKey, PEEK_BYTES, PENDING_MAX, Pending, STATS_LEN,
    Stat, TASK_SLOTS, TASKS_ASIDE_MAX, TaskLocks, WIRE_VERSION,
};

/// Held-lock tables, each at the place that a hash of the task's address says: an array costs a tenth of a hash map. Behind these
/// stand the tables of tasks whose place is taken.
///
/// Verifier: all in one map, or every program that works on one would be proved once for each map that it may come from.
#[map]
pub(crate) static TASKS: Array<TaskLocks> = Array::with_max_entries((TASK_SLOTS + TASKS_ASIDE_MAX) as u32, 0);
/// Which task has a place of [`TASKS`].
#[map]
pub(crate) static PLACES: HashMap<u32, u64> = HashMap::with_max_entries(TASK_SLOTS as u32, 0);
/// Where in [`TASKS`] the table of a task stands whose place is taken, by the task's address.
#[map]
pub(crate) static TASKS_ASIDE: HashMap<u64, u32> = HashMap::with_max_entries(TASKS_ASIDE_MAX as u32, 0);
/// What is free of the places behind those that the hash says; the daemon puts all of them here.
#[map]
pub(crate) static ASIDE_FREE: Queue<u32> = Queue::with_max_entries(TASKS_ASIDE_MAX as u32, 0);
/// Plan by hook number.
#[map]
pub(crate) static PLANS: Array<HookPlan> = Array::with_max_entries(HOOKS_MAX as u32, 0);
/// Hook number by function address: for probes that carry no cookie.
#[map]
pub(crate) static HOOKS: HashMap<u64, u32> = HashMap::with_max_entries(HOOKS_MAX as u32, 0);
/// Hooks by the hash of their function's address, each function at its one place; one value, which programs may name by its
/// address instead of looking it up.
#[map]
pub(crate) static HOOK_PLACES: Array<HookPlaces> = Array::with_max_entries(1, 0);
/// Invocations by key, of all CPUs: what is frequent is counted in [`COUNTED`], and a counter of each CPU's for every key took
/// the kernel 0.13 s to make.
#[map]
pub(crate) static COUNTS: HashMap<ObservationKey, u64> = HashMap::with_max_entries(KEYS_MAX as u32, 0);
/// Invocations by key, the quick way: at the place that a hash of the key says.
#[map]
pub(crate) static COUNTED: PerCpuArray<CountedPlace> = PerCpuArray::with_max_entries(COUNTED_PLACES as u32, 0);
/// Calls of a hook's function for an object whose table holds another.
#[map]
pub(crate) static DIRECT: PerCpuArray<u64> = PerCpuArray::with_max_entries(HOOKS_MAX as u32, 0);
/// Calls of a hook's function through the table.
#[map]
pub(crate) static THROUGH_TABLE: PerCpuArray<u64> = PerCpuArray::with_max_entries(HOOKS_MAX as u32, 0);
/// First-sight events.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);
/// What was lost, by cause.
#[map]
pub(crate) static LOSS: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOSS_CAUSES as u32, 0);
/// Health figures.
#[map]
pub(crate) static STATS: PerCpuArray<u64> = PerCpuArray::with_max_entries(STATS_LEN as u32, 0);
/// Tasks that were preempted on this CPU in the middle of a program, and one more than the depth of disabled migration that a
/// task has while it leaves a CPU of its own will (0 = not seen yet).
#[map]
pub(crate) static WAITING: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);
/// Tasks without a table that ran while a task waited, see [`WAITING`].
#[map]
pub(crate) static DOUBTED: HashMap<u64, u64> = HashMap::with_max_entries(TASK_SLOTS as u32, 0);
/// Pages and folios that were still locked at a callback's exit, by address.
#[map]
pub(crate) static PENDING: HashMap<u64, Pending> = HashMap::with_max_entries(PENDING_MAX as u32, 0);
/// Programs for interrupts that may be under way on one CPU: in a task or two of which one was preempted, in a softirq, and
/// in an interrupt.
pub(crate) const INTERRUPTS_NESTED: u32 = 4;
/// Scratch of the programs that interrupts run, which must leave the interrupted task's alone.
#[map]
pub(crate) static INTERRUPTS: PerCpuArray<TaskLocks> = PerCpuArray::with_max_entries(INTERRUPTS_NESTED, 0);
/// Sleeps so far, by hook: the first [`vfs_audit_common::SLEEP_EVENTS_MAX`] of them were shipped.
#[map]
pub(crate) static SLEEPS: HashMap<u32, u64> = HashMap::with_max_entries(HOOKS_MAX as u32, 0);
/// Bytes read by `peek`; the daemon maps them into its memory.
#[map]
pub(crate) static PEEKED: Array<[u8; PEEK_BYTES]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Set by the daemon before load; see [`KernelOffsets`].
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: KernelOffsets = KernelOffsets {
    task_start_time: 0,
    inode_mode: 0,
    inode_ino: 0,
    sb_id: 0,
    sb_type: 0,
    fs_name: 0,
    task_stack: 0,
    task_flags: 0,
    task_rcu_nesting: 0,
    task_trace_recursion: 0,
    task_migration_disabled: 0,
    task_nameidata: 0,
    nameidata_flags: 0,
    syscall_number_below_top: 0,
    folio_mapping: 0,
    page_compound_head: 0,
    page_locked_bit: 0,
    buffer_lock_bit: 0,
    thread_size: 0,
    cast_type: 0,
};
/// Set by the daemon before load where lockdep is to be asked; see [`LockdepOffsets`].
#[unsafe(no_mangle)]
pub(crate) static LOCKDEP: LockdepOffsets = LockdepOffsets {
    rcu_lock_map: 0,
    task_held_locks: 0,
    task_lockdep_depth: 0,
    task_lockdep_recursion: 0,
    held_bytes: 0,
    held_instance: 0,
    held_bits: 0,
    read_shift: 0,
    rwsem_map: 0,
    mutex_map: 0,
    spin_map: 0,
};
/// The layout this object was built with; the daemon compares.
#[unsafe(link_section = ".rodata.wire")]
#[unsafe(no_mangle)]
#[used]
pub(crate) static WIRE: u32 = WIRE_VERSION;

/// Contexts of the self-test's calls.
#[map]
pub(crate) static CONTEXT: Array<ContextBase> = Array::with_max_entries(1, 0);

/// What the daemon tells the programs.
#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// Reads a constant that is known only at load: volatile, or the compiler would take the zeros for granted.
#[inline(always)]
pub(crate) fn constant(place: *const u32) -> u32 {
    // SAFETY: every caller passes a field of a static that is always initialised.
    unsafe { core::ptr::read_volatile(place) }
}

/// One offset by name; one at a time, since a volatile read of all copies all.
macro_rules! offset {
    ($field:ident) => {
        $crate::maps::constant(&raw const $crate::maps::OFFSETS.$field)
    };
}
pub(crate) use offset;

/// The daemon's word, while it wants observations.
#[inline(always)]
pub(crate) fn enabled() -> Option<&'static Control> {
    CONTROL.get(0).filter(|control| control.enabled != 0)
}

/// Time since when every lock primitive is probed; 0 = not yet.
#[inline(always)]
pub(crate) fn tracked_since() -> u64 {
    CONTROL.get(0).map_or(0, |control| control.since)
}

/// Whether a lock that is taken shared at `site` is for another task to release: it is none of the task's.
#[inline(always)]
pub(crate) fn is_handed_over(site: u64) -> bool {
    CONTROL.get(0).is_some_and(|control| site > control.hands_over && site <= control.hands_over_end)
}

/// Counts a loss.
#[inline(always)]
pub(crate) fn lose(cause: Loss) {
    if let Some(counter) = LOSS.get_ptr_mut(cause as u32) {
        // SAFETY: a per-CPU array value, ours alone on this CPU.
        unsafe { *counter += 1 }
    }
}

/// Counts a health figure.
#[inline(always)]
pub(crate) fn count(stat: Stat) {
    if let Some(counter) = STATS.get_ptr_mut(stat as u32) {
        // SAFETY: a per-CPU array value, ours alone on this CPU.
        unsafe { *counter += 1 }
    }
}
