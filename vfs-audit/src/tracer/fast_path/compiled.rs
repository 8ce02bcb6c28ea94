//! The usual plans of a run, in one or two programs.

use std::os::fd::OwnedFd;

use vfs_audit_common::{HookPlan, WATCH_EXIT};

use super::FastPath;

/// The usual plans, compiled.
pub(in super::super) struct Compiled {
    /// For entries.
    pub(in super::super) entry: FastPath,
    /// For callbacks that are watched to their exit, or why the kernel wants a probe each for entry and exit.
    pub(in super::super) both: Result<FastPath, String>,
}

impl Compiled {
    /// In words, for `doctor`.
    pub(in super::super) fn describe(&self) -> String {
        let plans = self.entry.len() + self.both.as_ref().map_or(0, FastPath::len);
        match &self.both {
            Ok(_) => format!("{plans} plans are compiled; entry and exit share a probe (kprobe.session)"),
            Err(why) => format!("{plans} plans are compiled; exits have probes of their own: {why}"),
        }
    }

    /// Of two programs the one for `plan`.
    fn of(&self, plan: &HookPlan) -> &FastPath {
        match &self.both {
            Ok(both) if plan.watched & WATCH_EXIT != 0 => both,
            _ => &self.entry,
        }
    }

    /// The number of the code for `plan`, see [`FastPath::code_of`].
    pub(in super::super) fn code_of(&self, plan: &HookPlan) -> u32 {
        self.of(plan).code_of(plan)
    }

    /// What the kernel calls.
    pub(in super::super) fn programs(&self) -> impl Iterator<Item = &OwnedFd> {
        [Some(&self.entry), self.both.as_ref().ok()].into_iter().flatten().map(|fast| &fast.program)
    }
}
