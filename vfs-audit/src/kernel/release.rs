//! The kernel's name for itself, for reports; no decision is taken from it but the choice of a document.

use std::ffi::CStr;

/// `uname(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRelease {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `uname -m`.
    pub machine: String,
}

fn text(field: &[libc::c_char]) -> String {
    // SAFETY: the kernel terminates every field of `utsname` with a NUL inside the array.
    unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
}

impl KernelRelease {
    /// The running kernel's.
    ///
    /// # Errors
    /// What `uname(2)` says.
    pub fn running() -> std::io::Result<Self> {
        // SAFETY: a plain C struct of arrays, for which zero bytes are a valid value.
        let mut names: libc::utsname = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a `utsname` of ours.
        if unsafe { libc::uname(&raw mut names) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self { release: text(&names.release), version: text(&names.version), machine: text(&names.machine) })
    }
}
