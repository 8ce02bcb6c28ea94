//! `cargo xtask deps`: what the project is built from: licences, where it comes from, duplicates, known advisories.
//!
//! Licences and sources are checked by a list of what is allowed; advisories by cargo-audit or cargo-deny, where one of them and its
//! database are at hand, else that is said and counted as skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::test::Tally;
use crate::workspace;

/// Licences that may stand in a dependency's expression, each for itself enough beside our own MIT OR Apache-2.0.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "Unlicense",
    "Unicode-3.0",
    "0BSD",
    "NCSA",
];
/// Where every package but our own must come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// The workspaces, each with a lock file.
const WORKSPACES: [&str; 2] = ["Cargo.toml", "tests/fuzz/Cargo.toml"];

/// Arguments of `deps`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {}

/// Checks; the code is 0 when nothing is wrong.
///
/// # Errors
/// Cargo cannot say what the project depends on.
pub fn run(_: &Args) -> Result<i32> {
    let tally = check()?;
    println!("{tally}");
    Ok(i32::from(tally.failed > 0))
}

/// Every check, each with its line.
///
/// # Errors
/// As [`run`].
pub fn check() -> Result<Tally> {
    let mut tally = Tally::default();
    for manifest in WORKSPACES {
        let packages = packages(manifest)?;
        let count = packages.len();
        report(&mut tally, &format!("{manifest}: licences of {count} packages"), &unlicensed(&packages));
        report(&mut tally, &format!("{manifest}: sources of {count} packages"), &foreign(&packages));
        let duplicates = duplicates(&packages);
        println!("note: {manifest}: {} packages in more than one version: {}", duplicates.len(), duplicates.join("; "));
    }
    let unpinned = unpinned()?;
    report(&mut tally, "versions stand in the lock files and in the root manifest", &unpinned);
    match advisories()? {
        Advisories::Clean(tool) => report(&mut tally, &format!("advisories, by {tool}"), &[]),
        Advisories::Found(tool, said) => report(&mut tally, &format!("advisories, by {tool}"), &[said]),
        Advisories::Unknown(reason) => {
            println!("skip: advisories: {reason}");
            tally.skipped += 1;
        }
    }
    Ok(tally)
}

fn report(tally: &mut Tally, name: &str, wrong: &[String]) {
    if wrong.is_empty() {
        println!("pass: {name}");
        tally.passed += 1;
    } else {
        println!("FAIL: {name}: {}", wrong.join("; "));
        tally.failed += 1;
    }
}

/// A package as cargo knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    licence: String,
    /// `None` for our own.
    source: Option<String>,
}

fn packages(manifest: &str) -> Result<Vec<Package>> {
    let mut cargo = cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest]);
    let text = process::text(&mut cargo).with_context(|| format!("asking what {manifest} depends on"))?;
    let metadata: Value = serde_json::from_str(&text).context("reading what cargo says")?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let text = |package: &Value, key: &str| package[key].as_str().map(str::to_owned);
    let read = |package: &Value| Package {
        name: text(package, "name").unwrap_or_default(),
        version: text(package, "version").unwrap_or_default(),
        licence: text(package, "license").unwrap_or_default(),
        source: text(package, "source"),
    };
    Ok(packages.iter().map(read).collect())
}

/// Packages whose licence is none that we know we may use.
fn unlicensed(packages: &[Package]) -> Vec<String> {
    let wrong = packages.iter().filter(|package| !is_allowed(&package.licence));
    wrong.map(|package| format!("{} {}: {:?}", package.name, package.version, package.licence)).collect()
}

/// Whether an SPDX expression can be met with allowed licences: every part of an AND, one part of an OR.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    // In licence expressions of crates, brackets hold an OR inside an AND.
    let parts = split(&expression, " AND ");
    !expression.trim().is_empty()
        && parts.iter().all(|part| {
            let inner = part.trim().trim_start_matches('(').trim_end_matches(')');
            split(inner, " OR ").iter().any(|licence| {
                let licence = licence.trim();
                ALLOWED.contains(&licence) || (licence.contains(" AND ") && is_allowed(licence))
            })
        })
}

/// Splits outside of brackets.
fn split<'t>(text: &'t str, by: &str) -> Vec<&'t str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && at >= start && text[at..].starts_with(by) => {
                parts.push(&text[start..at]);
                start = at + by.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Packages that come from elsewhere than the registry.
fn foreign(packages: &[Package]) -> Vec<String> {
    let is_foreign = |source: &&String| !source.starts_with(REGISTRY);
    let wrong = packages.iter().filter_map(|package| Some((package, package.source.as_ref().filter(is_foreign)?)));
    wrong.map(|(package, source)| format!("{} {} from {source}", package.name, package.version)).collect()
}

