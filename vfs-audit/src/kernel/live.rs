//! The operations tables in use, found from the living: every superblock, its inodes, every open file.
//!
//! The lists are read without the kernel's locks, one object after another, through reads that tolerate any address: a
//! list that changes meanwhile may be cut short or repeat itself, so every walk is bounded and ends when it comes back to
//! its head. What is missed then is found by the next walk, or by the kernel's own symbols (see `naming`): tables of the
//! same owner as one already found (`ext4_symlink_inode_operations` before the first symlink is looked up).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    file_locks::FileLocks,
    naming::{self, Owners},
    object::{Object, Shape},
    peek::Memory,
    symbols::Symbols,
};
use crate::btf::Btf;

/// Superblocks that one walk visits.
const SUPERBLOCKS_MAX: usize = 4096;
/// Inodes of one superblock that one walk visits.
const INODES_MAX: usize = 4096;
/// Tasks that one walk visits.
const TASKS_MAX: usize = 16_384;
/// Open files of one task that one walk visits.
const FILES_MAX: u64 = 256;
/// Handlers in one superblock's list.
const HANDLERS_MAX: u64 = 64;
/// Bytes of a file system type's name that are read.
const NAME_MAX: usize = 32;

/// Where a table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableSource {
    /// A living object points to it.
    Object,
    /// A kernel symbol names it.
    Symbol,
}

/// An operations table in the kernel's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTable {
    /// Its address.
    pub address: u64,
    /// Its struct (`inode_operations`).
    pub kind: String,
    /// Its symbol, when it has one.
    pub symbol: String,
    /// File system types whose objects point to it.
    pub fs: BTreeSet<String>,
    /// How it was found.
    pub source: TableSource,
    /// Lists that it stands in, where objects point to a list of tables.
    pub lists: BTreeSet<u64>,
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
    /// Tables by struct and address.
    pub tables: BTreeMap<(String, u64), LiveTable>,
    /// Superblocks by address.
    pub superblocks: BTreeMap<u64, Superblock>,
    /// Inodes visited.
    pub inodes: usize,
    /// Open files visited.
    pub files: usize,
    /// Bounds that were reached, in words.
    pub cut_short: Vec<String>,
    /// Head of the list of superblocks, and where its node is in one: looked up once, since symbols are many.
    list: Option<(u64, u64)>,
}

/// The shapes of the objects that a walk reads, from BTF.
struct Shapes {
    sb: Shape,
    inode: Shape,
    dentry: Shape,
    file: Shape,
    task: Shape,
    block_device: Shape,
    /// Bytes from a block device's inode back to the device.
    inode_in_block_device: Option<u64>,
    /// From a mapping's tree of areas (the node) on to the area's table.
    area_table: Option<(u64, u64)>,
    fops_in_disk: Option<u64>,
    name_in_type: u64,
    aops_in_mapping: Option<u64>,
    descriptors: Option<[u64; 3]>,
    file_locks: FileLocks,
}

impl Shapes {
    fn of(btf: &Btf) -> Result<Self, String> {
        let at = |owner: &str, path: &[&str]| btf.offset_of(owner, path).ok().map(u64::from);
        let area = || {
            let (node, table) = (at("vm_area_struct", &["shared", "rb"])?, at("vm_area_struct", &["vm_ops"])?);
            Some((at("address_space", &["i_mmap", "rb_root", "rb_node"])?, table.wrapping_sub(node)))
        };
        let descriptors =
            || Some([at("files_struct", &["fdt"])?, at("fdtable", &["fd"])?, at("fdtable", &["max_fds"])?]);
        Ok(Self {
            sb: Shape::of(btf, "super_block")?,
            inode: Shape::of(btf, "inode")?,
            dentry: Shape::of(btf, "dentry")?,
            file: Shape::of(btf, "file")?,
            task: Shape::of(btf, "task_struct")?,
            block_device: Shape::of(btf, "block_device")?,
            inode_in_block_device: at("bdev_inode", &["vfs_inode"]),
            area_table: area(),
            fops_in_disk: at("gendisk", &["fops"]),
            name_in_type: at("file_system_type", &["name"]).ok_or("no field file_system_type.name")?,
            aops_in_mapping: at("address_space", &["a_ops"]),
            descriptors: descriptors(),
            file_locks: FileLocks::of(btf),
        })
    }
}

