//! BTF: what the running kernel says of its own structures and functions.
//!
//! `parse` decodes the types of vmlinux and, on top of it, of a module; `layout` answers where a member lies and which
//! type an argument has. Source of the format: the kernel's Documentation/bpf/btf.rst.

mod layout;
mod parse;

pub use layout::{Prototype, Step};
pub use parse::{Btf, BtfError, Member, TypeId, TypeKind};
