//! Trampolines: programs for one function each, which the kernel proves for its type.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    sync::Arc,
};

use super::{
    object::Object,
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
    let (purpose, _of_module) = tracing(btf, function, module, attach_type)?;
    object.program(program, purpose).map_err(|e| e.to_string())
}

/// What a trampoline's program for one function is loaded for; the descriptor must live until then.
///
/// # Errors
/// In words: no BTF, or no such function.
pub(super) fn tracing(
    btf: &Arc<Btf>,
    function: &str,
    module: &str,
    attach_type: u32,
) -> Result<(Purpose, Option<OwnedFd>), String> {
    let (function_id, of_module) = if module.is_empty() {
        (btf.function_named(function), None)
    } else {
        let path = Path::new("/sys/kernel/btf").join(module);
        let split = Btf::read(&path, Some(Arc::clone(btf))).map_err(|e| e.to_string())?;
        (split.function_named(function), Some(sys::module_btf(module).map_err(|e| e.to_string())?))
    };
    let btf_id = function_id.ok_or_else(|| format!("BTF has no function {function}"))?;
    let module_fd = of_module.as_ref().map(std::os::fd::AsRawFd::as_raw_fd);
    Ok((Purpose::Tracing { attach_type, btf_id, btf: module_fd }, of_module))
}
