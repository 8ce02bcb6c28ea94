//! PID 1 of a test VM: prepares the guest, runs one command, saves `/out`, says how it ended, powers off.
//!
//! It never panics on purpose: whatever goes wrong is said in the kernel log, and a missing sentinel tells the host.

mod command;
mod mounts;
mod nfs;
mod out;
mod terminal;

use std::fs;
use std::path::Path;

use vfs_audit_guest::plan::{self, Plan};

fn main() {
    mounts::system();
    match fs::read_to_string(Path::new("/").join(plan::PATH)).map_err(|e| e.to_string()).and_then(|t| Plan::decode(&t))
    {
        Ok(plan) => run(&plan),
        Err(error) => log(&format!("no plan: {error}")),
    }
    // SAFETY: no memory is passed; these calls end the machine.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}

fn run(plan: &Plan) {
    let Some(ports) = terminal::Ports::open() else { return };
    ports.say(&plan.hello());
    let code = match prepare(plan) {
        Ok(()) => command::run(&plan.command, &ports),
        Err(error) => {
            log(&error);
            ports.complain(&error);
            plan::NOT_PREPARED
        }
    };
    command::end_all_others();
    if let Err(error) = out::save() {
        log(&format!("/out was not saved: {error}"));
        return;
    }
    mounts::unmount(&plan.filesystems);
    ports.say(&plan.sentinel(code));
}

fn prepare(plan: &Plan) -> Result<(), String> {
    mounts::loopback_up();
    for module in &plan.modules {
        mounts::load_module(module)?;
    }
    plan.filesystems.iter().try_for_each(|kind| mounts::filesystem(kind))
}

/// Writes one line to the kernel log, where the host finds it next to what the kernel says.
fn log(message: &str) {
    let _ = fs::write("/dev/kmsg", format!("<4>vfs-audit-vm: {message}\n"));
}
