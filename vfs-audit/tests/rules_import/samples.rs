//! The samples, whole: `UPDATE_EXPECT=1` blesses.

use std::path::Path;
use std::{env, fs};

use vfs_audit::rules::import::{self, Form, Kind};

use crate::layout::{ambiguous_rows_of_flattened, flattened, sample};

fn compare(name: &str, expected: &str) {
    let imported = import::read(&sample(name), name);
    let found = serde_json::to_string_pretty(&imported).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(expected);
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&path).unwrap_or_default(), "{expected}");
}

#[test]
fn a_rest_document_is_read_whole() {
    compare("small.rst", "small.json");
}

#[test]
fn a_plain_document_of_4_x_is_read_whole() {
    compare("plain.txt", "plain.json");
}

#[test]
fn a_flattened_document_leaves_open_what_no_layout_tells() {
    let ambiguous = ambiguous_rows_of_flattened(&sample("small.rst"), "small.rst");
    let pages = ["invalidatepage", "readpage", "write_begin"].map(|op| format!("address_space_operations.{op}"));
    assert_eq!(ambiguous, pages);
    assert_eq!(import::read(&flattened(&sample("small.rst")), "small.rst").form, Form::Flattened);
}

#[test]
fn a_flattened_plain_document_leaves_open_what_may_stand_in_a_column_without_heading() {
    let ambiguous = ambiguous_rows_of_flattened(&sample("plain.txt"), "plain.txt");
    let expected = [
        "address_space_operations.swap_activate",
        "address_space_operations.swap_deactivate",
        "dentry_operations.d_iput",
        "inode_operations.link",
        "inode_operations.permission",
        "inode_operations.rename",
        "super_operations.drop_inode",
        "super_operations.show_options",
        "super_operations.statfs",
    ];
    assert_eq!(ambiguous, expected);
}

#[test]
fn the_kind_of_line_end_changes_nothing() {
    for name in ["small.rst", "plain.txt"] {
        let text = sample(name);
        let plain = import::read(&text, name);
        assert_eq!(import::read(&text.replace('\n', "\r\n"), name), plain, "{name} with CRLF");
        assert_eq!(import::read(&text.replace('\n', "\r"), name), plain, "{name} with CR");
        assert_eq!(import::read(&format!("\u{feff}{text}"), name), plain, "{name} with a byte order mark");
    }
}

#[test]
fn a_table_copied_from_a_rendered_page_is_read_by_its_tabs() {
    let text = "Locking¶\naddress_space_operations¶\nprototypes:\nint (*write_begin)(struct file *);\n\
                void (*invalidatepage) (struct page *);\nlocking rules:\n\
                ops\tPageLocked(page)\ti_rwsem\tinvalidate_lock\nwrite_begin:\tlocks the page\texclusive\t\n\
                invalidatepage:\tyes\t\texclusive\n->write_begin() locks.\n";
    let imported = import::read(text, "page");
    let cells: Vec<_> = imported.cells().into_iter().map(|record| record.cell.unwrap()).collect();
    assert_eq!(cells, ["locks the page", "exclusive", "", "yes", "", "exclusive"]);
    assert_eq!(imported.prose[0].text, "->write_begin() locks.");
    assert_eq!(imported.diagnostics, []);
}

#[test]
fn a_line_without_an_op_continues_the_row_above() {
    let text = sample("small.rst").replace("read\n", "read\n\t\t\tor\t\tsecond line\n");
    let imported = import::read(&text, "small.rst");
    let row = imported.table("super_operations").unwrap().row("sync_fs").unwrap();
    assert_eq!(row.cell("s_umount").unwrap().text.as_deref(), Some("read or"));
    assert_eq!(row.cell("note").unwrap().text.as_deref(), Some("second line"));
}

#[test]
fn a_word_across_a_column_is_placed_by_what_the_columns_admit_or_named() {
    let shifted = |from: &str, to: &str| import::read(&sample("small.rst").replace(from, to), "small.rst");
    let cells = |imported: &import::Imported, op: &str| {
        let row = imported.table("address_space_operations").unwrap().row(op).unwrap().clone();
        row.cells.into_iter().map(|cell| cell.text).collect::<Vec<_>>()
    };
    let read = shifted("write_begin:\t\tlocks the page\t\t exclusive", "write_begin:\t\tlocks the page\t\texclusive");
    assert_eq!(cells(&read, "write_begin"), [Some("locks the page".to_owned()), None, None]);
    assert!(read.diagnostics.iter().any(|it| it.kind == Kind::Ambiguous && it.op == "write_begin"));
    let read = shifted("readpage:\t\tyes, unlocks\t\t\t\tshared", "readpage:\tyes, unlocks\tno\tshared");
    assert_eq!(cells(&read, "readpage"), ["yes, unlocks", "no", "shared"].map(|text| Some(text.to_owned())));
}

#[test]
fn a_document_without_sections_is_named() {
    for text in ["", "\n\n", "just a text\n", "=======\nLocking\n=======\n"] {
        let imported = import::read(text, "empty");
        assert!(imported.is_empty());
        assert!(imported.diagnostics.iter().any(|it| it.kind == Kind::Damaged), "{text:?}");
    }
}

#[test]
fn missing_borders_are_named_and_the_rows_are_read() {
    let border = "======================\t============\t========================\n";
    let text = sample("small.rst");
    let rows = |text: &str| import::read(text, "small.rst").table("super_operations").unwrap().rows.clone();
    let places: Vec<usize> = text.match_indices(border).map(|(at, _)| at).collect();
    let expected: Vec<String> = rows(&text).into_iter().map(|row| row.text).collect();
    for (at, what) in places.iter().zip(["over", "under", "closes"]) {
        let damaged = format!("{}{}", &text[..*at], &text[at + border.len()..]);
        let found: Vec<String> = rows(&damaged).into_iter().map(|row| row.text).collect();
        assert_eq!(found, expected, "without the border that {what} the table");
        let imported = import::read(&damaged, "small.rst");
        assert!(imported.diagnostics.iter().any(|it| it.kind == Kind::Damaged && it.what.contains(what)), "{what}");
    }
}
