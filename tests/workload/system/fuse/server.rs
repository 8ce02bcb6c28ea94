//! A FUSE server in a process of its own: reads requests from /dev/fuse and answers them from memory.

use std::fs::File;
use std::io::{Read as _, Write as _};

use super::locks::{Lock, Locks};
use super::tree::{Node, ROOT, Tree};
use super::wire::{Answer, Request, op};

/// More than a header and the longest write (`MAX_WRITE`) together.
const REQUEST_MAX: usize = 256 << 10;
const MAX_WRITE: u32 = 128 << 10;
/// `FUSE_ASYNC_READ`, `FUSE_POSIX_LOCKS`, `FUSE_ATOMIC_O_TRUNC`, `FUSE_BIG_WRITES`, `FUSE_FLOCK_LOCKS`.
const FLAGS: u32 = 1 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 10;
/// `FUSE_WRITEBACK_CACHE`: the kernel writes data when it sees fit.
const WRITEBACK_CACHE: u32 = 1 << 16;
/// Bits of `fuse_setattr_in.valid`.
const SET_MODE: u32 = 1;
const SET_UID: u32 = 1 << 1;
const SET_GID: u32 = 1 << 2;
const SET_SIZE: u32 = 1 << 3;
const SET_ATIME: u32 = 1 << 4;
const SET_MTIME: u32 = 1 << 5;
/// `FUSE_LK_FLOCK`.
const LK_FLOCK: u32 = 1;
/// `FUSE_RELEASE_FLOCK_UNLOCK`.
const RELEASE_FLOCK_UNLOCK: u32 = 1 << 1;
/// Longest file, so that a wrong request cannot take all memory.
const FILE_MAX: u64 = 64 << 20;

/// Answers requests until the file system is unmounted or the connection is ended.
pub(super) fn serve(mut device: File, writes_back: bool) -> i32 {
    let mut server = Server { tree: Tree::new(), locks: Locks::default(), writes_back };
    let mut buffer = vec![0; REQUEST_MAX];
    loop {
        let length = match device.read(&mut buffer) {
            Ok(length) => length,
            Err(error) => match error.raw_os_error() {
                // ENOENT: the request was taken back before it was read.
                Some(libc::EINTR | libc::EAGAIN | libc::ENOENT) => continue,
                Some(libc::ENODEV) => return 0,
                _ => return 1,
            },
        };
        let Some(request) = Request::parse(&buffer[..length]) else { return 2 };
        let answer = server.answer(&request).map(|result| Answer::message(result, request.unique));
        let granted = server.locks.granted().into_iter().map(|unique| Answer::message(Ok(Answer::default()), unique));
        for message in answer.into_iter().chain(granted) {
            match device.write_all(&message) {
                Ok(()) => {}
                // ENOENT: nobody waits for the answer any more.
                Err(error) if [Some(libc::ENOENT), Some(libc::ENODEV)].contains(&error.raw_os_error()) => {}
                Err(_) => return 3,
            }
        }
    }
}

struct Server {
    tree: Tree,
    locks: Locks,
    writes_back: bool,
}

type Result<T> = std::result::Result<T, i32>;

impl Server {
    /// The answer; `None` where the protocol has none.
    fn answer(&mut self, request: &Request<'_>) -> Option<Result<Answer>> {
        let node = request.node;
        Some(match request.opcode {
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return None,
            op::INIT => Ok(self.init()),
            op::LOOKUP => self.tree.find(node, request.name(0)).and_then(|number| self.entry(number)),
            op::GETATTR => self.attributes(node),
            op::SETATTR => self.set_attributes(request),
            op::READLINK => self.tree.node(node).map(|node| Answer::default().bytes(&node.content)),
            op::SYMLINK => {
                let name = request.name(0);
                let target = request.name(name.len() + 1).to_vec();
                self.add(node, name, Node { mode: libc::S_IFLNK | 0o777, content: target, ..Node::default() })
            }
            op::MKNOD => {
                let made = Node { mode: request.word(0), device: request.word(4), ..Node::default() };
                self.add(node, request.name(16), made)
            }
            op::MKDIR => {
                let made = Node { mode: libc::S_IFDIR | request.word(0), ..Node::default() };
                self.add(node, request.name(8), made)
            }
            op::UNLINK | op::RMDIR => self.tree.remove(node, request.name(0)).map(|()| Answer::default()),
            op::RENAME => self.rename(request, 8, 0),
            op::RENAME2 => self.rename(request, 16, request.word(8)),
            op::LINK => {
                let number = request.long(0);
                self.tree.link(number, node, request.name(8)).and_then(|()| self.entry(number))
            }
            op::OPEN | op::OPENDIR => Ok(opened()),
            op::CREATE => self.create(request),
            op::GETLK | op::SETLK | op::SETLKW => return self.lock(request),
            _ => self.answer_open(request),
        })
    }

