//! The reference VFS's disk: a simulated block device, a journaled store on it, and the checker of what survives a crash.
//!
//! [`device`] is the hardware: a queue, simulated time, a volatile write cache, faults. [`store`] is the on-disk engine
//! of the example filesystem: inodes, directories, block maps and a write-ahead journal, with no notion of the VFS.
//! [`crash`] runs seeded workloads over the store, cuts the power, recovers, and compares with what had been promised.
//! Everything here is deterministic from a seed, has no thread and no lock of its own, and never reads a clock.
//!
//! # What this does not model
//! Several devices, partitions, zoned or atomic-write devices, I/O priorities, merging of adjacent requests, timeouts
//! and resets. A lock: the caller of the device and of the store serializes, and delivers completions in whatever
//! context it simulates.

pub mod crash;
pub mod device;
pub mod rng;
pub mod store;
