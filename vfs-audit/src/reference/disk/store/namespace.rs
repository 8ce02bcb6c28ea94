//! Whole namespace operations, each one handle: create, link, symlink, unlink, rmdir, rename.
//!
//! A VFS has checked what it must (types, permissions, ancestry) before it calls; what is checked here again is what
//! would damage the store.

use super::sealed::{BlockKind, PAYLOAD_SIZE, get_u16, put_u16};
use super::{BlockIo, Entry, Error, Ino, Inode, Kind, Store};

/// Most bytes in the target of a symbolic link.
pub(super) const TARGET_LEN_MAX: usize = PAYLOAD_SIZE - 2;

impl<B: BlockIo> Store<B> {
    /// Creates an inode of this kind as `name` in `dir`. A directory starts empty.
    ///
    /// # Errors
    /// The name is taken or invalid, nothing is free, `dir` is no directory, or the journal is aborted.
    pub fn create(&mut self, dir: Ino, name: &[u8], kind: Kind, mode: u16) -> Result<Ino, Error> {
        self.transact(|store| {
            let ino = store.allocate_inode(kind, mode)?;
            store.add_entry(dir, name, ino, kind)?;
            let is_directory = kind == Kind::Directory;
            store.update_inode(ino, |inode| {
                inode.nlink = if is_directory { 2 } else { 1 };
                inode.special = if is_directory { dir } else { 0 };
            })?;
            if is_directory {
                store.update_inode(dir, |inode| inode.nlink += 1)?;
            }
            Ok(ino)
        })
    }

    /// Creates a symbolic link to `target`.
    ///
    /// # Errors
    /// As [`Store::create`], or the target is empty or too long.
    pub fn symlink(&mut self, dir: Ino, name: &[u8], target: &[u8]) -> Result<Ino, Error> {
        if target.is_empty() || target.len() > TARGET_LEN_MAX {
            return Err(Error::Name { bytes: target.len() });
        }
        self.transact(|store| {
            let ino = store.create(dir, name, Kind::Symlink, 0o777)?;
            let nr = store.add_block(ino, 0)?;
            store.make_block(nr, BlockKind::Symlink);
            store.change_block(nr, BlockKind::Symlink, |block| {
                put_u16(block, 0, target.len() as u16);
                block[2..2 + target.len()].copy_from_slice(target);
            })?;
            store.update_inode(ino, |inode| inode.size = target.len() as u64)?;
            Ok(ino)
        })
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// There is no such link, or it could not be read.
    pub fn read_symlink(&mut self, ino: Ino) -> Result<Vec<u8>, Error> {
        let inode = self.inode(ino)?;
        let nr = self.mapped(&inode, 0)?.filter(|_| inode.kind == Kind::Symlink).ok_or(Error::NoInode { ino })?;
        let block = self.block(nr, BlockKind::Symlink)?;
        let len = usize::from(get_u16(&block[..], 0)).min(TARGET_LEN_MAX);
        Ok(block[2..2 + len].to_vec())
    }

    /// Gives `ino` one more name.
    ///
    /// # Errors
    /// The name is taken or invalid, `ino` is a directory, or the journal is aborted.
    pub fn link(&mut self, ino: Ino, dir: Ino, name: &[u8]) -> Result<(), Error> {
        self.transact(|store| {
            let inode = store.inode(ino)?;
            if inode.kind == Kind::Directory {
                return Err(Error::IsDirectory { ino });
            }
            store.add_entry(dir, name, ino, inode.kind)?;
            store.change_links(ino, 1)?;
            Ok(())
        })
    }

    /// Removes a name that is not a directory's. Returns the inode and the links it has left; at none it lives on until
    /// [`Store::free_inode`], or until the mount after a crash.
    ///
    /// # Errors
    /// There is no such name, it is a directory's, or the journal is aborted.
    pub fn unlink(&mut self, dir: Ino, name: &[u8]) -> Result<(Ino, u32), Error> {
        self.transact(|store| {
            let entry = store.remove_entry(dir, name)?;
            if entry.kind == Kind::Directory {
                return Err(Error::IsDirectory { ino: entry.ino });
            }
            Ok((entry.ino, store.change_links(entry.ino, -1)?.nlink))
        })
    }

    /// Removes an empty directory; its inode lives on without links, as after [`Store::unlink`].
    ///
    /// # Errors
    /// There is no such directory, it is not empty, or the journal is aborted.
    pub fn rmdir(&mut self, dir: Ino, name: &[u8]) -> Result<Ino, Error> {
        self.transact(|store| {
            let entry = store.remove_entry(dir, name)?;
            store.drop_directory(dir, &entry)?;
            Ok(entry.ino)
        })
    }

    /// Moves a name. An inode that the new name had is returned with the links it has left.
    ///
    /// # Errors
    /// There is no such name; the new name is invalid; the two are not both directories or both not; the replaced
    /// directory is not empty; a directory would come to lie below itself; or the journal is aborted.
    pub fn rename(
        &mut self,
        (old_dir, old_name): (Ino, &[u8]),
        (new_dir, new_name): (Ino, &[u8]),
    ) -> Result<Option<(Ino, u32)>, Error> {
        self.transact(|store| {
            let moved = store.lookup(old_dir, old_name)?.ok_or(Error::NoEntry { dir: old_dir })?;
            let replaced = store.lookup(new_dir, new_name)?;
            if replaced.as_ref().is_some_and(|replaced| replaced.ino == moved.ino) {
                return Ok(None);
            }
            if moved.kind == Kind::Directory {
                store.refuse_loop(moved.ino, new_dir)?;
            }
            let left = if let Some(replaced) = replaced {
                Some(store.replace(new_dir, new_name, &moved, &replaced)?)
            } else {
                store.add_entry(new_dir, new_name, moved.ino, moved.kind)?;
                None
            };
            store.remove_entry(old_dir, old_name)?;
            if moved.kind == Kind::Directory && old_dir != new_dir {
                store.change_links(old_dir, -1)?;
                store.change_links(new_dir, 1)?;
                store.update_inode(moved.ino, |inode| inode.special = new_dir)?;
            }
            Ok(left)
        })
    }

    /// Exchanges two names.
    ///
    /// # Errors
    /// One of them does not exist, a directory would come to lie below itself, or the journal is aborted.
    pub fn exchange(&mut self, (a_dir, a_name): (Ino, &[u8]), (b_dir, b_name): (Ino, &[u8])) -> Result<(), Error> {
        self.transact(|store| {
            let a = store.lookup(a_dir, a_name)?.ok_or(Error::NoEntry { dir: a_dir })?;
            let b = store.lookup(b_dir, b_name)?.ok_or(Error::NoEntry { dir: b_dir })?;
            for (moved, to) in [(&a, b_dir), (&b, a_dir)] {
                if moved.kind == Kind::Directory {
                    store.refuse_loop(moved.ino, to)?;
                }
            }
            store.replace_entry(a_dir, a_name, b.ino, b.kind)?;
            store.replace_entry(b_dir, b_name, a.ino, a.kind)?;
            for (moved, from, to) in [(&a, a_dir, b_dir), (&b, b_dir, a_dir)] {
                if moved.kind == Kind::Directory && from != to {
                    store.change_links(from, -1)?;
                    store.change_links(to, 1)?;
                    store.update_inode(moved.ino, |inode| inode.special = to)?;
                }
            }
            Ok(())
        })
    }

    /// The parent of a directory; the root is its own.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn parent(&mut self, dir: Ino) -> Result<Ino, Error> {
        let inode = self.inode(dir)?;
        if inode.kind == Kind::Directory { Ok(inode.special) } else { Err(Error::NotDirectory { ino: dir }) }
    }