    /// Requests about what is open, and the rest.
    fn answer_open(&mut self, request: &Request<'_>) -> Result<Answer> {
        let done = Ok(Answer::default());
        match request.opcode {
            op::READ => self.read(request),
            op::WRITE => self.write(request),
            op::READDIR => self.read_directory(request),
            op::STATFS => Ok(Answer::default()
                .longs(&[4096, 2048, 2048, 1024, 1024])
                .words(&[4096, 255, 4096, 0])
                .bytes(&[0; 24])),
            op::FALLOCATE => self.allocate(request),
            op::COPY_FILE_RANGE => self.copy(request),
            op::SETXATTR => {
                // The value comes after the name; the header has grown, on request only, since 7.33.
                let name = request.name(8);
                let value = request.bytes(8 + name.len() + 1, request.word(0) as usize);
                self.tree.node(request.node)?.attributes.insert(name.to_vec(), value.to_vec());
                done
            }
            op::GETXATTR => {
                let value = self.tree.node(request.node)?.attributes.get(request.name(8)).cloned();
                sized(request.word(0), value.ok_or(libc::ENODATA)?)
            }
            op::LISTXATTR => {
                let names = self.tree.node(request.node)?.attributes.keys();
                sized(request.word(0), names.flat_map(|name| name.iter().copied().chain([0])).collect())
            }
            op::REMOVEXATTR => {
                self.tree.node(request.node)?.attributes.remove(request.name(0)).ok_or(libc::ENODATA)?;
                done
            }
            op::FLUSH => Ok(self.closed(request, false)),
            op::RELEASE if request.word(12) & RELEASE_FLOCK_UNLOCK != 0 => Ok(self.closed(request, true)),
            op::RELEASE | op::FSYNC | op::RELEASEDIR | op::FSYNCDIR | op::DESTROY => done,
            _ => Err(libc::ENOSYS),
        }
    }

    fn init(&self) -> Answer {
        let flags = if self.writes_back { FLAGS | WRITEBACK_CACHE } else { FLAGS };
        // Version, read-ahead, flags, background requests (two halves), longest write, granularity of times.
        Answer::default().words(&[7, 31, 128 << 10, flags, 0x000c_0010, MAX_WRITE, 1, 0, 0]).bytes(&[0; 28])
    }

    /// Names are good for no time at all: each use of one is looked at again.
    fn entry(&mut self, number: u64) -> Result<Answer> {
        let node = self.tree.node(number)?;
        Ok(node.describe(number, Answer::default().longs(&[number, 0, 0, 0]).words(&[0, 0])))
    }

    fn attributes(&mut self, number: u64) -> Result<Answer> {
        let node = self.tree.node(number)?;
        Ok(node.describe(number, Answer::default().longs(&[0]).words(&[0, 0])))
    }

    fn add(&mut self, parent: u64, name: &[u8], node: Node) -> Result<Answer> {
        let number = self.tree.add(parent, name, node)?;
        self.entry(number)
    }

    fn create(&mut self, request: &Request<'_>) -> Result<Answer> {
        let node = Node { mode: libc::S_IFREG | request.word(4) & 0o7777, ..Node::default() };
        let entry = self.add(request.node, request.name(16), node)?;
        Ok(entry.bytes(&opened().0))
    }

    fn set_attributes(&mut self, request: &Request<'_>) -> Result<Answer> {
        let valid = request.word(0);
        let node = self.tree.node(request.node)?;
        if valid & SET_SIZE != 0 {
            resize(node, request.long(16))?;
        }
        if valid & SET_ATIME != 0 {
            node.times[0] = request.long(32);
        }
        if valid & SET_MTIME != 0 {
            node.times[1] = request.long(40);
        }
        if valid & SET_MODE != 0 {
            node.mode = request.word(68);
        }
        if valid & SET_UID != 0 {
            node.owner.0 = request.word(76);
        }
        if valid & SET_GID != 0 {
            node.owner.1 = request.word(80);
        }
        self.attributes(request.node)
    }

    fn rename(&mut self, request: &Request<'_>, names_at: usize, flags: u32) -> Result<Answer> {
        let from = request.name(names_at);
        let to = request.name(names_at + from.len() + 1);
        self.tree.rename((request.node, from), (request.long(0), to), flags).map(|()| Answer::default())
    }

    fn read(&mut self, request: &Request<'_>) -> Result<Answer> {
        let content = &self.tree.node(request.node)?.content;
        let start = content.len().min(request.long(8) as usize);
        let end = content.len().min(start + request.word(16) as usize);
        Ok(Answer::default().bytes(&content[start..end]))
    }

    fn write(&mut self, request: &Request<'_>) -> Result<Answer> {
        let (offset, data) = (request.long(8), request.bytes(40, request.word(16) as usize));
        put(self.tree.node(request.node)?, offset, data)?;
        Ok(Answer::default().words(&[data.len() as u32, 0]))
    }

