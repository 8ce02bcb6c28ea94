//! Which modules a guest needs and in which order: `modules.dep`, `modules.softdep` and `modules.alias` of the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::kernels::Kernel;
use crate::process;
use crate::vm::disks;

/// Drives are virtio disks on PCI.
const ALWAYS: &[&str] = &["virtio_pci", "virtio_blk"];

/// The indexes that depmod makes of a kernel's modules.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Module name → its file, relative to the directory.
    files: BTreeMap<String, String>,
    /// Module name → the modules it needs, the last of them first.
    needs: BTreeMap<String, Vec<String>>,
    /// Module name → names or aliases that should be loaded before it.
    wishes: BTreeMap<String, Vec<String>>,
    /// Alias without wildcards → module names.
    aliases: BTreeMap<String, Vec<String>>,
    /// What the kernel has without a module file.
    built_in: BTreeSet<String>,
}

impl Index {
    /// Reads the indexes in `directory`.
    ///
    /// # Errors
    /// When they are not there.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let mut index = Self::parse(&text("modules.dep")?, &text("modules.softdep")?, &text("modules.alias")?);
        index.built_in = text("modules.builtin")?.lines().map(module_name).collect();
        Ok(index)
    }

    fn parse(dep: &str, softdep: &str, alias: &str) -> Self {
        let mut index = Self::default();
        for (file, needed) in dep.lines().filter_map(|line| line.split_once(':')) {
            let name = module_name(file);
            index.needs.insert(name.clone(), needed.split_whitespace().map(module_name).collect());
            index.files.insert(name, file.to_owned());
        }
        for line in softdep.lines() {
            if let ["softdep", name, wishes @ ..] = line.split_whitespace().collect::<Vec<_>>().as_slice() {
                let before = wishes.iter().skip_while(|word| **word != "pre:").skip(1);
                let before = before.take_while(|word| **word != "post:").map(ToString::to_string);
                index.wishes.entry(underscores(name)).or_default().extend(before);
            }
        }
        for line in alias.lines() {
            if let ["alias", alias, module] = line.split_whitespace().collect::<Vec<_>>().as_slice() {
                index.aliases.entry((*alias).to_owned()).or_default().push(underscores(module));
            }
        }
        index
    }

    /// Refuses a name that is neither a module nor built in.
    ///
    /// # Errors
    /// The first such name.
    pub(crate) fn ensure_known(&self, names: &[String]) -> Result<()> {
        match names.iter().find(|name| !self.is_known(&underscores(name))) {
            Some(name) => bail!("this kernel has no module {name}"),
            None => Ok(()),
        }
    }

    fn has_filesystem(&self, kind: &str) -> bool {
        // Never modules.
        matches!(kind, "tmpfs" | "ramfs")
            || of_filesystem(kind).iter().filter(|name| !name.starts_with("nls_")).all(|name| self.is_known(name))
    }

    fn is_known(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.built_in.contains(name)
    }

    /// The files of `names` and of everything they need, in the order in which to load them.
    ///
    /// A name that is no module is taken to be built in.
    pub(crate) fn load_order(&self, names: &[&str]) -> Vec<&str> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.visit(&underscores(name), &mut seen, &mut order);
        }
        order
    }

    fn visit<'a>(&'a self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<&'a str>) {
        if !seen.insert(name.to_owned()) {
            return;
        }
        for wish in self.wishes.get(name).into_iter().flatten() {
            self.visit(&underscores(wish), seen, order);
            for module in self.aliases.get(wish).into_iter().flatten() {
                self.visit(module, seen, order);
            }
        }
        for needed in self.needs.get(name).into_iter().flatten().rev() {
            self.visit(needed, seen, order);
        }
        order.extend(self.files.get(name).map(String::as_str));
    }
}

/// The types of file systems that `kernel` has, of those that a guest can mount.
///
/// A kernel given as a file has no index of what is built in: it is taken to have all of them.
///
/// # Errors
/// When its indexes are not there.
pub fn file_systems(kernel: &Kernel) -> Result<Vec<&'static str>> {
    let Some(directory) = &kernel.modules else { return Ok(disks::kinds().collect()) };
    let index = Index::read(directory)?;
    Ok(disks::kinds().filter(|kind| index.has_filesystem(kind)).collect())
}

