//! Live cases on what a run sees of a system that changes: file systems that are mounted and modules that are loaded during
//! it; how long the probes take; and what a kernel below the lower bound is told.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kernels;
use crate::process;
use crate::test::audits::{has_no_violation, is_healthy, is_healthy_where, is_told};
use crate::test::cases::{Case, Evidence, Ready};
use crate::vm::module_files;
use crate::workspace;

/// Images of the late file systems: small, since they travel in the guest's memory.
const IMAGE_BYTES: u64 = 24 << 20;
/// What was mounted must have been noticed after so many seconds.
const NOTICED_SECONDS_MOST: u32 = 60;
/// What `vfs-audit run` says when it has, once for each time.
const NOTICED: &str = "callbacks more";
/// Times that names are made and removed then.
const ROUNDS: u32 = 5;
/// Most that attaching may take, and stopping too, where all callbacks are hooked by one link: seconds of this machine.
const SECONDS_MOST: f64 = 2.0;
/// The same in a guest whose clock counts instructions, one in a nanosecond: what it takes now, and a little more.
const COUNTED_SECONDS_MOST: f64 = 6.5;
/// Times that the kernel's symbols are read, there and here, to tell how fast this machine is.
const READINGS: u32 = 5;
const SYMBOLS: &str = "/proc/kallsyms";

/// vfat's module is there from the boot on, exFAT's comes during the run; neither is mounted before.
const LATE: &str = "vfs-audit run --format json -o /out/report.json --also table:/out/report.txt -- sh /late \
    2> /out/notes; true";
/// A guest that has just booted has work of its own for some seconds.
const NOTHING: &str = "sleep 10; vfs-audit run --format json -o /out/report.json -- vfs-audit --version";
const BELOW: &str = "cp /proc/mounts /out/; vfs-audit doctor > /out/doctor; echo doctor $?; \
    vfs-audit run --format json -o /out/report.json -- ls /mnt 2> /out/run; echo run $?";

/// All of them.
pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new("what is mounted or loaded during a run is audited", &[LATE])
            .with_only(&["ext4"])
            .also_loading(&["loop", "nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1", "vfat"])
            .with(late_files)
            .checked(late_is_audited),
        // Where time is a count of instructions, a busy host does not make it longer. The quickest kernel, and the slowest.
        Case::new("attaching and stopping take two seconds at most", &[&format!("{NOTHING}; {}", say_pace())])
            .on(&["6.12", "7.3"])
            .counted()
            .within(900)
            .checked(is_quick),
        Case::new("a kernel below the lower bound is audited or told why not", &[BELOW])
            .on(&["5.10"])
            .checked(is_audited_or_told),
    ]
}

/// Images, the late module with all that it needs, and the script that brings them in.
fn late_files(kernel: &str) -> Result<Ready> {
    let directory = workspace::target_dir().join("live").join("late").join(kernel);
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for (kind, program, package) in [("vfat", "mkfs.vfat", "dosfstools"), ("exfat", "mkfs.exfat", "exfatprogs")] {
        let image = directory.join(format!("{kind}.img"));
        fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
        process::output(Command::new(process::require(program, package)?).arg(&image))?;
        files.push((image, format!("/{kind}.img")));
    }
    let mut script = String::from("set -e\n");
    script.push_str(&late_load("vfat", 1));
    for (number, content) in module_files(&kernels::fetch(kernel)?, "exfat")?.into_iter().enumerate() {
        let module = directory.join(format!("{number}.ko"));
        fs::write(&module, content)?;
        files.push((module, format!("/late-modules/{number}.ko")));
        // One that is there already is an error to insmod.
        script = format!("{script}insmod /late-modules/{number}.ko || true\n");
    }
    script.push_str(&late_load("exfat", 2));
    let path = directory.join("late");
    fs::write(&path, script)?;
    files.push((path, "/late".to_owned()));
    Ok(Ready::Files(files))
}

/// Mounts, waits until that is noticed for the `count`th time, and works there.
fn late_load(kind: &str, count: u32) -> String {
    format!(
        "mkdir -p /mnt/{kind}; mount -t {kind} -o loop /{kind}.img /mnt/{kind}; left={NOTICED_SECONDS_MOST}\n\
         while [ $(grep -c '{NOTICED}' /out/notes) -lt {count} ]; do left=$((left - 1)); test $left -gt 0; sleep 1; done\n\
         for round in $(seq {ROUNDS}); do mkdir /mnt/{kind}/d; echo x > /mnt/{kind}/a; mv /mnt/{kind}/a /mnt/{kind}/d/b; \
         rm -r /mnt/{kind}/d; done\n"
    )
}

fn late_is_audited(evidence: &Evidence<'_>) -> Result<()> {
    let report = evidence.json("report.json")?;
    has_no_violation(&report)?;
    // By now the daemon has given up the right to hook a late module's functions by trampolines: what RCU calls there, a
    // module's `free_inode`, has a kprobe, whose program the kernel skips in the middle of another one.
    is_healthy_where(&report, true)?;
    ensure!(report["command"]["exit_code"] == 0, "the load ended with {}", report["command"]["exit_code"]);
    for kind in ["vfat", "exfat"] {
        for op in ["create", "mkdir", "rename", "unlink", "rmdir"] {
            let count = &report["invocations_by_fs"][format!("inode_operations.{op}")][kind];
            ensure!(count.as_u64().is_some_and(|count| count > 0), "no {op} was seen on {kind}: {count}");
        }
        let since = since(&report, kind).with_context(|| format!("no hook of {kind} says since when it is there"))?;
        println!("      {}: {kind} is hooked since {since}", evidence.release);
    }
    Ok(())
}

