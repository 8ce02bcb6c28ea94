//! One frame's head: 40 bytes, little endian, the same in every version of the format.
//!
//! | bytes | |
//! |---|---|
//! | 0–3 | marker |
//! | 4–5 | version of the payload |
//! | 6 | kind |
//! | 7 | packing of the payload: 0 as it is, 1 LZ4 block |
//! | 8–11 | sequence number |
//! | 12–15 | observations in the payload |
//! | 16–23 | observations written before this frame |
//! | 24–27 | bytes of the payload, unpacked |
//! | 28–31 | bytes of the payload, as stored |
//! | 32–35 | CRC-32 of the payload as stored |
//! | 36–39 | CRC-32 of bytes 0–35 |

use super::FRAME_BYTES_MAX;

/// Marks a frame's first byte; not text, so that no text file looks like one.
pub(super) const MARKER: [u8; 4] = [0x89, b'V', b'F', b'A'];
/// Bytes of a frame's head.
pub(super) const HEAD_BYTES: usize = 40;
/// Payload is stored as it is.
pub(super) const PACKING_NONE: u8 = 0;
/// Payload is one LZ4 block.
pub(super) const PACKING_LZ4: u8 = 1;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A [`super::Header`] as JSON.
    Header = 1,
    /// Observations.
    Block = 2,
    /// A [`super::End`] as JSON.
    End = 3,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Header, Self::Block, Self::End].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame's head, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u16,
    pub(super) kind: u8,
    pub(super) packing: u8,
    pub(super) sequence: u32,
    pub(super) observations: u32,
    pub(super) first: u64,
    pub(super) unpacked_bytes: u32,
    pub(super) stored_bytes: u32,
    pub(super) payload_crc: u32,
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[0..4].copy_from_slice(&MARKER);
        out[4..6].copy_from_slice(&self.version.to_le_bytes());
        out[6] = self.kind;
        out[7] = self.packing;
        out[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        out[12..16].copy_from_slice(&self.observations.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        out[24..28].copy_from_slice(&self.unpacked_bytes.to_le_bytes());
        out[28..32].copy_from_slice(&self.stored_bytes.to_le_bytes());
        out[32..36].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..36]);
        out[36..40].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The head, when marker, checksum and bounds say that it is one.
    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let intact = bytes[..4] == MARKER && crc32fast::hash(&bytes[..36]) == u32_at(36);
        let head = Self {
            version: u16::from_le_bytes([bytes[4], bytes[5]]),
            kind: bytes[6],
            packing: bytes[7],
            sequence: u32_at(8),
            observations: u32_at(12),
            first: u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32,
            unpacked_bytes: u32_at(24),
            stored_bytes: u32_at(28),
            payload_crc: u32_at(32),
        };
        let bounded = |bytes: u32| bytes as usize <= FRAME_BYTES_MAX;
        (intact && bounded(head.unpacked_bytes) && bounded(head.stored_bytes)).then_some(head)
    }

    /// The payload unpacked into `out`, whose content is dropped; false when it does not unpack to what the head says.
    pub(super) fn unpack(&self, stored: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        match self.packing {
            PACKING_NONE => out.extend_from_slice(stored),
            PACKING_LZ4 => {
                out.resize(self.unpacked_bytes as usize, 0);
                let unpacked = lz4_flex::block::decompress_into(stored, out).unwrap_or(0);
                out.truncate(unpacked);
            }
            _ => return false,
        }
        out.len() == self.unpacked_bytes as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        version: 1,
        kind: Kind::Block as u8,
        packing: PACKING_LZ4,
        sequence: 7,
        observations: 3,
        first: 1 << 40,
        unpacked_bytes: 100,
        stored_bytes: 60,
        payload_crc: 0xdead_beef,
    };

    #[test]
    fn a_head_comes_back_as_it_went() {
        assert_eq!(Head::decode(&HEAD.encode()), Some(HEAD));
    }

    #[test]
    fn a_head_with_any_bit_flipped_is_none() {
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = HEAD.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_head_that_asks_for_too_much_memory_is_none() {
        let greedy = Head { unpacked_bytes: FRAME_BYTES_MAX as u32 + 1, ..HEAD };
        assert_eq!(Head::decode(&greedy.encode()), None);
    }

    #[test]
    fn an_unknown_packing_or_a_wrong_length_does_not_unpack() {
        let mut out = Vec::new();
        assert!(!Head { packing: 9, ..HEAD }.unpack(b"xx", &mut out));
        assert!(!Head { packing: PACKING_NONE, ..HEAD }.unpack(b"xx", &mut out));
        assert!(!HEAD.unpack(b"\xff\xff\xff\xff", &mut out));
    }
}
