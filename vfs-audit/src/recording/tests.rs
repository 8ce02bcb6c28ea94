//! Whole recordings: what went in comes out, and damage costs no more than what it touches.

use std::collections::BTreeMap;

use super::bytes::put_number;
use super::frame::{HEAD_BYTES, Head, Kind, PACKING_NONE};
use super::{Damage, End, Error, FORMAT_VERSION, Header, Reader, Reading, Remains, Writer};
use crate::observation::{Example, Held, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word};
use crate::report::{Addresses, HookState, HookStatus, KernelInfo, Loss, Source};

fn header() -> Header {
    Header {
        tool_version: "0.1.0".into(),
        kernel: KernelInfo { release: "6.12.48".into(), rules: "v6.12".into(), ..KernelInfo::default() },
        source: Source::Live,
        command: vec!["make".into(), "test".into()],
        hooks: vec![],
        missing: BTreeMap::from([("a.b".into(), "no field c".into())]),
    }
}

fn end() -> End {
    let by_cause = BTreeMap::from([("event_ring_full".to_owned(), 2)]);
    End { seconds: 1.5, command_exit: Some(3), loss: Loss { total: 2, by_cause }, ..End::default() }
}

/// Observations that differ with the number in every part.
pub(super) fn observation(number: u64) -> Observation {
    let pick = |n: u64| usize::try_from(number % n).unwrap();
    let word =
        [Word::Unread, Word::Free, Word::ExclusiveSelf, Word::ExclusiveOther, Word::Readers, Word::Taken][pick(6)];
    let tracked = [Tracked::None, Tracked::Shared, Tracked::Exclusive][pick(3)];
    let read = LockReading::Read { word, tracked };
    let lock = |role: &str, reading| LockEvidence { role: role.into(), lock: "i_rwsem".into(), reading };
    Observation {
        table: "inode_operations".into(),
        op: ["create", "rename", "unlink", "readlink", "no_such_op"][pick(5)].into(),
        also: if number.is_multiple_of(4) { vec!["other".into()] } else { vec![] },
        callback: format!("fs_op{number}"),
        fs: ["ext4", "xfs"][pick(2)].into(),
        sb_id: "vda\u{0}ü".into(),
        caller: format!("vfs_op+{number:#x}"),
        route: [Route::Table, Route::Direct, Route::Unknown][pick(3)],
        point: [Point::Entry, Point::Exit][pick(2)],
        history_complete: number % 3 == 1,
        facts: BTreeMap::from([
            ("cross_directory".into(), number.is_multiple_of(2)),
            ("slept".into(), number.is_multiple_of(3)),
        ]),
        locks: vec![lock("dir", read), lock("victim", LockReading::NoObject)],
        count: number * 1_000_003,
        example: (number % 3 != 2).then(|| example(number)),
    }
}

fn example(number: u64) -> Example {
    Example {
        task: Task { comm: format!("task\n{number}"), tid: number as u32, tgid: u32::MAX },
        time_ns: 1_000_000_000_000 - number * 999,
        inodes: BTreeMap::from([("dir".into(), u64::MAX), ("victim".into(), number)]),
        held: vec![Held { lock: "dir.i_rwsem".into(), exclusive: number.is_multiple_of(2), site: "lookup+0x1".into() }],
        stack: vec![format!("fs_op{number}+0x0"), "vfs_op+0x12".into()],
        sleep_stack: if number.is_multiple_of(2) { vec![] } else { vec!["schedule+0x1".into()] },
    }
}

pub(super) fn recording(observations: &[Observation], flush_every: usize) -> Vec<u8> {
    let mut writer = Writer::create(Vec::new(), &header(), Addresses::Hidden).unwrap();
    for (number, observation) in observations.iter().enumerate() {
        writer.push(observation).unwrap();
        if (number + 1).is_multiple_of(flush_every) {
            writer.flush().unwrap();
        }
    }
    writer.finish(&end()).unwrap()
}

fn read_all(bytes: &[u8], reading: Reading) -> Result<(Option<Header>, Vec<Observation>, Remains), Error> {
    let mut reader = Reader::open(bytes)?;
    let header = reader.header().cloned();
    let mut all = Vec::new();
    reader.read(reading, |observation| all.push(observation.clone()))?;
    Ok((header, all, reader.finish()?))
}

