//! Debian's package archive: packages of any suite, downloaded and unpacked without installing anything.
//!
//! apt does the work, with private sources, lists and caches: the system's own stay as they are, and its signatures
//! are checked as always. `VFS_AUDIT_MIRROR` names another mirror than `http://deb.debian.org`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use regex_lite::Regex;

use crate::natural_order;
use crate::process;
use crate::workspace::{self, Lock, Scratch};

const MIRROR: &str = "http://deb.debian.org";
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Package lists older than this are fetched again.
const LISTS_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A release of Debian, with the places where its packages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// Names it in messages and in the cache.
    pub name: &'static str,
    /// Pairs of archive and distribution, as in a sources list.
    pub sources: &'static [(&'static str, &'static str)],
}

/// Debian 11.
pub const BULLSEYE: Suite =
    Suite { name: "bullseye", sources: &[("debian", "bullseye"), ("debian-security", "bullseye-security")] };
/// Debian 12.
pub const BOOKWORM: Suite =
    Suite { name: "bookworm", sources: &[("debian", "bookworm"), ("debian-security", "bookworm-security")] };
/// Debian 13.
pub const TRIXIE: Suite =
    Suite { name: "trixie", sources: &[("debian", "trixie"), ("debian-security", "trixie-security")] };
/// Newer kernels for Debian 13.
pub const TRIXIE_BACKPORTS: Suite = Suite { name: "trixie-backports", sources: &[("debian", "trixie-backports")] };

/// The packages of one suite.
#[derive(Debug)]
pub struct Archive {
    directory: PathBuf,
    suite: Suite,
}

impl Archive {
    /// Opens the archive, with package lists at most a day old.
    ///
    /// # Errors
    /// When apt is not there or the lists cannot be fetched.
    pub fn open(suite: &Suite) -> Result<Self> {
        process::require("apt-get", "apt").context("reaching Debian's archive")?;
        let directory = workspace::cache_dir()?.join("archive").join(suite.name);
        let archive = Self { directory, suite: *suite };
        let lists_age = age(&archive.stamp());
        if lists_age.is_none_or(|age| age > LISTS_AGE_MAX) {
            archive.update()?;
        }
        Ok(archive)
    }

    /// The newest package whose whole name matches `name_regex`.
    ///
    /// # Errors
    /// A malformed expression, or no such package.
    pub fn newest(&self, name_regex: &str) -> Result<String> {
        let names = process::text(self.apt("apt-cache").arg("pkgnames"))?;
        newest_of(names.lines(), name_regex)?
            .with_context(|| format!("no package matching {name_regex} in Debian {}", self.suite.name))
    }

    /// Downloads `package` and unpacks it below `destination`, which is created if need be.
    ///
    /// # Errors
    /// When the package is not there (any more) or cannot be unpacked.
    pub fn download_and_unpack(&self, package: &str, destination: &Path) -> Result<()> {
        let scratch = Scratch::below(&self.directory)?;
        if self.download(package, scratch.path()).is_err() {
            // The lists may name a version that has left the archive since.
            self.update()?;
            self.download(package, scratch.path())?;
        }
        let package_file = fs::read_dir(scratch.path())?.flatten().map(|entry| entry.path()).next();
        let package_file = package_file.with_context(|| format!("apt-get downloaded nothing for {package}"))?;
        fs::create_dir_all(destination).with_context(|| format!("creating {}", destination.display()))?;
        process::output(Command::new("dpkg").arg("-x").arg(package_file).arg(destination))?;
        Ok(())
    }

    /// Downloads `package` with everything that it depends on, and unpacks all of it below `destination`.
    ///
    /// # Errors
    /// As for [`Self::download_and_unpack`].
    pub fn download_and_unpack_all(&self, package: &str, destination: &Path) -> Result<()> {
        let scratch = Scratch::below(&self.directory)?;
        if self.download_all(package, scratch.path()).is_err() {
            self.update()?;
            self.download_all(package, scratch.path())?;
        }
        fs::create_dir_all(destination).with_context(|| format!("creating {}", destination.display()))?;
        let files = fs::read_dir(scratch.path())?.flatten().map(|entry| entry.path());
        let packages: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect();
        ensure!(!packages.is_empty(), "apt-get downloaded nothing for {package}");
        for file in packages {
            process::output(Command::new("dpkg").arg("-x").arg(file).arg(destination))?;
        }
        Ok(())
    }

