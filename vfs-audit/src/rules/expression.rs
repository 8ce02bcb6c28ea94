//! The small languages inside rule files: role paths, facts, conditions, requirements. Text in, model out; no names are
//! looked up but those of constants.

use std::collections::BTreeMap;

use super::{
    fact::FactReader,
    fault::Problem,
    model::{Argument, Condition, Demand, LockOf, Requirement, RoleSource},
};

/// Names and values of constants.
pub(super) type Constants = BTreeMap<String, u64>;

/// `inode#1.i_sb`, `dentry#2.d_inode`, `source_parent.i_sb`.
pub(super) fn role(text: &str) -> Result<(RoleSource, Vec<String>), Problem> {
    let bad = || Problem::BadRole(text.to_owned());
    let (head, path) = match text.split_once('.') {
        Some((head, path)) => (head, path.split('.').map(str::to_owned).collect()),
        None => (text, Vec::new()),
    };
    if !path.iter().all(|member: &String| is_name(member)) {
        return Err(bad());
    }
    if let Some(argument) = argument(head) {
        return Ok((RoleSource::Argument(argument), path));
    }
    if head == "result" {
        return Ok((RoleSource::Result, path));
    }
    if is_name(head) { Ok((RoleSource::Role(head.to_owned()), path)) } else { Err(bad()) }
}

/// `inode#1`, `unsigned int#2`, `folio *#1`.
fn argument(text: &str) -> Option<Argument> {
    let (type_name, nth) = text.split_once('#')?;
    let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
    let pointed = type_name.strip_suffix(" *").unwrap_or(type_name);
    pointed.split(' ').all(is_name).then(|| Argument { type_name: type_name.to_owned(), nth })
}

/// Whether a text is a C identifier.
pub(super) fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A number, a constant, or several with `|` between.
fn value(text: &str, constants: &Constants) -> Result<u64, Problem> {
    let mut sum = 0;
    for part in text.split('|').map(str::trim) {
        let number = match part.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => part.parse().ok(),
        };
        sum |= match number.or_else(|| constants.get(part).copied()) {
            Some(number) => number,
            None if is_name(part) => return Err(Problem::UnknownConstant(part.to_owned())),
            None => return Err(Problem::BadFact(text.to_owned())),
        };
    }
    Ok(sum)
}

fn narrow<T: TryFrom<u64>>(number: u64, text: &str, bits: u8) -> Result<T, Problem> {
    T::try_from(number).map_err(|_| Problem::NumberTooLarge { value: text.trim().to_owned(), bits })
}

/// A fact: see [`FactReader`] for the forms.
pub(super) fn fact(text: &str, constants: &Constants) -> Result<FactReader, Problem> {
    let bad = || Problem::BadFact(text.to_owned());
    match text {
        "slept" => return Ok(FactReader::Slept),
        "atomic" => return Ok(FactReader::Atomic),
        "in_interrupt" => return Ok(FactReader::InInterrupt),
        "in_rcu_callback" => return Ok(FactReader::InRcuCallback),
        "in_rcu_walk" => return Ok(FactReader::InRcuWalk),
        "result < 0" => return Ok(FactReader::ResultNegative),
        "error(result)" => return Ok(FactReader::ResultIsErrorPointer),
        _ => {}
    }
    if let Some(inner) = text.strip_prefix("at_exit(").and_then(|rest| rest.strip_suffix(')')) {
        return fact(inner, constants).map(|inner| FactReader::AtExit(Box::new(inner)));
    }
    if let Some((left, right)) = text.split_once(" != ") {
        return match [left, right].map(str::trim) {
            [left, right] if is_name(left) && is_name(right) => {
                Ok(FactReader::RolesDiffer(left.to_owned(), right.to_owned()))
            }
            _ => Err(bad()),
        };
    }
    if let Some((left, right)) = text.split_once(" & ") {
        return masked(left.trim(), right, constants).unwrap_or_else(|| Err(bad()));
    }
    if let Some((left, right)) = text.split_once(" == ") {
        return equal(left.trim(), right, constants).unwrap_or_else(|| Err(bad()));
    }
    if let Some((left, right)) = text.split_once(" >= ") {
        let reader = argument(left.trim()).zip(member(right.trim()));
        return reader
            .map(|(argument, (role, path))| FactReader::ArgumentReaches { argument, role, path })
            .ok_or_else(bad);
    }
    call(text).ok_or_else(bad)
}

