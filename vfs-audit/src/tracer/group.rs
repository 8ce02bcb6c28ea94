//! Hooks with one link of kprobe.multi for all of them.

use std::os::fd::OwnedFd;

use super::sys::{self, At};

/// Hooks that share their links: one for the entries, one for the exits.
pub(super) struct Group {
    /// Of the entries' link.
    pub(super) when: At,
    /// Called at the entries.
    pub(super) program: i32,
    /// Called at the exits.
    pub(super) exit_program: Option<i32>,
    /// Addresses and hook numbers.
    pub(super) entries: Vec<(u64, u64)>,
    /// Likewise.
    pub(super) exits: Vec<(u64, u64)>,
    /// Of the exits.
    pub(super) exit_links: Vec<OwnedFd>,
    /// Of the entries.
    pub(super) links: Vec<OwnedFd>,
}

impl Group {
    /// Attaches the group anew, less what was taken out of it: first off, then on, since two probes on one function would
    /// count twice. Exits of which none is gone, of `exits_before`, stay: each link takes a grace period to detach.
    pub(super) fn relink(&mut self, exits_before: usize) {
        self.links.clear();
        if exits_before != self.exits.len() {
            self.exit_links.clear();
            return self.link(&mut |_, _| ());
        }
        self.links.extend(link_multi(self.program, &self.entries, self.when, &mut |_, _| ()));
    }

    /// Attaches all of the group, the exits first: see `Attachment::add_multi`.
    pub(super) fn link(&mut self, failed: &mut dyn FnMut(u64, String)) {
        if let Some(exit) = self.exit_program {
            self.exit_links.extend(link_multi(exit, &self.exits, At::Return, &mut |_, _| ()));
        }
        self.links.extend(link_multi(self.program, &self.entries, self.when, failed));
    }
}

/// Links all of `at` (address, hook number); a kernel that refuses the whole for one bad address is asked again for each
/// half.
fn link_multi(program: i32, at: &[(u64, u64)], when: At, failed: &mut dyn FnMut(u64, String)) -> Vec<OwnedFd> {
    if at.is_empty() {
        return Vec::new();
    }
    let (addresses, cookies): (Vec<u64>, Vec<u64>) = at.iter().copied().unzip();
    match sys::link_kprobe_multi(program, &addresses, &cookies, when) {
        Ok(link) => vec![link],
        Err(error) if at.len() == 1 || error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            for (_, number) in at {
                failed(*number, error.to_string());
            }
            Vec::new()
        }
        Err(_) => {
            let (left, right) = at.split_at(at.len() / 2);
            let mut links = link_multi(program, left, when, failed);
            links.extend(link_multi(program, right, when, failed));
            links
        }
    }
}
