//! The "newc" cpio format: written by the host as the guest's initramfs, and by the guest as the archive of `/out`.
//!
//! Only what these two need is here: directories, regular files, symbolic links and character devices; no hard links.
//! Source of the format: `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

const MAGIC: &[u8; 6] = b"070701";
const TRAILER: &str = "TRAILER!!!";
const FILE_TYPE_MASK: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const HEADER_FIELDS: usize = 13;
/// A path longer than this is refused when an archive is read.
const NAME_BYTES_MAX: usize = 4096;

/// Writes an archive entry by entry.
pub struct Writer<W: Write> {
    sink: W,
    written: u64,
    next_inode: u32,
}

impl<W: Write> Writer<W> {
    /// Starts an empty archive on `sink`.
    pub fn new(sink: W) -> Self {
        Self { sink, written: 0, next_inode: 1 }
    }

    /// Adds a directory with the permission bits `mode`.
    ///
    /// # Errors
    /// What the sink reports.
    pub fn directory(&mut self, name: &str, mode: u32) -> io::Result<()> {
        self.entry(name, DIRECTORY | mode & 0o7777, &[], 0)
    }

    /// Adds a regular file with the permission bits `mode`.
    ///
    /// # Errors
    /// What the sink reports, and content of 4 GiB or more, which the format cannot hold.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(name, REGULAR | mode & 0o7777, content, 0)
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// What the sink reports.
    pub fn symlink(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.entry(name, SYMLINK | 0o777, target.as_bytes(), 0)
    }

    /// Adds a character device.
    ///
    /// # Errors
    /// What the sink reports.
    pub fn character_device(&mut self, name: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(name, CHARACTER_DEVICE | 0o600, &[], major << 16 | minor)
    }

    /// Adds what lies at `path` as `name`: a file, a symbolic link, or a directory with everything below it.
    ///
    /// Sockets, pipes and devices are left out.
    ///
    /// # Errors
    /// What the sink or the file system reports.
    pub fn tree(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let mode = metadata.permissions().mode();
        if metadata.is_symlink() {
            self.symlink(name, &fs::read_link(path)?.to_string_lossy())
        } else if metadata.is_file() {
            self.file(name, mode, &fs::read(path)?)
        } else if metadata.is_dir() {
            self.directory(name, mode)?;
            self.children(name, path)
        } else {
            Ok(())
        }
    }

    /// Adds everything below the directory `path`, sorted, under `name` ("" for the archive's root).
    ///
    /// # Errors
    /// What the sink or the file system reports.
    pub fn children(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let mut children = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let leaf = child.file_name().to_string_lossy().into_owned();
            let full = if name.is_empty() { leaf } else { format!("{name}/{leaf}") };
            self.tree(&full, &child.path())?;
        }
        Ok(())
    }

    /// Writes the trailer and returns the sink.
    ///
    /// # Errors
    /// What the sink reports.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry(TRAILER, 0, &[], 0)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8], device: u32) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, format!("{name} is too large for cpio")))?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let inode = self.next_inode;
        self.next_inode += 1;
        let links = if mode & FILE_TYPE_MASK == DIRECTORY { 2 } else { 1 };
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, device >> 16, device & 0xffff, name_size, 0];
        let mut header = Vec::from(*MAGIC);
        for field in fields {
            write!(header, "{field:08x}")?;
        }
        self.put(&header)?;
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.pad()?;
        self.put(content)?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let missing = padding(self.written);
        self.put(&[0; 3][..missing])
    }
}

fn padding(position: u64) -> usize {
    (4 - position % 4) as usize % 4
}

/// Unpacks an archive below `directory` and returns the paths of its files, relative to it.
///
/// # Errors
/// A malformed archive, a name that leads out of `directory`, and what the file system reports.
pub fn unpack(source: impl Read, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut reader = Reader { source, position: 0 };
    let mut files = Vec::new();
    while let Some(entry) = reader.next()? {
        let relative = safe_name(&entry.name)?;
        let path = directory.join(&relative);
        match entry.mode & FILE_TYPE_MASK {
            DIRECTORY => fs::create_dir_all(&path)?,
            REGULAR => {
                create_parent(&path)?;
                fs::write(&path, &entry.content)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode & 0o777))?;
                files.push(relative);
            }
            SYMLINK => {
                create_parent(&path)?;
                symlink(String::from_utf8_lossy(&entry.content).as_ref(), &path)?;
            }
            _ => {}
        }
    }
    Ok(files)
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn safe_name(name: &str) -> io::Result<PathBuf> {
    let path = PathBuf::from(name);
    let stays_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if stays_inside && !name.is_empty() { Ok(path) } else { Err(malformed(&format!("entry named {name:?}"))) }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed cpio archive: {what}"))
}

