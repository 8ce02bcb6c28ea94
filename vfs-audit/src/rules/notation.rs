//! The model written back in the language of the rule files, for lists and explanations.

use std::fmt;

use super::fact::FactReader;
use super::model::{Argument, Condition, Demand, LockOf, Requirement, Role, RoleSource};

impl fmt::Display for Argument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}", self.type_name, self.nth)
    }
}

impl fmt::Display for RoleSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(argument) => argument.fmt(formatter),
            Self::Role(role) => formatter.write_str(role),
            Self::Result => formatter.write_str("result"),
        }
    }
}

impl Role {
    /// The ways to the object, as the rule file has them.
    pub fn ways(&self) -> Vec<String> {
        let way = |from: &RoleSource, path: &[String]| {
            std::iter::once(from.to_string()).chain(path.iter().cloned()).collect::<Vec<_>>().join(".")
        };
        let others = self.alternatives.iter().map(|(from, path)| way(from, path));
        std::iter::once(way(&self.from, &self.path)).chain(others).collect()
    }
}

impl fmt::Display for LockOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.role, self.lock)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", if self.is { "" } else { "not " }, self.fact)
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SharedAtLeast => "shared",
            Self::Exclusive => "exclusive",
            Self::Held => "held",
            Self::NotHeld => "not held",
            Self::NotShared => "never shared",
            Self::NotPromised => "not promised",
        })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock { role, lock, demand } => write!(formatter, "{role}.{lock} {demand}"),
            Self::Fact(condition) => condition.fmt(formatter),
            Self::Any(choices) => formatter.write_str(&joined(choices, " or ")),
            Self::If(conditions, inner) => write!(formatter, "{inner} if {}", joined(conditions, " and ")),
        }
    }
}

/// Things written one after the other.
pub(super) fn joined<T: fmt::Display>(all: &[T], between: &str) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(between)
}

impl fmt::Display for FactReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = |role: &str, path: &[String]| format!("{role}.{}", path.join("."));
        match self {
            Self::RolesDiffer(a, b) => write!(formatter, "{a} != {b}"),
            Self::Present(role) => write!(formatter, "present({role})"),
            Self::IsDirectory(role) => write!(formatter, "directory({role})"),
            Self::Mask(argument, mask) => write!(formatter, "{argument} & {mask:#x}"),
            Self::Slept => formatter.write_str("slept"),
            Self::MemberMask { role, path, mask } => write!(formatter, "{} & {mask:#x}", member(role, path)),
            Self::MemberEquals { role, path, value } => write!(formatter, "{} == {value}", member(role, path)),
            Self::ArgumentReaches { argument, role, path } => write!(formatter, "{argument} >= {}", member(role, path)),
            Self::MemberBit { role, path, bit } => write!(formatter, "bit({}, {bit})", member(role, path)),
            Self::AtExit(inner) => write!(formatter, "at_exit({inner})"),
            Self::ResultNegative => formatter.write_str("result < 0"),
            Self::ResultIsErrorPointer => formatter.write_str("error(result)"),
            Self::ResultEquals(value) => write!(formatter, "result == {value}"),
            Self::ResultMask(mask) => write!(formatter, "result & {mask:#x}"),
            Self::Called(functions) => write!(formatter, "called({})", functions.join(" | ")),
            Self::CalledOp(ops) => write!(formatter, "called_op({})", ops.join(" | ")),
            Self::Order(first, second) => {
                write!(formatter, "order({}, {})", first.join(" | "), second.join(" | "))
            }
            Self::Acquired(of) => write!(formatter, "acquired({of})"),
            Self::Released(of) => write!(formatter, "released({of})"),
            Self::EventuallyReleased(of) => write!(formatter, "eventually_released({of})"),
            Self::EventuallyCalled(functions) => write!(formatter, "eventually_called({})", functions.join(" | ")),
            Self::CountsDown { role, path, functions } => {
                write!(formatter, "counts_down({}, {})", member(role, path), functions.join(" | "))
            }
            Self::Strays { role, functions } => write!(formatter, "strays({role}, {})", functions.join(" | ")),
            Self::CalledFrom(functions) => write!(formatter, "called_from({})", functions.join(" | ")),
            Self::InSyscall(names) => write!(formatter, "in_syscall({})", names.join(" | ")),
            Self::Within(op) => write!(formatter, "within({op})"),
            Self::VmaLocked(role) => write!(formatter, "vma_locked({role})"),
            Self::Overlaps { role, op } => write!(formatter, "overlaps({role}, {op})"),
            Self::AllFoliosLocked(role) => write!(formatter, "all_locked({role})"),
            Self::AllFoliosReleased(role) => write!(formatter, "all_released({role})"),
            Self::Atomic => formatter.write_str("atomic"),
            Self::InInterrupt => formatter.write_str("in_interrupt"),
            Self::InRcuCallback => formatter.write_str("in_rcu_callback"),
            Self::InRcuWalk => formatter.write_str("in_rcu_walk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Catalogue, expression};

    #[test]
    fn what_is_written_back_reads_as_the_same() {
        for release in Catalogue::releases() {
            let catalogue = Catalogue::load(release).unwrap();
            for (_, op) in catalogue.ops() {
                for fact in &op.facts {
                    let text = fact.reader.to_string();
                    let again = expression::fact(&text, &expression::Constants::new()).unwrap();
                    assert_eq!(again, fact.reader, "{text}");
                }
                for requirement in op.rules.iter().flat_map(|rule| &rule.requires) {
                    let text = requirement.to_string();
                    assert_eq!(expression::requirement(&text).unwrap(), *requirement, "{text}");
                }
            }
        }
    }
}
