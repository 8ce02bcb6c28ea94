//! What a lock says itself: the words of rwsems, mutexes, spinlocks, and the bits of pages and buffers.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use vfs_audit_common::{
    LOCK_BUFFER, LOCK_FOLIO, LOCK_MUTEX, LOCK_PAGE, LOCK_RWSEM, OWNER_FLAGS, RWSEM_READER_SHIFT, RWSEM_WRITER,
    SLOT_WORD_FREE, SLOT_WORD_OTHER, SLOT_WORD_READERS, SLOT_WORD_SELF, SLOT_WORD_TAKEN, SLOT_WORD_UNREAD, head_page,
};

use crate::{maps::offset, memory::fast_u64};

/// Whether an rwsem with this count has readers: the top bit only says that a reader's fast path must fail.
#[inline(always)]
pub(crate) fn has_readers(count: u64) -> bool {
    (count << 1) >> (RWSEM_READER_SHIFT + 1) != 0
}

/// What the words of an rwsem (count, owner) say to `task`.
#[inline(always)]
fn rwsem_word(count: u64, owner: u64, task: u64) -> u8 {
    if count & RWSEM_WRITER != 0 {
        return if owner.wrapping_sub(task) <= OWNER_FLAGS { SLOT_WORD_SELF } else { SLOT_WORD_OTHER };
    }
    if has_readers(count) { SLOT_WORD_READERS } else { SLOT_WORD_FREE }
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

/// The page that speaks for the whole folio: tail pages say which it is.
#[inline(always)]
pub(crate) fn head_of(page: u64) -> u64 {
    head_page(page, fast_u64(page + u64::from(offset!(page_compound_head))))
}

/// Whether the lock without an owner at `address` is taken.
#[inline(always)]
pub(crate) fn is_taken(kind: u8, word: u64) -> bool {
    match kind {
        LOCK_FOLIO | LOCK_PAGE => word >> (offset!(page_locked_bit) & 63) & 1 != 0,
        LOCK_BUFFER => word >> (offset!(buffer_lock_bit) & 63) & 1 != 0,
        // A queued spinlock: free is zero; whoever waits for it waits because it was taken a moment ago.
        _ => word as u32 != 0,
    }
}

/// The reading of the lock of `kind` at `address`; its first 16 bytes go to `words`.
///
/// # Safety
/// `words` is 16 bytes of a live map value.
#[inline(always)]
pub(crate) unsafe fn read(kind: u8, address: u64, task: u64, words: *mut [u64; 2]) -> u8 {
    // SAFETY: by the caller; the helper tolerates any source.
    unsafe {
        if kind == LOCK_RWSEM || kind == LOCK_MUTEX {
            (*words)[0] = fast_u64(address);
            (*words)[1] = fast_u64(address + 8);
            // Zeros may also mean that nothing could be read, and that must not pass for a free lock: a lock that can be
            // read has a list of waiters behind its word, which is never all zero; where it seems to be, ask the helper.
            if (*words)[0] == 0
                && fast_u64(address + 16) | fast_u64(address + 24) == 0
                && bpf_probe_read_kernel(words.cast(), 16, address as *const _) != 0
            {
                return SLOT_WORD_UNREAD;
            }
            return if kind == LOCK_RWSEM {
                rwsem_word((*words)[0], (*words)[1], task)
            } else {
                mutex_word((*words)[0], task)
            };
        }
        let address = if kind == LOCK_PAGE { head_of(address) } else { address };
        (*words)[1] = 0;
        (*words)[0] = fast_u64(address);
        if is_taken(kind, (*words)[0]) {
            return SLOT_WORD_TAKEN;
        }
        // As above: of these only the helper knows.
        if bpf_probe_read_kernel(words.cast(), 8, address as *const _) != 0 { SLOT_WORD_UNREAD } else { SLOT_WORD_FREE }
    }
}
