//! Swapping to a compressed RAM disk: memory without a file and of tmpfs goes out and comes back.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::session::Session;
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::mounting;

const DISK: &str = "/dev/zram0";
const DISK_SIZE: &str = "/sys/block/zram0/disksize";
const DISK_RESET: &str = "/sys/block/zram0/reset";
const SWAP_PAGES: u32 = 8192;
const PAGES: usize = 512;
const LENGTH: usize = PAGES * PAGE;

/// All of it.
pub(crate) fn exercise(session: &mut Session, _images: &Path) -> Result<()> {
    let size = (u64::from(SWAP_PAGES) * PAGE as u64).to_string();
    let disk_size = Path::new(DISK_SIZE);
    if session.call_or("zram", disk_size, &[libc::ENOENT], |path| fs::write(path, size))?.is_none() {
        return Ok(());
    }
    let disk = Path::new(DISK);
    let file = session.call("open", disk, |path| fs::File::options().write(true).open(path))?;
    session.call("write", disk, |_| file.write_all_at(&mounting::swap_header(SWAP_PAGES), 0))?;
    session.call("fsync", disk, |_| file.sync_all())?;
    drop(file);
    session.call("swapon", disk, mounting::swap_on)?;
    let swapped = without_file(session).and_then(|()| of_tmpfs(session));
    session.call("swapoff", disk, mounting::swap_off)?;
    session.call("zram", Path::new(DISK_RESET), |path| fs::write(path, "1"))?;
    swapped
}

fn pages_in_swap() -> Result<u64> {
    let areas = fs::read_to_string("/proc/swaps")?;
    let used =
        areas.lines().find(|line| line.starts_with(DISK)).and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    used.ok_or_else(|| anyhow::anyhow!("/proc/swaps has no figure for {DISK}: {areas}"))
}

/// Written out, read back, and given up while they are out.
fn without_file(session: &mut Session) -> Result<()> {
    let memory = Mapping::anonymous(libc::MAP_PRIVATE, LENGTH)?;
    for byte in 1..3 {
        memory.write_pages(0..LENGTH, byte);
        session.call("pageout", Path::new("anonymous"), |_| memory.advise(libc::MADV_PAGEOUT))?;
        ensure!(pages_in_swap()? > 0, "nothing of the memory was swapped out");
        ensure!(memory.pages_are(0..LENGTH, byte), "a page came back different from swap");
    }
    session.call("pageout", Path::new("anonymous"), |_| memory.advise(libc::MADV_PAGEOUT))?;
    Ok(())
}

/// The same for a file of a tmpfs.
fn of_tmpfs(session: &mut Session) -> Result<()> {
    let point = super::mounts::point(session)?;
    session.call("mount", &point, |point| mounting::mount("tmpfs", point))?;
    let path = point.join("file");
    let swapped = (|| -> Result<()> {
        let file = session.call("create", &path, crate::io::open)?;
        file.set_len(LENGTH as u64)?;
        let memory = Mapping::shared(&file, libc::PROT_READ | libc::PROT_WRITE, LENGTH, 0)?;
        memory.write_pages(0..LENGTH, 3);
        session.call("pageout", &path, |_| memory.advise(libc::MADV_PAGEOUT))?;
        ensure!(pages_in_swap()? > 0, "nothing of the file was swapped out");
        ensure!(memory.pages_are(0..LENGTH, 3), "a page of the file came back different from swap");
        session.call("pageout", &path, |_| memory.advise(libc::MADV_PAGEOUT))
    })();
    session.call("umount", &point, mounting::unmount)?;
    session.call("rmdir", &point, |path| fs::remove_dir(path))?;
    swapped
}
