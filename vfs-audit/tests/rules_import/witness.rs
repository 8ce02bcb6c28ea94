//! What each release's document says, stored as facts: table by table its columns, rows, lines, and the telling words of the
//! sentences that rules are drawn from. With them the rule sets are held to the documents where the documents are not at
//! hand; where they are, the stored facts are held to them. `UPDATE_EXPECT=1` stores them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use vfs_audit::rules::diff::{self, Source, SourceTable};
use vfs_audit::rules::import::{self, Imported};
use vfs_audit::rules::{Catalogue, adopt};

use crate::adopted::{by_id, ops};
use crate::differences::rule_set;
use crate::layout::{ambiguous_rows_of_flattened, kernel_documents};

/// Releases whose documents are stored.
const RELEASES: usize = 8;

fn path(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/documents").join(format!("{release}.tsv"))
}

pub(crate) fn stored(release: &str) -> String {
    let path = path(release);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The facts of a document.
fn facts(imported: &Imported) -> String {
    let mut text = String::new();
    for table in &imported.tables {
        let _ = writeln!(text, "table\t{}\t{}", table.table, table.title);
        if !table.columns.is_empty() {
            let _ = writeln!(text, "columns\t{}", table.columns.join("\t"));
        }
        for row in &table.rows {
            let cells: Vec<&str> = row.cells.iter().map(|cell| cell.text.as_deref().unwrap()).collect();
            let _ = writeln!(text, "row\t{}\t{}", row.op, cells.join("\t"));
        }
        table.prototypes.iter().for_each(|prototype| push(&mut text, format_args!("prototype\t{}", prototype.op)));
        table.section_lines.iter().for_each(|line| push(&mut text, format_args!("line\t{}", line.text)));
        let prose = imported.folded_prose(&table.table);
        let sentences = wordings(&table.table).into_iter().filter(|words| prose.contains(&import::fold(words)));
        sentences.for_each(|words| push(&mut text, format_args!("sentence\t{words}")));
    }
    text
}

/// Every wording of the sentences that rules of a table are drawn from.
fn wordings(table: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Sentence {
        rules: Vec<String>,
        says: Vec<String>,
    }
    #[derive(serde::Deserialize)]
    struct Sentences {
        sentence: Vec<Sentence>,
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/import/sentences.toml");
    let all: Sentences = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let of_table = |sentence: &Sentence| sentence.rules.iter().any(|rule| rule.split('.').next() == Some(table));
    all.sentence.into_iter().filter(of_table).flat_map(|sentence| sentence.says).collect()
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

#[test]
fn the_stored_facts_are_those_of_the_documents() {
    for (document, text) in kernel_documents("the_stored_facts_are_those_of_the_documents") {
        let release = rule_set(&document);
        let found = facts(&import::read(&text, &document));
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(path(release).parent().unwrap()).unwrap();
            fs::write(path(release), &found).unwrap();
        }
        assert_eq!(found, stored(release), "{document}");
    }
}

/// A document with these facts, laid out as the kernel's documents are.
pub(crate) fn document(facts: &str) -> String {
    let mut text = String::from("=======\nLocking\n=======\n");
    for section in facts.split("table\t").skip(1) {
        let lines: Vec<Vec<&str>> = section.lines().map(|line| line.split('\t').collect()).collect();
        let of = |kind: &'static str| lines.iter().filter(move |line| line[0] == kind);
        let title = lines[0][1];
        let _ = write!(text, "\n{title}\n{}\n\nprototypes::\n\n", "=".repeat(title.len()));
        of("prototype").for_each(|it| push(&mut text, format_args!("\tint (*{})(struct example *);", it[1])));
        text.push_str("\nlocking rules:\n");
        of("line").for_each(|it| push(&mut text, format_args!("\t{}", it[1])));
        if let Some(columns) = of("columns").next() {
            write_table(&mut text, &columns[1..], &of("row").map(|row| &row[1..]).collect::<Vec<_>>());
        }
        of("sentence").for_each(|it| push(&mut text, format_args!("\n{}.", it[1])));
    }
    text
}

fn write_table(text: &mut String, columns: &[&str], rows: &[&[&str]]) {
    let heading: Vec<&str> = std::iter::once("ops").chain(columns.iter().copied()).collect();
    let all = || rows.iter().copied().chain([heading.as_slice()]);
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| all().map(|row| row.get(column).map_or(0, |cell| cell.len()) + 1).max().unwrap_or(1))
        .collect();
    let border: Vec<String> = widths.iter().map(|width| "=".repeat(*width)).collect();
    let mut write = |row: &[&str], colon: &str| {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let cell = if at == 0 { format!("{cell}{colon}") } else { (*cell).to_owned() };
            format!("{cell:<width$}", width = widths[at])
        });
        push(text, format_args!("{}", cells.collect::<Vec<_>>().join(" ").trim_end()));
    };
    let border: Vec<&str> = border.iter().map(String::as_str).collect();
    write(&border, "");
    write(&heading, "");
    write(&border, "");
    for row in rows {
        write(row, ":");
    }
    write(&border, "");
}

