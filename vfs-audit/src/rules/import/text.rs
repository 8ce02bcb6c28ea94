//! The reader of the text: bytes to numbered lines, whatever the line ends, with tabs expanded. Knows no document.

use super::document::collapse;

/// Tab stops of the kernel's documents.
const TAB_STOP: usize = 8;

/// One line of the file.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// As written, without the line end and without blanks at its end.
    pub(super) raw: String,
    /// The same with tabs expanded and every other blank turned into a space: positions are columns.
    pub(super) columns: Vec<char>,
}

impl Line {
    fn new(number: usize, raw: &str) -> Self {
        let raw = raw.trim_end().to_owned();
        let columns = expand(&raw);
        Self { number, raw, columns }
    }

    /// The words with one space between them.
    pub(super) fn collapsed(&self) -> String {
        collapse(&self.raw)
    }

    /// Without the blanks around it.
    pub(super) fn trimmed(&self) -> &str {
        self.raw.trim()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.raw.is_empty()
    }

    pub(super) fn is_indented(&self) -> bool {
        self.raw.starts_with(char::is_whitespace)
    }

    /// Parts that a tab or two blanks set apart, each with the column where it starts, from column `from` on.
    pub(super) fn chunks(&self, from: usize) -> Vec<Chunk> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut is_apart = true;
        let mut blanks = 0;
        for (column, c) in positions(&self.raw).filter(|(column, _)| *column >= from) {
            if c.is_whitespace() {
                blanks += if c == '\t' { 2 } else { 1 };
                is_apart = is_apart || blanks >= 2;
                continue;
            }
            match chunks.last_mut().filter(|_| !is_apart) {
                Some(last) => last.push(blanks > 0, c),
                None => chunks.push(Chunk { start: column, text: c.to_string() }),
            }
            (is_apart, blanks) = (false, 0);
        }
        chunks
    }

    /// True when a tab or two blanks stand inside the line.
    pub(super) fn has_gaps(&self) -> bool {
        self.trimmed().contains('\t') || self.trimmed().contains("  ")
    }
}

/// A part of a line that wide gaps set apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Column of its first character.
    pub(super) start: usize,
    /// Its words with one space between them.
    pub(super) text: String,
}

impl Chunk {
    fn push(&mut self, after_blank: bool, c: char) {
        if after_blank {
            self.text.push(' ');
        }
        self.text.push(c);
    }
}

/// Cuts a text into lines at LF, CRLF and CR; a byte order mark is dropped.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    text.lines().enumerate().map(|(index, raw)| Line::new(index + 1, raw)).collect()
}

/// Lines that are not UTF-8, from 1.
pub(super) fn lines_not_utf8(bytes: &[u8]) -> Vec<usize> {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    lines.filter(|(_, line)| std::str::from_utf8(line).is_err()).map(|(index, _)| index + 1).collect()
}

/// FNV-1a 64 over the text with line ends made uniform, in hexadecimal.
pub(super) fn digest(lines: &[Line]) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = lines.iter().flat_map(|line| line.raw.bytes().chain([b'\n']));
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

/// Characters with the columns they start at.
fn positions(raw: &str) -> impl Iterator<Item = (usize, char)> {
    raw.chars().scan(0, |column, c| {
        let start = *column;
        *column = if c == '\t' { (start / TAB_STOP + 1) * TAB_STOP } else { start + 1 };
        Some((start, c))
    })
}

fn expand(raw: &str) -> Vec<char> {
    let mut columns = Vec::with_capacity(raw.len());
    for (column, c) in positions(raw) {
        columns.resize(column, ' ');
        columns.push(if c.is_whitespace() { ' ' } else { c });
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_all_kinds_number_alike() {
        let numbers = |text: &str| lines(text).iter().map(|line| (line.number, line.raw.clone())).collect::<Vec<_>>();
        let expected = vec![(1, "a".to_owned()), (2, String::new()), (3, "b".to_owned())];
        for text in ["a\n\nb\n", "a\r\n\r\nb\r\n", "a\r\rb\r", "\u{feff}a\n\nb"] {
            assert_eq!(numbers(text), expected, "{text:?}");
        }
    }

    #[test]
    fn line_ends_do_not_change_the_digest() {
        assert_eq!(digest(&lines("a\r\nb\r\n")), digest(&lines("a\nb\n")));
        assert_ne!(digest(&lines("a\nb\n")), digest(&lines("a\nc\n")));
    }

    #[test]
    fn tabs_reach_the_next_stop_and_chunks_know_their_columns() {
        let line = &lines("quota_read:\t\tno\t\t(see  below)")[0];
        assert_eq!(line.columns.iter().position(|c| *c == 'n'), Some(24));
        let chunks = line.chunks(11);
        let found: Vec<(usize, &str)> = chunks.iter().map(|chunk| (chunk.start, chunk.text.as_str())).collect();
        assert_eq!(found, [(24, "no"), (40, "(see"), (46, "below)")]);
    }

    #[test]
    fn a_tab_of_one_column_still_sets_chunks_apart() {
        let line = &lines("unlock_native_capacity:\tno")[0];
        assert_eq!(line.chunks(0).len(), 2);
        assert_eq!(line.columns.len(), 26);
    }

    #[test]
    fn lines_that_are_not_utf8_are_named() {
        assert_eq!(lines_not_utf8(b"ok\n\xff\nok\n\xc3"), [2, 4]);
    }
}
