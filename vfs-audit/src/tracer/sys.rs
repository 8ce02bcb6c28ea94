//! The parts of bpf(2) and `perf_event_open(2)` that aya does not offer: kprobe.multi links, cookies on kprobes, programs for
//! functions of modules, missed runs. Source: the kernel's `include/uapi/linux/bpf.h`; every call is tried, never assumed.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

const BPF_MAP_UPDATE_ELEM: i64 = 2;
const BPF_PROG_LOAD: i64 = 5;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
const BPF_RAW_TRACEPOINT_OPEN: i64 = 17;
const BPF_BTF_GET_FD_BY_ID: i64 = 19;
const BPF_BTF_GET_NEXT_ID: i64 = 23;
const BPF_LINK_CREATE: i64 = 28;
const BPF_ENABLE_STATS: i64 = 32;

const PROG_TYPE_KPROBE: u32 = 2;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
const PROG_TYPE_TRACING: u32 = 26;
const ATTACH_PERF_EVENT: u32 = 41;
const ATTACH_KPROBE_MULTI: u32 = 42;
const ATTACH_KPROBE_SESSION: u32 = 56;
const KPROBE_MULTI_RETURN: u32 = 1;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
/// `sizeof(union bpf_attr)` we hand over: enough for every command here, zero beyond what it uses.
const ATTR_BYTES: usize = 152;
/// Bytes for the verifier's log: kernels before 6.4 refuse the program when it does not fit whole.
const LOG_BYTES: usize = 16 << 20;

/// An argument block of bpf(2).
#[repr(C, align(8))]
struct Attr([u8; ATTR_BYTES]);

impl Attr {
    fn new() -> Self {
        Self([0; ATTR_BYTES])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn pointer<T: ?Sized>(self, at: usize, value: *const T) -> Self {
        self.u64(at, value.cast::<u8>() as u64)
    }

    fn read_u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn call(&mut self, command: i64) -> io::Result<i64> {
        // SAFETY: the block outlives the call, and pointers in it are to live buffers of the caller.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), ATTR_BYTES) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }

    fn open(&mut self, command: i64) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the command returned a new file descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
    }
}

/// What a program is loaded for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A kprobe or kretprobe by itself.
    Kprobe,
    /// kprobe.multi, entry or return.
    KprobeMulti,
    /// kprobe.session: entry and return by one program.
    KprobeSession,
    /// A raw tracepoint.
    RawTracepoint,
    /// fentry or fexit (`attach type`) of the function with this type number in the BTF behind the descriptor (`None`:
    /// vmlinux).
    Tracing {
        /// `BPF_TRACE_FENTRY` or `BPF_TRACE_FEXIT`.
        attach_type: u32,
        /// Type number of the function.
        btf_id: u32,
        /// The module's BTF.
        btf: Option<RawFd>,
    },
}

/// `BPF_TRACE_FENTRY`.
pub(super) const TRACE_FENTRY: u32 = 24;
/// `BPF_TRACE_FEXIT`.
pub(super) const TRACE_FEXIT: u32 = 25;

/// Loads instructions (8 bytes each, relocated).
///
/// # Errors
/// The kernel's error, with the end of the verifier's log.
pub(super) fn load(name: &str, instructions: &[u8], purpose: Purpose) -> io::Result<OwnedFd> {
    let attempt = |log: &mut [u8]| {
        let (kind, attach_type, btf_id, btf) = match purpose {
            Purpose::Kprobe => (PROG_TYPE_KPROBE, 0, 0, None),
            Purpose::KprobeMulti => (PROG_TYPE_KPROBE, ATTACH_KPROBE_MULTI, 0, None),
            Purpose::KprobeSession => (PROG_TYPE_KPROBE, ATTACH_KPROBE_SESSION, 0, None),
            Purpose::RawTracepoint => (PROG_TYPE_RAW_TRACEPOINT, 0, 0, None),
            Purpose::Tracing { attach_type, btf_id, btf } => (PROG_TYPE_TRACING, attach_type, btf_id, btf),
        };
        let mut attr = Attr::new()
            .u32(0, kind)
            .u32(4, (instructions.len() / 8) as u32)
            .pointer(8, instructions.as_ptr())
            .pointer(16, c"GPL".as_ptr())
            .u32(68, attach_type)
            .u32(108, btf_id)
            .u32(112, btf.unwrap_or(0).cast_unsigned());
        for (at, byte) in name.bytes().take(15).enumerate() {
            attr.0[48 + at] = byte;
        }
        if !log.is_empty() {
            attr = attr.u32(24, 1).u32(28, log.len() as u32).pointer(32, log.as_mut_ptr());
        }
        attr.open(BPF_PROG_LOAD)
    };
    // Without a log first: the log costs time, and the memory for it more, and only a refusal needs it.
    attempt(&mut []).or_else(|_| {
        let mut log = vec![0u8; LOG_BYTES];
        attempt(&mut log).map_err(|error| {
            let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
            let text = String::from_utf8_lossy(&log[..end]);
            let tail: Vec<&str> = text.lines().rev().take(6).collect();
            let reason: Vec<&str> = tail.into_iter().rev().collect();
            io::Error::new(error.kind(), format!("{error}; verifier: {}", reason.join(" | ")))
        })
    })
}

