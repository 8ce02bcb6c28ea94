//! One run from the disk images to the outcome.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use vfs_audit_guest::cpio;
use vfs_audit_guest::plan::{self, Plan};

use crate::vm::output::{Filter, Tail, show};
use crate::vm::qemu::{self, Accel, Files};
use crate::vm::{BROKEN, SPLAT, Vm, disks, initramfs, modules, splat};
use crate::workspace::Scratch;

/// How often the guest's output is looked at.
const POLL: Duration = Duration::from_millis(30);
/// A guest under KVM that is silent for so long is given up for software emulation.
const KVM_PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a log that are shown when there is no result.
const LOG_TAIL_LINES: usize = 40;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The command ended with this code, and the kernel log is clean.
    Exited(i32),
    /// The kernel log has a splat, shown from its first line on.
    Splat(Vec<String>),
    /// The command did not end in this time.
    TimedOut(Duration),
    /// There is no result, for this reason.
    Broken(String),
}

/// What a run brought back.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The command's exit code, if it came to its end: with a splat, too.
    pub command_code: Option<i32>,
    /// From the start of QEMU to its end.
    pub elapsed: Duration,
    /// How the guest was executed.
    pub accel: Accel,
    /// The command's stdout.
    pub stdout: String,
    /// The command's stderr.
    pub stderr: String,
    /// The kernel log.
    pub kernel_log: String,
    /// Files that the command left in `/out`, relative to the out directory.
    pub files: Vec<PathBuf>,
}

impl Outcome {
    /// The exit code of the run.
    pub fn code(&self) -> i32 {
        match &self.end {
            End::Exited(code) => *code,
            End::Splat(_) => SPLAT,
            End::TimedOut(_) | End::Broken(_) => BROKEN,
        }
    }

    /// Says on stderr how the run ended, with the part of the kernel log that matters.
    pub fn report(&self, kernel: &str) {
        let seconds = self.elapsed.as_secs_f32();
        match &self.end {
            End::Exited(code) => eprintln!("vm: {kernel}: the command ended with {code} after {seconds:.1} s"),
            End::Splat(lines) => {
                let command = self.command_code.map_or("did not end".into(), |code| format!("ended with {code}"));
                eprintln!("vm: {kernel}: splat in the kernel log (exit code {SPLAT}), the command {command}:");
                eprintln!("{}", lines.join("\n"));
            }
            End::TimedOut(limit) => self.report_no_result(kernel, &format!("time-out after {} s", limit.as_secs())),
            End::Broken(reason) => self.report_no_result(kernel, reason),
        }
    }

    fn report_no_result(&self, kernel: &str, reason: &str) {
        let seconds = self.elapsed.as_secs_f32();
        eprintln!("vm: {kernel}: no result after {seconds:.1} s (exit code {BROKEN}): {reason}");
        if !self.stderr.is_empty() {
            eprintln!("end of the command's stderr:\n{}", last_lines(&self.stderr));
        }
        eprintln!("end of the kernel log:\n{}", last_lines(&self.kernel_log));
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LOG_TAIL_LINES)).copied().collect::<Vec<_>>().join("\n")
}

/// Prepares the guest, boots it and collects the outcome.
pub(crate) fn execute(vm: &Vm, init: &Path) -> Result<Outcome> {
    let scratch = Scratch::below(&std::env::temp_dir().join("vfs-audit-vm"))?;
    let directory = scratch.path();
    let (host_modules, guest_modules) = select_modules(vm)?;
    let plan = Plan {
        run_id: run_id(),
        modules: guest_modules,
        filesystems: vm.filesystems.clone(),
        command: vm.command.clone(),
    };
    let files = Files {
        initramfs: directory.join("initramfs.cpio"),
        kernel_log: directory.join("kernel.log"),
        stdout: directory.join("stdout.port"),
        stderr: directory.join("stderr.port"),
        drives: disks::make(&vm.filesystems, directory)?,
    };
    let content = initramfs::Content { init, plan: &plan, modules: &host_modules, files: &vm.files };
    initramfs::write(&content, &files.initramfs).context("making the initramfs")?;
    let (accel, is_trial) = qemu::choose(vm.icount)?;
    let session = Session { vm, plan: &plan, files: &files };
    let outcome = match session.boot(accel, is_trial)? {
        Some(outcome) => outcome,
        None => session.without_kvm()?,
    };
    keep(vm, &files, outcome)
}

/// The host's and the guest's paths of the modules to load, in order.
fn select_modules(vm: &Vm) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let Some(directory) = &vm.kernel.modules else { return Ok((Vec::new(), Vec::new())) };
    let index = modules::Index::read(directory)?;
    index.ensure_known(&vm.modules)?;
    let mut names = modules::always().to_vec();
    names.extend(vm.filesystems.iter().flat_map(|kind| modules::of_filesystem(kind)));
    names.extend(vm.modules.iter().map(String::as_str));
    let order = index.load_order(&names);
    let in_guest = |file: &&str| {
        let plain = file.split(".ko").next().unwrap_or(file);
        format!("/lib/modules/{}/{plain}.ko", vm.kernel.release)
    };
    Ok((order.iter().map(|file| directory.join(file)).collect(), order.iter().map(in_guest).collect()))
}

