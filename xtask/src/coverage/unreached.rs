//! Ops and rules that no load in a VM reaches, each with the reason: what is not here and not observed has no excuse.

/// Why nothing, or nothing on some kernels, reaches an op or a rule.
pub(crate) struct Unreached {
    /// Op or rule; a trailing `*` stands for any rest.
    pattern: &'static str,
    /// The reason.
    reason: &'static str,
    /// Whether it holds on some kernels or in some runs only: then to be reached is no contradiction.
    sometimes: bool,
}

const fn never(pattern: &'static str, reason: &'static str) -> Unreached {
    Unreached { pattern, reason, sometimes: false }
}

const fn sometimes(pattern: &'static str, reason: &'static str) -> Unreached {
    Unreached { pattern, reason, sometimes: true }
}

/// The first that fits counts.
const UNREACHED: &[Unreached] = &[
    sometimes(
        "address_space_operations.error_remove_page*",
        "called when memory has failed, without which Debian's 6.1 for the cloud is built (CONFIG_MEMORY_FAILURE)",
    ),
    never(
        "file_lock_operations.fl_release_private.must_not_sleep",
        "no lease of a stock kernel is given such operations: only POSIX and flock locks of network file systems are",
    ),
    never(
        "address_space_operations.writepage.redirtied",
        "no writepage of a stock kernel gave its page back dirty under the loads",
    ),
    sometimes(
        "address_space_operations.writepage.sync_*",
        "memory reclaim, which never waits, is the one caller that is left on newer kernels",
    ),
    never(
        "lock_manager_operations.lm_breaker_timedout*",
        "pNFS layouts alone have it, called when a client keeps one for too long",
    ),
    never(
        "lock_manager_operations.lm_expire_lock*",
        "called for the lock of a client that has gone silent, which takes minutes",
    ),
    never(
        "lock_manager_operations.lm_grant*",
        "called by the lock daemon of NFS 3, which takes daemons that no load starts",
    ),
    sometimes(
        "lock_manager_operations.lm_notify*",
        "called when a lock becomes free that a client of the server waits for, unless the client has asked again before",
    ),
    never(
        "vm_operations_struct.page_mkwrite.retries",
        "no page_mkwrite of a stock kernel gave its page back unlocked under the loads",
    ),
    sometimes(
        "vm_operations_struct.pfn_mkwrite",
        "the kernel holds the area's own lock instead of mmap_lock in all of these",
    ),
];

/// The reason for an op or a rule, if one is stated.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    find(name).map(|unreached| unreached.reason)
}

/// Whether it is stated that nothing ever reaches it.
pub(crate) fn is_never_reached(name: &str) -> bool {
    find(name).is_some_and(|unreached| !unreached.sometimes)
}

fn find(name: &str) -> Option<&'static Unreached> {
    UNREACHED.iter().find(|unreached| matches(unreached.pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_one() {
        assert!(matches("i.create", "i.create") && matches("i.create*", "i.create.dir"));
        assert!(!matches("i.create", "i.create.dir") && !matches("i.create*", "i.link"));
    }

    #[test]
    fn what_is_reached_sometimes_is_no_contradiction() {
        assert!(is_never_reached("lock_manager_operations.lm_grant.must_not_sleep"));
        assert!(
            !is_never_reached("lock_manager_operations.lm_notify")
                && reason("lock_manager_operations.lm_notify").is_some()
        );
        assert!(!is_never_reached("inode_operations.create"));
    }

    #[test]
    fn every_reason_says_something() {
        assert!(UNREACHED.iter().all(|one| one.pattern.contains('.') && !one.reason.is_empty()));
    }
}
