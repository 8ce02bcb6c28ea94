//! An NFS server in the kernel, started by its control files alone: no rpcbind, no mountd. What it would ask mountd for is
//! written into its caches beforehand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::session::Session;
use crate::sys::mounting;

const CONTROL: &str = "/proc/fs/nfsd";
/// Where the server keeps a record of its clients, if it finds the place.
const RECORD: &str = "/var/lib/nfs/v4recovery";
const CACHES: &str = "/proc/net/rpc";
/// Where it listens: not the usual port, so that no other server is in the way.
pub(super) const PORT: u16 = 20_049;
const THREADS: &str = "4";
/// `NFSEXP_INSECURE_PORT`, `NFSEXP_NOSUBTREECHECK`, `NFSEXP_FSID`: read and write for all, root included.
const EXPORT_FLAGS: u32 = 0x2 | 0x400 | 0x2000;
/// Name of those who may mount.
const DOMAIN: &str = "vfs-workload";
/// Seconds for which the caches are good.
const VALIDITY: u64 = 3600;
/// How long the export may stay in use when the server has ended.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Seconds of a lease, the least that the server takes.
const LEASE_TIME: &str = "10";

/// A running server that exports a tmpfs.
#[derive(Debug)]
pub(super) struct Daemon {
    /// The directory that it exports.
    pub(super) export: PathBuf,
    control_is_ours: bool,
}

impl Daemon {
    /// Starts it; nothing when the kernel has none.
    pub(super) fn start(session: &mut Session) -> Result<Option<Self>> {
        let control = Path::new(CONTROL);
        if !control.exists() {
            session.note("nfsd", "no /proc/fs/nfsd: the kernel has no NFS server");
            return Ok(None);
        }
        let control_is_ours = !control.join("threads").exists();
        if control_is_ours {
            session.call("nfsd", control, |control| mounting::mount("nfsd", control))?;
        }
        let export = session.path("export");
        session.call("mkdir", &export, |path| fs::create_dir(path))?;
        session.call("tmpfs", &export, |path| mounting::mount("tmpfs", path))?;
        let daemon = Self { export, control_is_ours };
        daemon.fill_caches().context("telling the NFS server what it exports")?;
        fs::create_dir_all(RECORD).context("a place for the server's record of its clients")?;
        for (name, value) in [
            ("versions", "-3 +4 +4.1 +4.2".to_owned()),
            ("nfsv4leasetime", LEASE_TIME.to_owned()),
            ("nfsv4gracetime", LEASE_TIME.to_owned()),
            ("portlist", format!("tcp {PORT}")),
            ("threads", THREADS.to_owned()),
        ] {
            session.call("nfsd", &control.join(name), |path| fs::write(path, format!("{value}\n")))?;
        }
        // Nobody has anything to reclaim. Without a record of its clients, a server waits all the same, and so will they.
        let (grace, errnos) = (control.join("v4_end_grace"), [libc::EBUSY, libc::ENOENT]);
        session.call_or("end_grace", &grace, &errnos, |path| fs::write(path, "Y\n"))?;
        Ok(Some(daemon))
    }

    /// Who may mount, which directory is meant, and how it is exported.
    fn fill_caches(&self) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (until, export) = (now + VALIDITY, self.export.display());
        let write = |cache: &str, line: String| fs::write(Path::new(CACHES).join(cache).join("channel"), line + "\n");
        write("auth.unix.ip", format!("nfsd 127.0.0.1 {until} {DOMAIN}"))?;
        write("nfsd.export", format!("{DOMAIN} {export} {until} {EXPORT_FLAGS} 65534 65534 0"))?;
        // Kind 1: a number of four bytes; 0 is the root of all exports.
        write("nfsd.fh", format!("{DOMAIN} 1 \\x00000000 {until} {export}"))
    }

    /// Ends it and takes the export away.
    pub(super) fn stop(self, session: &mut Session) -> Result<()> {
        let control = Path::new(CONTROL);
        session.call("nfsd", &control.join("threads"), |path| fs::write(path, "0\n"))?;
        if self.control_is_ours {
            session.call("umount", control, mounting::unmount)?;
        }
        // Entries of the caches hold the directory until they are thrown away, which takes them a moment.
        let start = Instant::now();
        loop {
            flush_caches().context("throwing the caches away")?;
            session.count("umount");
            match mounting::unmount(&self.export) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && start.elapsed() < PATIENCE => {
                    sleep(POLL_INTERVAL);
                }
                other => break other.context("unmounting what was exported")?,
            }
        }
        session.call("rmdir", &self.export, |path| fs::remove_dir(path))
    }
}

fn flush_caches() -> io::Result<()> {
    let caches = ["nfsd.fh", "nfsd.export", "auth.unix.ip"];
    caches.iter().try_for_each(|cache| fs::write(Path::new(CACHES).join(cache).join("flush"), "1\n"))
}
