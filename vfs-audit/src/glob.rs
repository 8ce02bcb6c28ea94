//! Patterns over names: `*` stands for any run of characters, `?` for one; everything else for itself.

/// True when the whole name matches the pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when the characters after the last `*` do not match: that `*` takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                (p, n) = (star, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_without_stars_matches_itself_only() {
        assert!(matches("create", "create"));
        assert!(!matches("create", "creates"));
        assert!(!matches("create", ""));
        assert!(matches("", ""));
    }

    #[test]
    fn a_star_matches_any_run_and_a_question_mark_one_character() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "inode_operations.create"),
            ("inode_*.re*", "inode_operations.rename"),
            ("*.set?ttr", "inode_operations.setattr"),
            ("a*b*c", "axxbyybzzc"),
            ("**x", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a*b*c", "axxbyyb"), ("?", ""), ("?", "ab"), ("*x", "xy"), ("a.c", "abc")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = "*a".repeat(40);
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(5000))));
    }
}
