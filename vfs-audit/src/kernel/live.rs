//! The operations tables in use, found from the living: every superblock, its root, every inode in its list.
//!
//! The lists are read without the kernel's locks, one object after another, through reads that tolerate any address: a
//! list that changes meanwhile may be cut short or repeat itself, so every walk is bounded and ends when it comes back to
//! its head. What is missed then is found by the next walk, or by the kernel's own symbols: tables of the same kind
//! that belong to a file system already found (`ext4_symlink_inode_operations` before the first symlink is looked up).

use std::collections::{BTreeMap, BTreeSet};

use super::{peek::Memory, symbols::Symbols};
use crate::btf::Btf;

/// Superblocks that one walk visits.
const SUPERBLOCKS_MAX: usize = 4096;
/// Inodes of one superblock that one walk visits.
const INODES_MAX: usize = 4096;
/// Bytes of a file system type's name that are read.
const NAME_MAX: usize = 32;

/// Where a table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableSource {
    /// A living object points to it.
    Object,
    /// A kernel symbol of the same owner names it.
    Symbol,
}

/// An operations table in the kernel's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTable {
    /// Its address.
    pub address: u64,
    /// Its symbol, when it has one.
    pub symbol: String,
    /// File system types whose objects point to it.
    pub fs: BTreeSet<String>,
    /// How it was found.
    pub source: TableSource,
}

/// A superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// File system type (`ext4`).
    pub fs: String,
    /// `s_id` (`vda`).
    pub id: String,
    /// `s_dev`: `major << 20 | minor`.
    pub device: u32,
}

/// What one walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTables {
    /// `inode_operations` tables by address.
    pub inode: BTreeMap<u64, LiveTable>,
    /// Superblocks by address.
    pub superblocks: BTreeMap<u64, Superblock>,
    /// Inodes visited.
    pub inodes: usize,
    /// Bounds that were reached, in words.
    pub cut_short: Vec<String>,
}

/// Byte offsets that a walk needs.
struct Offsets {
    sb_list: u64,
    sb_type: u64,
    sb_id: u64,
    sb_dev: u64,
    sb_root: u64,
    sb_inodes: Option<u64>,
    type_name: u64,
    dentry_inode: u64,
    inode_op: u64,
    inode_sb_list: Option<u64>,
}

impl Offsets {
    fn of(btf: &Btf) -> Result<Self, String> {
        let at = |owner: &str, field: &str| btf.offset_of(owner, &[field]).map(u64::from);
        Ok(Self {
            sb_list: at("super_block", "s_list")?,
            sb_type: at("super_block", "s_type")?,
            sb_id: at("super_block", "s_id")?,
            sb_dev: at("super_block", "s_dev")?,
            sb_root: at("super_block", "s_root")?,
            sb_inodes: at("super_block", "s_inodes").ok(),
            type_name: at("file_system_type", "name")?,
            dentry_inode: at("dentry", "d_inode")?,
            inode_op: at("inode", "i_op")?,
            inode_sb_list: at("inode", "i_sb_list").ok(),
        })
    }
}

impl LiveTables {
    /// Walks the kernel's superblocks and their inodes.
    ///
    /// # Errors
    /// Says which symbol or field this kernel lacks.
    pub fn find(memory: &impl Memory, symbols: &Symbols, btf: &Btf) -> Result<Self, String> {
        let offsets = Offsets::of(btf)?;
        let head = superblocks_head(symbols)?;
        let mut found = Self::default();
        for node in list(memory, head, SUPERBLOCKS_MAX, &mut found.cut_short) {
            found.visit_superblock(memory, &offsets, node.wrapping_sub(offsets.sb_list));
        }
        found.name_tables(symbols);
        found.add_relatives(symbols);
        Ok(found)
    }

    /// How many superblocks are there now that were not when this was found; a cheap look.
    ///
    /// # Errors
    /// Says which symbol or field this kernel lacks.
    pub fn unseen(&self, memory: &impl Memory, symbols: &Symbols, btf: &Btf) -> Result<usize, String> {
        let offsets = Offsets::of(btf)?;
        let head = superblocks_head(symbols)?;
        let nodes = list(memory, head, SUPERBLOCKS_MAX, &mut Vec::new());
        Ok(nodes.iter().filter(|node| !self.superblocks.contains_key(&node.wrapping_sub(offsets.sb_list))).count())
    }

    fn visit_superblock(&mut self, memory: &impl Memory, offsets: &Offsets, sb: u64) {
        let Some(kind) = memory.word(sb + offsets.sb_type) else { return };
        let Some(fs) = memory.word(kind + offsets.type_name).and_then(|name| memory.text(name, NAME_MAX)) else {
            return;
        };
        let id = memory.text(sb + offsets.sb_id, NAME_MAX).unwrap_or_default();
        let device = memory.bytes(sb + offsets.sb_dev, 4).and_then(|b| Some(u32::from_le_bytes(b.try_into().ok()?)));
        self.superblocks.insert(sb, Superblock { fs: fs.clone(), id, device: device.unwrap_or(0) });
        let root = memory.word(sb + offsets.sb_root).filter(|root| *root != 0);
        if let Some(inode) = root.and_then(|root| memory.word(root + offsets.dentry_inode)).filter(|i| *i != 0) {
            self.visit_inode(memory, offsets, inode, &fs);
        }
        if let (Some(inodes), Some(member)) = (offsets.sb_inodes, offsets.inode_sb_list) {
            for node in list(memory, sb + inodes, INODES_MAX, &mut self.cut_short) {
                self.visit_inode(memory, offsets, node.wrapping_sub(member), &fs);
            }
        }
    }