    fn allocate(&mut self, request: &Request<'_>) -> Result<Answer> {
        let (offset, length, mode) = (request.long(8), request.long(16), request.word(24));
        let node = self.tree.node(request.node)?;
        let end = offset.checked_add(length).ok_or(libc::EFBIG)?;
        match mode.cast_signed() {
            0 if end > node.content.len() as u64 => resize(node, end)?,
            0 => {}
            mode if mode == libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE => {
                let size = node.content.len();
                node.content[size.min(offset as usize)..size.min(end as usize)].fill(0);
            }
            _ => return Err(libc::EOPNOTSUPP),
        }
        Ok(Answer::default())
    }

    fn copy(&mut self, request: &Request<'_>) -> Result<Answer> {
        // struct fuse_copy_file_range_in: handle, offset; target's node, handle, offset; length, flags.
        let (from, to, length) = (request.long(8) as usize, request.long(32), request.long(40) as usize);
        let content = &self.tree.node(request.node)?.content;
        let start = content.len().min(from);
        let data = content[start..content.len().min(start.saturating_add(length))].to_vec();
        put(self.tree.node(request.long(16))?, to, &data)?;
        Ok(Answer::default().words(&[data.len() as u32, 0]))
    }

    fn read_directory(&mut self, request: &Request<'_>) -> Result<Answer> {
        let (offset, size) = (request.long(8) as usize, request.word(16) as usize);
        let entries = &self.tree.node(request.node)?.entries;
        let dots = [(b".".to_vec(), ROOT), (b"..".to_vec(), ROOT)];
        let all = dots
            .iter()
            .map(|(name, number)| (name, *number))
            .chain(entries.iter().map(|(name, number)| (name, *number)));
        let mut answer = Answer::default();
        for (index, (name, number)) in all.enumerate().skip(offset) {
            let padding = name.len().next_multiple_of(8) - name.len();
            if answer.0.len() + 24 + name.len() + padding > size {
                break;
            }
            // Number, offset of the next entry, length of the name, type (unknown).
            answer = answer
                .longs(&[number, index as u64 + 1])
                .words(&[name.len() as u32, 0])
                .bytes(name)
                .bytes(&[0; 8][..padding]);
        }
        Ok(answer)
    }

    /// Tests, takes or releases a lock; `None` when the answer has to wait.
    fn lock(&mut self, request: &Request<'_>) -> Option<Result<Answer>> {
        // struct fuse_lk_in: handle, owner, lock (start, end, type, process), flags.
        let is_flock = request.word(40) & LK_FLOCK != 0;
        let kind = request.word(32).cast_signed();
        let wanted = Lock { node: request.node, owner: request.long(8), kind, is_flock };
        if kind == libc::F_UNLCK {
            self.locks.release(&wanted);
        } else if request.opcode == op::GETLK {
            let kind = self.locks.conflict(&wanted).map_or(libc::F_UNLCK, |lock| lock.kind);
            return Some(Ok(Answer::default().longs(&[0, u64::MAX >> 1]).words(&[kind.cast_unsigned(), 0])));
        } else if !self.locks.take(wanted) {
            if request.opcode == op::SETLK {
                return Some(Err(libc::EAGAIN));
            }
            self.locks.wait(request.unique, wanted);
            return None;
        }
        Some(Ok(Answer::default()))
    }

    /// What a close releases: the owner is at the same place in both requests.
    fn closed(&mut self, request: &Request<'_>, is_flock: bool) -> Answer {
        self.locks.release(&Lock { node: request.node, owner: request.long(16), kind: libc::F_UNLCK, is_flock });
        Answer::default()
    }
}

/// `struct fuse_open_out`: no handle, and what the kernel caches of the file is to be dropped.
fn opened() -> Answer {
    Answer::default().longs(&[0]).words(&[0, 0])
}

/// An attribute, or its size where no room was offered.
fn sized(room: u32, value: Vec<u8>) -> Result<Answer> {
    match room as usize {
        0 => Ok(Answer::default().words(&[value.len() as u32, 0])),
        room if room < value.len() => Err(libc::ERANGE),
        _ => Ok(Answer(value)),
    }
}

fn resize(node: &mut Node, size: u64) -> Result<()> {
    if size > FILE_MAX {
        return Err(libc::EFBIG);
    }
    node.content.resize(size as usize, 0);
    Ok(())
}

fn put(node: &mut Node, offset: u64, data: &[u8]) -> Result<()> {
    let end = offset.checked_add(data.len() as u64).ok_or(libc::EFBIG)?;
    if end > node.content.len() as u64 {
        resize(node, end)?;
    }
    node.content[offset as usize..end as usize].copy_from_slice(data);
    Ok(())
}
