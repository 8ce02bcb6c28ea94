//! Observations into the bytes of one block.
//!
//! A block is five sections: time base, strings (all lengths, then all text), shapes, lists, records. A *shape* is
//! everything of an observation but its count and example; records refer to shapes, and shapes and lists refer to
//! strings, by number of first use.

use std::collections::{BTreeMap, HashMap};

use super::bytes::{put_bytes, put_number, zigzag};
use super::{
    BLOCK_BYTES_TARGET, BLOCK_MEMORY_TARGET, BLOCK_OBSERVATIONS_MAX, Error, LIST_LEN_MAX, STRING_BYTES_MAX,
    memory_bytes,
};
use crate::observation::{Example, Held, LockReading, Observation, Point, Route, Tracked, Word};
use crate::report::Addresses;

const SHAPE: usize = 0;
const EXAMPLE: usize = 1;
const LIST: usize = 2;

/// A block that is being filled.
#[derive(Debug, Default)]
pub(super) struct Block {
    strings: Strings,
    shapes: Table,
    lists: Table,
    records: Vec<u8>,
    observations: u32,
    memory_bytes: usize,
    time_base_ns: Option<u64>,
    /// Buffers that are used again and again: a shape, an example, a list.
    scratch: [Vec<u8>; 3],
}

/// Distinct strings, numbered in the order of their first use.
#[derive(Debug, Default)]
struct Strings {
    numbers: HashMap<Box<str>, u32>,
    lengths: Vec<u8>,
    text: String,
    addresses: Addresses,
}

impl Strings {
    fn number(&mut self, raw: &str) -> u64 {
        if let Some(number) = self.numbers.get(raw) {
            return u64::from(*number);
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(raw.into(), number);
        let shown = self.addresses.apply(raw);
        put_number(&mut self.lengths, shown.len() as u64);
        self.text.push_str(&shown);
        u64::from(number)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.numbers.len() as u64);
        out.extend_from_slice(&self.lengths);
        out.extend_from_slice(self.text.as_bytes());
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.lengths.clear();
        self.text.clear();
    }
}

/// Distinct byte strings, numbered in the order of their first use.
#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<Box<[u8]>, u32>,
    encoded: Vec<u8>,
}

impl Table {
    fn number(&mut self, entry: &[u8]) -> u64 {
        if let Some(number) = self.numbers.get(entry) {
            return u64::from(*number);
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(entry.into(), number);
        self.encoded.extend_from_slice(entry);
        u64::from(number)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_number(out, self.numbers.len() as u64);
        out.extend_from_slice(&self.encoded);
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.encoded.clear();
    }
}

impl Block {
    pub(super) fn new(addresses: Addresses) -> Self {
        Self { strings: Strings { addresses, ..Strings::default() }, ..Self::default() }
    }

    pub(super) fn observations(&self) -> u32 {
        self.observations
    }

    /// True when it should be written out before it grows.
    pub(super) fn is_full(&self) -> bool {
        let sections = [&self.shapes.encoded, &self.lists.encoded, &self.records];
        let bytes = self.strings.text.len() + sections.map(Vec::len).iter().sum::<usize>();
        self.observations >= BLOCK_OBSERVATIONS_MAX
            || self.memory_bytes >= BLOCK_MEMORY_TARGET
            || bytes >= BLOCK_BYTES_TARGET
    }

    pub(super) fn push(&mut self, observation: &Observation) -> Result<(), Error> {
        self.memory_bytes += bounded_memory_bytes(observation)?;
        let shape = self.shape(observation);
        let mut example = self.scratch(EXAMPLE);
        if let Some(found) = &observation.example {
            self.put_example(&mut example, found);
        }
        put_number(&mut self.records, shape);
        put_number(&mut self.records, observation.count);
        put_bytes(&mut self.records, &example);
        self.scratch[EXAMPLE] = example;
        self.observations += 1;
        Ok(())
    }

    /// The block's bytes into `out`; the block is empty afterwards.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.clear();
        put_number(out, self.time_base_ns.unwrap_or(0));
        self.strings.write(out);
        self.shapes.write(out);
        self.lists.write(out);
        out.extend_from_slice(&self.records);
        self.strings.clear();
        self.shapes.clear();
        self.lists.clear();
        self.records.clear();
        self.observations = 0;
        self.memory_bytes = 0;
        self.time_base_ns = None;
    }

