//! Kernel modules from source, each built for exactly the release of a kernel under test.
//!
//! Debian's kernel headers are made for Debian's compilers and libraries, and name each other by absolute paths. So the
//! build runs in a small Debian 13 tree in the cache, made by debootstrap, into which the headers are unpacked: nothing
//! is installed on this system, and any system that has debootstrap will do. Root is needed, for the tree and its mounts.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::archive::{self, Archive, Suite};
use crate::kernels;
use crate::process;
use crate::workspace::{self, Lock, Scratch};

/// The suite that the builder's tree is made of.
const BUILDER_SUITE: &str = "trixie";
/// Compilers of the kernels under test, what objtool and `resolve_btfids` need, and pahole for the module's BTF.
const BUILDER_PACKAGES: &str = "make,gcc-12,gcc-14,libc6-dev,libelf1t64,pahole";
/// Written into the tree when everything else is there.
const COMPLETE: &str = "vfs-audit-complete";
/// Downloads a file and compares its hash; comes with apt.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";
/// Where the archive keeps the packages of the kernel's source.
const POOL: &str = "debian/pool/main/l/linux";
/// In a mount namespace of its own, so that nothing stays mounted: arguments are the tree, then the command.
const IN_BUILDER: &str = "set -e; root=$1; shift; mount --bind /dev \"$root/dev\"; mount -t proc proc \"$root/proc\"; \
    exec chroot \"$root\" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \"$@\"";

/// A package that has left the archive's lists while the kernel that it belongs to is still in them.
#[derive(Debug)]
struct Delisted {
    package: &'static str,
    file: &'static str,
    sha256: &'static str,
}

/// backports lists the signed kernels of a series longer than its headers; the files stay in the pool. Without a list no
/// signature covers them, so the hash is here.
const DELISTED: &[Delisted] = &[
    Delisted {
        package: "linux-headers-6.18.15+deb13-cloud-amd64",
        file: "linux-headers-6.18.15+deb13-cloud-amd64_6.18.15-1~bpo13+1_amd64.deb",
        sha256: "3bd2a70ec82944d17b69824a428defb090708ec284c173f96a4171ba8aa271c2",
    },
    Delisted {
        package: "linux-headers-6.18.15+deb13-common",
        file: "linux-headers-6.18.15+deb13-common_6.18.15-1~bpo13+1_all.deb",
        sha256: "a54ed9b3be5247fe2e003423e067cb8e8b06e4a44a09459b85cfec0afbcbd5ef",
    },
    Delisted {
        package: "linux-kbuild-6.18.15+deb13",
        file: "linux-kbuild-6.18.15+deb13_6.18.15-1~bpo13+1_amd64.deb",
        sha256: "5e64129020cdb5effd6ed3895ca89608ef17bcf643eedfc8013dad89bab70a02",
    },
];

/// Arguments of `module`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Kernel to build for: 6.1, 6.12, 6.18, 7.3, or all of them.
    #[arg(long)]
    pub kernel: String,
    /// Directory with the module's Kbuild and C files.
    #[arg(default_value = "tests/faulty")]
    pub source: PathBuf,
}

/// Builds the module for each kernel named and prints where it lies.
///
/// # Errors
/// As for [`build`].
pub fn run(args: &Args) -> Result<()> {
    let one = [args.kernel.as_str()];
    let names = if args.kernel == "all" { kernels::ALL } else { &one };
    for name in names {
        println!("{}", build(name, &workspace::cache_dir()?, &args.source)?.display());
    }
    Ok(())
}

/// The headers of a kernel are nowhere to be had, so that no module can be built for it.
///
/// An error to look for with `downcast_ref`: it speaks of the archive, not of the module.
#[derive(Debug)]
pub struct NoHeaders {
    package: String,
}

impl fmt::Display for NoHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not to be had from Debian's archive", self.package)
    }
}

impl std::error::Error for NoHeaders {}

/// Builds the module whose `Kbuild` lies in `source_dir` for the newest kernel of series `kernel_name` ("6.12").
///
/// Returns the path of the `.ko` below `cache_dir`. A module that was built from the same source for the same release is
/// not built again.
///
/// # Errors
/// An unknown series, missing headers ([`NoHeaders`]), a tree that cannot be made, or a source that does not compile.
pub fn build(kernel_name: &str, cache_dir: &Path, source_dir: &Path) -> Result<PathBuf> {
    let release = kernels::fetch(kernel_name)?.release;
    let directory = cache_dir.join("modules").join(&release).join(source_hash(source_dir)?);
    if let Some(module) = module_in(&directory)? {
        return Ok(module);
    }
    let building = || -> Result<PathBuf> {
        let builder = Builder::open(cache_dir)?;
        builder.add_headers(kernels::suite(kernel_name)?, &release)?;
        builder.make(&release, source_dir, &directory)
    };
    building().with_context(|| format!("building {} for {release}", source_dir.display()))
}

/// A tree with compilers, libraries and kernel headers, for one user at a time.
struct Builder {
    root: PathBuf,
    _lock: Lock,
}

