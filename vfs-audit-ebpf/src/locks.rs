//! Programs on the lock primitives, one per effect; the daemon attaches each to every primitive that has that effect.
//!
//! Unconditional primitives are noted at entry (the task can do nothing else before it owns the lock), the others at
//! exit, by their result.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_get_func_ip,
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use vfs_audit_common::{ModeBits, PROLOGUE_BYTES, Stat, TaskLocks};

use crate::{
    held,
    maps::{self, count, offset},
    memory::fast_u64,
    task, watch,
};

/// Words above the first argument's copy at which the return address into the traced function mostly stands …
const PLACE: u64 = 1;
/// … and else can.
const OTHER_PLACES: core::ops::RangeInclusive<u64> = 2..=3;

/// Who called the traced primitive.
///
/// A BPF trampoline (x86-64) keeps, above its copy of the arguments: the result (when something needs it), the saved frame
/// pointer, the return address into the traced function, the return address of the traced function. The third is known
/// to lie in the function's first bytes, which is how the fourth is found whatever else is attached.
#[inline(always)]
pub(crate) fn caller<C: EbpfContext>(ctx: &C) -> u64 {
    match return_address_at(ctx) {
        0 => 0,
        place => fast_u64(place),
    }
}

/// Where the return address of the traced function lies: see [`caller`]; 0 = not found.
#[inline(always)]
pub(crate) fn return_address_at<C: EbpfContext>(ctx: &C) -> u64 {
    // SAFETY: the helper takes the context only.
    let ip = unsafe { bpf_get_func_ip(ctx.as_ptr()) };
    // The context is the copy of the arguments; its first word is an argument.
    let at = |place: u64| ctx.as_ptr() as u64 + 8 + 8 * place;
    let is_it = |place: u64| fast_u64(at(place)).wrapping_sub(ip) <= PROLOGUE_BYTES;
    if is_it(PLACE) {
        return at(PLACE) + 8;
    }
    for place in OTHER_PLACES {
        if is_it(place) {
            return at(place) + 8;
        }
    }
    count(Stat::SiteUnknown);
    0
}

/// `pointer` as a number, also for programs that do not know yet whether they run in an interrupt: what lies in the task's place may be
/// in use by the program that was interrupted, and is put back.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
pub(crate) unsafe fn number(locks: *mut TaskLocks, pointer: u64) -> u64 {
    // Verifier: no arithmetic on pointers whose type it knows; through a map value they become numbers.
    // SAFETY: by the caller.
    unsafe {
        let place = &raw mut (*locks).scratch;
        let interrupted = core::ptr::read_volatile(place);
        core::ptr::write_volatile(place, pointer);
        let number = core::ptr::read_volatile(place);
        core::ptr::write_volatile(place, interrupted);
        number
    }
}

/// Whether the program runs in an interrupt: on another stack than the task's own.
#[inline(always)]
fn in_interrupt<C: EbpfContext>(ctx: &C, locks: *mut TaskLocks) -> bool {
    // SAFETY: a live map value of the current task.
    let above = unsafe { number(locks, ctx.as_ptr() as u64).wrapping_sub((*locks).stack_base) };
    above >= u64::from(offset!(thread_size))
}

/// The current task's table, unless an interrupt borrows the task.
#[inline(always)]
fn table<C: EbpfContext>(ctx: &C, locks: Option<*mut TaskLocks>) -> Option<*mut TaskLocks> {
    let locks = locks?;
    if in_interrupt(ctx, locks) {
        count(Stat::InInterrupt);
        return None;
    }
    Some(locks)
}

/// Tells the callbacks that the task is in, when there are such that wait for an acquisition.
///
/// # Safety
/// `locks` is a live map value of the current task.
#[inline(always)]
unsafe fn note(locks: *mut TaskLocks, instance: u64) {
    // SAFETY: by the caller.
    if unsafe { (*locks).watched_len } != 0 {
        watch::note_acquired(locks, instance);
    }
}

#[inline(always)]
fn acquired<C: EbpfContext>(ctx: &C, instance: u64, mode: ModeBits) -> i32 {
    let task = task::current();
    if let Some(locks) = table(ctx, task::locks_of(task)) {
        // SAFETY: a live map value of the current task.
        unsafe {
            match mode {
                ModeBits::Shared => {
                    let (instance, site) = (number(locks, instance), caller(ctx));
                    if !maps::is_handed_over(site) {
                        held::acquire_shared(locks, instance, site);
                    }
                    note(locks, instance);
                }
                ModeBits::Exclusive | ModeBits::Mutex => {
                    let instance = number(locks, instance);
                    held::acquire_exclusive(locks, task, instance, mode, caller(ctx));
                    note(locks, instance);
                }
            }
        }
    }
    0
}

