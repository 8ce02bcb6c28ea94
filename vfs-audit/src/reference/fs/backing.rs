//! Where a file system keeps its files: what its callbacks work on.

use crate::reference::object::Result;
use crate::reference::task::Task;
use crate::reference::vfs::types::Statfs;

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) nlink: u32,
    pub(crate) size: u64,
}

/// One side of a rename.
pub(crate) type Name<'n> = (u64, &'n str);

/// A store of names, attributes and data. It may sleep in each method.
pub(crate) trait Backing: Send + Sync {
    /// The number of the root.
    fn root(&self) -> u64;
    /// What is known of a file.
    fn node(&self, t: &Task, ino: u64) -> Result<Node>;
    /// The file of a name.
    fn lookup(&self, t: &Task, dir: u64, name: &str) -> Result<Option<u64>>;
    /// Makes a file of a mode; its kind is in the mode.
    fn create(&self, t: &Task, dir: u64, name: &str, node: Node) -> Result<u64>;
    /// Makes a file without a name.
    fn create_unnamed(&self, t: &Task, node: Node) -> Result<u64>;
    /// Makes a symbolic link.
    fn symlink(&self, t: &Task, dir: u64, name: &str, target: &str) -> Result<u64>;
    /// Where a symbolic link leads.
    fn target(&self, t: &Task, ino: u64) -> Result<String>;
    /// Gives a file another name.
    fn link(&self, t: &Task, ino: u64, dir: u64, name: &str) -> Result<()>;
    /// Removes a name of a file.
    fn unlink(&self, t: &Task, dir: u64, name: &str) -> Result<()>;
    /// Removes an empty directory.
    fn rmdir(&self, t: &Task, dir: u64, name: &str) -> Result<()>;
    /// Moves a name, over another if there is one.
    fn rename(&self, t: &Task, from: Name<'_>, to: Name<'_>, exchange: bool) -> Result<()>;
    /// The names of a directory.
    fn list(&self, t: &Task, dir: u64) -> Result<Vec<(String, u64)>>;
    /// Takes attributes over.
    fn set_node(&self, t: &Task, ino: u64, node: Node) -> Result<()>;
    /// Cuts off, or makes longer.
    fn set_size(&self, t: &Task, ino: u64, size: u64) -> Result<()>;
    /// Forgets the pages of a range.
    fn punch(&self, t: &Task, ino: u64, first_page: u64, end_page: u64) -> Result<()>;
    /// Reads one page.
    fn read_page(&self, t: &Task, ino: u64, index: u64, data: &mut [u8]) -> Result<()>;
    /// Writes one page.
    fn write_page(&self, t: &Task, ino: u64, index: u64, data: &[u8]) -> Result<()>;
    /// A file that has no names left and is not open.
    fn free(&self, t: &Task, ino: u64) -> Result<()>;
    /// Makes everything that was written durable.
    fn sync(&self, t: &Task) -> Result<()>;
    /// Figures.
    fn statfs(&self) -> Statfs;
}
