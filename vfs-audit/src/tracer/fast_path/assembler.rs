//! A small assembler for eBPF: what the fast path needs of the instruction set. Source: the kernel's
//! `Documentation/bpf/standardization/instruction-set.rst`; the kernel's verifier checks every program made here.

use std::os::fd::RawFd;

/// A register; R10 is the frame pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reg {
    R0,
    R1,
    R2,
    R3,
    R6 = 6,
    R7,
    R8,
    R9,
    R10,
}

/// Width of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Width {
    /// 4 bytes.
    Word = 0x00,
    /// 8 bytes.
    Double = 0x18,
}

/// An operation on 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Xor = 0xa0,
}

/// A comparison of 64 bits, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum If {
    Equal = 0x10,
    Above = 0x20,
    NotBelow = 0x30,
    /// Some bit of both.
    AnyBit = 0x40,
    NotEqual = 0x50,
    NotAbove = 0xb0,
}

/// A helper function of the kernel's, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Helper {
    MapLookup = 1,
    ProcessorId = 8,
    TailCall = 12,
    CurrentTask = 35,
    CurrentTaskTyped = 158,
    FunctionAddress = 173,
    FunctionArgument = 183,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Instructions in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<[u8; 8]>,
    /// Instruction number of each label, once it is bound.
    labels: Vec<Option<usize>>,
    /// Jumps and where they go.
    jumps: Vec<(usize, Label)>,
}

/// Source register of a load that takes a map's descriptor, and the address of a map's value.
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
/// Source register of a call of a kernel function.
const PSEUDO_KERNEL_FUNCTION: u8 = 2;

/// A byte offset into a struct of ours, all of which are far smaller than 32 KiB.
fn short(at: usize) -> i16 {
    debug_assert!(at <= 0x7fff);
    (at as u16).cast_signed()
}

/// A size or number of ours as an operand, all of which are small.
pub(super) fn small(value: usize) -> i32 {
    (value as u32).cast_signed()
}

