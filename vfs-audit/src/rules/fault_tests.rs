//! Damaged rule files: every kind of fault is named, with its place and a remedy.

use vfs_audit_common::{FLAGS_MAX, ROLES_MAX, SLOTS_MAX};

use super::{
    Catalogue, Fault, LoadError, SourceFile,
    load::{faults_of, from_files},
};

const LOCKS: &str = r#"
[constants]
FLAG = 0x2
WIDE = 0x100000000

[[lock]]
name = "i_rwsem"
owner = "inode"
field = "i_rwsem"
kind = "rwsem"
also = ["i_mutex"]

[[lock]]
name = "rename_lock"
field = "rename_lock"
kind = "seqlock"
"#;

const EXCEPTIONS: &str = r#"
[[exception]]
rule = "inode_operations.create"
callback = "ext4_*"
reason = "known"
"#;

const TABLE: &str = r#"
name = "inode_operations"
position = 1
operations = ["i_op"]
superblock = ["i_sb"]

[[column]]
key = "i_rwsem(inode)"

[[every]]
aspect = "may_block"
except = ["lookup"]
facts = { atomic = "atomic" }
requires = ["not atomic"]
sentence = "line above the table"
statement = "`{op}` may sleep."

[[op]]
name = "create"
roles = { dir = "inode#1", sb = "dir.i_sb" }
facts = { flagged = "int#1 & FLAG", slept = "slept" }
cells = { "i_rwsem(inode)" = "exclusive" }

[[op.rule]]
requires = ["dir.i_rwsem exclusive"]
cites = ["i_rwsem(inode)"]
statement = "The directory is held exclusive."

[[op.rule]]
aspect = "flagged"
point = "exit"
when = ["flagged"]
requires = ["not slept"]
sentence = "a sentence"
statement = "It returns without having slept."

[[op]]
name = "lookup"
roles = { dir = "inode#1" }
cells = { "i_rwsem(inode)" = "" }
"#;

fn files(locks: &str, exceptions: &str, table: &str) -> Vec<SourceFile> {
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    vec![
        file("rules/locks.toml", locks),
        file("rules/exceptions.toml", exceptions),
        file("rules/inode_operations.toml", table),
    ]
}

/// The faults of the good files with one piece of one of them replaced.
fn damaged(old: &str, new: &str) -> Vec<Fault> {
    let texts = [LOCKS, EXCEPTIONS, TABLE];
    assert_eq!(texts.iter().map(|text| text.matches(old).count()).sum::<usize>(), 1, "`{old}` must stand once");
    let [locks, exceptions, table] = texts.map(|text| text.replace(old, new));
    faults_of(&files(&locks, &exceptions, &table))
}

/// The part of the line that the caret stands under.
fn pointed(fault: &Fault) -> String {
    fault.source.chars().skip(fault.column - 1).take(fault.width).collect()
}

