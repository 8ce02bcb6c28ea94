//! Live cases on the kernel that has lockdep, where it is at hand: what the tool calls certain, lockdep must say too.

use anyhow::{Result, ensure};

use crate::oracle::{self, Oracle};
use crate::test::audits;
use crate::test::cases::{Case, Evidence, Ready};

/// Few file systems and rounds: `cargo xtask oracle` is the long form.
const LOAD: &str = "-- sh -c 'for fs in ext4 tmpfs; do vfs-workload $fs /mnt/$fs || exit 97; \
    vfs-workload churn /mnt/$fs --rounds 20 || exit 98; done'";
/// Invocations at least: much less is a load that did not run.
const INVOCATIONS_MIN: u64 = 10_000;

/// A kernel without lockdep must be told from one with it.
const REFUSED: &str = "vfs-audit run --oracle --for 1s 2> /out/no-lockdep; echo no-lockdep $?";

/// All of them.
pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new("lockdep agrees with all that the audit calls certain", &[&oracle::command(LOAD)])
            .on(&[crate::kernels::LOCKDEP])
            .with_only(&["ext4", "tmpfs"])
            .with(|_| audits::workload().map(|file| Ready::Files(vec![file])))
            .within(600)
            .checked(lockdep_agrees),
        Case::new("a kernel without lockdep is said to have none", &[REFUSED])
            .on(&["6.12"])
            .with_only(&["ext4"])
            .checked(|evidence| audits::is_told(evidence, "no-lockdep", "CONFIG_PROVE_LOCKING")),
    ]
}

fn lockdep_agrees(evidence: &Evidence<'_>) -> Result<()> {
    let oracle = Oracle::of(&evidence.json("oracle.json")?)?;
    ensure!(oracle.is_borne_out(INVOCATIONS_MIN), "{}", oracle.table());
    Ok(())
}
