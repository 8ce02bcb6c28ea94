//! stress-ng for a guest: Debian's package with the libraries that it is linked to, kept in the cache, not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::archive::{self, Archive};
use crate::process;
use crate::workspace::{self, Lock, Scratch};

const PACKAGE: &str = "stress-ng";
const PROGRAM: &str = "usr/bin/stress-ng";
/// Where the program asks for its loader, and where the loader looks for libraries.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
/// Where the packages put libraries.
const LIBRARY_DIRECTORIES: [&str; 2] = [LIBRARIES, "usr/lib/x86_64-linux-gnu"];
/// Written into the directory when everything else is there.
const COMPLETE: &str = "complete";

/// The files that a guest needs to run stress-ng, each with its place there.
///
/// # Errors
/// When the package is neither in the cache nor to be had.
pub(crate) fn files() -> Result<Vec<(PathBuf, String)>> {
    let directory = workspace::cache_dir()?.join(PACKAGE);
    let _lock = Lock::acquire(&directory.join("lock"))?;
    let kept = directory.join("root");
    if !kept.join(COMPLETE).exists() {
        fetch(&directory, &kept).context("fetching stress-ng")?;
    }
    let mut files = Vec::new();
    for relative in [PROGRAM, LOADER] {
        files.push((kept.join(relative), format!("/{relative}")));
    }
    for entry in fs::read_dir(kept.join(LIBRARIES))? {
        let entry = entry?;
        files.push((entry.path(), format!("/{LIBRARIES}/{}", entry.file_name().to_string_lossy())));
    }
    Ok(files)
}

fn fetch(directory: &Path, kept: &Path) -> Result<()> {
    let scratch = Scratch::below(directory)?;
    let (unpacked, chosen) = (scratch.path().join("unpacked"), scratch.path().join("chosen"));
    Archive::open(&archive::BOOKWORM)?.download_and_unpack_all(PACKAGE, &unpacked)?;
    for relative in [PROGRAM, LOADER] {
        // The loader's name is an absolute link within the packages.
        let within = fs::read_link(unpacked.join(relative)).unwrap_or_else(|_| relative.into());
        copy(&unpacked.join(within.strip_prefix("/").unwrap_or(&within)), &chosen.join(relative))?;
    }
    for library in libraries(&unpacked)? {
        let name = library.file_name().context("a library without a name")?;
        copy(&library, &chosen.join(LIBRARIES).join(name))?;
    }
    fs::write(chosen.join(COMPLETE), "")?;
    let _ = fs::remove_dir_all(kept);
    fs::rename(&chosen, kept).with_context(|| format!("keeping {}", kept.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map(drop).with_context(|| format!("copying {}", from.display()))
}

/// The libraries of the program, as the packages' own loader finds them in the packages.
fn libraries(unpacked: &Path) -> Result<Vec<PathBuf>> {
    let loader = unpacked.join(LIBRARIES).join("ld-linux-x86-64.so.2");
    let directories = LIBRARY_DIRECTORIES.map(|directory| unpacked.join(directory).display().to_string());
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(directories.join(":")).arg("--list").arg(unpacked.join(PROGRAM));
    let listed = listed(&process::text(command.env("LC_ALL", "C"))?)?;
    for library in &listed {
        ensure!(library.starts_with(unpacked), "{} is none of the packages' libraries", library.display());
    }
    Ok(listed)
}

/// Paths in lines `NAME => PATH (ADDRESS)`, but for the loader's own.
fn listed(text: &str) -> Result<Vec<PathBuf>> {
    let found = text.lines().filter_map(|line| line.trim().split_once(" => "));
    let found = found.filter(|(name, _)| !name.contains("ld-linux"));
    found
        .map(|(name, rest)| {
            ensure!(!rest.contains("not found"), "{name} is in none of the packages");
            Ok(PathBuf::from(rest.rsplit_once(" (").map_or(rest, |(path, _)| path)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\tlinux-vdso.so.1 (0x00007fada70bc000)\n\tlibm.so.6 => /u/lib/libm.so.6 (0x00007fada5e90000)\n\
                        \t/lib64/ld-linux-x86-64.so.2 => /u/ld-linux-x86-64.so.2 (0x00007fada70be000)\n";

    #[test]
    fn libraries_are_read_from_the_loaders_list() {
        assert_eq!(listed(LIST).unwrap(), [PathBuf::from("/u/lib/libm.so.6")]);
        let error = listed("\tlibJudy.so.1 => not found\n").unwrap_err().to_string();
        assert!(error.starts_with("libJudy.so.1"), "{error}");
    }
}
