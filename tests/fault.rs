//! The faults of the faulty kernel module, as data: name, the rule that it breaks, how to set the stage, what to expect.
//!
//! The module's trigger file lists the same names and rules; the workload compares the two before it commits one.

pub use crate::faults::FAULTS;

/// Where the module listens.
pub const TRIGGER: &str = "/sys/kernel/debug/vfs_faulty/trigger";

/// One deviation from the documented locking, committed on request by the kernel module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name, as the trigger file takes it.
    pub name: &'static str,
    /// The one rule that it breaks.
    pub rule: &'static str,
    /// What must exist before, and what must be true after.
    pub scene: Scene,
    /// File systems on which the kernel itself warns of this fault, with the function that warns.
    pub warns_on: &'static [(&'static str, &'static str)],
    /// First release with the rule and the op.
    pub since: Release,
    /// Last release with the rule and the op.
    pub until: Release,
    /// Whether it sleeps with a spinlock of the whole kernel held: others that want it spin then, and it never wakes up.
    pub wants_to_be_alone: bool,
    /// Why a tracer cannot see it, where that is so by nature.
    pub unseen: Option<&'static str>,
}

/// Major and minor number of a kernel release.
pub type Release = (u32, u32);

/// Major and minor number of what `uname -r` says.
pub fn release_of(name: &str) -> Option<Release> {
    let mut numbers = name.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl Fault {
    /// The module's function that makes the call: the callback's caller.
    pub fn function(&self) -> String {
        format!("vfs_faulty_{}", self.name.replace('-', "_"))
    }

    /// Whether that release has the rule and the op.
    pub fn is_of(&self, release: Release) -> bool {
        self.since <= release && release <= self.until
    }

    /// Whether the kernel itself warns of this fault on that file system.
    pub fn is_warned_of_on(&self, file_system: &str) -> bool {
        self.warns_on.iter().any(|(on, _)| *on == file_system)
    }
}

/// What a fault works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A new file.
    Create,
    /// A new directory.
    Mkdir,
    /// A new fifo.
    Mknod,
    /// A new symbolic link.
    Symlink,
    /// A second name for a file.
    Link,
    /// One of a file's two names goes: the last one would put the inode on ext4's orphan list.
    Unlink,
    /// An empty directory goes.
    Rmdir,
    /// A name that does not exist is looked up.
    Lookup,
    /// A file gets another name in its directory.
    RenameFile,
    /// A file goes to another directory.
    RenameAcross,
    /// A directory replaces an empty one beside it.
    RenameOver,
    /// A file replaces one beside it, which has another name left.
    RenameOverFile,
    /// A directory goes to another directory.
    MoveDirectory,
    /// A file's mode changes.
    Setattr,
    /// A file's no-dump flag changes.
    FileattrSet,
    /// A file's flags are read.
    FileattrGet,
    /// A file of the module's own file system is checked for permission.
    Permission,
    /// The attributes of a file of the module's own file system are read.
    Getattr,
    /// A file of the module's own file system, which does not exist, is opened.
    AtomicOpen,
    /// A file of the module's own file system is opened and so created.
    AtomicCreate,
    /// A directory is read.
    Iterate,
    /// A file gets an extended attribute.
    XattrSet,
    /// A file of the module's own file system.
    Own,
    /// A file of the module's own file system that this process has mapped.
    OwnMapped,
    /// A file of the module's own file system on which this process holds a lock.
    OwnLocked,
}

impl Scene {
    /// The name that the call is about does not exist before.
    pub fn adds_a_name(self) -> bool {
        use Scene::{AtomicCreate, AtomicOpen, Create, Lookup, Mkdir, Mknod, Symlink};
        matches!(self, Create | Mkdir | Mknod | Symlink | Lookup | AtomicOpen | AtomicCreate)
    }

    /// The name that the call is about is a directory before.
    pub fn is_about_a_directory(self) -> bool {
        matches!(self, Self::Rmdir | Self::RenameOver | Self::MoveDirectory | Self::Iterate)
    }

