//! A machine that knows as much of eBPF as compiled plans need, for their tests.

use std::{collections::HashMap, mem::size_of, sync::LazyLock};

use vfs_audit_common::{Control, CountedPlace, HookPlaces, KernelOffsets, TaskLocks, task_place};

use super::{Fixed, Ground};

pub(super) const TASK: u64 = 0xff11_0000_0123_4480;
pub(super) const STACK: u64 = 0xff20_0000_0000_0000;
pub(super) const STACK_POINTER: u64 = STACK + 0x3000;
pub(super) const CALLER: u64 = 0xffff_ffff_8145_6d02;
pub(super) const FUNCTION: u64 = 0xffff_ffff_8152_0000;
pub(super) const INODE: u64 = 0xff11_0000_0400_0000;
pub(super) const OTHER_INODE: u64 = 0xff11_0000_0500_0000;
pub(super) const TABLE: u64 = 0xffff_ffff_8205_6780;
pub(super) const SUPERBLOCK: u64 = 0xff11_0000_04bc_1000;
pub(super) const PER_CPU: u64 = 0xff11_0000_7000_0000;
pub(super) const PER_CPU_OFFSETS: u64 = 0xffff_ffff_8260_0000;
pub(super) const REGISTERS: u64 = 0xff20_0000_1000_0000;
pub(super) const FRAME_POINTER: u64 = 0xff20_0000_2000_0000;
pub(super) const HOOK: u16 = 0x123;
pub(super) const TGID: u32 = 700;

// Descriptors of the maps, which are their places in memory too.
pub(super) const CONTROL: i32 = 3;
pub(super) const TASKS: i32 = 4;
pub(super) const PLACES: i32 = 5;
pub(super) const COUNTED: i32 = 6;
pub(super) const LOSS: i32 = 7;
pub(super) const DIRECT: i32 = 8;
pub(super) const THROUGH_TABLE: i32 = 9;
pub(super) const INTERPRETER: i32 = 10;
pub(super) const EXIT: i32 = 11;
/// Numbers of kernel functions.
pub(super) const CAST: u32 = 1001;
pub(super) const IS_RETURN: u32 = 1002;

static OFFSETS: LazyLock<KernelOffsets> = LazyLock::new(|| KernelOffsets {
    task_rcu_nesting: 0x400,
    thread_size: 16 << 10,
    page_compound_head: 8,
    cast_type: 9,
    ..KernelOffsets::default()
});

/// The daemon's process.
pub(super) const OWN: u32 = 42;

pub(super) fn ground() -> Ground<'static> {
    Ground {
        offsets: &OFFSETS,
        fixed: Fixed { per_cpu_offsets: PER_CPU_OFFSETS, preempt_count: 0x40, flags_saved: true, own_tgid: OWN },
        cast: CAST,
        control: CONTROL,
        tasks: TASKS,
        places: PLACES,
        counted: COUNTED,
        loss: LOSS,
        direct: DIRECT,
        through_table: THROUGH_TABLE,
        interpreter: INTERPRETER,
        exit: EXIT,
    }
}

pub(super) fn base(map: i32) -> u64 {
    u64::from(map.cast_unsigned()) << 40
}

pub(super) fn value_bytes(map: i32) -> u64 {
    let bytes = match map {
        CONTROL => size_of::<Control>(),
        TASKS => size_of::<TaskLocks>(),
        PLACES => size_of::<HookPlaces>(),
        COUNTED => size_of::<CountedPlace>(),
        _ => 8,
    };
    bytes as u64
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited,
    LeftTo(i32),
}

/// Memory of 64-bit words, zero where nothing was written, and what the programs ask the kernel.
pub(super) struct Machine {
    pub(super) words: HashMap<u64, u64>,
    pub(super) is_return: bool,
}

impl Machine {
    pub(super) fn get(&self, address: u64) -> u64 {
        let (at, shift) = (address & !7, 8 * (address & 7));
        let low = self.words.get(&at).copied().unwrap_or(0) >> shift;
        let high = self.words.get(&(at + 8)).copied().unwrap_or(0);
        if shift == 0 { low } else { low | high << (64 - shift) }
    }

    pub(super) fn put(&mut self, address: u64, value: u64) {
        assert_eq!(address & 7, 0, "a word lies on its boundary");
        self.words.insert(address, value);
    }

