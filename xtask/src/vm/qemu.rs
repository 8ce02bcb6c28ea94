//! QEMU's command line, and the choice between KVM and software emulation.
//!
//! `VFS_AUDIT_ACCEL=kvm|tcg` decides; without it KVM is tried once per boot of the host, by really booting a guest.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::vm::Vm;
use crate::vm::disks::Drive;
use crate::workspace;

/// How the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// By the processor.
    Kvm,
    /// By translation.
    Tcg,
}

/// Files of one run.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) initramfs: PathBuf,
    pub(crate) kernel_log: PathBuf,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
    pub(crate) drives: Vec<Drive>,
}

/// The accelerator to try, and whether it has yet to prove itself.
pub(crate) fn choose(icount: bool) -> Result<(Accel, bool)> {
    if icount {
        return Ok((Accel::Tcg, false));
    }
    match env::var("VFS_AUDIT_ACCEL").as_deref() {
        Ok("kvm") => Ok((Accel::Kvm, false)),
        Ok("tcg") => Ok((Accel::Tcg, false)),
        Ok(other) if !other.is_empty() => bail!("VFS_AUDIT_ACCEL is {other:?}: expected kvm or tcg"),
        _ if is_kvm_worth_trying() => Ok((Accel::Kvm, true)),
        _ => Ok((Accel::Tcg, false)),
    }
}

fn is_kvm_worth_trying() -> bool {
    let is_open = OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    let failed_in = workspace::cache_dir().and_then(|cache| Ok(fs::read_to_string(cache.join(KVM_FAILED))?));
    is_open && failed_in.map_or(true, |boot| boot != boot_id())
}

/// Names in the cache the boot of the host in which KVM did not work.
const KVM_FAILED: &str = "kvm-failed-in-boot";

/// Remembers until the host's next boot that KVM does not work.
pub(crate) fn remember_kvm_failure() {
    if let Ok(cache) = workspace::cache_dir() {
        let _ = fs::write(cache.join(KVM_FAILED), boot_id());
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The command that boots the guest.
pub(crate) fn command(vm: &Vm, files: &Files, accel: Accel) -> Result<Command> {
    let mut command = Command::new(process::require("qemu-system-x86_64", "qemu-system-x86")?);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(processor(vm, accel));
    if vm.icount {
        // What a run measures must not depend on chance or on the time of day.
        command.args(["-seed", "1", "-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
    }
    command.arg("-m").arg(&vm.memory);
    command.arg("-kernel").arg(&vm.kernel.vmlinuz).arg("-initrd").arg(&files.initramfs);
    command.arg("-append").arg(kernel_command_line(vm, accel));
    for (port, path) in [("log", &files.kernel_log), ("out", &files.stdout), ("err", &files.stderr)] {
        command.arg("-chardev").arg(format!("file,id={port},path={}", option_value(path)));
        command.arg("-serial").arg(format!("chardev:{port}"));
    }
    for drive in &files.drives {
        let (serial, path) = (&drive.serial, option_value(&drive.image));
        let settings = "format=raw,if=none,cache=unsafe";
        command.arg("-drive").arg(format!("file={path},id={serial},{settings}"));
        command.arg("-device").arg(format!("virtio-blk-pci,drive={serial},serial={serial}"));
    }
    Ok(command)
}

fn processor(vm: &Vm, accel: Accel) -> Vec<String> {
    let words: &[&str] = match accel {
        Accel::Kvm => &["-accel", "kvm", "-cpu", "host"],
        Accel::Tcg if vm.icount => &["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-cpu", "max"],
        // One thread for all processors: with a thread each, one may still run an int3 that another has just patched away
        // again (static keys, ftrace), and the kernel dies of a breakpoint that is nobody's. Seen at boot of 6.12, QEMU 7.2.
        Accel::Tcg => &["-accel", "tcg,thread=single", "-cpu", "max"],
    };
    let words = words.iter().map(ToString::to_string);
    words.chain(["-smp".into(), vm.smp.to_string()]).collect()
}

fn kernel_command_line(vm: &Vm, accel: Accel) -> String {
    // Warnings must reach the log, less need not: every line costs time on an emulated port.
    let mut line = String::from("console=ttyS0 panic=-1 loglevel=5 8250.nr_uarts=4");
    if accel == Accel::Tcg {
        // On a busy host an emulated processor may rest for seconds: that is no stall of the kernel.
        line.push_str(" rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60");
    }
    if vm.icount {
        line.push_str(" nokaslr");
    }
    if !vm.append.is_empty() {
        line.push(' ');
        line.push_str(&vm.append);
    }
    line
}

/// In QEMU's option lists a comma is written twice.
fn option_value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    fn vm() -> Vm {
        let kernel = Kernel { release: "6.12".into(), vmlinuz: "/k".into(), modules: None, config: None };
        Vm { icount: true, smp: 1, append: "lockdown=integrity".into(), ..Vm::new(kernel, &["true"]) }
    }

    #[test]
    fn icount_uses_one_thread_whatever_the_host_offers() {
        assert_eq!(choose(true).unwrap(), (Accel::Tcg, false));
        let words = processor(&vm(), Accel::Tcg).join(" ");
        assert_eq!(words, "-accel tcg,thread=single -icount shift=0,sleep=off -cpu max -smp 1");
    }

    #[test]
    fn the_kernel_logs_warnings_on_the_first_port_and_takes_more_words() {
        let line = kernel_command_line(&vm(), Accel::Kvm);
        assert_eq!(line, "console=ttyS0 panic=-1 loglevel=5 8250.nr_uarts=4 nokaslr lockdown=integrity");
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(option_value(Path::new("/a,b")), "/a,,b");
    }
}
