//! The exit of a watched callback: its result, what happened since the entry, its locks and objects once more.

use aya_ebpf::{EbpfContext, bindings::BPF_ANY, helpers::generated::bpf_ktime_get_ns};
use vfs_audit_common::{
    ARGUMENT_RESULT, Control, ERRORS_FROM, EXIT_SLOTS_MAX, FLAG_CALLED, FLAG_HAPPENED, FLAG_ORDER, FLAG_PENDING,
    FLAG_RESULT_EQUALS, FLAG_RESULT_ERROR_POINTER, FLAG_RESULT_MASK, FLAG_RESULT_NEGATIVE, FLAG_SLEPT, FLAGS_MAX,
    FlagReader, HookPlan, LOCK_MUTEX, LOCK_RWSEM, Loss, ObservationKey, Pending, ROLES_MAX, SLOT_WORD_FREE,
    SLOT_WORD_SELF, SLOT_WORD_TAKEN, SLOT_WORD_UNREAD, Stat, TaskLocks, WATCH_OBJECTS_MAX, WatchFrame,
};

use crate::{
    callback::count_key,
    context::Context,
    event,
    facts::{self, Args, NO, Surroundings, UNREAD, YES},
    lockdep,
    maps::{PENDING, PLANS, count, lose, offset},
    memory::fast_u64,
    words,
};

/// Bits of `WatchFrame::happened` above which orders have two bits each: kept, broken.
pub(crate) const ORDERS_SHIFT: u32 = 16;

/// A callback's exit.
struct Exit<'a> {
    args: Args,
    frame: *const WatchFrame,
    context: &'a Context,
}

#[inline(always)]
fn yes_if(is: bool) -> u64 {
    if is { YES } else { NO }
}

/// Whether the result, a signed number of `width` bytes, is negative.
#[inline(always)]
fn is_negative(result: u64, width: u8) -> bool {
    let sign = if width == 8 { 63 } else { 31 };
    result >> sign & 1 != 0
}

/// Whether what is waited for at the reader's watch object has happened.
///
/// # Safety
/// `frame` is within the live map value `locks`.
#[inline(always)]
unsafe fn has_happened(reader: &FlagReader, exit: &Exit<'_>, locks: *mut TaskLocks) -> u64 {
    let index = usize::from(reader.a) & (WATCH_OBJECTS_MAX - 1);
    // SAFETY: by the caller; the index is masked below the array's size.
    unsafe {
        let object = (*exit.frame).objects[index];
        if object == 0 {
            return UNREAD;
        }
        if reader.b == 0 {
            return yes_if((*exit.frame).happened >> index & 1 != 0);
        }
        let word = words::read(reader.b, object, exit.context.task, &raw mut (*locks).words[0]);
        if reader.b == LOCK_RWSEM || reader.b == LOCK_MUTEX {
            // Held exclusive at the entry: the word names us until we release it.
            return if word == SLOT_WORD_UNREAD { UNREAD } else { yes_if(word != SLOT_WORD_SELF) };
        }
        if (*exit.frame).happened >> index & 1 != 0 || word == SLOT_WORD_FREE {
            return YES;
        }
        if word == SLOT_WORD_TAKEN { NO } else { UNREAD }
    }
}

/// Whether the page or folio of the reader's role is unlocked; one that is not is noted in the task's scratch.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
unsafe fn is_unlocked(reader: &FlagReader, exit: &Exit<'_>, locks: *mut TaskLocks) -> u64 {
    // SAFETY: by the caller.
    unsafe {
        let object = facts::role(locks, reader.a);
        if object == 0 {
            return UNREAD;
        }
        let folio = words::head_of(object);
        let word = words::read(reader.b, object, exit.context.task, &raw mut (*locks).words[0]);
        if word == SLOT_WORD_TAKEN {
            (*locks).pending = folio;
            // Both: not known yet.
            return YES | UNREAD;
        }
        if word == SLOT_WORD_FREE { YES } else { UNREAD }
    }
}