/// `argument & mask`, `result & mask`, `role.member & mask`.
fn masked(left: &str, right: &str, constants: &Constants) -> Option<Result<FactReader, Problem>> {
    let mask = match value(right, constants) {
        Ok(mask) => mask,
        Err(problem) => return Some(Err(problem)),
    };
    if left == "result" {
        return Some(Ok(FactReader::ResultMask(mask)));
    }
    if let Some(argument) = argument(left) {
        return Some(narrow(mask, right, 32).map(|mask| FactReader::Mask(argument, mask)));
    }
    let (role, path) = member(left)?;
    Some(Ok(FactReader::MemberMask { role, path, mask }))
}

/// `result == value`, `role.member == value`.
fn equal(left: &str, right: &str, constants: &Constants) -> Option<Result<FactReader, Problem>> {
    let value = match value(right, constants).and_then(|number| narrow(number, right, 63)) {
        Ok(value) => value,
        Err(problem) => return Some(Err(problem)),
    };
    if left == "result" {
        return Some(Ok(FactReader::ResultEquals(value)));
    }
    let (role, path) = member(left)?;
    Some(Ok(FactReader::MemberEquals { role, path, value }))
}

/// `role.member.member`, with at least one member.
fn member(text: &str) -> Option<(String, Vec<String>)> {
    let mut parts = text.split('.');
    let role = parts.next().filter(|role| is_name(role))?.to_owned();
    let path: Vec<_> = parts.map(str::to_owned).collect();
    (!path.is_empty() && path.iter().all(|member| is_name(member))).then_some((role, path))
}

/// `name(argument, …)`.
fn call(text: &str) -> Option<FactReader> {
    let (name, rest) = text.split_once('(')?;
    let arguments: Vec<_> = rest.strip_suffix(')')?.split(',').map(str::trim).collect();
    match arguments.as_slice() {
        [one] => call_of_one(name, one),
        [first, second] => call_of_two(name, first, second),
        _ => None,
    }
}

fn call_of_one(name: &str, argument: &str) -> Option<FactReader> {
    let role = || is_name(argument).then(|| argument.to_owned());
    Some(match name {
        "present" => FactReader::Present(role()?),
        "directory" => FactReader::IsDirectory(role()?),
        "all_locked" => FactReader::AllFoliosLocked(role()?),
        "all_released" => FactReader::AllFoliosReleased(role()?),
        "acquired" => FactReader::Acquired(lock_of(argument)?),
        "released" => FactReader::Released(lock_of(argument)?),
        "eventually_released" => FactReader::EventuallyReleased(lock_of(argument)?),
        "called" => FactReader::Called(names(argument)?),
        "called_op" => FactReader::CalledOp(names(argument)?),
        "eventually_called" => FactReader::EventuallyCalled(names(argument)?),
        "called_from" => FactReader::CalledFrom(names(argument)?),
        "in_syscall" => FactReader::InSyscall(names(argument)?),
        "within" => FactReader::Within(role()?),
        "vma_locked" => FactReader::VmaLocked(role()?),
        _ => return None,
    })
}

fn call_of_two(name: &str, first: &str, second: &str) -> Option<FactReader> {
    let name_of = |text: &str| is_name(text).then(|| text.to_owned());
    Some(match name {
        "order" => FactReader::Order(names(first)?, names(second)?),
        "overlaps" => FactReader::Overlaps { role: name_of(first)?, op: name_of(second)? },
        "strays" => FactReader::Strays { role: name_of(first)?, functions: names(second)? },
        "bit" => {
            let (role, path) = member(first)?;
            FactReader::MemberBit { role, path, bit: name_of(second)? }
        }
        "counts_down" => {
            let (role, path) = member(first)?;
            FactReader::CountsDown { role, path, functions: names(second)? }
        }
        _ => return None,
    })
}