/// Each damage: a piece of the good files, what stands there instead, the message, and what the caret stands under.
const DAMAGES: &[(&str, &str, &str, &str)] = &[
    ("position = 1", "position = 1 2", "not TOML", "1 2"),
    ("position = 1", "positoin = 1", "unknown key `positoin` in the table", "positoin"),
    ("position = 1", "position = \"one\"", "`position` must be a whole number", "\"one\""),
    ("operations = [\"i_op\"]", "operations = \"i_op\"", "`operations` must be a list of texts", "\"i_op\""),
    ("name = \"create\"", "nom = \"create\"", "an op has no `name`", "[[op]]"),
    ("name = \"create\"", "name = \"cre ate\"", "`cre ate` is no name", "\"cre ate\""),
    ("name = \"create\"", "name = \"lookup\"", "op `lookup` stands twice", "\"lookup\""),
    ("name = \"create\"", "name = \"create\"\nsince = \"6.2\"", "unknown release `6.2`", "\"6.2\""),
    (
        "name = \"create\"",
        "name = \"create\"\nsince = \"6.12\"\nuntil = \"6.1\"",
        "v6.1 comes before `since` v6.12",
        "[[op]]",
    ),
    ("dir = \"inode#1\", sb", "dir = \"inode#0\", sb", "`inode#0` is no role expression", "\"inode#0\""),
    ("sb = \"dir.i_sb\"", "sb = \"parent.i_sb\"", "`create` has no role `parent`", "\"parent.i_sb\""),
    ("sb = \"dir.i_sb\"", "sb = \"dir.a.b.c.d.e\"", "the path of role `sb` has 5 steps", "\"dir.a.b.c.d.e\""),
    ("\"int#1 & FLAG\"", "\"int#1 & FLAGG\"", "unknown constant `FLAGG`", "\"int#1 & FLAGG\""),
    ("\"int#1 & FLAG\"", "\"int#1 & WIDE\"", "`WIDE` does not fit in 32 bits", "\"int#1 & WIDE\""),
    ("slept = \"slept\"", "slept = \"has slept\"", "`has slept` is no fact expression", "\"has slept\""),
    ("slept = \"slept\"", "slept = \"acquired(dir.i_rwsen)\"", "unknown lock `i_rwsen`", "\"acquired(dir.i_rwsen)\""),
    ("slept = \"slept\"", "slept = \"present(child)\"", "`create` has no role `child`", "\"present(child)\""),
    ("\"dir.i_rwsem exclusive\"", "\"dir.i_rwsen exclusive\"", "unknown lock `i_rwsen`", "\"dir.i_rwsen exclusive\""),
    (
        "\"dir.i_rwsem exclusive\"",
        "\"child.i_rwsem exclusive\"",
        "`create` has no role `child`",
        "\"child.i_rwsem exclusive\"",
    ),
    ("\"dir.i_rwsem exclusive\"", "\"dir.i_rwsem upheld\"", "`upheld` is no demand", "\"dir.i_rwsem upheld\""),
    ("\"dir.i_rwsem exclusive\"", "\"dir exclusive\"", "`dir exclusive` is no requirement", "\"dir exclusive\""),
    (
        "\"dir.i_rwsem exclusive\"",
        "\"dir.i_rwsem exclusive\", \"dir.i_mutex shared\"",
        "demands `dir.i_rwsem` twice under the same conditions",
        "[[op.rule]]",
    ),
    (
        "\"dir.i_rwsem exclusive\"",
        "\"global.i_rwsem exclusive\"",
        "an object embeds it",
        "\"global.i_rwsem exclusive\"",
    ),
    ("\"dir.i_rwsem exclusive\"", "\"dir.rename_lock held\"", "its role is `global`", "\"dir.rename_lock held\""),
    ("when = [\"flagged\"]", "when = [\"flaged\"]", "`create` has no fact `flaged`", "\"flaged\""),
    ("when = [\"flagged\"]", "when = [\"not  not x\"]", "is no condition", "\"not  not x\""),
    (
        "when = [\"flagged\"]",
        "when = [\"flagged\", \"not flagged\"]",
        "contradict each other on `flagged`",
        "[[op.rule]]",
    ),
    ("point = \"exit\"", "point = \"return\"", "unknown point `return`", "\"return\""),
    ("point = \"exit\"", "point = \"entry\"", "asks for the fact `slept` at entry", "[[op.rule]]"),
    (
        "aspect = \"flagged\"",
        "aspect = \"may_block\"",
        "rule `inode_operations.create.may_block` stands twice",
        "\"may_block\"",
    ),
    ("requires = [\"not slept\"]", "", "neither requires anything nor says why not", "[[op.rule]]"),
    (
        "requires = [\"not slept\"]",
        "standing = \"maybe\"\nwhy_not_judged = \"so\"",
        "unknown standing `maybe`",
        "\"maybe\"",
    ),
    (
        "requires = [\"not slept\"]",
        "requires = [\"not slept\"]\nwhy_not_judged = \"so\"",
        "requires something and also says why it is not judged",
        "[[op.rule]]",
    ),
    ("\"a sentence\"", "\"\"", "`sentence` is empty", "\"\""),
    ("sentence = \"a sentence\"", "", "cites no column and no sentence", "[[op.rule]]"),
    ("statement = \"The directory is held exclusive.\"", "", "a rule has no `statement`", "[[op.rule]]"),
    ("statement = \"The directory is held exclusive.\"", "statement = \" \"", "`statement` is empty", "\" \""),
    ("cites = [\"i_rwsem(inode)\"]", "cites = [\"i_rwsem\"]", "there is no column `i_rwsem`", "\"i_rwsem\""),
    (
        "cites = [\"i_rwsem(inode)\"]",
        "sentence = \"s\"",
        "speaks of its cell `i_rwsem(inode)` = `exclusive`",
        "\"create\"",
    ),
    ("{ \"i_rwsem(inode)\" = \"exclusive\" }", "{}", "`create` has no cell for column `i_rwsem(inode)`", "{}"),
    (
        "{ \"i_rwsem(inode)\" = \"exclusive\" }",
        "{ \"i_rwsem(inode)\" = \"\" }",
        "cites the blank cell",
        "\"i_rwsem(inode)\"",
    ),
    (
        "{ \"i_rwsem(inode)\" = \"exclusive\" }",
        "[{ \"i_rwsem(inode)\" = \"exclusive\" }, { \"i_rwsem(inode)\" = \"no\" }]",
        "two sets of cells",
        "{ \"i_rwsem(inode)\" = \"no\" }",
    ),
    ("except = [\"lookup\"]", "except = [\"lookpu\"]", "unknown op `lookpu`", "\"lookpu\""),
    ("kind = \"rwsem\"", "kind = \"semaphore\"", "unknown lock kind `semaphore`", "\"semaphore\""),
    ("kind = \"rwsem\"", "kind = \"gone\"", "needs `became`", "[[lock]]"),
    ("also = [\"i_mutex\"]", "also = [\"rename_lock\"]", "two lock classes are called `rename_lock`", "[[lock]]"),
    ("FLAG = 0x2", "FLAG = -2", "`FLAG` must be a whole number that is not negative", "-2"),
    ("reason = \"known\"", "", "an exception has no `reason`", "[[exception]]"),
    (
        "rule = \"inode_operations.create\"",
        "rule = \"inode_operations.crate\"",
        "unknown rule `inode_operations.crate`",
        "[[exception]]",
    ),
];

