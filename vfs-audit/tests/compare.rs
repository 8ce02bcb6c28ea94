//! `vfs-audit compare`, run as a user runs it.

mod as_user;
#[path = "report/expect.rs"]
mod expect;
#[expect(dead_code, reason = "shared with the tests of reports, which use the rest")]
#[path = "report/sample.rs"]
mod sample;

use as_user::{Refusal, Scratch, header, json, recording, refused, run};
use vfs_audit::observation::{LockEvidence, LockReading, Observation, Tracked, Word};
use vfs_audit::recording::{End, Header, Writer};
use vfs_audit::report::{Addresses, KernelInfo, Loss, Source};

const FREE: (Word, Tracked) = (Word::Free, Tracked::None);
const SHARED: (Word, Tracked) = (Word::Readers, Tracked::Shared);
const EXCLUSIVE: (Word, Tracked) = (Word::ExclusiveSelf, Tracked::Exclusive);

/// Invocations of an op of `inode_operations` on a file system.
fn seen(op: &str, fs: &str, role: &str, (word, tracked): (Word, Tracked), count: u64) -> Observation {
    let reading = LockReading::Read { word, tracked };
    Observation {
        fs: fs.into(),
        callback: format!("{fs}_{op}"),
        locks: vec![LockEvidence { role: role.into(), lock: "i_rwsem".into(), reading }],
        facts: sample::names(&[("atomic", false)]),
        count,
        example: None,
        ..sample::observation(op)
    }
}

/// A run of the reference VFS: everything as documented.
fn reference() -> Vec<u8> {
    let kernel = KernelInfo { rules: "v6.12".into(), ..KernelInfo::default() };
    let header = Header { source: Source::Reference, kernel, ..header("") };
    let observations = [
        seen("create", "examplefs", "dir", EXCLUSIVE, 1000),
        seen("lookup", "examplefs", "dir", SHARED, 1000),
        seen("lookup", "examplefs", "dir", EXCLUSIVE, 10),
        seen("setattr", "examplefs", "inode", EXCLUSIVE, 1000),
        seen("readlink", "examplefs", "inode", FREE, 1000),
        seen("mkdir", "examplefs", "dir", EXCLUSIVE, 1000),
    ];
    let write = || {
        let mut writer = Writer::create(Vec::new(), &header, Addresses::Hidden)?;
        observations.iter().try_for_each(|observation| writer.push(observation))?;
        writer.finish(&End { seconds: 1.0, ..End::default() })
    };
    write().unwrap_or_else(|error: vfs_audit::recording::Error| panic!("{error}"))
}

fn old_kernel() -> Vec<u8> {
    let observations = [
        seen("create", "ext4", "dir", EXCLUSIVE, 50),
        seen("create", "xfs", "dir", EXCLUSIVE, 20),
        seen("lookup", "ext4", "dir", EXCLUSIVE, 30),
        seen("setattr", "ext4", "inode", EXCLUSIVE, 40),
        seen("readlink", "ext4", "inode", FREE, 5),
    ];
    recording("6.1.0-41-cloud-amd64", &observations, Loss::default())
}

fn new_kernel() -> Vec<u8> {
    let observations = [
        seen("create", "ext4", "dir", EXCLUSIVE, 60),
        seen("create", "xfs", "dir", FREE, 2),
        seen("lookup", "ext4", "dir", EXCLUSIVE, 30),
        seen("setattr", "ext4", "inode", EXCLUSIVE, 40),
        seen("readlink", "ext4", "inode", SHARED, 5),
    ];
    recording("7.3.4", &observations, Loss::default())
}

fn three_runs(test: &str) -> Scratch {
    let scratch = Scratch::new(test);
    scratch.file("reference.vfa", reference());
    scratch.file("6.1.vfa", old_kernel());
    scratch.file("7.3.vfa", new_kernel());
    scratch
}

const FILES: [&str; 4] = ["compare", "reference.vfa", "6.1.vfa", "7.3.vfa"];

#[test]
fn a_reference_run_and_two_kernels_stand_side_by_side_with_reasons() {
    let scratch = three_runs("compare-table");
    let filters = ["--op", "create,lookup,setattr,readlink,mkdir,get_inode_acl,writepage"];
    let (code, out, err) = run(&scratch, &[&FILES[..], &filters].concat());
    assert_eq!((code, err.as_str()), (1, ""));
    expect::same("compare.txt", &out);
}