    /// The call is about a second name, too.
    pub fn has_second_name(self) -> bool {
        use Scene::{Link, RenameFile, RenameOver, RenameOverFile};
        self.moves_across() || matches!(self, Link | RenameFile | RenameOver | RenameOverFile)
    }

    /// The second name is in another directory.
    pub fn moves_across(self) -> bool {
        matches!(self, Self::RenameAcross | Self::MoveDirectory)
    }

    /// The scene needs the file system that the module brings with it.
    pub fn is_on_pseudo_fs(self) -> bool {
        use Scene::{AtomicCreate, AtomicOpen, Getattr, Own, OwnLocked, OwnMapped, Permission};
        matches!(self, Permission | Getattr | AtomicOpen | AtomicCreate | Own | OwnMapped | OwnLocked)
    }
}

/// The fault of that name.
pub fn find(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

/// Names and rules from what the trigger file says when read, one `NAME RULE` a line.
///
/// # Errors
/// A line that is not of that form, as it stands there.
pub fn parse_list(text: &str) -> Result<Vec<(&str, &str)>, String> {
    text.lines().map(|line| line.split_once(' ').ok_or_else(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_lists_what_parse_list_reads() {
        let list = "create-no-lock inode_operations.create\nrename-no-mutex inode_operations.rename.mutex\n";
        let parsed = parse_list(list).unwrap();
        assert_eq!(parsed[1], ("rename-no-mutex", "inode_operations.rename.mutex"));
        assert_eq!(parse_list("nonsense\n"), Err("nonsense".to_owned()));
    }

    /// In the order in which the module lists their faults.
    const SOURCES: &[&str] = &[
        "children",
        "rename",
        "attributes",
        "pseudo_fs",
        "directory",
        "xattr",
        "own_dentry",
        "own_super",
        "own_type",
        "own_pages",
        "own_writeback",
        "own_readahead",
        "own_vm",
        "own_file",
        "own_locks",
        "own_disk",
        "own_quota",
        "own_buffer",
    ];

    /// The module's source is the other copy of names and rules; the live test compares with its trigger file.
    #[test]
    fn names_and_rules_are_those_of_the_modules_source() {
        let in_source: Vec<(String, String)> = SOURCES
            .iter()
            .flat_map(|file| {
                let path = format!("{}/faulty/{file}.c", env!("CARGO_MANIFEST_DIR"));
                declared(&std::fs::read_to_string(path).unwrap())
            })
            .collect();
        let here: Vec<_> = FAULTS.iter().map(|fault| (fault.name.to_owned(), fault.rule.to_owned())).collect();
        assert_eq!(here, in_source);
    }

    /// `FAULT(op, some_fault, "op.aspect", …)` of a source file, in its order, below the operations table last named there.
    fn declared(source: &str) -> Vec<(String, String)> {
        let mut table = "";
        let mut faults = Vec::new();
        for line in source.lines() {
            if let Some(name) = line.strip_prefix("#define TABLE ") {
                table = name.trim_matches('"');
            } else if let Some(arguments) = line.trim().strip_prefix("FAULT(") {
                let mut arguments = arguments.split(", ").skip(1);
                let name = arguments.next().unwrap().replace('_', "-");
                let rule = arguments.next().unwrap().trim_end_matches(')').trim_matches('"');
                faults.push((name, format!("{table}.{rule}")));
            }
        }
        faults
    }

    #[test]
    fn releases_are_read_and_compared_by_number() {
        assert_eq!(release_of("6.12.117+deb12-cloud-amd64"), Some((6, 12)));
        assert_eq!(release_of("nonsense"), None);
        let fault = find("map-pages-outside-rcu").unwrap();
        assert!(!fault.is_of((6, 1)) && fault.is_of((6, 6)) && fault.is_of((6, 12)) && fault.is_of((7, 3)));
        let fault = find("writepage-no-io").unwrap();
        assert!(fault.is_of((6, 12)) && !fault.is_of((6, 18)));
    }

    #[test]
    fn every_name_is_unique() {
        let mut names: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
    }
}
