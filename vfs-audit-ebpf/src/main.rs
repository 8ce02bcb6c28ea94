//! The eBPF programs of vfs-audit: they read facts and count equal ones; what a lock should be they do not know.
//!
//! `locks` keeps each task's held-lock table, `callback` and `facts` fold an invocation into a key, `event` ships the
//! first of each key, `watch` sees sleeps inside watched callbacks, `task` knows whose history is complete, `peek` reads
//! kernel memory for the daemon.
#![no_std]
#![no_main]

mod callback;
mod event;
mod facts;
mod held;
mod locks;
mod maps;
mod memory;
mod peek;
mod task;
mod watch;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// GPL-compatible, as the helpers that read kernel memory demand.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
