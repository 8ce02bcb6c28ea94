//! Rule cases: small traces and the whole report that the checker makes of each, as text files in `tests/cases`.
//!
//! `UPDATE_EXPECT=1 cargo test -p vfs-audit --test rule_cases` writes the reports anew; read the difference before you
//! keep it. Every rule that is judged needs a case that satisfies it and a case that breaks it alone.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]
#![allow(clippy::format_push_string, reason = "a report of a test is short")]

mod case;
mod render;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use vfs_audit::{
    checker::{Findings, Options, Verdict, check},
    rules::{Catalogue, Rule},
};

use case::Case;

/// A rule as some releases have it: the id alone may stand for several wordings.
type Variant = (String, Option<String>, Option<String>);

fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn cases(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    case::parse(&text).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

/// Catalogues by release, loaded once.
struct Catalogues(BTreeMap<String, Catalogue>);

impl Catalogues {
    fn all() -> Self {
        let load = |release: &str| (release.to_owned(), Catalogue::load(release).unwrap());
        Self(Catalogue::releases().into_iter().map(load).collect())
    }

    fn of(&self, case: &Case) -> &Catalogue {
        self.0.get(&case.rules).unwrap_or_else(|| panic!("{}: no rule set {}", case.title, case.rules))
    }

    fn run(&self, case: &Case) -> Findings {
        let options = Options { strict: case.strict, ..Options::default() };
        check(self.of(case), &case.observations, options)
    }
}

#[test]
fn every_case_gives_the_report_that_is_stored_with_it() {
    let catalogues = Catalogues::all();
    let mut changed = Vec::new();
    for path in files() {
        let stored = fs::read_to_string(&path).unwrap();
        let mut fresh = String::new();
        for case in cases(&path) {
            fresh.push_str(&case.input);
            fresh.push_str(&render::report(&catalogues.run(&case)));
            fresh.push('\n');
        }
        let fresh = format!("{}\n", fresh.trim_end());
        if fresh == stored {
            continue;
        }
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, fresh).unwrap();
        } else {
            changed.push(format!("{}\n{}", path.display(), first_difference(&stored, &fresh)));
        }
    }
    assert!(changed.is_empty(), "reports differ; UPDATE_EXPECT=1 stores the new ones\n{}", changed.join("\n"));
}

fn first_difference(stored: &str, fresh: &str) -> String {
    let pairs = stored.lines().zip(fresh.lines()).enumerate();
    let differing = pairs.into_iter().find(|(_, (old, new))| old != new);
    differing.map_or_else(
        || "one is longer than the other".to_owned(),
        |(line, (old, new))| format!("line {}\n  stored: {old}\n  now:    {new}", line + 1),
    )
}

#[test]
fn every_rule_that_is_judged_has_a_case_that_satisfies_it_and_one_that_breaks_it_alone() {
    let catalogues = Catalogues::all();
    let (mut satisfied, mut broken) = (BTreeSet::new(), BTreeSet::new());
    for case in files().iter().flat_map(|path| cases(path)) {
        let catalogue = catalogues.of(&case);
        let findings = catalogues.run(&case);
        let with = |verdict| findings.rules.iter().filter(move |rule| rule.verdict == verdict);
        let variant_of = |id: &str| variant(catalogue.rule(id).unwrap().2);
        satisfied.extend(with(Verdict::Satisfied).map(|rule| variant_of(&rule.id)));
        let mut violated = with(Verdict::Violated);
        if let (Some(only), None) = (violated.next(), violated.next()) {
            broken.insert(variant_of(&only.id));
        }
    }
    let mut wanted = BTreeSet::new();
    for catalogue in catalogues.0.values() {
        let judged = |rule: &&Rule| !rule.requires.is_empty() && catalogue.stale(rule).is_none();
        wanted.extend(catalogue.rules().filter(judged).map(variant));
    }
    let missing = |have: &BTreeSet<Variant>| wanted.difference(have).cloned().collect::<Vec<_>>();
    assert_eq!(missing(&satisfied), Vec::new(), "no case satisfies these rules");
    assert_eq!(missing(&broken), Vec::new(), "no case breaks these rules alone");
}

fn variant(rule: &Rule) -> Variant {
    (rule.id.clone(), rule.since.clone(), rule.until.clone())
}

#[test]
fn no_two_cases_have_the_same_title() {
    let mut seen = BTreeSet::new();
    for case in files().iter().flat_map(|path| cases(path)) {
        assert!(seen.insert(case.title.clone()), "{} stands twice", case.title);
    }
}