/// A flag of the exit.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read; the exit's frame is within it.
#[inline(always)]
unsafe fn flag(reader: &FlagReader, exit: &Exit<'_>, locks: *mut TaskLocks) -> u64 {
    let result = exit.args[usize::from(ARGUMENT_RESULT)];
    // SAFETY: by the caller.
    unsafe {
        match reader.kind {
            FLAG_SLEPT => yes_if((*exit.frame).sleeps != 0),
            FLAG_RESULT_NEGATIVE => yes_if(is_negative(result, reader.width)),
            FLAG_RESULT_ERROR_POINTER => yes_if(result >= ERRORS_FROM),
            FLAG_RESULT_EQUALS => yes_if(facts::narrow(result, reader.width) == reader.value),
            FLAG_RESULT_MASK => yes_if(facts::narrow(result, reader.width) & reader.value != 0),
            FLAG_CALLED => yes_if((*exit.frame).called & reader.value != 0),
            FLAG_ORDER => yes_if((*exit.frame).happened >> (ORDERS_SHIFT + 2 * u32::from(reader.a & 1)) & 3 == 1),
            FLAG_HAPPENED => has_happened(reader, exit, locks),
            FLAG_PENDING => is_unlocked(reader, exit, locks),
            _ => {
                let around = Surroundings { context: exit.context, bits: 0 };
                facts::flag(reader, &exit.args, locks, &around)
            }
        }
    }
}

/// The flags of entry and exit together.
///
/// # Safety
/// As for [`flag`].
#[inline(always)]
unsafe fn flags(plan: &HookPlan, exit: &Exit<'_>, locks: *mut TaskLocks) -> u32 {
    let mut flags = 0u64;
    for index in 0..FLAGS_MAX {
        if index >= usize::from(plan.all_flags_len) {
            break;
        }
        if index < usize::from(plan.flags_len) {
            continue;
        }
        // SAFETY: by the caller.
        let value = unsafe { facts::blur(locks, flag(&plan.flags[index], exit, locks)) };
        flags |= (value & (YES | UNREAD)) << index;
    }
    // SAFETY: by the caller.
    flags as u32 | unsafe { (*exit.frame).flags }
}

/// The bytes of every lock slot of the exit.
///
/// # Safety
/// `locks` is a live map value of the current task, its roles read.
#[inline(always)]
unsafe fn slots(plan: &HookPlan, locks: *mut TaskLocks, context: &Context) -> u64 {
    let mut states = 0u64;
    for index in 0..EXIT_SLOTS_MAX {
        if index >= usize::from(plan.exit_slots_len) {
            break;
        }
        // SAFETY: by the caller; the index is below the array's size.
        let state = unsafe { facts::blur(locks, facts::slot(&plan.exit_slots[index], locks, context, index).into()) };
        states |= (state & 0xff) << (8 * index);
    }
    states
}

/// Waits for the unlocking of what [`is_unlocked`] has noted.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
unsafe fn await_unlocking(key: &ObservationKey, locks: *mut TaskLocks) {
    // SAFETY: by the caller; the helper takes nothing.
    unsafe {
        let folio = (*locks).pending;
        if folio == 0 {
            return;
        }
        let mapping = fast_u64(folio + u64::from(offset!(folio_mapping)));
        let pending = Pending { key: *key, time_ns: bpf_ktime_get_ns(), mapping };
        if PENDING.insert(folio, pending, BPF_ANY.into()).is_err() {
            return lose(Loss::PendingFull);
        }
        count(Stat::UnlockingAwaited);
    }
}

/// Counts the exit of the invocation of `frame`.
///
/// # Safety
/// `locks` is a live map value of the current task, and `frame` is within it.
#[inline(always)]
pub(crate) unsafe fn observe<C: EbpfContext>(
    ctx: &C,
    frame: *const WatchFrame,
    result: u64,
    locks: *mut TaskLocks,
    (control, task): (&'static Control, u64),
) {
    // SAFETY: by the caller.
    unsafe {
        let lockdep = lockdep::look(task);
        let hook = (*frame).hook;
        let Some(plan) = PLANS.get(hook) else { return lose(Loss::PlanMissing) };
        let a = &(*frame).args;
        let args: Args = [a[0], a[1], a[2], a[3], a[4], a[5], result, 0];
        let context = Context { control, task, processor_flags: 0, stack_pointer: (*frame).stack_pointer, lockdep };
        facts::roles::<ROLES_MAX>(plan, &args, locks, true);
        (*locks).pending = 0;
        let exit = Exit { args, frame, context: &context };
        let key = ObservationKey {
            hook: hook as u16,
            history_complete: (*locks).history_complete as u8,
            point: 1,
            flags: flags(plan, &exit, locks),
            caller: (*frame).caller,
            table: (*frame).table,
            sb: (*frame).sb,
            slots: slots(plan, locks, &context).to_le_bytes(),
        };
        if count_key(&key) {
            event::first_sight(ctx, &key, locks);
        }
        await_unlocking(&key, locks);
    }
}
