//! What this process may do: the capabilities that an audit needs, and giving up all others once it runs.
//!
//! Root is not asked for: who has the capabilities can audit, whatever the user. The audited command keeps the caller's
//! rights: it is started before anything is given up, and what is given up here is this process's alone.

use std::io;

use anyhow::{Context as _, bail};

use super::Advice;

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities each.
const VERSION: u32 = 0x2008_0522;
/// Numbers beyond every kernel's last capability.
const NUMBERS_MAX: u32 = 64;

/// A capability: its number as in `linux/capability.h`, its name, what it is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capability {
    number: u32,
    name: &'static str,
    purpose: &'static str,
}

/// Ends the audited command, should it have changed its user.
pub(super) const KILL: Capability = Capability { number: 5, name: "CAP_KILL", purpose: "to end the audited command" };
/// Names modules' types to the kernel, which trampolines in modules need; stands in for the two below.
pub(super) const SYS_ADMIN: Capability =
    Capability { number: 21, name: "CAP_SYS_ADMIN", purpose: "to hook functions of modules by fentry" };
const SYSLOG: Capability = Capability { number: 34, name: "CAP_SYSLOG", purpose: "to read kernel symbols" };
const PERFMON: Capability = Capability { number: 38, name: "CAP_PERFMON", purpose: "to attach probes" };
const BPF: Capability = Capability { number: 39, name: "CAP_BPF", purpose: "to load eBPF programs" };

/// What every live audit needs, from its start to its end: hooks are added while it runs.
const NEEDED: [Capability; 3] = [BPF, PERFMON, SYSLOG];

impl Capability {
    fn bit(self) -> u64 {
        1 << self.number
    }

    /// The bits of those that do: itself, else the one that stands in for it.
    fn within(self, held: u64) -> u64 {
        let stand_in = if self == SYSLOG { 0 } else { SYS_ADMIN.bit() };
        [self.bit(), stand_in].into_iter().find(|bit| held & bit != 0).unwrap_or(0)
    }
}

/// The header of capget(2) and capset(2).
#[repr(C)]
struct Target {
    version: u32,
    pid: i32,
}

/// One half of each set.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capability sets of this thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    effective: u64,
    permitted: u64,
    inheritable: u64,
}

