//! Bits of words of the kernel's that the programs and the code that the daemon makes read alike.
#![allow(clippy::inline_always, reason = "in an eBPF program a call costs more than what is called here")]

/// The writer bit of `rw_semaphore.count`.
pub const RWSEM_WRITER: u64 = 1;
/// Readers are counted from this bit of `rw_semaphore.count`.
pub const RWSEM_READER_SHIFT: u32 = 8;
/// Low bits of an owner word that are flags, for rwsem and mutex alike.
pub const OWNER_FLAGS: u64 = 7;
/// `ERR_PTR` values lie from this address on.
pub const ERRORS_FROM: u64 = u64::MAX - 4095;
/// Set in the preemption count of an x86 kernel while nobody wants the CPU.
pub const PREEMPT_NEED_RESCHED: u32 = 0x8000_0000;
/// Bits of the preemption count that say: serving a soft interrupt, a hard one, one that cannot be masked.
pub const PREEMPT_INTERRUPTS: u32 = 0x00ff_0100;
/// The processor's flag (x86) that interrupts are on.
pub const FLAG_INTERRUPTS: u64 = 1 << 9;
/// A return address into a traced function lies this close to its start: past `endbr64` and the call.
pub const PROLOGUE_BYTES: u64 = 16;

/// The upper half of the word by which a tail page tells its head, where that word is a mask (from 7.0 on, where huge pages save
/// the memory of their tails): no page's own address has all of these bits.
pub const HEAD_MASK_UPPER: u64 = 0xffff_ffff;

/// Address of the page that speaks for the whole folio of `page`, whose `compound_head` (`compound_info`) is `word`: bit 0 is set in
/// a tail page's, and the rest is the head's address, or a mask that makes it of the tail's.
#[inline(always)]
pub const fn head_page(page: u64, word: u64) -> u64 {
    if word & 1 == 0 {
        page
    } else if word >> 32 == HEAD_MASK_UPPER {
        page & word
    } else {
        word - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_page_tells_its_head_by_address_or_by_mask() {
        let head = 0xffff_ea00_0123_4000;
        assert_eq!(head_page(head, 0xffff_ea00_0000_0008), head, "a list's pointer, in a head");
        assert_eq!(head_page(head + 3 * 64, head | 1), head);
        // An order of 4: 16 pages of 64 bytes.
        assert_eq!(head_page(head + 15 * 64, !0x3ff | 1), head);
    }
}
