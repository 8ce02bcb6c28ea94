//! Numbers and strings as bytes: variable-length integers, bounds checked on the way back.

/// Bytes that do not say what they should; the block they stand in is unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Appends a number in 7-bit groups, least significant first.
pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A signed difference as a number that is small when the difference is.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// A place in bytes that are being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed("ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long"))
    }

    pub(super) fn number32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number is too large"))
    }

    /// A count of things that take at least one byte each and of which there are at most `max`.
    pub(super) fn count(&mut self, max: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed("a count is too large"))?;
        if count > self.left() || count > max {
            return Err(Malformed("a count is too large"));
        }
        Ok(count)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).ok_or(Malformed("a length is too large"))?;
        let bytes = self.bytes.get(self.at..end).ok_or(Malformed("ends too early"))?;
        self.at = end;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_went() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX / 2, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            let mut cursor = Cursor::new(&out, 0);
            assert_eq!(cursor.number(), Ok(value));
            assert_eq!(cursor.left(), 0);
        }
    }

    #[test]
    fn differences_come_back_as_they_went() {
        for value in [0, 1, -1, 1000, -1000, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!(zigzag(-1), 1);
    }

    #[test]
    fn what_ends_early_or_never_is_malformed() {
        assert!(Cursor::new(&[0x80], 0).number().is_err());
        assert!(Cursor::new(&[0xff; 11], 0).number().is_err());
        assert!(Cursor::new(&[5, 1], 0).count(10).is_err());
        assert!(Cursor::new(&[1, 1], 0).count(0).is_err());
        assert!(Cursor::new(&[1, 1], 1).bytes(2).is_err());
        assert!(Cursor::new(&[], 7).bytes(usize::MAX).is_err());
    }
}
