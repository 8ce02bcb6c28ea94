//! Trampolines: programs for one function each, which the kernel proves for its type.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
};

use super::{
    object::{ModuleTypes, Object},
    sys::{self, Purpose, TRACE_FENTRY, TRACE_FEXIT},
};
use crate::btf::Btf;

/// Attaches `program`, fentry or by its name's end fexit, to one function: its program and its link.
///
/// # Errors
/// In words: no BTF, no such function, or the kernel's refusal.
pub(super) fn trampoline(
    object: &Object,
    btf: &Arc<Btf>,
    function: &str,
    module: &str,
    program: &str,
) -> Result<[OwnedFd; 2], String> {
    let loaded = trampoline_program(object, btf, function, module, program)?;
    let link = sys::link_tracing(loaded.as_raw_fd()).map_err(|e| e.to_string())?;
    Ok([loaded, link])
}

/// Loads `program` for one function, see [`trampoline`], and attaches it to nothing yet.
///
/// # Errors
/// As with [`trampoline`].
pub(super) fn trampoline_program(
    object: &Object,
    btf: &Arc<Btf>,
    function: &str,
    module: &str,
    program: &str,
) -> Result<OwnedFd, String> {
    let at_exit = program == "callback_fexit" || program.contains("_if_");
    let attach_type = if at_exit { TRACE_FEXIT } else { TRACE_FENTRY };
    let (purpose, _of_module) = tracing(object, btf, (function, module), attach_type)?;
    object.program(program, purpose).map_err(|e| e.to_string())
}

/// What a trampoline's program for one function (of a module) is loaded for; the types must live until then.
///
/// # Errors
/// In words: no BTF, or no such function.
pub(super) fn tracing(
    object: &Object,
    btf: &Arc<Btf>,
    (function, module): (&str, &str),
    attach_type: u32,
) -> Result<(Purpose, Option<Arc<ModuleTypes>>), String> {
    let of_module = (!module.is_empty()).then(|| object.module(module, btf)).transpose()?;
    let function_id = of_module.as_ref().map_or(btf.as_ref(), |types| &types.btf).function_named(function);
    let btf_id = function_id.ok_or_else(|| format!("BTF has no function {function}"))?;
    let module_fd = of_module.as_ref().map(|types| types.fd.as_raw_fd());
    Ok((Purpose::Tracing { attach_type, btf_id, btf: module_fd }, of_module))
}
