//! stress-ng's command line, and what its log says of the stressors.

use std::collections::{BTreeMap, BTreeSet};

/// Stressors of the class that are left out, each with the reason.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[("binderfs", "Debian's kernels have no binderfs")];

/// The class `filesystem`, as `stress-ng --class filesystem?` lists it.
pub(crate) const CLASS: &[&str] = &[
    "access",
    "bind-mount",
    "binderfs",
    "chattr",
    "chdir",
    "chmod",
    "chown",
    "copy-file",
    "dentry",
    "dir",
    "dirdeep",
    "dirmany",
    "dnotify",
    "dup",
    "eventfd",
    "fallocate",
    "fanotify",
    "fcntl",
    "fiemap",
    "file-ioctl",
    "filename",
    "flock",
    "fpunch",
    "fsize",
    "fstat",
    "getdent",
    "handle",
    "hdd",
    "inode-flags",
    "inotify",
    "io",
    "iomix",
    "ioprio",
    "lease",
    "link",
    "locka",
    "lockf",
    "lockofd",
    "mknod",
    "open",
    "procfs",
    "rename",
    "symlink",
    "sync-file",
    "touch",
    "utime",
    "verity",
    "xattr",
];

/// A part of the class that reaches most of what the whole reaches, for runs whose time is short: what is left out of it
/// works on the memory of its own task, or repeats another in other words.
pub(crate) const WIDE: &[&str] = &[
    "chmod",
    "chown",
    "copy-file",
    "dentry",
    "dir",
    "fallocate",
    "fiemap",
    "flock",
    "getdent",
    "handle",
    "hdd",
    "inode-flags",
    "iomix",
    "lease",
    "link",
    "lockf",
    "mknod",
    "open",
    "rename",
    "symlink",
    "sync-file",
    "utime",
    "xattr",
];

/// File systems, and stressors that each cannot carry, with the reason; stress-ng would end with a failure.
pub(crate) const CANNOT: &[(&[&str], &[&str], &str)] = &[
    (&["vfat", "exfat"], &["link", "symlink"], "no links"),
    (&["vfat", "exfat"], &["xattr"], "no extended attributes"),
    (&["vfat", "exfat", "nfs"], &["fiemap"], "no fiemap"),
    (&["nfs"], &["dentry"], "minutes to make and remove its names, each a message to the server"),
];

/// A load of stress-ng's on one file system under `/mnt`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    /// Its type.
    pub(crate) fs: &'a str,
    /// Stressors to run; all of the class but [`LEFT_OUT`] if there are none.
    pub(crate) only: &'a [String],
    /// Seconds for each.
    pub(crate) seconds: u32,
}

/// Sizes that fit the guests' drives; by default, some stressors write a gigabyte.
const SIZES: &[&str] = &[
    "--hdd-bytes",
    "16M",
    "--iomix-bytes",
    "16M",
    "--fallocate-bytes",
    "16M",
    "--copy-file-bytes",
    "128M",
    "--sync-file-bytes",
    "8M",
    "--chdir-dirs",
    "256",
    "--dentries",
    "256",
    "--dir-dirs",
    "256",
];

/// The shell's words for loads on all of `kinds` at the same time, each with a log in `/out`; they fail when one of them does.
pub(crate) fn at_once(kinds: &[&str], only: &[String], seconds: u32) -> String {
    let on = |kind: &&str| {
        let load = Load { fs: kind, only, seconds }.command().join(" ");
        format!("({load} > /out/{kind}.log 2>&1 || echo {kind} >> /out/failed) &")
    };
    let loads = kinds.iter().map(on).collect::<Vec<_>>().join(" ");
    format!("{loads} wait; test ! -e /out/failed")
}

/// The type of a file system's superblocks, as reports name it.
pub(crate) fn type_of_superblock(kind: &str) -> &str {
    if kind == "nfs" { "nfs4" } else { kind }
}

impl Load<'_> {
    /// The command with its arguments: two of each stressor at once, one kind after the other.
    pub(crate) fn command(&self) -> Vec<String> {
        let (seconds, directory) = (self.seconds.to_string(), format!("/mnt/{}", self.fs));
        let mut words =
            vec!["stress-ng", "--temp-path", &directory, "--timeout", &seconds, "--oomable", "--metrics-brief"];
        words.extend(SIZES);
        let excluded = CLASS.iter().filter(|name| !self.runs(name)).copied().collect::<Vec<_>>().join(",");
        words.extend(["--class", "filesystem", "--sequential", "2", "--exclude", &excluded]);
        words.into_iter().map(str::to_owned).collect()
    }

    fn runs(&self, name: &str) -> bool {
        let is_left_out = LEFT_OUT.iter().any(|(left_out, _)| *left_out == name);
        let is_wanted = if self.only.is_empty() { !is_left_out } else { self.only.iter().any(|only| only == name) };
        is_wanted && !lacking(self.fs).any(|(stressor, _)| stressor == name)
    }
}

