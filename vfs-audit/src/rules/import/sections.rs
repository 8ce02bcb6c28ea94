//! Cuts the document into sections at its headings: underlined, between dashes, or bare before `prototypes`.

use super::document::Form;
use super::text::Line;

/// Shortest run of dashes that frames a heading, of equals signs that underlines one.
const RULE_MIN: usize = 3;
/// Longest heading looked for: a longer line is text.
const HEADING_MAX: usize = 80;

/// A section: a heading and the lines up to the next.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// Heading as written; empty for what comes before the first.
    pub(super) title: String,
    /// Its line.
    pub(super) line: usize,
    /// Lines after the heading.
    pub(super) lines: &'a [Line],
}

impl Section<'_> {
    /// The operations table that the heading names, if it names one.
    pub(super) fn table(&self) -> Option<&str> {
        table_of(&self.title)
    }

    /// True for the heading of the whole document.
    pub(super) fn is_document_title(&self) -> bool {
        self.title == "Locking"
    }
}

/// A heading found: which lines it takes, and its text.
struct Heading {
    first: usize,
    after: usize,
    title: String,
}

/// All sections; the first has no title when text stands before the first heading.
pub(super) fn split(lines: &[Line]) -> Vec<Section<'_>> {
    let headings = headings(lines);
    let mut sections = Vec::with_capacity(headings.len() + 1);
    let first = headings.first().map_or(lines.len(), |heading| heading.first);
    if lines[..first].iter().any(|line| !line.is_blank()) {
        sections.push(Section { title: String::new(), line: 1, lines: &lines[..first] });
    }
    for (index, heading) in headings.iter().enumerate() {
        let end = headings.get(index + 1).map_or(lines.len(), |next| next.first);
        let line = lines[heading.first].number;
        sections.push(Section { title: heading.title.clone(), line, lines: &lines[heading.after..end] });
    }
    sections
}

/// The layout: flattened when nothing is indented or aligned, plain when headings stand between dashes.
pub(super) fn form(lines: &[Line]) -> Form {
    let laid_out = lines.iter().any(|line| line.is_indented() || line.raw.contains('\t') || line.raw.contains("  "));
    if !laid_out {
        return Form::Flattened;
    }
    let dashed = lines.iter().any(|line| dashed_title(line).is_some_and(|title| table_of(&title).is_some()));
    if dashed { Form::PlainText } else { Form::Rst }
}

fn headings(lines: &[Line]) -> Vec<Heading> {
    let mut found: Vec<Heading> = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let heading = heading_at(lines, index, found.is_empty());
        index = heading.as_ref().map_or(index + 1, |heading| heading.after);
        found.extend(heading);
    }
    found
}

fn heading_at(lines: &[Line], index: usize, is_first: bool) -> Option<Heading> {
    let line = &lines[index];
    if line.is_blank() || line.raw.len() > HEADING_MAX * 2 {
        return None;
    }
    if let Some(title) = dashed_title(line) {
        return Some(Heading { first: index, after: index + 1, title });
    }
    if is_rule(line, '=') {
        return overlined(lines, index);
    }
    let title = bare_title(line)?;
    let is_overlined_next = is_first && overlined(lines, index + 1).is_some();
    if lines.get(index + 1).is_some_and(|next| is_rule(next, '=')) && !is_overlined_next {
        return Some(Heading { first: index, after: index + 2, title });
    }
    let stands_alone = is_first && title == "Locking" || title == "Dubious stuff" || precedes_prototypes(lines, index);
    stands_alone.then_some(Heading { first: index, after: index + 1, title })
}

/// `====` / title / `====`.
fn overlined(lines: &[Line], index: usize) -> Option<Heading> {
    lines.get(index).filter(|line| is_rule(line, '='))?;
    let title = bare_title(lines.get(index + 1)?)?;
    let underlined = is_rule(lines.get(index + 2)?, '=');
    underlined.then_some(Heading { first: index, after: index + 3, title })
}

/// `---- inode_operations ----`.
fn dashed_title(line: &Line) -> Option<String> {
    let text = line.trimmed();
    let inner = text.trim_matches('-');
    let framed = text.len() - inner.len() >= 2 * RULE_MIN && text.starts_with("---") && text.ends_with("---");
    let title = inner.trim();
    (framed && !title.is_empty() && !title.contains('-')).then(|| title.to_owned())
}

/// A line that could be a heading: short, of few words, no sentence. A web page's pilcrow after it is dropped.
fn bare_title(line: &Line) -> Option<String> {
    let text = line.trimmed().trim_end_matches(['¶', '#', '\u{f0c1}']).trim_end();
    let is_short = !text.is_empty() && text.len() <= HEADING_MAX && text.split_whitespace().count() <= 4;
    let is_wordy = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-'));
    let is_rule = text.chars().all(|c| matches!(c, '-' | '='));
    (is_short && is_wordy && !is_rule).then(|| text.to_owned())
}

/// A heading without underline is known by the `prototypes:` that follows.
fn precedes_prototypes(lines: &[Line], index: usize) -> bool {
    let is_table = table_of(lines[index].trimmed().trim_end_matches(['¶', '#'])).is_some();
    is_table && lines[index + 1..].iter().find(|line| !line.is_blank()).is_some_and(is_prototypes_marker)
}

/// A line of one sign only.
pub(super) fn is_rule(line: &Line, sign: char) -> bool {
    let text = line.trimmed();
    text.len() >= RULE_MIN && text.chars().all(|c| c == sign)
}

/// `prototypes::` or `prototypes:`.
pub(super) fn is_prototypes_marker(line: &Line) -> bool {
    line.trimmed().trim_end_matches(':').trim_end().eq_ignore_ascii_case("prototypes")
}

/// `locking rules:`.
pub(super) fn is_rules_marker(line: &Line) -> bool {
    line.trimmed().trim_end_matches(':').trim_end().eq_ignore_ascii_case("locking rules")
}

fn table_of(title: &str) -> Option<&str> {
    let mut words = title.split_whitespace();
    let name = words.next()?;
    let is_struct = name.contains('_') && is_identifier(name);
    let rest_is_decor = words.all(|word| matches!(word, "operations" | "methods"));
    (is_struct && rest_is_decor).then_some(name)
}

/// True for a C identifier.
pub(super) fn is_identifier(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
