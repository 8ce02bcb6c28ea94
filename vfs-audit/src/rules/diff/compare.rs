//! The comparison: a pure function of two sources.

use std::collections::BTreeMap;

use super::source::{Source, SourceCell, SourceRow, SourceTable};
use super::{Change, Difference};
use crate::rules::import::{renames, vocabulary::ColumnKind};

/// Every difference, table by table in the first source's order, then what only the second has.
pub fn diff(first: &Source, second: &Source) -> Vec<Difference> {
    let mut found = Vec::new();
    let pairs = pair(&first.tables, &second.tables, |table| table.name.as_str());
    for (a, b) in pairs {
        match (a, b) {
            (Some(a), Some(b)) => tables(a, b, &mut found),
            (Some(a), None) => found.push(of_table(&a.name, Change::TableRemoved)),
            (None, Some(b)) => found.push(of_table(&b.name, Change::TableAdded)),
            (None, None) => {}
        }
    }
    found
}

fn of_table(table: &str, change: Change) -> Difference {
    Difference { table: table.to_owned(), op: String::new(), change }
}

fn of_op(table: &str, op: &str, change: Change) -> Difference {
    Difference { table: table.to_owned(), op: op.to_owned(), change }
}

/// Pairs items of the same name: the nth with the nth, in the first list's order, then the rest of the second.
fn pair<'a, T>(a: &'a [T], b: &'a [T], name: impl Fn(&'a T) -> &'a str) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let mut rest: BTreeMap<&str, Vec<&T>> = BTreeMap::new();
    for item in b.iter().rev() {
        rest.entry(name(item)).or_default().push(item);
    }
    let mut pairs: Vec<_> = a.iter().map(|item| (Some(item), rest.get_mut(name(item)).and_then(Vec::pop))).collect();
    let paired = |item: &&T, pairs: &[(Option<&T>, Option<&T>)]| pairs.iter().any(|(_, other)| is_same(*other, item));
    let added: Vec<_> = b.iter().filter(|item| !paired(item, &pairs)).map(|item| (None, Some(item))).collect();
    pairs.extend(added);
    pairs
}

fn is_same<T>(a: Option<&T>, b: &T) -> bool {
    a.is_some_and(|a| std::ptr::eq(a, b))
}

fn tables(a: &SourceTable, b: &SourceTable, found: &mut Vec<Difference>) {
    let columns = columns(a, b);
    for (from, to) in &columns {
        let change = match (from, to) {
            (Some(from), Some(to)) if from == to => continue,
            (Some(from), Some(to)) => Change::ColumnRenamed { from: from.clone(), to: to.clone() },
            (Some(column), None) => Change::ColumnRemoved { column: column.clone() },
            (None, Some(column)) => Change::ColumnAdded { column: column.clone() },
            (None, None) => continue,
        };
        found.push(of_table(&a.name, change));
    }
    rows(a, b, &columns, found);
    let lines = pair(&a.lines, &b.lines, |line| line);
    let removed = |text: &String| Change::LineRemoved { text: text.clone() };
    let added = |text: &String| Change::LineAdded { text: text.clone() };
    found.extend(one_sided(&lines, removed, added).map(|change| of_table(&a.name, change)));
    sentences(a, b, found);
    paragraphs(a, b, found);
}

fn one_sided<'a, T>(
    pairs: &'a [(Option<&T>, Option<&T>)],
    removed: impl Fn(&T) -> Change + 'a,
    added: impl Fn(&T) -> Change + 'a,
) -> impl Iterator<Item = Change> + 'a {
    pairs.iter().filter_map(move |pair| match pair {
        (Some(a), None) => Some(removed(a)),
        (None, Some(b)) => Some(added(b)),
        (Some(_), Some(_)) | (None, None) => None,
    })
}

type ColumnPair = (Option<String>, Option<String>);

/// Columns of equal heading, and between them those that stand in the same place and speak of the same kind of thing.
fn columns(a: &SourceTable, b: &SourceTable) -> Vec<ColumnPair> {
    let mut pairs: Vec<ColumnPair> = Vec::new();
    let mut rest = b.columns.as_slice();
    let mut waiting: Vec<&String> = Vec::new();
    for column in &a.columns {
        if let Some(at) = rest.iter().position(|other| other == column) {
            between(&waiting, &rest[..at], &mut pairs);
            pairs.push((Some(column.clone()), Some(column.clone())));
            waiting.clear();
            rest = &rest[at + 1..];
        } else {
            waiting.push(column);
        }
    }
    between(&waiting, rest, &mut pairs);
    pairs
}

