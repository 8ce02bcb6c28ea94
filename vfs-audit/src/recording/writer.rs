//! Writes a recording, block by block.

use std::io::Write;

use serde::Serialize;

use super::encode::Block;
use super::frame::{Head, Kind, PACKING_LZ4, PACKING_NONE};
use super::{End, Error, FORMAT_VERSION, FRAME_BYTES_MAX, Header};
use crate::observation::Observation;
use crate::report::{Addresses, escape};

/// A recording that is being written.
///
/// What was pushed is in the file after [`Writer::flush`] or [`Writer::finish`]; dropping the writer loses the last
/// block. Counts add up, so a long run can push an observation again with its invocations since the last push.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    block: Block,
    addresses: Addresses,
    sequence: u32,
    written: u64,
    raw: Vec<u8>,
    packed: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a recording with its header. Kernel addresses are hidden unless asked for, wherever they stand.
    ///
    /// # Errors
    /// The output cannot be written, or the header does not fit a frame.
    pub fn create(out: W, header: &Header, addresses: Addresses) -> Result<Self, Error> {
        let block = Block::new(addresses);
        let (raw, packed) = (Vec::new(), Vec::new());
        let mut writer = Self { out, block, addresses, sequence: 0, written: 0, raw, packed };
        writer.write_json(Kind::Header, header, "header")?;
        writer.out.flush()?;
        Ok(writer)
    }

    /// Adds an observation.
    ///
    /// # Errors
    /// The output cannot be written, or the observation is beyond the bounds; in the latter case the recording goes on
    /// without it.
    pub fn push(&mut self, observation: &Observation) -> Result<(), Error> {
        self.block.push(observation)?;
        if self.block.is_full() {
            self.write_block()?;
        }
        Ok(())
    }

    /// Observations pushed so far.
    pub fn observations(&self) -> u64 {
        self.written + u64::from(self.block.observations())
    }

    /// Writes what was pushed so far, so that a cut-off recording keeps it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write_block()?;
        Ok(self.out.flush()?)
    }

    /// Ends the recording and gives the output back.
    ///
    /// # Errors
    /// The output cannot be written, or the end does not fit a frame.
    pub fn finish(mut self, end: &End) -> Result<W, Error> {
        self.write_block()?;
        self.write_json(Kind::End, end, "end")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_block(&mut self) -> Result<(), Error> {
        let observations = self.block.observations();
        if observations > 0 {
            self.block.finish(&mut self.raw);
            self.write_frame(Kind::Block, observations)?;
        }
        Ok(())
    }

    fn write_json<T: Serialize>(&mut self, kind: Kind, value: &T, part: &'static str) -> Result<(), Error> {
        let text = escape::json_line(value).map_err(|source| Error::Encode { part, source })?;
        // An address stands in strings only, and what hides it needs no escape.
        self.raw = self.addresses.apply(&text).into_owned().into_bytes();
        if self.raw.len() > FRAME_BYTES_MAX {
            return Err(Error::TooLarge { part: format!("the recording's {part}"), what: "it does not fit a frame" });
        }
        self.write_frame(kind, 0)
    }

    /// Writes `self.raw` as one frame.
    fn write_frame(&mut self, kind: Kind, observations: u32) -> Result<(), Error> {
        self.packed.resize(lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
        let packed = lz4_flex::block::compress_into(&self.raw, &mut self.packed).unwrap_or(usize::MAX);
        let (packing, stored) =
            if packed < self.raw.len() { (PACKING_LZ4, &self.packed[..packed]) } else { (PACKING_NONE, &self.raw[..]) };
        let head = Head {
            version: FORMAT_VERSION,
            kind: kind as u8,
            packing,
            sequence: self.sequence,
            observations,
            first: self.written,
            unpacked_bytes: self.raw.len() as u32,
            stored_bytes: stored.len() as u32,
            payload_crc: crc32fast::hash(stored),
        };
        self.out.write_all(&head.encode())?;
        self.out.write_all(stored)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.written += u64::from(observations);
        Ok(())
    }
}
