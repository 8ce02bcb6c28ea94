//! Finds frames in a stream, and finds the next one after damage.
//!
//! A frame counts when its head's and its payload's checksum are right. After anything else the search goes on at the
//! next marker, so that one damaged length does not cost the rest of the file.

use std::io::{self, Read};

use super::frame::{HEAD_BYTES, Head, MARKER};
use super::{DAMAGED_PLACES_MAX, FRAME_BYTES_MAX};

/// Bytes asked of the input at a time.
const READ_BYTES: u64 = 256 << 10;

/// Bytes looked through for a marker before the caller may think again.
const SKIP_BYTES_MAX: u64 = 1 << 20;

/// Bytes of the input that are part of no readable frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// The head of the frame that lies in it, when that was readable.
    pub(super) head: Option<Head>,
}

/// The frames of a stream.
#[derive(Debug)]
pub(super) struct Frames<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame should start.
    at: usize,
    /// Offset in the input of the buffer's first byte.
    buffer_offset: u64,
    ended: bool,
    pub(super) gaps: Vec<Gap>,
}

/// What a look at one place shows.
enum Look {
    /// An intact frame whose payload has this many bytes.
    Frame(Head),
    /// An intact head whose payload is damaged or cut off.
    HeadOnly(Head),
    /// Nothing that can be read.
    Nothing,
    /// The end of the input.
    End,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), at: 0, buffer_offset: 0, ended: false, gaps: Vec::new() }
    }

    pub(super) fn offset(&self) -> u64 {
        self.buffer_offset + self.at as u64
    }

    /// True when the input has so many damaged places that looking for more is pointless.
    pub(super) fn is_hopeless(&self) -> bool {
        self.gaps.len() >= DAMAGED_PLACES_MAX
    }

    /// The next intact frame; its payload is in `payload`, unpacked. `None` at the end, or when it is hopeless, or when
    /// `search_bytes_max` bytes held no frame.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>, search_bytes_max: u64) -> io::Result<Option<Head>> {
        let start = self.offset();
        while !self.is_hopeless() && self.offset() - start < search_bytes_max {
            match self.look()? {
                Look::End => return Ok(None),
                Look::Nothing => self.skip(None)?,
                Look::HeadOnly(head) => self.skip(Some(head))?,
                Look::Frame(head) => {
                    let stored = self.at + HEAD_BYTES;
                    let end = stored + head.stored_bytes as usize;
                    let unpacked = head.unpack(&self.buffer[stored..end], payload);
                    if unpacked {
                        self.at = end;
                        return Ok(Some(head));
                    }
                    self.skip(Some(head))?;
                }
            }
        }
        Ok(None)
    }

    fn look(&mut self) -> io::Result<Look> {
        let available = self.fill(HEAD_BYTES)?;
        if available == 0 {
            return Ok(Look::End);
        }
        let head = self.buffer[self.at..].first_chunk::<HEAD_BYTES>().and_then(Head::decode);
        let Some(head) = head else { return Ok(Look::Nothing) };
        let frame_bytes = HEAD_BYTES + head.stored_bytes as usize;
        if self.fill(frame_bytes)? < frame_bytes {
            return Ok(Look::HeadOnly(head));
        }
        let stored = &self.buffer[self.at + HEAD_BYTES..self.at + frame_bytes];
        let intact = crc32fast::hash(stored) == head.payload_crc;
        Ok(if intact { Look::Frame(head) } else { Look::HeadOnly(head) })
    }

    /// Goes to the next marker, or a bounded way towards it, and notes the gap.
    fn skip(&mut self, head: Option<Head>) -> io::Result<()> {
        let offset = self.offset();
        self.at += if head.is_some() { HEAD_BYTES } else { 1 };
        while self.offset() - offset < SKIP_BYTES_MAX {
            self.fill(READ_BYTES as usize)?;
            let rest = &self.buffer[self.at..];
            if let Some(found) = rest.windows(MARKER.len()).position(|bytes| bytes == MARKER) {
                self.at += found;
                break;
            }
            // The last bytes may be the beginning of a marker, unless nothing follows.
            let keep = if self.ended { 0 } else { (MARKER.len() - 1).min(rest.len()) };
            self.at = self.buffer.len() - keep;
            if self.ended {
                break;
            }
        }
        self.note(Gap { offset, bytes: self.offset() - offset, head });
        Ok(())
    }

    /// Adds a gap, to the last one when they touch and only one of them has a head.
    fn note(&mut self, gap: Gap) {
        match self.gaps.last_mut() {
            Some(last) if last.offset + last.bytes == gap.offset && (last.head.is_none() || gap.head.is_none()) => {
                last.bytes += gap.bytes;
                last.head = last.head.or(gap.head);
            }
            _ => self.gaps.push(gap),
        }
    }

    /// Reads until `wanted` bytes are there or the input ends; says how many are there.
    fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        debug_assert!(wanted <= HEAD_BYTES + FRAME_BYTES_MAX, "no frame is larger");
        while !self.ended && self.buffer.len() - self.at < wanted {
            if self.at > READ_BYTES as usize {
                self.buffer.drain(..self.at);
                self.buffer_offset += self.at as u64;
                self.at = 0;
            }
            let read = self.input.by_ref().take(READ_BYTES).read_to_end(&mut self.buffer)?;
            self.ended = read == 0;
        }
        Ok(self.buffer.len() - self.at)
    }
}
