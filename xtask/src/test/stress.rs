//! Live cases under stress-ng, a load that nobody here wrote: what it makes a stock kernel do breaks no rule.

use anyhow::{Result, ensure};

use crate::kernels;
use crate::stress::package;
use crate::stress::stressors::{Stressors, WIDE, at_once, type_of_superblock};
use crate::test::audits::{has_no_violation_but, is_healthy};
use crate::test::cases::{Case, Evidence, FILESYSTEMS, Ready};

/// Of the plain flavour, beside those that every kernel under test has.
const PLAIN_FILESYSTEMS: &[&str] = &["f2fs", "vfat", "exfat", "ntfs3", "nfs"];
/// What the kernel does otherwise than its document says, as its source shows (README.md names the functions).
const TRUE_DEVIATIONS: &[(&str, &str)] = &[
    ("address_space_operations.invalidate_folio.invalidate_lock", "vfat"),
    ("address_space_operations.invalidate_folio.invalidate_lock", "exfat"),
    ("address_space_operations.invalidate_folio.invalidate_lock", "ntfs3"),
    ("file_operations.fallocate.invalidate_lock", "nfs4"),
    ("file_operations.copy_file_range.invalidate_lock", "nfs4"),
];
/// Seconds for each stressor.
const SECONDS: u32 = 1;
/// Stressors that must have done something on each file system.
const RAN_MIN: usize = 12;

/// All of them.
pub(super) fn all() -> Vec<Case> {
    vec![
        // The others by `cargo xtask stress`, which takes the time.
        case("stress-ng breaks no rule", FILESYSTEMS).on(&["6.12"]),
        case("stress-ng breaks no rule on the file systems of the plain flavour", PLAIN_FILESYSTEMS)
            .on(&[kernels::PLAIN]),
    ]
}

/// How a system call on NFS may end when the stressor's own clock interrupts it.
const INTERRUPTED: &str = "errno=4 (Interrupted system call)";
/// How the removal of a stressor's own directory ends while another of its processes, just being killed, has a deleted file in it
/// open: NFS keeps such a file under another name (`nfs_sillyrename()`).
const SILLY_RENAMED: (&str, &str) = ("rmdir '/mnt/nfs/tmp-stress-ng-", "errno=39 (Directory not empty)");

fn case(name: &str, filesystems: &'static [&'static str]) -> Case {
    Case::new(name, &[&command(filesystems)])
        .with_only(filesystems)
        .with(|_| package::files().map(Ready::Files))
        .within(1500)
        .checked(move |evidence| is_clean(evidence, filesystems))
}

/// One audit, with stressors on every file system at the same time.
fn command(filesystems: &[&str]) -> String {
    let only: Vec<String> = WIDE.iter().map(ToString::to_string).collect();
    let loads = at_once(filesystems, &only, SECONDS);
    format!(
        "vfs-audit run --format json -o /out/report.json --also table:/out/report.txt -- \
         sh -c '{loads}'; true"
    )
}

/// Whether a stressor took for a failure what NFS does to everybody.
fn is_of_nfs(failure: &str) -> bool {
    let (removal, not_empty) = SILLY_RENAMED;
    failure.ends_with(INTERRUPTED) || (failure.contains(removal) && failure.ends_with(not_empty))
}

fn is_clean(evidence: &Evidence<'_>, filesystems: &[&str]) -> Result<()> {
    let report = evidence.json("report.json")?;
    has_no_violation_but(&report, TRUE_DEVIATIONS)?;
    is_healthy(&report)?;
    let mut has_failed_on_nfs = false;
    for kind in filesystems {
        let log = std::fs::read_to_string(evidence.out.join(format!("{kind}.log")))?;
        let stressors = Stressors::read(&log);
        let (of_nfs, failed): (Vec<&String>, Vec<&String>) =
            stressors.failures.iter().partition(|failure| *kind == "nfs" && is_of_nfs(failure));
        ensure!(failed.is_empty(), "a stressor failed on {kind}: {failed:?}");
        has_failed_on_nfs |= !of_nfs.is_empty();
        let ran = stressors.ran.len();
        ensure!(ran >= RAN_MIN, "only {ran} stressors ran on {kind}: {stressors:?}");
        let type_name = type_of_superblock(kind);
        let by_fs = report["invocations_by_fs"].as_object().into_iter().flatten();
        let ops = by_fs.filter(|(_, by_fs)| by_fs[type_name].as_u64().is_some_and(|count| count > 0)).count();
        ensure!(ops > 0, "nothing was audited on {kind}");
    }
    let code = &report["command"]["exit_code"];
    ensure!(*code == 0 || has_failed_on_nfs, "a stressor failed: the load ended with {code}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nfs_does_to_everybody_is_of_nfs() {
        assert!(is_of_nfs("chmod: fchmod failed, errno=4 (Interrupted system call)"));
        assert!(is_of_nfs("lease: rmdir '/mnt/nfs/tmp-stress-ng-lease-471-1' failed, errno=39 (Directory not empty)"));
        assert!(!is_of_nfs("dir: rmdir '/mnt/nfs/d' failed, errno=39 (Directory not empty)"));
        assert!(!is_of_nfs("lease: rmdir '/mnt/nfs/tmp-stress-ng-lease-471-1' failed, errno=5 (Input/output error)"));
    }
}
