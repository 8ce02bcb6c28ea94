//! Inputs to begin with, one directory per target: the project's own rules and sample documents, a recording of the
//! reference VFS, small files by hand.
#![allow(clippy::print_stderr, reason = "it is a command line tool")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use vfs_audit::recording::{End, Header, Writer};
use vfs_audit::reference::{self, Config, Workload};
use vfs_audit::report::Addresses;
use vfs_audit::rules::Catalogue;
use vfs_audit_fuzz::{PREFIX_BYTES, catalogue};

/// Bytes of a frame's head.
const HEAD_BYTES: usize = 40;
const DOCUMENTS: [&[u8]; 2] = [
    include_bytes!("../../vfs-audit/tests/data/import/small.rst"),
    include_bytes!("../../vfs-audit/tests/data/import/plain.txt"),
];
const BASELINES: [&str; 2] = [
    "[[known]]\nfingerprint = \"5c0e1f3a9b7d2468\"\nrule = \"inode_operations.rename\"\nreason = \"x\"\nexpires = \"2026-12-31\"\n",
    "{\"known\": [{\"fingerprint\": \"1\", \"rule\": \"a\", \"reason\": \"x\"}]}",
];
const KALLSYMS: &str = "\0\0\0\0\0\0\0\0ffffffff81000000 T _text\nffffffff81000100 t vfs_create\nffffffffc0000000 t xfs_vn_create\t[xfs]\n\
    ffffffff82000000 r ext4_dir_inode_operations\n";

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: seeds DIRECTORY");
        return ExitCode::FAILURE;
    };
    match write_all(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("writing the seeds: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &Path) -> std::io::Result<()> {
    let write = |target: &str, number: usize, bytes: &[u8]| {
        let place = directory.join(target);
        fs::create_dir_all(&place)?;
        fs::write(place.join(format!("seed-{number}")), bytes)
    };
    for (number, file) in Catalogue::embedded_files().iter().enumerate() {
        let choice = u8::try_from(number).unwrap_or(0);
        write("rule_files", number, &[&[choice], file.text.as_bytes()].concat())?;
    }
    for (number, document) in DOCUMENTS.iter().enumerate() {
        write("documents", number, document)?;
    }
    for (number, baseline) in BASELINES.iter().enumerate() {
        write("baseline", number, baseline.as_bytes())?;
    }
    write("kallsyms", 0, KALLSYMS.as_bytes())?;
    write("btf", 0, &btf())?;
    let recording = recording()?;
    write("recording", 0, &recording)?;
    write("frames", 0, &payloads(&recording))
}

/// What one of each op brings on the reference VFS.
fn recording() -> std::io::Result<Vec<u8>> {
    let config = Config { seed: 1, ops: 0, threads: 1, workload: Workload::Each };
    let run = reference::run(catalogue(), &config);
    let header = Header { missing: run.missing, ..Header::default() };
    let failed = std::io::Error::other::<vfs_audit::recording::Error>;
    let mut writer = Writer::create(Vec::new(), &header, Addresses::Hidden).map_err(failed)?;
    for observation in run.observations.iter().take(60) {
        writer.push(observation).map_err(failed)?;
    }
    writer.finish(&End { seconds: run.seconds, ..End::default() }).map_err(failed)
}

/// The recording's frames as the target `frames` wants them, payloads unpacked; those that are too long are left out.
fn payloads(mut recording: &[u8]) -> Vec<u8> {
    let word = |head: &[u8], at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let mut out = Vec::new();
    while let Some((head, rest)) = recording.split_first_chunk::<HEAD_BYTES>() {
        let (kind, is_packed) = (head[6], head[7] != 0);
        let (observations, unpacked, stored) = (word(head, 12), word(head, 24) as usize, word(head, 28) as usize);
        let (payload, rest) = rest.split_at(stored.min(rest.len()));
        recording = rest;
        let payload =
            if is_packed { lz4_flex::block::decompress(payload, unpacked).ok() } else { Some(payload.to_vec()) };
        let Some(payload) = payload else { continue };
        let (Ok(observations), Ok(len)) = (u16::try_from(observations), u16::try_from(payload.len())) else { continue };
        let (observations, len) = (observations.to_le_bytes(), len.to_le_bytes());
        let prefix: [u8; PREFIX_BYTES] = [kind - 1, observations[0], observations[1], len[0], len[1]];
        out.extend(prefix);
        out.extend(payload);
    }
    out
}

/// `struct inode { struct inode *up; union { struct list { struct list *next; } head; }; }`, as BTF.
fn btf() -> Vec<u8> {
    let strings = b"\0inode\0list\0up\0head\0next\0op\0";
    let (inode, list, up, head, next, op) = (1, 7, 12, 15, 20, 25);
    let info = |kind: u32, members: u32| kind << 24 | members;
    let types: Vec<u32> = [
        vec![list, info(4, 1), 8, next, 2, 0],
        vec![0, info(2, 0), 1],
        vec![0, info(5, 1), 8, head, 1, 0],
        vec![inode, info(4, 3), 24, up, 5, 0, 0, 3, 64, op, 6, 128],
        vec![0, info(2, 0), 4],
        vec![0, info(2, 0), 7],
        vec![0, info(13, 1), 0, 0, 5],
        vec![op, info(12, 0), 7],
    ]
    .concat();
    let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0);
    let mut data = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, len(&types), len(&types), len(strings)] {
        data.extend(word.to_le_bytes());
    }
    data.extend(types);
    data.extend(strings);
    let split = u16::try_from(data.len()).unwrap_or(0).to_le_bytes();
    [&split, data.as_slice()].concat()
}
