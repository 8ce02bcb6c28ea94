//! Functions and ops whose calls inside a callback are noted, each by its bit.

use vfs_audit_common::{FUNCTIONS_MAX, UNLOCKING_BITS};

use crate::{btf::Btf, kernel::Symbols};

/// Functions that unlock a page or folio given as their first argument; what a kernel has of them.
pub(super) const UNLOCKING: &[&str] = &["folio_unlock", "unlock_page"];
const _: () = assert!(UNLOCKING_BITS == (1 << UNLOCKING.len()) - 1, "the first bits are theirs");

/// Which functions and ops have a bit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Functions {
    /// Functions by their bit; an op's place holds nothing.
    names: Vec<Option<String>>,
    /// Ops by their bit.
    ops: Vec<(String, u8)>,
}

impl Functions {
    /// The bits of those of `names` that this kernel has, with a type and an address.
    ///
    /// # Errors
    /// It has none of them, or no bit is left.
    pub(super) fn bits(&mut self, (btf, symbols): (&Btf, &Symbols), names: &[impl AsRef<str>]) -> Result<u64, String> {
        let mut bits = 0;
        for name in names.iter().map(AsRef::as_ref) {
            let known = self.names.iter().any(|known| known.as_deref() == Some(name));
            if known || (btf.function_named(name).is_some() && symbols.has_function(name)) {
                bits |= 1 << self.bit_of(name)?;
            }
        }
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        if bits == 0 {
            Err(format!("this kernel has no function {} to be probed", names.join(" or ")))
        } else {
            Ok(bits)
        }
    }

    fn bit_of(&mut self, name: &str) -> Result<u8, String> {
        if let Some(bit) = UNLOCKING.iter().position(|known| *known == name) {
            self.reserve_bits();
            self.names[bit] = Some(name.to_owned());
            return Ok(bit as u8);
        }
        if let Some(bit) = self.names.iter().position(|known| known.as_deref() == Some(name)) {
            return Ok(bit as u8);
        }
        self.next(Some(name.to_owned()))
    }

    /// The first bits are those of [`UNLOCKING`], asked for or not.
    fn reserve_bits(&mut self) {
        if self.names.is_empty() {
            self.names.resize(UNLOCKING.len(), None);
        }
    }

    fn next(&mut self, name: Option<String>) -> Result<u8, String> {
        self.reserve_bits();
        if self.names.len() == FUNCTIONS_MAX {
            return Err(format!("more than {FUNCTIONS_MAX} functions and ops are asked for"));
        }
        self.names.push(name);
        Ok((self.names.len() - 1) as u8)
    }

    /// The bits of the ops `names`.
    ///
    /// # Errors
    /// No bit is left.
    pub(super) fn bits_of_ops(&mut self, names: &[String]) -> Result<u64, String> {
        let mut bits = 0;
        for name in names {
            let known = self.ops.iter().find(|(op, _)| op == name).map(|(_, bit)| *bit);
            let bit = if let Some(bit) = known {
                bit
            } else {
                let bit = self.next(None)?;
                self.ops.push((name.clone(), bit));
                bit
            };
            bits |= 1 << bit;
        }
        Ok(bits)
    }

    /// The bits of op `name`, when it is asked for.
    pub(in crate::tracer) fn bits_of_op(&self, name: &str) -> u64 {
        self.ops.iter().filter(|(op, _)| op == name).map(|(_, bit)| 1 << bit).sum()
    }

    /// The functions to be probed, with their bits.
    pub(in crate::tracer) fn wanted(&self) -> impl Iterator<Item = (&str, u8)> {
        self.names.iter().enumerate().filter_map(|(bit, name)| Some((name.as_deref()?, bit as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_unlocking_functions_are_theirs_in_any_order() {
        let mut functions = Functions::default();
        assert_eq!(functions.bits_of_ops(&["writepage".to_owned()]), Ok(0b100));
        assert_eq!(functions.bit_of("folio_end_writeback"), Ok(3));
        assert_eq!(functions.bit_of("unlock_page"), Ok(1));
        assert_eq!(functions.wanted().collect::<Vec<_>>(), [("unlock_page", 1), ("folio_end_writeback", 3)]);
    }
}
