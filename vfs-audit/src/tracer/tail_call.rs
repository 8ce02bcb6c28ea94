//! Callbacks that end in a jump: to another callback, which is then entered as if its caller had called it, or to any
//! function, which then stands in stacks in the callback's place.
//!
//! The return address on the stack is that of the first callback's caller, and the object's table has both functions, so
//! neither tells such an entry from a call through the table. The code of the first one does: its jump, which kernels of
//! x86-64 have as `jmp rel32` or `jcc rel32`.

use std::collections::{BTreeMap, BTreeSet};

use vfs_audit_common::{ObservationKey, PEEK_BYTES};

use super::hooks::Hook;
use crate::kernel::{Memory, Symbols};

/// Bytes of one function that are looked at.
const CODE_BYTES_MAX: u64 = 16 * PEEK_BYTES as u64;
/// Bytes of a `jmp rel32`.
const JUMP_BYTES: usize = 5;
/// Ends the name of the part of a function that is seldom needed, and lies elsewhere.
const COLD: &str = ".cold";
/// Jumps in a row, from function to function, that are followed.
const JUMPS_MAX: usize = 3;

/// Which callbacks another one jumps to, and which entries there were.
#[derive(Debug, Default)]
pub(super) struct TailCalls {
    /// Functions that jump to the key.
    sources: BTreeMap<u64, BTreeSet<u64>>,
    /// (function, return address, table) of every observation.
    entries: BTreeSet<(u64, u64, u64)>,
    /// Where the jumps out of a callback lead.
    targets: BTreeMap<u64, BTreeSet<u64>>,
}

impl TailCalls {
    /// Looks for jumps between the functions of `hooks`, and notes the entries of `keys`.
    pub(super) fn find<'k>(
        hooks: &[Hook],
        (memory, symbols): (&dyn Memory, &Symbols),
        keys: impl Iterator<Item = &'k ObservationKey>,
    ) -> Self {
        let functions: BTreeSet<u64> = hooks.iter().map(|hook| hook.address).collect();
        let mut found = Self::default();
        for source in &functions {
            let code = code_of(*source, memory, symbols);
            let own = *source..*source + code.len() as u64;
            for target in jumps(*source, &code).filter(|target| !own.contains(target)) {
                found.targets.entry(*source).or_default().insert(target);
                if functions.contains(&target) {
                    found.sources.entry(target).or_default().insert(*source);
                }
            }
        }
        let entry = |key: &ObservationKey| Some((hooks.get(usize::from(key.hook))?.address, key.caller, key.table));
        found.entries.extend(keys.filter_map(entry));
        found
    }

    /// Whether `function` was entered by another callback's jump. One place of a call calls one slot of a table: when both
    /// functions were seen to return there for the same table, the first one is what was called.
    pub(super) fn is_entered_by(&self, function: u64, key: &ObservationKey) -> bool {
        let sources = self.sources.get(&function);
        sources.is_some_and(|sources| sources.iter().any(|s| self.entries.contains(&(*s, key.caller, key.table))))
    }

    /// Whether `callback` has a jump to `function`.
    pub(super) fn leads_to(&self, callback: u64, function: u64) -> bool {
        self.targets.get(&callback).is_some_and(|targets| targets.contains(&function))
    }
}

/// Whether `called`, which was called directly, comes to `callback` by a jump at its end, perhaps through other functions: the
/// return address is then that of `called`'s caller. A function on the way that jumps through a pointer as well may have come
/// to the callback by that, through a table: such a one says nothing.
pub(super) fn ends_in(called: u64, callback: u64, (memory, symbols): (&dyn Memory, &Symbols)) -> bool {
    let mut seen = BTreeSet::from([called]);
    let mut reached = vec![called];
    let mut found = false;
    for _ in 0..JUMPS_MAX {
        let mut next = Vec::new();
        for function in reached {
            let code = code_of(function, memory, symbols);
            if jumps_through_register(&code) {
                return false;
            }
            let own = function..function + code.len() as u64;
            for target in jumps(function, &code).filter(|target| !own.contains(target)) {
                let Some(symbol) = symbols.function_at(target) else { continue };
                if symbol.name.starts_with("__x86_indirect_") {
                    return false;
                }
                found |= target == callback;
                // What only looks like a jump leads into the middle of something; a function's cold part is entered there.
                let is_entry = symbol.offset == 0 || symbol.name.ends_with(COLD);
                if is_entry && target != callback && seen.insert(target) {
                    next.push(target - symbol.offset);
                }
            }
        }
        reached = next;
    }
    found
}

/// Whether `jmp *%register` stands in `code`.
fn jumps_through_register(code: &[u8]) -> bool {
    code.windows(2).any(|pair| pair[0] == 0xff && pair[1] & 0xf8 == 0xe0)
}

/// The function's code up to the next symbol, as far as it can be read.
fn code_of(function: u64, memory: &dyn Memory, symbols: &Symbols) -> Vec<u8> {
    let len = symbols.end_of(function).map_or(0, |end| (end - function).min(CODE_BYTES_MAX));
    let mut code = Vec::with_capacity(len as usize);
    while (code.len() as u64) < len {
        let part = (len as usize - code.len()).min(PEEK_BYTES);
        let Some(bytes) = memory.bytes(function + code.len() as u64, part) else { break };
        code.extend(bytes);
    }
    code
}

