//! The compiler for the eBPF side: one that can build `core`, of the same LLVM major version as bpf-linker.
//!
//! A rustup nightly with `rust-src` is taken first, else Debian's rustc with rust-web-src.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// LLVM's major version that bpf-linker is built with; the compiler's bitcode must not be newer.
pub const LLVM_MAJOR: u32 = 22;

/// A compiler and cargo that can build the eBPF crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// A toolchain of rustup, by its name.
    Rustup(String),
    /// The distribution's own compiler, which takes unstable options with `RUSTC_BOOTSTRAP`.
    System {
        /// The compiler.
        rustc: PathBuf,
        /// Its cargo.
        cargo: PathBuf,
    },
}

impl Toolchain {
    /// The first that fits, or nothing.
    pub fn find() -> Option<Self> {
        rustup_toolchains().into_iter().map(Self::Rustup).find(Self::fits).or_else(|| {
            let system = Self::System { rustc: "/usr/bin/rustc".into(), cargo: "/usr/bin/cargo".into() };
            system.fits().then_some(system)
        })
    }

    /// The cargo command of this toolchain, in an environment of its own.
    pub fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Rustup(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, "cargo"]);
                command.env_remove("RUSTC");
                command
            }
            Self::System { rustc, cargo } => {
                let mut command = Command::new(cargo);
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        command.env_remove("RUSTUP_TOOLCHAIN");
        command
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Rustup(name) => format!("rustup toolchain {name}"),
            Self::System { rustc, .. } => rustc.display().to_string(),
        }
    }

    fn fits(&self) -> bool {
        let (version, sysroot) = (self.rustc(&["-vV"]), self.rustc(&["--print", "sysroot"]));
        let library = |sysroot: String| Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
        version.is_some_and(|text| llvm_major(&text) == Some(LLVM_MAJOR))
            && sysroot.is_some_and(|sysroot| library(sysroot).is_file())
    }

    fn rustc(&self, arguments: &[&str]) -> Option<String> {
        let mut command = match self {
            Self::Rustup(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, "rustc"]);
                command
            }
            Self::System { rustc, .. } => Command::new(rustc),
        };
        process::text(command.args(arguments).env_remove("RUSTUP_TOOLCHAIN")).ok()
    }
}

/// Nightly toolchains of rustup; a stable one refuses `-Zbuild-std`.
fn rustup_toolchains() -> Vec<String> {
    let list = process::text(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| name.starts_with("nightly")).map(str::to_owned).collect()
}

fn llvm_major(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_is_read_from_what_rustc_says() {
        assert_eq!(llvm_major("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
