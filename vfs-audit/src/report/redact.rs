//! Kernel addresses in text: hidden unless the user asks for them.
//!
//! Symbols with offsets say where; a raw address says in addition where the kernel was loaded, which is nobody's
//! business outside the host. It does not look at numbers that are not written with `0x`.

use std::borrow::Cow;

/// Hex digits from which on a number is taken for an address and not for an offset or a mask.
const ADDRESS_DIGITS_MIN: usize = 9;
/// What stands in place of a hidden address.
const HIDDEN: &str = "<address hidden>";

/// Whether kernel addresses may leave the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// Each is replaced by `<address hidden>`.
    #[default]
    Hidden,
    /// Shown as they are.
    Shown,
}

impl Addresses {
    /// The text as it may leave.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Shown => Cow::Borrowed(text),
            Self::Hidden => hide(text),
        }
    }

    /// The same, in place.
    pub fn apply_to(self, text: &mut String) {
        if let Cow::Owned(hidden) = self.apply(text) {
            *text = hidden;
        }
    }
}

fn hide(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = find_address(rest) {
        out.push_str(&rest[..at.start]);
        out.push_str(HIDDEN);
        rest = &rest[at.end..];
    }
    if out.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The first `0x…` that is long enough to be an address.
fn find_address(text: &str) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(found) = text[from..].find("0x") {
        let start = from + found;
        let digits = text[start + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let end = start + 2 + digits;
        if digits >= ADDRESS_DIGITS_MIN {
            return Some(start..end);
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hidden_and_an_offset_is_not() {
        let text = "vfs_create+0x1c2/0x300 <- 0xffffffff81234567 [ext4]";
        assert_eq!(Addresses::Hidden.apply(text), "vfs_create+0x1c2/0x300 <- <address hidden> [ext4]");
        assert_eq!(Addresses::Shown.apply(text), text);
    }

    #[test]
    fn every_address_of_a_text_is_hidden() {
        let text = "0xffff888012345678,0x10,0xFFFF888012345678é";
        assert_eq!(Addresses::Hidden.apply(text), "<address hidden>,0x10,<address hidden>é");
    }

    #[test]
    fn a_text_without_addresses_is_not_copied() {
        assert!(matches!(Addresses::Hidden.apply("ext4_create+0x5"), Cow::Borrowed(_)));
        assert!(matches!(Addresses::Hidden.apply("0x"), Cow::Borrowed(_)));
    }
}
