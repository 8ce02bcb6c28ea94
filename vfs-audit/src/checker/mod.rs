//! The checker: `(rules, observations) -> findings`, a pure function.

mod verdict;

pub use verdict::{Disagreement, Evidence, Findings, Outcome, RuleVerdict, SetApart, Verdict, Violation};
