//! Seeded mutation of inputs, for tests that throw damaged ones at a parser for as long as they are told to.
//!
//! Two seconds a parser unless `VFS_AUDIT_FUZZ_SECONDS` says otherwise. Inputs are numbered: a failure names its number, and
//! `VFS_AUDIT_FUZZ_FIRST` starts there again.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Changes made to one input, at most.
const CHANGES_MAX: usize = 8;
/// Longest piece that is cut, repeated or taken from another input.
const PIECE_MAX: usize = 400;
/// Inputs do not grow beyond this.
const INPUT_BYTES_MAX: usize = 256 << 10;
/// A single input that takes longer is a fault of the parser's.
const INPUT_SECONDS_MAX: u64 = 20;

/// A seeded generator (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Spreads small seeds; zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A piece of something of this length.
    fn piece(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len);
        start..(start + self.below(PIECE_MAX)).min(len)
    }
}

/// Changes an input in a few places; `words` are inserted, pieces of `others` are put in.
pub(crate) fn mutate(input: &mut Vec<u8>, random: &mut Random, words: &[&str], others: &[Vec<u8>]) {
    for _ in 0..=random.below(CHANGES_MAX) {
        change(input, random, words, others);
        input.truncate(INPUT_BYTES_MAX);
    }
}

fn change(input: &mut Vec<u8>, random: &mut Random, words: &[&str], others: &[Vec<u8>]) {
    let at = random.below(input.len() + 1);
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = *random.pick(&[0, b'\n', b'"', b' ', b'\t', 0x7f, 0x80, 0xff]),
        2 => drop(input.drain(random.piece(input.len()))),
        3 => {
            let piece = input[random.piece(input.len())].to_vec();
            drop(input.splice(at..at, piece));
        }
        4 | 5 if !words.is_empty() => drop(input.splice(at..at, random.pick(words).bytes())),
        6 if !words.is_empty() => {
            let end = (at + random.below(24)).min(input.len());
            drop(input.splice(at..end, random.pick(words).bytes()));
        }
        7 if !others.is_empty() => {
            let other = random.pick(others);
            drop(input.splice(at..at, other[random.piece(other.len())].to_vec()));
        }
        _ => input.truncate(at),
    }
}

/// Calls `try_one` with ever new numbers until the time is up; says how many there were.
pub(crate) fn fuzz(name: &str, mut try_one: impl FnMut(&mut Random)) {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let budget = Duration::from_secs(number("VFS_AUDIT_FUZZ_SECONDS").unwrap_or(2));
    let first = number("VFS_AUDIT_FUZZ_FIRST").unwrap_or(1);
    let started = Instant::now();
    let mut input = first;
    let mut slowest = Duration::ZERO;
    while started.elapsed() < budget {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| try_one(&mut Random::new(input))));
        if let Err(panic) = outcome {
            say(&format!("{name}: input {input} fails; VFS_AUDIT_FUZZ_FIRST={input} tries it again"));
            resume_unwind(panic);
        }
        slowest = slowest.max(begun.elapsed());
        assert!(slowest.as_secs() < INPUT_SECONDS_MAX, "{name}: input {input} took {slowest:?}");
        input += 1;
    }
    let seconds = started.elapsed().as_secs();
    say(&format!("{name}: {} inputs from {first} in {seconds} s, the slowest took {slowest:?}", input - first));
    assert!(input > first, "{name}: nothing was tried");
}

/// Not `eprintln!`: the test harness would keep it from being seen.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
