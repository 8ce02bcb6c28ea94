//! The eBPF object: maps and raw tracepoints through aya, and beside it the instructions of each program, relocated to the
//! same maps, for the kinds of attachment that aya does not have (see `sys`).

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
    path::Path,
    sync::Arc,
};

use aya::{Ebpf, EbpfLoader, VerifierLogLevel, maps::Map};
use thiserror::Error;
use vfs_audit_common::{CAST_CALL, KernelOffsets, LockdepOffsets, WIRE_VERSION};

use super::{
    hooks::Sizes,
    sys::{self, Purpose},
};
use crate::btf::Btf;

/// The object, put into the binary by `cargo xtask build`; empty in a build without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vfs-audit-ebpf.o"));
/// The section that carries the object's wire version.
const WIRE_SECTION: &str = ".rodata.wire";

/// Why the eBPF side cannot be used.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// The binary was built without it.
    #[error("this vfs-audit was built without its eBPF programs; build it with `cargo xtask build`")]
    NotBuiltIn,
    /// aya cannot load it.
    #[error("cannot load the eBPF programs")]
    Load(#[from] aya::EbpfError),
    /// It cannot be parsed or relocated.
    #[error("the eBPF object is damaged: {0}")]
    Damaged(String),
}

/// The loaded object.
pub(super) struct Object {
    /// Maps and the programs that aya attaches.
    pub ebpf: Ebpf,
    instructions: BTreeMap<String, Vec<u8>>,
    /// Number of the kernel function `bpf_rdonly_cast`, when the programs may use it.
    cast: Option<u32>,
    offsets: KernelOffsets,
    /// Types of modules that hooks were looked up in, by module.
    modules: RefCell<BTreeMap<String, Arc<ModuleTypes>>>,
}

/// The types of a module: ours to look in, and the kernel's.
pub(super) struct ModuleTypes {
    pub(super) btf: Btf,
    pub(super) fd: OwnedFd,
}

fn map_fd(map: &Map) -> Option<RawFd> {
    let (Map::Array(data)
    | Map::PerCpuArray(data)
    | Map::HashMap(data)
    | Map::PerCpuHashMap(data)
    | Map::ProgramArray(data)
    | Map::Queue(data)
    | Map::RingBuf(data)) = map
    else {
        return None;
    };
    Some(data.fd().as_fd().as_raw_fd())
}

impl Object {
    /// Loads maps and globals; programs are loaded when they are attached.
    ///
    /// # Errors
    /// When the object is not there, damaged, or refused.
    pub(super) fn load(
        offsets: &KernelOffsets,
        lockdep: &LockdepOffsets,
        cast: Option<u32>,
        sizes: Sizes,
    ) -> Result<Self, ObjectError> {
        if OBJECT.is_empty() {
            return Err(ObjectError::NotBuiltIn);
        }
        let mut loader = EbpfLoader::new();
        // No CO-RE relocations in the object: offsets come as globals, so aya need not read vmlinux' BTF.
        loader.btf(None).verifier_log_level(VerifierLogLevel::DISABLE).override_global("OFFSETS", offsets, true);
        loader.map_max_entries("COUNTS", sizes.keys).map_max_entries("EVENTS", sizes.ring_bytes);
        loader.override_global("LOCKDEP", lockdep, true);
        let ebpf = loader.load(OBJECT)?;
        let instructions = instructions(&ebpf)?;
        Ok(Self { ebpf, instructions, cast, offsets: *offsets, modules: RefCell::default() })
    }

    /// The types of `module`, read once until [`Self::forget_modules`].
    ///
    /// # Errors
    /// In words: the kernel offers none.
    pub(super) fn module(&self, module: &str, vmlinux: &Arc<Btf>) -> Result<Arc<ModuleTypes>, String> {
        if let Some(known) = self.modules.borrow().get(module) {
            return Ok(Arc::clone(known));
        }
        let path = Path::new("/sys/kernel/btf").join(module);
        let btf = Btf::read(&path, Some(Arc::clone(vmlinux))).map_err(|e| e.to_string())?;
        let types = Arc::new(ModuleTypes { btf, fd: sys::module_btf(module).map_err(|e| e.to_string())? });
        self.modules.borrow_mut().insert(module.to_owned(), Arc::clone(&types));
        Ok(types)
    }

    /// Modules come and go, and so do their types.
    pub(super) fn forget_modules(&self) {
        self.modules.borrow_mut().clear();
    }

