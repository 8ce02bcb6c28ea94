//! Kernel symbols from `/proc/kallsyms`: address to name, name to address.

use std::{io::Read as _, sync::OnceLock};

use thiserror::Error;

/// Why the symbols are of no use.
#[derive(Debug, Error)]
pub enum SymbolsError {
    /// `/proc/kallsyms` cannot be read.
    #[error("cannot read /proc/kallsyms")]
    Read(#[from] std::io::Error),
    /// Every address reads as zero.
    #[error("/proc/kallsyms hides all addresses; run as root, with kernel.kptr_restrict below 2")]
    Hidden,
}

/// A place in the kernel's code, by the symbol before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Symbol.
    pub name: &'a str,
    /// Bytes into it.
    pub offset: u64,
    /// Module; empty for the kernel proper.
    pub module: &'a str,
}

impl std::fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{:#x}", self.name, self.offset)?;
        if self.module.is_empty() { Ok(()) } else { write!(f, " [{}]", self.module) }
    }
}

/// Bytes of a line: a guess at how many there are.
const LINE_BYTES_USUAL: usize = 40;
/// Bytes of all lines: room at the start, since the file does not say its size.
const TEXT_BYTES_USUAL: usize = 16 << 20;

struct Entry {
    address: u64,
    kind: u8,
    name: (u32, u32),
    module: (u32, u32),
}

impl Entry {
    /// The line `ADDRESS KIND NAME [MODULE]`, which begins `start` bytes into the text.
    fn of_line(line: &[u8], start: usize) -> Option<Self> {
        let digits = line.iter().position(|byte| *byte == b' ').filter(|digits| (1..=16).contains(digits))?;
        let mut address = 0;
        for digit in &line[..digits] {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            address = address << 4 | u64::from(value);
        }
        let (kind, at) = (*line.get(digits + 1)?, digits + 3);
        let name = line.get(at..).filter(|name| address != 0 && line[at - 1] == b' ' && !name.is_empty())?;
        // `__pfx_` symbols name the padding before a function, never code that runs.
        if name.starts_with(b"__pfx_") {
            return None;
        }
        let end = name.iter().position(|byte| matches!(byte, b'\t' | b' ')).unwrap_or(name.len());
        let module = match &name[end..] {
            [_, b'[', module @ .., b']'] => ((start + at + end + 2) as u32, module.len() as u32),
            _ => (0, 0),
        };
        Some(Self { address, kind, name: ((start + at) as u32, end as u32), module })
    }
}

/// All symbols, by address.
pub struct Symbols {
    text: String,
    entries: Vec<Entry>,
    /// Hashes of the names, each above the number of its entry, in order; made when a name is first asked for.
    by_name: OnceLock<Vec<u64>>,
}

/// 32 bits of hash of a name (FNV-1a by words), in the upper half.
fn hash(name: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in name.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(PRIME);
        hash ^= hash >> 32;
    }
    hash << 32
}

impl Symbols {
    /// The running kernel's.
    ///
    /// # Errors
    /// When they cannot be read, or their addresses are hidden.
    pub fn read() -> Result<Self, SymbolsError> {
        let mut text = String::with_capacity(TEXT_BYTES_USUAL);
        std::fs::File::open("/proc/kallsyms")?.read_to_string(&mut text)?;
        let symbols = Self::parse(text);
        if symbols.entries.is_empty() { Err(SymbolsError::Hidden) } else { Ok(symbols) }
    }

    /// Parses text in the form of `/proc/kallsyms`; lines that are not of it, or without an address, are left out.
    pub fn parse(text: String) -> Self {
        let mut entries = Vec::with_capacity(text.len() / LINE_BYTES_USUAL);
        let mut start = 0;
        // Bytes, not words: there are some two hundred thousand lines, and the audit waits for them.
        while start < text.len() {
            let line = &text.as_bytes()[start..];
            let len = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
            entries.extend(Entry::of_line(&line[..len], start));
            start += len + 1;
        }
        entries.sort_by_key(|e| e.address);
        Self { text, entries, by_name: OnceLock::new() }
    }

    fn name_of(&self, entry: &Entry) -> &[u8] {
        let (start, len) = entry.name;
        &self.text.as_bytes()[start as usize..(start + len) as usize]
    }

