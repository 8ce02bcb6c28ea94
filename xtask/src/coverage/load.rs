//! One audit in a VM of everything that is at hand to make a kernel call its callbacks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::coverage::Args;
use crate::kernels::Kernel;
use crate::load as workload;
use crate::stress::stressors::{Load, WIDE};
use crate::stress::{WRITABLE, package};
use crate::vm::{End, Vm, file_systems};
use crate::workspace::Scratch;

const DAEMON_IN_GUEST: &str = "/usr/local/bin/vfs-audit";
pub(crate) const SCRIPT_IN_GUEST: &str = "/load";
/// File systems that have all that the workload expects of one: links, modes, any name.
pub(crate) const POSIX: &[&str] = &["ext4", "xfs", "btrfs", "tmpfs", "overlay", "f2fs"];
/// File systems that can be read only.
const READ_ONLY: &[&str] = &["squashfs", "iso9660"];
const TIMEOUT: Duration = Duration::from_secs(3600);
/// The tracer looks for new file systems every second, and then takes a moment.
const SETTLE_SECONDS: u32 = 4;
/// Written for each load: its name and exit code.
pub(crate) const LOADS: &str = "loads.txt";

/// Audits `kernel` under every load and leaves the reports below `directory`.
///
/// In two boots: what sets up servers and devices of its own wants a machine without them.
pub(super) fn audit(args: &Args, kernel: &Kernel, daemon: &Path, directory: &Path) -> Result<()> {
    let offered = file_systems(kernel)?;
    let wanted = |kind: &&&str| args.filesystems.is_empty() || args.filesystems.iter().any(|fs| fs == **kind);
    let known = WRITABLE.iter().chain(READ_ONLY).filter(|kind| offered.contains(kind));
    let kinds: Vec<&str> = known.filter(wanted).copied().collect();
    let out = directory.join(&kernel.release);
    let _ = fs::remove_dir_all(&out);
    let few: Vec<&str> = kinds.iter().filter(|kind| POSIX.contains(kind)).copied().collect();
    for (name, kinds, script) in [("files", &kinds, load(&kinds, args.seconds)), ("system", &few, system())] {
        boot(kernel, daemon, (kinds, &script), &out.join(name)).with_context(|| format!("the load {name}"))?;
    }
    Ok(())
}

fn boot(kernel: &Kernel, daemon: &Path, (kinds, load): (&[&str], &str), out: &Path) -> Result<()> {
    let scratch = Scratch::below(out.parent().context("no directory for the reports")?)?;
    let script = scratch.path().join("load");
    fs::write(&script, load).context("writing the load")?;
    let run = format!(
        "vfs-audit run --format json -o /out/report.json --also table:/out/report.txt -- sh {SCRIPT_IN_GUEST}; \
         echo audit: $? >> /out/{LOADS}"
    );
    let mut vm = Vm::new(kernel.clone(), &[&run]);
    vm.filesystems = kinds.iter().map(ToString::to_string).collect();
    vm.modules = workload::modules(&vm.kernel)?;
    vm.append = workload::KERNEL_WORDS.into();
    let files = [(daemon, DAEMON_IN_GUEST), (&script, SCRIPT_IN_GUEST)];
    vm.files = files.map(|(host, guest)| (host.to_path_buf(), guest.to_owned())).to_vec();
    vm.files.extend(workload::files(scratch.path())?);
    vm.files.extend(package::files()?);
    vm.timeout = TIMEOUT;
    vm.out = Some(out.to_path_buf());
    eprintln!("coverage: auditing {} with {}", vm.kernel.release, kinds.join(", "));
    let outcome = vm.run()?;
    if outcome.end != End::Exited(0) {
        outcome.report(&vm.kernel.release);
    }
    let loads = fs::read_to_string(out.join(LOADS)).context("no load says how it ended")?;
    for line in loads.lines().filter(|line| !line.ends_with(": 0")) {
        eprintln!("coverage: {}: {line} (its exit code)", vm.kernel.release);
    }
    ensure!(out.join("report.json").is_file(), "no report came back from {}", vm.kernel.release);
    Ok(())
}

/// The guest's script: each load's name and exit code go to [`LOADS`], what it says to a file of its own.
///
/// stress-ng runs on all file systems at once, which takes as long as on one; the workloads check themselves, one by one.
pub(crate) fn load(kinds: &[&str], seconds: u32) -> String {
    let mut script = first_line();
    let mut stressing = String::new();
    let wide: Vec<String> = WIDE.iter().map(ToString::to_string).collect();
    for kind in kinds {
        let directory = format!("/mnt/{kind}");
        if READ_ONLY.contains(kind) {
            let _ = writeln!(script, "load read-{kind} sh -c 'ls -lR {directory} && cat {directory}/link'");
            continue;
        }
        // Read and written past the page cache; what has no such way says so.
        let direct = format!("{directory}/direct");
        let _ = writeln!(
            script,
            "load direct-{kind} sh -c 'head -c 65536 /dev/zero > {direct} && dd if={direct} of={direct}2 bs=4096 iflag=direct \
             oflag=direct && rm {direct} {direct}2'"
        );
        if POSIX.contains(kind) {
            let _ = writeln!(script, "load workload-{kind} vfs-workload {kind} {directory}");
        }
        let stress = Load { fs: kind, only: &wide, seconds }.command().join(" ");
        let _ = writeln!(stressing, "load stress-{kind} {stress} &");
    }
    script.push_str(&stressing);
    script.push_str("wait\ntrue\n");
    script
}

/// The script of the load that sets up what it works on.
pub(crate) fn system() -> String {
    first_line() + &format!("load workload-system vfs-workload system /mnt --settle {SETTLE_SECONDS}\ntrue\n")
}

pub(crate) fn first_line() -> String {
    format!("load() {{ name=$1; shift; \"$@\" > /out/$name.log 2>&1; echo \"$name: $?\" >> /out/{LOADS}; }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_system_has_a_load_and_every_load_says_how_it_ended() {
        let script = load(&["ext4", "squashfs"], 2);
        let lines: Vec<&str> = script.lines().collect();
        assert!(lines[0].contains("\"$name: $?\" >> /out/loads.txt"), "{script}");
        assert!(lines[1].starts_with("load direct-ext4 "), "{script}");
        assert_eq!(lines[2], "load workload-ext4 vfs-workload ext4 /mnt/ext4");
        assert!(lines[3].starts_with("load read-squashfs "), "{script}");
        assert!(lines[4].starts_with("load stress-ext4 stress-ng --temp-path /mnt/ext4 --timeout 2"), "{script}");
        assert_eq!(lines[5..], ["wait", "true"]);
        assert!(!load(&["vfat"], 2).contains("vfs-workload"), "vfat has no links");
        assert!(
            system()
                .lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("load workload-system vfs-workload system /mnt "))
        );
    }
}
