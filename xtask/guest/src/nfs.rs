//! An NFSv4.2 server and its client in one guest, over the loopback, without any daemon.
//!
//! What exports and clients there are, the kernel asks `mountd` through the files in `/proc/net/rpc`. Everything that it will
//! ask is known here, so the answers are written before it asks (`Documentation/filesystems/nfs/rpc-cache.rst`).

use std::fs;
use std::io;
use std::path::Path;

use crate::mounts;

const EXPORTED: &str = "/run/nfs-export";
/// A time that never comes: when an answer is no longer valid.
const NEVER: &str = "2147483647";
/// `NFSEXP_FSID | NFSEXP_NOSUBTREECHECK | NFSEXP_INSECURE_PORT`: the root of what NFS clients see, written to by root.
const EXPORT_FLAGS: u32 = 0x2000 | 0x400 | 0x2;
const NOBODY: u32 = 65534;
/// `FSID_NUM` with the number 0, as file handles carry it.
const ROOT_FSID: &str = "1 \\x00000000";

/// The least that the kernel takes for the times of leases and of grace.
const SECONDS_LEAST: &str = "10\n";

/// Mounts the drive and exports it to this machine.
pub(crate) fn serve(drive: &Path) -> io::Result<()> {
    fs::create_dir_all(EXPORTED)?;
    mounts::mount("ext4", &drive.to_string_lossy(), EXPORTED, "")?;
    mounts::mount("nfsd", "nfsd", "/proc/fs/nfsd", "")?;
    for (cache, answer) in [
        ("auth.unix.ip", format!("nfsd 127.0.0.1 {NEVER} self")),
        ("nfsd.export", format!("self {EXPORTED} {NEVER} {EXPORT_FLAGS} {NOBODY} {NOBODY} 0")),
        ("nfsd.fh", format!("self {ROOT_FSID} {NEVER} {EXPORTED}")),
    ] {
        write(&format!("/proc/net/rpc/{cache}/channel"), &format!("{answer}\n"))?;
    }
    // Earlier versions need a portmapper and a lock daemon.
    write("/proc/fs/nfsd/versions", "-2 -3 +4 +4.1 +4.2\n")
        .or_else(|_| write("/proc/fs/nfsd/versions", "-3 +4 +4.1 +4.2\n"))?;
    // There is no client of an earlier boot to wait for. The kernel waits all the same, since without a daemon it cannot know:
    // for as short a time as it allows.
    write("/proc/fs/nfsd/nfsv4leasetime", SECONDS_LEAST)?;
    write("/proc/fs/nfsd/nfsv4gracetime", SECONDS_LEAST)?;
    // Since 7.0 nobody listens unless told to; before, this is what it would do by itself, and to be told is no error that counts.
    let listening = write("/proc/fs/nfsd/portlist", "tcp 2049\n");
    write("/proc/fs/nfsd/threads", "4\n").map_err(|error| listening.err().unwrap_or(error))
}

/// Mounts what is exported.
pub(crate) fn mount(target: &str) -> io::Result<()> {
    let mount = |version: &str| {
        let data = format!("vers={version},addr=127.0.0.1,clientaddr=127.0.0.1,sec=sys");
        mounts::mount("nfs4", "127.0.0.1:/", target, &data)
    };
    // A kernel can be built without the later ones (CONFIG_NFS_V4_1, CONFIG_NFS_V4_2), or without the first (CONFIG_NFS_V4_0).
    mount("4.2").or_else(|later| mount("4.1").or_else(|_| mount("4.0")).map_err(|_| later))
}

fn write(path: &str, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| io::Error::new(error.kind(), format!("writing {text:?} to {path}: {error}")))
}
