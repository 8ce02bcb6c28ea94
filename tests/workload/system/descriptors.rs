//! Descriptors that no path leads to: pipes, sockets, memory files, events, timers, terminals. What /proc calls them, what it
//! says of them, and being told by a signal that they are ready.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::session::{Session, expect_eq};
use crate::sys::mapping::{self, Mapping, PAGE};
use crate::sys::{self, locking, moving};

/// All of them.
pub(crate) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    locking::ignore_signal(libc::SIGIO);
    pipe(session)?;
    let (one, other) = UnixStream::pair()?;
    named(session, one.as_raw_fd(), "socket:")?;
    told_by_signal(session, one.as_raw_fd())?;
    sent(session, &one, other)?;
    // A socket stays open, so that an audit that has begun meanwhile finds its operations before one is sent to again.
    std::mem::forget(one);
    events(session)?;
    memory_files(session)?;
    terminal(session)?;
    namespaces(session)?;
    shared_memory(session)
}

/// System V memory, inherited by a child: the one mapping that everybody has whose `open` counts its users.
fn shared_memory(session: &mut Session) -> Result<()> {
    let none = Path::new("shm");
    let (id, start) = session.call("shmat", none, |_| mapping::attach_shared_memory(PAGE))?;
    // SAFETY: the mapping is ours, of a page, and stays until it is detached below.
    let byte = unsafe { std::sync::atomic::AtomicU8::from_ptr(start.cast()) };
    let child = sys::fork(|| {
        byte.store(7, std::sync::atomic::Ordering::SeqCst);
        0
    })?;
    expect_eq("end of the child", &sys::wait(child)?, &0)?;
    expect_eq("what the child wrote", &byte.load(std::sync::atomic::Ordering::SeqCst), &7)?;
    session.call("shmdt", none, |_| mapping::detach_shared_memory(id, start))
}

/// Once more a file into a socket, a while after the first.
pub(crate) fn send_again(session: &mut Session, _images: &Path) -> Result<()> {
    let (one, other) = UnixStream::pair()?;
    sent(session, &one, other)
}

/// A file into a socket.
fn sent(session: &mut Session, one: &UnixStream, other: UnixStream) -> Result<()> {
    let program = Path::new("/proc/self/exe");
    let (source, into) = (File::open(program)?, File::from(OwnedFd::from(other)));
    let length = session.call("sendfile", program, |_| moving::sendfile(&source, &into, PAGE))?;
    let mut received = vec![0; length];
    let mut reader = one;
    reader.read_exact(&mut received)?;
    ensure!(received.starts_with(b"\x7fELF"), "what came out of the socket is no program");
    Ok(())
}

/// What the link in /proc/self/fd says, and that fdinfo can be read.
fn named(session: &mut Session, descriptor: RawFd, start: &str) -> Result<()> {
    let link = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
    let name = session.call("readlink", &link, |path| fs::read_link(path))?.display().to_string();
    ensure!(name.starts_with(start), "{} is called {name:?}, expected {start:?}", link.display());
    let info = PathBuf::from(format!("/proc/self/fdinfo/{descriptor}"));
    let text = session.call("fdinfo", &info, |path| fs::read_to_string(path))?;
    ensure!(text.contains("flags:"), "{} says {text:?}", info.display());
    Ok(())
}

/// `O_ASYNC` on and off.
fn told_by_signal(session: &mut Session, descriptor: RawFd) -> Result<()> {
    let link = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
    let flags = locking::status_flags(descriptor)?;
    session.call("fasync", &link, |_| locking::set_status_flags(descriptor, flags | libc::O_ASYNC))?;
    let with = locking::status_flags(descriptor)?;
    expect_eq("O_ASYNC", &(with & libc::O_ASYNC), &libc::O_ASYNC)?;
    session.call("fasync", &link, |_| locking::set_status_flags(descriptor, flags))
}

fn pipe(session: &mut Session) -> Result<()> {
    let (mut reader, mut writer) = sys::pipe()?;
    named(session, reader.as_raw_fd(), "pipe:")?;
    told_by_signal(session, reader.as_raw_fd())?;
    expect_eq("an empty pipe", &moving::poll(reader.as_raw_fd(), libc::POLLIN)?, &0)?;
    writer.write_all(b"through")?;
    expect_eq("a full pipe", &moving::poll(reader.as_raw_fd(), libc::POLLIN)?, &libc::POLLIN)?;
    let mut text = [0; 7];
    reader.read_exact(&mut text)?;
    expect_eq("what came through the pipe", &text, b"through")?;
    let mut bytes = 0;
    session.call("fionread", Path::new("pipe"), |_| {
        // SAFETY: the ioctl writes one int through the pointer.
        sys::check(unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })
    })?;
    expect_eq("bytes left in the pipe", &bytes, &0)
}

