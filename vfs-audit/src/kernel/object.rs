//! One object of the kernel's, read whole: its members by path.

use std::{cell::RefCell, collections::HashMap};

use super::peek::Memory;
use crate::btf::Btf;

/// A struct and how many bytes of it one read brings.
pub(super) struct Shape {
    name: String,
    bytes: usize,
    /// What BTF was asked already: it takes a while to answer, and there are many objects.
    offsets: RefCell<HashMap<String, Option<u32>>>,
}

impl Shape {
    /// # Errors
    /// This kernel has no such struct.
    pub(super) fn of(btf: &Btf, name: &str) -> Result<Self, String> {
        let bytes = btf.size_of(name).ok_or_else(|| format!("no struct {name}"))?;
        let bytes = (bytes as usize).min(vfs_audit_common::PEEK_BYTES);
        Ok(Self { name: name.to_owned(), bytes, offsets: RefCell::default() })
    }

    /// Byte offset of a member; nothing when this kernel's struct has no such one.
    pub(super) fn offset(&self, btf: &Btf, path: &[&str]) -> Option<u64> {
        let mut offsets = self.offsets.borrow_mut();
        let key = path.join(".");
        let offset = *offsets.entry(key).or_insert_with(|| btf.offset_of(&self.name, path).ok());
        offset.map(u64::from)
    }
}

/// An object as it was at one moment.
pub(super) struct Object<'a> {
    pub(super) address: u64,
    shape: &'a Shape,
    btf: &'a Btf,
    bytes: Vec<u8>,
}

impl<'a> Object<'a> {
    /// The object at `address`; nothing where nothing can be read.
    pub(super) fn read(memory: &impl Memory, btf: &'a Btf, shape: &'a Shape, address: u64) -> Option<Self> {
        if address == 0 {
            return None;
        }
        Some(Self { address, shape, btf, bytes: memory.bytes(address, shape.bytes)? })
    }

    fn at(&self, path: &[&str], len: usize) -> Option<&[u8]> {
        let offset = self.shape.offset(self.btf, path)? as usize;
        self.bytes.get(offset..offset + len)
    }

    /// The 8 bytes of a member; 0 when this kernel's struct has no such member.
    pub(super) fn word(&self, path: &[&str]) -> u64 {
        self.at(path, 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    /// The 4 bytes of a member, 0 likewise.
    pub(super) fn half(&self, path: &[&str]) -> u32 {
        self.at(path, 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// A text within the object.
    pub(super) fn text(&self, path: &[&str], len: usize) -> String {
        let bytes = self.at(path, len).unwrap_or_default();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}