impl LiveTables {
    /// Walks the kernel's superblocks, their inodes, and all open files.
    ///
    /// # Errors
    /// Says which symbol or field this kernel lacks.
    pub fn find(memory: &impl Memory, symbols: &Symbols, btf: &Btf) -> Result<Self, String> {
        let shapes = Shapes::of(btf)?;
        let mut walk = Walk { memory, btf, shapes: &shapes, found: Self::default() };
        let head = superblocks_head(symbols)?;
        let member = walk.offset(&shapes.sb, "s_list").ok_or("no field super_block.s_list")?;
        walk.found.list = Some((head, member));
        for node in list(memory, head, SUPERBLOCKS_MAX, &mut walk.found.cut_short) {
            walk.superblock(node.wrapping_sub(member));
        }
        walk.tasks(symbols);
        let mut found = walk.found;
        found.name_tables(symbols);
        found.add_by_symbol(symbols, btf);
        Ok(found)
    }

    /// How many superblocks are there now that were not when this was found; a cheap look.
    pub fn unseen(&self, memory: &impl Memory) -> usize {
        let Some((head, member)) = self.list else { return 0 };
        let nodes = list(memory, head, SUPERBLOCKS_MAX, &mut Vec::new());
        nodes.iter().filter(|node| !self.superblocks.contains_key(&node.wrapping_sub(member))).count()
    }

    /// Tables of struct `kind`.
    pub fn of_kind<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a LiveTable> {
        let from = (kind.to_owned(), 0);
        let to = (kind.to_owned(), u64::MAX);
        self.tables.range(from..=to).map(|(_, table)| table)
    }

    fn note(&mut self, kind: &str, address: u64, fs: &str) -> Option<&mut LiveTable> {
        if address == 0 {
            return None;
        }
        let table = self.tables.entry((kind.to_owned(), address)).or_insert_with(|| LiveTable {
            address,
            kind: kind.to_owned(),
            symbol: String::new(),
            fs: BTreeSet::new(),
            source: TableSource::Object,
            lists: BTreeSet::new(),
        });
        if !fs.is_empty() && !table.fs.contains(fs) {
            table.fs.insert(fs.to_owned());
        }
        Some(table)
    }

    fn name_tables(&mut self, symbols: &Symbols) {
        for table in self.tables.values_mut() {
            if let Some(symbol) = symbols.resolve(table.address).filter(|s| s.offset == 0) {
                symbol.name.clone_into(&mut table.symbol);
            }
        }
    }

    /// Adds tables that no living object points to yet but whose symbols say what they are.
    fn add_by_symbol(&mut self, symbols: &Symbols, btf: &Btf) {
        let mut owners: Owners = BTreeMap::new();
        for table in self.tables.values() {
            if let Some(owner) = naming::owner(&table.symbol) {
                owners.entry(owner.to_owned()).or_default().extend(table.fs.iter().cloned());
            }
        }
        for (address, name, _) in symbols.data(|name| naming::kind_of(name).is_some()) {
            let Some((kind, fs)) = naming::table(name, &owners, btf) else { continue };
            self.tables.entry((kind.to_owned(), address)).or_insert_with(|| LiveTable {
                address,
                kind: kind.to_owned(),
                symbol: name.to_owned(),
                fs,
                source: TableSource::Symbol,
                lists: BTreeSet::new(),
            });
        }
    }
}

/// A walk under way.
struct Walk<'a, M: Memory> {
    memory: &'a M,
    btf: &'a Btf,
    shapes: &'a Shapes,
    found: LiveTables,
}

impl<'a, M: Memory> Walk<'a, M> {
    fn offset(&self, shape: &Shape, member: &str) -> Option<u64> {
        shape.offset(self.btf, &[member])
    }

