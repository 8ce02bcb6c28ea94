//! Recorded runs: a versioned, compressed, streaming file of observations.
//!
//! A recording is a sequence of frames: one header, blocks of observations, one end. Every frame carries a marker, its
//! lengths and two checksums, and every block carries its own dictionary of strings, shapes and stacks: so a block is
//! readable whatever happened to the others, and neither side keeps more than one block in memory. Counts add up: an
//! observation may be written again with the invocations that came since, and a cut-off recording is worth what was
//! written.
//!
//! It holds facts only, no rule and no verdict. It is no archive of events in order: equal observations of a block may
//! be read merged. What can be lost, and how the reader says so: [`Damage`].

mod bytes;
mod decode;
mod encode;
mod frame;
mod frames;
mod reader;
mod writer;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::{HookStatus, KernelInfo, Loss, Source, Tracker};

pub use reader::{Damage, Reader, Reading, Remains};
pub use writer::Writer;

/// Version of the payloads; the frames themselves never change their layout, so that every reader can tell.
pub const FORMAT_VERSION: u16 = 1;
/// Bytes of one frame's payload, unpacked; more is refused on both sides.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Observations of one block.
pub const BLOCK_OBSERVATIONS_MAX: u32 = 32_768;
/// A block is written out once it has this many bytes …
const BLOCK_BYTES_TARGET: usize = 4 << 20;
/// … or would take this many in memory when it is read, by the count of [`memory_bytes`].
const BLOCK_MEMORY_TARGET: usize = 64 << 20;
/// Memory that one block may take when it is read: far above what a writer makes, far below what would hurt.
const BLOCK_MEMORY_MAX: usize = 256 << 20;
/// Bytes of one string of an observation; longer ones are refused.
pub const STRING_BYTES_MAX: usize = 4096;
/// Entries of one list of an observation: facts, locks, inodes, held locks, frames of a stack.
pub const LIST_LEN_MAX: usize = 512;
/// Damaged places after which the reader gives up on a file.
pub const DAMAGED_PLACES_MAX: usize = 1000;
/// Bytes read in search of a first frame before a file counts as no recording.
const SEARCH_BYTES_MAX: u64 = 64 << 20;

/// What a string of this length is counted with against the memory bounds.
fn memory_bytes(len: usize) -> usize {
    len + 64
}

/// What is known when a recording begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the tool that recorded.
    pub tool_version: String,
    /// The kernel, with the rule set that the hooks and facts were chosen for.
    pub kernel: KernelInfo,
    /// Where the observations come from.
    pub source: Source,
    /// Command that is run under audit; empty when none is.
    #[serde(default)]
    pub command: Vec<String>,
    /// Hooks as they stand at the start.
    #[serde(default)]
    pub hooks: Vec<HookStatus>,
    /// Rules that this source cannot decide, by id, with the reason.
    #[serde(default)]
    pub missing: BTreeMap<String, String>,
}

/// What is known when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Seconds of observation.
    pub seconds: f64,
    /// How the audited command ended; absent when none was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_exit: Option<i32>,
    /// Hooks as they stood at the end.
    #[serde(default)]
    pub hooks: Vec<HookStatus>,
    /// What was dropped.
    #[serde(default)]
    pub loss: Loss,
    /// The tracker's own health.
    #[serde(default)]
    pub tracker: Tracker,
    /// Why the run is incomplete, beyond what the fields above say.
    #[serde(default)]
    pub incomplete: Vec<String>,
}

/// Why a recording cannot be written or read at all; damage to parts of it is not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing failed.
    #[error("the recording cannot be read or written on")]
    Io(#[from] std::io::Error),
    /// No frame was found.
    #[error("not a vfs-audit recording (no frame of one found in its first {searched} bytes)")]
    NotARecording {
        /// Bytes looked at.
        searched: u64,
    },
    /// Written by another version of the tool.
    #[error("recording format version {found}, this vfs-audit reads version {FORMAT_VERSION}")]
    UnknownVersion {
        /// The file's version.
        found: u16,
    },
    /// Larger than the format allows.
    #[error("{part} is too large to record: {what}")]
    TooLarge {
        /// An observation's op, or the part of the recording.
        part: String,
        /// Which bound it passes.
        what: &'static str,
    },
    /// Header or end cannot be put into words.
    #[error("the recording's {part} cannot be encoded")]
    Encode {
        /// Which part.
        part: &'static str,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