    fn visit_inode(&mut self, memory: &impl Memory, offsets: &Offsets, inode: u64, fs: &str) {
        self.inodes += 1;
        let Some(table) = memory.word(inode + offsets.inode_op).filter(|t| *t != 0) else { return };
        let entry = self.inode.entry(table).or_insert_with(|| LiveTable {
            address: table,
            symbol: String::new(),
            fs: BTreeSet::new(),
            source: TableSource::Object,
        });
        entry.fs.insert(fs.to_owned());
    }

    fn name_tables(&mut self, symbols: &Symbols) {
        for table in self.inode.values_mut() {
            if let Some(symbol) = symbols.resolve(table.address).filter(|s| s.offset == 0) {
                symbol.name.clone_into(&mut table.symbol);
            }
        }
    }

    /// Adds tables that no living object points to yet but whose symbol has the owner's prefix (`ext4`, `xfs`) of one
    /// that is pointed to.
    fn add_relatives(&mut self, symbols: &Symbols) {
        let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for table in self.inode.values() {
            if let Some(owner) = owner(&table.symbol) {
                owners.entry(owner.to_owned()).or_default().extend(table.fs.iter().cloned());
            }
        }
        for (address, name, _) in symbols.data(is_inode_table) {
            let Some(fs) = owner(name).and_then(|o| owners.get(o)) else { continue };
            self.inode.entry(address).or_insert_with(|| LiveTable {
                address,
                symbol: name.to_owned(),
                fs: fs.clone(),
                source: TableSource::Symbol,
            });
        }
    }
}

/// The head of the list of all superblocks.
fn superblocks_head(symbols: &Symbols) -> Result<u64, String> {
    let found = symbols.addresses("super_blocks").first().copied();
    found.ok_or_else(|| "no symbol super_blocks in /proc/kallsyms (a kernel without CONFIG_KALLSYMS_ALL)".to_owned())
}

/// Whether a symbol is named as tables of inode operations are.
fn is_inode_table(name: &str) -> bool {
    name.ends_with("inode_operations") || name.ends_with("_iops") || name.ends_with("_inode_ops")
}

/// The part of a table's symbol that names its file system.
fn owner(symbol: &str) -> Option<&str> {
    symbol.split('_').next().filter(|o| !o.is_empty())
}

/// The nodes of a `list_head` ring, `head` left out; at most `max`.
fn list(memory: &impl Memory, head: u64, max: usize, cut_short: &mut Vec<String>) -> Vec<u64> {
    let mut nodes = Vec::new();
    let mut node = memory.word(head);
    while let Some(address) = node.filter(|n| *n != head && *n != 0) {
        if nodes.len() == max {
            cut_short.push(format!("a list of more than {max} objects was read up to there"));
            break;
        }
        nodes.push(address);
        node = memory.word(address);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of memory: words by address.
    struct Picture(BTreeMap<u64, u64>);

    impl Memory for Picture {
        fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
            assert_eq!(len, 8, "the picture holds words only");
            self.0.get(&address).map(|w| w.to_le_bytes().to_vec())
        }
    }

    #[test]
    fn a_ring_ends_at_its_head() {
        let ring = Picture([(1, 2), (2, 3), (3, 1)].into());
        assert_eq!(list(&ring, 1, 10, &mut Vec::new()), [2, 3]);
    }

    #[test]
    fn a_ring_that_never_returns_is_cut_short_and_said_so() {
        let ring = Picture([(1, 2), (2, 3), (3, 2)].into());
        let mut cut = Vec::new();
        assert_eq!(list(&ring, 1, 5, &mut cut).len(), 5);
        assert_eq!(cut.len(), 1);
    }

    #[test]
    fn an_unreadable_node_ends_the_walk() {
        let ring = Picture([(1, 2)].into());
        assert_eq!(list(&ring, 1, 5, &mut Vec::new()), [2]);
    }

    #[test]
    fn tables_of_the_same_owner_are_added_by_symbol() {
        let symbols = Symbols::parse(
            "1000 r ext4_dir_inode_operations\n2000 r ext4_symlink_inode_operations\n3000 r nfs_dir_inode_operations\n"
                .to_owned(),
        );
        let mut found = LiveTables::default();
        let table = |address| LiveTable {
            address,
            symbol: String::new(),
            fs: ["ext4".to_owned()].into(),
            source: TableSource::Object,
        };
        found.inode.insert(0x1000, table(0x1000));
        found.name_tables(&symbols);
        found.add_relatives(&symbols);
        let names: Vec<_> = found.inode.values().map(|t| (t.symbol.as_str(), t.source)).collect();
        assert_eq!(
            names,
            [
                ("ext4_dir_inode_operations", TableSource::Object),
                ("ext4_symlink_inode_operations", TableSource::Symbol)
            ]
        );
    }
}