/// Every release with its stored document.
fn documents() -> Vec<(&'static str, Imported)> {
    let all: Vec<_> = Catalogue::releases()
        .into_iter()
        .map(|release| (release, import::read(&document(&stored(release)), release)))
        .collect();
    assert_eq!(all.len(), RELEASES);
    all
}

fn shown(first: &Source, second: &Source) -> Vec<String> {
    diff::diff(first, second).iter().map(ToString::to_string).collect()
}

#[test]
fn a_stored_document_says_what_its_facts_say() {
    for release in Catalogue::releases() {
        let facts_stored = stored(release);
        assert_eq!(facts(&import::read(&document(&facts_stored), release)), facts_stored, "{release}");
    }
}

#[test]
fn a_release_s_rules_say_what_its_stored_document_says() {
    for (release, imported) in documents() {
        let rules = Source::of_catalogue(&Catalogue::load(release).unwrap());
        let rows = |tables: &[SourceTable]| tables.iter().map(|table| table.rows.len()).sum::<usize>();
        assert!(rows(&rules.tables) > 100, "{release}");
        assert_eq!(shown(&rules, &Source::of_document(&imported)), [""; 0], "{release}");
        assert_eq!(shown(&Source::of_document(&imported), &rules), [""; 0], "{release}");
    }
}

#[test]
fn every_op_of_a_stored_document_has_a_rule_in_its_release() {
    for (release, imported) in documents() {
        let rules = Catalogue::load(release).unwrap();
        let mut seen = BTreeSet::new();
        for table in &imported.tables {
            let ops = table.rows.iter().map(|row| &row.op).chain(table.prototypes.iter().map(|it| &it.op));
            for op in ops {
                let known = rules.op(&table.table, op);
                assert!(known.is_some_and(|op| !op.rules.is_empty()), "{release}: {}.{op}", table.table);
                seen.insert((table.table.as_str(), op.as_str()));
            }
        }
        let listed: BTreeSet<_> = rules.ops().map(|(table, op)| (table.name.as_str(), op.name.as_str())).collect();
        assert_eq!(listed, seen, "{release}: ops of the rules and of the document");
    }
}

#[test]
fn a_stored_document_gives_its_release_s_rules() {
    for (release, imported) in documents() {
        let adopted = adopt(&imported).unwrap();
        assert_eq!((adopted.nearest.as_str(), adopted.diagnostics.as_slice()), (release, [].as_slice()));
        let expected = Catalogue::load(release).unwrap();
        let (found, wanted) = (by_id(&adopted.catalogue), by_id(&expected));
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{release}");
        for (id, rule) in &wanted {
            assert_eq!(found.get(id), Some(rule), "{release}");
        }
        assert_eq!(ops(&adopted.catalogue), ops(&expected), "{release}");
    }
}

#[test]
fn a_changed_cell_of_a_stored_document_is_a_difference() {
    for (release, imported) in documents() {
        let rules = Source::of_catalogue(&Catalogue::load(release).unwrap());
        for (table, row, cell) in every_cell(&imported) {
            let mut changed = imported.clone();
            let text = &mut changed.tables[table].rows[row].cells[cell].text;
            *text = Some(if text.as_deref() == Some("no") { "yes" } else { "no" }.to_owned());
            let op = format!("{}.{}", imported.tables[table].table, imported.tables[table].rows[row].op);
            let found = shown(&rules, &Source::of_document(&changed));
            assert!(found.iter().any(|line| line.starts_with(&op)), "{release}: {op}, cell {cell}: {found:?}");
        }
    }
}

fn every_cell(imported: &Imported) -> Vec<(usize, usize, usize)> {
    let mut all = Vec::new();
    for (table, read) in imported.tables.iter().enumerate() {
        for (row, read) in read.rows.iter().enumerate() {
            all.extend((0..read.cells.len()).map(|cell| (table, row, cell)));
        }
    }
    all
}

#[test]
fn a_stored_document_without_layout_is_read_right_as_far_as_it_is_read() {
    for release in Catalogue::releases() {
        let ambiguous = ambiguous_rows_of_flattened(&document(&stored(release)), release);
        assert!(ambiguous.len() < 20, "{release}: {ambiguous:?}");
    }
}