    fn object(&self, shape: &'a Shape, address: u64) -> Option<Object<'a>> {
        Object::read(self.memory, self.btf, shape, address)
    }

    fn superblock(&mut self, address: u64) {
        let Some(sb) = self.object(&self.shapes.sb, address) else { return };
        let kind = sb.word(&["s_type"]);
        let name = self.memory.word(kind + self.shapes.name_in_type);
        let Some(fs) = name.and_then(|name| self.memory.text(name, NAME_MAX)) else { return };
        let id = sb.text(&["s_id"], NAME_MAX);
        self.found.superblocks.insert(address, Superblock { fs: fs.clone(), id, device: sb.half(&["s_dev"]) });
        self.found.note("file_system_type", kind, &fs);
        self.found.note("super_operations", sb.word(&["s_op"]), &fs);
        self.found.note("dquot_operations", sb.word(&["dq_op"]), &fs);
        // The second name from 6.18 on.
        for member in ["s_d_op", "__s_d_op"] {
            self.found.note("dentry_operations", sb.word(&[member]), &fs);
        }
        self.handlers(sb.word(&["s_xattr"]), &fs);
        self.block_device(sb.word(&["s_bdev"]), &fs);
        self.dentry(sb.word(&["s_root"]), &fs);
        let Some(member) = self.offset(&self.shapes.inode, "i_sb_list") else { return };
        let Some(head) = self.offset(&self.shapes.sb, "s_inodes").map(|offset| address + offset) else { return };
        let mut node = sb.word(&["s_inodes"]);
        let mut visited = 0;
        while node != head && node != 0 {
            if visited == INODES_MAX {
                let text = format!("{fs}: more than {INODES_MAX} inodes, the others were not looked at");
                self.found.cut_short.push(text);
                break;
            }
            visited += 1;
            let Some(inode) = self.object(&self.shapes.inode, node.wrapping_sub(member)) else { break };
            node = inode.word(&["i_sb_list"]);
            self.inode(&inode, &fs);
        }
    }

    fn inode(&mut self, inode: &Object<'_>, fs: &str) {
        self.found.inodes += 1;
        self.found.note("inode_operations", inode.word(&["i_op"]), fs);
        self.found.note("file_operations", inode.word(&["i_fop"]), fs);
        let mapping = inode.word(&["i_mapping"]);
        // Nearly always its own, which was read with it.
        let own = inode.word(&["i_data", "a_ops"]);
        self.found.note("address_space_operations", own, fs);
        if let Some((node, table)) = self.shapes.area_table {
            let node = if self.is_own(inode, mapping) {
                inode.word(&["i_data", "i_mmap", "rb_root", "rb_node"])
            } else {
                self.memory.word(mapping + node).unwrap_or(0)
            };
            if node != 0 {
                let table = self.memory.word(node.wrapping_add(table)).unwrap_or(0);
                self.found.note("vm_operations_struct", table, fs);
            }
        }
        if fs == "bdev"
            && let Some(back) = self.shapes.inode_in_block_device
        {
            self.block_device(inode.address - back, fs);
        }
        let context = inode.word(&["i_flctx"]);
        if context != 0 {
            for (kind, table) in self.shapes.file_locks.tables(self.memory, context) {
                self.found.note(kind, table, fs);
            }
        }
        let alias = inode.word(&["i_dentry"]);
        if alias != 0
            && let Some(member) = self.shapes.dentry.offset(self.btf, &["d_u", "d_alias"])
        {
            let dentry = alias.wrapping_sub(member);
            let table = self.offset(&self.shapes.dentry, "d_op").and_then(|at| self.memory.word(dentry + at));
            self.found.note("dentry_operations", table.unwrap_or(0), fs);
        }
    }

    fn is_own(&self, inode: &Object<'_>, mapping: u64) -> bool {
        self.offset(&self.shapes.inode, "i_data").is_some_and(|offset| inode.address + offset == mapping)
    }

    fn dentry(&mut self, address: u64, fs: &str) {
        if let Some(dentry) = self.object(&self.shapes.dentry, address) {
            self.found.note("dentry_operations", dentry.word(&["d_op"]), fs);
            if let Some(inode) = self.object(&self.shapes.inode, dentry.word(&["d_inode"])) {
                self.inode(&inode, fs);
            }
        }
    }

    fn handlers(&mut self, list: u64, fs: &str) {
        if list == 0 {
            return;
        }
        for index in 0..HANDLERS_MAX {
            let Some(handler) = self.memory.word(list + 8 * index).filter(|handler| *handler != 0) else { return };
            if let Some(table) = self.found.note("xattr_handler", handler, fs) {
                table.lists.insert(list);
            }
        }
    }

    fn block_device(&mut self, address: u64, fs: &str) {
        let Some(device) = self.object(&self.shapes.block_device, address) else { return };
        let disk = device.word(&["bd_disk"]);
        if let (Some(fops), true) = (self.shapes.fops_in_disk, disk != 0) {
            let table = self.memory.word(disk + fops).unwrap_or(0);
            self.found.note("block_device_operations", table, fs);
        }
    }

    fn tasks(&mut self, symbols: &Symbols) {
        let Some(member) = self.offset(&self.shapes.task, "tasks") else { return };
        let Some(first) = symbols.addresses("init_task").first().copied() else { return };
        let mut cut_short = Vec::new();
        let nodes = list(self.memory, first + member, TASKS_MAX, &mut cut_short);
        self.found.cut_short.extend(cut_short);
        let Some(files) = self.offset(&self.shapes.task, "files") else { return };
        let mut seen = BTreeSet::new();
        for node in nodes {
            let table = self.memory.word(node.wrapping_sub(member) + files).unwrap_or(0);
            if table != 0 && seen.insert(table) {
                self.open_files(table);
            }
        }
    }

    fn open_files(&mut self, files: u64) {
        let Some([descriptors, array, len]) = self.shapes.descriptors else { return };
        let Some(table) = self.memory.word(files + descriptors).filter(|table| *table != 0) else { return };
        let Some(first) = self.memory.word(table + array).filter(|first| *first != 0) else { return };
        let len = self.memory.word(table + len).map_or(0, |len| len & 0xffff_ffff).min(FILES_MAX);
        let Some(bytes) = self.memory.bytes(first, 8 * len as usize) else { return };
        for word in bytes.chunks_exact(8) {
            let address = word.try_into().map_or(0, u64::from_le_bytes);
            if address != 0 {
                self.file(address);
            }
        }
    }

    fn file(&mut self, address: u64) {
        let Some(file) = self.object(&self.shapes.file, address) else { return };
        self.found.files += 1;
        let sb = self.offset(&self.shapes.inode, "i_sb");
        let sb = sb.and_then(|at| self.memory.word(file.word(&["f_inode"]) + at)).unwrap_or(0);
        let fs = self.found.superblocks.get(&sb).map_or(String::new(), |sb| sb.fs.clone());
        self.found.note("file_operations", file.word(&["f_op"]), &fs);
        if let Some(at) = self.shapes.aops_in_mapping {
            let table = self.memory.word(file.word(&["f_mapping"]) + at).unwrap_or(0);
            self.found.note("address_space_operations", table, &fs);
        }
        let dentry = file.word(&["f_path", "dentry"]);
        let table = self.offset(&self.shapes.dentry, "d_op").and_then(|at| self.memory.word(dentry + at));
        self.found.note("dentry_operations", table.unwrap_or(0), &fs);
    }
}

/// The head of the list of all superblocks.
fn superblocks_head(symbols: &Symbols) -> Result<u64, String> {
    let found = symbols.addresses("super_blocks").first().copied();
    found.ok_or_else(|| "no symbol super_blocks in /proc/kallsyms (a kernel without CONFIG_KALLSYMS_ALL)".to_owned())
}

/// The nodes of a `list_head` ring, `head` left out; at most `max`.
pub(super) fn list(memory: &impl Memory, head: u64, max: usize, cut_short: &mut Vec<String>) -> Vec<u64> {
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
}
