//! The eBPF programs of vfs-audit: they read facts and count equal ones; what a lock should be they do not know.
//!
//! `locks` keeps each task's held-lock table, `callback` and `facts` (with `words` and `context`) fold an invocation into a
//! key, `event` ships the first of each key, `interrupt` does so for what interrupts call, `watch` follows callbacks to their exit and sees sleeps inside them, `function`
//! what else they call, `task` knows whose history is complete, `peek` reads kernel memory for the daemon, `lockdep` asks the
//! kernel's own table of held locks, as a test of all that.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod callback;
mod context;
mod event;
mod exit;
mod facts;
mod function;
mod held;
mod interrupt;
mod lockdep;
mod locks;
mod maps;
mod memory;
mod peek;
mod task;
mod watch;
mod words;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// GPL-compatible, as the helpers that read kernel memory demand.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
