//! What stands around the tables: paragraphs, footnotes, and lines that speak of all ops of a section.

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostics, Kind, Place};
use super::document::{Footnote, Paragraph, SectionLine, collapse};
use super::sections::is_rule;
use super::text::Line;

/// What the prose of a section comes to.
#[derive(Debug, Default)]
pub(super) struct Prose {
    pub(super) section_lines: Vec<SectionLine>,
    pub(super) footnotes: Vec<Footnote>,
    pub(super) paragraphs: Vec<(usize, String)>,
    /// True when the next line goes on with the last footnote.
    in_footnote: bool,
    /// True when the next line starts a paragraph.
    is_apart: bool,
}

impl Prose {
    /// Takes in a line that is no table, prototype or marker.
    pub(super) fn push(&mut self, line: &Line, may_speak_of_all: bool) {
        if is_rule(line, '-') || is_rule(line, '=') {
            self.is_apart = true;
        } else if line.is_blank() {
            self.is_apart = true;
            self.in_footnote = false;
        } else if let Some(section_line) = section_line(line).filter(|_| may_speak_of_all) {
            self.section_lines.push(section_line);
            self.is_apart = true;
        } else if let Some(footnote) = footnote(line) {
            self.footnotes.push(footnote);
            self.in_footnote = true;
        } else {
            self.add_text(line);
        }
    }

    /// Ends the paragraph, as a table between two lines does.
    pub(super) fn interrupt(&mut self) {
        self.is_apart = true;
        self.in_footnote = false;
    }

    fn add_text(&mut self, line: &Line) {
        if let Some(footnote) = self.footnotes.last_mut().filter(|_| self.in_footnote) {
            append(&mut footnote.text, line);
            return;
        }
        let starts_sentence = line.trimmed().starts_with("->") && self.last_ends_sentence();
        match self.paragraphs.last_mut().filter(|_| !self.is_apart && !starts_sentence) {
            Some((_, text)) => append(text, line),
            None => self.paragraphs.push((line.number, line.collapsed())),
        }
        self.is_apart = false;
    }

    fn last_ends_sentence(&self) -> bool {
        self.paragraphs.last().is_some_and(|(_, text)| text.ends_with(['.', ':', ')']))
    }
}

/// Adds a line's words to a text: no more work than the line is long.
fn append(text: &mut String, line: &Line) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(&line.collapsed());
}

impl SectionLine {
    /// The line that a text is, as [`read`](super::read) would take it from a section.
    pub(crate) fn of(text: &str) -> Option<Self> {
        super::text::lines(text).first().and_then(section_line)
    }
}

/// `all may block`, `All except … may block`, `All may block [not true, see below]`.
fn section_line(line: &Line) -> Option<SectionLine> {
    let text = line.collapsed();
    let lower = text.to_lowercase();
    let subject = &lower[..lower.find("may block")?];
    let except = match subject.trim() {
        "all" => Vec::new(),
        other => other.strip_prefix("all except ")?.replace(" and ", ",").split(',').map(collapse).collect(),
    };
    let except = except.into_iter().filter(|op| !op.is_empty()).collect();
    Some(SectionLine { doubtful: lower.contains("not true"), text, line: line.number, except })
}

/// `.. [1] text` as reST has it, `.. [1]:` as the document has it, `[1]: text` as 4.x has it.
fn footnote(line: &Line) -> Option<Footnote> {
    let text = line.trimmed();
    let (is_directive, text) = text.strip_prefix(".. ").map_or((false, text), |rest| (true, rest.trim_start()));
    let rest = text.strip_prefix('[')?;
    let (label, rest) = rest.split_once(']')?;
    let is_label = !label.is_empty() && label.len() <= 8 && label.chars().all(|c| c.is_alphanumeric() || c == '#');
    let marked = is_directive || rest.starts_with(':');
    (is_label && marked).then(|| {
        let text = collapse(rest.strip_prefix(':').unwrap_or(rest));
        Footnote { label: label.to_owned(), text, line: line.number }
    })
}

