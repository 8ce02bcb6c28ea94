//! Programs on callbacks: read the facts the plan asks for, fold them into a key, count the key, ship its first sight.

use core::ptr::write_volatile;

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_NOEXIST, pt_regs},
    helpers::generated::{bpf_get_attach_cookie, bpf_get_func_arg, bpf_get_func_ip, bpf_get_func_ret},
    macros::{fentry, fexit, kprobe, kretprobe, map},
    maps::{PerCpuArray, ProgramArray},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use vfs_audit_common::{
    COUNTED_KEY_READY, COUNTED_WAYS, Control, CountedKey, FLAGS_MAX, HISTORY_COMPLETE, HOOK_PLACES_LEN, HookPlan, Loss,
    ObservationKey, ROLES_MAX, SLOTS_MAX, Stat, TaskLocks, WATCH_NONE, hook_place, key_place,
};

use crate::{
    context::{self, Context},
    event,
    facts::{self, Args},
    lockdep,
    maps::{COUNTED, COUNTS, DIRECT, HOOK_PLACES, HOOKS, PLANS, THROUGH_TABLE, count, enabled, lose},
    memory::{add_one, exchange, fast_u64},
    task, watch,
};

/// One invocation as a probe delivers it.
struct Invocation {
    hook: u32,
    args: Args,
    caller: u64,
    stack_pointer: u64,
    /// The processor's flags; 0 = not saved.
    processor_flags: u64,
}

