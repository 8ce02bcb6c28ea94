//! The faults of the faulty kernel module, as data: name, the rule that it breaks, how to set the stage, what to expect.
//!
//! The module's trigger file lists the same names and rules; the workload compares the two before it commits one.

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
}

impl Fault {
    /// The module's function that makes the call: the callback's caller.
    pub fn function(&self) -> String {
        format!("vfs_faulty_{}", self.name.replace('-', "_"))
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
}

impl Scene {
    /// The name that the call is about does not exist before.
    pub fn adds_a_name(self) -> bool {
        use Scene::{AtomicCreate, AtomicOpen, Create, Lookup, Mkdir, Mknod, Symlink};
        matches!(self, Create | Mkdir | Mknod | Symlink | Lookup | AtomicOpen | AtomicCreate)
    }

    /// The name that the call is about is a directory before.
    pub fn is_about_a_directory(self) -> bool {
        matches!(self, Self::Rmdir | Self::RenameOver | Self::MoveDirectory)
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
        matches!(self, Self::Permission | Self::Getattr | Self::AtomicOpen | Self::AtomicCreate)
    }
}

/// ext4 checks the lock of an inode that loses its last name.
const EXT4_ORPHAN: &[(&str, &str)] = &[("ext4", "ext4_orphan_add")];
/// overlayfs checks the directory's lock when it notes that the directory changed.
const OVERLAY_DIR: &[(&str, &str)] = &[("overlay", "ovl_dir_modified")];

const fn fault(name: &'static str, rule: &'static str, scene: Scene) -> Fault {
    Fault { name, rule, scene, warns_on: &[] }
}

const fn warned(warns_on: &'static [(&'static str, &'static str)], fault: Fault) -> Fault {
    Fault { warns_on, ..fault }
}

/// All faults, in the order of the module's list.
pub const FAULTS: &[Fault] = &[
    warned(OVERLAY_DIR, fault("create-no-lock", "inode_operations.create", Scene::Create)),
    fault("create-shared", "inode_operations.create", Scene::Create),
    warned(OVERLAY_DIR, fault("create-wrong-inode", "inode_operations.create", Scene::Create)),
    fault("create-held-by-other", "inode_operations.create", Scene::Create),
    fault("create-shared-by-other", "inode_operations.create", Scene::Create),
    warned(OVERLAY_DIR, fault("mkdir-no-lock", "inode_operations.mkdir", Scene::Mkdir)),
    fault("mkdir-shared", "inode_operations.mkdir", Scene::Mkdir),
    warned(OVERLAY_DIR, fault("mknod-no-lock", "inode_operations.mknod", Scene::Mknod)),
    fault("mknod-shared", "inode_operations.mknod", Scene::Mknod),
    warned(OVERLAY_DIR, fault("symlink-no-lock", "inode_operations.symlink", Scene::Symlink)),
    fault("symlink-shared", "inode_operations.symlink", Scene::Symlink),
    warned(OVERLAY_DIR, fault("link-no-lock", "inode_operations.link", Scene::Link)),
    fault("link-shared", "inode_operations.link", Scene::Link),
    fault("link-no-source-lock", "inode_operations.link.source", Scene::Link),
    fault("link-source-shared", "inode_operations.link.source", Scene::Link),
    warned(OVERLAY_DIR, fault("unlink-no-lock", "inode_operations.unlink", Scene::Unlink)),
    fault("unlink-shared", "inode_operations.unlink", Scene::Unlink),
    fault("unlink-no-victim-lock", "inode_operations.unlink.victim", Scene::Unlink),
    fault("unlink-victim-shared", "inode_operations.unlink.victim", Scene::Unlink),
    fault("unlink-victim-held-by-other", "inode_operations.unlink.victim", Scene::Unlink),
    warned(OVERLAY_DIR, fault("rmdir-no-lock", "inode_operations.rmdir", Scene::Rmdir)),
    fault("rmdir-shared", "inode_operations.rmdir", Scene::Rmdir),
    warned(EXT4_ORPHAN, fault("rmdir-no-victim-lock", "inode_operations.rmdir.victim", Scene::Rmdir)),
    fault("rmdir-victim-shared", "inode_operations.rmdir.victim", Scene::Rmdir),
    fault("rmdir-victim-held-by-other", "inode_operations.rmdir.victim", Scene::Rmdir),
    fault("lookup-no-lock", "inode_operations.lookup", Scene::Lookup),
    fault("lookup-wrong-inode", "inode_operations.lookup", Scene::Lookup),
    fault("lookup-shared-by-other", "inode_operations.lookup", Scene::Lookup),
    warned(OVERLAY_DIR, fault("rename-no-lock", "inode_operations.rename", Scene::RenameFile)),
    fault("rename-shared", "inode_operations.rename", Scene::RenameFile),
    warned(OVERLAY_DIR, fault("rename-no-source-parent-lock", "inode_operations.rename", Scene::RenameAcross)),
    warned(OVERLAY_DIR, fault("rename-no-target-parent-lock", "inode_operations.rename", Scene::RenameAcross)),
    warned(EXT4_ORPHAN, fault("rename-no-victim-lock", "inode_operations.rename.victim", Scene::RenameOver)),
    fault("rename-victim-shared", "inode_operations.rename.victim", Scene::RenameOver),
    fault("rename-no-source-lock", "inode_operations.rename.nondirectories", Scene::RenameFile),
    fault("rename-source-shared", "inode_operations.rename.nondirectories", Scene::RenameFile),
    fault("rename-no-target-lock", "inode_operations.rename.nondirectories", Scene::RenameOverFile),
    fault("rename-target-shared", "inode_operations.rename.nondirectories", Scene::RenameOverFile),
    fault("rename-no-mutex", "inode_operations.rename.mutex", Scene::RenameAcross),
    fault("rename-mutex-held-by-other", "inode_operations.rename.mutex", Scene::RenameAcross),
    fault("rename-no-subdir-lock", "inode_operations.rename.subdirectories", Scene::MoveDirectory),
    fault("rename-subdir-shared", "inode_operations.rename.subdirectories", Scene::MoveDirectory),
    fault("setattr-no-lock", "inode_operations.setattr", Scene::Setattr),
    fault("setattr-shared", "inode_operations.setattr", Scene::Setattr),
    fault("setattr-wrong-inode", "inode_operations.setattr", Scene::Setattr),
    fault("setattr-held-by-other", "inode_operations.setattr", Scene::Setattr),
    fault("fileattr-set-no-lock", "inode_operations.fileattr_set", Scene::FileattrSet),
    fault("fileattr-set-shared", "inode_operations.fileattr_set", Scene::FileattrSet),
    fault("fileattr-get-shared", "inode_operations.fileattr_get", Scene::FileattrGet),
    fault("permission-sleep", "inode_operations.permission.rcu_walk", Scene::Permission),
    fault("getattr-preemption-off", "inode_operations.getattr.may_block", Scene::Getattr),
    fault("getattr-interrupts-off", "inode_operations.getattr.may_block", Scene::Getattr),
    fault("atomic-open-no-lock", "inode_operations.atomic_open", Scene::AtomicOpen),
    fault("atomic-open-shared-creat", "inode_operations.atomic_open.create", Scene::AtomicCreate),
];

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

