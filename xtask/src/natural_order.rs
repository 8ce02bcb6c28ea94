//! Order of package names and releases in which `6.1.0-9` comes before `6.1.0-10`.

use std::cmp::Ordering;

/// Compares two names, runs of digits by their value.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    pieces(left).cmp(&pieces(right))
}

/// A run of digits without leading zeroes (length first, so that the order is that of the numbers), or other text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Text(&'a str),
    Number(usize, &'a str),
}

fn pieces(name: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        let digits = piece.trim_start_matches('0');
        pieces.push(if is_number { Piece::Number(digits.len(), digits) } else { Piece::Text(piece) });
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["6.12.101+deb12", "6.12.90+deb13.1", "6.12.90+deb13", "6.1.0-9", "6.1.0-10", "6.12.117+deb12"];
        names.sort_by(|left, right| compare(left, right));
        let expected = ["6.1.0-9", "6.1.0-10", "6.12.90+deb13", "6.12.90+deb13.1", "6.12.101+deb12", "6.12.117+deb12"];
        assert_eq!(names, expected);
    }

    #[test]
    fn numbers_longer_than_any_integer_type_are_no_problem() {
        let long = "9".repeat(50);
        assert_eq!(compare(&format!("a{long}"), &format!("a1{long}")), Ordering::Less);
    }
}
