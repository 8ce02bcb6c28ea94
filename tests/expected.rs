//! What a report of a live audit must say of the faults that were committed under it, and what it says otherwise.
//!
//! It reads no report: the caller takes the violations out of it.

use std::collections::BTreeSet;

use crate::fault::{FAULTS, Fault, Release};

/// All functions of the faulty module that make calls begin like this.
const MODULE_PREFIX: &str = "vfs_faulty_";
/// What follows the fault's name where the call is made from an interrupt or an RCU callback of the fault's own.
const ELSEWHERE: &[&str] = &["_in_interrupt", "_in_callback"];

/// One violation of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Rule id.
    pub rule: String,
    /// Type of the file system.
    pub file_system: String,
    /// The kernel stack, innermost first, as `symbol+0xoffset [module]`.
    pub stack: Vec<String>,
}

/// How a report differs from what it must say: one sentence each, none when it is right.
///
/// Every fault committed must be reported as a violation of its rule on each of `file_systems`, found by the module's function
/// in the stack; no other rule may be reported for it, and nothing for any other call.
pub fn deviations(committed: &[&Fault], file_systems: &[&str], reported: &[Reported]) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut deviations = Vec::new();
    for violation in reported {
        let Some(function) = module_function(&violation.stack) else {
            deviations.push(format!("{}, on {}: reported without a fault", violation.rule, violation.file_system));
            continue;
        };
        let of_this_function = |fault: &&&Fault| fault.function() == function;
        match committed.iter().find(of_this_function) {
            Some(fault) if fault.rule == violation.rule => {
                found.insert((fault.name, violation.file_system.as_str()));
            }
            _ => deviations.push(format!("{function}, on {}: reported as {}", violation.file_system, violation.rule)),
        }
    }
    for fault in committed {
        for file_system in file_systems {
            if !found.contains(&(fault.name, *file_system)) {
                deviations.push(format!("{}, on {file_system}: not reported as {}", fault.name, fault.rule));
            }
        }
    }
    deviations
}

/// The faults that leave the kernel log clean on a file system, all on the module's own (`vfs_faulty_fs`) left out.
pub fn quiet_on(file_system: &str) -> Vec<&'static Fault> {
    let is_meant = |fault: &&Fault| !fault.is_warned_of_on(file_system) && !fault.scene.is_on_pseudo_fs();
    FAULTS.iter().filter(is_meant).collect()
}

/// The faults on the module's own file system that a release has and that can be seen.
pub fn on_pseudo_fs(release: Release) -> Vec<&'static Fault> {
    let is_meant = |fault: &&Fault| fault.scene.is_on_pseudo_fs() && fault.is_of(release) && fault.unseen.is_none();
    FAULTS.iter().filter(is_meant).collect()
}

/// Whether the call was made by a function of the faulty module that works on its own file system, whatever the report calls
/// that: a disk, a folio without mapping, or an op without arguments belongs to none.
pub fn is_made_on_pseudo_fs(stack: &[String]) -> bool {
    let function = module_function(stack);
    FAULTS.iter().any(|fault| fault.scene.is_on_pseudo_fs() && function == Some(fault.function().as_str()))
}

/// The innermost function of the faulty module that makes calls, without offset.
pub fn module_function(stack: &[String]) -> Option<&str> {
    let symbols = stack.iter().map(|frame| frame.split('+').next().unwrap_or(frame));
    let symbol = symbols.into_iter().find(|symbol| symbol.starts_with(MODULE_PREFIX))?;
    ELSEWHERE.iter().find_map(|suffix| symbol.strip_suffix(suffix)).or(Some(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::find;

    fn violation(rule: &str, function: &str) -> Reported {
        let frames = ["ext4_create+0x0", function, "trigger_write+0x167 [vfs_faulty]", "vfs_write+0xf9"];
        let stack = frames.map(str::to_owned).to_vec();
        Reported { rule: rule.to_owned(), file_system: "ext4".to_owned(), stack }
    }

    fn of(names: &[&str], reported: &[Reported]) -> Vec<String> {
        let committed: Vec<_> = names.iter().map(|name| find(name).unwrap()).collect();
        deviations(&committed, &["ext4"], reported)
    }

    #[test]
    fn each_fault_reported_as_its_rule_is_right() {
        let reported = [
            violation("inode_operations.create", "vfs_faulty_create_no_lock+0x9d [vfs_faulty]"),
            violation("inode_operations.rename.mutex", "vfs_faulty_rename_no_mutex+0x1d3 [vfs_faulty]"),
        ];
        assert_eq!(of(&["create-no-lock", "rename-no-mutex"], &reported), [""; 0]);
    }

    #[test]
    fn a_fault_that_is_not_reported_is_named() {
        let expected = ["create-no-lock, on ext4: not reported as inode_operations.create"];
        assert_eq!(of(&["create-no-lock"], &[]), expected);
    }

    #[test]
    fn another_rule_than_its_own_is_named_even_beside_the_right_one() {
        let reported = ["inode_operations.create", "inode_operations.mkdir"]
            .map(|rule| violation(rule, "vfs_faulty_create_no_lock+0x9d [vfs_faulty]"));
        let expected = ["vfs_faulty_create_no_lock, on ext4: reported as inode_operations.mkdir"];
        assert_eq!(of(&["create-no-lock"], &reported), expected);
    }

    #[test]
    fn a_correct_call_must_not_be_reported() {
        let reported = [violation("inode_operations.create", "vfs_faulty_create_correctly+0x9d [vfs_faulty]")];
        let expected = ["vfs_faulty_create_correctly, on ext4: reported as inode_operations.create"];
        assert_eq!(of(&[], &reported), expected);
        let expected = ["inode_operations.create, on ext4: reported without a fault"];
        assert_eq!(of(&[], &[violation("inode_operations.create", "vfs_create+0x1c2")]), expected);
    }

    #[test]
    fn faults_that_the_kernel_warns_of_are_not_quiet() {
        let names = |faults: Vec<&Fault>| faults.iter().map(|fault| fault.name).collect::<Vec<_>>();
        assert!(!names(quiet_on("ext4")).contains(&"rmdir-no-victim-lock"));
        assert!(names(quiet_on("xfs")).contains(&"rmdir-no-victim-lock"));
        assert!(!names(quiet_on("btrfs")).contains(&"iterate-shared-no-lock"));
    }

    #[test]
    fn the_modules_own_file_system_has_what_the_release_has() {
        let names = |release| on_pseudo_fs(release).iter().map(|fault| fault.name).collect::<Vec<_>>();
        assert!(names((6, 12)).contains(&"permission-sleep") && names((6, 12)).contains(&"writepage-no-io"));
        assert!(!names((7, 3)).contains(&"writepage-no-io") && names((7, 3)).contains(&"lm-open-conflict-no-lock"));
    }

    #[test]
    fn a_call_from_an_interrupt_is_the_faults_own() {
        let stack = ["end_buffer_read_sync+0x0", "vfs_faulty_b_end_io_unlocked_in_interrupt+0x1c [vfs_faulty]"];
        let stack = stack.map(str::to_owned);
        assert_eq!(module_function(&stack), Some("vfs_faulty_b_end_io_unlocked"));
        assert!(is_made_on_pseudo_fs(&stack));
        assert!(!is_made_on_pseudo_fs(&["vfs_faulty_create_no_lock+0x9d".to_owned()]));
    }
}