#[test]
fn what_is_written_is_read() {
    let written: Vec<Observation> = (0..50).map(observation).collect();
    for flush_every in [1, 7, 100] {
        let (found_header, found, remains) = read_all(&recording(&written, flush_every), Reading::Each).unwrap();
        assert_eq!(found_header, Some(header()));
        assert_eq!(found, written);
        assert_eq!(remains.end, Some(end()));
        assert_eq!(remains.observations, 50);
        assert!(remains.damage.is_none());
    }
}

#[test]
fn equal_observations_of_a_block_are_merged_and_the_first_example_is_kept() {
    let plain = Observation { count: 5, example: None, ..observation(1) };
    let first = Observation { count: 7, example: Some(example(1)), ..observation(1) };
    let later = Observation { count: u64::MAX, example: Some(example(3)), ..observation(1) };
    let bytes = recording(&[plain.clone(), first, observation(2), later], 100);
    let (_, found, remains) = read_all(&bytes, Reading::Merged).unwrap();
    assert_eq!(found, [Observation { count: u64::MAX, example: Some(example(1)), ..plain }, observation(2)]);
    assert_eq!(remains.observations, 4);
}

#[test]
fn an_empty_run_is_a_recording_too() {
    let (_, found, remains) = read_all(&recording(&[], 1), Reading::Merged).unwrap();
    assert!(found.is_empty() && remains.damage.is_none() && remains.end.is_some());
}

#[test]
fn addresses_are_recorded_only_when_asked_for() {
    let bare = Observation { caller: "0xffffffff81234567".into(), ..observation(0) };
    for (addresses, caller) in [(Addresses::Hidden, "<address hidden>"), (Addresses::Shown, "0xffffffff81234567")] {
        let mut writer = Writer::create(Vec::new(), &header(), addresses).unwrap();
        writer.push(&bare).unwrap();
        let (_, found, _) = read_all(&writer.finish(&end()).unwrap(), Reading::Each).unwrap();
        assert_eq!(found[0].caller, caller);
    }
}

#[test]
fn header_and_end_hide_addresses_too() {
    let hook = HookStatus {
        op: "inode_operations.create".into(),
        callback: "0xffffffff81234567".into(),
        fs: "ext4".into(),
        probe: "kprobe".into(),
        state: HookState::Attached,
        reason: String::new(),
        count: 1,
    };
    let header = Header { hooks: vec![hook.clone()], ..header() };
    let end = End { hooks: vec![hook], incomplete: vec!["a table at ffffffff82345678".into()], ..end() };
    for (addresses, callback, incomplete) in [
        (Addresses::Hidden, "<address hidden>", "a table at <address hidden>"),
        (Addresses::Shown, "0xffffffff81234567", "a table at ffffffff82345678"),
    ] {
        let bytes = Writer::create(Vec::new(), &header, addresses).unwrap().finish(&end).unwrap();
        let (found, _, remains) = read_all(&bytes, Reading::Each).unwrap();
        let end = remains.end.unwrap();
        assert_eq!(found.unwrap().hooks[0].callback, callback);
        assert_eq!((end.hooks[0].callback.as_str(), end.incomplete[0].as_str()), (callback, incomplete));
    }
}

#[test]
fn truncation_at_every_offset_costs_only_what_is_cut_off() {
    let written: Vec<Observation> = (0..6).map(observation).collect();
    let bytes = recording(&written, 2);
    for cut in 0..bytes.len() {
        for reading in [Reading::Each, Reading::Merged] {
            match read_all(&bytes[..cut], reading) {
                Ok((_, found, remains)) => {
                    assert!(written.starts_with(&found), "cut at {cut}");
                    assert!(remains.damage.cut_off, "cut at {cut}");
                    assert_eq!(remains.observations, found.len() as u64, "cut at {cut}");
                    assert!(!remains.damage.lines().is_empty());
                }
                Err(error) => assert!(matches!(error, Error::NotARecording { .. }), "cut at {cut}: {error}"),
            }
        }
    }
    let header_bytes = HEAD_BYTES + serde_json::to_vec(&header()).unwrap().len();
    assert!(read_all(&bytes[..header_bytes], Reading::Each).is_ok(), "a header alone is a recording, cut off");
}