/// `down_read`: shared from here on.
#[fentry(function = "down_read")]
pub(crate) fn acquire_shared(ctx: FEntryContext) -> i32 {
    acquired(&ctx, ctx.arg(0), ModeBits::Shared)
}

/// `down_write`: exclusive from here on.
#[fentry(function = "down_write")]
pub(crate) fn acquire_exclusive(ctx: FEntryContext) -> i32 {
    acquired(&ctx, ctx.arg(0), ModeBits::Exclusive)
}

/// `mutex_lock`: exclusive from here on.
#[fentry(function = "mutex_lock")]
pub(crate) fn acquire_mutex(ctx: FEntryContext) -> i32 {
    acquired(&ctx, ctx.arg(0), ModeBits::Mutex)
}

/// `up_read`.
#[fentry(function = "up_read")]
pub(crate) fn release(ctx: FEntryContext) -> i32 {
    if let Some(locks) = table(&ctx, task::known(task::current())) {
        // SAFETY: a live map value of the current task.
        unsafe { held::release(locks, ctx.arg(0)) }
    }
    0
}

/// `downgrade_write`.
#[fentry(function = "downgrade_write")]
pub(crate) fn downgrade(ctx: FEntryContext) -> i32 {
    if let Some(locks) = task::known(task::current()) {
        // SAFETY: a live map value of the current task.
        unsafe { held::acquire_shared(locks, ctx.arg(0), caller(&ctx)) }
    }
    0
}

/// A program at exit: acquired when the result (after `$arity` arguments) is as `$success` says.
macro_rules! acquired_by_result {
    ($(#[$doc:meta])* $name:ident, $function:literal, $arity:literal, $mode:expr, $success:expr) => {
        $(#[$doc])*
        #[fexit(function = $function)]
        pub(crate) fn $name(ctx: FExitContext) -> i32 {
            let result: i32 = ctx.arg($arity);
            let success: fn(i32) -> bool = $success;
            if success(result) { acquired(&ctx, ctx.arg(0), $mode) } else { 0 }
        }
    };
}

acquired_by_result!(
    /// `down_read_killable`: 0 = acquired.
    acquire_shared_if_zero, "down_read_killable", 1, ModeBits::Shared, |result| result == 0
);
acquired_by_result!(
    /// `down_read_trylock`: not 0 = acquired.
    acquire_shared_if_nonzero, "down_read_trylock", 1, ModeBits::Shared, |result| result != 0
);
acquired_by_result!(
    /// `down_write_killable`: 0 = acquired.
    acquire_exclusive_if_zero, "down_write_killable", 1, ModeBits::Exclusive, |result| result == 0
);
acquired_by_result!(
    /// `down_write_trylock`: not 0 = acquired.
    acquire_exclusive_if_nonzero, "down_write_trylock", 1, ModeBits::Exclusive, |result| result != 0
);
acquired_by_result!(
    /// `down_read_killable_nested(sem, subclass)` of debug kernels.
    acquire_shared_if_zero_2, "down_read_killable_nested", 2, ModeBits::Shared, |result| result == 0
);
acquired_by_result!(
    /// `down_write_killable_nested(sem, subclass)` of debug kernels.
    acquire_exclusive_if_zero_2, "down_write_killable_nested", 2, ModeBits::Exclusive, |result| result == 0
);
acquired_by_result!(
    /// `mutex_lock_killable`, `mutex_lock_interruptible`: 0 = acquired.
    acquire_mutex_if_zero, "mutex_lock_killable", 1, ModeBits::Mutex, |result| result == 0
);
acquired_by_result!(
    /// `mutex_trylock`: not 0 = acquired.
    acquire_mutex_if_nonzero, "mutex_trylock", 1, ModeBits::Mutex, |result| result != 0
);
acquired_by_result!(
    /// `mutex_lock_killable_nested(lock, subclass)` of debug kernels.
    acquire_mutex_if_zero_2, "mutex_lock_killable_nested", 2, ModeBits::Mutex, |result| result == 0
);
acquired_by_result!(
    /// `_mutex_trylock_nest_lock(lock, nest)` of debug kernels.
    acquire_mutex_if_nonzero_2, "_mutex_trylock_nest_lock", 2, ModeBits::Mutex, |result| result != 0
);
acquired_by_result!(
    /// `_mutex_lock_killable(lock, subclass, nest)` of debug kernels.
    acquire_mutex_if_zero_3, "_mutex_lock_killable", 3, ModeBits::Mutex, |result| result == 0
);