/// Names the footnotes that reST does not take as such.
pub(super) fn complain(lines: &[Line], table: &str, diagnostics: &mut Diagnostics) {
    for line in lines.iter().filter(|line| line.trimmed().starts_with(".. [") && line.raw.contains("]:")) {
        let place = Place { line: line.number, table, ..Place::default() };
        let remedy = "nothing to do: read as the footnote it means to be";
        diagnostics.add(Kind::Oddity, place, "the footnote is malformed, reST reads it as a comment", remedy);
    }
}

/// The paragraph as data, with the ops that it names.
pub(super) fn paragraph(line: usize, text: String, table: &str, known_ops: &BTreeSet<String>) -> Paragraph {
    Paragraph { table: table.to_owned(), ops: ops_named(&text, known_ops), text, line }
}

/// Ops that a text names: after `->`, before `()`, or bare when the name is one of the section's and no plain word.
fn ops_named(text: &str, known_ops: &BTreeSet<String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (start, word) in words(text) {
        let is_member = text[..start].ends_with("->") && !is_field_access(&text[..start - 2]);
        let is_known = known_ops.contains(word);
        let is_called = text[start + word.len()..].starts_with("()");
        let is_telling = word.contains('_') || word.starts_with("writepage");
        let is_op =
            (is_member && (is_known || is_called || !word.contains('_'))) || (is_known && (is_called || is_telling));
        if is_op && seen.insert(word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// `mapping->invalidate_lock`: the arrow follows a name, so no op is meant.
fn is_field_access(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ')')
}

/// Identifiers with the bytes they start at.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_part)?;
        let length = text[start..].find(|c| !is_part(c)).unwrap_or(text.len() - start);
        rest = start + length;
        Some((start, &text[start..rest]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::import::text::lines;

    fn read(text: &str) -> Prose {
        let mut prose = Prose::default();
        for line in lines(text) {
            prose.push(&line, true);
        }
        prose
    }

    #[test]
    fn lines_that_speak_of_all_ops_are_told_from_prose() {
        let prose = read("\tAll except set_page_dirty and freepage may block\n\tAll may block [not true, see below]\n");
        assert_eq!(prose.section_lines[0].except, ["set_page_dirty", "freepage"]);
        assert!(!prose.section_lines[0].doubtful && prose.section_lines[1].doubtful);
        assert!(prose.paragraphs.is_empty());
        assert!(read("->fl_release_private may block\n").section_lines.is_empty());
    }

    #[test]
    fn footnotes_are_read_in_all_three_spellings() {
        for text in [".. [1] one\n   two\n\nthree", ".. [1]:\n   one\n   two\n\nthree", "[1]:\tone\ntwo\n\nthree"] {
            let prose = read(text);
            assert_eq!(prose.footnotes[0].text, "one two", "{text}");
            assert_eq!(prose.paragraphs[0].1, "three", "{text}");
        }
    }

    #[test]
    fn without_blank_lines_an_arrow_after_a_sentence_starts_a_paragraph() {
        let prose = read("->a() does this.\n->b() calls\n->c() first.\n->d() too.");
        let texts: Vec<&str> = prose.paragraphs.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["->a() does this.", "->b() calls ->c() first.", "->d() too."]);
    }

    #[test]
    fn ops_are_known_by_arrow_call_or_telling_name() {
        let known = ["open", "swap_slot_free_notify", "writepage", "rename"].map(str::to_owned).into();
        let named = |text| ops_named(text, &known);
        assert_eq!(named("->rename() has ->i_rwsem exclusive"), ["rename"]);
        assert_eq!(named("an open file; swap_slot_free_notify is called"), ["swap_slot_free_notify"]);
        assert_eq!(named("If writepage is called, mapping->invalidate_lock"), ["writepage"]);
        assert_eq!(named("->readdir() and ->read on directories"), ["readdir", "read"]);
    }
}