    /// To a system on which nothing is installed, apt offers the package with all that it needs.
    fn download_all(&self, package: &str, directory: &Path) -> Result<()> {
        eprintln!("fetching {package} and what it needs from Debian {}", self.suite.name);
        let nothing_installed = directory.join("status");
        fs::write(&nothing_installed, "")?;
        fs::create_dir_all(directory.join("partial"))?;
        let mut apt = self.apt("apt-get");
        for (name, path) in [
            ("Dir::State::status", &nothing_installed),
            ("Dir::State::extended_states", &directory.join("extended_states")),
            ("Dir::Cache::archives", &directory.to_path_buf()),
        ] {
            apt.arg("-o").arg(format!("{name}={}", path.display()));
        }
        apt.args(["install", "--yes", "--no-install-recommends", "--download-only", package]);
        process::output(&mut apt).map(drop)
    }

    fn download(&self, package: &str, directory: &Path) -> Result<()> {
        eprintln!("fetching {package} from Debian {}", self.suite.name);
        process::output(self.apt("apt-get").arg("download").arg(package).current_dir(directory)).map(drop)
    }

    fn update(&self) -> Result<()> {
        let _lock = Lock::acquire(&self.directory.join("lock"))?;
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = self.directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        }
        fs::write(self.sources_list(), sources(&self.suite, &mirror(), Path::new(KEYRING).exists()))?;
        eprintln!("fetching the package lists of Debian {}", self.suite.name);
        let complaint = process::output(self.apt("apt-get").arg("update").arg("--error-on=any"));
        complaint.with_context(|| format!("fetching the package lists of Debian {}", self.suite.name))?;
        fs::write(self.stamp(), "")?;
        Ok(())
    }

    fn stamp(&self) -> PathBuf {
        self.directory.join("updated")
    }

    fn sources_list(&self) -> PathBuf {
        self.directory.join("sources.list")
    }

    fn apt(&self, program: &str) -> Command {
        let settings = [
            ("Dir::Etc::sourcelist", self.sources_list()),
            ("Dir::Etc::sourceparts", "-".into()),
            ("Dir::Etc::preferences", "/dev/null".into()),
            ("Dir::Etc::preferencesparts", "-".into()),
            ("Dir::State::lists", self.directory.join("lists")),
            ("Dir::Cache", self.directory.join("cache")),
            ("APT::Architecture", "amd64".into()),
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "3".into()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
        ];
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("-q");
        for (name, value) in settings {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        }
        command
    }
}

pub(crate) fn mirror() -> String {
    env::var("VFS_AUDIT_MIRROR").ok().filter(|url| !url.is_empty()).unwrap_or_else(|| MIRROR.into())
}

fn sources(suite: &Suite, mirror: &str, has_keyring: bool) -> String {
    let signed = if has_keyring { format!(" signed-by={KEYRING}") } else { String::new() };
    let line = |(archive, distribution): &(&str, &str)| {
        format!("deb [arch=amd64{signed}] {}/{archive} {distribution} main\n", mirror.trim_end_matches('/'))
    };
    suite.sources.iter().map(line).collect()
}

fn newest_of<'a>(names: impl Iterator<Item = &'a str>, name_regex: &str) -> Result<Option<String>> {
    let Ok(pattern) = Regex::new(&format!("^(?:{name_regex})$")) else { bail!("malformed expression {name_regex}") };
    let matching = names.filter(|name| pattern.is_match(name));
    Ok(matching.max_by(|left, right| natural_order::compare(left, right)).map(str::to_owned))
}

/// Time since the file was written; nothing if it is not there.
pub(crate) fn age(file: &Path) -> Option<Duration> {
    let written = fs::metadata(file).and_then(|metadata| metadata.modified()).ok()?;
    Some(SystemTime::now().duration_since(written).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_matching_name_wins_and_the_whole_name_must_match() {
        let names = [
            "linux-image-6.12.101+deb12-cloud-amd64",
            "linux-image-6.12.99+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
            "linux-image-6.12-cloud-amd64",
        ];
        let newest = newest_of(names.into_iter(), r"linux-image-6\.12\.[0-9]+\+deb[0-9]+-cloud-amd64").unwrap();
        assert_eq!(newest.as_deref(), Some("linux-image-6.12.101+deb12-cloud-amd64"));
        assert_eq!(newest_of(names.into_iter(), "linux-image-5.*").unwrap(), None);
        assert!(newest_of(names.into_iter(), "(").is_err());
    }

    #[test]
    fn a_sources_list_has_one_line_per_place() {
        let text = sources(&BOOKWORM, "http://mirror.example/", false);
        let expected = "deb [arch=amd64] http://mirror.example/debian bookworm main\n\
                        deb [arch=amd64] http://mirror.example/debian-security bookworm-security main\n";
        assert_eq!(text, expected);
        assert!(sources(&TRIXIE, MIRROR, true).contains("signed-by=/usr/share/keyrings/"));
    }
}
