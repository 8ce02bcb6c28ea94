//! Prototypes: C declarations of function pointers, one or more lines each, told apart by their `(*name)`.

use super::diagnostic::{Diagnostics, Kind, Place};
use super::document::{Prototype, collapse};
use super::sections::{is_identifier, is_rules_marker};
use super::table::TAKE_ORIGINAL;
use super::text::Line;

/// Lines that one declaration may take.
const DECLARATION_LINES_MAX: usize = 12;
/// Declarations read of one section.
const PROTOTYPES_MAX: usize = 1024;

/// Reads the declarations after `prototypes::`; also says how many lines they take.
pub(super) fn read(lines: &[Line], table: &str, diagnostics: &mut Diagnostics) -> (Vec<Prototype>, usize) {
    let mut found: Vec<Prototype> = Vec::new();
    let mut taken = 0;
    while let Some(line) = lines.get(taken) {
        let starts = op_of(&line.raw);
        let continues = found.last().is_some_and(|last| !is_complete(&last.text) && joins(last, line));
        match starts {
            Some(op) => found.push(Prototype { op, text: line.collapsed(), line: line.number }),
            None if line.is_blank() && found.is_empty() => {}
            None if continues => extend(&mut found, line),
            None => break,
        }
        taken += 1;
    }
    if let Some(first) = found.get(PROTOTYPES_MAX) {
        let place = Place { line: first.line, table, ..Place::default() };
        let what = format!("more than {PROTOTYPES_MAX} prototypes, the rest was not read");
        diagnostics.add(Kind::Damaged, place, what, TAKE_ORIGINAL);
        found.truncate(PROTOTYPES_MAX);
    }
    for prototype in &found {
        complain(prototype, table, diagnostics);
    }
    (found, taken)
}

fn joins(last: &Prototype, line: &Line) -> bool {
    let is_near = line.number - last.line < DECLARATION_LINES_MAX;
    is_near && !line.is_blank() && !is_rules_marker(line) && !line.raw.ends_with(':')
}

fn extend(found: &mut [Prototype], line: &Line) {
    if let Some(last) = found.last_mut() {
        last.text = collapse(&format!("{} {}", last.text, line.raw));
    }
}

/// The name in `(*name)`.
fn op_of(text: &str) -> Option<String> {
    let rest = &text[text.find("(*")? + 2..];
    let name = rest[..rest.find(')')?].trim();
    let takes_arguments = rest[rest.find(')')? + 1..].trim_start().starts_with('(');
    (takes_arguments && is_identifier(name)).then(|| name.to_owned())
}

fn without_comment(text: &str) -> &str {
    text.find("/*").map_or(text, |start| text[..start].trim_end())
}

fn is_complete(text: &str) -> bool {
    without_comment(text).ends_with(';')
}

fn complain(prototype: &Prototype, table: &str, diagnostics: &mut Diagnostics) {
    let place = Place { line: prototype.line, table, op: &prototype.op, column: "" };
    if !is_complete(&prototype.text) {
        let remedy = "nothing to do: read up to the next declaration";
        diagnostics.add(Kind::Oddity, place, "the prototype has no semicolon", remedy);
    }
    let count = |sign| prototype.text.matches(sign).count();
    if count('(') != count(')') {
        let remedy = "nothing to do: the op's name is read from `(*name)`";
        diagnostics.add(Kind::Oddity, place, "the prototype's parentheses do not match", remedy);
    }
}
