//! Baselines: violations that are known, each with a reason and perhaps a day on which it counts again.
//!
//! A known violation is marked, never dropped. A baseline is a TOML file (or the same as JSON):
//!
//! ```toml
//! [[known]]
//! fingerprint = "5c0e1f3a9b7d2468"
//! rule = "inode_operations.rename.victim"
//! reason = "reported upstream, fixed in 6.19"
//! expires = "2026-12-31"
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::date::{Date, NotADate};
use super::{KnownCase, Report};

/// A baseline, read and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    rule: String,
    reason: String,
    expires: Option<Date>,
}

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    known: Vec<FileEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    fingerprint: String,
    rule: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Neither TOML nor JSON of the right form.
    #[error("not a baseline in TOML: {0}")]
    Toml(#[from] toml::de::Error),
    /// The JSON form is wrong.
    #[error("not a baseline in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// An entry says nothing about why.
    #[error("the entry {fingerprint} has no reason; say why the violation is accepted")]
    NoReason {
        /// The entry.
        fingerprint: String,
    },
    /// Two entries for one violation.
    #[error("the entry {fingerprint} stands there twice")]
    Twice {
        /// The entry.
        fingerprint: String,
    },
    /// The expiry is no date.
    #[error("the entry {fingerprint} expires on no day")]
    Expiry {
        /// The entry.
        fingerprint: String,
        /// Cause.
        #[source]
        source: NotADate,
    },
    /// Cannot be written as TOML.
    #[error("the baseline cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
}

impl Baseline {
    /// Reads a baseline; text that begins with `{` is taken as JSON.
    ///
    /// # Errors
    /// The text is neither form, or an entry says too little.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        let file: File =
            if text.trim_start().starts_with('{') { serde_json::from_str(text)? } else { toml::from_str(text)? };
        let mut known = BTreeMap::new();
        for entry in file.known {
            let fingerprint = entry.fingerprint.clone();
            let read = Entry::read(entry)?;
            if known.insert(fingerprint.clone(), read).is_some() {
                return Err(BaselineError::Twice { fingerprint });
            }
        }
        Ok(Self { known })
    }

    /// A baseline that knows every certain violation of a report: entries that apply keep their reason and expiry, new
    /// ones say when they were found.
    pub fn of(report: &Report, today: Date) -> Self {
        let kept = report.baseline.as_ref();
        let entry = |violation: &crate::checker::Violation| {
            let case = kept.and_then(|used| used.known.get(&violation.fingerprint));
            let reason =
                case.map_or_else(|| format!("found on {today}, not yet explained"), |case| case.reason.clone());
            let expires = case.and_then(|case| case.expires.as_ref()?.parse().ok());
            (violation.fingerprint.clone(), Entry { rule: violation.rule.clone(), reason, expires })
        };
        Self { known: report.findings.violations.iter().map(entry).collect() }
    }

    /// The baseline as a TOML file.
    ///
    /// # Errors
    /// TOML cannot say it; no text that came from a report is like that.
    pub fn to_toml(&self) -> Result<String, BaselineError> {
        let known = self.known.iter().map(|(fingerprint, entry)| FileEntry {
            fingerprint: fingerprint.clone(),
            rule: entry.rule.clone(),
            reason: entry.reason.clone(),
            expires: entry.expires.map(|date| date.to_string()),
        });
        let body = toml::to_string(&File { known: known.collect() })?;
        Ok(format!(
            "# Known violations, marked in reports and not counted. Each has a reason; `expires` is optional.\n\n{body}"
        ))
    }

    /// Violations it knows.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True when it knows none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Marks what it knows in a report, and says there what it did.
    pub(super) fn apply(&self, report: &mut Report, name: &str, today: Date) {
        let mut used = super::BaselineUse { file: name.to_owned(), ..Default::default() };
        for (fingerprint, entry) in &self.known {
            let case = KnownCase {
                rule: entry.rule.clone(),
                reason: entry.reason.clone(),
                expires: entry.expires.map(|date| date.to_string()),
            };
            let expired = entry.expires.is_some_and(|date| date < today);
            let found = mark(report, fingerprint, !expired);
            let list = match (found, expired) {
                (false, _) => &mut used.not_seen,
                (true, true) => &mut used.expired,
                (true, false) => &mut used.known,
            };
            list.insert(fingerprint.clone(), case);
        }
        report.baseline = Some(used);
    }
}

impl Entry {
    fn read(entry: FileEntry) -> Result<Self, BaselineError> {
        let FileEntry { fingerprint, rule, reason, expires } = entry;
        if reason.trim().is_empty() {
            return Err(BaselineError::NoReason { fingerprint });
        }
        let expires = expires.map(|text| text.parse()).transpose();
        let expires = expires.map_err(|source| BaselineError::Expiry { fingerprint, source })?;
        Ok(Self { rule, reason, expires })
    }
}

/// Marks the violations, certain and suspected, with this fingerprint; false when there is none.
fn mark(report: &mut Report, fingerprint: &str, known: bool) -> bool {
    let findings = &mut report.findings;
    let mut found = false;
    for violation in findings.violations.iter_mut().chain(&mut findings.suspected) {
        if violation.fingerprint == fingerprint {
            violation.known |= known;
            found = true;
        }
    }
    found
}