impl Rights {
    /// As they are now.
    fn now() -> io::Result<Self> {
        let target = Target { version: VERSION, pid: 0 };
        let mut halves = [Half::default(); 2];
        // SAFETY: both pointers are to structures of ours in the layout that this version of the call has.
        let result = unsafe { libc::syscall(libc::SYS_capget, &raw const target, halves.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let [low, high] = halves;
        let whole = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        Ok(Self {
            effective: whole(low.effective, high.effective),
            permitted: whole(low.permitted, high.permitted),
            inheritable: whole(low.inheritable, high.inheritable),
        })
    }

    fn apply(self) -> io::Result<()> {
        let target = Target { version: VERSION, pid: 0 };
        let half = |shift: u32| Half {
            effective: (self.effective >> shift) as u32,
            permitted: (self.permitted >> shift) as u32,
            inheritable: (self.inheritable >> shift) as u32,
        };
        let halves = [half(0), half(32)];
        // SAFETY: as for capget; the call reads both.
        let result = unsafe { libc::syscall(libc::SYS_capset, &raw const target, halves.as_ptr()) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Those needed that are not among the `held`.
fn missing(held: u64) -> Vec<Capability> {
    NEEDED.into_iter().filter(|needed| needed.within(held) == 0).collect()
}

/// Names the capabilities that an audit lacks; `Ok` when there are none, each with what it is needed for.
///
/// # Errors
/// The kernel does not say what this process may do.
pub(super) fn lacking() -> anyhow::Result<Vec<String>> {
    let rights = Rights::now().context("asking for this process's capabilities")?;
    let line = |capability: Capability| format!("{} {}", capability.name, capability.purpose);
    Ok(missing(rights.permitted).into_iter().map(line).collect())
}

/// What a live audit needs is there and in effect; said before anything else is tried.
///
/// # Errors
/// Names what is missing.
pub(super) fn require(what: &str) -> anyhow::Result<()> {
    let lacking = lacking()?;
    if !lacking.is_empty() {
        let hint = "run it as root (`sudo vfs-audit …`), or give it the capabilities (`setcap cap_bpf,cap_perfmon,cap_syslog+ep`); \
                    `vfs-audit check FILE` judges a recording without";
        return Err(Advice::new(format!("{what} the live kernel needs {}", lacking.join(", ")), hint).into());
    }
    let rights = Rights::now().context("asking for this process's capabilities")?;
    let needed: u64 =
        NEEDED.into_iter().map(|capability| capability.within(rights.permitted)).fold(0, |all, bit| all | bit);
    if rights.effective & needed != needed {
        let raised = Rights { effective: rights.effective | needed, ..rights };
        raised.apply().context("putting this process's capabilities into effect")?;
    }
    Ok(())
}

/// Gives up every capability but those needed and the `also`, for good; returns the names of those kept.
///
/// # Errors
/// Something could not be given up.
pub(super) fn give_up(also: &[Capability]) -> anyhow::Result<Vec<&'static str>> {
    let before = Rights::now().context("asking for this process's capabilities")?;
    let needed = NEEDED.into_iter().map(|capability| capability.within(before.permitted));
    let kept =
        needed.chain(also.iter().map(|capability| before.permitted & capability.bit())).fold(0, |all, bit| all | bit);
    bar_the_way_back(kept)?;
    let after = Rights { effective: kept, permitted: kept, inheritable: 0 };
    after.apply().context("giving up capabilities")?;
    let found = Rights::now().context("asking for this process's capabilities")?;
    if found != after {
        bail!("capabilities that were given up are still there: {found:x?}, and not {after:x?}");
    }
    let known = [NEEDED.as_slice(), &[KILL, SYS_ADMIN]].concat();
    Ok(known.iter().filter(|capability| kept & capability.bit() != 0).map(|capability| capability.name).collect())
}

/// No program that this process runs from now on has more rights than it: no ambient capabilities, no set-user-ID bits, and no
/// others within bounds where we may say so.
fn bar_the_way_back(kept: u64) -> anyhow::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL.cast_unsigned().into())
        .context("clearing ambient capabilities")?;
    for number in (0..NUMBERS_MAX).filter(|number| kept >> number & 1 == 0) {
        match prctl(libc::PR_CAPBSET_DROP, number.into()).map_err(|error| error.raw_os_error()) {
            Ok(()) => {}
            // Without CAP_SETPCAP the bounds stay as they are: no_new_privs keeps us from using them. Or: beyond the last one.
            Err(Some(libc::EPERM | libc::EINVAL)) => break,
            Err(_) => return Err(io::Error::last_os_error()).context("narrowing the bounds of capabilities"),
        }
    }
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).context("renouncing new privileges")
}

fn prctl(option: i32, argument: u64) -> io::Result<()> {
    // SAFETY: none of the options used here takes a pointer.
    let result = unsafe { libc::prctl(option, argument, 0_u64, 0_u64, 0_u64) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_it_is_for() {
        let names = |held| missing(held).iter().map(|capability| capability.name).collect::<Vec<_>>();
        assert_eq!(names(0), ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"]);
        assert_eq!(names(BPF.bit() | SYSLOG.bit()), ["CAP_PERFMON"]);
        assert_eq!(names(BPF.bit() | PERFMON.bit() | SYSLOG.bit()), [""; 0]);
    }

    #[test]
    fn sys_admin_stands_in_for_what_came_out_of_it() {
        assert_eq!(missing(SYS_ADMIN.bit()), [SYSLOG]);
        assert_eq!(BPF.within(SYS_ADMIN.bit() | BPF.bit()), BPF.bit(), "the lesser one is taken where it is there");
        assert_eq!(PERFMON.within(SYS_ADMIN.bit()), SYS_ADMIN.bit());
    }

    /// In a thread of its own: capabilities are a thread's.
    #[test]
    fn what_is_given_up_is_gone() {
        let thread = std::thread::spawn(|| {
            let before = Rights::now().unwrap();
            let kept = give_up(&[]).unwrap();
            let after = Rights::now().unwrap();
            assert_eq!(after.permitted & !before.permitted, 0);
            assert_eq!(after.effective, after.permitted);
            assert_eq!(after.inheritable, 0);
            assert_eq!(after.permitted.count_ones() as usize, kept.len(), "{kept:?}");
            assert!(!kept.contains(&"CAP_KILL"));
            let raised = Rights { permitted: u64::MAX >> 23, ..after };
            assert!(raised.apply().is_err(), "nothing comes back");
            // SAFETY: the option takes no pointer.
            assert_eq!(unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) }, 1);
        });
        thread.join().unwrap();
    }
}
