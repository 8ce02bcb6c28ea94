//! The kernels to test on, fetched once and kept in the cache: Debian's cloud flavour of several series, the plain flavour of
//! one, and a kernel with lockdep where one is at hand.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::archive::{self, Archive, Suite};
use crate::natural_order;
use crate::process;
use crate::workspace::{self, Lock, Scratch};

/// A kernel this old in the cache is used without asking the archive for a newer one.
const KERNEL_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Written into a kernel's directory when everything else is there.
const COMPLETE: &str = "complete";
/// Names of the kernels that `all` stands for.
pub const ALL: &[&str] = &["6.1", "6.12", "6.18", "7.3"];
/// The plain flavour, whose modules include file systems that the cloud flavour lacks.
pub const PLAIN: &str = "6.12-amd64";
/// Names a kernel that checks its own locks, everything built in; of another series with a dash and its name (`lockdep-7.3`).
pub const LOCKDEP: &str = "lockdep";
/// The series of the kernel with lockdep, where none is named.
const LOCKDEP_SERIES: &str = "6.12";
/// Where kernels with lockdep lie, relative to the repository: they are no packages of Debian's.
const LOCKDEP_PLACE: &str = "../shared/kernels";

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -r` says.
    pub release: String,
    /// The compressed kernel image.
    pub vmlinuz: PathBuf,
    /// The directory of its modules (with `modules.dep`); a kernel given as a file has none.
    pub modules: Option<PathBuf>,
    /// Its configuration, where there is one.
    pub config: Option<PathBuf>,
}

/// A series of kernels in Debian's archive.
#[derive(Debug)]
struct Series {
    name: &'static str,
    suite: Suite,
    /// Expression for the release.
    release: &'static str,
    /// Package names without the release; the first is asked for the newest release.
    packages: &'static [&'static str],
}

const SERIES: &[Series] = &[
    Series {
        name: "5.10",
        suite: archive::BULLSEYE,
        release: r"5\.10\.0-[0-9]+-cloud-amd64",
        packages: &["linux-image-"],
    },
    Series {
        name: "6.1",
        suite: archive::BOOKWORM,
        release: r"6\.1\.0-[0-9]+-cloud-amd64",
        packages: &["linux-image-"],
    },
    Series {
        name: "6.12",
        suite: archive::BOOKWORM,
        release: r"6\.12\.[0-9]+\+deb[0-9.]+-cloud-amd64",
        packages: &["linux-image-"],
    },
    Series {
        name: PLAIN,
        suite: archive::BOOKWORM,
        release: r"6\.12\.[0-9]+\+deb[0-9.]+-amd64",
        packages: &["linux-image-"],
    },
    Series {
        name: "6.18",
        suite: archive::TRIXIE_BACKPORTS,
        release: r"6\.18\.[0-9]+\+deb[0-9.]+-cloud-amd64",
        packages: &["linux-image-"],
    },
    Series {
        name: "7.3",
        suite: archive::TRIXIE_BACKPORTS,
        release: r"7\.3\.[0-9]+\+deb[0-9.]+-cloud-amd64",
        packages: &["linux-binary-", "linux-modules-", "linux-base-"],
    },
];

/// The suite that has the kernel of series `name`, and with it its headers.
///
/// # Errors
/// An unknown series.
pub fn suite(name: &str) -> Result<&'static Suite> {
    series(name).map(|series| &series.suite)
}

/// A kernel that is used where it is at hand, and is not.
///
/// An error to look for with `downcast_ref`: a reason to leave a run out.
#[derive(Debug)]
pub struct NotAtHand {
    path: PathBuf,
}

impl fmt::Display for NotAtHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel {} is not at hand", self.path.display())
    }
}

impl std::error::Error for NotAtHand {}

/// The newest kernel of series `name` ("6.12"), from the cache or from Debian's archive; or the one with lockdep.
///
/// # Errors
/// An unknown series, a kernel that cannot be fetched and is not in the cache, or [`NotAtHand`].
pub fn fetch(name: &str) -> Result<Kernel> {
    if let Some(series) = lockdep_series(name) {
        let given = lockdep_at_hand(series);
        let places = [given.clone(), lockdep_in_cache(series)?];
        let place = places.iter().find(|path| path.is_file());
        return place.map_or_else(|| Err(NotAtHand { path: given }.into()), |path| from_file(path));
    }
    let series = series(name)?;
    let directory = workspace::cache_dir()?.join("kernels").join(name);
    let _lock = Lock::acquire(&directory.join("lock"))?;
    let cached = newest_complete(&directory);
    if let Some(root) = cached.as_ref().filter(|root| is_recent(root)) {
        return located(root);
    }
    match (newest(series, &directory), cached) {
        (Ok(kernel), _) => Ok(kernel),
        (Err(error), Some(root)) => {
            eprintln!("using the cached kernel, since a newer one cannot be fetched: {error:#}");
            located(&root)
        }
        (Err(error), None) => Err(error.context(format!("fetching kernel {name}"))),
    }
}

/// The series of the kernel with lockdep that `name` names ("lockdep", "lockdep-7.3").
pub(crate) fn lockdep_series(name: &str) -> Option<&str> {
    match name.strip_prefix(LOCKDEP)? {
        "" => Some(LOCKDEP_SERIES),
        rest => rest.strip_prefix('-'),
    }
}

/// Where the kernel with lockdep of `series` is looked for first.
pub(crate) fn lockdep_at_hand(series: &str) -> PathBuf {
    workspace::root().join(LOCKDEP_PLACE).join(format!("{LOCKDEP}-{series}")).join("vmlinuz")
}

/// Where it lies once it was built (`cargo xtask oracle --build`).
///
/// # Errors
/// There is no cache.
pub(crate) fn lockdep_in_cache(series: &str) -> Result<PathBuf> {
    Ok(workspace::cache_dir()?.join("kernels").join(format!("{LOCKDEP}-{series}")).join("vmlinuz"))
}

/// A kernel given as a file, everything built in.
///
/// # Errors
/// When the file cannot be read or is no kernel image.
pub fn from_file(path: &Path) -> Result<Kernel> {
    let image = fs::read(path).with_context(|| format!("reading the kernel {}", path.display()))?;
    let release = release_of(&image).with_context(|| format!("{} is no bzImage", path.display()))?;
    let config = path.with_file_name("config");
    let vmlinuz = path.canonicalize()?;
    Ok(Kernel { release, vmlinuz, modules: None, config: config.is_file().then_some(config) })
}

/// The kernels that a `--kernel` argument names: a series, `all`, `lockdep`, or a file.
///
/// # Errors
/// As for [`fetch`] and [`from_file`].
pub fn named(argument: &str) -> Result<Vec<Kernel>> {
    match argument {
        "all" => ALL.iter().map(|name| fetch(name)).collect(),
        path if path.contains('/') => Ok(vec![from_file(Path::new(path))?]),
        name => Ok(vec![fetch(name)?]),
    }
}

fn series(name: &str) -> Result<&'static Series> {
    let names = || SERIES.iter().map(|series| series.name).collect::<Vec<_>>().join(", ");
    let found = SERIES.iter().find(|series| series.name == name);
    found.with_context(|| {
        format!("unknown kernel {name}\nhint: one of {}, {LOCKDEP}, all, or the path of a bzImage", names())
    })
}

fn newest(series: &Series, directory: &Path) -> Result<Kernel> {
    let archive = Archive::open(&series.suite)?;
    let Some((first, _)) = series.packages.split_first() else { bail!("series {} has no package", series.name) };
    let package = archive.newest(&format!("{first}{}", series.release))?;
    let release = package.trim_start_matches(first);
    let root = directory.join(release);
    if !root.join(COMPLETE).exists() {
        let scratch = Scratch::below(directory)?;
        let unpacked = scratch.path().join("root");
        for prefix in series.packages {
            archive.download_and_unpack(&format!("{prefix}{release}"), &unpacked)?;
        }
        index_modules(&unpacked, release)?;
        let _ = fs::remove_dir_all(&root);
        fs::rename(&unpacked, &root).with_context(|| format!("keeping {}", root.display()))?;
    }
    fs::write(root.join(COMPLETE), "")?;
    located(&root)
}

/// Makes `modules.dep` and the other indexes, which the packages leave to their installation.
fn index_modules(root: &Path, release: &str) -> Result<()> {
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    }
    let depmod = process::require("depmod", "kmod")?;
    process::output(Command::new(depmod).arg("-b").arg(root).arg(release)).map(drop)
}

fn newest_complete(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let releases = entries.filter(|entry| entry.path().join(COMPLETE).exists());
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    releases.max_by(|left, right| natural_order::compare(&name(left), &name(right))).map(|entry| entry.path())
}

fn is_recent(root: &Path) -> bool {
    archive::age(&root.join(COMPLETE)).is_some_and(|age| age < KERNEL_AGE_MAX)
}

/// Finds the parts of an unpacked kernel, old layout (`/boot`) or new (`/usr/lib/modules/RELEASE`).
fn located(root: &Path) -> Result<Kernel> {
    let release = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let modules = root.join("lib/modules").join(&release);
    let first_of = |candidates: [PathBuf; 2]| candidates.into_iter().find(|path| path.is_file());
    let image = first_of([root.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")]);
    let config = first_of([root.join(format!("boot/config-{release}")), modules.join("config")]);
    let vmlinuz = image.with_context(|| format!("no kernel image in {}", root.display()))?;
    Ok(Kernel { release, vmlinuz, modules: Some(modules), config })
}

/// The release in the header of a bzImage (`Documentation/arch/x86/boot.rst`, `kernel_version`).
fn release_of(image: &[u8]) -> Option<String> {
    const MAGIC_AT: usize = 0x202;
    const POINTER_AT: usize = 0x20e;
    const REAL_MODE_HEADER: usize = 0x200;
    if image.get(MAGIC_AT..MAGIC_AT + 4)? != b"HdrS" {
        return None;
    }
    let pointer = image.get(POINTER_AT..POINTER_AT + 2)?;
    let start = usize::from(u16::from_le_bytes([pointer[0], pointer[1]])) + REAL_MODE_HEADER;
    let text = image.get(start..)?.split(|byte| *byte == 0 || *byte == b' ').next()?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_lite::Regex;

    fn matches(name: &str, release: &str) -> bool {
        Regex::new(&format!("^{}$", series(name).unwrap().release)).unwrap().is_match(release)
    }

    #[test]
    fn each_series_takes_its_own_releases_only() {
        assert!(matches("6.1", "6.1.0-56-cloud-amd64"));
        assert!(!matches("6.1", "6.1.0-0.deb11.52-cloud-amd64"));
        assert!(!matches("6.1", "6.12.117+deb12-cloud-amd64"));
        assert!(matches("6.12", "6.12.117+deb12-cloud-amd64"));
        assert!(!matches("6.12", "6.12.117+deb12-cloud-amd64-unsigned"));
        assert!(!matches("6.12", "6.12.117+deb12-rt-amd64"));
        assert!(!matches("6.12", "6.12.117+deb12-amd64"));
        assert!(matches(PLAIN, "6.12.117+deb12-amd64"));
        assert!(!matches(PLAIN, "6.12.117+deb12-cloud-amd64") && !matches(PLAIN, "6.12.117+deb12-rt-amd64"));
        assert!(!matches(PLAIN, "6.12.117+deb12-amd64-unsigned"));
        assert!(matches("7.3", "7.3.4+deb13-cloud-amd64"));
        assert!(!matches("5.10", "5.10.0-46-cloud-amd64-unsigned"));
    }

    #[test]
    fn an_unknown_series_is_refused_with_the_known_ones() {
        let error = format!("{:#}", fetch("2.6").unwrap_err());
        assert!(error.contains("5.10, 6.1, 6.12, 6.12-amd64, 6.18, 7.3, lockdep, all"), "{error}");
    }

    #[test]
    fn the_release_is_read_from_the_image_header() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x316].copy_from_slice(b"6.12.117 (root@host) #");
        assert_eq!(release_of(&image).as_deref(), Some("6.12.117"));
        assert_eq!(release_of(&[0; 0x400]), None);
        assert_eq!(release_of(b"short"), None);
    }
}