/// Where the jumps in `code`, which lies at `address`, lead. Bytes that only look like a jump lead nowhere in particular.
fn jumps(address: u64, code: &[u8]) -> impl Iterator<Item = u64> {
    let target = move |(at, window): (usize, &[u8])| {
        let is_jump = window[0] == 0xe9 || (window[0] & 0xf0 == 0x80 && at > 0 && code[at - 1] == 0x0f);
        let relative = i32::from_le_bytes([window[1], window[2], window[3], window[4]]);
        is_jump.then(|| (address + (at + JUMP_BYTES) as u64).wrapping_add_signed(i64::from(relative)))
    };
    code.windows(JUMP_BYTES).enumerate().filter_map(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Code(BTreeMap<u64, Vec<u8>>);

    impl Memory for Code {
        fn bytes(&self, address: u64, len: usize) -> Option<Vec<u8>> {
            self.0.get(&address)?.get(..len).map(<[u8]>::to_vec)
        }
    }

    fn hook(address: u64) -> Hook {
        Hook {
            address,
            callback: String::new(),
            module: String::new(),
            plans: vec![0],
            fs: BTreeSet::new(),
            tables: BTreeSet::new(),
            living: true,
            lists: BTreeSet::new(),
            unprobed: None,
        }
    }

    fn key(hook: u16, caller: u64, table: u64) -> ObservationKey {
        ObservationKey { hook, caller, table, ..ObservationKey::default() }
    }

    /// Two functions: the one at 0x1000 jumps to the one at 0x2000, by `jump`.
    fn found(jump: &[u8], keys: &[ObservationKey]) -> TailCalls {
        let symbols = Symbols::parse("1000 t shmem_create\n1010 t gap\n2000 t shmem_mknod\n2010 t end\n".to_owned());
        let mut code = vec![0x90; 16];
        code[2..2 + jump.len()].copy_from_slice(jump);
        let memory = Code([(0x1000, code), (0x2000, vec![0x90; 16])].into());
        TailCalls::find(&[hook(0x1000), hook(0x2000)], (&memory, &symbols), keys.iter())
    }

    /// `jmp` from 0x1002 to 0x2000.
    const JUMP: [u8; 5] = [0xe9, 0xf9, 0x0f, 0, 0];

    #[test]
    fn a_jump_after_an_entry_from_the_same_place_is_no_call() {
        let keys = [key(0, 7, 9), key(1, 7, 9)];
        assert!(found(&JUMP, &keys).is_entered_by(0x2000, &keys[1]));
        assert!(!found(&JUMP, &keys).is_entered_by(0x1000, &keys[0]));
    }

    #[test]
    fn a_jump_out_of_a_callback_leads_to_its_target_alone() {
        let found = found(&[0xe9, 0xf9, 0x0f, 0, 0], &[]);
        assert!(found.leads_to(0x1000, 0x2000) && !found.leads_to(0x1000, 0x2001) && !found.leads_to(0x2000, 0x1000));
    }

    #[test]
    fn a_conditional_jump_is_one_too() {
        let keys = [key(0, 7, 9), key(1, 7, 9)];
        assert!(found(&[0x0f, 0x84, 0xf8, 0x0f, 0, 0], &keys).is_entered_by(0x2000, &keys[1]));
    }

    #[test]
    fn another_place_or_another_table_is_a_call_of_its_own() {
        for other in [key(1, 8, 9), key(1, 7, 10)] {
            let keys = [key(0, 7, 9), other];
            assert!(!found(&JUMP, &keys).is_entered_by(0x2000, &keys[1]));
        }
    }

    #[test]
    fn without_a_jump_both_were_called() {
        let keys = [key(0, 7, 9), key(1, 7, 9)];
        assert!(!found(&[0x90; 5], &keys).is_entered_by(0x2000, &keys[1]));
    }

    /// Three functions at 0x1000, 0x2000 and 0x3000, with `codes` at their beginnings.
    fn comes_to_third(codes: [&[u8]; 2]) -> bool {
        let symbols = "1000 t balance\n1010 t gap\n2000 t sync\n2010 t __x86_indirect_thunk_rax\n2020 t gap\n3000 t callback\n3010 t end\n";
        let mut memory = Code([(0x3000, vec![0x90; 16])].into());
        for (number, bytes) in codes.into_iter().enumerate() {
            let mut code = vec![0x90; 16];
            code[2..2 + bytes.len()].copy_from_slice(bytes);
            memory.0.insert(0x1000 * (number as u64 + 1), code);
        }
        ends_in(0x1000, 0x3000, (&memory, &Symbols::parse(symbols.to_owned())))
    }

    #[test]
    fn what_was_called_may_end_in_a_jump_to_the_callback() {
        assert!(comes_to_third([&[0xe9, 0xf9, 0x1f, 0, 0], &[]]), "from the first");
        assert!(comes_to_third([&JUMP, &[0xe9, 0xf9, 0x0f, 0, 0]]), "through the second");
        assert!(!comes_to_third([&JUMP, &[]]), "not at all");
    }

    #[test]
    fn a_jump_through_a_pointer_may_have_been_the_one() {
        assert!(!comes_to_third([&[0xe9, 0xf9, 0x1f, 0, 0, 0xff, 0xe0], &[]]), "through a register");
        assert!(!comes_to_third([&[0xe9, 0xf9, 0x1f, 0, 0, 0xe9, 0x04, 0x10, 0, 0], &[]]), "through a retpoline");
    }
}
