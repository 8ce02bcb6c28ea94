//! Builds the kernel with lockdep from Debian's source package, into the cache.
//!
//! Its configuration is our own, of what lockdep, the tool and a guest without modules need, and nothing besides: of Debian's own
//! drivers no guest has a use.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::archive::Archive;
use crate::kernels::{self, Kernel};
use crate::process;
use crate::workspace::Lock;

/// All that is set.
const OPTIONS: &str = include_str!("lockdep.config");
/// What a kernel's build needs that few machines have: program, package.
const NEEDED: &[(&str, &str)] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("pahole", "pahole"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
];

/// Of the library that the kernel's own tools are built with.
const LIBELF_HEADER: &str = "/usr/include/gelf.h";

/// Fetches, configures and builds the kernel of `series` ("6.12"); returns it in the cache.
///
/// # Errors
/// A program is missing, or the source cannot be fetched, configured or built.
pub(super) fn build(series: &str) -> Result<Kernel> {
    for (program, package) in NEEDED {
        process::require(program, package)?;
    }
    ensure!(
        Path::new(LIBELF_HEADER).is_file(),
        "a kernel's build needs {LIBELF_HEADER}, which is not there\nhint: apt-get install libelf-dev"
    );
    let place = kernels::lockdep_in_cache(series)?;
    let directory = place.parent().context("the cache has no directory")?;
    let _lock = Lock::acquire(&directory.join("lock"))?;
    if place.is_file() {
        return kernels::from_file(&place);
    }
    let source = fetch(series, directory)?;
    configure(&source)?;
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    eprintln!("oracle: building the kernel, with {jobs} jobs: this takes some 15 minutes on two processors");
    process::run(make(&source).arg(format!("-j{jobs}")).arg("bzImage"))?;
    fs::copy(source.join(".config"), directory.join("config"))?;
    let new = directory.join("vmlinuz.new");
    fs::copy(source.join("arch/x86/boot/bzImage"), &new)?;
    fs::rename(&new, &place)?;
    fs::remove_dir_all(&source).with_context(|| format!("removing {}", source.display()))?;
    kernels::from_file(&place)
}

/// The source, unpacked below `directory`.
fn fetch(series: &str, directory: &Path) -> Result<PathBuf> {
    let package = format!("linux-source-{series}");
    let source = directory.join(&package);
    if source.join("Makefile").is_file() {
        return Ok(source);
    }
    let unpacked = directory.join("package");
    Archive::open(kernels::suite(series)?)?.download_and_unpack(&package, &unpacked)?;
    let packed = unpacked.join(format!("usr/src/{package}.tar.xz"));
    process::run(Command::new("tar").arg("-xJf").arg(&packed).arg("-C").arg(directory))?;
    fs::remove_dir_all(&unpacked)?;
    Ok(source)
}

/// Writes `.config`.
fn configure(source: &Path) -> Result<()> {
    let options = source.join("vfs-audit.config");
    fs::write(&options, OPTIONS)?;
    let mut given = OsString::from("KCONFIG_ALLCONFIG=");
    given.push(&options);
    process::run(make(source).arg(given).arg("allnoconfig"))?;
    let made = fs::read_to_string(source.join(".config"))?;
    check(&made)
}

/// What the oracle cannot do without must have survived.
fn check(config: &str) -> Result<()> {
    for option in [
        "CONFIG_PROVE_LOCKING=y",
        "CONFIG_DEBUG_INFO_BTF=y",
        "CONFIG_KPROBES=y",
        "CONFIG_KALLSYMS_ALL=y",
        "CONFIG_EXT4_FS=y",
    ] {
        let is_set = config.lines().any(|line| line == option);
        ensure!(is_set, "the kernel's own configuration drops {option}");
    }
    Ok(())
}

fn make(source: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-s").arg("-C").arg(source);
    make
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_have_all_that_is_checked() {
        check(OPTIONS).unwrap();
        assert!(check(&OPTIONS.replace("CONFIG_PROVE_LOCKING=y", "")).is_err());
    }

    #[test]
    fn each_option_is_set_once() {
        let mut names: Vec<&str> = OPTIONS
            .lines()
            .filter_map(|line| line.split('=').next())
            .filter(|line| line.starts_with("CONFIG"))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
