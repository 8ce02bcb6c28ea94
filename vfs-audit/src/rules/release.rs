//! Releases of the document: their names, their order, and which one is nearest to a kernel.
//!
//! A rule set is named by the document it was read from. Nothing here says what a kernel has: that is asked of BTF.

use std::fmt;

/// One release of the document; ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(usize);

/// Name and the kernel series it was written for, oldest first.
const KNOWN: [(&str, (u32, u32)); 8] = [
    ("v5.4", (5, 4)),
    ("v5.10", (5, 10)),
    ("v5.15-seed", (5, 15)),
    ("v6.1", (6, 1)),
    ("v6.6", (6, 6)),
    ("v6.12", (6, 12)),
    ("v6.18", (6, 18)),
    ("v7.3", (7, 3)),
];

impl Release {
    /// Every release, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..KNOWN.len()).map(Self)
    }

    /// All names, as a list to show.
    pub(super) fn names() -> String {
        KNOWN.map(|(name, _)| name).join(", ")
    }

    /// A release by its name, with or without the `v`.
    pub fn named(name: &str) -> Option<Self> {
        let bare = name.strip_prefix('v').unwrap_or(name);
        KNOWN.iter().position(|(known, _)| &known[1..] == bare).map(Self)
    }

    /// Its name (`v6.12`).
    pub fn name(self) -> &'static str {
        KNOWN[self.0].0
    }

    /// The newest release at or below a kernel's (`6.12.117+deb12-cloud-amd64`); the oldest for older kernels and for
    /// text that is no release.
    pub fn for_kernel(uname: &str) -> Self {
        let mut numbers = uname.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
        let series = (numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0));
        Self(KNOWN.iter().rposition(|(_, known)| *known <= series).unwrap_or(0))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The releases in which something is so, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// First release; the oldest when absent.
    pub(super) since: Option<Release>,
    /// Last release; the newest when absent.
    pub(super) until: Option<Release>,
}

impl Reach {
    /// Whether a release is within.
    pub(super) fn contains(self, release: Release) -> bool {
        self.since.is_none_or(|since| since <= release) && self.until.is_none_or(|until| release <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_gets_the_nearest_document_at_or_below_it() {
        let cases = [
            ("6.12.117+deb12-cloud-amd64", "v6.12"),
            ("6.17.1", "v6.12"),
            ("5.15.0-91-generic", "v5.15-seed"),
            ("6.1.0-41-cloud-amd64", "v6.1"),
            ("7.3.4", "v7.3"),
            ("7.10-rc1", "v7.3"),
            ("8.0.0", "v7.3"),
            ("4.19.0", "v5.4"),
            ("", "v5.4"),
        ];
        for (uname, expected) in cases {
            assert_eq!(Release::for_kernel(uname).name(), expected, "{uname}");
        }
    }

    #[test]
    fn a_release_is_found_with_and_without_its_v() {
        assert_eq!(Release::named("v6.12"), Release::named("6.12"));
        assert_eq!(Release::named("5.15-seed").map(Release::name), Some("v5.15-seed"));
        assert_eq!(Release::named("5.15"), None);
    }

    #[test]
    fn a_reach_includes_both_of_its_ends() {
        let [first, second, third] = ["v5.15-seed", "v6.1", "v6.12"].map(|name| Release::named(name).unwrap());
        let reach = Reach { since: Some(second), until: Some(second) };
        assert!(!reach.contains(first) && reach.contains(second) && !reach.contains(third));
        assert!(Reach::default().contains(first));
    }
}
