//! A file that a result goes to: opened while the rights to do so are there, written when the result is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A file that is open and not yet written. What was in it before stays until then; one that was made for nothing is removed.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    file: File,
    is_ours: bool,
}

impl Destination {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It can be neither opened nor made.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true);
        let (file, is_ours) = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (options.create(true).open(path)?, false),
            made => (made?, true),
        };
        Ok(Self { path: path.to_owned(), file, is_ours })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the text in place of what was there.
    ///
    /// # Errors
    /// The file cannot be written; then a new one is removed again.
    pub(super) fn write(mut self, text: &str) -> io::Result<()> {
        // A pipe or a terminal has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text.as_bytes())?;
        self.is_ours = false;
        Ok(())
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if self.is_ours {
            // It is empty or half written; when it cannot be removed, nothing better can be done about it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("vfs-audit-destination-{name}-{}", std::process::id()))
    }

    #[test]
    fn what_was_there_stays_until_something_is_written() {
        let path = place("old");
        fs::write(&path, "an old and long report").unwrap();
        drop(Destination::open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "an old and long report");
        Destination::open(&path).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_that_was_made_for_nothing_is_removed() {
        let path = place("new");
        drop(Destination::open(&path).unwrap());
        assert!(!path.exists());
        Destination::open(&path).unwrap().write("x").unwrap();
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_device_is_no_file_to_remove() {
        let full = Destination::open(Path::new("/dev/full")).unwrap().write("x").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        Destination::open(Path::new("/dev/null")).unwrap().write("x").unwrap();
        assert!(Path::new("/dev/full").exists() && Path::new("/dev/null").exists());
    }
}
