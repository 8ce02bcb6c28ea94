//! Errors that a person can act on: what went wrong, why, and what to do about it.

use std::error::Error;

use crate::report::{Addresses, escape};

/// An error with a hint.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Advice {
    what: String,
    hint: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Advice {
    /// An error of our own.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into(), source: None }
    }

    /// With the error behind it.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

/// The error as it is shown: message, causes, hints; safe for a terminal, without addresses.
pub(super) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::from("vfs-audit: ");
    let mut hints = Vec::new();
    for (depth, cause) in error.chain().enumerate() {
        if depth > 0 {
            text.push_str("  because: ");
        }
        for line in cause.to_string().trim_end().lines() {
            text.push_str(&escape::text(&Addresses::Hidden.apply(line)));
            text.push('\n');
        }
        hints.extend(cause.downcast_ref::<Advice>().map(|advice| &advice.hint));
    }
    for hint in hints {
        text.push_str("  hint: ");
        text.push_str(&escape::text(hint));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_causes_and_hints_stand_one_below_the_other() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no \x1b[2J such file");
        let error =
            anyhow::Error::from(Advice::new("reading run.vfa", "record one first").because(io)).context("check");
        assert_eq!(
            explain(&error),
            "vfs-audit: check\n  because: reading run.vfa\n  because: no \\x1b[2J such file\n  hint: record one first\n"
        );
    }

    #[test]
    fn a_kernel_address_in_a_cause_is_hidden() {
        let error = anyhow::anyhow!("the table at 0xffffffff82001234 cannot be read").context("looking over");
        assert_eq!(
            explain(&error),
            "vfs-audit: looking over\n  because: the table at <address hidden> cannot be read\n"
        );
    }
}