    /// The entries called `name`, by address.
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        let by_name = self.by_name.get_or_init(|| {
            let hashed = |(number, entry): (u64, &Entry)| hash(self.name_of(entry)) | number;
            let mut by_name: Vec<u64> = (0..).zip(&self.entries).map(hashed).collect();
            by_name.sort_unstable();
            by_name
        });
        let wanted = hash(name.as_bytes());
        let first = by_name.partition_point(|hashed| *hashed < wanted);
        let alike = by_name[first..].iter().take_while(move |hashed| *hashed >> 32 == wanted >> 32);
        alike.map(|hashed| &self.entries[*hashed as u32 as usize]).filter(move |e| self.name_of(e) == name.as_bytes())
    }

    fn slice(&self, (start, len): (u32, u32)) -> &str {
        self.text.get(start as usize..(start + len) as usize).unwrap_or_default()
    }

    /// The symbol that `address` lies in.
    pub fn resolve(&self, address: u64) -> Option<Symbol<'_>> {
        let after = self.entries.partition_point(|e| e.address <= address);
        let last = self.entries.get(after.checked_sub(1)?)?;
        let first = self.entries.partition_point(|e| e.address < last.address);
        let entry = self.entries[first..after].iter().min_by_key(|e| !matches!(e.kind, b'T' | b't'))?;
        Some(Symbol { name: self.slice(entry.name), offset: address - entry.address, module: self.slice(entry.module) })
    }

    /// `address` as `symbol+0xoffset [module]`, else as a number.
    pub fn render(&self, address: u64) -> String {
        self.resolve(address).map_or_else(|| format!("{address:#x}"), |s| s.to_string())
    }

    /// The function that begins at `address`.
    pub fn function_at(&self, address: u64) -> Option<Symbol<'_>> {
        self.resolve(address).filter(|s| s.offset == 0)
    }

    /// Whether `address` lies in code (a text symbol).
    pub fn is_text(&self, address: u64) -> bool {
        let after = self.entries.partition_point(|e| e.address <= address);
        after > 0 && matches!(self.entries[after - 1].kind, b'T' | b't' | b'W' | b'w')
    }

    /// Whether a function has this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.named(name).any(|e| matches!(e.kind, b'T' | b't' | b'W' | b'w'))
    }

    /// Address of the first symbol behind `address`.
    pub fn end_of(&self, address: u64) -> Option<u64> {
        let after = self.entries.partition_point(|e| e.address <= address);
        self.entries.get(after).map(|entry| entry.address)
    }

    /// Addresses of every symbol `name`.
    pub fn addresses(&self, name: &str) -> Vec<u64> {
        self.named(name).map(|e| e.address).collect()
    }

    /// Data symbols whose name `wanted` accepts: address, name, module.
    pub fn data(&self, wanted: impl Fn(&str) -> bool) -> Vec<(u64, &str, &str)> {
        let is_data = |e: &&Entry| matches!(e.kind, b'd' | b'D' | b'r' | b'R' | b'b' | b'B');
        let found = |e: &Entry| (e.address, self.slice(e.name), self.slice(e.module));
        self.entries.iter().filter(is_data).map(found).filter(|(_, name, _)| wanted(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "ffffffff81000000 T _text\nffffffff81000100 d not_code\nffffffff81000100 t vfs_create\n\
                          ffffffff810000f0 t __pfx_vfs_create\nffffffffc0000000 t xfs_vn_create\t[xfs]\n\
                          ffffffff82000000 r ext4_dir_inode_operations\n0000000000000000 t hidden\n";

    #[test]
    fn an_address_resolves_to_the_function_before_it() {
        let symbols = Symbols::parse(SAMPLE.to_owned());
        assert_eq!(symbols.render(0xffff_ffff_8100_0123), "vfs_create+0x23");
        assert_eq!(symbols.render(0xffff_ffff_c000_0010), "xfs_vn_create+0x10 [xfs]");
        assert_eq!(symbols.render(0x1000), "0x1000");
        assert!(symbols.function_at(0xffff_ffff_8100_0123).is_none());
    }

    #[test]
    fn data_symbols_are_told_from_code() {
        let symbols = Symbols::parse(SAMPLE.to_owned());
        let tables = symbols.data(|name| name.ends_with("inode_operations"));
        assert_eq!(tables, [(0xffff_ffff_8200_0000, "ext4_dir_inode_operations", "")]);
        assert!(symbols.is_text(0xffff_ffff_c000_0000));
        assert!(!symbols.is_text(0xffff_ffff_8200_0000));
    }

    #[test]
    fn every_symbol_of_a_name_is_found() {
        let symbols = Symbols::parse(format!("{SAMPLE}ffffffffc0000100 d vfs_create\t[other]\n"));
        assert_eq!(symbols.addresses("vfs_create"), [0xffff_ffff_8100_0100, 0xffff_ffff_c000_0100]);
        assert!(symbols.has_function("xfs_vn_create"));
        assert!(!symbols.has_function("ext4_dir_inode_operations"), "data");
        assert!(symbols.addresses("vfs_creat").is_empty());
        let many: Vec<String> = (1..5000).map(|n| format!("{n:x} t function_{n}\n")).collect();
        let many = Symbols::parse(many.concat());
        assert!((1..5000).all(|n| many.addresses(&format!("function_{n}")) == [n]));
        assert!(Symbols::parse(String::new()).addresses("vfs_create").is_empty());
    }

    #[test]
    fn hidden_addresses_leave_nothing() {
        assert!(Symbols::parse("0000000000000000 T _text\n".to_owned()).entries.is_empty());
    }
}
