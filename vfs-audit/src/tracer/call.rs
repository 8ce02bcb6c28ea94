//! How a call was made, read from the instruction before its return address (x86-64).

use crate::kernel::{Memory, Symbols};

/// Bytes of the longest call instruction.
const CALL_BYTES_MAX: u64 = 7;
/// Bytes of `call rel32`.
const DIRECT_BYTES: usize = 5;

/// A call instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `call` of this function.
    Direct(u64),
    /// Through a register, memory, or a retpoline.
    Indirect,
    /// Could not be told (a tracer's trampoline, code that was freed).
    Unknown,
}

/// The call that returns to `after`.
pub(super) fn call_at(memory: &dyn Memory, symbols: &Symbols, after: u64) -> Call {
    if after < CALL_BYTES_MAX || !symbols.is_text(after) {
        return Call::Unknown;
    }
    let Some(code) = memory.bytes(after - CALL_BYTES_MAX, CALL_BYTES_MAX as usize) else { return Call::Unknown };
    let tail = &code[code.len() - DIRECT_BYTES..];
    if tail[0] == 0xe8 {
        let relative = i32::from_le_bytes([tail[1], tail[2], tail[3], tail[4]]);
        let target = after.wrapping_add_signed(i64::from(relative));
        if let Some(function) = symbols.function_at(target) {
            let is_thunk = function.name.starts_with("__x86_indirect_");
            return if is_thunk { Call::Indirect } else { Call::Direct(target) };
        }
    }
    if is_indirect(&code) { Call::Indirect } else { Call::Unknown }
}

/// Whether `code` ends in `call` through a register or memory: opcode ff /2, 2 to 7 bytes, perhaps with a prefix before.
fn is_indirect(code: &[u8]) -> bool {
    (2..=code.len()).any(|len| {
        let call = &code[code.len() - len..];
        let (opcode, modrm) = (call[0], call[1]);
        // mod, reg = 2, rm: which displacement and index bytes follow.
        let displacement = match (modrm >> 6, modrm & 7) {
            (0, 5) | (2, _) => 4,
            (0 | 3, _) => 0,
            _ => 1,
        };
        let index = usize::from(modrm >> 6 != 3 && modrm & 7 == 4);
        opcode == 0xff && (modrm >> 3) & 7 == 2 && len == 2 + index + displacement
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Code(Vec<u8>);

    impl Memory for Code {
        fn bytes(&self, _: u64, len: usize) -> Option<Vec<u8>> {
            Some(self.0[self.0.len() - len..].to_vec())
        }
    }

    fn call(bytes: &[u8]) -> Call {
        let symbols = Symbols::parse(
            "1000 t vfs_create\n2000 t ext4_create\n3000 t __x86_indirect_thunk_rax\n9000 t end\n".to_owned(),
        );
        let mut code = vec![0x90; 8];
        code.extend(bytes);
        call_at(&Code(code), &symbols, 0x1100)
    }

    #[test]
    fn a_direct_call_names_its_target() {
        assert_eq!(call(&[0xe8, 0x00, 0x0f, 0x00, 0x00]), Call::Direct(0x2000));
    }

    #[test]
    fn a_retpoline_is_an_indirect_call() {
        assert_eq!(call(&[0xe8, 0x00, 0x1f, 0x00, 0x00]), Call::Indirect);
    }

    #[test]
    fn calls_through_registers_and_memory_are_indirect() {
        for bytes in [&[0xff, 0xd0][..], &[0x41, 0xff, 0xd2], &[0xff, 0x50, 0x18], &[0xff, 0x90, 0, 1, 0, 0]] {
            assert_eq!(call(bytes), Call::Indirect, "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_call_is_unknown() {
        assert_eq!(call(&[0x90, 0x90]), Call::Unknown);
    }
}
