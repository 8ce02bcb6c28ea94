//! The eBPF programs of vfs-audit.
#![no_std]
#![no_main]
