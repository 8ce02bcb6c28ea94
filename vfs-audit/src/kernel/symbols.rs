//! Kernel symbols from `/proc/kallsyms`: address to name, name to address.

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

struct Entry {
    address: u64,
    kind: u8,
    name: (u32, u32),
    module: (u32, u32),
}

/// All symbols, by address.
pub struct Symbols {
    text: String,
    entries: Vec<Entry>,
}

impl Symbols {
    /// The running kernel's.
    ///
    /// # Errors
    /// When they cannot be read, or their addresses are hidden.
    pub fn read() -> Result<Self, SymbolsError> {
        let symbols = Self::parse(std::fs::read_to_string("/proc/kallsyms")?);
        if symbols.entries.is_empty() { Err(SymbolsError::Hidden) } else { Ok(symbols) }
    }

    /// Parses text in the form of `/proc/kallsyms`; lines that are not of it, or without an address, are left out.
    pub fn parse(text: String) -> Self {
        let base = text.as_ptr() as usize;
        let span = |s: &str| ((s.as_ptr() as usize - base) as u32, s.len() as u32);
        let mut entries: Vec<Entry> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                let address = u64::from_str_radix(words.next()?, 16).ok().filter(|a| *a != 0)?;
                let kind = words.next()?.bytes().next()?;
                let name = words.next()?;
                let module = words.next().map_or("", |m| m.trim_matches(['[', ']']));
                let module = if module.is_empty() { (0, 0) } else { span(module) };
                // `__pfx_` symbols name the padding before a function, never code that runs.
                (!name.starts_with("__pfx_")).then(|| Entry { address, kind, name: span(name), module })
            })
            .collect();
        entries.sort_by_key(|e| e.address);
        Self { text, entries }
    }

    fn slice(&self, (start, len): (u32, u32)) -> &str {
        &self.text[start as usize..(start + len) as usize]
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

    /// Names of everything in code.
    pub fn text_names(&self) -> std::collections::HashSet<&str> {
        let text = self.entries.iter().filter(|e| matches!(e.kind, b'T' | b't' | b'W' | b'w'));
        text.map(|e| self.slice(e.name)).collect()
    }

    /// Address of the first symbol behind `address`.
    pub fn end_of(&self, address: u64) -> Option<u64> {
        let after = self.entries.partition_point(|e| e.address <= address);
        self.entries.get(after).map(|entry| entry.address)
    }

    /// Addresses of every symbol `name`.
    pub fn addresses(&self, name: &str) -> Vec<u64> {
        self.entries.iter().filter(|e| self.slice(e.name) == name).map(|e| e.address).collect()
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
    fn hidden_addresses_leave_nothing() {
        assert!(Symbols::parse("0000000000000000 T _text\n".to_owned()).entries.is_empty());
    }
}
