//! Ops and rules that no load in a VM reaches, each with the reason: what is not here and not observed has no excuse.

/// A pattern of op or rule (a trailing `*` stands for any rest), and why nothing reaches it.
pub(crate) const UNREACHED: &[(&str, &str)] = &[
    (
        "address_space_operations.launder_folio*",
        "called for a page that is made dirty between its write-back and its removal",
    ),
    (
        "address_space_operations.writepage.redirtied",
        "no writepage of a stock kernel gave its page back dirty under the loads",
    ),
    ("address_space_operations.writepage.sync_*", "memory reclaim, which never waits, is the one caller that is left"),
    (
        "file_operations.check_flags*",
        "only NFS has it, and calls it by itself; no load's fcntl comes as far as to call it through the table",
    ),
    ("file_operations.iopoll*", "called for io_uring's polled requests, which no load makes"),
    (
        "lock_manager_operations.lm_expire_lock*",
        "called for the lock of a client that has gone silent, which takes minutes",
    ),
    ("lock_manager_operations.lm_grant*", "called by the lock daemon of NFS 3, which no load starts"),
    ("lock_manager_operations.lm_notify*", "two clients of one server have to want one lock"),
    ("vm_operations_struct.access*", "called for a debugger that reads a mapping of device memory, which no load has"),
    (
        "vm_operations_struct.open*",
        "called where a mapping that has it is split or inherited: System V memory, which no load has",
    ),
    (
        "vm_operations_struct.page_mkwrite.retries",
        "no page_mkwrite of a stock kernel gave its page back unlocked under the loads",
    ),
    ("vm_operations_struct.pfn_mkwrite*", "called for a small page of persistent memory; the load's are large"),
];

/// The reason for an op or a rule, if one is stated.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    UNREACHED.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, reason)| *reason)
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
    fn every_reason_says_something() {
        assert!(UNREACHED.iter().all(|(pattern, reason)| pattern.contains('.') && !reason.is_empty()));
    }
}
