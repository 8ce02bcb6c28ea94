//! The self-test at the start of a run: calls of its own, which the probes must see.

use std::os::fd::{AsRawFd as _, OwnedFd};

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use vfs_audit_common::{CONTEXT_UNKNOWN, COUNTED_PLACES, ContextBase, Control, CountedPlace, ObservationKey};

use super::{
    programs::Counting,
    session::{Session, TracerError, map, map_mut},
    sys,
};

/// How often the self-test walks its paths, which is also how many direct calls it takes for a verdict on a function.
const SELF_TEST_WALKS: u64 = 16;
/// Paths that exist on every host, and one that does not: permission checks, look-ups, attributes on several file systems.
const SELF_TEST_PATHS: [&str; 3] = ["/proc/self/status", "/sys/kernel/btf", "/proc/self/vfs-audit-self-test"];

impl Session {
    /// Walks some paths of its own and looks at what the probes saw of it: a run whose probes do not fire is none.
    ///
    /// A shared function that these walks reach directly (`generic_permission` is called by name where a file system has no
    /// `permission`) would be called so at every step of everybody's walks: its probe is taken off at once.
    ///
    /// The same calls tell what probing itself adds to the preemption count and to the depth of RCU read sides: the least
    /// that is seen, since most of them are made where neither is raised.
    ///
    /// # Errors
    /// When callbacks are hooked and not one was seen.
    pub(super) fn prove_probes(&mut self, control: Control) -> Result<Control, TracerError> {
        let own = u64::from(std::process::id());
        let (per_cpu_offsets, preempt_count) = self.preemption_count;
        let mut control = Control { per_cpu_offsets, preempt_count, preempt_base: CONTEXT_UNKNOWN, ..control };
        let mut least: Array<&mut MapData, ContextBase> = Array::try_from(map_mut(&mut self.object.ebpf, "CONTEXT")?)?;
        least.set(0, ContextBase { preempt: CONTEXT_UNKNOWN, unadjusted: CONTEXT_UNKNOWN, rcu: CONTEXT_UNKNOWN }, 0)?;
        // The runs of programs are counted for CAP_SYS_ADMIN only.
        let counting = Counting::begin();
        self.set_control(Control { tgid: own, own_tgid: 0, ..control })?;
        for _ in 0..SELF_TEST_WALKS {
            for path in SELF_TEST_PATHS {
                // Only the walk matters; that some of these paths do not exist is part of it.
                let _ = std::fs::symlink_metadata(path);
            }
            sys::change_memory_file();
        }
        self.set_control(Control { enabled: 0, ..control })?;
        self.silent = counting.is_ok().then(|| self.silent_primitives());
        let least: Array<&MapData, ContextBase> = Array::try_from(map(&self.object.ebpf, "CONTEXT")?)?;
        let ContextBase { preempt, unadjusted, rcu } = least.get(&0, 0)?;
        self.context_known = per_cpu_offsets != 0 && preempt != CONTEXT_UNKNOWN;
        (control.preempt_base, control.rcu_base) = (preempt, rcu);
        control.preempt_unadjusted = unadjusted;
        control.flags_saved = self.sees_interrupts().into();
        self.self_test = self.forget_observations()?;
        self.take_off_direct_from(SELF_TEST_WALKS)?;
        Ok(control)
    }

    /// Of the lock primitives that the self-test has called, those whose program has not run.
    fn silent_primitives(&self) -> Vec<&'static str> {
        let attached = self.lock_hooks.iter().filter(|hook| matches!(hook.state, Some(Ok(()))));
        let has_run =
            |[program, _]: &[OwnedFd; 2]| sys::program_info(program.as_raw_fd()).is_ok_and(|info| info.runs > 0);
        let runs = attached.zip(&self.lock_links).map(|(hook, link)| (hook.primitive.function, has_run(link)));
        silent(&runs.collect::<Vec<_>>())
    }

    /// Removes what was observed so far; returns how many invocations it was.
    fn forget_observations(&mut self) -> Result<u64, TracerError> {
        self.drain();
        self.events.clear();
        let mut seen = 0;
        let mut counts: HashMap<&mut MapData, ObservationKey, u64> =
            HashMap::try_from(map_mut(&mut self.object.ebpf, "COUNTS")?)?;
        let keys: Vec<ObservationKey> = counts.keys().filter_map(Result::ok).collect();
        for key in &keys {
            seen += counts.get(key, 0).unwrap_or(0);
            counts.remove(key)?;
        }
        let mut counted: PerCpuArray<&mut MapData, CountedPlace> =
            PerCpuArray::try_from(map_mut(&mut self.object.ebpf, "COUNTED")?)?;
        for place in 0..COUNTED_PLACES as u32 {
            let of_cpus = counted.get(&place, 0)?;
            let count: u64 = of_cpus.iter().flatten().map(|entry| entry.count).sum();
            if of_cpus.iter().flatten().any(|entry| entry.state != 0) {
                seen += count;
                let free = vec![CountedPlace::default(); of_cpus.len()];
                counted.set(place, PerCpuValues::try_from(free).map_err(MapError::from)?, 0)?;
            }
        }
        Ok(seen)
    }

    /// Whether the self-test calls something that is hooked: of what it walks through, /proc has callbacks of its own.
    pub fn is_reached_by_self_test(&self) -> bool {
        let is_walked = |number: &usize| {
            let plan = &self.plans.ops[*number];
            plan.table == "inode_operations" && ["permission", "getattr"].contains(&plan.op.as_str())
        };
        let is_hooked = |number: usize| self.fates.get(number).is_some_and(|fate| fate.attached.is_ok());
        let mut hooks = self.hooks.hooks.iter().enumerate();
        hooks.any(|(number, hook)| {
            is_hooked(number) && hook.fs.contains("proc") && !hook.is_shared() && hook.plans.iter().any(is_walked)
        })
    }
}

/// Of the primitives that the self-test is sure to call, one at least of each group, the groups of which none has been seen:
/// their first. `runs`: the attached ones, each with whether its probe has fired.
fn silent(runs: &[(&'static str, bool)]) -> Vec<&'static str> {
    /// A directory is locked for a name that is not there, and a file to be changed; since 6.17 mostly so that a signal ends it.
    const SURE: [&[&str]; 3] =
        [&["down_read", "down_read_killable"], &["up_read"], &["down_write", "down_write_killable"]];
    let is_silent = |group: &&[&'static str]| {
        let mut attached = runs.iter().filter(|(function, _)| group.contains(function)).peekable();
        attached.peek().is_some() && !attached.any(|(_, has_run)| *has_run)
    };
    SURE.into_iter().filter(is_silent).map(|group| group[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primitive_that_was_called_and_not_seen_is_named() {
        let runs = [("down_read", true), ("up_read", false), ("down_write", false), ("down_write_killable", true)];
        assert_eq!(silent(&runs), ["up_read"]);
        assert_eq!(silent(&[("down_write", false), ("down_write_killable", false)]), ["down_write"]);
        assert_eq!(silent(&[("mutex_lock", false)]), [""; 0], "what is not attached says nothing");
    }
}
