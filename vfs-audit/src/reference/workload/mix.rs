//! A mix of the usual system calls on one file system, as fast as they go: for load and for measuring.

use crate::reference::object::open_flags::{O_CREAT, O_RDONLY, O_RDWR};
use crate::reference::object::{Errno, PAGE_SIZE, Path, Result};
use crate::reference::task::Task;

use super::contend::view;
use super::user::User;

/// Files that the mix works on.
const FILES: [&str; 4] = ["dir/a", "dir/b", "dir/sub/c", "dir/sub/d"];

/// Makes the tree.
pub(crate) fn prepare(user: &User<'_, '_>) -> Result<()> {
    user.mkdir("dir")?;
    user.mkdir("dir/sub")?;
    for name in FILES {
        let file = user.open(name, O_CREAT | O_RDWR)?;
        user.write(file, &[7; 2 * PAGE_SIZE], 0)?;
        user.close(file)?;
    }
    Ok(())
}

/// One round: mostly looking at names and reading, some writing, now and then a name that comes and goes.
pub(crate) fn round(t: &Task, root: Path, task: usize, number: u64) -> Result<()> {
    let user = view(t, root);
    let name = FILES[t.below(FILES.len() as u64) as usize];
    user.stat(name)?;
    let file = user.open(name, if number.is_multiple_of(4) { O_RDWR } else { O_RDONLY })?;
    user.read(file, 64, t.below(PAGE_SIZE as u64))?;
    user.read(file, 64, t.below(PAGE_SIZE as u64))?;
    if number.is_multiple_of(4) {
        user.write(file, &[9; 64], t.below(PAGE_SIZE as u64))?;
    }
    user.close(file)?;
    user.stat("dir/sub")?;
    if number.is_multiple_of(16) {
        let own = format!("dir/own{task}");
        let file = user.open(&own, O_CREAT | O_RDWR)?;
        user.close(file)?;
        match user.rename(&own, &format!("dir/sub/own{task}"), 0) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
        user.unlink(&format!("dir/sub/own{task}"))?;
    }
    Ok(())
}
