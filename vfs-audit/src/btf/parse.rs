//! The decoder: header, type records, strings; a module's BTF continues the numbering of its base.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher as _},
    path::Path,
    sync::{Arc, OnceLock},
};

use thiserror::Error;

/// Number of a type; 0 is `void`.
pub type TypeId = u32;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// Bytes of one file: a distribution's vmlinux has 5 to 10 MiB.
const FILE_BYTES_MAX: usize = 256 << 20;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FWD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Why BTF could not be read.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file cannot be read: a kernel without `CONFIG_DEBUG_INFO_BTF`, or no right to read it.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is no BTF, or damaged.
    #[error("{path} is not valid BTF: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong, and at which type or byte.
        what: String,
    },
}

/// One type, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// `void`, or a kind without structure (enum, var, section, float, tag).
    Plain,
    /// Integer of so many bytes.
    Int(u32),
    /// Pointer.
    Pointer(TypeId),
    /// Array: element type, number of elements.
    Array(TypeId, u32),
    /// Struct or union: size in bytes, members.
    Struct(u32, Vec<Member>),
    /// A struct that is only declared.
    Forward,
    /// Typedef.
    Typedef(TypeId),
    /// `const`, `volatile`, `restrict`, type tag.
    Modifier(TypeId),
    /// Function: its prototype.
    Function(TypeId),
    /// Prototype: return type, parameter types.
    Prototype(TypeId, Vec<TypeId>),
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name; empty for an anonymous struct or union.
    pub name: String,
    /// Its type.
    pub type_id: TypeId,
    /// Bits from the start of the struct.
    pub bit_offset: u32,
}

/// The types of vmlinux, or of one module on top of it.
pub struct Btf {
    base: Option<Arc<Btf>>,
    pub(super) data: Vec<u8>,
    /// Byte offset of each record of this file in `data`.
    records: Vec<u32>,
    first_id: TypeId,
    strings: (usize, usize),
    first_string: u32,
    structs: HashMap<String, TypeId>,
    /// Hash of the name and type number of each function of this file, in order; made when it is first asked for.
    functions: OnceLock<Vec<(u64, TypeId)>>,
}

/// A hash of a function's name, for finding it quickly; names are compared in full besides.
fn name_hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    hasher.finish()
}

fn damaged(path: &str, what: impl Into<String>) -> BtfError {
    BtfError::Damaged { path: path.to_owned(), what: what.into() }
}

