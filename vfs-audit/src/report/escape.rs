//! The one place where text from outside (file, task and module names) is made safe to show.
//!
//! A name can hold terminal escapes, line breaks and bidirectional controls; none of them may act on the terminal, the
//! file or the page that shows the report. Text forms escape through [`text`], JSON forms through [`json`]: no other place in
//! the program makes JSON, which a test watches over.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

/// True for a character that acts on what shows it, or that cannot be seen.
pub fn is_hazardous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
        || is_no_character(c)
}

/// Code points that stand for no character; XML does not allow two of them.
fn is_no_character(c: char) -> bool {
    matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe
}

/// The text with each hazardous character as `\xNN` or `\u{NNNN}`, and each backslash doubled, so that it can be told
/// what was escaped.
pub fn text(raw: &str) -> Cow<'_, str> {
    if !raw.chars().any(|c| c == '\\' || is_hazardous(c)) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 8);
    for c in raw.chars() {
        push_escaped(&mut out, c);
    }
    Cow::Owned(out)
}

/// The same with backslashes as they are, for markup that has escapes of its own.
pub fn hazardous(raw: &str) -> Cow<'_, str> {
    if !raw.chars().any(is_hazardous) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 8);
    for c in raw.chars() {
        if c == '\\' { out.push(c) } else { push_escaped(&mut out, c) }
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, c: char) {
    let code = u32::from(c);
    // Writing into a String cannot fail.
    let _ = match c {
        '\\' => write!(out, "\\\\"),
        c if !is_hazardous(c) => write!(out, "{c}"),
        _ if code < 0x100 => write!(out, "\\x{code:02x}"),
        _ => write!(out, "\\u{{{code:04x}}}"),
    };
}

/// The text for an XML attribute or element: [`text`], then the five characters that XML itself reads.
pub fn xml(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in text(raw).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

/// A value as indented JSON in which every hazardous character is a `\u` escape: the data is unchanged, and the text is
/// safe to show.
///
/// # Errors
/// The value cannot be serialised (a map whose keys are no strings).
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    serialize(value, Escaping(PrettyFormatter::new()))
}

/// The same on one line.
///
/// # Errors
/// As [`json`].
pub fn json_line<T: Serialize>(value: &T) -> serde_json::Result<String> {
    serialize(value, Escaping(CompactFormatter))
}

fn serialize<T: Serialize, F: Formatter>(value: &T, formatter: F) -> serde_json::Result<String> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    // serde_json writes UTF-8 only.
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// A formatter that escapes hazardous characters and leaves all else to the one inside.
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hazardous) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let Some(c) = from.chars().next() else { break };
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &from[c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "a\x1b[31m\r\n\u{7}\u{9b}2J\u{202e}cod\u{200b}\u{2066}\u{feff}\\x";

    #[test]
    fn no_hazardous_character_survives_in_text() {
        let safe = text(EVIL);
        assert!(!safe.chars().any(is_hazardous), "{safe:?}");
        assert_eq!(safe, "a\\x1b[31m\\x0d\\x0a\\x07\\x9b2J\\u{202e}cod\\u{200b}\\u{2066}\\u{feff}\\\\x");
    }

    #[test]
    fn plain_names_of_any_script_are_shown_as_they_are() {
        for name in ["ext4_create", "файл", "名前", "naïve file.txt", "مرحبا"] {
            assert!(matches!(text(name), Cow::Borrowed(_)), "{name}");
        }
    }

    #[test]
    fn json_keeps_the_data_and_shows_nothing_hazardous() {
        let shown = json(&[EVIL, "\u{e0041}"]).unwrap();
        assert!(!shown.chars().any(|c| is_hazardous(c) && c != '\n'), "{shown:?}");
        let back: Vec<String> = serde_json::from_str(&shown).unwrap();
        assert_eq!(back, [EVIL, "\u{e0041}"]);
    }

    #[test]
    fn json_lines_have_no_line_break_inside() {
        let line = json_line(&std::collections::BTreeMap::from([("k\n", "v\u{2028}")])).unwrap();
        assert_eq!(line, r#"{"k\n":"v\u2028"}"#);
    }

    #[test]
    fn every_control_and_format_character_of_the_basic_plane_is_escaped() {
        for c in (0..=0xffff_u32).filter_map(char::from_u32).filter(|c| c.is_control()) {
            assert!(text(&c.to_string()).is_ascii(), "{c:?}");
        }
        for c in
            "\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{61c}".chars()
        {
            assert!(is_hazardous(c), "{c:?}");
        }
    }

    #[test]
    fn xml_text_can_neither_open_nor_close_anything() {
        assert_eq!(xml("a<b>&'\"\u{1}"), "a&lt;b&gt;&amp;&apos;&quot;\\x01");
    }

    /// XML 1.0, production 2: the only characters that a document may hold.
    #[test]
    fn xml_text_holds_only_what_xml_allows() {
        let allowed =
            |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        for c in '\0'..=char::MAX {
            let shown = xml(&c.to_string());
            assert!(shown.chars().all(allowed) && !shown.contains(['<', '>', '"', '\'']), "{c:?}: {shown}");
        }
    }
}