/// Names with `|` between.
fn names(text: &str) -> Option<Vec<String>> {
    text.split('|').map(str::trim).map(|name| is_name(name).then(|| name.to_owned())).collect()
}

/// `role.lock`.
pub(super) fn lock_of(text: &str) -> Option<LockOf> {
    let (role, lock) = text.split_once('.').filter(|(role, lock)| is_name(role) && is_name(lock))?;
    Some(LockOf { role: role.to_owned(), lock: lock.to_owned() })
}

/// `fact` or `not fact`.
pub(super) fn condition(text: &str) -> Result<Condition, Problem> {
    let text = text.trim();
    let (is, fact) = match text.strip_prefix("not ") {
        Some(fact) => (false, fact.trim()),
        None => (true, text),
    };
    if is_name(fact) && !matches!(fact, "not" | "or" | "and" | "if") {
        Ok(Condition { fact: fact.to_owned(), is })
    } else {
        Err(Problem::BadCondition(text.to_owned()))
    }
}

/// `choice or choice if condition and condition`.
pub(super) fn requirement(text: &str) -> Result<Requirement, Problem> {
    let (body, conditions) = match text.split_once(" if ") {
        Some((body, conditions)) => (body, conditions.split(" and ").map(condition).collect::<Result<Vec<_>, _>>()?),
        None => (text, Vec::new()),
    };
    let mut choices = body.split(" or ").map(choice).collect::<Result<Vec<_>, _>>()?;
    let requirement = match choices.len() {
        1 => choices.remove(0),
        _ => Requirement::Any(choices),
    };
    Ok(if conditions.is_empty() { requirement } else { Requirement::If(conditions, Box::new(requirement)) })
}

/// `role.lock demand`, `fact`, `not fact`.
fn choice(text: &str) -> Result<Requirement, Problem> {
    let text = text.trim();
    let bad = || Problem::BadRequirement(text.to_owned());
    let Some((role, rest)) = text.split_once('.') else {
        return condition(text).map(Requirement::Fact).map_err(|_| bad());
    };
    let (lock, demand_text) = rest.split_once(' ').ok_or_else(bad)?;
    if !is_name(role) || !is_name(lock) {
        return Err(bad());
    }
    Ok(Requirement::Lock { role: role.to_owned(), lock: lock.to_owned(), demand: demand(demand_text.trim())? })
}

