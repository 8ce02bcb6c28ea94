//! `cargo xtask setup`: says what the build and the VMs lack, and installs that and nothing else.
//!
//! It installs Debian packages and bpf-linker. Elsewhere, or without root, it names what to install.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::natural_order;
use crate::process;
use crate::toolchain::{LLVM_MAJOR, Toolchain};

/// Another apt or dpkg may hold the locks for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);
const LOCK_POLL: Duration = Duration::from_secs(5);
const LINKER: &str = "bpf-linker";
/// The linker's release; its LLVM must be that of the compiler for the eBPF side.
const LINKER_VERSION: &str = "0.13.0";
const DEBIAN_COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// Arguments of `setup`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// A program that must be there, and the Debian package that has it.
struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool { program: "gcc", package: "gcc", purpose: "to link Rust programs" },
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "to run the VMs" },
    Tool { program: "depmod", package: "kmod", purpose: "to index the guests' kernel modules" },
    Tool { program: "xz", package: "xz-utils", purpose: "to unpack kernel modules" },
    Tool { program: "mke2fs", package: "e2fsprogs", purpose: "to make ext4 images" },
    Tool { program: "mkfs.xfs", package: "xfsprogs", purpose: "to make XFS images" },
    Tool { program: "mkfs.btrfs", package: "btrfs-progs", purpose: "to make Btrfs images" },
    Tool { program: "mkfs.vfat", package: "dosfstools", purpose: "to make VFAT images" },
    Tool { program: "mkfs.exfat", package: "exfatprogs", purpose: "to make exFAT images" },
    Tool { program: "mkfs.f2fs", package: "f2fs-tools", purpose: "to make F2FS images" },
    Tool { program: "mkfs.ntfs", package: "ntfs-3g", purpose: "to make NTFS images" },
    Tool { program: "mksquashfs", package: "squashfs-tools", purpose: "to make SquashFS images" },
    Tool { program: "genisoimage", package: "genisoimage", purpose: "to make ISO 9660 images" },
    // The compilers for kernel modules come with the tree that it makes.
    Tool { program: "debootstrap", package: "debootstrap", purpose: "to build the faulty kernel module" },
];

/// What is missing on this machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Debian packages, in the order of need.
    packages: Vec<&'static str>,
    /// Whether bpf-linker is to be built.
    linker: bool,
    /// One line per missing thing.
    reasons: Vec<String>,
}

impl Missing {
    /// Looks at the machine.
    pub fn find() -> Self {
        let has = |name: &str| process::find(name).is_some();
        Self::from_facts(Toolchain::find().is_some(), linker_works(), has)
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    fn from_facts(has_compiler: bool, has_linker: bool, has: impl Fn(&str) -> bool) -> Self {
        let mut missing = Self::default();
        if !has_compiler {
            missing.packages.extend(DEBIAN_COMPILER);
            missing
                .reasons
                .push(format!("a compiler for the eBPF side with LLVM {LLVM_MAJOR} and its library's source"));
        }
        if !has_linker {
            missing.linker = true;
            missing.reasons.push(format!("{LINKER} {LINKER_VERSION}, to link the eBPF programs"));
            // Its build script asks llvm-config, which llvm-22-dev brings.
            missing.packages.extend(["llvm-22-dev", "g++"]);
        }
        for tool in TOOLS.iter().filter(|tool| !has(tool.program)) {
            missing.packages.push(tool.package);
            missing.reasons.push(format!("{}, {}", tool.program, tool.purpose));
        }
        missing
    }

    /// The commands that install it, as a person would type them.
    fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        if !self.packages.is_empty() {
            commands.push("apt-get update".into());
            commands.push(format!("apt-get install --no-install-recommends {}", self.packages.join(" ")));
        }
        if self.linker {
            commands.push(format!("LLVM_PREFIX={} cargo {}", llvm_prefix(), linker_arguments().join(" ")));
        }
        commands
    }
}

/// Says what is missing and installs it.
///
/// # Errors
/// When something is missing and cannot be installed here.
pub fn run(args: &Args) -> Result<()> {
    let missing = Missing::find();
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(());
    }
    println!("setup: missing here:");
    missing.reasons.iter().for_each(|reason| println!("  {reason}"));
    if !args.dry_run && !missing.packages.is_empty() {
        refuse_without_apt_and_root(&missing)?;
    }
    println!("setup: {}:", if args.dry_run { "would run" } else { "running" });
    missing.commands().iter().for_each(|command| println!("  {command}"));
    if args.dry_run {
        return Ok(());
    }
    install(&missing)?;
    let left = Missing::find();
    if !left.is_empty() {
        bail!("still missing after setup: {}", left.reasons.join("; "));
    }
    println!("setup: done");
    Ok(())
}