impl Builder {
    fn open(cache_dir: &Path) -> Result<Self> {
        // SAFETY: the call has no arguments and cannot fail.
        let user = unsafe { libc::geteuid() };
        ensure!(
            user == 0,
            "building a kernel module needs root, for a tree of Debian's with /dev and /proc\nhint: sudo"
        );
        let directory = cache_dir.join("module-builder");
        let lock = Lock::acquire(&directory.join("lock"))?;
        let root = directory.join(BUILDER_SUITE);
        if fs::read_to_string(root.join(COMPLETE)).is_ok_and(|packages| packages == BUILDER_PACKAGES) {
            return Ok(Self { root, _lock: lock });
        }
        let debootstrap = process::require("debootstrap", "debootstrap")?;
        eprintln!("making a Debian {BUILDER_SUITE} tree to build kernel modules in (about 0.7 GB, a minute)");
        let scratch = Scratch::below(&directory)?;
        let new = scratch.path().join("root");
        // What debootstrap mounts must be gone before anything removes a tree that it could not finish.
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(debootstrap);
        command.args(["--variant=minbase", &format!("--include={BUILDER_PACKAGES}")]);
        if Path::new(archive::KEYRING).exists() {
            command.arg(format!("--keyring={}", archive::KEYRING));
        }
        command.arg(BUILDER_SUITE).arg(&new).arg(format!("{}/debian", archive::mirror()));
        process::output(&mut command)?;
        fs::write(new.join(COMPLETE), BUILDER_PACKAGES)?;
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("removing the old {}", root.display()))?;
        }
        fs::rename(&new, &root).with_context(|| format!("keeping {}", root.display()))?;
        Ok(Self { root, _lock: lock })
    }

    /// Unpacks the headers of `release` and what they refer to, unless they are there.
    fn add_headers(&self, suite: &Suite, release: &str) -> Result<()> {
        let headers = format!("usr/src/linux-headers-{release}");
        if self.root.join(&headers).join("include").exists() {
            return Ok(());
        }
        let archive = Archive::open(suite)?;
        let scratch = Scratch::below(&self.root)?;
        unpack(&archive, &format!("linux-headers-{release}"), scratch.path())?;
        let unpacked = scratch.path().join(&headers);
        unpack(&archive, &common_headers(&unpacked)?, scratch.path())?;
        unpack(&archive, &kbuild(&unpacked)?, scratch.path())?;
        // The headers themselves come last, since their presence says that all is there.
        for directory in ["usr/lib", "usr/src"] {
            let mut names: Vec<_> = fs::read_dir(scratch.path().join(directory))?.collect::<Result<_, _>>()?;
            names.retain(|entry| entry.file_name().to_string_lossy().starts_with("linux-"));
            names.sort_by_key(|entry| entry.path() == unpacked);
            for entry in names {
                let place = self.root.join(directory).join(entry.file_name());
                if fs::symlink_metadata(&place).is_err() {
                    fs::rename(entry.path(), &place).with_context(|| format!("keeping {}", place.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Compiles a copy of the source and keeps the module in `directory`.
    fn make(&self, release: &str, source_dir: &Path, directory: &Path) -> Result<PathBuf> {
        eprintln!("building {} for {release}", source_dir.display());
        let scratch = Scratch::below(&self.root.join("build"))?;
        for file in source_files(source_dir)? {
            fs::copy(&file, scratch.path().join(file.file_name().unwrap_or_default()))?;
        }
        let inside = Path::new("/").join(scratch.path().strip_prefix(&self.root)?);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", IN_BUILDER, "sh"]).arg(&self.root);
        command.args(["make", "-j2", "-C"]).arg(format!("/usr/src/linux-headers-{release}"));
        command.arg(format!("M={}", inside.display())).arg("modules");
        process::output(&mut command)?;
        let built = module_in(scratch.path())?.context("the build left no .ko")?;
        ensure_built_for(&built, release)?;
        fs::create_dir_all(directory)?;
        let kept = directory.join(built.file_name().unwrap_or_default());
        let new = kept.with_extension("new");
        fs::copy(&built, &new).with_context(|| format!("copying {}", built.display()))?;
        fs::rename(&new, &kept).with_context(|| format!("keeping {}", kept.display()))?;
        Ok(kept)
    }
}

/// Unpacks a package from the suite, or a delisted one from the pool.
fn unpack(archive: &Archive, package: &str, destination: &Path) -> Result<()> {
    let no_headers = || NoHeaders { package: package.to_owned() };
    let Some(delisted) = DELISTED.iter().find(|delisted| delisted.package == package) else {
        return archive.download_and_unpack(package, destination).with_context(no_headers);
    };
    eprintln!("fetching {package} from the pool of Debian's archive");
    let file = destination.join(delisted.file);
    let mut command = Command::new(APT_HELPER);
    command.args(["-o", "APT::Sandbox::User=root", "download-file"]);
    command.arg(format!("{}/{POOL}/{}", archive::mirror(), delisted.file)).arg(&file);
    process::output(command.arg(format!("SHA256:{}", delisted.sha256))).with_context(no_headers)?;
    process::output(Command::new("dpkg").arg("-x").arg(&file).arg(destination)).map(drop)
}

/// The package of headers that all flavours share, which the Makefile of a flavour's headers includes.
fn common_headers(headers: &Path) -> Result<String> {
    let makefile = fs::read_to_string(headers.join("Makefile")).context("reading the Makefile of the headers")?;
    let included = makefile.lines().find_map(|line| line.strip_prefix("include /usr/src/")?.strip_suffix("/Makefile"));
    included.map(str::to_owned).with_context(|| format!("no common headers in the Makefile: {makefile}"))
}

/// The package of build programs, to which the headers' `scripts` leads (`../../lib/linux-kbuild-6.1/scripts`).
fn kbuild(headers: &Path) -> Result<String> {
    let scripts = fs::read_link(headers.join("scripts")).context("following the scripts of the headers")?;
    let package = scripts.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    package.with_context(|| format!("{} leads to no package", scripts.display()))
}

/// What is compiled: `Kbuild` and the C files, in order; nothing that an earlier build may have left.
fn source_files(source_dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(source_dir).with_context(|| format!("listing {}", source_dir.display()))?;
    let mut files: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| {
        let is_generated = file.to_string_lossy().ends_with(".mod.c");
        let is_c = file.extension().is_some_and(|extension| extension == "c" || extension == "h");
        file.file_name().is_some_and(|name| name == "Kbuild") || (is_c && !is_generated)
    });
    files.sort();
    ensure!(!files.is_empty(), "no Kbuild in {}", source_dir.display());
    Ok(files)
}

/// Changes with the name or content of any source file, and with the tree that it is compiled in.
fn source_hash(source_dir: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    BUILDER_PACKAGES.hash(&mut hasher);
    for file in source_files(source_dir)? {
        file.file_name().hash(&mut hasher);
        fs::read(&file).with_context(|| format!("reading {}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The one `.ko` of a directory, if there is one.
fn module_in(directory: &Path) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    let files = entries.flatten().map(|entry| entry.path());
    let mut modules = files.filter(|file| file.extension().is_some_and(|extension| extension == "ko"));
    let module = modules.next();
    if let (Some(one), Some(two)) = (&module, modules.next()) {
        bail!("two modules, {} and {}", one.display(), two.display());
    }
    Ok(module)
}

/// A module carries the release that it was built for in its `vermagic`; the kernel refuses another.
fn ensure_built_for(module: &Path, release: &str) -> Result<()> {
    let content = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let expected = format!("vermagic={release} ");
    let is_there = content.windows(expected.len()).any(|window| window == expected.as_bytes());
    ensure!(is_there, "{} was not built for {release}", module.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> Scratch {
        Scratch::below(&std::env::temp_dir().join("vfs-audit-kernel-module")).unwrap()
    }

    #[test]
    fn headers_name_the_packages_that_they_need() {
        let headers = scratch();
        let makefile = "KBUILD_OUTPUT=/usr/src/linux-headers-6.18.15+deb13-cloud-amd64\n\
                        include /usr/src/linux-headers-6.18.15+deb13-common/Makefile\n";
        fs::write(headers.path().join("Makefile"), makefile).unwrap();
        std::os::unix::fs::symlink("../../lib/linux-kbuild-6.1/scripts", headers.path().join("scripts")).unwrap();
        assert_eq!(common_headers(headers.path()).unwrap(), "linux-headers-6.18.15+deb13-common");
        assert_eq!(kbuild(headers.path()).unwrap(), "linux-kbuild-6.1");
    }

    #[test]
    fn the_hash_follows_every_source_file_and_nothing_else() {
        let source = scratch();
        assert!(source_hash(source.path()).is_err(), "a directory without Kbuild");
        fs::write(source.path().join("Kbuild"), "obj-m := one.o\n").unwrap();
        fs::write(source.path().join("one.c"), "int one;\n").unwrap();
        let before = source_hash(source.path()).unwrap();
        for left_by_a_build in ["one.o", "one.mod.c", "README.md"] {
            fs::write(source.path().join(left_by_a_build), "").unwrap();
        }
        assert_eq!(source_hash(source.path()).unwrap(), before);
        fs::write(source.path().join("one.c"), "int two;\n").unwrap();
        assert_ne!(source_hash(source.path()).unwrap(), before);
    }

    #[test]
    fn a_module_for_another_release_is_refused() {
        let directory = scratch();
        assert_eq!(module_in(directory.path()).unwrap(), None);
        fs::write(directory.path().join("one.ko"), b"\0vermagic=6.1.0-56-cloud-amd64 SMP\0").unwrap();
        let module = module_in(directory.path()).unwrap().unwrap();
        ensure_built_for(&module, "6.1.0-56-cloud-amd64").unwrap();
        assert!(ensure_built_for(&module, "6.1.0-5-cloud-amd64").is_err());
        fs::write(directory.path().join("two.ko"), "").unwrap();
        assert!(module_in(directory.path()).is_err(), "which of the two is meant?");
    }
}
