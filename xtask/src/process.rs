//! Programs that xtask runs, and errors that say which.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Searched after `PATH`: Debian keeps mkfs and depmod where users do not look.
const MORE_DIRECTORIES: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The full path of a program, or nothing if it is not there.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_bin = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo/bin"));
    let directories = env::split_paths(&path).chain(MORE_DIRECTORIES.iter().map(PathBuf::from)).chain(cargo_bin);
    directories.map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// The full path of a program that must be there.
///
/// # Errors
/// When it is not, with the Debian package that has it.
pub fn require(name: &str, package: &str) -> Result<PathBuf> {
    find(name).with_context(|| {
        format!(
            "{name} is not installed\nhint: apt-get install {package} (cargo xtask setup installs what every run needs)"
        )
    })
}

/// Runs a command with our own output streams.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", shown(command)) }
}

/// Runs a command and returns its stdout; stderr becomes part of the error.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", shown(command)))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    bail!("{} ended with {}: {}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim())
}

/// The same as text.
///
/// # Errors
/// As for [`output`], and output that is not UTF-8.
pub fn text(command: &mut Command) -> Result<String> {
    let bytes = output(command)?;
    String::from_utf8(bytes).with_context(|| format!("output of {}", shown(command)))
}

fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_arguments_and_its_complaint() {
        let error = output(Command::new("sh").args(["-c", "echo woe >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c echo woe") && error.ends_with("woe") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_missing_program_comes_with_the_package_to_install() {
        let error = require("no-such-program-here", "some-package").unwrap_err().to_string();
        assert!(error.contains("apt-get install some-package"), "{error}");
    }
}