/// Stressors that a file system cannot carry, with the reason.
pub(crate) fn lacking(fs: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_fs = CANNOT.iter().filter(move |(kinds, ..)| kinds.contains(&fs));
    of_fs.flat_map(|(_, stressors, why)| stressors.iter().map(move |stressor| (*stressor, *why)))
}

/// What became of the stressors, as stress-ng's log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stressors {
    /// Those that did something.
    pub(crate) ran: BTreeSet<String>,
    /// Those that came to nothing in their time.
    pub(crate) idle: BTreeSet<String>,
    /// Those that stress-ng gave up, with its reason.
    pub(crate) skipped: BTreeMap<String, String>,
    /// What stress-ng calls a failure.
    pub(crate) failures: Vec<String>,
}

impl Stressors {
    /// Reads a log with metrics: `stress-ng: metrc: [7] access  1550  1.01 ...`.
    pub(crate) fn read(log: &str) -> Self {
        let mut stressors = Self::default();
        for line in log.lines() {
            let Some((kind, text)) = line.strip_prefix("stress-ng: ").and_then(|line| line.split_once(']')) else {
                continue;
            };
            let text = text.trim();
            let name = text.split([' ', ':']).next().unwrap_or_default();
            if kind.starts_with("metrc") && CLASS.contains(&name) {
                match text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()) {
                    Some(0) => _ = stressors.idle.insert(name.to_owned()),
                    Some(_) => _ = stressors.ran.insert(name.to_owned()),
                    // A second line of figures, which are no whole numbers.
                    None => {}
                }
            } else if kind.starts_with("fail") {
                stressors.failures.push(text.to_owned());
            } else if CLASS.contains(&name) && text.contains("skip") {
                stressors.skipped.insert(name.to_owned(), text.to_owned());
            }
        }
        stressors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
stress-ng: info:  [77] dispatching hogs: 2 access, 2 verity
stress-ng: info:  [80] verity stressor will be skipped, no such ioctl
stress-ng: fail:  [81] rename: rename failed, errno=5 (Input/output error)
stress-ng: metrc: [77] stressor       bogo ops real time  usr time  sys time   bogo ops/s     bogo ops/s
stress-ng: metrc: [77] access             1550      1.01      0.05      0.39      1528.63        3495.68
stress-ng: metrc: [77] chdir                 0      3.36      0.04      0.89         0.60           2.16
stress-ng: metrc: [77] access           9295016.19 access calls per sec (geometic mean of 2 instances)
";

    #[test]
    fn the_log_says_which_ran_which_were_skipped_and_what_failed() {
        let stressors = Stressors::read(LOG);
        assert_eq!(stressors.ran, BTreeSet::from(["access".to_owned()]));
        assert_eq!(stressors.idle, BTreeSet::from(["chdir".to_owned()]));
        assert_eq!(stressors.skipped["verity"], "verity stressor will be skipped, no such ioctl");
        assert_eq!(stressors.failures, ["rename: rename failed, errno=5 (Input/output error)"]);
    }

    #[test]
    fn a_file_system_is_spared_what_it_cannot_carry() {
        let command = Load { fs: "vfat", only: &["link".into(), "dir".into()], seconds: 1 }.command();
        assert!(command.last().unwrap().split(',').any(|name| name == "link"), "{command:?}");
        for (kinds, stressors, why) in CANNOT {
            assert!(stressors.iter().all(|name| CLASS.contains(name)) && !kinds.is_empty() && !why.is_empty());
        }
    }

    #[test]
    fn a_chosen_stressor_runs_alone_and_one_that_is_left_out_does_not_run_by_itself() {
        let only = ["xattr".to_owned()];
        let excluded = |only| {
            let words = Load { fs: "xfs", only, seconds: 2 }.command();
            words.last().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(excluded(&only).len(), CLASS.len() - 1);
        assert!(!excluded(&only).contains(&"xattr".to_owned()));
        let left_out: Vec<_> = LEFT_OUT.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(excluded(&[]), left_out);
    }

    #[test]
    fn what_is_left_out_is_in_the_class_and_has_a_reason() {
        assert!(WIDE.iter().all(|name| CLASS.contains(name)));
        for (name, reason) in LEFT_OUT {
            assert!(CLASS.contains(name) && !reason.is_empty(), "{name}");
        }
    }
}
