//! The kernel's documents: no cell is lost, and a flattened copy is read right as far as it is read.

use std::collections::BTreeSet;

use vfs_audit::rules::import::{self, Form, Imported};

use crate::layout::{ambiguous_rows_of_flattened, flattened, kernel_documents};

/// Rows of a bordered table and how many columns it has, found without the importer.
fn bordered_rows(text: &str) -> Vec<(String, usize)> {
    let is_border =
        |line: &str| line.split_whitespace().count() > 1 && line.chars().all(|c| c == '=' || c.is_whitespace());
    let (mut found, mut borders) = (Vec::new(), 0);
    for line in text.lines() {
        if is_border(line) {
            borders += 1;
        } else if borders % 3 == 2 {
            let columns = text.lines().filter(|line| is_border(line)).nth(borders - 1).unwrap();
            found.push((line.to_owned(), columns.split_whitespace().count() - 1));
        }
    }
    found
}

/// The row without the colon after its op.
fn without_colon(line: &str) -> String {
    let name = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
    format!("{} {}", &line[..name], line[name..].strip_prefix(':').unwrap_or(&line[name..]))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The words of each row as imported: op, then the cells.
fn imported_words(imported: &Imported) -> Vec<(Vec<String>, usize)> {
    let rows = imported.tables.iter().flat_map(|table| &table.rows);
    let texts = rows.map(|row| {
        let cells = row.cells.iter().map(|cell| cell.text.clone().unwrap());
        (words(&cells.fold(row.op.clone(), |text, cell| format!("{text} {cell}"))), row.cells.len())
    });
    texts.collect()
}

#[test]
fn every_cell_of_every_document_is_read() {
    for (release, text) in kernel_documents("every_cell_of_every_document_is_read") {
        let imported = import::read(&text, &release);
        let expected: Vec<_> =
            bordered_rows(&text).into_iter().map(|(line, columns)| (words(&without_colon(&line)), columns)).collect();
        assert!(expected.len() > 80, "{release}: {} rows", expected.len());
        assert_eq!(imported_words(&imported), expected, "{release}");
        let cells: usize = expected.iter().map(|(_, columns)| columns).sum();
        assert_eq!(imported.cells().len(), cells, "{release}");
        assert_eq!(imported.form, Form::Rst);
    }
}

#[test]
fn every_prototype_and_section_of_every_document_is_read() {
    for (release, text) in kernel_documents("every_prototype_and_section_of_every_document_is_read") {
        let imported = import::read(&text, &release);
        let prototypes: usize = imported.tables.iter().map(|table| table.prototypes.len()).sum();
        assert_eq!(prototypes, text.matches("(*").count(), "{release}: prototypes");
        assert_eq!(imported.tables.len(), text.matches("\nprototypes::\n").count(), "{release}: sections");
        assert!(imported.tables.iter().all(|table| !table.prototypes.is_empty()), "{release}");
        let lines: usize = imported.tables.iter().map(|table| table.section_lines.len()).sum();
        let expected = text.lines().filter(|line| line.starts_with("\tall ") || line.starts_with("\tAll ")).count();
        assert_eq!(lines, expected, "{release}: lines that speak of all ops");
    }
}

#[test]
fn every_word_of_every_document_is_kept() {
    for (release, text) in kernel_documents("every_word_of_every_document_is_kept") {
        let imported = serde_json::to_value(import::read(&text, &release)).unwrap();
        let mut kept = BTreeSet::new();
        collect_words(&imported, &mut kept);
        let is_layout = |word: &str| word.chars().all(|c| matches!(c, '=' | '-' | '.'));
        let is_kept =
            |word: &str| kept.contains(bare(word)) || footnote_label(word).is_some_and(|it| kept.contains(it));
        let lost: BTreeSet<String> = words(&text).into_iter().filter(|it| !is_layout(it) && !is_kept(it)).collect();
        let markers = ["Dubious", "Locking", "ops", "prototypes::", "stuff"];
        assert!(lost.iter().all(|word| markers.contains(&word.as_str())), "{release}: {lost:?}");
    }
}

/// The label in the mark that opens a footnote, which is kept without its brackets.
fn footnote_label(word: &str) -> Option<&str> {
    word.strip_prefix('[')?.strip_suffix("]:")
}

fn bare(word: &str) -> &str {
    word.trim_end_matches(':')
}

fn collect_words(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => found.extend(words(text).iter().map(|word| bare(word).to_owned())),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_words(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| collect_words(value, found)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

#[test]
fn a_flattened_document_is_read_right_as_far_as_it_is_read() {
    for (release, text) in kernel_documents("a_flattened_document_is_read_right_as_far_as_it_is_read") {
        let ambiguous = ambiguous_rows_of_flattened(&text, &release);
        assert!(ambiguous.len() < 20, "{release}: {ambiguous:?}");
        let is_open_to_question = |row: &String| row.starts_with("address_space_") || row.starts_with("vm_");
        assert!(ambiguous.iter().all(is_open_to_question), "{release}: {ambiguous:?}");
    }
}

#[test]
fn a_flattened_5_15_names_exactly_the_rows_that_no_layout_tells() {
    for (release, text) in kernel_documents("a_flattened_5_15_names_exactly_the_rows_that_no_layout_tells") {
        if release != "v5.15-seed" {
            continue;
        }
        let pages = [
            "invalidatepage",
            "readahead",
            "readpage",
            "readpages",
            "set_page_dirty",
            "swap_activate",
            "swap_deactivate",
            "write_begin",
            "write_end",
        ];
        let vmas = ["access", "close", "map_pages", "open", "pfn_mkwrite"];
        let expected: Vec<String> = (pages.iter().map(|op| format!("address_space_operations.{op}")))
            .chain(vmas.iter().map(|op| format!("vm_operations_struct.{op}")))
            .collect();
        assert_eq!(ambiguous_rows_of_flattened(&text, &release), expected);
    }
}

#[test]
fn flattening_keeps_prototypes_lines_and_the_wording() {
    for (release, text) in kernel_documents("flattening_keeps_prototypes_lines_and_the_wording") {
        let (original, flat) = (import::read(&text, &release), import::read(&flattened(&text), &release));
        for (table, flat_table) in original.tables.iter().zip(&flat.tables) {
            assert_eq!(table.table, flat_table.table);
            let prototypes =
                |table: &import::ImportedTable| table.prototypes.iter().map(|it| it.text.clone()).collect::<Vec<_>>();
            assert_eq!(prototypes(table), prototypes(flat_table), "{release} {}", table.table);
            let lines = |table: &import::ImportedTable| {
                table.section_lines.iter().map(|it| it.text.clone()).collect::<Vec<_>>()
            };
            assert_eq!(lines(table), lines(flat_table), "{release} {}", table.table);
            assert_eq!(table.columns, flat_table.columns, "{release} {}", table.table);
            assert_eq!(
                original.folded_prose(&table.table),
                flat.folded_prose(&table.table),
                "{release} {}",
                table.table
            );
        }
    }
}
