//! A file system on persistent memory, mapped without a page cache: faults that map the memory itself, in pages of both sizes.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::session::Session;
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::mounting;

const DEVICE: &str = "/dev/pmem0";
/// Two pages of the large size, and room for the mapping to be aligned to it.
const LENGTH: usize = 6 << 20;
/// Some pages.
const SMALL: usize = 4 * PAGE;
const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// All of it, on file systems that differ in what they do of it.
pub(super) fn exercise(session: &mut Session, images: &Path) -> Result<()> {
    for (kind, image, options) in [("ext4", "dax.img", "dax=always"), ("xfs", "dax-xfs.img", "dax=always")] {
        on_one(session, &images.join(image), kind, options).with_context(|| kind.to_owned())?;
    }
    Ok(())
}

fn on_one(session: &mut Session, image: &Path, kind: &'static str, options: &str) -> Result<()> {
    let device = Path::new(DEVICE);
    if !device.exists() || !image.exists() {
        session.note("pmem", &format!("no {DEVICE} (memmap=64M!1G), or no image {}", image.display()));
        return Ok(());
    }
    session.call("copy", device, |device| {
        let file = fs::File::options().write(true).open(device)?;
        file.write_all_at(&fs::read(image)?, 0)?;
        file.sync_all()
    })?;
    let point = super::mounts::point(session)?;
    let mount = |point: &Path| mounting::mount_with(device, point, kind, 0, options);
    if session.call_or("dax", &point, &[libc::EINVAL, libc::EOPNOTSUPP, libc::ENODEV], mount)?.is_some() {
        let worked = mapped(session, &point.join("mapped")).and_then(|()| small(session, &point.join("small")));
        session.call("umount", &point, mounting::unmount)?;
        worked?;
    }
    session.call("rmdir", &point, |path| fs::remove_dir(path))
}

/// Too small for the large size: pages that are read are mapped read-only, one by one, and a write then has to ask.
fn small(session: &mut Session, path: &Path) -> Result<()> {
    let file = session.call("create", path, crate::io::open)?;
    session.call("write", path, |_| file.write_all_at(&vec![1; SMALL], 0))?;
    session.call("fsync", path, |_| file.sync_all())?;
    let mapping = session.call("mmap", path, |_| Mapping::shared(&file, BOTH, SMALL, 0))?;
    ensure!(mapping.pages_are(0..SMALL, 1), "the mapping is not what was written");
    mapping.write_pages(0..SMALL, 2);
    session.call("msync", path, |_| mapping.sync())?;
    ensure!(mapping.pages_are(0..SMALL, 2), "the mapping lost a write");
    drop((mapping, file));
    session.call("unlink", path, |path| fs::remove_file(path))
}

fn mapped(session: &mut Session, path: &Path) -> Result<()> {
    let file = session.call("create", path, crate::io::open)?;
    session.call("fallocate", path, |_| crate::sys::fallocate(&file, 0, 0..LENGTH as u32))?;
    session.call("write", path, |_| file.write_all_at(&vec![1; LENGTH], 0))?;
    let mapping = session.call("mmap", path, |_| Mapping::shared(&file, BOTH, LENGTH, 0))?;
    // Mapped for reading first: each write then has to ask.
    ensure!(mapping.pages_are(0..LENGTH, 1), "the mapping is not what was written");
    mapping.write_pages(0..LENGTH, 2);
    session.call("msync", path, |_| mapping.sync())?;
    ensure!(mapping.pages_are(0..LENGTH, 2), "the mapping lost a write");
    mapping.write_pages(0..LENGTH, 3);
    let mut found = vec![0; PAGE];
    session.call("pread", path, |_| file.read_exact_at(&mut found, (LENGTH - PAGE) as u64))?;
    ensure!(found[0] == 3, "the file lacks what was written through the mapping");
    session.call("ftruncate", path, |_| file.set_len(PAGE as u64))?;
    ensure!(mapping.read(0) == 3, "truncation took more than it was asked for");
    drop((mapping, file));
    session.call("unlink", path, |path| fs::remove_file(path))
}
