//! The operations tables of file locks and leases, from the lists of an inode's lock context.

use super::{live, peek::Memory};
use crate::btf::Btf;

/// Locks of one list that are looked at.
const LOCKS_MAX: usize = 64;

/// One of a context's lists: where its head is, where a lock's node is, and the tables that a lock points to.
struct List {
    head: u64,
    node: u64,
    /// (struct, byte offset of the pointer to one).
    tables: Vec<(&'static str, u64)>,
}

/// Where file locks keep their tables on this kernel.
pub(super) struct FileLocks {
    lists: Vec<List>,
}

impl FileLocks {
    /// What this kernel lacks is left out.
    pub(super) fn of(btf: &Btf) -> Self {
        let at = |owner: &str, path: &[&str]| btf.offset_of(owner, path).ok().map(u64::from);
        let node = |owner: &str| at(owner, &["c", "flc_list"]).or_else(|| at(owner, &["fl_list"]));
        // Kernels before 6.10 have one struct for locks and leases.
        let is_split = btf.struct_named("file_lease").is_some();
        let (lease, lease_operations) = if is_split {
            ("file_lease", "lease_manager_operations")
        } else {
            ("file_lock", "lock_manager_operations")
        };
        let list = |member: &str, owner: &str, managers: &'static str| {
            let tables = [("file_lock_operations", "fl_ops"), (managers, "fl_lmops")];
            let tables = tables.into_iter().filter_map(|(kind, field)| Some((kind, at(owner, &[field])?))).collect();
            Some(List { head: at("file_lock_context", &[member])?, node: node(owner)?, tables })
        };
        let lists = [
            list("flc_flock", "file_lock", "lock_manager_operations"),
            list("flc_posix", "file_lock", "lock_manager_operations"),
            list("flc_lease", lease, lease_operations),
        ];
        Self { lists: lists.into_iter().flatten().collect() }
    }

    /// Struct and address of every table that the locks of the context at `context` point to; some may be 0.
    pub(super) fn tables(&self, memory: &impl Memory, context: u64) -> Vec<(&'static str, u64)> {
        let mut found = Vec::new();
        for list in &self.lists {
            // More of them have the same few tables.
            for node in live::list(memory, context + list.head, LOCKS_MAX, &mut Vec::new()) {
                let lock = node.wrapping_sub(list.node);
                found.extend(
                    list.tables.iter().filter_map(|(kind, at)| Some((*kind, memory.word(lock.wrapping_add(*at))?))),
                );
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Picture(BTreeMap<u64, u64>);

    impl Memory for Picture {
        fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
            assert_eq!(len, 8, "the picture holds words only");
            self.0.get(&address).map(|w| w.to_le_bytes().to_vec())
        }
    }

    fn locks() -> FileLocks {
        let list = |head| List { head, node: 8, tables: vec![("file_lock_operations", 32), ("managers", 40)] };
        FileLocks { lists: vec![list(0x10), list(0x20)] }
    }

    #[test]
    fn every_lock_of_every_list_is_asked() {
        // An empty first list; a second one of two locks at 0x2000 and 0x3000.
        let words = [
            (0x1010, 0x1010),
            (0x1020, 0x2008),
            (0x2008, 0x3008),
            (0x3008, 0x1020),
            (0x2020, 7),
            (0x2028, 0),
            (0x3020, 0),
            (0x3028, 9),
        ];
        let found = locks().tables(&Picture(words.into()), 0x1000);
        let expected = [("file_lock_operations", 7), ("managers", 0), ("file_lock_operations", 0), ("managers", 9)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_list_that_never_returns_to_its_head_comes_to_an_end() {
        let words = [(0x1010, 0x2008), (0x2008, 0x2008), (0x2020, 7), (0x2028, 8), (0x1020, 0x1020)];
        assert_eq!(locks().tables(&Picture(words.into()), 0x1000).len(), 2 * LOCKS_MAX);
    }
}