fn between(a: &[&String], b: &[String], pairs: &mut Vec<ColumnPair>) {
    let mut rest: Vec<&String> = b.iter().collect();
    for column in a {
        let kind = ColumnKind::of(column);
        let at = rest.iter().position(|other| ColumnKind::of(other).is_like(kind));
        pairs.push((Some((*column).clone()), at.map(|at| rest.remove(at).clone())));
    }
    pairs.extend(rest.into_iter().map(|column| (None, Some(column.clone()))));
}

fn rows(a: &SourceTable, b: &SourceTable, columns: &[ColumnPair], found: &mut Vec<Difference>) {
    let pairs = pair(&a.rows, &b.rows, |row| row.op.as_str());
    let added: Vec<&SourceRow> = pairs.iter().filter(|(a, _)| a.is_none()).filter_map(|(_, b)| *b).collect();
    let mut renamed: Vec<&str> = Vec::new();
    for (row, other) in pairs.iter().filter_map(|(a, b)| a.map(|a| (a, *b))) {
        let is_renamed = |other: &&&SourceRow| renames::is_renamed(&a.name, &row.op, &other.op);
        let other = other.or_else(|| added.iter().find(is_renamed).copied());
        let Some(other) = other else {
            found.push(of_op(&a.name, &row.op, Change::OpRemoved));
            continue;
        };
        if other.op != row.op {
            renamed.push(&other.op);
            found.push(of_op(&a.name, &row.op, Change::OpRenamed { to: other.op.clone() }));
        }
        cells(&a.name, (row, other), columns, found);
    }
    let added = added.into_iter().filter(|row| !renamed.contains(&row.op.as_str()));
    found.extend(added.map(|row| of_op(&a.name, &row.op, Change::OpAdded)));
}

fn cells(table: &str, (a, b): (&SourceRow, &SourceRow), columns: &[ColumnPair], found: &mut Vec<Difference>) {
    match (a.cells.is_empty(), b.cells.is_empty()) {
        (true, true) => return,
        (true, false) => return found.push(of_op(table, &b.op, Change::RowAdded)),
        (false, true) => return found.push(of_op(table, &b.op, Change::RowRemoved)),
        (false, false) => {}
    }
    for (from, to) in columns.iter().filter_map(|(from, to)| Some((from.as_ref()?, to.as_ref()?))) {
        let texts = |row: &SourceRow, column: &String| -> Vec<String> {
            let cell = row.cells.iter().find(|cell| cell.column == *column);
            cell.map_or_else(Vec::new, |SourceCell { texts, .. }| texts.clone())
        };
        let change = match (texts(a, from).as_slice(), texts(b, to).as_slice()) {
            ([from], [to]) if from == to => continue,
            ([from], [text]) => Change::CellChanged { column: to.clone(), from: from.clone(), to: text.clone() },
            (from, texts) => Change::CellUnread { column: to.clone(), from: from.to_vec(), to: texts.to_vec() },
        };
        found.push(of_op(table, &b.op, change));
    }
}

fn sentences(a: &SourceTable, b: &SourceTable, found: &mut Vec<Difference>) {
    for (text, rules) in a.sentences.iter().filter(|(text, _)| !b.sentences.contains_key(*text)) {
        let change = Change::SentenceRemoved { text: text.clone(), rules: rules.clone() };
        found.push(of_table(&a.name, change));
    }
    for (text, rules) in b.sentences.iter().filter(|(text, _)| !a.sentences.contains_key(*text)) {
        let change = Change::SentenceAdded { text: text.clone(), rules: rules.clone() };
        found.push(of_table(&a.name, change));
    }
}

fn paragraphs(a: &SourceTable, b: &SourceTable, found: &mut Vec<Difference>) {
    let (Some(ours), Some(theirs)) = (&a.paragraphs, &b.paragraphs) else { return };
    let pairs = pair(ours, theirs, |text| text);
    let removed = |text: &String| Change::ParagraphRemoved { text: text.clone() };
    let added = |text: &String| Change::ParagraphAdded { text: text.clone() };
    found.extend(one_sided(&pairs, removed, added).map(|change| of_table(&a.name, change)));
}