/// A descriptor that a system call returned, as a file of ours.
fn owned(descriptor: libc::c_int) -> io::Result<File> {
    // SAFETY: the kernel has just made the descriptor for us.
    sys::check(descriptor).map(|descriptor| unsafe { File::from_raw_fd(descriptor) })
}

fn events(session: &mut Session) -> Result<()> {
    let none = Path::new("anon_inode");
    // SAFETY: integers alone are passed, but for signalfd, whose set is valid and outlives the call.
    let (event, timer, notify, epoll, signal, own) = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGUSR2);
        (
            session.call("eventfd", none, |_| owned(libc::eventfd(3, 0)))?,
            session.call("timerfd", none, |_| owned(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0)))?,
            session.call("inotify", none, |_| owned(libc::inotify_init1(0)))?,
            session.call("epoll", none, |_| owned(libc::epoll_create1(0)))?,
            session.call("signalfd", none, |_| owned(libc::signalfd(-1, &raw const set, 0)))?,
            session.call("pidfd", none, |_| {
                owned(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as libc::c_int)
            })?,
        )
    };
    for file in [&event, &timer, &notify, &epoll, &signal] {
        named(session, file.as_raw_fd(), "anon_inode:")?;
    }
    // An inode of a file system of its own since 6.9.
    named(session, own.as_raw_fd(), "")?;
    told_by_signal(session, notify.as_raw_fd())?;
    let mut request = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
    // SAFETY: one event is read, and one written.
    let ready = session.call("epoll", none, |_| unsafe {
        sys::check(libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, event.as_raw_fd(), &raw mut request))?;
        sys::check(libc::epoll_wait(epoll.as_raw_fd(), &raw mut request, 1, 0))
    })?;
    expect_eq("events", &ready, &1)?;
    named(session, epoll.as_raw_fd(), "anon_inode:")?;
    let mut count = [0; 8];
    (&event).read_exact(&mut count)?;
    expect_eq("count of the event", &u64::from_ne_bytes(count), &3)
}

/// Memory behind a descriptor, in pages of both sizes, and memory that the kernel does not map.
fn memory_files(session: &mut Session) -> Result<()> {
    let none = Path::new("memfd");
    let make = |flags| {
        // SAFETY: the name is NUL-terminated.
        owned(unsafe { libc::memfd_create(c"workload".as_ptr(), flags) })
    };
    let file = session.call("memfd", none, |_| make(libc::MFD_ALLOW_SEALING))?;
    named(session, file.as_raw_fd(), "/memfd:workload")?;
    file.set_len(PAGE as u64)?;
    let huge = session.call_if_offered("memfd_huge", none, |_| make(libc::MFD_HUGETLB))?;
    if let Some(huge) = huge {
        named(session, huge.as_raw_fd(), "/memfd:workload")?;
    }
    let secret = session.call_if_offered("memfd_secret", none, |_| mapping::secret_memory())?;
    if let Some(secret) = secret {
        secret.set_len(PAGE as u64)?;
        let memory = Mapping::shared(&secret, libc::PROT_READ | libc::PROT_WRITE, PAGE, 0)?;
        memory.write(0, 42);
        expect_eq("secret memory", &memory.read(0), &42)?;
    }
    Ok(())
}

/// A pseudo terminal.
fn terminal(session: &mut Session) -> Result<()> {
    let path = Path::new("/dev/ptmx");
    let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
    let mut master = session.call("open", path, open)?;
    let (mut number, unlock) = (0, 0);
    // SAFETY: both ioctls take a pointer to one int.
    session.call("ioctl", path, |_| unsafe {
        sys::check(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock))?;
        sys::check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number))
    })?;
    let slave_path = PathBuf::from(format!("/dev/pts/{number}"));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOCTTY);
    let mut slave = session.call("open", &slave_path, |path| options.open(path))?;
    named(session, slave.as_raw_fd(), "/dev/pts/")?;
    told_by_signal(session, slave.as_raw_fd())?;
    expect_eq("a terminal without a line", &moving::poll(slave.as_raw_fd(), libc::POLLIN)?, &0)?;
    master.write_all(b"line\n")?;
    let mut text = [0; 5];
    slave.read_exact(&mut text)?;
    expect_eq("what the terminal brought", &text, b"line\n")
}

/// Namespaces, as files: their dentries go as soon as nobody holds them.
fn namespaces(session: &mut Session) -> Result<()> {
    for name in ["net", "mnt", "uts", "ipc", "pid"] {
        let path = PathBuf::from(format!("/proc/self/ns/{name}"));
        let file = session.call("open", &path, |path| File::open(path))?;
        named(session, file.as_raw_fd(), &format!("{name}:["))?;
    }
    Ok(())
}