#[test]
fn a_cut_off_block_says_how_much_it_would_have_held() {
    let bytes = recording(&(0..6).map(observation).collect::<Vec<_>>(), 6);
    let end_bytes = HEAD_BYTES + 40;
    let (_, found, remains) = read_all(&bytes[..bytes.len() - end_bytes - 200], Reading::Each).unwrap();
    assert!(found.is_empty());
    assert_eq!(remains.damage.lost_observations, 6);
    assert!(remains.damage.places[0].ends_with("are damaged (frame 1, 6 observations)"), "{:?}", remains.damage);
}

#[test]
fn a_flipped_byte_costs_its_own_frame_and_is_named() {
    let written: Vec<Observation> = (0..6).map(observation).collect();
    let bytes = recording(&written, 2);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        let (found_header, found, remains) = read_all(&damaged, Reading::Each).unwrap();
        assert!(!remains.damage.is_none(), "byte {at}");
        assert!(found.iter().all(|one| written.contains(one)), "byte {at}");
        assert!(found.len() >= 4, "byte {at}: at most one block is lost");
        let lost = 6 - found.len() as u64;
        assert_eq!(remains.damage.lost_observations, lost, "byte {at}: {:?}", remains.damage);
        assert!(found_header.is_some() || lost == 0, "byte {at}: header or block, not both");
    }
}

#[test]
fn frames_with_right_checksums_and_wrong_content_never_panic() {
    let mut block = Vec::new();
    let mut writer = Writer::create(Vec::new(), &header(), Addresses::Hidden).unwrap();
    (0..3).for_each(|number| writer.push(&observation(number)).unwrap());
    let written = writer.finish(&end()).unwrap();
    let mut frames = super::frames::Frames::new(&written[..]);
    frames.next(&mut block, u64::MAX).unwrap();
    frames.next(&mut block, u64::MAX).unwrap();
    for at in 0..block.len() {
        for change in [1, 0x7f, 0x80, 0xff] {
            let mut payload = block.clone();
            payload[at] ^= change;
            let bytes = [frame(Kind::Header as u8, 0, b"{}"), frame(Kind::Block as u8, 3, &payload)].concat();
            for reading in [Reading::Each, Reading::Merged] {
                let (_, found, remains) = read_all(&bytes, reading).unwrap();
                let lost = usize::try_from(remains.damage.lost_observations).unwrap();
                assert!(found.len() + lost == 3 || reading == Reading::Merged, "byte {at}");
                assert!(found.len() + lost <= 3, "byte {at}");
            }
        }
    }
}

/// A frame made by hand, with right checksums.
fn frame(kind: u8, observations: u32, payload: &[u8]) -> Vec<u8> {
    frame_of_version(FORMAT_VERSION, kind, observations, payload)
}

fn frame_of_version(version: u16, kind: u8, observations: u32, payload: &[u8]) -> Vec<u8> {
    let head = Head {
        version,
        kind,
        packing: PACKING_NONE,
        sequence: 0,
        observations,
        first: 0,
        unpacked_bytes: payload.len() as u32,
        stored_bytes: payload.len() as u32,
        payload_crc: crc32fast::hash(payload),
    };
    [&head.encode()[..], payload].concat()
}

#[test]
fn a_small_block_cannot_ask_for_much_memory() {
    // One string of 4096 bytes, one shape that names it 512 times over, and records that use the shape again and again.
    let mut block = vec![0, 1];
    put_number(&mut block, 4096);
    block.extend([b'x'; 4096]);
    let shape = [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[0x80, 4], &[0; 512], &[0, 0, 0]].concat();
    block.extend(shape);
    let records = 3_000_000;
    block.extend([0, 1, 0].repeat(records));
    let bytes = [frame(1, 0, b"{}"), frame(2, records as u32, &block)].concat();
    let (_, found, remains) = read_all(&bytes, Reading::Each).unwrap();
    assert!(found.len() < 200, "{}", found.len());
    assert!(remains.damage.places[1].ends_with("unpacks to too much"), "{:?}", remains.damage);
}