/// Puts a program into place `index` of a program array.
///
/// # Errors
/// The kernel's: `EINVAL` for a program of another type than those that are there, or that jump there.
pub(super) fn set_program(map: RawFd, index: u32, program: RawFd) -> io::Result<()> {
    let mut attr = Attr::new().u32(0, map.cast_unsigned()).pointer(8, &raw const index).pointer(16, &raw const program);
    attr.call(BPF_MAP_UPDATE_ELEM).map(|_| ())
}

/// Where a link of many functions calls its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At their entry.
    Entry,
    /// At their return.
    Return,
    /// At both: a program for kprobe.session.
    Both,
}

/// One link that attaches a kprobe.multi program to many addresses, each with its cookie.
///
/// # Errors
/// The kernel's: EINVAL or ESRCH when one address cannot be probed, EOPNOTSUPP without FPROBE.
pub(super) fn link_kprobe_multi(program: RawFd, at: &[u64], cookies: &[u64], when: At) -> io::Result<OwnedFd> {
    Attr::new()
        .u32(0, program.cast_unsigned())
        .u32(8, if when == At::Both { ATTACH_KPROBE_SESSION } else { ATTACH_KPROBE_MULTI })
        .u32(16, if when == At::Return { KPROBE_MULTI_RETURN } else { 0 })
        .u32(20, at.len() as u32)
        .pointer(32, at.as_ptr())
        .pointer(40, cookies.as_ptr())
        .open(BPF_LINK_CREATE)
}

/// Attaches a fentry or fexit program that was loaded for its function.
///
/// # Errors
/// The kernel's.
pub(super) fn link_tracing(program: RawFd) -> io::Result<OwnedFd> {
    Attr::new().u32(8, program.cast_unsigned()).open(BPF_RAW_TRACEPOINT_OPEN)
}

/// The same with a cookie.
///
/// # Errors
/// The kernel's: EINVAL before 5.19.
pub(super) fn link_tracing_with_cookie(program: RawFd, attach_type: u32, cookie: u64) -> io::Result<OwnedFd> {
    Attr::new().u32(0, program.cast_unsigned()).u32(8, attach_type).u64(24, cookie).open(BPF_LINK_CREATE)
}

/// Attaches a program to a raw tracepoint.
///
/// # Errors
/// The kernel's; `NotFound` when it has no such tracepoint.
pub(super) fn link_raw_tracepoint(program: RawFd, tracepoint: &CStr) -> io::Result<OwnedFd> {
    Attr::new().pointer(0, tracepoint.as_ptr()).u32(8, program.cast_unsigned()).open(BPF_RAW_TRACEPOINT_OPEN)
}

/// A single kprobe at `address` with a cookie: the perf event and the link on it.
///
/// # Errors
/// The kernel's.
pub(super) fn link_kprobe(
    program: RawFd,
    address: u64,
    cookie: u64,
    on_return: bool,
) -> io::Result<(OwnedFd, OwnedFd)> {
    let event = open_kprobe(address, on_return)?;
    let link = Attr::new()
        .u32(0, program.cast_unsigned())
        .u32(4, event.as_raw_fd().cast_unsigned())
        .u32(8, ATTACH_PERF_EVENT)
        .u64(16, cookie)
        .open(BPF_LINK_CREATE)?;
    Ok((link, event))
}