#[test]
fn the_good_files_have_no_fault() {
    assert_eq!(faults_of(&files(LOCKS, EXCEPTIONS, TABLE)), []);
}

#[test]
fn every_kind_of_damage_is_named_with_its_place_and_a_remedy() {
    let mut wrong = Vec::new();
    for (old, new, message, caret) in DAMAGES {
        let faults = damaged(old, new);
        match faults.iter().find(|fault| fault.problem.to_string().contains(message)) {
            None => wrong.push(format!("{new}\nexpected: {message}\ngot: {faults:#?}")),
            Some(fault) if pointed(fault) != *caret => wrong.push(format!("expected the caret under {caret}\n{fault}")),
            Some(fault) if fault.problem.remedy().is_empty() => wrong.push(format!("no remedy\n{fault}")),
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the good files are told of an op that reads more than the kernel side has room for.
fn overfull(locks: &str, table: &str, what: &str, max: usize) {
    let faults = faults_of(&files(locks, EXCEPTIONS, table));
    let message = format!("`create` reads {} {what} in v5.4; the kernel side has room for {max}", max + 1);
    assert_eq!(faults.iter().map(|fault| fault.problem.to_string()).collect::<Vec<_>>(), [message]);
    assert_eq!(pointed(&faults[0]), "\"create\"");
}

#[test]
fn too_many_roles_are_refused_with_the_bound() {
    let more: Vec<_> = (1..ROLES_MAX).map(|nth| format!(", r{nth} = \"inode#{nth}\"")).collect();
    let many = TABLE.replace("sb = \"dir.i_sb\" }", &format!("sb = \"dir.i_sb\"{} }}", more.concat()));
    overfull(LOCKS, &many, "roles", ROLES_MAX);
}

#[test]
fn too_many_facts_are_refused_with_the_bound() {
    let numbers = 1..=FLAGS_MAX + 1;
    let facts: Vec<_> = numbers.clone().map(|nth| format!("f{nth} = \"int#{nth} & FLAG\"")).collect();
    let names: Vec<_> = numbers.map(|nth| format!("\"f{nth}\"")).collect();
    let many = TABLE
        .replace("flagged = \"int#1 & FLAG\"", &facts.join(", "))
        .replace("when = [\"flagged\"]", &format!("when = [{}]", names.join(", ")));
    overfull(LOCKS, &many, "facts", FLAGS_MAX);
}

#[test]
fn too_many_locks_are_refused_with_the_bound() {
    let locks: Vec<_> = (0..=SLOTS_MAX)
        .map(|nth| format!("[[lock]]\nname = \"l{nth}\"\nowner = \"inode\"\nfield = \"l{nth}\"\nkind = \"rwsem\"\n"))
        .collect();
    let demands: Vec<_> = (0..=SLOTS_MAX).map(|nth| format!("\"dir.l{nth} exclusive\"")).collect();
    let table = TABLE.replace("\"dir.i_rwsem exclusive\"", &demands.join(", "));
    overfull(&(LOCKS.to_owned() + &locks.concat()), &table, "locks", SLOTS_MAX);
}

#[test]
fn all_faults_of_all_files_come_in_one_go() {
    let locks = LOCKS.replace("kind = \"rwsem\"", "kind = \"semaphore\"");
    let exceptions = EXCEPTIONS.replace("reason = \"known\"", "");
    let table =
        TABLE.replace("upheld", "").replace("point = \"exit\"", "point = \"return\"").replace("= 1\n", "= one\n");
    let error = from_files(&files(&locks, &exceptions, &table), "v6.12").unwrap_err();
    let LoadError::Faulty(faults) = &error else { panic!("{error}") };
    let files: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.file.as_str()).collect();
    assert_eq!(files.len(), 3, "{error}");
    assert!(faults.len() >= 4, "{error}");
    assert!(faults.is_sorted_by_key(|fault| (fault.file.clone(), fault.line, fault.column)));
}

#[test]
fn what_is_wrong_in_every_release_is_said_once() {
    let faults = damaged("aspect = \"flagged\"", "aspect = \"may_block\"");
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn a_fault_is_shown_with_its_line_a_caret_and_the_remedy() {
    let faults = damaged("\"int#1 & FLAG\"", "\"int#1 & FLAGG\"");
    let expected = "\
error: unknown constant `FLAGG`
  --> rules/inode_operations.toml:21:23
   |
21 | facts = { flagged = \"int#1 & FLAGG\", slept = \"slept\" }
   |                     ^^^^^^^^^^^^^^^
   = define it under [constants] in locks.toml, or write a number
";
    let shown = faults[0].to_string();
    assert_eq!(shown.lines().next(), expected.lines().next());
    assert_eq!(shown.lines().skip(2).collect::<Vec<_>>(), expected.lines().skip(2).collect::<Vec<_>>(), "{shown}");
}

#[test]
fn no_cut_or_flipped_byte_of_the_embedded_files_panics() {
    let table = super::embedded::FILES.iter().find(|(name, _)| name.ends_with("xattr_handler.toml")).unwrap().1;
    for cut in (0..table.len()).step_by(17).filter(|cut| table.is_char_boundary(*cut)) {
        faults_of(&files(LOCKS, EXCEPTIONS, &table[..cut]));
        let mut flipped = table.as_bytes().to_vec();
        flipped[cut] ^= 0x15;
        faults_of(&files(LOCKS, EXCEPTIONS, &String::from_utf8_lossy(&flipped)));
    }
}

#[test]
fn a_directory_is_read_as_the_embedded_files_are() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    assert_eq!(Catalogue::load_from(&directory, "v6.12").unwrap(), Catalogue::load("v6.12").unwrap());
    assert_eq!(Catalogue::lint(&directory).unwrap(), []);
    assert!(matches!(Catalogue::load_from(&directory.join("none"), "v6.12"), Err(LoadError::Unreadable { .. })));
}

#[test]
fn two_files_of_one_table_are_refused() {
    let mut files = files(LOCKS, EXCEPTIONS, TABLE);
    files.push(SourceFile { name: "rules/second.toml".into(), text: TABLE.into() });
    let faults = faults_of(&files);
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(fault.problem.to_string(), "two tables are called `inode_operations`");
    assert_eq!((fault.file.as_str(), fault.line), ("rules/second.toml", 2));
    assert!(fault.problem.remedy().contains("merge the two files"));
}

#[test]
fn an_op_of_which_nothing_is_said_is_refused() {
    let table = "name = \"inode_operations\"\noperations = [\"i_op\"]\nsuperblock = [\"i_sb\"]\n\n\
                 [[op]]\nname = \"create\"\nroles = { dir = \"inode#1\" }\n";
    let faults = faults_of(&files(LOCKS, "", table));
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(fault.problem.to_string(), "`create` has no rule in v5.4");
    assert_eq!((fault.line, pointed(fault).as_str()), (6, "\"create\""));
}