    pub(super) fn put_half(&mut self, address: u64, value: u32) {
        let (at, shift) = (address & !7, 8 * (address & 7));
        assert!(shift == 0 || shift == 32, "half a word lies on its boundary");
        let before = self.get(at) & !(u64::from(u32::MAX) << shift);
        self.words.insert(at, before | u64::from(value) << shift);
    }

    /// Runs the instructions, 8 bytes each.
    pub(super) fn run(&mut self, code: &[u8]) -> End {
        let code: Vec<[u8; 8]> = code.chunks_exact(8).map(|insn| insn.try_into().unwrap()).collect();
        let mut regs = [0u64; 11];
        (regs[1], regs[10]) = (REGISTERS, FRAME_POINTER);
        let mut at = 0;
        for _ in 0..10_000 {
            let insn = code[at];
            let (to, from) = (usize::from(insn[1] & 15), usize::from(insn[1] >> 4));
            let offset = i64::from(i16::from_ne_bytes([insn[2], insn[3]]));
            let immediate = i64::from(i32::from_ne_bytes([insn[4], insn[5], insn[6], insn[7]])).cast_unsigned();
            let operand = if insn[0] & 8 == 0 { immediate } else { regs[from] };
            at += 1;
            match insn[0] {
                0x18 => {
                    let high = u64::from(u32::from_ne_bytes([code[at][4], code[at][5], code[at][6], code[at][7]]));
                    let low = immediate & 0xffff_ffff;
                    regs[to] = match from {
                        0 => low | high << 32,
                        1 => low,
                        2 => base(low as i32) + high,
                        _ => panic!("an address of another kind"),
                    };
                    at += 1;
                }
                0x61 => regs[to] = self.get(regs[from].wrapping_add_signed(offset)) & 0xffff_ffff,
                0x79 => regs[to] = self.get(regs[from].wrapping_add_signed(offset)),
                0x62 => self.put_half(regs[to].wrapping_add_signed(offset), immediate as u32),
                0x63 => self.put_half(regs[to].wrapping_add_signed(offset), regs[from] as u32),
                0x7a => self.put(regs[to].wrapping_add_signed(offset), immediate),
                0x7b => self.put(regs[to].wrapping_add_signed(offset), regs[from]),
                0x95 => return End::Exited,
                0x85 if immediate == 12 && from == 0 => return End::LeftTo(regs[2] as i32),
                0x85 => regs[0] = self.call(from, immediate, [regs[1], regs[2], regs[3]]),
                alu if alu & 7 == 7 => regs[to] = operate(alu & 0xf0, regs[to], operand),
                jump if jump & 7 == 5 => {
                    let is_so = compare(jump & 0xf0, regs[to], operand);
                    if is_so {
                        at = at.checked_add_signed(offset as isize).unwrap();
                    }
                }
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("no end")
    }

    /// What a kernel function or a helper returns.
    fn call(&mut self, kind: usize, number: u64, arguments: [u64; 3]) -> u64 {
        match (kind, number as u32) {
            (2, CAST) => arguments[0],
            (2, IS_RETURN) => self.is_return.into(),
            (0, 1) => {
                let (map, index) = (arguments[0] as i32, self.get(arguments[1]) & 0xffff_ffff);
                base(map) + value_bytes(map) * index
            }
            (0, 8) => 1,
            (0, 35 | 158) => TASK,
            (0, 173) => FUNCTION,
            (0, 183) => {
                let argument = self.get(REGISTERS);
                self.put(arguments[2], argument);
                0
            }
            other => panic!("function {other:?}"),
        }
    }
}

/// Where field `field` of the task's table is.
pub(super) fn of_task(field: usize) -> u64 {
    base(TASKS) + u64::from(task_place(TASK)) * size_of::<TaskLocks>() as u64 + field as u64
}

fn operate(operation: u8, a: u64, b: u64) -> u64 {
    match operation {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a << b,
        0x70 => a >> b,
        0xa0 => a ^ b,
        0xb0 => b,
        other => panic!("operation {other:#x}"),
    }
}

fn compare(test: u8, a: u64, b: u64) -> bool {
    match test {
        0x00 => true,
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x40 => a & b != 0,
        0x50 => a != b,
        0xb0 => a <= b,
        other => panic!("jump {other:#x}"),
    }
}
