//! BTF: whatever the types say, every question has an answer in finite time. The first two bytes tell where a module's BTF
//! begins, which is read on top of what stands before it.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vfs_audit::btf::Btf;

fn ask(btf: &Btf) {
    for name in ["inode", "list"] {
        let _ = btf.offset_of(name, &["head", "next"]);
        let _ = btf.walk(name, &["up", "head", "next"]);
        let _ = (btf.size_of(name), btf.slots(name).len());
        let _ = (btf.value_at(name, &["up", "head"]), btf.offset_in_typedef(name, "head"), btf.enumerator(name));
    }
    for id in 0..64 {
        let _ = (btf.kind(id), btf.name(id).len(), btf.width_of(id));
    }
    let prototypes: Vec<u32> = btf.function_named("op").into_iter().chain(btf.prototypes_of("op")).collect();
    let _ = prototypes.into_iter().filter_map(|id| btf.arguments_of(id)).count();
    let _ = btf.functions_taking(&["inode".to_owned()]);
}

fuzz_target!(|data: &[u8]| {
    let Some((split, data)) = data.split_first_chunk::<2>() else { return };
    let (base, module) = data.split_at(usize::from(u16::from_le_bytes(*split)).min(data.len()));
    let Ok(base) = Btf::parse(base.to_vec(), None, "input") else { return };
    ask(&base);
    if let Ok(module) = Btf::parse(module.to_vec(), Some(Arc::new(base)), "module") {
        ask(&module);
    }
});
