//! `cargo xtask vm`: boots a kernel in QEMU, runs one command there and ends with its exit code.
//!
//! Exit codes: the command's own (128 + signal if one ended it), or [`SPLAT`] when the kernel log has a splat, or
//! [`BROKEN`] when there is no result: time-out, missing sentinel, a guest that could not be prepared, no kernel.
//! A line on stderr always says which it was.

mod disks;
mod initramfs;
mod modules;
mod output;
mod qemu;
mod run;
mod splat;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::build;
use crate::kernels::{self, Kernel};

pub use modules::{file_systems, module_files};
pub use qemu::Accel;
pub use run::{End, Outcome};

/// Exit code for a splat in the kernel log.
pub const SPLAT: i32 = 124;
/// Exit code for a run without a result.
pub const BROKEN: i32 = 125;

/// Arguments of `vm`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Kernel to boot: 5.10, 6.1, 6.12, 6.12-amd64, 6.18, 7.3 (Debian's newest), lockdep, all, or the path of a bzImage.
    #[arg(long)]
    pub kernel: String,
    /// Processors of the guest.
    #[arg(long, default_value_t = 2)]
    pub smp: u32,
    /// Memory of the guest.
    #[arg(long, default_value = "2G")]
    pub mem: String,
    /// Make guest time a count of instructions (one processor, software emulation): repeatable measurements.
    #[arg(long)]
    pub icount: bool,
    /// File systems to mount under /mnt/TYPE, e.g. ext4,xfs,btrfs,tmpfs,overlay.
    #[arg(long = "fs", value_delimiter = ',', value_name = "LIST")]
    pub filesystems: Vec<String>,
    /// More kernel modules to load, e.g. loop.
    #[arg(long = "module", value_delimiter = ',', value_name = "LIST")]
    pub modules: Vec<String>,
    /// A file or directory to copy into the guest.
    #[arg(long = "file", value_name = "HOST:GUEST", value_parser = parse_file)]
    pub files: Vec<(PathBuf, String)>,
    /// Where to put what the command leaves in /out, with kernel.log, stdout.log and stderr.log.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seconds after which the run is given up.
    #[arg(long, default_value_t = 600, value_name = "S")]
    pub timeout: u64,
    /// More words for the kernel's command line.
    #[arg(long, default_value = "", value_name = "WORDS", allow_hyphen_values = true)]
    pub append: String,
    /// The command; a single argument with shell syntax goes to the guest's shell.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// One run to be made.
#[derive(Debug, Clone)]
pub struct Vm {
    /// The kernel to boot.
    pub kernel: Kernel,
    /// Processors of the guest.
    pub smp: u32,
    /// Memory of the guest, as QEMU takes it.
    pub memory: String,
    /// Whether guest time is a count of instructions.
    pub icount: bool,
    /// File systems to mount under `/mnt/TYPE`.
    pub filesystems: Vec<String>,
    /// Kernel modules to load beside those of the file systems.
    pub modules: Vec<String>,
    /// Files and directories of the host, with their place in the guest.
    pub files: Vec<(PathBuf, String)>,
    /// Where `/out` and the logs go; nowhere if not given.
    pub out: Option<PathBuf>,
    /// After this the run is given up.
    pub timeout: Duration,
    /// More words for the kernel's command line.
    pub append: String,
    /// The command with its arguments.
    pub command: Vec<String>,
    /// Whether the command's output is passed on while it runs.
    pub is_shown: bool,
}

impl Vm {
    /// A run of `command` on `kernel` with two processors, 2 GiB, no file system and ten minutes.
    pub fn new(kernel: Kernel, command: &[&str]) -> Self {
        Self {
            kernel,
            smp: 2,
            memory: "2G".into(),
            icount: false,
            filesystems: Vec::new(),
            modules: Vec::new(),
            files: Vec::new(),
            out: None,
            timeout: Duration::from_secs(600),
            append: String::new(),
            command: command.iter().map(ToString::to_string).collect(),
            is_shown: false,
        }
    }

    /// Boots the guest, waits for the end and collects what came back.
    ///
    /// # Errors
    /// When the run cannot be prepared; what goes wrong in it is in the outcome.
    pub fn run(&self) -> Result<Outcome> {
        let init = build::guest_program("vfs-audit-guest", "guest-init")?;
        run::execute(self, &init)
    }
}

/// Runs the command on each kernel and returns the first exit code that is not 0.
///
/// # Errors
/// When a run cannot be prepared.
pub fn run(args: &Args) -> Result<i32> {
    ensure!(args.smp > 0, "a guest needs at least one processor");
    let mut code = 0;
    let kernels = kernels::named(&args.kernel)?;
    let is_single = kernels.len() == 1;
    for kernel in kernels {
        let mut vm = from_args(args, kernel);
        if !is_single {
            vm.out = vm.out.map(|directory| directory.join(&vm.kernel.release));
        }
        let outcome = vm.run()?;
        outcome.report(&vm.kernel.release);
        if code == 0 {
            code = outcome.code();
        }
    }
    Ok(code)
}

fn from_args(args: &Args, kernel: Kernel) -> Vm {
    let daemon = build::last_daemon().map(|path| (path, "/usr/local/bin/vfs-audit".to_owned()));
    Vm {
        kernel,
        smp: if args.icount { 1 } else { args.smp },
        memory: args.mem.clone(),
        icount: args.icount,
        filesystems: args.filesystems.clone(),
        modules: args.modules.clone(),
        files: daemon.into_iter().chain(args.files.iter().cloned()).collect(),
        out: args.out.clone(),
        timeout: Duration::from_secs(args.timeout),
        append: args.append.clone(),
        command: args.command.clone(),
        is_shown: true,
    }
}

/// `HOST:GUEST`; a guest path that ends in a slash gets the host's file name.
fn parse_file(argument: &str) -> Result<(PathBuf, String), String> {
    let (host, guest) = argument.rsplit_once(':').ok_or("expected HOST:GUEST")?;
    let path = PathBuf::from(host);
    if !guest.starts_with('/') || guest.contains("..") {
        return Err(format!("{guest:?} is no absolute path in the guest"));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let guest = if guest.ends_with('/') { format!("{guest}{name}") } else { guest.to_owned() };
    if path.exists() { Ok((path, guest)) } else { Err(format!("{host} does not exist")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(std::iter::once("vm").chain(line.split(' '))).map(|line| line.args)
    }

    #[test]
    fn the_command_keeps_its_own_options() {
        let args = parse("--kernel 6.12 --fs ext4,xfs --fs tmpfs --timeout 9 -- vfs-audit run --timeout 3").unwrap();
        assert_eq!(args.command, ["vfs-audit", "run", "--timeout", "3"]);
        assert_eq!(args.filesystems, ["ext4", "xfs", "tmpfs"]);
        assert_eq!((args.timeout, args.smp, args.mem.as_str()), (9, 2, "2G"));
    }

    #[test]
    fn a_line_without_command_or_kernel_is_refused() {
        assert!(parse("--kernel 6.12").is_err());
        assert!(parse("-- true").is_err());
    }

    #[test]
    fn a_file_argument_names_both_sides() {
        assert_eq!(parse_file("/etc/passwd:/root/p").unwrap(), ("/etc/passwd".into(), "/root/p".into()));
        assert_eq!(parse_file("/etc/passwd:/root/").unwrap().1, "/root/passwd");
        for wrong in ["/etc/passwd", "/etc/passwd:p", "/etc/passwd:/../p", "/no/such/file:/p"] {
            assert!(parse_file(wrong).is_err(), "{wrong}");
        }
    }
}
