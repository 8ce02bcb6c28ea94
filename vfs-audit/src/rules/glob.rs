//! Globs over ids and symbols: `*` is any run of characters, `?` is one character.

/// Whether a glob matches a whole text.
pub fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<_>, Vec<_>) = (glob.chars().collect(), text.chars().collect());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        if at < glob.len() && glob[at] == '*' {
            star = Some((at, position));
            at += 1;
        } else if at < glob.len() && (glob[at] == '?' || glob[at] == text[position]) {
            at += 1;
            position += 1;
        } else if let Some((star_at, star_position)) = star {
            star = Some((star_at, star_position + 1));
            at = star_at + 1;
            position = star_position + 1;
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_character() {
        for (glob, text) in
            [("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("*rename*", "ext4_rename2"), ("a*b*c", "aXbYbc")]
        {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [("", "a"), ("a", ""), ("a?", "a"), ("a*b", "ac"), ("abc", "abcd")] {
            assert!(!matches(glob, text), "{glob} {text}");
        }
    }
}
