//! Ways that output must take, looked for in the source itself.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rust files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Code lines of the program, tests left out, that hold one of the words: `FILE: LINE`.
fn lines_with(words: &[&str], is_allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root) {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if is_allowed(&name) || name.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let hits = code.lines().filter(|line| words.iter().any(|word| line.contains(word)));
        found.extend(hits.map(|line| format!("{name}: {}", line.trim())));
    }
    found
}

#[test]
fn json_is_made_in_one_place() {
    let makers = ["serde_json::to_", "serde_json::ser::", "Serializer::with_formatter"];
    let elsewhere = lines_with(&makers, |name| name == "report/escape.rs");
    assert!(elsewhere.is_empty(), "JSON that does not pass report/escape.rs: {elsewhere:#?}");
    assert!(!lines_with(&makers, |_| false).is_empty(), "the search itself finds nothing");
}

#[test]
fn nothing_is_printed_but_by_the_output_layer() {
    let writers = ["stdout()", "stderr()", "println!", "print!(", "eprint!("];
    let places = ["commands/mod.rs", "commands/output.rs", "mutation.rs"];
    let elsewhere = lines_with(&writers, |name| places.contains(&name));
    assert!(elsewhere.is_empty(), "printed without being escaped: {elsewhere:#?}");
    assert!(!lines_with(&writers, |_| false).is_empty(), "the search itself finds nothing");
}

#[test]
fn what_reads_strangers_bytes_is_safe_rust() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let parsers = ["rules/", "recording/", "report/", "btf/", "checker/", "compare/", "kernel/symbols.rs"];
    let found = lines_with(&["unsafe "], |name| !parsers.iter().any(|parser| name.starts_with(parser)));
    assert!(found.is_empty(), "the fuzz targets are built without a sanitizer: {found:#?}");
    assert!(parsers.iter().all(|parser| root.join(parser).exists()), "a parser has moved");
}
