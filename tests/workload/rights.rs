//! A command as another user with a few capabilities: what `setpriv` does, which guests do not have.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;
/// Capabilities by name, numbered as in `linux/capability.h`.
const KNOWN: [(&str, u32); 6] =
    [("kill", 5), ("sys_admin", 21), ("syslog", 34), ("perfmon", 38), ("bpf", 39), ("dac_read_search", 2)];

/// Becomes the command, as `user` ("UID" or "UID:CAPABILITY,…"); returns only when that fails.
pub(crate) fn become_command(user: &str, command: &[String]) -> Result<()> {
    let (uid, names) = user.split_once(':').unwrap_or((user, ""));
    let uid: libc::uid_t = uid.parse().with_context(|| format!("{uid} is no user's number"))?;
    let numbers = names.split(',').filter(|name| !name.is_empty()).map(number).collect::<Result<Vec<u32>>>()?;
    let Some((program, arguments)) = command.split_first() else { bail!("no command to run") };
    change_user(uid).with_context(|| format!("becoming user {uid}"))?;
    keep(&numbers).with_context(|| format!("keeping the capabilities {names}"))?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("starting {program}"))
}

fn number(name: &str) -> Result<u32> {
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.map(|(_, number)| *number).with_context(|| format!("no capability {name}"))
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// All ids, with the permitted capabilities kept for now.
fn change_user(uid: libc::uid_t) -> io::Result<()> {
    // SAFETY: no pointer is passed but the empty list's, which is not read.
    unsafe {
        check(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).into())?;
        check(libc::setgroups(0, std::ptr::null()).into())?;
        check(libc::setresgid(uid, uid, uid).into())?;
        check(libc::setresuid(uid, uid, uid).into())
    }
}

/// Permitted, effective, inheritable and ambient: these and no others.
fn keep(numbers: &[u32]) -> io::Result<()> {
    let half = |from: u32| {
        let here = numbers.iter().filter(|number| (from..from + 32).contains(*number));
        here.fold(0_u32, |bits, number| bits | 1 << (number - from))
    };
    let (low, high) = (half(0), half(32));
    let target = [VERSION, 0];
    let sets = [low, low, low, high, high, high];
    // SAFETY: header and data are in the layout of this version: two words, and three sets twice over.
    check(unsafe { libc::syscall(libc::SYS_capset, target.as_ptr(), sets.as_ptr()) })?;
    for number in numbers {
        // SAFETY: the option takes no pointer.
        check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, *number, 0, 0) }.into())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_names() {
        assert_eq!(number("bpf").unwrap(), 39);
        assert!(number("all").is_err());
    }
}
