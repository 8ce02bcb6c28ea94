//! First-sight events: everything known of one invocation, into the ring buffer.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_stack, bpf_ktime_get_ns, bpf_probe_read_kernel,
    },
};
use vfs_audit_common::{
    EVENT_OBSERVATION, EVENT_SLEEP, Event, Loss, NAME_BYTES, ObservationKey, ROLES_MAX, SB_ID_BYTES, STACK_DEPTH_MAX,
    TaskLocks, WIRE_VERSION,
};

use crate::{
    held,
    maps::{EVENTS, lose, offset},
    memory::read_u64,
};

/// Ships the first invocation of `key`.
#[inline(always)]
pub(crate) fn first_sight<C: EbpfContext>(ctx: &C, key: &ObservationKey, locks: *mut TaskLocks) {
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else { return lose(Loss::EventRingFull) };
    let event = entry.as_mut_ptr();
    // SAFETY: `event` is the reserved record; every field is written before it is submitted.
    unsafe {
        fill(ctx, event, EVENT_OBSERVATION, key, locks);
        copy(&raw mut (*event).words, &raw const (*locks).words);
        for role in 0..ROLES_MAX {
            let object = (*locks).roles[role];
            (*event).roles[role] = object;
            (*event).inos[role] = read_u64(object + u64::from(offset!(inode_ino))).unwrap_or(0);
        }
    }
    entry.submit(0);
}

/// Ships a sleep inside a watched callback, with the stack of the sleep.
#[inline(always)]
pub(crate) fn sleep<C: EbpfContext>(ctx: &C, key: &ObservationKey, locks: *mut TaskLocks) {
    let Some(mut entry) = EVENTS.reserve::<Event>(0) else { return lose(Loss::EventRingFull) };
    let event = entry.as_mut_ptr();
    // SAFETY: `event` is the reserved record; every field is written before it is submitted.
    unsafe {
        fill(ctx, event, EVENT_SLEEP, key, locks);
        copy(&raw mut (*event).words, &raw const (*locks).words);
        copy(&raw mut (*event).roles, &raw const (*locks).roles);
        copy(&raw mut (*event).inos, &raw const (*locks).roles);
    }
    entry.submit(0);
}

/// Copies a map value's field into the record: one helper call where the compiler would copy byte by byte.
#[inline(always)]
unsafe fn copy<T>(to: *mut T, from: *const T) {
    // SAFETY: by the caller, `to` is part of a reserved record and `from` part of a live map value, each a whole `T`.
    unsafe { bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, from.cast()) };
}

/// Everything but roles, inode numbers and words.
#[inline(always)]
unsafe fn fill<C: EbpfContext>(ctx: &C, event: *mut Event, kind: u32, key: &ObservationKey, locks: *mut TaskLocks) {
    let task = unsafe { (*locks).task };
    // SAFETY: by the caller, `event` is a reserved record and `locks` a live map value.
    unsafe {
        (*event).kind = kind;
        (*event).version = WIRE_VERSION;
        (*event).time_ns = bpf_ktime_get_ns();
        (*event).key = *key;
        let ids = bpf_get_current_pid_tgid();
        (*event).tid = ids as u32;
        (*event).tgid = (ids >> 32) as u32;
        bpf_get_current_comm((&raw mut (*event).comm).cast(), NAME_BYTES as u32);
        names(event, key.sb);
        (*event).held_len = (*locks).held_len;
        copy(&raw mut (*event).held, &raw const (*locks).held);
        held::copy_exclusive(locks, task, event);
        let bytes = (8 * STACK_DEPTH_MAX) as u32;
        (*event).stack_bytes = bpf_get_stack(ctx.as_ptr(), (&raw mut (*event).stack).cast(), bytes, 0) as i32;
    }
}

/// The names of the superblock and of its file system type.
#[inline(always)]
unsafe fn names(event: *mut Event, sb: u64) {
    // SAFETY: by the caller; the helper writes within the named field and zeroes it when the source is bad.
    unsafe {
        let id = sb + u64::from(offset!(sb_id));
        bpf_probe_read_kernel((&raw mut (*event).sb_id).cast(), SB_ID_BYTES as u32, id as *const _);
        let kind = read_u64(sb + u64::from(offset!(sb_type))).unwrap_or(0);
        let name = read_u64(kind + u64::from(offset!(fs_name))).unwrap_or(0);
        bpf_probe_read_kernel((&raw mut (*event).fs).cast(), NAME_BYTES as u32, name as *const _);
    }
}