#[test]
fn json_has_every_rule_with_a_reason_for_all_but_agreement() {
    let scratch = three_runs("compare-json");
    let (code, out, err) = run(&scratch, &[&FILES[..], &["--format", "json"]].concat());
    assert_eq!((code, err.as_str()), (1, ""));
    let comparison = json(&out);
    let rules = comparison["rules"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(rules.len() > 400, "{}", rules.len());
    for cell in rules.iter().flat_map(|line| line["runs"].as_array().into_iter().flatten()) {
        assert_eq!(cell["relation"] == "agrees", cell["why"].is_null(), "{cell}");
    }
    let line = |id: &str| rules.iter().find(|line| line["rule"] == id).unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(line("inode_operations.create")["verdict"], "kernel_deviates");
    assert_eq!(line("inode_operations.lookup")["verdict"], "kernel_is_stricter");
    assert_eq!(line("inode_operations.setattr")["verdict"], "agree");
    assert_eq!(line("inode_operations.mkdir")["verdict"], "unobserved");
    assert_eq!(comparison["runs"][1]["rules"], "v6.1");
    let total: u64 = comparison["summary"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert_eq!(total, rules.len() as u64);
}

#[test]
fn a_column_can_be_one_file_system() {
    let scratch = three_runs("compare-fs");
    let arguments = ["compare", "7.3.vfa", "--by-fs", "--format", "json", "--rule", "inode_operations.create"];
    let (code, out, _) = run(&scratch, &arguments);
    let comparison = json(&out);
    assert_eq!(code, 1);
    let fs: Vec<_> = comparison["runs"].as_array().into_iter().flatten().map(|run| run["fs"].clone()).collect();
    assert_eq!(fs, ["ext4", "xfs"]);
    let relations: Vec<_> =
        comparison["rules"][0]["runs"].as_array().into_iter().flatten().map(|cell| cell["relation"].clone()).collect();
    assert_eq!(relations, ["agrees", "deviates"]);
    assert_eq!(comparison["rules"].as_array().map(Vec::len), Some(1));
}

#[test]
fn one_rule_set_can_be_named_for_all() {
    let scratch = three_runs("compare-rules");
    let arguments = [&FILES[..], &["--rules", "v6.12", "--format", "json", "--op", "setattr"]].concat();
    let (code, out, _) = run(&scratch, &arguments);
    assert_eq!(code, 0, "{out}");
    let runs =
        json(&out)["runs"].as_array().map_or(0, |runs| runs.iter().filter(|run| run["rules"] == "v6.12").count());
    assert_eq!(runs, 3);
}

#[test]
fn an_incomplete_run_is_named_and_makes_the_comparison_incomplete() {
    let scratch = three_runs("compare-cut");
    let bytes = old_kernel();
    scratch.file("cut.vfa", &bytes[..bytes.len() - 20]);
    let (code, out, _) = run(&scratch, &["compare", "cut.vfa", "--op", "create"]);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("incomplete: the recording has no end"), "{out}");
    let loss = Loss { total: 2, by_cause: sample::names(&[("event_ring_full", 2)]) };
    scratch.file("lossy.vfa", recording("6.1.0", &[seen("create", "ext4", "dir", EXCLUSIVE, 1)], loss));
    assert_eq!(run(&scratch, &["compare", "lossy.vfa", "--op", "create"]).0, 3);
}

#[test]
fn what_cannot_be_compared_says_why_and_what_to_do() {
    let scratch = three_runs("compare-refused");
    scratch.file("not.vfa", "hello");
    let cases: [Refusal; 4] = [
        (&["compare", "none.vfa"], "opening the recording none.vfa", "see that the file is there"),
        (&["compare", "6.1.vfa", "not.vfa"], "not a vfs-audit recording", "`vfs-audit record -o FILE`"),
        (&["compare", "6.1.vfa", "--rules", "v9"], "there is no rule set `v9`", "use `auto`"),
        (&["compare", "6.1.vfa", "--op", "no_op"], "no op matches `no_op`", "rules list"),
    ];
    refused(&scratch, &cases);
}