    /// One of the buffers, emptied; it is given back by assignment.
    fn scratch(&mut self, which: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.scratch[which]);
        buffer.clear();
        buffer
    }

    fn shape(&mut self, observation: &Observation) -> u64 {
        let mut out = self.scratch(SHAPE);
        let o = observation;
        for text in [&o.table, &o.op, &o.callback, &o.fs, &o.sb_id, &o.caller] {
            put_number(&mut out, self.strings.number(text));
        }
        out.push(route_code(o.route) | point_code(o.point) << 2 | u8::from(o.history_complete) << 3);
        put_number(&mut out, o.also.len() as u64);
        for op in &o.also {
            put_number(&mut out, self.strings.number(op));
        }
        put_number(&mut out, o.facts.len() as u64);
        for (fact, is) in &o.facts {
            put_number(&mut out, self.strings.number(fact) << 1 | u64::from(*is));
        }
        put_number(&mut out, o.locks.len() as u64);
        for lock in &o.locks {
            put_number(&mut out, self.strings.number(&lock.role));
            put_number(&mut out, self.strings.number(&lock.lock));
            out.push(reading_code(lock.reading));
        }
        let number = self.shapes.number(&out);
        self.scratch[SHAPE] = out;
        number
    }

    fn put_example(&mut self, out: &mut Vec<u8>, example: &Example) {
        let base = *self.time_base_ns.get_or_insert(example.time_ns);
        put_number(out, zigzag(example.time_ns.wrapping_sub(base).cast_signed()));
        put_number(out, self.strings.number(&example.task.comm));
        put_number(out, u64::from(example.task.tid));
        put_number(out, u64::from(example.task.tgid));
        put_number(out, self.stack(&example.stack));
        put_number(out, self.stack(&example.sleep_stack));
        put_number(out, self.held(&example.held));
        self.put_inodes(out, &example.inodes);
    }

    fn put_inodes(&mut self, out: &mut Vec<u8>, inodes: &BTreeMap<String, u64>) {
        put_number(out, inodes.len() as u64);
        for (role, inode) in inodes {
            put_number(out, self.strings.number(role));
            put_number(out, *inode);
        }
    }

    fn stack(&mut self, frames: &[String]) -> u64 {
        let mut entry = self.scratch(LIST);
        put_number(&mut entry, frames.len() as u64);
        for frame in frames {
            put_number(&mut entry, self.strings.number(frame));
        }
        let number = self.lists.number(&entry);
        self.scratch[LIST] = entry;
        number
    }

    /// A list of pairs: lock and mode, site. Its length counts numbers, as a stack's does.
    fn held(&mut self, held: &[Held]) -> u64 {
        let mut entry = self.scratch(LIST);
        put_number(&mut entry, held.len() as u64 * 2);
        for lock in held {
            put_number(&mut entry, self.strings.number(&lock.lock) << 1 | u64::from(lock.exclusive));
            put_number(&mut entry, self.strings.number(&lock.site));
        }
        let number = self.lists.number(&entry);
        self.scratch[LIST] = entry;
        number
    }
}

/// What reading it back will take; refuses what a reader would refuse.
fn bounded_memory_bytes(o: &Observation) -> Result<usize, Error> {
    let mut bounds = Bounds::default();
    bounds.strings([&o.table, &o.op, &o.callback, &o.fs, &o.sb_id, &o.caller]);
    bounds.strings(&o.also);
    bounds.strings(o.facts.keys());
    bounds.strings(o.locks.iter().map(|lock| &lock.role));
    bounds.strings(o.locks.iter().map(|lock| &lock.lock));
    if let Some(example) = &o.example {
        bounds.strings([&example.task.comm]);
        bounds.strings(&example.stack);
        bounds.strings(&example.sleep_stack);
        bounds.strings(example.inodes.keys());
        bounds.strings(example.held.iter().flat_map(|held| [&held.lock, &held.site]));
    }
    bounds.checked(&o.op)
}

/// The sizes of one observation.
#[derive(Default)]
struct Bounds {
    memory_bytes: usize,
    string_bytes_max: usize,
    list_len_max: usize,
}

impl Bounds {
    fn strings<'s>(&mut self, list: impl IntoIterator<Item = &'s String>) {
        let mut len = 0;
        for text in list {
            self.memory_bytes += memory_bytes(text.len());
            self.string_bytes_max = self.string_bytes_max.max(text.len());
            len += 1;
        }
        self.list_len_max = self.list_len_max.max(len);
    }

    fn checked(self, op: &str) -> Result<usize, Error> {
        let too_large = |what| Error::TooLarge { part: format!("an observation of {op}"), what };
        if self.list_len_max > LIST_LEN_MAX {
            return Err(too_large("a list has too many entries"));
        }
        // Hiding an address can make a string longer, by no more than half.
        if self.string_bytes_max > STRING_BYTES_MAX / 2 {
            return Err(too_large("a string is too long"));
        }
        Ok(self.memory_bytes)
    }
}

fn route_code(route: Route) -> u8 {
    match route {
        Route::Table => 0,
        Route::Direct => 1,
        Route::Unknown => 2,
    }
}

fn point_code(point: Point) -> u8 {
    match point {
        Point::Entry => 0,
        Point::Exit => 1,
    }
}

fn reading_code(reading: LockReading) -> u8 {
    let LockReading::Read { word, tracked } = reading else { return 0 };
    let word = match word {
        Word::Unread => 1,
        Word::Free => 2,
        Word::ExclusiveSelf => 3,
        Word::ExclusiveOther => 4,
        Word::Readers => 5,
        Word::Taken => 6,
    };
    let tracked = match tracked {
        Tracked::None => 0,
        Tracked::Shared => 1,
        Tracked::Exclusive => 2,
        Tracked::Untracked => 3,
    };
    word | tracked << 4
}