struct Entry {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

struct Reader<R: Read> {
    source: R,
    position: u64,
}

impl<R: Read> Reader<R> {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(malformed("no magic number where an entry should start"));
        }
        let mut fields = [0; HEADER_FIELDS];
        for field in &mut fields {
            let digits = self.take(8)?;
            let text = str::from_utf8(&digits).map_err(|_| malformed("header is not text"))?;
            *field = u32::from_str_radix(text, 16).map_err(|_| malformed("header is not hexadecimal"))?;
        }
        let (mode, size, name_size) = (fields[1], fields[6] as usize, fields[11] as usize);
        if name_size == 0 || name_size > NAME_BYTES_MAX {
            return Err(malformed("length of a name"));
        }
        let mut name = self.take(name_size)?;
        name.pop();
        self.skip_padding()?;
        let content = self.take(size)?;
        self.skip_padding()?;
        let name = String::from_utf8(name).map_err(|_| malformed("name is not UTF-8"))?;
        Ok((name != TRAILER).then_some(Entry { name, mode, content }))
    }

    fn take(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.source.by_ref().take(size as u64).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        if bytes.len() == size { Ok(bytes) } else { Err(malformed("it ends early")) }
    }

    fn skip_padding(&mut self) -> io::Result<()> {
        self.take(padding(self.position)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.directory("bin", 0o755).unwrap();
        writer.file("bin/tool", 0o750, b"12345").unwrap();
        writer.symlink("bin/sh", "tool").unwrap();
        writer.character_device("console", 5, 1).unwrap();
        writer.finish().unwrap()
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cpio-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn header_fields_are_where_the_kernel_reads_them() {
        let mut writer = Writer::new(Vec::new());
        writer.file("a", 0o644, b"xyz").unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081a4", "mode");
        assert_eq!(&bytes[54..62], b"00000003", "size");
        assert_eq!(&bytes[94..102], b"00000002", "name size with its NUL");
        assert_eq!(&bytes[110..116], b"a\0xyz\0");
    }

    #[test]
    fn every_entry_starts_on_a_multiple_of_four() {
        let bytes = sample();
        let starts: Vec<usize> = bytes.windows(6).enumerate().filter(|(_, w)| *w == MAGIC).map(|(at, _)| at).collect();
        assert_eq!(starts.len(), 5);
        assert!(starts.iter().all(|start| start % 4 == 0), "{starts:?}");
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let directory = scratch("round");
        let files = unpack(sample().as_slice(), &directory).unwrap();
        assert_eq!(files, [PathBuf::from("bin/tool")]);
        assert_eq!(fs::read(directory.join("bin/tool")).unwrap(), b"12345");
        assert_eq!(fs::read_link(directory.join("bin/sh")).unwrap(), PathBuf::from("tool"));
        let mode = fs::metadata(directory.join("bin/tool")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_directory_is_packed_with_all_below_it() {
        let source = scratch("source");
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::write(source.join("a/b/leaf"), "leaf").unwrap();
        fs::write(source.join("top"), "top").unwrap();
        let mut writer = Writer::new(Vec::new());
        writer.children("", &source).unwrap();
        let target = scratch("target");
        let files = unpack(writer.finish().unwrap().as_slice(), &target).unwrap();
        assert_eq!(files, [PathBuf::from("a/b/leaf"), PathBuf::from("top")]);
        fs::remove_dir_all(source).unwrap();
        fs::remove_dir_all(target).unwrap();
    }

    #[test]
    fn a_name_that_leads_out_of_the_directory_is_refused() {
        for name in ["../evil", "/evil", "a/../../evil", ""] {
            let mut writer = Writer::new(Vec::new());
            writer.file(name, 0o644, b"x").unwrap();
            let archive = writer.finish().unwrap();
            let error = unpack(archive.as_slice(), Path::new("/nonexistent")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}");
        }
    }

    #[test]
    fn an_archive_that_ends_early_is_refused() {
        let directory = scratch("short");
        let bytes = sample();
        for length in 0..bytes.len() - 4 {
            assert!(unpack(&bytes[..length], &directory).is_err(), "{length} bytes were accepted");
            fs::remove_dir_all(&directory).unwrap();
            fs::create_dir_all(&directory).unwrap();
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
