//! The bytes of one block into observations.
//!
//! The bytes may come from anyone: every number, length and reference is checked, nothing is allocated beyond what the
//! bounds of the format allow, and a block is either read whole or refused whole.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::bytes::{Cursor, Malformed, unzigzag};
use super::{BLOCK_MEMORY_MAX, FRAME_BYTES_MAX, LIST_LEN_MAX, STRING_BYTES_MAX, memory_bytes};
use crate::observation::{Example, Held, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word};

/// A block's sections, found and checked for their outer form.
pub(super) struct Block<'a> {
    raw: &'a [u8],
    time_base_ns: u64,
    strings: Vec<Range<usize>>,
    shapes: Vec<usize>,
    lists: Vec<usize>,
    records: usize,
    observations: u32,
    /// Memory spent on strings so far: a small block must not unpack to gigabytes.
    memory_bytes: Cell<usize>,
}

/// One record: which shape, how often, where its example stands.
struct Record {
    shape: usize,
    count: u64,
    example: Range<usize>,
}

impl<'a> Block<'a> {
    pub(super) fn parse(raw: &'a [u8], observations: u32) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(raw, 0);
        let time_base_ns = cursor.number()?;
        let strings =
            (0..cursor.count(FRAME_BYTES_MAX)?).map(|_| string_range(raw, &mut cursor)).collect::<Result<_, _>>()?;
        let shapes = starts(&mut cursor, skip_shape)?;
        let lists = starts(&mut cursor, skip_numbers)?;
        Ok(Self {
            raw,
            time_base_ns,
            strings,
            shapes,
            lists,
            records: cursor.at(),
            observations,
            memory_bytes: Cell::new(0),
        })
    }

    /// Every observation as it was written.
    pub(super) fn each(&self) -> Result<Vec<Observation>, Malformed> {
        let mut out = Vec::new();
        self.records(|record| {
            let mut observation = self.shape(record.shape)?;
            observation.count = record.count;
            observation.example = self.example(record.example)?;
            out.push(observation);
            Ok(())
        })?;
        Ok(out)
    }

    /// One observation per shape: counts added up, the first example kept.
    pub(super) fn merged(&self) -> Result<Vec<Observation>, Malformed> {
        let mut sums = vec![0_u64; self.shapes.len()];
        let mut examples = vec![0..0; self.shapes.len()];
        self.records(|record| {
            let sum = sums.get_mut(record.shape).ok_or(Malformed("no such shape"))?;
            *sum = sum.saturating_add(record.count);
            if examples[record.shape].is_empty() {
                examples[record.shape] = record.example;
            }
            Ok(())
        })?;
        let merge = |(number, (count, example))| {
            let mut observation = self.shape(number)?;
            observation.count = count;
            observation.example = self.example(example)?;
            Ok(observation)
        };
        sums.into_iter().zip(examples).enumerate().map(merge).collect()
    }