fn run_id() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", std::process::id(), since.as_nanos())
}

struct Session<'a> {
    vm: &'a Vm,
    plan: &'a Plan,
    files: &'a Files,
}

impl Session<'_> {
    /// Runs QEMU to its end; nothing when it is on trial and its guest never began.
    fn boot(&self, accel: Accel, is_trial: bool) -> Result<Option<Outcome>> {
        let mut command = qemu::command(self.vm, self.files, accel)?;
        let mut guest = Guest::spawn(&mut command)?;
        let mut filter = Filter::new(self.plan);
        let (mut out, mut err) = (Tail::of(&self.files.stdout), Tail::of(&self.files.stderr));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = loop {
            // The status is asked first: what the guest wrote before its end is then read after it.
            let status = guest.child.try_wait().context("waiting for QEMU")?;
            let passed = filter.pass(&out.read()?);
            let errors = err.read()?;
            if self.vm.is_shown {
                show(&passed, io::stdout());
                show(&errors, io::stderr());
            }
            stdout.extend(passed);
            stderr.extend(errors);
            let patience = if is_trial && !filter.has_begun { KVM_PATIENCE } else { self.vm.timeout };
            if status.is_some() || guest.start.elapsed() > patience.min(self.vm.timeout) {
                break status;
            }
            std::thread::sleep(POLL);
        };
        if is_trial && !filter.has_begun {
            return Ok(None);
        }
        let rest = filter.rest();
        if self.vm.is_shown {
            show(&rest, io::stdout());
        }
        stdout.extend(rest);
        let kernel_log = String::from_utf8_lossy(&fs::read(&self.files.kernel_log).unwrap_or_default()).into_owned();
        Ok(Some(Outcome {
            end: self.end(filter.code, status, &kernel_log, &guest.complaint()),
            command_code: filter.code.filter(|code| *code != plan::NOT_PREPARED),
            elapsed: guest.start.elapsed(),
            accel,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            kernel_log,
            files: Vec::new(),
        }))
    }

    fn without_kvm(&self) -> Result<Outcome> {
        eprintln!("vm: no guest begins under KVM here: using software emulation until the next boot");
        qemu::remember_kvm_failure();
        for port in [&self.files.stdout, &self.files.stderr, &self.files.kernel_log] {
            let _ = fs::remove_file(port);
        }
        self.boot(Accel::Tcg, false)?.context("software emulation is never on trial")
    }

    fn end(&self, code: Option<i32>, status: Option<ExitStatus>, kernel_log: &str, complaint: &str) -> End {
        if let Some(lines) = splat::find(kernel_log) {
            return End::Splat(lines.into_iter().map(str::to_owned).collect());
        }
        match (code, status) {
            (_, None) => End::TimedOut(self.vm.timeout),
            (Some(plan::NOT_PREPARED), Some(_)) => End::Broken("the guest could not be prepared".into()),
            (Some(code), Some(_)) => End::Exited(code),
            (None, Some(status)) => End::Broken(format!("no sentinel; QEMU ended with {status} {complaint}")),
        }
    }
}

/// A running QEMU, ended when dropped and when we die.
struct Guest {
    child: Child,
    start: Instant,
}

impl Guest {
    fn spawn(command: &mut Command) -> Result<Self> {
        // SAFETY: prctl is async-signal-safe and takes no memory.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().context("starting QEMU")?;
        Ok(Self { child, start: Instant::now() })
    }

    /// Ends QEMU if need be, and returns what it said on its own stderr.
    fn complaint(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text.trim().to_owned()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the logs and the content of `/out` into the out directory.
fn keep(vm: &Vm, files: &Files, mut outcome: Outcome) -> Result<Outcome> {
    let Some(directory) = &vm.out else { return Ok(outcome) };
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    if let Some(drive) = files.drives.iter().find(|drive| drive.serial == plan::OUT_DRIVE) {
        outcome.files = unpack_out(&drive.image, directory).context("reading what the guest left in /out")?;
    }
    let logs = [("kernel.log", &outcome.kernel_log), ("stdout.log", &outcome.stdout), ("stderr.log", &outcome.stderr)];
    for (name, text) in logs {
        fs::write(directory.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(outcome)
}

fn unpack_out(image: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    let mut drive = File::open(image)?;
    let mut header = [0; plan::OUT_HEADER_BYTES as usize];
    drive.read_exact(&mut header)?;
    let (magic, length) = header.split_at(plan::OUT_MAGIC.len());
    if magic != plan::OUT_MAGIC {
        return Ok(Vec::new());
    }
    let length = u64::from_le_bytes(length.try_into().context("length of the archive")?);
    Ok(cpio::unpack(io::BufReader::new(drive.take(length)), directory)?)
}