    fn replace(&mut self, dir: Ino, name: &[u8], moved: &Entry, replaced: &Entry) -> Result<(Ino, u32), Error> {
        match (moved.kind == Kind::Directory, replaced.kind == Kind::Directory) {
            (true, false) => return Err(Error::NotDirectory { ino: replaced.ino }),
            (false, true) => return Err(Error::IsDirectory { ino: replaced.ino }),
            (true, true) | (false, false) => {}
        }
        self.replace_entry(dir, name, moved.ino, moved.kind)?;
        if replaced.kind == Kind::Directory {
            self.drop_directory(dir, replaced)?;
            return Ok((replaced.ino, 0));
        }
        Ok((replaced.ino, self.change_links(replaced.ino, -1)?.nlink))
    }

    /// An empty directory that has lost its entry in `parent` loses its links too.
    fn drop_directory(&mut self, parent: Ino, entry: &Entry) -> Result<(), Error> {
        if entry.kind != Kind::Directory {
            return Err(Error::NotDirectory { ino: entry.ino });
        }
        if !self.is_empty(entry.ino)? {
            return Err(Error::NotEmpty { ino: entry.ino });
        }
        self.change_links(entry.ino, -2)?;
        self.change_links(parent, -1)?;
        Ok(())
    }

    fn change_links(&mut self, ino: Ino, change: i32) -> Result<Inode, Error> {
        let now_ns = self.now_ns;
        self.update_inode(ino, |inode| {
            inode.nlink = inode.nlink.saturating_add_signed(change);
            inode.ctime_ns = now_ns;
        })
    }

    /// Refuses to put directory `moved` into `dir` where that is `moved` itself or below it.
    fn refuse_loop(&mut self, moved: Ino, dir: Ino) -> Result<(), Error> {
        let mut at = dir;
        loop {
            if at == moved {
                return Err(Error::Loop { ino: moved });
            }
            let parent = self.parent(at)?;
            if parent == at {
                return Ok(());
            }
            at = parent;
        }
    }
}