    fn records(&self, mut take: impl FnMut(Record) -> Result<(), Malformed>) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(self.raw, self.records);
        for _ in 0..self.observations {
            let shape = cursor.number32()? as usize;
            let count = cursor.number()?;
            let bytes = cursor.count(FRAME_BYTES_MAX)?;
            let start = cursor.at();
            cursor.bytes(bytes)?;
            take(Record { shape, count, example: start..cursor.at() })?;
        }
        if cursor.left() > 0 { Err(Malformed("bytes left over")) } else { Ok(()) }
    }

    fn string(&self, number: u64) -> Result<String, Malformed> {
        let range =
            usize::try_from(number).ok().and_then(|n| self.strings.get(n)).ok_or(Malformed("no such string"))?;
        self.memory_bytes.set(self.memory_bytes.get() + memory_bytes(range.len()));
        if self.memory_bytes.get() > BLOCK_MEMORY_MAX {
            return Err(Malformed("unpacks to too much"));
        }
        // Checked by `string_range`.
        std::str::from_utf8(&self.raw[range.clone()]).map(str::to_owned).map_err(|_| Malformed("not UTF-8"))
    }

    fn shape(&self, number: usize) -> Result<Observation, Malformed> {
        let start = self.shapes.get(number).ok_or(Malformed("no such shape"))?;
        let mut c = Cursor::new(self.raw, *start);
        let mut text = || self.string(c.number()?);
        let (table, op, callback, fs, sb_id, caller) = (text()?, text()?, text()?, text()?, text()?, text()?);
        let code = c.byte()?;
        let also = (0..c.count(LIST_LEN_MAX)?).map(|_| self.string(c.number()?)).collect::<Result<_, _>>()?;
        let facts = (0..c.count(LIST_LEN_MAX)?).map(|_| self.fact(c.number()?)).collect::<Result<_, _>>()?;
        let locks = (0..c.count(LIST_LEN_MAX)?).map(|_| self.lock(&mut c)).collect::<Result<_, _>>()?;
        Ok(Observation {
            table,
            op,
            also,
            callback,
            fs,
            sb_id,
            caller,
            route: route(code & 3)?,
            point: if code & 4 == 0 { Point::Entry } else { Point::Exit },
            history_complete: code & 8 != 0,
            facts,
            locks,
            count: 0,
            example: None,
        })
    }

    fn fact(&self, number: u64) -> Result<(String, bool), Malformed> {
        Ok((self.string(number >> 1)?, number & 1 == 1))
    }

    fn lock(&self, c: &mut Cursor) -> Result<LockEvidence, Malformed> {
        Ok(LockEvidence {
            role: self.string(c.number()?)?,
            lock: self.string(c.number()?)?,
            reading: reading(c.byte()?)?,
        })
    }

    fn example(&self, at: Range<usize>) -> Result<Option<Example>, Malformed> {
        if at.is_empty() {
            return Ok(None);
        }
        let mut c = Cursor::new(&self.raw[..at.end], at.start);
        let time_ns = self.time_base_ns.wrapping_add_signed(unzigzag(c.number()?));
        let task = Task { comm: self.string(c.number()?)?, tid: c.number32()?, tgid: c.number32()? };
        let (stack, sleep_stack) = (self.stack(c.number()?)?, self.stack(c.number()?)?);
        let held = self.held(c.number()?)?;
        let inodes = (0..c.count(LIST_LEN_MAX)?).map(|_| Ok((self.string(c.number()?)?, c.number()?)));
        let inodes = inodes.collect::<Result<BTreeMap<_, _>, _>>()?;
        if c.left() > 0 {
            return Err(Malformed("an example is longer than it says"));
        }
        Ok(Some(Example { task, time_ns, inodes, held, stack, sleep_stack }))
    }

    fn list(&self, number: u64) -> Result<(usize, Cursor<'_>), Malformed> {
        let start = usize::try_from(number).ok().and_then(|n| self.lists.get(n)).ok_or(Malformed("no such list"))?;
        let mut cursor = Cursor::new(self.raw, *start);
        Ok((cursor.count(LIST_LEN_MAX)?, cursor))
    }

    fn stack(&self, number: u64) -> Result<Vec<String>, Malformed> {
        let (len, mut c) = self.list(number)?;
        (0..len).map(|_| self.string(c.number()?)).collect()
    }

    fn held(&self, number: u64) -> Result<Vec<Held>, Malformed> {
        let (len, mut c) = self.list(number)?;
        let one = |_| {
            let lock = c.number()?;
            Ok(Held { lock: self.string(lock >> 1)?, exclusive: lock & 1 == 1, site: self.string(c.number()?)? })
        };
        if len % 2 == 1 { Err(Malformed("half a held lock")) } else { (0..len / 2).map(one).collect() }
    }
}

/// Where each entry of a section starts.
fn starts(cursor: &mut Cursor, skip: impl Fn(&mut Cursor) -> Result<(), Malformed>) -> Result<Vec<usize>, Malformed> {
    let count = cursor.count(FRAME_BYTES_MAX)?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        out.push(cursor.at());
        skip(cursor)?;
    }
    Ok(out)
}

fn string_range(raw: &[u8], cursor: &mut Cursor) -> Result<Range<usize>, Malformed> {
    let len = cursor.count(STRING_BYTES_MAX)?;
    let start = cursor.at();
    cursor.bytes(len)?;
    std::str::from_utf8(&raw[start..start + len]).map_err(|_| Malformed("a string is not UTF-8"))?;
    Ok(start..start + len)
}

fn skip_numbers(c: &mut Cursor) -> Result<(), Malformed> {
    for _ in 0..c.count(LIST_LEN_MAX)? {
        c.number()?;
    }
    Ok(())
}

fn skip_shape(c: &mut Cursor) -> Result<(), Malformed> {
    for _ in 0..6 {
        c.number()?;
    }
    c.byte()?;
    skip_numbers(c)?;
    skip_numbers(c)?;
    for _ in 0..c.count(LIST_LEN_MAX)? {
        c.number()?;
        c.number()?;
        c.byte()?;
    }
    Ok(())
}

fn route(code: u8) -> Result<Route, Malformed> {
    match code {
        0 => Ok(Route::Table),
        1 => Ok(Route::Direct),
        2 => Ok(Route::Unknown),
        _ => Err(Malformed("no such route")),
    }
}

fn reading(code: u8) -> Result<LockReading, Malformed> {
    let word = match code & 15 {
        0 if code == 0 => return Ok(LockReading::NoObject),
        1 => Word::Unread,
        2 => Word::Free,
        3 => Word::ExclusiveSelf,
        4 => Word::ExclusiveOther,
        5 => Word::Readers,
        6 => Word::Taken,
        _ => return Err(Malformed("no such lock word")),
    };
    let tracked = match code >> 4 {
        0 => Tracked::None,
        1 => Tracked::Shared,
        2 => Tracked::Exclusive,
        _ => return Err(Malformed("no such tracked state")),
    };
    Ok(LockReading::Read { word, tracked })
}