/// The contents of the module `name` and of all that it needs, in the order in which to load them; built-in ones have none.
///
/// # Errors
/// A kernel without modules, or without this one.
pub fn module_files(kernel: &Kernel, name: &str) -> Result<Vec<Vec<u8>>> {
    let directory = kernel.modules.as_ref().with_context(|| format!("{} has no modules", kernel.release))?;
    let index = Index::read(directory)?;
    index.ensure_known(&[name.to_owned()])?;
    index.load_order(&[name]).iter().map(|file| content(&directory.join(file))).collect()
}

/// The modules that a file system type needs, beside what `modules.dep` knows.
pub(crate) fn of_filesystem(kind: &str) -> Vec<&str> {
    match kind {
        // The default character sets are asked for at mount time.
        "vfat" | "msdos" => vec!["nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1", kind],
        "exfat" | "ntfs3" => vec!["nls_utf8", kind],
        "iso9660" => vec!["isofs"],
        // Both are mounted by ext4's driver.
        "ext2" | "ext3" => vec!["ext4"],
        // Client and server, for a mount over the loopback; ext4 is what is exported.
        "nfs" => vec!["ext4", "nfsd", "nfs", "nfsv4"],
        _ => vec![kind],
    }
}

/// The modules of every guest.
pub(crate) fn always() -> &'static [&'static str] {
    ALWAYS
}

/// The content of a module file, decompressed.
///
/// # Errors
/// When it cannot be read, or its decompressor is missing or fails.
pub(crate) fn content(path: &Path) -> Result<Vec<u8>> {
    let decompress = |program: &str, package: &str| {
        let program = process::require(program, package)?;
        process::output(std::process::Command::new(program).arg("-dc").arg(path))
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => fs::read(path).with_context(|| format!("reading {}", path.display())),
        Some("xz") => decompress("xz", "xz-utils"),
        Some("zst") => decompress("zstd", "zstd"),
        Some("gz") => decompress("gzip", "gzip"),
        _ => bail!("{} is no kernel module", path.display()),
    }
}

fn module_name(file: &str) -> String {
    let leaf = file.rsplit('/').next().unwrap_or(file);
    underscores(leaf.split(".ko").next().unwrap_or(leaf))
}

fn underscores(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/lib/libcrc32c.ko.xz:
kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/fs/btrfs/btrfs.ko.xz: kernel/lib/raid6/raid6_pq.ko.xz kernel/crypto/xor.ko.xz kernel/lib/libcrc32c.ko.xz
kernel/crypto/xor.ko.xz:
kernel/lib/raid6/raid6_pq.ko.xz: kernel/crypto/xor.ko.xz
kernel/crypto/crc32c_generic.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/fs/a.ko: kernel/fs/b.ko
kernel/fs/b.ko: kernel/fs/a.ko
";
    const SOFTDEP: &str = "# comment\nsoftdep libcrc32c pre: crc32c post: late\nsoftdep btrfs pre: crc32c pre: xor\n";
    const ALIAS: &str = "alias crc32c crc32c_generic\nalias crc32c crc32c-intel\nalias fs-xfs xfs\n";

    fn order(names: &[&str]) -> Vec<String> {
        let index = Index::parse(DEP, SOFTDEP, ALIAS);
        index.load_order(names).into_iter().map(module_name).collect()
    }

    #[test]
    fn what_a_module_needs_and_wishes_comes_before_it() {
        assert_eq!(order(&["xfs"]), ["crc32c_generic", "crc32c_intel", "libcrc32c", "xfs"]);
    }

    #[test]
    fn every_needed_module_precedes_its_user_and_none_comes_twice() {
        let order = order(&["btrfs", "xfs", "btrfs"]);
        let at = |name: &str| order.iter().position(|other| other == name).unwrap();
        assert!(at("xor") < at("raid6_pq") && at("raid6_pq") < at("btrfs") && at("libcrc32c") < at("btrfs"));
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
    }

    #[test]
    fn a_name_that_is_no_module_is_taken_to_be_built_in() {
        assert!(order(&["ext4", "tmpfs"]).is_empty());
    }

    #[test]
    fn a_module_that_was_asked_for_by_name_must_exist() {
        let mut index = Index::parse(DEP, SOFTDEP, ALIAS);
        index.built_in = BTreeSet::from(["ext4".to_owned()]);
        assert!(index.ensure_known(&["xfs".into(), "crc32c-intel".into(), "ext4".into()]).is_ok());
        let error = index.ensure_known(&["xfs".into(), "xsf".into()]).unwrap_err().to_string();
        assert!(error.ends_with("no module xsf"), "{error}");
    }

    #[test]
    fn a_circle_of_dependencies_ends() {
        assert_eq!(order(&["a"]), ["b", "a"]);
    }
}
