//! What the running kernel offers: its symbols, its memory, the operations tables its living objects point to.
//!
//! Nothing here judges and nothing here is attached; `Peek` runs a program on demand and leaves nothing behind.

mod file_locks;
mod live;
mod naming;
mod object;
mod peek;
mod release;
mod symbols;

pub use live::{LiveTable, LiveTables, Superblock, TableSource};
pub use peek::{Memory, Peek, PeekError};
pub use release::KernelRelease;
pub use symbols::{Symbol, Symbols, SymbolsError};
