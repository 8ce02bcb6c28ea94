//! Random operations on one file, each checked against a model in memory, as fsx does: data read is data written, whichever
//! way it went in and whichever way it comes out.

use crate::reference::fs::new_device;
use crate::reference::object::open_flags::{O_CREAT, O_RDWR};
use crate::reference::object::{BlockDevice, Errno, File, PAGE_SIZE, Result};
use crate::reference::task::Task;
use crate::reference::vfs::memory::exit_mmap;
use crate::reference::vfs::reclaim::{migrate_pages, shrink_page_list};
use crate::reference::vfs::types::falloc::{KEEP_SIZE, PUNCH_HOLE};

use super::each::{expect_data, pattern};
use super::user::User;

/// Bytes that the file grows to at most.
const SIZE_MAX: u64 = 12 * PAGE_SIZE as u64;
/// Blocks of the disk.
const DISK_BLOCKS: u64 = 4096;

/// File systems that are checked so.
pub(crate) const FILE_SYSTEMS: [&str; 4] = ["memory", "disk", "remote", "attr"];

/// The file under test with what must be in it.
struct Checked<'u, 't, 'k> {
    user: &'u User<'t, 'k>,
    file: &'static File,
    model: Vec<u8>,
}

/// Makes so many random operations on a file system.
pub(crate) fn fsx(t: &Task, fs: &str, steps: u64) -> Result<()> {
    t.uid.set(0);
    let device = (fs == "disk").then(|| new_device(t.kernel, DISK_BLOCKS, t.below(u64::MAX)));
    let mut user = User::mount(t, fs, device)?;
    let mut model = Vec::new();
    let rounds = steps.div_ceil(STEPS_PER_MOUNT);
    for round in 0..rounds {
        let file = user.open("file", O_CREAT | O_RDWR)?;
        let mut checked = Checked { user: &user, file, model };
        for _ in 0..STEPS_PER_MOUNT {
            checked.step()?;
        }
        checked.read(0, SIZE_MAX)?;
        model = checked.model;
        user.close(file)?;
        if round + 1 < rounds {
            user = mounted_again(t, user, fs, device)?;
        }
    }
    user.umount(false)
}

/// Steps between two mounts.
const STEPS_PER_MOUNT: u64 = 200;

/// What is on the disk is there after the next mount; what is in memory stays mounted.
fn mounted_again<'t, 'k>(
    t: &'t Task<'k>,
    user: User<'t, 'k>,
    fs: &str,
    device: Option<&'static BlockDevice>,
) -> Result<User<'t, 'k>> {
    if device.is_none() {
        return Ok(user);
    }
    user.umount(false)?;
    User::mount(t, fs, device)
}

impl Checked<'_, '_, '_> {
    fn step(&mut self) -> Result<()> {
        let t = self.user.t;
        let (at, length) = (t.below(SIZE_MAX - 1), t.below(2 * PAGE_SIZE as u64) + 1);
        let length = length.min(SIZE_MAX - at);
        match t.below(10) {
            0..=2 => self.write(at, length),
            3 | 4 => self.read(at, length),
            5 => self.truncate(at),
            6 => self.punch(at, length),
            7 => self.mapped(at),
            8 => self.user.fsync(self.file),
            _ => {
                t.syscalls("", || migrate_pages(t, self.file.mapping()));
                t.syscalls("", || shrink_page_list(t, self.file.mapping()));
                Ok(())
            }
        }
    }

    fn write(&mut self, at: u64, length: u64) -> Result<()> {
        let data = pattern(self.user.t.below(u64::MAX), length as usize);
        self.user.write(self.file, &data, at)?;
        let end = (at + length) as usize;
        if self.model.len() < end {
            self.model.resize(end, 0);
        }
        self.model[at as usize..end].copy_from_slice(&data);
        Ok(())
    }

    fn read(&self, at: u64, length: u64) -> Result<()> {
        let found = self.user.read(self.file, length as usize, at)?;
        let from = (at as usize).min(self.model.len());
        let to = ((at + length) as usize).min(self.model.len());
        expect_data(self.user.t, &format!("fsx at {at}"), &found, &self.model[from..to]);
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.user.truncate("file", size)?;
        self.model.resize(size as usize, 0);
        Ok(())
    }

    fn punch(&mut self, at: u64, length: u64) -> Result<()> {
        match self.user.fallocate(self.file, PUNCH_HOLE | KEEP_SIZE, at, length) {
            Err(Errno::EOPNOTSUPP) => return Ok(()),
            result => result?,
        }
        let (from, to) = ((at as usize).min(self.model.len()), ((at + length) as usize).min(self.model.len()));
        self.model[from..to].fill(0);
        Ok(())
    }

    /// Through memory: one byte is stored, and what is around it is loaded.
    fn mapped(&mut self, at: u64) -> Result<()> {
        let t = self.user.t;
        let address = match self.user.mmap(self.file, SIZE_MAX, true) {
            Err(Errno::ENODEV) => return Ok(()),
            result => result?,
        };
        if (at as usize) < self.model.len() {
            let found = self.user.touch(address + at, None)?;
            expect_data(t, &format!("fsx in memory at {at}"), &[found], &self.model[at as usize..=at as usize]);
            self.user.touch(address + at, Some(0xa5))?;
            self.model[at as usize] = 0xa5;
        }
        self.user.munmap(address)?;
        t.syscalls("exit_group", || exit_mmap(t));
        Ok(())
    }
}
