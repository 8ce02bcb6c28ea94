//! The bytes of one block into observations.
//!
//! The bytes may come from anyone: every number, length and reference is checked, and nothing is allocated or copied
//! beyond the bounds of the format. Observations are put one after the other into the same place, so that reading costs
//! no memory per observation.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::bytes::{Cursor, Malformed, unzigzag};
use super::{BLOCK_MEMORY_MAX, FRAME_BYTES_MAX, LIST_LEN_MAX, Reading, STRING_BYTES_MAX, memory_bytes};
use crate::observation::{Example, Held, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word};

/// A block's sections, found and checked for their outer form.
pub(super) struct Block<'a> {
    raw: &'a [u8],
    text: &'a str,
    time_base_ns: u64,
    strings: Vec<Range<u32>>,
    shapes: Vec<u32>,
    lists: Vec<u32>,
    records: usize,
    observations: u32,
    /// Memory that all strings given out so far would take: a small block must not unpack to gigabytes.
    memory_bytes: Cell<usize>,
}

/// One record: which shape, how often, where its example stands.
struct Record {
    shape: usize,
    count: u64,
    example: Range<usize>,
}

/// Where observations are put, and room that is kept for the next one with an example.
pub(super) struct Place {
    observation: Observation,
    spare: Option<Example>,
}

impl Place {
    pub(super) fn new() -> Self {
        let observation = Observation {
            table: String::new(),
            op: String::new(),
            also: Vec::new(),
            callback: String::new(),
            fs: String::new(),
            sb_id: String::new(),
            caller: String::new(),
            route: Route::Unknown,
            point: Point::Entry,
            history_complete: false,
            facts: BTreeMap::new(),
            locks: Vec::new(),
            count: 0,
            example: None,
        };
        Self { observation, spare: None }
    }
}

impl<'a> Block<'a> {
    pub(super) fn parse(raw: &'a [u8], observations: u32) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(raw, 0);
        let time_base_ns = cursor.number()?;
        let (strings, text) = strings(&mut cursor)?;
        let shapes = starts(&mut cursor, skip_shape)?;
        let lists = starts(&mut cursor, skip_numbers)?;
        let records = cursor.at();
        let memory_bytes = Cell::new(0);
        Ok(Self { raw, text, time_base_ns, strings, shapes, lists, records, observations, memory_bytes })
    }

    /// Gives every observation to `take`, as `reading` says; how many records those given stand for is counted in
    /// `given`, also when something further on is malformed.
    pub(super) fn read(
        &self,
        reading: Reading,
        place: &mut Place,
        given: &mut u32,
        take: &mut impl FnMut(&Observation),
    ) -> Result<(), Malformed> {
        match reading {
            Reading::Each => self.each(place, given, take),
            Reading::Merged => self.merged(place, given, take),
        }
    }

    fn each(&self, place: &mut Place, given: &mut u32, take: &mut impl FnMut(&Observation)) -> Result<(), Malformed> {
        self.records(|record| {
            self.put(record.shape, record.count, record.example, place)?;
            take(&place.observation);
            *given += 1;
            Ok(())
        })
    }

    /// One observation per shape: counts added up, the first example kept.
    fn merged(&self, place: &mut Place, given: &mut u32, take: &mut impl FnMut(&Observation)) -> Result<(), Malformed> {
        let mut sums = vec![(0_u64, 0_u32, 0..0); self.shapes.len()];
        self.records(|record| {
            let (count, records, example) = sums.get_mut(record.shape).ok_or(Malformed("no such shape"))?;
            *count = count.saturating_add(record.count);
            *records += 1;
            if example.start == example.end {
                *example = record.example;
            }
            Ok(())
        })?;
        for (shape, (count, records, example)) in sums.into_iter().enumerate().filter(|(_, sum)| sum.1 > 0) {
            self.put(shape, count, example, place)?;
            take(&place.observation);
            *given += records;
        }
        Ok(())
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

    fn string(&self, number: u64) -> Result<&'a str, Malformed> {
        let range =
            usize::try_from(number).ok().and_then(|n| self.strings.get(n)).ok_or(Malformed("no such string"))?;
        self.memory_bytes.set(self.memory_bytes.get() + memory_bytes(range.len()));
        if self.memory_bytes.get() > BLOCK_MEMORY_MAX {
            return Err(Malformed("unpacks to too much"));
        }
        self.text.get(range.start as usize..range.end as usize).ok_or(Malformed("a string is not UTF-8"))
    }

    fn set(&self, target: &mut String, c: &mut Cursor) -> Result<(), Malformed> {
        self.set_number(target, c.number()?)
    }

    fn set_number(&self, target: &mut String, number: u64) -> Result<(), Malformed> {
        target.clear();
        target.push_str(self.string(number)?);
        Ok(())
    }

    /// Puts an observation into its place.
    fn put(&self, shape: usize, count: u64, example: Range<usize>, place: &mut Place) -> Result<(), Malformed> {
        self.put_shape(shape, &mut place.observation)?;
        place.observation.count = count;
        let room = place.observation.example.take().or_else(|| place.spare.take());
        if example.is_empty() {
            place.spare = room;
            return Ok(());
        }
        let mut room = room.unwrap_or_else(empty_example);
        self.put_example(example, &mut room)?;
        place.observation.example = Some(room);
        Ok(())
    }

