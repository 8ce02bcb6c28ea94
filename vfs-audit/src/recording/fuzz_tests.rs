//! Damaged recordings without end: whatever the bytes are, reading ends, and what is given stays within the bounds.

use std::sync::OnceLock;

use super::frame::{HEAD_BYTES, Head, PACKING_NONE};
use super::tests::{observation, recording};
use super::{Error, LIST_LEN_MAX, Reader, Reading, STRING_BYTES_MAX};
use crate::checker::{Checker, Options};
use crate::mutation::{Random, fuzz, mutate};
use crate::observation::Observation;
use crate::rules::Catalogue;

fn recordings() -> Vec<Vec<u8>> {
    [(1, 1), (40, 7), (300, 300)]
        .map(|(count, flush_every)| recording(&(0..count).map(observation).collect::<Vec<_>>(), flush_every))
        .into()
}

/// Head and unpacked payload of every frame.
fn frames(bytes: &[u8]) -> Vec<(Head, Vec<u8>)> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while let Some((head, tail)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let head = Head::decode(head).unwrap();
        let (stored, tail) = tail.split_at(head.stored_bytes as usize);
        let mut payload = Vec::new();
        assert!(head.unpack(stored, &mut payload));
        all.push((head, payload));
        rest = tail;
    }
    all
}

/// The frames again, with true lengths and checksums over whatever the payloads are now.
fn framed(frames: &[(Head, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (head, payload) in frames {
        let len = u32::try_from(payload.len()).unwrap();
        let sizes = Head { packing: PACKING_NONE, unpacked_bytes: len, stored_bytes: len, ..*head };
        bytes.extend(Head { payload_crc: crc32fast::hash(payload), ..sizes }.encode());
        bytes.extend(payload);
    }
    bytes
}

/// Reads to the end in one way and checks what comes out.
fn read(bytes: &[u8], reading: Reading) {
    let mut given = 0_u64;
    let mut checker = Checker::new(catalogue(), Options::default());
    let take = |observation: &Observation| {
        given += 1;
        checker.feed(observation);
        assert!(observation.table.len() <= STRING_BYTES_MAX && observation.caller.len() <= STRING_BYTES_MAX);
        assert!(observation.locks.len() <= LIST_LEN_MAX && observation.facts.len() <= LIST_LEN_MAX);
    };
    let result = Reader::open(bytes).and_then(|mut reader| {
        reader.read(reading, take)?;
        reader.finish()
    });
    match result {
        Ok(remains) => {
            let damage = remains.damage;
            assert!(given <= remains.observations);
            assert!(damage.is_none() == damage.lines().is_empty(), "{damage:?}");
            assert!(remains.end.is_some() || damage.cut_off || !damage.places.is_empty());
        }
        Err(Error::NotARecording { .. } | Error::UnknownVersion { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    drop(checker.finish());
}

fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::load("v6.12").unwrap())
}

fn read_both_ways(bytes: &[u8]) {
    read(bytes, Reading::Each);
    read(bytes, Reading::Merged);
}

#[test]
fn no_damage_to_the_file_makes_the_reader_fail() {
    let good = recordings();
    fuzz("recordings", |random| {
        let mut bytes = random.pick(&good).clone();
        mutate(&mut bytes, random, &["\u{0}\u{0}\u{0}\u{0}", "\u{7f}\u{7f}"], &good);
        read_both_ways(&bytes);
    });
}

#[test]
fn no_damage_behind_true_checksums_makes_the_reader_fail() {
    let good: Vec<_> = recordings().iter().map(|bytes| frames(bytes)).collect();
    let payloads: Vec<Vec<u8>> = good.iter().flatten().map(|(_, payload)| payload.clone()).collect();
    fuzz("recordings with true checksums", |random| {
        let mut frames = random.pick(&good).clone();
        let at = random.below(frames.len());
        mutate(&mut frames[at].1, random, &["\u{1}\u{2}", "{}", "null", "-1", "1e999", "\"x\""], &payloads);
        damage_head(&mut frames[at].0, random);
        if random.below(4) == 0 {
            let other = random.below(frames.len());
            frames.swap(at, other);
        }
        read_both_ways(&framed(&frames));
    });
}

/// Changes one field of a head now and then.
fn damage_head(head: &mut Head, random: &mut Random) {
    let any = random.next();
    match random.below(24) {
        0 => head.kind = any as u8,
        1 => head.observations = any as u32,
        2 => head.first = any,
        3 => head.sequence = any as u32,
        4 => head.observations = u32::MAX,
        5 => head.first = u64::MAX,
        _ => {}
    }
}