/// From when on a late file system's callbacks are hooked, as the report says of one of them.
fn since<'a>(report: &'a Value, kind: &str) -> Option<&'a str> {
    let of_kind = |hook: &&Value| hook["fs"].as_str().is_some_and(|fs| fs.split(", ").any(|fs| fs == kind));
    let mut hooks = report["hooks"].as_array()?.iter().filter(|hook| hook["state"] == "attached").filter(of_kind);
    hooks.find_map(|hook| hook["reason"].as_str()?.split_once("since ").map(|(_, since)| since))
}

/// Where one link hooks all callbacks, both must be quick; elsewhere the figures are said.
fn is_quick(evidence: &Evidence<'_>) -> Result<()> {
    let report = evidence.json("report.json")?;
    let seconds = |name: &str| report["timing"][name].as_f64().with_context(|| format!("the report has no {name}"));
    let [attach, stop] = [seconds("attach_seconds")?, seconds("stop_seconds")?];
    let backend = report["kernel"]["callback_backend"].as_str().unwrap_or_default();
    let hooks =
        report["hooks"].as_array().map_or(0, |hooks| hooks.iter().filter(|hook| hook["state"] == "attached").count());
    let pace = pace_of_guest(&fs::read_to_string(evidence.out.join("pace"))?)? / pace_of_this_machine()?;
    println!(
        "      {}: {hooks} hooks by {backend}: attached in {attach:.2} s and stopped in {stop:.2} s of a guest that does an \
         instruction in a nanosecond; this machine's kernel prints its symbols {pace:.1} times as fast: {:.2} s and {:.2} s",
        evidence.release,
        attach / pace,
        stop / pace
    );
    if backend != "kprobe.multi" {
        return Ok(());
    }
    for (what, counted) in [("attaching", attach), ("stopping", stop)] {
        ensure!(counted <= COUNTED_SECONDS_MOST, "{what} took {counted:.1} s of the guest");
        ensure!(counted / pace <= SECONDS_MOST, "{what} would take {:.1} s here", counted / pace);
    }
    Ok(())
}

/// The guest's command that leaves in `/out/pace` what [`pace_of_guest`] reads.
fn say_pace() -> String {
    let uptime = "cat /proc/uptime >> /out/pace";
    format!(
        "wc -l < {SYMBOLS} > /out/pace; {uptime}; for reading in $(seq {READINGS}); do cat {SYMBOLS} > /dev/null; done; {uptime}"
    )
}

/// Seconds in which the guest's kernel prints a symbol: from their number, and the uptime before and after the readings.
fn pace_of_guest(text: &str) -> Result<f64> {
    let mut numbers = text.lines().map(|line| line.split(' ').next().unwrap_or_default().parse::<f64>());
    let mut next = || numbers.next().context("the guest did not say how fast it is")?.context("no number");
    let [symbols, before, after] = [next()?, next()?, next()?];
    ensure!(symbols > 0.0 && after > before, "the guest's clock stands: {text}");
    Ok((after - before) / (symbols * f64::from(READINGS)))
}

/// Seconds of the processor in which this machine's kernel prints a symbol.
fn pace_of_this_machine() -> Result<f64> {
    let read = || fs::read_to_string(SYMBOLS).with_context(|| format!("reading {SYMBOLS}"));
    let symbols = read()?.lines().count();
    ensure!(symbols > 0, "{SYMBOLS} is empty");
    let before = processor_time();
    for _ in 0..READINGS {
        read()?;
    }
    let took = processor_time().saturating_sub(before) / READINGS;
    Ok(took.as_secs_f64() / f64::from(u32::try_from(symbols)?))
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// `doctor` and `run` must agree: an audit with a report, or one clear error each.
fn is_audited_or_told(evidence: &Evidence<'_>) -> Result<()> {
    let mounts = fs::read_to_string(evidence.out.join("mounts")).context("/out did not come back")?;
    for kind in crate::test::cases::FILESYSTEMS {
        ensure!(mounts.contains(&format!(" /mnt/{kind} {kind} ")), "{kind} is not mounted");
    }
    let doctor = fs::read_to_string(evidence.out.join("doctor")).context("the doctor said nothing")?;
    if evidence.outcome.stdout.lines().any(|line| line == "doctor 0") {
        ensure!(doctor.contains("This kernel can be audited"), "{doctor}");
        return is_healthy(&evidence.json("report.json")?);
    }
    ensure!(doctor.contains("This kernel cannot be audited from here") && doctor.contains("  NO  "), "{doctor}");
    is_told(evidence, "run", "cannot be probed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_the_time_of_all_readings_over_all_symbols() {
        let pace = pace_of_guest("200000\n20.00 19.00\n22.50 19.00\n").unwrap();
        assert!((pace - 2.5e-6).abs() < 1e-9, "{pace}");
        for text in ["", "200000\n20.00 1\n", "0\n1.0 1\n2.0 1\n", "9\n2.0 1\n2.0 1\n"] {
            assert!(pace_of_guest(text).is_err(), "{text:?}");
        }
    }
}
