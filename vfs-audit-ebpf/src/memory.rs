//! Reads of kernel memory.
//!
//! The helper costs some eighty instructions a call. Since 6.2 a program may instead cast an address to a struct of the
//! kernel's (`bpf_rdonly_cast`) and load from it, where a bad address reads as zero; the loader says whether it may.

use core::mem::transmute;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use vfs_audit_common::CAST_CALL;

use crate::maps::offset;

/// Reads 8 bytes by the helper; `None` where nothing can be read.
#[inline(always)]
pub(crate) fn read_u64(address: u64) -> Option<u64> {
    let mut value = 0u64;
    // SAFETY: the destination is 8 bytes of our stack; the helper tolerates any source.
    let failed = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _) };
    (failed == 0).then_some(value)
}

/// Reads 8 bytes the fast way; 0 where nothing can be read.
#[inline(always)]
pub(crate) fn fast_u64(address: u64) -> u64 {
    let kind = offset!(cast_type);
    if kind == 0 {
        let mut value = 0u64;
        // Verifier: the helper's own zeros on failure; a branch would be a known zero that 6.1 then follows apart for good.
        // SAFETY: the destination is 8 bytes of our stack; the helper tolerates any source.
        unsafe {
            bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _);
            return core::ptr::read_volatile(&raw const value);
        }
    }
    // SAFETY: as with every helper, the number becomes the target of a call instruction; the loader has replaced it by
    // the kernel function's, which returns its first argument as a pointer that may be loaded from whatever it is.
    unsafe {
        let cast: extern "C" fn(u64, u32) -> *const u64 = transmute(CAST_CALL as usize);
        core::ptr::read_volatile(cast(address, kind))
    }
}

/// Adds one to what all CPUs count.
///
/// # Safety
/// `place` is within a live map value.
#[inline(always)]
pub(crate) unsafe fn add_one(place: *mut u64) {
    // SAFETY: by the caller; nothing else is touched.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({place} + 0) += {one}",
            place = in(reg) place,
            one = in(reg) 1u64,
            options(nostack)
        );
    }
}

/// Puts `value` at `place` and returns what was there, in one instruction: this target's `AtomicU64` offers none.
///
/// # Safety
/// `place` is within a live map value.
#[inline(always)]
pub(crate) unsafe fn exchange(place: *mut u64, value: u64) -> u64 {
    let mut value = value;
    // SAFETY: by the caller; nothing else is touched.
    unsafe {
        core::arch::asm!(
            "{value} = xchg_64({place} + 0, {value})",
            place = in(reg) place,
            value = inout(reg) value,
            options(nostack)
        );
    }
    value
}
