//! Ops and rules that no load in a VM reaches, each with the reason: what is not here and not observed has no excuse.

/// A pattern of op or rule (a trailing `*` stands for any rest), and why nothing reaches it.
pub(crate) const UNREACHED: &[(&str, &str)] = &[];

/// The reason for an op or a rule, if one is stated.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    UNREACHED.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, reason)| *reason)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_one() {
        assert!(matches("i.create", "i.create") && matches("i.create*", "i.create.dir"));
        assert!(!matches("i.create", "i.create.dir") && !matches("i.create*", "i.link"));
    }

    #[test]
    fn every_reason_says_something() {
        assert!(UNREACHED.iter().all(|(pattern, reason)| pattern.contains('.') && !reason.is_empty()));
    }
}
