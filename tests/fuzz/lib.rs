//! What the fuzz targets share: frames around fuzzed payloads, whole reports from what was read, and what must hold of them.

use std::sync::OnceLock;

use vfs_audit::checker::{Checker, Options};
use vfs_audit::observation::Observation;
use vfs_audit::recording::{End, FORMAT_VERSION, Header, LIST_LEN_MAX, Reader, Reading, STRING_BYTES_MAX};
use vfs_audit::report::{
    Addresses, ByFileSystem, Report, Source, Style, Terms, escape, render_json, render_json_lines, render_junit, render_ktap,
    render_sarif, render_table,
};
use vfs_audit::rules::Catalogue;

/// Bytes of a frame's head, see `vfs-audit/src/recording/frame.rs`.
const HEAD_BYTES: usize = 40;
/// Bytes before a payload in the input of the target `frames`: kind, observations, payload length.
pub const PREFIX_BYTES: usize = 5;
/// One recording in so many is reported on.
const RENDERED_SHARE: u32 = 64;
/// Kinds of frames.
const KINDS: [u8; 3] = [1, 2, 3];

/// The rules that everything is checked by.
///
/// # Panics
/// Never: the embedded rules are free of faults.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| Catalogue::load("v6.12").expect("the embedded rules load"))
}

/// A frame with true lengths and checksums around a payload.
///
/// # Panics
/// The payload has 4 GiB or more.
pub fn frame(kind: u8, sequence: u32, observations: u32, first: u64, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a payload is short").to_le_bytes();
    let mut head = Vec::with_capacity(HEAD_BYTES + payload.len());
    head.extend([0x89, b'V', b'F', b'A']);
    head.extend(FORMAT_VERSION.to_le_bytes());
    head.extend([kind, 0]);
    head.extend(sequence.to_le_bytes());
    head.extend(observations.to_le_bytes());
    head.extend(first.to_le_bytes());
    head.extend(len);
    head.extend(len);
    head.extend(crc32fast::hash(payload).to_le_bytes());
    head.extend(crc32fast::hash(&head).to_le_bytes());
    head.extend(payload);
    head
}

/// A recording of intact frames whose payloads are the fuzzer's: each is kind, number of observations, length, bytes.
pub fn framed(mut data: &[u8]) -> Vec<u8> {
    let (mut bytes, mut sequence, mut first) = (Vec::new(), 0, 0_u64);
    while let Some((prefix, rest)) = data.split_first_chunk::<PREFIX_BYTES>() {
        let kind = KINDS[usize::from(prefix[0]) % KINDS.len()];
        let observations = if kind == 2 { u32::from(u16::from_le_bytes([prefix[1], prefix[2]])) } else { 0 };
        let len = usize::from(u16::from_le_bytes([prefix[3], prefix[4]])).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        bytes.extend(frame(kind, sequence, observations, first, payload));
        first += u64::from(observations);
        sequence += 1;
        data = rest;
    }
    bytes
}

/// Reads a recording to its end, checks what it holds, and renders every form of the report.
pub fn read_and_report(bytes: &[u8], reading: Reading) {
    let Ok(mut reader) = Reader::open(bytes) else { return };
    let header = reader.header().cloned().unwrap_or_default();
    let options = Options { missing: header.missing.clone(), ..Options::default() };
    let mut checker = Checker::new(catalogue(), options);
    let mut given = 0_u64;
    let take = |observation: &Observation| {
        given += 1;
        assert!(observation.table.len() <= STRING_BYTES_MAX && observation.caller.len() <= STRING_BYTES_MAX);
        assert!(observation.locks.len() <= LIST_LEN_MAX && observation.facts.len() <= LIST_LEN_MAX);
        checker.feed(observation);
    };
    if reader.read(reading, take).is_err() {
        return;
    }
    let Ok(remains) = reader.finish() else { return };
    assert!(given <= remains.observations);
    assert_eq!(remains.damage.is_none(), remains.damage.lines().is_empty());
    assert!(remains.end.is_some() || remains.damage.cut_off);
    // Every form of a report on hundreds of rules takes a thousand times as long as reading: some inputs do, by themselves.
    if crc32fast::hash(bytes).is_multiple_of(RENDERED_SHARE) {
        render(&report(header, remains.end.unwrap_or_default(), checker, remains.damage.lines()));
    }
}

fn report(header: Header, end: End, checker: Checker<'_>, incomplete: Vec<String>) -> Report {
    let mut report = Report {
        tool_version: header.tool_version,
        kernel: header.kernel,
        source: Source::Recorded,
        seconds: end.seconds,
        command: None,
        recordings: Vec::new(),
        hooks: if end.hooks.is_empty() { header.hooks } else { end.hooks },
        findings: checker.finish(),
        loss: end.loss,
        tracker: end.tracker,
        invocations_by_fs: ByFileSystem::default(),
        timing: None,
        baseline: None,
        oracle: None,
        incomplete: incomplete.into_iter().chain(end.incomplete).collect(),
    };
    report.redact(Addresses::Hidden);
    report.conclude(&Terms { require: &[], baseline: None });
    report
}

/// No form may hold a character that acts on what shows it, line breaks of its own excepted.
fn render(report: &Report) {
    let forms = [
        ("table", render_table(report, Style::default())),
        ("json", render_json(report).expect("a report is JSON")),
        ("jsonl", render_json_lines(report).expect("a report is JSON lines")),
        ("sarif", render_sarif(report).expect("a report is SARIF")),
        ("junit", render_junit(report)),
        ("ktap", render_ktap(report)),
    ];
    for (form, text) in &forms {
        let hazardous = text.chars().find(|c| *c != '\n' && escape::is_hazardous(*c));
        assert_eq!(hazardous, None, "{form}");
    }
    for line in forms[2].1.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "a line of jsonl is no object: {line}");
    }
}