impl Assembler {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        let [o0, o1] = offset.to_ne_bytes();
        let [i0, i1, i2, i3] = immediate.to_ne_bytes();
        self.code.push([code, to | from << 4, o0, o1, i0, i1, i2, i3]);
    }

    /// Instructions so far.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }

    /// A label that is not bound yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Binds `label` to the next instruction.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// `to = from`.
    pub(super) fn copy(&mut self, to: Reg, from: Reg) {
        self.push(0xbf, to as u8, from as u8, 0, 0);
    }

    /// `to = value`.
    pub(super) fn set(&mut self, to: Reg, value: u64) {
        match i32::try_from(value.cast_signed()) {
            Ok(small) => self.push(0xb7, to as u8, 0, 0, small),
            Err(_) => self.wide(to, 0, value as u32, (value >> 32) as u32),
        }
    }

    fn wide(&mut self, to: Reg, from: u8, low: u32, high: u32) {
        self.push(0x18, to as u8, from, 0, low.cast_signed());
        self.push(0, 0, 0, 0, high.cast_signed());
    }

    /// `to` = the map.
    pub(super) fn map(&mut self, to: Reg, map: RawFd) {
        self.wide(to, PSEUDO_MAP_FD, map.cast_unsigned(), 0);
    }

    /// `to` = the address of byte `at` of the value of a map that has one.
    pub(super) fn map_value(&mut self, to: Reg, map: RawFd, at: usize) {
        self.wide(to, PSEUDO_MAP_VALUE, map.cast_unsigned(), at as u32);
    }

    /// `to = to OP from`.
    pub(super) fn alu(&mut self, op: Alu, to: Reg, from: Reg) {
        self.push(0x0f | op as u8, to as u8, from as u8, 0, 0);
    }

    /// `to = to OP value`, whose sign is extended.
    pub(super) fn alu_by(&mut self, op: Alu, to: Reg, value: i32) {
        self.push(0x07 | op as u8, to as u8, 0, 0, value);
    }

    /// `to = *(from + at)`.
    pub(super) fn load(&mut self, width: Width, to: Reg, from: Reg, at: usize) {
        self.push(0x61 | width as u8, to as u8, from as u8, short(at), 0);
    }

    /// `to = *(R10 - below)`, 8 bytes.
    pub(super) fn load_local(&mut self, to: Reg, below: i16) {
        self.push(0x79, to as u8, Reg::R10 as u8, -below, 0);
    }

    /// `*(to + at) = from`.
    pub(super) fn store(&mut self, width: Width, to: Reg, at: usize, from: Reg) {
        self.push(0x63 | width as u8, to as u8, from as u8, short(at), 0);
    }

    /// `*(to + at) = value`, whose sign is extended.
    pub(super) fn store_value(&mut self, width: Width, to: Reg, at: usize, value: i32) {
        self.push(0x62 | width as u8, to as u8, 0, short(at), value);
    }

    /// `*(R10 - below) = from`, 8 bytes.
    pub(super) fn store_local(&mut self, below: i16, from: Reg) {
        self.push(0x7b, Reg::R10 as u8, from as u8, -below, 0);
    }

    /// `*(R10 - below) = 0`, 8 bytes.
    pub(super) fn clear_local(&mut self, below: i16) {
        self.push(0x7a, Reg::R10 as u8, 0, -below, 0);
    }

    /// Goes to `label`.
    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(0x05, 0, 0, 0, 0);
    }

    /// Goes to `label` if `a TEST b`.
    pub(super) fn jump_if(&mut self, a: Reg, test: If, b: Reg, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(0x0d | test as u8, a as u8, b as u8, 0, 0);
    }

    /// Goes to `label` if `a TEST value`, whose sign is extended.
    pub(super) fn jump_if_value(&mut self, a: Reg, test: If, value: i32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(0x05 | test as u8, a as u8, 0, 0, value);
    }

    /// Calls a helper: arguments in R1 and up, the result in R0; R1 to R5 are lost.
    pub(super) fn call(&mut self, helper: Helper) {
        self.push(0x85, 0, 0, 0, helper as i32);
    }

    /// Calls the kernel function with this type number in vmlinux' BTF.
    pub(super) fn call_kernel(&mut self, function: u32) {
        self.push(0x85, 0, PSEUDO_KERNEL_FUNCTION, 0, function.cast_signed());
    }

    /// Ends the program.
    pub(super) fn exit(&mut self) {
        self.push(0x95, 0, 0, 0, 0);
    }

    /// The instructions, 8 bytes each.
    ///
    /// # Errors
    /// A label that is not bound, or lies too far from a jump to it.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, String> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].ok_or("a jump to nowhere")?;
            let distance = i16::try_from(target.cast_signed() - at.cast_signed() - 1).map_err(|_| "a jump too far")?;
            self.code[at][2..4].copy_from_slice(&distance.to_ne_bytes());
        }
        Ok(self.code.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_the_standard() {
        let mut asm = Assembler::default();
        let end = asm.label();
        asm.set(Reg::R1, u64::MAX);
        asm.set(Reg::R2, 1 << 40);
        asm.jump_if_value(Reg::R1, If::NotBelow, -4096, end);
        asm.load(Width::Double, Reg::R3, Reg::R6, 112);
        asm.store_local(16, Reg::R3);
        asm.alu_by(Alu::ShiftRight, Reg::R3, 6);
        asm.bind(end);
        asm.exit();
        let code = asm.finish().unwrap();
        let expected: [[u8; 8]; 8] = [
            [0xb7, 0x01, 0, 0, 0xff, 0xff, 0xff, 0xff],
            [0x18, 0x02, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 1, 0, 0],
            [0x35, 0x01, 3, 0, 0, 0xf0, 0xff, 0xff],
            [0x79, 0x63, 112, 0, 0, 0, 0, 0],
            [0x7b, 0x3a, 0xf0, 0xff, 0, 0, 0, 0],
            [0x77, 0x03, 0, 0, 6, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(code, expected.concat());
    }

    #[test]
    fn a_jump_to_nowhere_and_one_too_far_are_refused() {
        let mut asm = Assembler::default();
        let label = asm.label();
        asm.jump(label);
        assert!(asm.finish().is_err());
        let mut asm = Assembler::default();
        let label = asm.label();
        asm.jump(label);
        for _ in 0..40_000 {
            asm.exit();
        }
        asm.bind(label);
        assert_eq!(asm.finish(), Err("a jump too far".to_owned()));
    }
}
