//! `cargo xtask build`: the eBPF object, and the static daemon with the object inside.
//!
//! Both have target directories of their own, so that a plain `cargo build` keeps its cache.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::toolchain::Toolchain;
use crate::workspace;

/// Target of everything that runs in a guest: static, so that the guest needs no libraries.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";
const EBPF_TARGET: &str = "bpfel-unknown-none";
/// Instruction set v3: before it, atomic operations cannot return the old value. Kernels from 5.12 have it.
const EBPF_FLAGS: &str = "-Cdebuginfo=2 -Clinker=bpf-linker -Clink-arg=--btf -Ctarget-cpu=v3";
/// Names the eBPF object for the daemon's build script.
const OBJECT_VARIABLE: &str = "VFS_AUDIT_EBPF_OBJECT";

/// Arguments of `build`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Compile the eBPF programs with debug logging.
    #[arg(long)]
    pub debug_log: bool,
}

/// Builds everything and returns the path of the daemon.
///
/// # Errors
/// When no toolchain is found or a compiler fails.
pub fn run(args: &Args) -> Result<PathBuf> {
    let object = ebpf(args)?;
    let built = daemon(&object)?;
    let daemon = workspace::target_dir().join("release/vfs-audit");
    replace(&built, &daemon)?;
    eprintln!("built {}", daemon.display());
    Ok(daemon)
}

/// Builds the eBPF object and returns its path.
///
/// # Errors
/// When no toolchain is found or it fails.
pub fn ebpf(args: &Args) -> Result<PathBuf> {
    let toolchain = Toolchain::find().context(
        "no compiler for the eBPF side: neither a rustup nightly with rust-src nor Debian's rustc-web with rust-web-src\n\
         hint: cargo xtask setup",
    )?;
    process::require("bpf-linker", "llvm-22-dev").context("the eBPF side needs bpf-linker")?;
    let directory = workspace::target_dir().join("ebpf");
    let mut cargo = toolchain.cargo();
    clean(&mut cargo);
    cargo.current_dir(workspace::root().join("vfs-audit-ebpf"));
    cargo.env("RUSTFLAGS", EBPF_FLAGS).env("CARGO_TARGET_DIR", &directory).env("PATH", path_with_cargo_bin());
    cargo.args(["build", "--quiet", "--release", "-Zbuild-std=core", "--target", EBPF_TARGET]);
    if args.debug_log {
        cargo.args(["--features", "debug-log"]);
    }
    eprintln!("building the eBPF programs with {}", toolchain.describe());
    process::run(&mut cargo).context("building the eBPF programs")?;
    Ok(directory.join(EBPF_TARGET).join("release/vfs-audit-ebpf"))
}

fn daemon(object: &Path) -> Result<PathBuf> {
    eprintln!("building the daemon");
    let mut cargo = static_cargo(&["-p", "vfs-audit", "--bin", "vfs-audit"]);
    process::run(cargo.env(OBJECT_VARIABLE, object)).context("building the daemon")?;
    Ok(static_binary("vfs-audit"))
}

/// Builds one program of the workspace as a static binary, for use in a guest, and returns its path.
///
/// # Errors
/// When the compiler fails.
pub fn guest_program(package: &str, binary: &str) -> Result<PathBuf> {
    let mut cargo = static_cargo(&["-p", package, "--bin", binary]);
    process::run(&mut cargo).with_context(|| format!("building {binary} for the guest"))?;
    Ok(static_binary(binary))
}

/// The daemon of the last `build`, if there is one.
pub fn last_daemon() -> Option<PathBuf> {
    Some(static_binary("vfs-audit")).filter(|path| path.is_file())
}

fn static_cargo(packages: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    clean(&mut cargo);
    cargo.current_dir(workspace::root()).env("CARGO_TARGET_DIR", static_directory());
    cargo.env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    cargo.args(["build", "--quiet", "--release", "--target", STATIC_TARGET]).args(packages);
    cargo
}

fn static_directory() -> PathBuf {
    workspace::target_dir().join("static")
}

fn static_binary(name: &str) -> PathBuf {
    static_directory().join(STATIC_TARGET).join("release").join(name)
}

/// Takes away what the user's environment would change about flags and targets.
fn clean(cargo: &mut Command) {
    let variables = ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET", OBJECT_VARIABLE];
    for variable in variables {
        cargo.env_remove(variable);
    }
}

fn path_with_cargo_bin() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let linker_directory = process::find("bpf-linker").and_then(|linker| Some(linker.parent()?.to_path_buf()));
    env::join_paths(env::split_paths(&path).chain(linker_directory)).unwrap_or(path)
}

/// Replaces a file by renaming, so that a running copy of it is no hindrance.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let new = to.with_extension(format!("new-{}", std::process::id()));
    fs::copy(from, &new).with_context(|| format!("copying {}", from.display()))?;
    fs::rename(&new, to).with_context(|| format!("replacing {}", to.display()))
}
