//! `vfs-audit rules` and `--rules`, run as a user runs them.

mod as_user;
#[path = "report/expect.rs"]
mod expect;
#[expect(dead_code, reason = "shared with the tests of reports, which use the rest")]
#[path = "report/sample.rs"]
mod sample;

use as_user::{Refusal, Scratch, json, recording, refused, run};
use vfs_audit::observation::{LockEvidence, LockReading, Observation, Tracked, Word};
use vfs_audit::report::Loss;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules");
const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/import/small.rst");

/// A document of one table; `CELL` is what it says of `setattr`.
const DOCUMENT: &str = "\
inode_operations
================

prototypes::

\tint (*setattr)(struct dentry *, struct iattr *);
\tint (*readlink)(struct dentry *, char *, int);

locking rules:
\tall may block

============== ==================================================
ops            i_rwsem(inode)
============== ==================================================
setattr:       CELL
readlink:      no
============== ==================================================
";

/// An op on an inode, whose lock the word and the table say this of.
fn invocation(op: &str, word: Word, tracked: Tracked) -> Observation {
    let reading = LockReading::Read { word, tracked };
    Observation {
        locks: vec![LockEvidence { role: "inode".into(), lock: "i_rwsem".into(), reading }],
        facts: sample::names(&[("atomic", false)]),
        count: 5,
        example: None,
        ..sample::observation(op)
    }
}

fn shared_setattr() -> Vec<u8> {
    recording("6.12.48", &[invocation("setattr", Word::Readers, Tracked::Shared)], Loss::default())
}