/// Counts `key` in the table of all keys; true when it is new.
#[inline(always)]
pub(crate) fn count_in_table(key: &ObservationKey) -> bool {
    if let Some(counter) = COUNTS.get_ptr_mut(key) {
        // SAFETY: a live map value.
        unsafe { add_one(counter) };
        return false;
    }
    if COUNTS.insert(key, 1, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU may have been first; else there is no room.
    match COUNTS.get_ptr_mut(key) {
        // SAFETY: a live map value.
        Some(counter) => unsafe { add_one(counter) },
        None => lose(Loss::KeyTableFull),
    }
    false
}

/// Whether two keys are equal, word by word: field by field, the bytes are compared one at a time.
///
/// # Safety
/// `a` is a live key.
#[inline(always)]
unsafe fn is_equal(a: *const ObservationKey, b: &ObservationKey) -> bool {
    let (a, b) = (a.cast::<u64>(), (&raw const *b).cast::<u64>());
    for word in 0..size_of::<ObservationKey>() / 8 {
        // SAFETY: by the caller; a key is whole words without holes, aligned as they are.
        if unsafe { a.add(word).read() != b.add(word).read_volatile() } {
            return false;
        }
    }
    true
}

/// Counts `key`; true when it is new. A key that finds its place taken is counted in the table of all keys, always.
#[inline(always)]
pub(crate) fn count_key(key: &ObservationKey) -> bool {
    let Some(keys) = COUNTED.get_ptr_mut(key_place(key)) else { return count_in_table(key) };
    for way in 0..COUNTED_WAYS {
        // SAFETY: a per-CPU map value; the way is below the array's size.
        if let Some(is_new) = unsafe { count_at(&raw mut (*keys)[way], key) } {
            return is_new;
        }
    }
    count_in_table(key)
}

/// Counts `key` where it has room; `None` when the room is another's.
///
/// # Safety
/// `entry` is within a live map value of this CPU's; a program that interrupts another there sees `state` and keeps away.
#[inline(always)]
unsafe fn count_at(entry: *mut CountedKey, key: &ObservationKey) -> Option<bool> {
    // SAFETY: by the caller.
    unsafe {
        if (*entry).state == COUNTED_KEY_READY {
            if is_equal(&raw const (*entry).key, key) {
                (*entry).count += 1;
                return Some(false);
            }
        } else if (*entry).state == 0 {
            let before = exchange(&raw mut (*entry).state, 1);
            if before != 0 {
                // An interrupt's program was first, and has ended.
                write_volatile(&raw mut (*entry).state, before);
                return Some(count_in_table(key));
            }
            (*entry).key.hook = key.hook;
            (*entry).key.flags = key.flags;
            (*entry).key.history_complete = key.history_complete;
            (*entry).key.point = key.point;
            (*entry).key.caller = key.caller;
            (*entry).key.table = key.table;
            (*entry).key.sb = key.sb;
            (*entry).key.slots = key.slots;
            write_volatile(&raw mut (*entry).state, COUNTED_KEY_READY);
            return Some(count_in_table(key));
        }
    }
    None
}

/// Every fact of the invocation, folded into its key.
///
/// # Safety
/// `locks` is a live map value of the current task, whose address is `task`; its roles are read.
#[inline(always)]
unsafe fn read(
    plan: &HookPlan,
    seen: &Invocation,
    locks: *mut TaskLocks,
    context: &Context,
    table: u64,
) -> ObservationKey {
    // SAFETY: by the caller.
    unsafe {
        // Verifier: none is a number as any other, or what follows would be followed for both.
        let sb = facts::blur(locks, facts::object(plan, &plan.sb, &seen.args, locks));
        ObservationKey {
            hook: seen.hook as u16,
            flags: facts::flags::<FLAGS_MAX>(plan, &seen.args, locks, context, sb),
            history_complete: (*locks).history_complete as u8,
            point: 0,
            caller: seen.caller,
            table,
            sb,
            slots: facts::slots::<SLOTS_MAX>(plan, locks, context).to_le_bytes(),
        }
    }
}

/// Counts a call of a hook's function.
#[inline(always)]
fn bump(counters: &PerCpuArray<u64>, hook: u32) {
    if let Some(counter) = counters.get_ptr_mut(hook) {
        // SAFETY: a per-CPU array value, ours alone on this CPU.
        unsafe { *counter += 1 }
    }
}

#[inline(always)]
fn observe<C: EbpfContext>(ctx: &C, seen: &Invocation, (control, task, locks): Wanted) {
    // Verifier: ahead of all that has more than one way.
    let lockdep = lockdep::look(task);
    let Some(plan) = PLANS.get(seen.hook) else { return lose(Loss::PlanMissing) };
    // SAFETY: a live map value of the current task.
    let table = unsafe {
        facts::roles::<ROLES_MAX>(plan, &seen.args, locks, false);
        // Verifier: as in `read`.
        facts::blur(locks, facts::object(plan, &plan.table, &seen.args, locks))
    };
    if !facts::is_in_table(plan, table) {
        return bump(&DIRECT, seen.hook);
    }
    if plan.is_shared != 0 {
        bump(&THROUGH_TABLE, seen.hook);
    }
    let (processor_flags, stack_pointer) = (seen.processor_flags, seen.stack_pointer);
    let context = Context { control, task, processor_flags, stack_pointer, lockdep };
    // SAFETY: as above.
    let (key, is_borrowed) = unsafe {
        let mut key = read(plan, seen, locks, &context, facts::table_of_key(plan, table));
        // What an interrupt finds in the task's table is not its own.
        let is_borrowed = context::is_on_another_stack(seen.stack_pointer, locks);
        if is_borrowed {
            key.history_complete = 0;
            lockdep::forget_answers(&mut key.slots);
        }
        (key, is_borrowed)
    };
    if u32::from(key.history_complete) != HISTORY_COMPLETE && !is_borrowed {
        if key.history_complete == 0 {
            count(Stat::IncompleteHistory);
        }
        if task::is_user(task) {
            count(Stat::IncompleteUser);
        }
    }
    if count_key(&key) {
        event::first_sight(ctx, &key, locks);
    }
    if is_borrowed {
        return;
    }
    if plan.op_bits != 0 {
        watch::note_op(locks, plan.op_bits);
    }
    if plan.watched == WATCH_NONE {
        return;
    }
    if key.flags & plan.watch_mask == plan.watch_mask {
        watch::enter(locks, plan, &key, &seen.args, seen.stack_pointer);
    } else {
        watch::supersede(locks, seen.hook, seen.stack_pointer);
    }
}

/// The hook number of `function`, where the daemon found room for it at its one place.
#[inline(always)]
fn hook_at_place(function: u64) -> Option<u32> {
    // Verifier: masked, so that the access is provably inside.
    let place = &HOOK_PLACES.get(0)?[hook_place(function) as usize & (HOOK_PLACES_LEN - 1)];
    (place.function == function).then_some(place.hook)
}

/// The hook number of a kprobe or kretprobe: by the function's address where the daemon found room for it, else by the cookie,
/// which the kernel searches for.
#[inline(always)]
fn hook_of<C: EbpfContext>(ctx: &C) -> u32 {
    // SAFETY: the helpers take the context only.
    unsafe {
        match hook_at_place(bpf_get_func_ip(ctx.as_ptr())) {
            Some(hook) => hook,
            None => bpf_get_attach_cookie(ctx.as_ptr()) as u32,
        }
    }
}

#[inline(always)]
fn from_registers(ctx: &ProbeContext) -> Invocation {
    let regs: *const pt_regs = ctx.regs;
    // SAFETY: the context of a kprobe is its registers.
    let (args, stack_pointer, processor_flags) = unsafe {
        let r = &*regs;
        // The padding repeats an argument: zeros would make the compiler clear the whole array byte by byte.
        ([r.rdi, r.rsi, r.rdx, r.rcx, r.r8, r.r9, r.r9, r.r9], r.rsp, r.eflags)
    };
    Invocation { hook: hook_of(ctx), args, caller: fast_u64(stack_pointer), stack_pointer, processor_flags }
}

/// [`callback_entry`], for what the daemon has compiled no plan for, or what is unusual: see the daemon's `fast_path`.
#[map]
pub(crate) static INTERPRETER: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The same where one program is called at entry and exit (kprobe.session): the kernel refuses jumps from one way to another.
#[map]
pub(crate) static INTERPRETER_OF_BOTH: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// [`callback_exit`], likewise.
#[map]
pub(crate) static EXIT_OF_BOTH: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The daemon's word, the current task and its table.
type Wanted = (&'static Control, u64, *mut TaskLocks);

/// The current task, when its process's invocations are wanted.
#[inline(always)]
fn wanted(control: &'static Control) -> Option<Wanted> {
    let task = task::current();
    let locks = task::locks_of(task)?;
    // SAFETY: a live map value of the current task.
    let tgid = u64::from(unsafe { (*locks).tgid });
    (tgid != control.own_tgid && (control.tgid == 0 || tgid == control.tgid)).then_some((control, task, locks))
}

/// A callback's entry, by kprobe.multi or single kprobes; the cookie is the hook number.
#[kprobe]
pub(crate) fn callback_entry(ctx: ProbeContext) -> u32 {
    if let Some(task) = enabled().and_then(wanted) {
        observe(&ctx, &from_registers(&ctx), task);
    }
    0
}

/// A watched callback's exit, by kretprobes; the cookie is the hook number.
#[kretprobe]
pub(crate) fn callback_exit(ctx: RetProbeContext) -> u32 {
    let hook = hook_of(&ctx);
    let regs: *const pt_regs = ctx.regs;
    // SAFETY: the context of a kretprobe is the registers at the return.
    watch::leave(&ctx, hook, unsafe { (*regs).rax });
    0
}

#[inline(always)]
pub(crate) fn hook_by_address(ctx: *mut core::ffi::c_void) -> Option<u32> {
    // SAFETY: the helper takes the context only; the value is copied out.
    unsafe {
        let function = bpf_get_func_ip(ctx);
        match hook_at_place(function) {
            None => HOOKS.get(&function).copied(),
            found => found,
        }
    }
}

/// A callback's entry, by fentry: where there are no kprobes.
#[fentry(function = "vfs_create")]
pub(crate) fn callback_fentry(ctx: FEntryContext) -> i32 {
    let Some(task) = enabled().and_then(wanted) else { return 0 };
    let Some(hook) = hook_by_address(ctx.as_ptr()) else {
        lose(Loss::PlanMissing);
        return 0;
    };
    let arg = |index: u32| {
        let mut value = 0u64;
        // SAFETY: the destination is 8 bytes of our stack; an argument that the function lacks is an error, and stays 0.
        unsafe { bpf_get_func_arg(ctx.as_ptr(), index, (&raw mut value).cast()) };
        value
    };
    let last = arg(5);
    let args: Args = [arg(0), arg(1), arg(2), arg(3), arg(4), last, last, last];
    // Verifier: no arithmetic on what it knows for a pointer.
    // SAFETY: a live map value of the current task.
    let stack_pointer = unsafe { facts::blur(task.2, crate::locks::return_address_at(&ctx)) };
    let seen = Invocation { hook, args, caller: fast_u64(stack_pointer), stack_pointer, processor_flags: 0 };
    observe(&ctx, &seen, task);
    0
}

/// A watched callback's exit, by fexit.
#[fexit(function = "vfs_create")]
pub(crate) fn callback_fexit(ctx: FExitContext) -> i32 {
    if let Some(hook) = hook_by_address(ctx.as_ptr()) {
        let mut result = 0u64;
        // SAFETY: the destination is 8 bytes of our stack.
        unsafe { bpf_get_func_ret(ctx.as_ptr(), &raw mut result) };
        watch::leave(&ctx, hook, result);
    }
    0
}