impl Btf {
    /// Reads a file: `/sys/kernel/btf/vmlinux` with no base, `/sys/kernel/btf/MODULE` with vmlinux as its base.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn read(path: &Path, base: Option<Arc<Btf>>) -> Result<Self, BtfError> {
        let name = path.display().to_string();
        let data = std::fs::read(path).map_err(|source| BtfError::Read { path: name.clone(), source })?;
        Self::parse(data, base, &name)
    }

    /// Decodes `data`; `name` is for messages.
    ///
    /// # Errors
    /// When it is no BTF or damaged.
    pub fn parse(data: Vec<u8>, base: Option<Arc<Btf>>, name: &str) -> Result<Self, BtfError> {
        let word = |at: usize| -> Result<u32, BtfError> {
            let bytes = data.get(at..at + 4).ok_or_else(|| damaged(name, format!("ends at byte {at}")))?;
            Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if data.len() < HEADER_LEN || u16::from_le_bytes([data[0], data[1]]) != MAGIC {
            return Err(damaged(name, "no BTF magic at its start"));
        }
        let header = word(4)? as usize;
        let (type_start, type_len) = (header + word(8)? as usize, word(12)? as usize);
        let strings = (header + word(16)? as usize, word(20)? as usize);
        if type_start + type_len > data.len() || strings.0 + strings.1 > data.len() {
            return Err(damaged(name, "sections reach past its end"));
        }
        // Record offsets and string numbers are 32 bits wide; sections overlap at will, so their sum is not bounded by this.
        if data.len() > FILE_BYTES_MAX {
            return Err(damaged(name, "larger than any kernel's"));
        }
        let (first_id, first_string) = base.as_ref().map_or((1, 0), |b| (b.next_id(), b.next_string()));
        let mut btf = Self {
            base,
            data,
            records: Vec::new(),
            first_id,
            strings,
            first_string,
            structs: HashMap::new(),
            functions: OnceLock::new(),
        };
        btf.index(type_start, type_start + type_len, name)?;
        Ok(btf)
    }

    fn index(&mut self, start: usize, end: usize, name: &str) -> Result<(), BtfError> {
        let mut at = start;
        while at < end {
            if at + 12 > end {
                return Err(damaged(name, format!("type {} is cut off", self.next_id())));
            }
            let id = self.next_id();
            self.records.push(at as u32);
            let info = self.word(at + 4);
            let kind = (info >> 24) & 0x1f;
            let vlen = (info & 0xffff) as usize;
            let extra = record_extra(kind, vlen)
                .ok_or_else(|| damaged(name, format!("type {id} is of unknown kind {kind}")))?;
            if matches!(kind, KIND_STRUCT | KIND_UNION) {
                let struct_name = self.string(self.word(at));
                if !struct_name.is_empty() {
                    self.structs.entry(struct_name.to_owned()).or_insert(id);
                }
            }
            at += 12 + extra;
        }
        if at == end { Ok(()) } else { Err(damaged(name, "its last type is cut off")) }
    }

    fn word(&self, at: usize) -> u32 {
        self.data.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn next_id(&self) -> TypeId {
        self.first_id + self.records.len() as u32
    }

    fn next_string(&self) -> u32 {
        self.first_string + self.strings.1 as u32
    }

    fn string(&self, offset: u32) -> &str {
        let section = self.strings_from(offset);
        let len = section.iter().position(|b| *b == 0).unwrap_or(0);
        std::str::from_utf8(&section[..len]).unwrap_or("")
    }

    /// The strings from `offset` on.
    fn strings_from(&self, offset: u32) -> &[u8] {
        if offset < self.first_string {
            return self.base.as_ref().map_or(&[], |base| base.strings_from(offset));
        }
        let start = self.strings.0 + (offset - self.first_string) as usize;
        self.data.get(start..self.strings.0 + self.strings.1).unwrap_or_default()
    }

    /// Whether the string at `offset` is `name`: most are told apart by their first bytes.
    fn is_string(&self, offset: u32, name: &str) -> bool {
        self.strings_from(offset).strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Byte offset of the record of `id` when it is in this file.
    fn record(&self, id: TypeId) -> Option<usize> {
        self.records.get(id.checked_sub(self.first_id)? as usize).map(|at| *at as usize)
    }

    /// The name of type `id`; empty when it has none.
    pub fn name(&self, id: TypeId) -> &str {
        match (self.record(id), &self.base) {
            (Some(at), _) => self.string(self.word(at)),
            (None, Some(base)) => base.name(id),
            (None, None) => "",
        }
    }

    /// The file that has type `id`, and the byte offset of its record there.
    fn place(&self, id: TypeId) -> Option<(&Self, usize)> {
        match self.record(id) {
            Some(at) => Some((self, at)),
            None => self.base.as_ref()?.place(id),
        }
    }

    /// What `id` stands for when it is a qualifier, or a typedef and those are `wanted`.
    pub(super) fn behind(&self, id: TypeId, typedefs_wanted: bool) -> Option<TypeId> {
        let (file, at) = self.place(id)?;
        let is_wanted = match (file.word(at + 4) >> 24) & 0x1f {
            KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => true,
            KIND_TYPEDEF => typedefs_wanted,
            _ => false,
        };
        is_wanted.then(|| file.word(at + 8))
    }

    /// The members of a struct or union, without their names: whether it is called `name`, whether it has none, byte offset, type.
    /// `None` for what is no struct.
    pub(super) fn members_called<'a>(
        &'a self,
        id: TypeId,
        name: &'a str,
    ) -> Option<impl Iterator<Item = (bool, bool, u32, TypeId)> + 'a> {
        let (file, at) = self.place(id)?;
        let info = file.word(at + 4);
        let (kind, vlen, has_bit_fields) = ((info >> 24) & 0x1f, (info & 0xffff) as usize, info >> 31 == 1);
        let member = move |n: usize| {
            let member = at + 12 + 12 * n;
            let (text, offset) = (file.word(member), file.word(member + 8));
            let bit_offset = if has_bit_fields { offset & 0x00ff_ffff } else { offset };
            (file.is_string(text, name), file.is_string(text, ""), bit_offset / 8, file.word(member + 4))
        };
        matches!(kind, KIND_STRUCT | KIND_UNION).then(|| (0..vlen).map(member))
    }

    /// Type `id`; an unknown number reads as [`TypeKind::Plain`].
    pub fn kind(&self, id: TypeId) -> TypeKind {
        let Some(at) = self.record(id) else {
            return self.base.as_ref().map_or(TypeKind::Plain, |base| base.kind(id));
        };
        let info = self.word(at + 4);
        let vlen = (info & 0xffff) as usize;
        let referred = self.word(at + 8);
        match (info >> 24) & 0x1f {
            KIND_INT => TypeKind::Int(referred),
            KIND_PTR => TypeKind::Pointer(referred),
            KIND_ARRAY => TypeKind::Array(self.word(at + 12), self.word(at + 20)),
            KIND_STRUCT | KIND_UNION => TypeKind::Struct(referred, self.members(at, vlen, info >> 31 == 1)),
            KIND_FWD => TypeKind::Forward,
            KIND_TYPEDEF => TypeKind::Typedef(referred),
            KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => TypeKind::Modifier(referred),
            KIND_FUNC => TypeKind::Function(referred),
            KIND_FUNC_PROTO => {
                TypeKind::Prototype(referred, (0..vlen).map(|n| self.word(at + 12 + 8 * n + 4)).collect())
            }
            _ => TypeKind::Plain,
        }
    }

    fn members(&self, at: usize, vlen: usize, bitfields: bool) -> Vec<Member> {
        (0..vlen)
            .map(|n| {
                let member = at + 12 + 12 * n;
                let offset = self.word(member + 8);
                Member {
                    name: self.string(self.word(member)).to_owned(),
                    type_id: self.word(member + 4),
                    bit_offset: if bitfields { offset & 0x00ff_ffff } else { offset },
                }
            })
            .collect()
    }

    /// The struct or union `name`.
    pub fn struct_named(&self, name: &str) -> Option<TypeId> {
        self.structs.get(name).copied().or_else(|| self.base.as_ref()?.struct_named(name))
    }

    /// The function `name`: the first of that name (in the base last).
    pub fn function_named(&self, name: &str) -> Option<TypeId> {
        self.own_functions_named(name).next().or_else(|| self.base.as_ref()?.function_named(name))
    }

    /// The functions `name` of this BTF, base left out, in the order of their type numbers.
    fn own_functions_named(&self, name: &str) -> impl Iterator<Item = TypeId> {
        let index = self.functions.get_or_init(|| self.function_index());
        let hash = name_hash(name.as_bytes());
        let first = index.partition_point(|(known, _)| *known < hash);
        let alike = index.iter().skip(first).take_while(move |(known, _)| *known == hash).map(|(_, id)| *id);
        alike.filter(move |id| self.name(*id) == name)
    }

    fn function_index(&self) -> Vec<(u64, TypeId)> {
        let hashed = |(n, at): (usize, &u32)| {
            let at = *at as usize;
            let is_function = (self.word(at + 4) >> 24) & 0x1f == KIND_FUNC;
            is_function.then(|| (name_hash(self.string(self.word(at)).as_bytes()), self.first_id + n as u32))
        };
        let mut index: Vec<(u64, TypeId)> = self.records.iter().enumerate().filter_map(hashed).collect();
        index.sort_unstable();
        index
    }

    /// Type numbers of the prototypes of the functions `name` of this BTF, base left out.
    pub fn prototypes_of(&self, name: &str) -> impl Iterator<Item = TypeId> {
        self.own_functions_named(name).filter_map(|id| {
            let TypeKind::Function(prototype) = self.kind(id) else { return None };
            Some(prototype)
        })
    }

    /// The value of enumerator `name` of any enum (32 bits); the first that is found.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        let values = |at: &u32| {
            let at = *at as usize;
            let info = self.word(at + 4);
            let len = if (info >> 24) & 0x1f == KIND_ENUM { (info & 0xffff) as usize } else { 0 };
            (0..len).map(move |n| at + 12 + 8 * n)
        };
        let found = self.records.iter().flat_map(values).find(|at| self.is_string(self.word(*at), name));
        found.map(|at| self.word(at + 4)).or_else(|| self.base.as_ref()?.enumerator(name))
    }

    /// Typedef `name`: the type that it stands for.
    pub fn typedef_named(&self, name: &str) -> Option<TypeId> {
        let found = self
            .records
            .iter()
            .map(|at| *at as usize)
            .find(|at| (self.word(at + 4) >> 24) & 0x1f == KIND_TYPEDEF && self.is_string(self.word(*at), name));
        found.map(|at| self.word(at + 8)).or_else(|| self.base.as_ref()?.typedef_named(name))
    }

    /// Functions with their prototypes' types, base left out: place of the record and type number of the prototype.
    pub(super) fn functions(&self) -> impl Iterator<Item = (usize, TypeId)> {
        let is_function = |at: &usize| (self.word(at + 4) >> 24) & 0x1f == KIND_FUNC;
        let records = self.records.iter().map(|at| *at as usize).filter(is_function);
        records.map(|at| (at, self.word(at + 8)))
    }

    /// The name in the record at `at`, see [`Self::functions`].
    pub(super) fn function_name(&self, at: usize) -> &str {
        self.string(self.word(at))
    }

    /// Bytes of a value of type `id`; 0 for what has none.
    pub fn width_of(&self, id: TypeId) -> u32 {
        let id = self.strip(id);
        match self.kind(id) {
            TypeKind::Int(bytes) | TypeKind::Struct(bytes, _) => bytes,
            TypeKind::Pointer(_) => 8,
            TypeKind::Plain => self.enum_bytes(id),
            // A typedef or a qualifier is left over where they go round in circles.
            TypeKind::Typedef(_)
            | TypeKind::Modifier(_)
            | TypeKind::Array(..)
            | TypeKind::Forward
            | TypeKind::Function(_)
            | TypeKind::Prototype(..) => 0,
        }
    }

    fn enum_bytes(&self, id: TypeId) -> u32 {
        let Some(at) = self.record(id) else { return self.base.as_ref().map_or(0, |base| base.enum_bytes(id)) };
        if matches!((self.word(at + 4) >> 24) & 0x1f, KIND_ENUM | KIND_ENUM64) { self.word(at + 8) } else { 0 }
    }
}

/// Bytes that follow the 12-byte record of a type.
fn record_extra(kind: u32, vlen: usize) -> Option<usize> {
    Some(match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_PTR | KIND_FWD | KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_FUNC | KIND_FLOAT
        | KIND_TYPE_TAG => 0,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * vlen,
        KIND_ENUM | KIND_FUNC_PROTO => 8 * vlen,
        _ => return None,
    })
}