#[test]
fn an_unknown_version_is_refused() {
    let bytes = frame_of_version(FORMAT_VERSION + 1, 1, 0, b"whatever it means there");
    let error = read_all(&bytes, Reading::Each).unwrap_err();
    assert_eq!(error.to_string(), "recording format version 2, this vfs-audit reads version 1");
}

#[test]
fn what_is_no_recording_is_refused() {
    for bytes in [&b""[..], b"PERFILE2", b"\x89VFA", &vec![0; 100_000]] {
        let error = read_all(bytes, Reading::Each).unwrap_err();
        assert!(matches!(error, Error::NotARecording { .. }), "{error}");
    }
}

#[test]
fn an_endless_input_that_is_no_recording_is_given_up() {
    let error = Reader::open(std::io::repeat(b'V')).unwrap_err();
    assert!(matches!(error, Error::NotARecording { searched } if searched < 80 << 20), "{error}");
}

#[test]
fn what_follows_the_end_is_named_and_not_read() {
    let mut bytes = recording(&[observation(1)], 1);
    let twice = [bytes.clone(), bytes.clone()].concat();
    let (_, found, remains) = read_all(&twice, Reading::Each).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(remains.damage.places, [format!("{} bytes after the recording's end were not read", bytes.len())]);
    bytes.extend(b"junk");
    let (_, _, remains) = read_all(&bytes, Reading::Each).unwrap();
    assert_eq!(remains.damage.places, ["4 bytes after the recording's end were not read"]);
}

#[test]
fn a_frame_that_comes_twice_is_not_counted_twice() {
    let bytes = recording(&[observation(1)], 1);
    let mut frames = super::frames::Frames::new(&bytes[..]);
    frames.next(&mut Vec::new(), u64::MAX).unwrap();
    let start = frames.offset() as usize;
    frames.next(&mut Vec::new(), u64::MAX).unwrap();
    let block = bytes[start..frames.offset() as usize].to_vec();
    let doubled = [&bytes[..start], &block, &block, &bytes[start + block.len()..]].concat();
    let (_, found, remains) = read_all(&doubled, Reading::Each).unwrap();
    assert_eq!(found.len(), 1);
    let places = vec!["frame 1 is out of order and was not read".to_owned()];
    assert_eq!(remains.damage, Damage { places, lost_observations: 0, cut_off: false });
}

#[test]
fn random_bytes_never_panic() {
    // A fixed seed: xorshift, so that a failure can be replayed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let payload: Vec<u8> = (0..random() % 200).map(|_| (random() % 7) as u8).collect();
        let kind = (random() % 4) as u8;
        let bytes = [frame(1, 0, b"{}"), frame(kind, (random() % 5) as u32, &payload)].concat();
        for reading in [Reading::Each, Reading::Merged] {
            read_all(&bytes, reading).unwrap();
        }
    }
}

#[test]
fn an_observation_beyond_the_bounds_is_refused_when_it_is_written() {
    let mut writer = Writer::create(Vec::new(), &header(), Addresses::Hidden).unwrap();
    let long_name = Observation { caller: "x".repeat(5000), ..observation(1) };
    let long_list = Observation { also: vec![String::new(); 600], ..observation(1) };
    for too_large in [long_name, long_list] {
        assert!(matches!(writer.push(&too_large), Err(Error::TooLarge { .. })));
    }
    writer.push(&observation(1)).unwrap();
    let (_, found, _) = read_all(&writer.finish(&end()).unwrap(), Reading::Each).unwrap();
    assert_eq!(found, [observation(1)], "the writer goes on after a refusal");
}

#[test]
fn what_was_read_is_counted_as_it_is_read_whatever_the_heads_say() {
    let observations: Vec<_> = (0..3).map(observation).collect();
    let mut bytes = recording(&observations, 10);
    let block = bytes.windows(4).enumerate().filter(|(_, marker)| *marker == super::frame::MARKER).nth(1).unwrap().0;
    let head: &mut [u8; HEAD_BYTES] = bytes[block..].first_chunk_mut().unwrap();
    let forged = Head { first: u64::MAX, ..Head::decode(head).unwrap() };
    *head = forged.encode();
    let (_, read, remains) = read_all(&bytes, Reading::Each).unwrap();
    assert_eq!((read.len(), remains.observations), (3, 3));
    assert_eq!(remains.damage.lost_observations, u64::MAX);
}