fn demand(text: &str) -> Result<Demand, Problem> {
    Ok(match text {
        "shared" => Demand::SharedAtLeast,
        "exclusive" => Demand::Exclusive,
        "held" => Demand::Held,
        "not held" => Demand::NotHeld,
        "never shared" => Demand::NotShared,
        "not promised" => Demand::NotPromised,
        _ => return Err(Problem::BadDemand(text.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constants() -> Constants {
        Constants::from([("O_CREAT".to_owned(), 0o100), ("WIDE".to_owned(), 1 << 40)])
    }

    #[test]
    fn a_role_starts_at_an_argument_or_at_a_role() {
        let (from, path) = role("unsigned int#2").unwrap();
        assert_eq!(from, RoleSource::Argument(Argument { type_name: "unsigned int".into(), nth: 2 }));
        assert!(path.is_empty());
        let (from, path) = role("path#1.dentry.d_inode").unwrap();
        assert_eq!(from, RoleSource::Argument(Argument { type_name: "path".into(), nth: 1 }));
        assert_eq!(path, ["dentry", "d_inode"]);
        assert_eq!(role("source_parent.i_sb").unwrap().0, RoleSource::Role("source_parent".into()));
        assert_eq!(role("result.d_sb").unwrap().0, RoleSource::Result);
        assert!(matches!(role("folio *#1").unwrap().0, RoleSource::Argument(to) if to.type_name == "folio *"));
    }

    #[test]
    fn what_is_no_role_is_refused() {
        for text in
            ["", "inode#0", "inode#", "#1", "inode#x", "inode#1.", "inode#1..a", "a b", "inode#1.a b", "inode#300"]
        {
            assert_eq!(role(text), Err(Problem::BadRole(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn every_form_of_fact_is_read() {
        let read = |text| fact(text, &constants()).unwrap();
        assert_eq!(read("a != b"), FactReader::RolesDiffer("a".into(), "b".into()));
        assert_eq!(
            read("unsigned int#1 & O_CREAT"),
            FactReader::Mask(Argument { type_name: "unsigned int".into(), nth: 1 }, 0o100)
        );
        assert_eq!(read("result & O_CREAT | 0x1"), FactReader::ResultMask(0o101));
        assert_eq!(
            read("vmf.flags & WIDE"),
            FactReader::MemberMask { role: "vmf".into(), path: vec!["flags".into()], mask: 1 << 40 }
        );
        assert_eq!(
            read("wbc.sync_mode == 0"),
            FactReader::MemberEquals { role: "wbc".into(), path: vec!["sync_mode".into()], value: 0 }
        );
        assert_eq!(
            read("loff_t#1 >= inode.i_size"),
            FactReader::ArgumentReaches {
                argument: Argument { type_name: "loff_t".into(), nth: 1 },
                role: "inode".into(),
                path: vec!["i_size".into()]
            }
        );
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(read("order(f | g, h)"), FactReader::Order(names(&["f", "g"]), names(&["h"])));
        assert_eq!(read("acquired(m.l)"), FactReader::Acquired(LockOf { role: "m".into(), lock: "l".into() }));
        let bit = FactReader::MemberBit { role: "m".into(), path: names(&["flags"]), bit: "PG_dirty".into() };
        assert_eq!(read("at_exit(bit(m.flags, PG_dirty))"), FactReader::AtExit(Box::new(bit)));
        for text in [
            "slept",
            "atomic",
            "in_interrupt",
            "in_rcu_callback",
            "result < 0",
            "error(result)",
            "result == 7",
            "present(a)",
            "directory(a)",
            "called(f)",
            "eventually_called(f)",
            "called_from(f)",
            "in_syscall(ustat)",
            "in_rcu_walk",
            "called_op(a | b)",
            "overlaps(sb, quota_write)",
            "strays(m, f)",
            "counts_down(m.count, f)",
            "all_locked(m)",
            "all_released(m)",
            "released(a.b)",
            "eventually_released(a.b)",
        ] {
            assert!(fact(text, &constants()).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_fact_is_refused_with_its_reason() {
        let refuse = |text| fact(text, &constants()).unwrap_err();
        assert_eq!(refuse("int#1 & NOPE"), Problem::UnknownConstant("NOPE".into()));
        assert_eq!(refuse("int#1 & WIDE"), Problem::NumberTooLarge { value: "WIDE".into(), bits: 32 });
        for text in [
            "",
            "sleeps",
            "a != ",
            "present()",
            "present(a",
            "called(f g)",
            "called(f |)",
            "bit(m, PG)",
            "overlaps(sb)",
            "order(f)",
            "acquired(a)",
            "& 1",
            "a & ",
        ] {
            assert!(matches!(refuse(text), Problem::BadFact(_)), "{text}: {:?}", refuse(text));
        }
    }

    #[test]
    fn a_requirement_has_choices_and_conditions() {
        let lock = |role: &str, demand| Requirement::Lock { role: role.into(), lock: "l".into(), demand };
        let is = |fact: &str, is| Condition { fact: fact.into(), is };
        assert_eq!(requirement("a.l exclusive").unwrap(), lock("a", Demand::Exclusive));
        assert_eq!(requirement("not slept").unwrap(), Requirement::Fact(is("slept", false)));
        assert_eq!(
            requirement("a.l held or b.l not held if x and not y").unwrap(),
            Requirement::If(
                vec![is("x", true), is("y", false)],
                Box::new(Requirement::Any(vec![lock("a", Demand::Held), lock("b", Demand::NotHeld)]))
            )
        );
        for text in ["", "a.l", "a. exclusive", "a b", "or", "a.l held or ", "x if "] {
            assert!(requirement(text).is_err(), "{text}");
        }
        assert_eq!(requirement("a.l upheld"), Err(Problem::BadDemand("upheld".into())));
    }
}
