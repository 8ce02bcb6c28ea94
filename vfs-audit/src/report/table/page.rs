//! Lines, labelled fields and wrapped lists of bounded width; everything that goes in is escaped here.

use crate::report::escape;

/// Columns of a field's label, indent included.
const LABEL_COLUMNS: usize = 16;
/// Columns of a section's indent.
const INDENT: &str = "  ";

/// How the table form looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns that nothing but a single long word exceeds.
    pub width: usize,
    /// Terminal colours.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 110, colour: false }
    }
}

/// Colours, by what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Good,
    Bad,
    Doubtful,
    Faint,
}

impl Style {
    /// The text in a colour, when colours are on.
    pub(super) fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => "",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Doubtful => "33",
            Ink::Faint => "2",
        };
        if self.colour && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A page that is being written.
pub(super) struct Page {
    pub(super) style: Style,
    out: String,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style, out: String::new() }
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A line of our own words, wrapped.
    pub(super) fn line(&mut self, ink: Ink, text: &str) {
        for line in wrap(&escape::text(text), self.style.width) {
            self.push(&self.style.ink(ink, &line));
        }
    }

    /// A label and its text, wrapped under itself.
    pub(super) fn field(&mut self, label: &str, text: &str) {
        self.fields(label, &[text]);
    }

    /// A label and a command to copy: never wrapped.
    pub(super) fn command(&mut self, label: &str, command: &str) {
        self.labelled(label, &escape::text(command));
    }

    /// A label and several texts, each beginning on its own line.
    pub(super) fn fields<T: AsRef<str>>(&mut self, label: &str, texts: &[T]) {
        let width = self.style.width.saturating_sub(LABEL_COLUMNS);
        let lines = texts.iter().flat_map(|text| wrap(&escape::text(text.as_ref()), width));
        let lines: Vec<String> = lines.collect();
        for (number, line) in lines.iter().enumerate() {
            self.labelled(if number == 0 { label } else { "" }, line);
        }
    }

    /// A label and a list in running text, cut after `lines_max` lines with the number of what is left out.
    pub(super) fn listing(&mut self, label: &str, names: &[String], lines_max: usize) {
        if names.is_empty() {
            return;
        }
        let width = self.style.width.saturating_sub(LABEL_COLUMNS);
        let mut shown = names.len();
        loop {
            let more = names.len() - shown;
            let tail = if more > 0 { format!(" … and {more} more") } else { String::new() };
            let text = names[..shown].join(", ") + &tail;
            if shown <= 1 || wrap(&text, width).len() <= lines_max {
                return self.field(label, &text);
            }
            shown -= 1;
        }
    }

    /// Lines that are laid out already.
    pub(super) fn laid_out(&mut self, text: &str) {
        text.lines().for_each(|line| self.push(line));
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn labelled(&mut self, label: &str, line: &str) {
        let label_columns = LABEL_COLUMNS - INDENT.len();
        self.push(&format!("{INDENT}{label:<label_columns$}{line}"));
    }

    fn push(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }
}

/// The text in lines of at most `width` characters, broken at blanks where that is possible; a leading blank is dropped.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = vec![String::new()];
    let mut columns = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if columns > 0 && columns + 1 + word.len() > width {
            lines.push(String::new());
            columns = 0;
        }
        while word.len() > width {
            let rest = word.split_off(break_of(&word[..width]));
            if let Some(line) = lines.last_mut() {
                line.extend(word);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if columns > 0 {
                line.push(' ');
                columns += 1;
            }
            columns += word.len();
            line.extend(word);
        }
    }
    lines
}

/// Where to break a word of which only this much fits: behind the last joint of its second half, else at the end.
fn break_of(fitting: &[char]) -> usize {
    let joint = fitting.iter().rposition(|c| matches!(c, '_' | '.' | '/' | '-' | '+')).map_or(0, |at| at + 1);
    if joint > fitting.len() / 2 { joint } else { fitting.len() }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 hook`, `2 hooks`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_blanks_and_long_words_are_broken() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("abcdefghijklmnop", 10), ["abcdefghij", "klmnop"]);
        assert_eq!(wrap("a abcdefghijklmnop b", 10), ["a", "abcdefghij", "klmnop b"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn nothing_is_lost_by_wrapping() {
        let text = "i_rwsem of dir held exclusive; ext4_rename2+0x123/0x456 [ext4] and_a_very_long_symbol_name_that_does_not_fit";
        for width in 8..60 {
            let lines = wrap(text, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }

    #[test]
    fn thousands_are_kept_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "hook"), "1 hook");
        assert_eq!(counted(2000, "hook"), "2,000 hooks");
    }

    #[test]
    fn a_long_list_is_cut_and_says_how_much_is_left_out() {
        let names: Vec<String> = (0..500).map(|n| format!("name{n}")).collect();
        let mut page = Page::new(Style::default());
        page.listing("all", &names, 2);
        let out = page.finish();
        assert_eq!(out.lines().count(), 2);
        assert!(out.trim_end().ends_with(" more"), "{out}");
    }

    #[test]
    fn outside_text_cannot_leave_its_line() {
        let mut page = Page::new(Style::default());
        page.field("task", "evil\n\x1b[2Jname");
        assert_eq!(page.finish(), "  task          evil\\x0a\\x1b[2Jname\n");
    }
}