    fn put_shape(&self, number: usize, out: &mut Observation) -> Result<(), Malformed> {
        let start = self.shapes.get(number).ok_or(Malformed("no such shape"))?;
        let c = &mut Cursor::new(self.raw, *start as usize);
        let Observation { table, op, callback, fs, sb_id, caller, .. } = out;
        for target in [table, op, callback, fs, sb_id, caller] {
            self.set(target, c)?;
        }
        let code = c.byte()?;
        out.route = route(code & 3)?;
        out.point = if code & 4 == 0 { Point::Entry } else { Point::Exit };
        out.history_complete = code & 8 != 0;
        self.put_list(&mut out.also, c)?;
        let len = c.count(LIST_LEN_MAX)?;
        self.put_map(&mut out.facts, len, || {
            let fact = c.number()?;
            Ok((fact >> 1, fact & 1 == 1))
        })?;
        self.put_locks(&mut out.locks, c)
    }

    fn put_list(&self, out: &mut Vec<String>, c: &mut Cursor) -> Result<(), Malformed> {
        out.resize_with(c.count(LIST_LEN_MAX)?, String::new);
        out.iter_mut().try_for_each(|text| self.set(text, c))
    }

    /// Names and values; where the names are those that are there already, only the values are put.
    fn put_map<T>(
        &self,
        out: &mut BTreeMap<String, T>,
        len: usize,
        mut next: impl FnMut() -> Result<(u64, T), Malformed>,
    ) -> Result<(), Malformed> {
        let pairs: Vec<(&str, T)> = (0..len)
            .map(|_| next().and_then(|(name, value)| Ok((self.string(name)?, value))))
            .collect::<Result<_, _>>()?;
        if out.len() == len && out.keys().zip(&pairs).all(|(there, (name, _))| there == name) {
            out.values_mut().zip(pairs).for_each(|(there, (_, value))| *there = value);
        } else {
            *out = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        }
        Ok(())
    }

    fn put_locks(&self, out: &mut Vec<LockEvidence>, c: &mut Cursor) -> Result<(), Malformed> {
        let empty = || LockEvidence { role: String::new(), lock: String::new(), reading: LockReading::NoObject };
        out.resize_with(c.count(LIST_LEN_MAX)?, empty);
        for lock in out {
            self.set(&mut lock.role, c)?;
            self.set(&mut lock.lock, c)?;
            lock.reading = reading(c.byte()?)?;
        }
        Ok(())
    }

    fn put_example(&self, at: Range<usize>, out: &mut Example) -> Result<(), Malformed> {
        let mut c = Cursor::new(&self.raw[..at.end], at.start);
        out.time_ns = self.time_base_ns.wrapping_add_signed(unzigzag(c.number()?));
        self.set(&mut out.task.comm, &mut c)?;
        out.task.tid = c.number32()?;
        out.task.tgid = c.number32()?;
        self.put_list(&mut out.stack, &mut self.list(c.number()?)?)?;
        self.put_list(&mut out.sleep_stack, &mut self.list(c.number()?)?)?;
        self.put_held(&mut out.held, &mut self.list(c.number()?)?)?;
        let len = c.count(LIST_LEN_MAX)?;
        self.put_map(&mut out.inodes, len, || Ok((c.number()?, c.number()?)))?;
        if c.left() > 0 { Err(Malformed("an example is longer than it says")) } else { Ok(()) }
    }

    fn list(&self, number: u64) -> Result<Cursor<'a>, Malformed> {
        let start = usize::try_from(number).ok().and_then(|n| self.lists.get(n)).ok_or(Malformed("no such list"))?;
        Ok(Cursor::new(self.raw, *start as usize))
    }

    fn put_held(&self, out: &mut Vec<Held>, c: &mut Cursor) -> Result<(), Malformed> {
        let len = c.count(LIST_LEN_MAX)?;
        if len % 2 == 1 {
            return Err(Malformed("half a held lock"));
        }
        out.resize_with(len / 2, || Held { lock: String::new(), exclusive: false, site: String::new() });
        for held in out {
            let lock = c.number()?;
            held.exclusive = lock & 1 == 1;
            self.set_number(&mut held.lock, lock >> 1)?;
            self.set(&mut held.site, c)?;
        }
        Ok(())
    }
}

fn empty_example() -> Example {
    Example {
        task: Task { comm: String::new(), tid: 0, tgid: 0 },
        time_ns: 0,
        inodes: BTreeMap::new(),
        held: Vec::new(),
        stack: Vec::new(),
        sleep_stack: Vec::new(),
    }
}

/// The strings: where each stands in the text, and the text.
fn strings<'a>(cursor: &mut Cursor<'a>) -> Result<(Vec<Range<u32>>, &'a str), Malformed> {
    let count = cursor.count(FRAME_BYTES_MAX)?;
    let mut ranges = Vec::with_capacity(count);
    let mut end = 0;
    for _ in 0..count {
        let start = end;
        let len = cursor.number32()?;
        if len as usize > STRING_BYTES_MAX {
            return Err(Malformed("a string is too long"));
        }
        end += len;
        if end as usize > FRAME_BYTES_MAX {
            return Err(Malformed("the strings are too long"));
        }
        ranges.push(start..end);
    }
    let text = std::str::from_utf8(cursor.bytes(end as usize)?).map_err(|_| Malformed("a string is not UTF-8"))?;
    Ok((ranges, text))
}

/// Where each entry of a section starts.
fn starts(cursor: &mut Cursor, skip: impl Fn(&mut Cursor) -> Result<(), Malformed>) -> Result<Vec<u32>, Malformed> {
    let count = cursor.count(FRAME_BYTES_MAX)?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        out.push(cursor.at() as u32);
        skip(cursor)?;
    }
    Ok(out)
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
        3 => Tracked::Untracked,
        _ => return Err(Malformed("no such tracked state")),
    };
    Ok(LockReading::Read { word, tracked })
}
