//! Kernel addresses in text: hidden unless the user asks for them.
//!
//! Symbols with offsets say where; a raw address says in addition where the kernel was loaded, which is nobody's
//! business outside the host. It looks at numbers written with `0x`, and at sixteen hex digits that can be nothing but a
//! kernel address; not at decimal ones.

use std::borrow::Cow;

/// Hex digits from which on a number is taken for an address and not for an offset or a mask.
const ADDRESS_DIGITS_MIN: usize = 9;
/// Digits of a pointer as the kernel prints it.
const POINTER_DIGITS: usize = 16;
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

/// The first number that is an address: `0x…` of enough digits, or a kernel pointer as the kernel prints it.
fn find_address(text: &str) -> Option<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while from < bytes.len() {
        let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let end = from + digits;
        if digits == 0 {
            from += 1;
        } else if bytes[..from].ends_with(b"0x") || bytes[..from].ends_with(b"0X") {
            if digits >= ADDRESS_DIGITS_MIN {
                return Some(from - 2..end);
            }
            from = end;
        } else if &bytes[from..end] == b"0" && bytes.get(end).is_some_and(|byte| matches!(byte, b'x' | b'X')) {
            from = end + 1;
        } else if is_kernel_pointer(&bytes[from..end]) {
            return Some(from..end);
        } else {
            from = end;
        }
    }
    None
}

/// Sixteen digits of the upper half of the address space, as `%px` prints them: `ffff8…` to `fffff…`.
fn is_kernel_pointer(digits: &[u8]) -> bool {
    let is_high = |digit: &u8| matches!(digit, b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F');
    digits.len() == POINTER_DIGITS
        && digits[..4].eq_ignore_ascii_case(b"ffff")
        && is_high(&digits[4])
        // Not `-1` and the like.
        && !digits.iter().all(|digit| digit.eq_ignore_ascii_case(&b'f'))
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
    fn an_address_without_prefix_is_hidden_and_a_fingerprint_is_not() {
        let text =
            "at ffffffff81234567, ffff888012345678; 5c0e1f3a9b7d2468 ffffffffffffffff 0xffff888012345678x ffff888";
        assert_eq!(
            Addresses::Hidden.apply(text),
            "at <address hidden>, <address hidden>; 5c0e1f3a9b7d2468 ffffffffffffffff <address hidden>x ffff888"
        );
        assert_eq!(Addresses::Hidden.apply("0X123456789"), "<address hidden>");
    }

    #[test]
    fn a_text_without_addresses_is_not_copied() {
        assert!(matches!(Addresses::Hidden.apply("ext4_create+0x5"), Cow::Borrowed(_)));
        assert!(matches!(Addresses::Hidden.apply("0x"), Cow::Borrowed(_)));
    }
}