fn install(missing: &Missing) -> Result<()> {
    if !missing.packages.is_empty() {
        apt(&["update"]).context("updating the package lists")?;
        let packages = missing.packages.iter().copied();
        let arguments: Vec<&str> = ["install", "-y", "--no-install-recommends"].into_iter().chain(packages).collect();
        apt(&arguments).context("installing packages")?;
    }
    if missing.linker {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The workspace's own settings are not for the linker.
        cargo.current_dir("/").env("LLVM_PREFIX", llvm_prefix()).args(linker_arguments());
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(variable);
        }
        process::run(&mut cargo).context("building bpf-linker")?;
    }
    Ok(())
}

fn refuse_without_apt_and_root(missing: &Missing) -> Result<()> {
    let is_debian = process::find("apt-get").is_some() && Path::new("/etc/debian_version").exists();
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_debian {
        bail!(
            "this is no Debian: install by hand the programs listed above, a rustup nightly with rust-src \
             whose LLVM is {LLVM_MAJOR}, and {LINKER} {LINKER_VERSION} built with that LLVM"
        );
    }
    if !is_root {
        let commands = missing.commands();
        let as_root: Vec<&str> = commands.iter().map(String::as_str).filter(|c| c.starts_with("apt-get")).collect();
        bail!("installing packages needs root: run as root, then setup again: {}", as_root.join(" && "));
    }
    Ok(())
}

/// Runs apt-get, waiting with a limit for whoever else holds its locks.
fn apt(arguments: &[&str]) -> Result<()> {
    let start = Instant::now();
    loop {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").arg("-q");
        command.args(["-o", &format!("DPkg::Lock::Timeout={}", LOCK_PATIENCE.as_secs()), "-o", "Acquire::Retries=3"]);
        let output = command.args(arguments).stdin(Stdio::null()).stdout(io::stderr()).stderr(Stdio::piped()).output();
        let output = output.context("starting apt-get")?;
        if output.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        if !is_locked(&complaint) || start.elapsed() > LOCK_PATIENCE {
            bail!("apt-get {} failed: {}", arguments.join(" "), complaint.trim());
        }
        eprintln!("setup: apt is in use by another process: waiting");
        thread::sleep(LOCK_POLL);
    }
}

fn is_locked(complaint: &str) -> bool {
    complaint.contains("Could not get lock") || complaint.contains("Unable to lock")
}

/// Whether bpf-linker is there, starts (its LLVM is a shared library) and is new enough.
fn linker_works() -> bool {
    let Some(linker) = process::find(LINKER) else { return false };
    process::text(Command::new(linker).arg("--version")).is_ok_and(|text| is_new_enough(&text))
}

fn is_new_enough(version: &str) -> bool {
    let version = version.trim().strip_prefix(LINKER).unwrap_or_default();
    natural_order::compare(version.trim(), LINKER_VERSION).is_ge()
}

fn llvm_prefix() -> String {
    format!("/usr/lib/llvm-{LLVM_MAJOR}")
}

fn linker_arguments() -> Vec<String> {
    let feature = format!("llvm-{LLVM_MAJOR}");
    let words = ["install", LINKER, "--version", LINKER_VERSION, "--locked", "--no-default-features", "--features"];
    words.iter().map(ToString::to_string).chain([feature]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_where_nothing_is_missing() {
        let missing = Missing::from_facts(true, true, |_| true);
        assert!(missing.is_empty() && missing.commands().is_empty());
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let missing = Missing::from_facts(true, true, |name| name != "mkfs.xfs");
        assert_eq!(missing.commands(), ["apt-get update", "apt-get install --no-install-recommends xfsprogs"]);
        assert_eq!(missing.reasons, ["mkfs.xfs, to make XFS images"]);
    }

    #[test]
    fn a_bare_machine_needs_compiler_linker_and_tools() {
        let commands = Missing::from_facts(false, false, |_| false).commands();
        assert!(commands[1].contains("rustc-web cargo-web rust-web-src llvm-22-dev"), "{}", commands[1]);
        assert!(commands[1].contains("qemu-system-x86"), "{}", commands[1]);
        let linker = "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --locked \
                      --no-default-features --features llvm-22";
        assert_eq!(commands[2], linker);
    }

    #[test]
    fn an_old_linker_is_built_anew() {
        assert!(is_new_enough("bpf-linker 0.13.0\n") && is_new_enough("bpf-linker 0.14.1\n"));
        assert!(!is_new_enough("bpf-linker 0.9.15\n") && !is_new_enough(""));
    }

    #[test]
    fn a_held_lock_is_told_from_other_failures() {
        assert!(is_locked("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"));
        assert!(!is_locked("E: Unable to locate package rustc-web"));
    }
}
