//! A violation's identity, the same from run to run, from boot to boot and from machine to machine.

use super::judge::Finding;
use crate::observation::Observation;

/// FNV-1a, 64 bits: its offset basis and prime are the published ones.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Hash of rule, callback, file system, caller and what was found; never of an address, an offset or a count.
pub(super) fn fingerprint(rule: &str, observation: &Observation, findings: &[Finding]) -> String {
    let mut hash = OFFSET_BASIS;
    let mut take = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    };
    take(rule);
    take(symbol(&observation.callback));
    take(&observation.fs);
    take(symbol(&observation.caller));
    for finding in findings {
        take(&finding.code);
    }
    format!("{hash:016x}")
}

/// A symbol without what a compiler, an address or a build adds to it (`vfs_rename+0x1f0`, `vfs_rename.part.0`).
pub(super) fn symbol(text: &str) -> &str {
    let end = text.find(['+', ' ']).unwrap_or(text.len());
    let bare = &text[..end];
    match bare.find('.') {
        Some(dot) if dot > 0 => &bare[..dot],
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::symbol;

    #[test]
    fn a_symbol_loses_its_offset_its_module_and_its_compiler_suffix() {
        for text in
            ["vfs_rename", "vfs_rename+0x1f0", "vfs_rename+0x1f0/0x900", "vfs_rename.part.0+0x1", "vfs_rename [mod]"]
        {
            assert_eq!(symbol(text), "vfs_rename");
        }
        assert_eq!(symbol(".text"), ".text");
        assert_eq!(symbol(""), "");
    }
}