#[test]
fn a_list_has_every_op_of_every_table() {
    let scratch = Scratch::new("rules-list");
    let (code, out, err) = run(&scratch, &["rules", "list", "--rules", "v5.15-seed", "--format", "json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let rules = json(&out);
    let rules = rules.as_array().map_or(&[][..], Vec::as_slice);
    assert!(rules.len() > 400, "{}", rules.len());
    let tables: std::collections::BTreeSet<_> = rules.iter().filter_map(|rule| rule["table"].as_str()).collect();
    assert_eq!(tables.len(), 13, "{tables:?}");
    assert!(rules.iter().all(|rule| rule["release"] == "v5.15-seed"));
}

#[test]
fn a_list_is_narrowed_and_shown_as_a_table() {
    let scratch = Scratch::new("rules-narrow");
    let arguments = ["rules", "list", "--rules", "v6.12", "--op", "rename,fsync"];
    let (code, out, err) = run(&scratch, &arguments);
    assert_eq!((code, err.as_str()), (0, ""));
    expect::same("rules_list.txt", &out);
    let (_, out, _) = run(&scratch, &["rules", "list", "--rule", "*.rename.mutex", "--format", "json"]);
    assert_eq!(json(&out).as_array().map(Vec::len), Some(1), "auto is the running kernel's");
}

#[test]
fn an_explanation_says_everything_of_one_rule() {
    let scratch = Scratch::new("rules-explain");
    let arguments = ["rules", "explain", "inode_operations.setattr", "--rules", "v6.12"];
    let (code, out, err) = run(&scratch, &arguments);
    assert_eq!((code, err.as_str()), (0, ""));
    expect::same("rules_explain.txt", &out);
    let (code, out, _) = run(&scratch, &[&arguments[..], &["--format", "json"]].concat());
    let explained = json(&out);
    assert_eq!((code, &explained["id"]), (0, &"inode_operations.setattr".into()));
    assert!(explained["misses"].as_array().is_some_and(|misses| !misses.is_empty()));
}

#[test]
fn an_import_prints_every_cell_and_names_what_is_open() {
    let scratch = Scratch::new("rules-import");
    let (code, out, _) = run(&scratch, &["rules", "import", SMALL, "--format", "json"]);
    let cells = json(&out);
    let cells = cells.as_array().map_or(&[][..], Vec::as_slice);
    assert!(cells.iter().all(|cell| cell["line"].is_u64() && cell["table"].is_string() && cell["op"].is_string()));
    assert!(cells.iter().any(|cell| cell["cell"] == ""), "blank cells stand there too");
    assert_eq!(code, 0, "every cell of the sample is certain");
    scratch.file("good.rst", DOCUMENT.replace("CELL", "exclusive"));
    let (code, out, err) = run(&scratch, &["rules", "import", "good.rst"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("1 section, 2 prototypes, 2 cells (0 left open)"), "{out}");
    let small = std::fs::read_to_string(SMALL).unwrap_or_default();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let flat: Vec<String> = small.lines().map(words).filter(|line| !line.is_empty()).collect();
    scratch.file("flat.rst", flat.join("\n"));
    let (code, out, err) = run(&scratch, &["rules", "import", "flat.rst"]);
    assert_eq!(code, 3, "{err}");
    let row = flat.iter().position(|line| line.starts_with("write_begin:")).map_or(0, |at| at + 1);
    assert!(err.contains(&format!("flat.rst:{row}: address_space_operations.write_begin: column ")), "{err}");
    assert!(out.contains("text without layout") && out.contains("  ? "), "{out}");
}

#[test]
fn a_difference_is_exit_code_1() {
    let scratch = Scratch::new("rules-diff");
    let directory = format!("{RULES}@v6.12");
    let (code, out, err) = run(&scratch, &["rules", "diff", "v6.12", &directory]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(": no difference\n"), "{out}");
    let (code, out, _) = run(&scratch, &["rules", "diff", "v6.1", "v6.12"]);
    assert_eq!(code, 1);
    assert!(out.contains("inode_operations.get_inode_acl: op added"), "{out}");
    let (code, out, _) = run(&scratch, &["rules", "diff", "v6.1", "v6.12", "--format", "json"]);
    assert_eq!(code, 1);
    assert!(json(&out).as_array().is_some_and(|found| found.iter().all(|one| one["change"].is_string())));
}

#[test]
fn lint_names_every_fault_of_every_file_with_line_and_caret() {
    let scratch = Scratch::new("rules-lint");
    let (code, out, err) = run(&scratch, &["rules", "lint", RULES]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(": no fault, proved for v5.4, "), "{out}");
    copy_rules(&scratch);
    let damage = |file: &str, from: &str, to: &str| {
        let path = scratch.0.join("rules").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text.contains(from), "{file}: {from}");
        assert!(std::fs::write(&path, text.replacen(from, to, 1)).is_ok());
    };
    damage("inode_operations.toml", "dir.i_rwsem shared", "dir.i_rwsem sharred");
    damage("xattr_handler.toml", "[[op]]", "[[opp]]");
    let (code, out, err) = run(&scratch, &["rules", "lint", "rules"]);
    assert_eq!((code, err.as_str()), (1, ""));
    for part in [
        "error: `sharred` is no demand on a lock\n  --> rules/inode_operations.toml:29:13\n",
        "29 | requires = [\"dir.i_rwsem sharred\"]\n   |             ^^^^^^^^^^^^^^^^^^^^^",
        "demands: shared, exclusive, held, not held, never shared, not promised",
        "error: unknown key `opp` in the table",
        "rules: ",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    let (code, out, err) = run(&scratch, &["rules", "list", "--rules", "rules"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("`vfs-audit rules lint DIR` proves them"), "{err}");
}

fn copy_rules(scratch: &Scratch) {
    let to = scratch.0.join("rules");
    assert!(std::fs::create_dir_all(&to).is_ok());
    let entries = std::fs::read_dir(RULES).unwrap_or_else(|error| panic!("{RULES}: {error}"));
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.path().is_file()) {
        assert!(std::fs::copy(entry.path(), to.join(entry.file_name())).is_ok());
    }
}

#[test]
fn a_recording_is_checked_by_a_kernel_s_own_document() {
    let scratch = Scratch::new("rules-file");
    scratch.file("run.vfa", shared_setattr());
    for (cell, code) in [("exclusive", 1), ("shared", 0), ("no", 0), ("no or exclusive", 1)] {
        scratch.file("locking.rst", DOCUMENT.replace("CELL", cell));
        let arguments = ["check", "run.vfa", "--rules", "locking.rst", "--format", "json"];
        let (found, out, err) = run(&scratch, &arguments);
        assert_eq!(found, code, "{cell}: {err}\n{out}");
        assert_eq!(json(&out)["kernel"]["rules"], "locking.rst");
        assert!(err.contains("locking.rst: "), "{err}");
    }
    scratch.file("locking.rst", DOCUMENT.replace("CELL", "exclusive on Sundays"));
    let arguments = ["check", "run.vfa", "--rules", "locking.rst", "--rule", "inode_operations.setattr.cell*"];
    let (_, out, err) = run(&scratch, &arguments);
    assert!(err.contains("locking.rst:15: inode_operations.setattr: column i_rwsem(inode): "), "{err}");
    assert!(out.contains("not judged"), "{out}");
}

#[test]
fn a_recording_is_checked_by_a_directory_of_rule_files() {
    let scratch = Scratch::new("rules-dir");
    scratch.file("run.vfa", shared_setattr());
    copy_rules(&scratch);
    assert_eq!(run(&scratch, &["check", "run.vfa", "--rules", "rules"]).0, 1);
    assert_eq!(run(&scratch, &["check", "run.vfa", "--rules", "rules@v5.4"]).0, 1);
    assert_eq!(run(&scratch, &["check", "run.vfa", "--rules", "rules@v9"]).0, 2);
    scratch.file("old.vfa", recording("6.1.0", &[], Loss::default()));
    let (code, _, err) = run(&scratch, &["check", "run.vfa", "old.vfa", "--rules", "rules"]);
    assert_eq!(code, 2, "a directory has the rules of all releases: {err}");
    assert_eq!(run(&scratch, &["check", "run.vfa", "old.vfa", "--rules", "rules@v6.12"]).0, 1);
}

#[test]
fn a_file_with_the_name_of_a_release_does_not_hide_the_release() {
    let scratch = Scratch::new("rules-name");
    scratch.file("run.vfa", shared_setattr());
    scratch.file("auto", DOCUMENT.replace("CELL", "shared"));
    scratch.file("v6.12", DOCUMENT.replace("CELL", "shared"));
    for (rules, code) in [("auto", 1), ("v6.12", 1), ("./auto", 0), ("./v6.12", 0)] {
        assert_eq!(run(&scratch, &["check", "run.vfa", "--rules", rules]).0, code, "{rules}");
    }
}

#[test]
fn strict_reads_what_is_not_promised_as_not_held() {
    let scratch = Scratch::new("strict");
    let held = invocation("readlink", Word::ExclusiveSelf, Tracked::Exclusive);
    scratch.file("run.vfa", recording("6.12.48", &[held], Loss::default()));
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--op", "readlink"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("readlink (inode.i_rwsem: exclusive 5)"), "what was seen is told\n{out}");
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--op", "readlink", "--strict"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("i_rwsem of inode not held"), "{out}");
}

#[test]
fn a_baseline_s_entry_needs_a_reason_and_counts_again_when_it_has_expired() {
    let scratch = Scratch::new("expiry");
    scratch.file("run.vfa", shared_setattr());
    assert_eq!(run(&scratch, &["check", "run.vfa", "--write-baseline", "known.toml"]).0, 1);
    let written = std::fs::read_to_string(scratch.0.join("known.toml")).unwrap_or_default();
    let entry = |extra: &str| written.replace("\nreason", &format!("\n{extra}\nreason"));
    scratch.file("known.toml", entry("expires = \"2099-12-31\""));
    assert_eq!(run(&scratch, &["check", "run.vfa", "--baseline", "known.toml"]).0, 0);
    scratch.file("known.toml", entry("expires = \"2001-12-31\""));
    let (code, out, _) = run(&scratch, &["check", "run.vfa", "--baseline", "known.toml"]);
    assert_eq!(code, 1);
    assert!(out.contains("expired"), "{out}");
    let reason = written.lines().find(|line| line.starts_with("reason")).unwrap_or("reason");
    for (damage, message) in [
        (written.replace(reason, "reason = \" \""), "has no reason; say why the violation is accepted"),
        (written.replace(reason, ""), "missing field `reason`"),
        (entry("expires = \"soon\""), "expires on no day"),
    ] {
        scratch.file("known.toml", damage);
        let (code, out, err) = run(&scratch, &["check", "run.vfa", "--baseline", "known.toml"]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains(message), "{message}: {err}");
    }
}

#[test]
fn what_is_not_there_is_one_clear_error_with_what_to_do() {
    let scratch = Scratch::new("rules-refused");
    scratch.file("note.txt", "a note on something else\n");
    assert!(std::fs::create_dir_all(scratch.0.join("empty")).is_ok());
    let cases: [Refusal; 9] = [
        (&["rules", "list", "--rules", "v9"], "there is no rule set `v9`", "use `auto`, one of v5.4"),
        (&["rules", "list", "--rules", "empty"], "there is no rule file", "name a directory of rule files"),
        (&["rules", "list", "--rules", "note.txt"], "holds no section on an operations table", "locking.rst"),
        (&["rules", "list", "--op", "no_op"], "no op matches `no_op`", "rules list"),
        (
            &["rules", "explain", "rename.mutex", "--rules", "v6.12"],
            "no rule `rename.mutex`",
            "inode_operations.rename",
        ),
        (&["rules", "import", "none.rst"], "reading the document none.rst", "locking.rst of a kernel tree"),
        (&["rules", "lint", "none"], "reading rules from none", "name a directory of rule files"),
        (&["rules", "diff", "v6.12", "none"], "cannot read none", "name a release"),
        (&["rules", "diff", "v6.12", "note.txt"], "holds no section", "a document"),
    ];
    refused(&scratch, &cases);
}
