//! Bits of words of the kernel's that the programs and the code that the daemon makes read alike.

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