/// Packages that are there in several versions.
fn duplicates(packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| format!("{name} {}", versions.into_iter().collect::<Vec<_>>().join(", "))).collect()
}

/// Lock files that are missing, packages in them without a checksum, and members that name a version of their own.
fn unpinned() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for manifest in WORKSPACES {
        let lock = workspace::root().join(manifest).with_file_name("Cargo.lock");
        let text = fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?;
        for package in text.split("[[package]]").skip(1) {
            let is_foreign = package.lines().any(|line| line.starts_with("source = "));
            if is_foreign && !package.lines().any(|line| line.starts_with("checksum = ")) {
                wrong.push(format!("{manifest}: no checksum of {}", package.lines().nth(1).unwrap_or_default()));
            }
        }
    }
    for member in ["vfs-audit", "vfs-audit-common", "vfs-audit-ebpf", "xtask", "xtask/guest", "tests"] {
        let path = workspace::root().join(member).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        wrong.extend(own_versions(&text).into_iter().map(|line| format!("{member}: {line}")));
    }
    Ok(wrong)
}

/// Lines of a member's dependencies that do not leave the version to the workspace.
fn own_versions(manifest: &str) -> Vec<String> {
    let mut is_of_dependencies = false;
    let mut wrong = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            is_of_dependencies = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if is_of_dependencies && line.contains('=') && !line.starts_with('#') && !line.contains("workspace") {
            wrong.push(line.to_owned());
        }
    }
    wrong
}

enum Advisories {
    Clean(&'static str),
    Found(&'static str, String),
    Unknown(String),
}

/// Asks the first tool that is there, with what it has of the database; nothing is fetched.
fn advisories() -> Result<Advisories> {
    let tools: [(&str, &[&str]); 2] =
        [("audit", &["audit", "--no-fetch"]), ("deny", &["deny", "--offline", "check", "advisories"])];
    for (tool, words) in tools {
        if process::find(&format!("cargo-{tool}")).is_none() {
            continue;
        }
        let output = cargo().args(words).output().with_context(|| format!("starting cargo {tool}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(Advisories::Clean(tool));
        }
        if lacks_database(&said) {
            return Ok(Advisories::Unknown(format!("cargo {tool} has no advisory database here")));
        }
        let line = said.lines().find(|line| line.contains("RUSTSEC-")).unwrap_or("see its output");
        return Ok(Advisories::Found(tool, line.trim().to_owned()));
    }
    Ok(Advisories::Unknown("neither cargo-audit nor cargo-deny is installed".to_owned()))
}

/// Whether a tool failed for want of its database, not for what it found.
fn lacks_database(said: &str) -> bool {
    !said.contains("RUSTSEC-")
        && ["advisory-db", "advisory database", "couldn't open", "failed to open"]
            .iter()
            .any(|word| said.contains(word))
}

/// The same within `cargo xtask test`.
///
/// # Errors
/// A check fails.
pub fn must_pass() -> Result<()> {
    let tally = check()?;
    println!("{tally}");
    if tally.failed > 0 {
        bail!("{} checks of dependencies fail", tally.failed)
    }
    Ok(())
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root());
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_needs_an_allowed_licence_in_every_part() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-2.0-only OR MIT",
            "Apache-2.0 AND (MIT OR GPL-3.0-only)",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in
            ["", "GPL-2.0-only", "LGPL-2.1-or-later", "MIT AND GPL-3.0-only", "(MIT OR ISC) AND SSPL-1.0", "MITx"]
        {
            assert!(!is_allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_package_from_git_and_one_in_two_versions_are_seen() {
        let package = |name: &str, version: &str, source: Option<&str>| Package {
            name: name.into(),
            version: version.into(),
            licence: "MIT".into(),
            source: source.map(str::to_owned),
        };
        let git = "git+https://example.org/a?rev=1#1";
        let packages =
            [package("a", "1.0.0", Some(git)), package("a", "2.0.0", Some(REGISTRY)), package("own", "0.1.0", None)];
        assert_eq!(foreign(&packages), [format!("a 1.0.0 from {git}")]);
        assert_eq!(duplicates(&packages), ["a 1.0.0, 2.0.0"]);
    }

    #[test]
    fn a_version_beside_the_workspaces_is_seen() {
        let manifest =
            "[package]\nversion = \"1\"\n[dependencies]\na.workspace = true\nb = \"1\"\n[lints]\nc = \"2\"\n";
        assert_eq!(own_versions(manifest), ["b = \"1\""]);
    }

    #[test]
    fn a_missing_database_is_no_finding() {
        assert!(lacks_database("error: couldn't open advisory database"));
        assert!(!lacks_database("ID: RUSTSEC-2026-0001 in the advisory database"));
    }
}