    /// The module's source is the other copy of names and rules; the live test compares with its trigger file.
    #[test]
    fn names_and_rules_are_those_of_the_modules_source() {
        let sources = ["children.c", "rename.c", "attributes.c", "pseudo_fs.c"].map(|file| {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/faulty/").to_owned() + file;
            std::fs::read_to_string(&path).unwrap()
        });
        let in_source: Vec<(String, String)> = sources.iter().flat_map(|source| declared(source)).collect();
        let here: Vec<_> = FAULTS.iter().map(|fault| (fault.name.to_owned(), fault.rule.to_owned())).collect();
        assert_eq!(here, in_source);
    }

    /// `FAULT(op, some_fault, "op.aspect", …)` of a source file, in its order.
    fn declared(source: &str) -> Vec<(String, String)> {
        let uses = source.lines().filter_map(|line| line.trim().strip_prefix("FAULT("));
        uses.map(|arguments| {
            let mut arguments = arguments.split(", ").skip(1);
            let name = arguments.next().unwrap().replace('_', "-");
            let rule = arguments.next().unwrap().trim_end_matches(')').trim_matches('"');
            (name, format!("inode_operations.{rule}"))
        })
        .collect()
    }

    #[test]
    fn every_name_is_unique() {
        let mut names: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
    }
}
