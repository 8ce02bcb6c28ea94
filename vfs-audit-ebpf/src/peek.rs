//! Reads kernel memory for the daemon, which runs this program itself (`BPF_PROG_TEST_RUN`); it is attached to nothing.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, macros::raw_tracepoint, programs::RawTracePointContext};
use vfs_audit_common::PEEK_BYTES;

use crate::maps::PEEKED;

/// Arguments: address, length (at most [`PEEK_BYTES`]). Result: 0, else an error number.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub(crate) fn peek(ctx: RawTracePointContext) -> i32 {
    let address: u64 = ctx.arg(0);
    let len: u64 = ctx.arg(1);
    if len > PEEK_BYTES as u64 {
        return -22;
    }
    let Some(buffer) = PEEKED.get_ptr_mut(0) else { return -2 };
    // SAFETY: the length is within the buffer; the helper tolerates any source.
    unsafe { bpf_probe_read_kernel(buffer.cast(), len as u32, address as *const _) as i32 }
}