fn open_kprobe(address: u64, on_return: bool) -> io::Result<OwnedFd> {
    const DEVICE: &str = "/sys/bus/event_source/devices/kprobe";
    let number = |text: String| text.trim().parse::<u32>().map_err(io::Error::other);
    let kind = number(std::fs::read_to_string(format!("{DEVICE}/type"))?)?;
    // The bit of `config` that asks for a return probe, e.g. `config:0`.
    let format = std::fs::read_to_string(format!("{DEVICE}/format/retprobe"))?;
    let bit = number(format.trim().trim_start_matches("config:").to_owned())?;
    let mut attr = [0u8; 112];
    attr[0..4].copy_from_slice(&kind.to_ne_bytes());
    attr[4..8].copy_from_slice(&112u32.to_ne_bytes());
    attr[8..16].copy_from_slice(&(u64::from(on_return) << bit).to_ne_bytes());
    // config1 = 0: no name; config2 = the address.
    attr[64..72].copy_from_slice(&address.to_ne_bytes());
    // SAFETY: the attribute block is 112 bytes as its size field says, and lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), -1, 0, -1, PERF_FLAG_FD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The BTF of a loaded module.
///
/// # Errors
/// The kernel's; `NotFound` when it has no BTF for the module.
pub(super) fn module_btf(module: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        let mut attr = Attr::new().u32(0, id);
        attr.call(BPF_BTF_GET_NEXT_ID)?;
        id = attr.read_u32(4);
        let Ok(fd) = Attr::new().u32(0, id).open(BPF_BTF_GET_FD_BY_ID) else { continue };
        let mut name = [0u8; 64];
        // struct bpf_btf_info: btf, btf_size, id, name, name_len, kernel_btf.
        let mut info = [0u64, 0, name.as_mut_ptr() as u64, name.len() as u64];
        let asked = Attr::new().u32(0, fd.as_raw_fd().cast_unsigned()).u32(4, 32).pointer(8, info.as_mut_ptr());
        if { asked }.call(BPF_OBJ_GET_INFO_BY_FD).is_ok() && name.split(|b| *b == 0).next() == Some(module.as_bytes()) {
            return Ok(fd);
        }
    }
}

/// What the kernel says of a program.
#[derive(Debug)]
pub(super) struct ProgramInfo {
    /// Its name, 15 bytes at most.
    pub(super) name: String,
    /// Runs and nanoseconds in them, while they were counted.
    pub(super) runs: u64,
    pub(super) nanoseconds: u64,
    /// Runs that the kernel skipped because the program was already running on that CPU (0 before 5.12).
    pub(super) missed: u64,
}

/// Makes a file in memory, which nothing else sees, and changes it in three ways, for which the kernel locks its inode.
pub(super) fn change_memory_file() {
    // SAFETY: the name is NUL-terminated; the descriptor is ours alone.
    unsafe {
        let memory = libc::memfd_create(c"vfs-audit-self-test".as_ptr(), libc::MFD_CLOEXEC);
        if memory >= 0 {
            libc::ftruncate(memory, 4096);
            libc::fallocate(memory, 0, 0, 8192);
            libc::write(memory, c"x".as_ptr().cast(), 1);
            libc::close(memory);
        }
    }
}

/// Asks the kernel to count the runs of all programs, and the time they take, while the descriptor is open.
///
/// # Errors
/// The kernel's.
pub(super) fn enable_stats() -> io::Result<OwnedFd> {
    // Type 0: BPF_STATS_RUN_TIME.
    Attr::new().open(BPF_ENABLE_STATS)
}

/// # Errors
/// The kernel's.
pub(super) fn program_info(program: RawFd) -> io::Result<ProgramInfo> {
    // Offsets of `name`, `run_time_ns`, `run_cnt`, `recursion_misses` in struct `bpf_prog_info`.
    const NAME: usize = 64;
    const NAME_BYTES: usize = 16;
    const RUN_TIME_NS: usize = 192;
    const RUN_COUNT: usize = 200;
    const RECURSION_MISSES: usize = 208;
    let mut info = [0u64; 32];
    let mut attr =
        Attr::new().u32(0, program.cast_unsigned()).u32(4, size_of_val(&info) as u32).pointer(8, info.as_mut_ptr());
    attr.call(BPF_OBJ_GET_INFO_BY_FD)?;
    let name: Vec<u8> = info[NAME / 8..(NAME + NAME_BYTES) / 8].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(ProgramInfo {
        name: String::from_utf8_lossy(&name[..end]).into_owned(),
        runs: info[RUN_COUNT / 8],
        nanoseconds: info[RUN_TIME_NS / 8],
        missed: info[RECURSION_MISSES / 8],
    })
}
