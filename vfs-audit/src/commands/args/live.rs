//! What a run wants of a live kernel, and how.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vfs_audit_common::{EVENT_RING_BYTES, KEYS_MAX};

/// Which invocations of a live kernel are wanted.
#[derive(Clone, Debug, Args)]
pub struct LiveFilters {
    /// Only the file systems mounted here
    #[arg(long = "mount", value_name = "PATH")]
    pub mount: Vec<PathBuf>,
    /// Only this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Hook callbacks in this way only, instead of the first that works
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// Track mutexes too, for the lists of held locks (their words name the owner, so rules need no more)
    #[arg(long)]
    pub track_mutexes: bool,
    /// Distinct observations that the kernel side has room for; one more is counted as lost
    #[arg(long, value_name = "N", default_value_t = KEYS_MAX as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: u32,
    /// Bytes of the buffer by which first sights of observations come up, a power of two; what finds no room is counted, and its
    /// observation has no stack
    #[arg(long, value_name = "BYTES", default_value_t = EVENT_RING_BYTES, value_parser = ring_bytes)]
    pub ring: u32,
    /// Say what each eBPF program took; the kernel's counting makes every program dearer
    #[arg(long)]
    pub program_stats: bool,
}

/// The size of a ring buffer, as the kernel wants it.
fn ring_bytes(text: &str) -> Result<u32, String> {
    const PAGE_BYTES: u32 = 4096;
    let bytes: u32 = text.parse().map_err(|_| "not a number of bytes".to_owned())?;
    if bytes >= PAGE_BYTES && bytes.is_power_of_two() {
        return Ok(bytes);
    }
    Err(format!("not a power of two from {PAGE_BYTES} on"))
}

/// Ways of hooking callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// One kprobe.multi link for all
    #[value(name = "kprobe.multi")]
    KprobeMulti,
    /// A kprobe each
    Kprobe,
    /// A trampoline each
    Fentry,
}
