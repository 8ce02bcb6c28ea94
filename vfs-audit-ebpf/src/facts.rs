//! Fact readers: runs a hook's plan over the arguments of one invocation.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use vfs_audit_common::{
    FLAG_AND_MASK, FLAG_IS_DIRECTORY, FLAG_PRESENT, FLAG_ROLES_DIFFER, FLAGS_MAX, FlagReader, HookPlan, LOCK_RWSEM, Loss,
    ModeBits, ROLE_STEPS_MAX, ROLES_MAX, RoleReader, SLOT_ABSENT, SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_NONE,
    SLOT_TRACKED_SHARED, SLOT_WORD_FREE, SLOT_WORD_OTHER, SLOT_WORD_READERS, SLOT_WORD_SELF, SLOT_WORD_UNREAD, SLOTS_MAX,
    SlotReader, Stat, TaskLocks,
};

use crate::{
    held,
    maps::{count, lose, offsets},
    task::read_u64,
};

/// Register arguments of an x86-64 call, padded to a power of two for masked indexing.
pub(crate) type Args = [u64; 8];
/// Object addresses by role, padded likewise.
pub(crate) type Roles = [u64; 8];
/// First 16 bytes of each slot's lock.
pub(crate) type Words = [[u64; 2]; SLOTS_MAX];

const S_IFMT: u64 = 0o170_000;
const S_IFDIR: u64 = 0o040_000;
/// The writer bit of `rw_semaphore.count`.
const RWSEM_WRITER: u64 = 1;
/// Readers are counted from this bit of `rw_semaphore.count`.
const RWSEM_READER_SHIFT: u32 = 8;
/// Low bits of an owner word that are flags, for rwsem and mutex alike.
const OWNER_FLAGS: u64 = 7;
/// `ERR_PTR` values lie above this address.
const ERRORS_FROM: u64 = u64::MAX - 4095;

/// The object that `reader` reaches; 0 = none, or the chain could not be read (counted).
#[inline(always)]
pub(crate) fn object(reader: &RoleReader, args: &Args, roles: &Roles) -> u64 {
    let index = usize::from(reader.source) & 7;
    let mut address = if reader.source & 0x80 == 0 { args[index] } else { roles[index] };
    for step in 0..ROLE_STEPS_MAX {
        if step >= usize::from(reader.steps) || address == 0 || address >= ERRORS_FROM {
            break;
        }
        let Some(next) = read_u64(address + u64::from(reader.offset[step])) else {
            lose(Loss::RoleUnread);
            return 0;
        };
        address = next;
    }
    if address == 0 || address >= ERRORS_FROM { 0 } else { address + u64::from(reader.add) }
}

/// The object of every role of the plan.
#[inline(always)]
pub(crate) fn roles(plan: &HookPlan, args: &Args) -> Roles {
    let mut roles: Roles = [0; 8];
    for role in 0..ROLES_MAX {
        if role >= usize::from(plan.roles_len) {
            break;
        }
        roles[role] = object(&plan.roles[role], args, &roles);
    }
    roles
}

/// Whether the inode at `address` is a directory.
#[inline(always)]
fn is_directory(address: u64) -> bool {
    address != 0
        && read_u64(address + u64::from(offsets().inode_mode)).is_some_and(|mode| mode & S_IFMT == S_IFDIR)
}

#[inline(always)]
fn flag(reader: &FlagReader, args: &Args, roles: &Roles) -> bool {
    let (a, b) = (usize::from(reader.a) & 7, usize::from(reader.b) & 7);
    match reader.kind {
        FLAG_AND_MASK => args[a] & u64::from(reader.mask) != 0,
        FLAG_ROLES_DIFFER => roles[a] != roles[b],
        FLAG_PRESENT => roles[a] != 0,
        FLAG_IS_DIRECTORY => is_directory(roles[a]),
        _ => false,
    }
}

/// The plan's flags as a bit set.
#[inline(always)]
pub(crate) fn flags(plan: &HookPlan, args: &Args, roles: &Roles) -> u8 {
    let mut bits = 0;
    for index in 0..FLAGS_MAX {
        if index >= usize::from(plan.flags_len) {
            break;
        }
        if flag(&plan.flags[index], args, roles) {
            bits |= 1 << index;
        }
    }
    bits
}

/// What the words of an rwsem (count, owner) say to `task`.
#[inline(always)]
fn rwsem_word(count: u64, owner: u64, task: u64) -> u8 {
    if count & RWSEM_WRITER != 0 {
        return if owner.wrapping_sub(task) <= OWNER_FLAGS { SLOT_WORD_SELF } else { SLOT_WORD_OTHER };
    }
    // The top bit only says that a reader's fast path must fail.
    if (count << 1) >> (RWSEM_READER_SHIFT + 1) != 0 { SLOT_WORD_READERS } else { SLOT_WORD_FREE }
}

/// What the word of a mutex (owner) says to `task`.
#[inline(always)]
fn mutex_word(owner: u64, task: u64) -> u8 {
    if owner <= OWNER_FLAGS {
        SLOT_WORD_FREE
    } else if owner.wrapping_sub(task) <= OWNER_FLAGS {
        SLOT_WORD_SELF
    } else {
        SLOT_WORD_OTHER
    }
}

#[inline(always)]
fn word(kind: u8, address: u64, task: u64, words: &mut [u64; 2]) -> u8 {
    // SAFETY: the destination is 16 bytes of our stack; the helper tolerates any source.
    if unsafe { bpf_probe_read_kernel(words.as_mut_ptr().cast(), 16, address as *const _) } != 0 {
        return SLOT_WORD_UNREAD;
    }
    if kind == LOCK_RWSEM { rwsem_word(words[0], words[1], task) } else { mutex_word(words[0], task) }
}

#[inline(always)]
fn slot(reader: &SlotReader, roles: &Roles, locks: *mut TaskLocks, task: u64, words: &mut [u64; 2]) -> u8 {
    let object = roles[usize::from(reader.role) & 7];
    if object == 0 {
        return SLOT_ABSENT;
    }
    let address = object + u64::from(reader.offset);
    // SAFETY: a live map value of the current task.
    let mode = unsafe { held::mode_of(locks, address) };
    let tracked = if mode == ModeBits::Exclusive as u32 {
        SLOT_TRACKED_EXCLUSIVE
    } else if mode == ModeBits::Shared as u32 {
        SLOT_TRACKED_SHARED
    } else {
        SLOT_TRACKED_NONE
    };
    let word = word(reader.kind, address, task, words);
    if word == SLOT_WORD_FREE && tracked != SLOT_TRACKED_NONE {
        // A release was missed: the word is right, and the rest of the table is in doubt until the task is next seen
        // to hold no lock.
        count(Stat::ReleaseMissed);
        // SAFETY: a live map value of the current task.
        unsafe { held::forget(locks, address) };
    }
    word | tracked
}

/// Both witnesses of every lock slot of the plan.
#[inline(always)]
pub(crate) fn slots(plan: &HookPlan, roles: &Roles, locks: *mut TaskLocks, task: u64, words: &mut Words) -> [u8; SLOTS_MAX] {
    let mut states = [SLOT_ABSENT; SLOTS_MAX];
    for index in 0..SLOTS_MAX {
        if index >= usize::from(plan.slots_len) {
            break;
        }
        states[index] = slot(&plan.slots[index], roles, locks, task, &mut words[index]);
    }
    states
}
