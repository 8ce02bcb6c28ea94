//! Reads a recording, block by block, and keeps account of what cannot be read.

use std::io::Read;

use super::decode::{Block, Place};
use super::frame::{Head, Kind};
use super::frames::Frames;
use super::{End, Error, FORMAT_VERSION, Header, SEARCH_BYTES_MAX};
use crate::observation::Observation;

/// How observations are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Equal ones of a block as one, counts added up, the first example kept: all that a check needs.
    Merged,
    /// Each as it was written.
    Each,
}

/// A recording that is being read.
#[derive(Debug)]
pub struct Reader<R> {
    frames: Frames<R>,
    payload: Vec<u8>,
    header: Option<Header>,
    end: Option<End>,
    damage: Damage,
    /// Observations that the blocks up to here should have held.
    expected: u64,
    /// Observations that they gave.
    given: u64,
    /// A block read while looking for the header.
    pending: Option<Head>,
}

/// What of a recording could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Each damaged place, in words, in the order of the file.
    pub places: Vec<String>,
    /// Observations known to be lost.
    pub lost_observations: u64,
    /// True when the end is missing: what came after the last block is not known.
    pub cut_off: bool,
}

/// What is left to know when all blocks are read.
#[derive(Debug)]
pub struct Remains {
    /// The recording's end, when it was readable.
    pub end: Option<End>,
    /// Observations read.
    pub observations: u64,
    /// What could not be read.
    pub damage: Damage,
}

impl Damage {
    /// True when everything was readable.
    pub fn is_none(&self) -> bool {
        self.places.is_empty() && self.lost_observations == 0 && !self.cut_off
    }

    fn lose(&mut self, observations: u64) {
        self.lost_observations = self.lost_observations.saturating_add(observations);
    }

    /// In words, for a report; empty when there is none.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.places.clone();
        if self.lost_observations > 0 {
            lines.push(format!("observations of the recording that are lost: {}", self.lost_observations));
        }
        if self.cut_off {
            lines.push(
                "the recording has no end: it was cut off, and what came after its last block is not known".into(),
            );
        }
        lines
    }
}

impl<R: Read> Reader<R> {
    /// Opens a recording and reads its header.
    ///
    /// # Errors
    /// The input cannot be read, is no recording, or is of another version.
    pub fn open(input: R) -> Result<Self, Error> {
        let frames = Frames::new(input);
        let damage = Damage::default();
        let mut reader =
            Self { frames, payload: Vec::new(), header: None, end: None, damage, expected: 0, given: 0, pending: None };
        let Some(head) = reader.frames.next(&mut reader.payload, SEARCH_BYTES_MAX)? else {
            return Err(Error::NotARecording { searched: reader.frames.offset() });
        };
        check_version(&head)?;
        if Kind::from_byte(head.kind) == Some(Kind::Header) {
            reader.header = serde_json::from_slice(&reader.payload).ok();
        } else {
            reader.pending = Some(head);
        }
        if reader.header.is_none() {
            reader.damage.places.push("the recording's header is damaged".into());
        }
        Ok(reader)
    }

    /// The header; `None` when it is damaged.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Gives every readable observation to `take`, block by block.
    ///
    /// # Errors
    /// The input cannot be read, or a frame is of another version.
    pub fn read(&mut self, reading: Reading, mut take: impl FnMut(&Observation)) -> Result<(), Error> {
        let mut place = Place::new();
        while self.end.is_none() {
            let pending = self.pending.take();
            let next = if pending.is_some() { pending } else { self.frames.next(&mut self.payload, u64::MAX)? };
            let Some(head) = next else { break };
            check_version(&head)?;
            if self.is_in_order(&head) {
                self.take(&head, reading, &mut place, &mut take);
            }
        }
        Ok(())
    }

    /// Ends reading: what the recording says at its end, and what was lost of it. Call it when there are no more blocks.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn finish(mut self) -> Result<Remains, Error> {
        if self.end.is_some() {
            self.refuse_more()?;
        }
        self.describe_gaps();
        if self.frames.is_hopeless() {
            self.damage.places.push("too many damaged places: the rest of the file was not read".into());
        }
        self.damage.cut_off = self.end.is_none();
        Ok(Remains { end: self.end, observations: self.given, damage: self.damage })
    }

    /// Keeps account of where the frame stands; false when it stands where others were.
    fn is_in_order(&mut self, head: &Head) -> bool {
        if head.first < self.expected {
            self.damage.places.push(format!("frame {} is out of order and was not read", head.sequence));
            return false;
        }
        self.damage.lose(head.first - self.expected);
        self.expected = head.first.saturating_add(u64::from(head.observations));
        true
    }

    fn take(&mut self, head: &Head, reading: Reading, place: &mut Place, take: &mut impl FnMut(&Observation)) {
        let mut given = 0;
        let problem = match Kind::from_byte(head.kind) {
            Some(Kind::Block) => Block::parse(&self.payload, head.observations)
                .and_then(|block| block.read(reading, place, &mut given, take))
                .err()
                .map(|malformed| malformed.to_string()),
            Some(Kind::End) => match serde_json::from_slice(&self.payload) {
                Ok(end) => {
                    self.end = Some(end);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            Some(Kind::Header) => Some("a second header".to_owned()),
            None => Some("of no known kind".to_owned()),
        };
        self.given = self.given.saturating_add(u64::from(given));
        if let Some(why) = problem {
            self.damage.lose(u64::from(head.observations - given));
            self.damage.places.push(format!("frame {} is intact but cannot be read: {why}", head.sequence));
        }
    }

    fn refuse_more(&mut self) -> Result<(), Error> {
        let end = self.frames.offset();
        while self.frames.next(&mut self.payload, u64::MAX)?.is_some() {}
        let gaps_before = self.frames.gaps.iter().take_while(|gap| gap.offset < end).count();
        self.frames.gaps.truncate(gaps_before);
        let more = self.frames.offset() - end;
        if more > 0 {
            self.damage.places.push(format!("{more} bytes after the recording's end were not read"));
        }
        Ok(())
    }

    /// Puts the gaps between frames into words, and counts what a cut-off block would have held.
    fn describe_gaps(&mut self) {
        for gap in std::mem::take(&mut self.frames.gaps) {
            let held = gap.head.map_or(String::new(), |head| describe(&head));
            self.damage.places.push(format!("{} bytes at offset {} are damaged{held}", gap.bytes, gap.offset));
            if let Some(head) = gap.head.filter(|head| head.first >= self.expected) {
                let end = head.first.saturating_add(u64::from(head.observations));
                self.damage.lose(end - self.expected);
                self.expected = end;
            }
        }
    }
}

fn describe(head: &Head) -> String {
    match Kind::from_byte(head.kind) {
        Some(Kind::Block) => format!(" (frame {}, {} observations)", head.sequence, head.observations),
        Some(Kind::Header) => format!(" (frame {}, the header)", head.sequence),
        Some(Kind::End) => format!(" (frame {}, the end)", head.sequence),
        None => format!(" (frame {})", head.sequence),
    }
}

fn check_version(head: &Head) -> Result<(), Error> {
    if head.version == FORMAT_VERSION { Ok(()) } else { Err(Error::UnknownVersion { found: head.version }) }
}