    /// Where everything is, and the number of `bpf_rdonly_cast`, when the programs read memory by it.
    pub(super) fn cast(&self) -> Option<(&KernelOffsets, u32)> {
        Some((&self.offsets, self.cast?))
    }

    /// The descriptor of a map.
    pub(super) fn map(&self, name: &str) -> Option<RawFd> {
        map_fd(self.ebpf.map(name)?)
    }

    /// Whether the programs read memory by `bpf_rdonly_cast`.
    pub(super) fn reads_by_cast(&self) -> bool {
        self.cast.is_some()
    }

    /// Makes `program` what the only place of program array `map` leads to.
    ///
    /// # Errors
    /// The kernel's: where a program of this type cannot be called by those that use the map.
    pub(super) fn set_program(&self, map: &str, program: RawFd) -> std::io::Result<()> {
        let fd = self.map(map);
        let fd = fd.ok_or_else(|| std::io::Error::other(format!("the eBPF object has no map {map}")))?;
        sys::set_program(fd, 0, program)
    }

    /// Loads program `name` for `purpose`.
    ///
    /// # Errors
    /// The kernel's, with the verifier's reason.
    pub(super) fn program(&self, name: &str, purpose: Purpose) -> std::io::Result<OwnedFd> {
        let instructions = self
            .instructions
            .get(name)
            .ok_or_else(|| std::io::Error::other(format!("the eBPF object has no program {name}")))?;
        match self.cast {
            Some(function) => sys::load(name, &with_cast(instructions, function), purpose),
            None => sys::load(name, instructions, purpose),
        }
    }
}

/// Every program's instructions, with calls linked and map references resolved to the maps of `ebpf`.
fn instructions(ebpf: &Ebpf) -> Result<BTreeMap<String, Vec<u8>>, ObjectError> {
    let damaged = |e: &dyn std::fmt::Display| ObjectError::Damaged(e.to_string());
    let mut object = aya_obj::Object::parse(OBJECT).map_err(|e| damaged(&e))?;
    check_wire_version(&object)?;
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let definitions = object.maps.clone();
    let maps: Vec<(&str, RawFd, &aya_obj::Map)> = definitions
        .iter()
        .filter_map(|(name, definition)| Some((name.as_str(), map_fd(ebpf.map(name)?)?, definition)))
        .collect();
    object.relocate_maps(maps.into_iter(), &sections).map_err(|e| damaged(&e))?;
    object.relocate_calls(&sections).map_err(|e| damaged(&e))?;
    let bytes = |program: &aya_obj::Program| {
        let function = object.functions.get(&program.function_key())?;
        // `bpf_insn` is 8 bytes: code, registers, offset, immediate.
        let raw = |insn: &aya_obj::generated::bpf_insn| {
            let mut bytes = [0u8; 8];
            bytes[0] = insn.code;
            bytes[1] = insn.dst_reg() | insn.src_reg() << 4;
            bytes[2..4].copy_from_slice(&insn.off.to_ne_bytes());
            bytes[4..8].copy_from_slice(&insn.imm.to_ne_bytes());
            bytes
        };
        Some(function.instructions.iter().flat_map(raw).collect())
    };
    Ok(object.programs.iter().filter_map(|(name, program)| Some((name.clone(), bytes(program)?))).collect())
}

/// The instructions with the place-holder call replaced by a call of kernel function `function`.
fn with_cast(instructions: &[u8], function: u32) -> Vec<u8> {
    /// `BPF_JMP | BPF_CALL`.
    const CALL: u8 = 0x85;
    /// `BPF_PSEUDO_KFUNC_CALL` in the source register's half of the register byte.
    const KERNEL_FUNCTION: u8 = 2 << 4;
    let mut patched = instructions.to_vec();
    for insn in patched.chunks_exact_mut(8) {
        if insn[0] == CALL && insn[1] == 0 && insn[4..8] == CAST_CALL.to_ne_bytes() {
            insn[1] = KERNEL_FUNCTION;
            insn[4..8].copy_from_slice(&function.to_ne_bytes());
        }
    }
    patched
}

/// The object's wire version must be ours.
fn check_wire_version(object: &aya_obj::Object) -> Result<(), ObjectError> {
    let bytes = object.maps.get(WIRE_SECTION).and_then(|map| map.data().first_chunk());
    match bytes.map(|bytes| u32::from_le_bytes(*bytes)) {
        Some(WIRE_VERSION) => Ok(()),
        Some(other) => Err(ObjectError::Damaged(format!("it speaks wire version {other}, this daemon {WIRE_VERSION}"))),
        None => Err(ObjectError::Damaged("it does not say its wire version".to_owned())),
    }
}
