//! Mounts, modules and the loopback interface.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::{log, nfs};

/// Pseudo file systems of the guest: type, where, data.
const SYSTEM: &[(&str, &str, &str)] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", ""),
    ("tmpfs", "/dev/shm", ""),
    ("tmpfs", "/tmp", ""),
    ("tmpfs", "/run", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("securityfs", "/sys/kernel/security", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
];
/// Drives are looked for until this has passed: virtio probes them in the background.
const DRIVE_PATIENCE: Duration = Duration::from_secs(20);

/// Mounts the pseudo file systems; one that the kernel lacks is said in the log and left out.
pub(crate) fn system() {
    for (kind, target, data) in SYSTEM {
        if let Err(error) = fs::create_dir_all(target).and_then(|()| mount(kind, kind, target, data)) {
            log(&format!("{kind} is not mounted on {target}: {error}"));
        }
    }
}

/// Mounts a file system under test on `/mnt/TYPE`.
pub(crate) fn filesystem(kind: &str) -> Result<(), String> {
    let target = format!("/mnt/{kind}");
    let mounted = fs::create_dir_all(&target).and_then(|()| match kind {
        // A fuse file system needs its server: the command brings both.
        "fuse" => Ok(()),
        "tmpfs" | "ramfs" => mount(kind, kind, &target, ""),
        "nfs" => nfs::serve(&drive(kind)?).and_then(|()| nfs::mount(&target)),
        "squashfs" | "iso9660" => mount_read_only(kind, &drive(kind)?.to_string_lossy(), &target),
        "overlay" => overlay(&target),
        _ => mount(kind, &drive(kind)?.to_string_lossy(), &target, ""),
    });
    mounted.map_err(|error| format!("cannot mount {kind} on {target}: {error}"))
}

/// Lower, upper and work directory on a tmpfs of their own.
fn overlay(target: &str) -> io::Result<()> {
    let base = "/run/overlay";
    fs::create_dir_all(base)?;
    mount("tmpfs", "tmpfs", base, "")?;
    for part in ["lower", "upper", "work"] {
        fs::create_dir_all(format!("{base}/{part}"))?;
    }
    // Something to look up, copy up and white out.
    fs::create_dir_all(format!("{base}/lower/lower-dir"))?;
    fs::write(format!("{base}/lower/lower-file"), "from the lower layer\n")?;
    let data = format!("lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work");
    mount("overlay", "overlay", target, &data)
}

/// Unmounts the file systems under test; one that stays busy is said in the log.
pub(crate) fn unmount(filesystems: &[String]) {
    for kind in filesystems.iter().rev().filter(|kind| *kind != "fuse") {
        let target = format!("/mnt/{kind}");
        if let Err(error) = c_string(&target).and_then(|target| {
            // SAFETY: the string is NUL-terminated and outlives the call.
            check(unsafe { libc::umount2(target.as_ptr(), 0) })
        }) {
            log(&format!("{target} stays mounted: {error}"));
        }
    }
}

/// The block device of the drive with this serial number.
pub(crate) fn drive(serial: &str) -> io::Result<PathBuf> {
    let start = Instant::now();
    loop {
        for entry in fs::read_dir("/sys/block")?.flatten() {
            let found = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
            if found.trim() == serial {
                return Ok(PathBuf::from("/dev").join(entry.file_name()));
            }
        }
        if start.elapsed() > DRIVE_PATIENCE {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no drive with the serial number {serial:?}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Loads one kernel module, with what the kernel's command line has for it (`module.parameter=value`); one that is there
/// already is fine.
pub(crate) fn load_module(path: &str) -> Result<(), String> {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let loaded = File::open(path).and_then(|file| {
        let parameters = CString::new(parameters(path, &command_line))?;
        // SAFETY: descriptor and string are valid during the call.
        let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
        check(result as i32)
    });
    match loaded {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        // Accelerated variants refuse a CPU without the instructions; the generic ones are on the list too.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other.map_err(|error| format!("cannot load {path}: {error}")),
    }
}

/// The parameters of the module in the file `path`, as a command line has them.
fn parameters(path: &str, command_line: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split(".ko").next().unwrap_or(file).replace('-', "_");
    let own = |word: &str| word.strip_prefix(&name)?.strip_prefix('.').map(str::to_owned);
    command_line.split_whitespace().filter_map(own).collect::<Vec<_>>().join(" ")
}

/// Brings `lo` up.
pub(crate) fn loopback_up() {
    // SAFETY: `ifreq` is plain data, the name is NUL-terminated by the zeroes behind it, the socket is closed again.
    let result = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed();
        request.ifr_name[1] = b'o'.cast_signed();
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
        libc::close(socket);
        result
    };
    if let Err(error) = check(result) {
        log(&format!("lo stays down: {error}"));
    }
}

pub(crate) fn mount(kind: &str, source: &str, target: &str, data: &str) -> io::Result<()> {
    mount_with(0, kind, source, target, data)
}

fn mount_read_only(kind: &str, source: &str, target: &str) -> io::Result<()> {
    mount_with(libc::MS_RDONLY, kind, source, target, "")
}

fn mount_with(flags: libc::c_ulong, kind: &str, source: &str, target: &str, data: &str) -> io::Result<()> {
    let (kind, source, target, data) = (c_string(kind)?, c_string(source)?, c_string(target)?, c_string(data)?);
    // SAFETY: all four strings are NUL-terminated and outlive the call.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
}

fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::other)
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
