//! Bytes of the FUSE protocol (`include/uapi/linux/fuse.h`, 7.31): requests taken apart, answers put together.

/// Operation codes that the server knows.
pub(super) mod op {
    pub(in super::super) const LOOKUP: u32 = 1;
    pub(in super::super) const FORGET: u32 = 2;
    pub(in super::super) const GETATTR: u32 = 3;
    pub(in super::super) const SETATTR: u32 = 4;
    pub(in super::super) const READLINK: u32 = 5;
    pub(in super::super) const SYMLINK: u32 = 6;
    pub(in super::super) const MKNOD: u32 = 8;
    pub(in super::super) const MKDIR: u32 = 9;
    pub(in super::super) const UNLINK: u32 = 10;
    pub(in super::super) const RMDIR: u32 = 11;
    pub(in super::super) const RENAME: u32 = 12;
    pub(in super::super) const LINK: u32 = 13;
    pub(in super::super) const OPEN: u32 = 14;
    pub(in super::super) const READ: u32 = 15;
    pub(in super::super) const WRITE: u32 = 16;
    pub(in super::super) const STATFS: u32 = 17;
    pub(in super::super) const RELEASE: u32 = 18;
    pub(in super::super) const FSYNC: u32 = 20;
    pub(in super::super) const SETXATTR: u32 = 21;
    pub(in super::super) const GETXATTR: u32 = 22;
    pub(in super::super) const LISTXATTR: u32 = 23;
    pub(in super::super) const REMOVEXATTR: u32 = 24;
    pub(in super::super) const FLUSH: u32 = 25;
    pub(in super::super) const INIT: u32 = 26;
    pub(in super::super) const OPENDIR: u32 = 27;
    pub(in super::super) const READDIR: u32 = 28;
    pub(in super::super) const RELEASEDIR: u32 = 29;
    pub(in super::super) const FSYNCDIR: u32 = 30;
    pub(in super::super) const GETLK: u32 = 31;
    pub(in super::super) const SETLK: u32 = 32;
    pub(in super::super) const SETLKW: u32 = 33;
    pub(in super::super) const CREATE: u32 = 35;
    pub(in super::super) const INTERRUPT: u32 = 36;
    pub(in super::super) const DESTROY: u32 = 38;
    pub(in super::super) const BATCH_FORGET: u32 = 42;
    pub(in super::super) const FALLOCATE: u32 = 43;
    pub(in super::super) const RENAME2: u32 = 45;
    pub(in super::super) const COPY_FILE_RANGE: u32 = 47;
}

/// Bytes before a request's body.
const HEADER: usize = 40;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// What is asked.
    pub(super) opcode: u32,
    /// To be repeated in the answer.
    pub(super) unique: u64,
    /// The inode that it is about.
    pub(super) node: u64,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes a message apart; `None` when it is too short to be one.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let (header, body) = message.split_at_checked(HEADER)?;
        let whole = Request { opcode: 0, unique: 0, node: 0, body: header };
        Some(Self { opcode: whole.word(4), unique: whole.long(8), node: whole.long(16), body })
    }

    /// The 32-bit number at this offset of the body; 0 beyond its end, as older and shorter requests mean it.
    pub(super) fn word(&self, at: usize) -> u32 {
        self.body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// The 64-bit number there.
    pub(super) fn long(&self, at: usize) -> u64 {
        self.body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    /// The name that starts there, up to its NUL.
    pub(super) fn name(&self, at: usize) -> &'a [u8] {
        self.body.get(at..).and_then(|rest| rest.split(|byte| *byte == 0).next()).unwrap_or_default()
    }

    /// `length` bytes from there, or what there is of them.
    pub(super) fn bytes(&self, at: usize, length: usize) -> &'a [u8] {
        let rest = self.body.get(at..).unwrap_or_default();
        &rest[..length.min(rest.len())]
    }
}

/// The body of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer(pub(super) Vec<u8>);

impl Answer {
    /// Adds 32-bit numbers.
    pub(super) fn words(mut self, words: &[u32]) -> Self {
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self
    }

    /// Adds 64-bit numbers.
    pub(super) fn longs(mut self, longs: &[u64]) -> Self {
        self.0.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
        self
    }

    /// Adds bytes as they are.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// The whole message: header and body, or the header alone with an error.
    pub(super) fn message(result: Result<Self, i32>, unique: u64) -> Vec<u8> {
        let (body, error) = match result {
            Ok(answer) => (answer.0, 0),
            Err(errno) => (Vec::new(), -errno),
        };
        let mut message = ((16 + body.len()) as u32).to_le_bytes().to_vec();
        message.extend(error.to_le_bytes());
        message.extend(unique.to_le_bytes());
        message.extend(body);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart_and_what_it_lacks_is_zero() {
        let mut message = vec![0; 40];
        message[4] = op::LOOKUP as u8;
        message[8] = 7;
        message[16] = 1;
        message.extend(b"name\0");
        let request = Request::parse(&message).unwrap();
        assert_eq!((request.opcode, request.unique, request.node), (op::LOOKUP, 7, 1));
        assert_eq!((request.name(0), request.word(100), request.bytes(2, 99)), (&b"name"[..], 0, &b"me\0"[..]));
        assert!(Request::parse(&message[..39]).is_none());
    }

    #[test]
    fn an_error_has_no_body() {
        let message = Answer::message(Err(libc::ENOENT), 7);
        assert_eq!(message, [16, 0, 0, 0, 254, 255, 255, 255, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Answer::message(Ok(Answer::default().words(&[1])), 7).len(), 20);
    }
}
