//! Rule files: the first byte says which one of the project's own the input stands in place of.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vfs_audit::rules::{Catalogue, LoadError, SourceFile, explain, list};

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let mut files = Catalogue::embedded_files();
    let place = usize::from(*choice) % files.len();
    let kept = |(number, file): (usize, SourceFile)| {
        let name = &file.name;
        // What every file refers to stays; all others would only cost time.
        (number == place || name.ends_with("locks.toml") || name.ends_with("exceptions.toml")).then_some(file)
    };
    files[place].text = String::from_utf8_lossy(text).into_owned();
    let files: Vec<SourceFile> = files.into_iter().enumerate().filter_map(kept).collect();
    match Catalogue::load_texts(&files, "v6.12") {
        Ok(catalogue) => {
            for rule in list(&catalogue) {
                assert!(explain(&catalogue, &rule.id).is_some_and(|shown| !shown.to_string().is_empty()));
            }
        }
        Err(LoadError::Faulty(faults)) => {
            assert!(!faults.is_empty());
            for fault in &faults {
                assert!(fault.line >= 1 && fault.column >= 1 && fault.to_string().contains('^'), "{fault:?}");
            }
        }
        Err(error) => panic!("{error}"),
    }
});
