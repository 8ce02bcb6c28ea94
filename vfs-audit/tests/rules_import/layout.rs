//! Ways to change a document's layout, and how much of a flattened text must still be read the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, io::Write};

use vfs_audit::rules::import::{self, Imported, Row};

/// The document as pasted from a web page.
pub(crate) fn flattened(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let kept: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    format!("The Linux Kernel\nnext | previous | contents\nFilesystems in the Linux kernel\n{}\n", kept.join("\n"))
}

/// Text of a sample that is always there.
pub(crate) fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Documents that are at hand where any is.
const DOCUMENTS: usize = 8;

/// Tests that had no kernel's document to run on; some of them have samples beside.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// The kernel's documents, release by release; none where they are not at hand, which is said and counted on stderr. With
/// `VFS_AUDIT_DOCUMENTS` (the directory that holds them) they must be there.
pub(crate) fn kernel_documents(test: &str) -> Vec<(String, String)> {
    let named = env::var_os("VFS_AUDIT_DOCUMENTS").map(PathBuf::from);
    let is_required = named.is_some();
    let directory = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/locking"));
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if is_required => panic!("{}: {error}", directory.display()),
        Err(_) => {
            skip(test, &directory);
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path().join("locking.rst")).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let release = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        Some((release, fs::read_to_string(path).ok()?))
    };
    let documents: Vec<_> = files.iter().filter_map(read).collect();
    assert_eq!(documents.len(), DOCUMENTS, "documents in {}", directory.display());
    documents
}

/// Not `eprintln!`: the test harness would keep it from being seen.
fn skip(test: &str, directory: &Path) {
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let what = format!(
        "skipped ({count} so far): {test}, as far as it needs the kernel's documents: none in {}\n",
        directory.display()
    );
    std::io::stderr().write_all(what.as_bytes()).unwrap();
}

/// Rows by table and op; an op that stands twice is not compared.
fn rows(imported: &Imported) -> BTreeMap<(&str, &str), Vec<&Row>> {
    let mut found: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
    for table in &imported.tables {
        table.rows.iter().for_each(|row| found.entry((&table.table, &row.op)).or_default().push(row));
    }
    found
}

/// Compares a flattened text with the original: every row is there, each cell is the same or named, none is wrong.
/// Gives the rows that are ambiguous, as `table.op`.
pub(crate) fn ambiguous_rows_of_flattened(text: &str, name: &str) -> Vec<String> {
    let (original, flat) = (import::read(text, name), import::read(&flattened(text), name));
    let (expected, found) = (rows(&original), rows(&flat));
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "{name}: rows");
    let mut ambiguous = Vec::new();
    for (key, originals) in &expected {
        for (row, flat_row) in originals.iter().zip(&found[key]) {
            if !cells_agree(row, flat_row, name) {
                let named = flat.diagnostics.iter().any(|it| it.line == flat_row.line && it.op == row.op);
                assert!(named, "{name}: {}.{} is open and not named", key.0, key.1);
                ambiguous.push(format!("{}.{}", key.0, key.1));
            }
        }
    }
    ambiguous
}

/// True when every cell was read; a cell that was read must be right, one that was not must be among the candidates.
fn cells_agree(row: &Row, flat: &Row, name: &str) -> bool {
    let mut all_read = true;
    for cell in &row.cells {
        let place = format!("{name}:{} {} {}", row.line, row.op, cell.column);
        match flat.cell(&cell.column).map(|flat| (&flat.text, &flat.candidates)) {
            Some((Some(text), _)) => assert_eq!(Some(text), cell.text.as_ref(), "{place}: placed wrongly"),
            Some((None, candidates)) => {
                let is_among =
                    candidates.is_empty() || cell.text.as_ref().is_some_and(|text| candidates.contains(text));
                assert!(is_among, "{place}: {:?} is not among {candidates:?}", cell.text);
                all_read = false;
            }
            // A column without heading is not to be seen; what stands in it must not get lost.
            None => all_read &= cell.text.as_deref() == Some(""),
        }
    }
    all_read
}
