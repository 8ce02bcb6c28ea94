//! Facts: each becomes a flag of the entry or of the exit, or is said not to be observable.

use vfs_audit_common::{
    ARGUMENT_RESULT, FLAG_AND_MASK, FLAG_ARGUMENT_REACHES, FLAG_ATOMIC, FLAG_CALLED, FLAG_HAPPENED, FLAG_IN_INTERRUPT,
    FLAG_IN_RCU_WALK, FLAG_IN_SYSCALL, FLAG_IS_DIRECTORY, FLAG_MEMBER_EQUALS, FLAG_MEMBER_MASK, FLAG_ON_STACK,
    FLAG_ORDER, FLAG_PENDING, FLAG_PRESENT, FLAG_RESULT_EQUALS, FLAG_RESULT_ERROR_POINTER, FLAG_RESULT_MASK,
    FLAG_RESULT_NEGATIVE, FLAG_ROLES_DIFFER, FLAG_SLEPT, FLAG_VMA_LOCKED, FLAG_WITHIN, FROM_ROLE, FlagReader,
    LOCK_FOLIO, LOCK_MUTEX, LOCK_PAGE, LOCK_RWSEM, OF_HEAD_PAGE, ORDERS_MAX, OrderReader, SYSCALLS_MAX, WATCH_ACQUIRE,
    WATCH_FRAME, WATCH_OBJECTS_MAX, WATCH_RELEASE, WATCH_STRAY, WATCH_UNLOCK, WatchReader,
};

use super::{Compiler, chain, functions::UNLOCKING};
use crate::rules::{FactReader, LockOf};

/// The flag of a path walk in rcu-walk mode (`include/linux/namei.h`), up to 6.12, and where the flags were numbered anew.
const LOOKUP_RCU: u64 = 0x40;
/// See [`LOOKUP_RCU`].
const LOOKUP_RCU_RENUMBERED: u64 = 0x100;
/// The function that runs RCU callbacks.
const RCU_CALLBACKS: &str = "rcu_do_batch";

/// Whether the flag needs to know where the callback was entered.
pub(super) fn needs_context(kind: u8) -> bool {
    matches!(kind, FLAG_ATOMIC | FLAG_IN_INTERRUPT)
}

fn plain(kind: u8) -> FlagReader {
    FlagReader { kind, ..FlagReader::default() }
}

impl Compiler<'_> {
    /// Adds a fact to the flags of the entry or the exit.
    pub(super) fn add_fact(&mut self, name: &str) -> Result<(), String> {
        if self.entry.iter().chain(&self.exit).any(|(known, _)| known == name) {
            return Ok(());
        }
        self.has_room_for_a_fact()?;
        let reader = self.reader(name)?;
        let is_of_exit = reader.is_of_exit();
        let flag = self.flag(reader)?;
        let is_search = matches!(flag.kind, FLAG_ON_STACK | FLAG_IN_SYSCALL | FLAG_WITHIN | FLAG_VMA_LOCKED);
        if is_search && (is_of_exit || self.entry.iter().any(|(_, other)| other.kind == flag.kind)) {
            return Err(format!("not observable: a second search for {reader} in one callback"));
        }
        if is_of_exit {
            self.exit.push((name.to_owned(), flag));
        } else {
            self.entry.push((name.to_owned(), flag));
        }
        Ok(())
    }

    fn flag(&mut self, reader: &FactReader) -> Result<FlagReader, String> {
        let role = |name: &str| self.role(name).map(|index| index as u8);
        match reader {
            FactReader::RolesDiffer(a, b) => Ok(FlagReader { a: role(a)?, b: role(b)?, ..plain(FLAG_ROLES_DIFFER) }),
            FactReader::Present(a) => Ok(FlagReader { a: role(a)?, ..plain(FLAG_PRESENT) }),
            FactReader::IsDirectory(a) => Ok(FlagReader { a: role(a)?, ..plain(FLAG_IS_DIRECTORY) }),
            FactReader::Mask(argument, mask) => {
                let (a, _) = self.argument(argument)?;
                let width = self.prototype.argument_bytes.get(usize::from(a)).copied().unwrap_or(4);
                Ok(FlagReader { a, width, value: (*mask).into(), ..plain(FLAG_AND_MASK) })
            }
            FactReader::MemberMask { role, path, mask } => self.member(FLAG_MEMBER_MASK, role, path, *mask),
            FactReader::MemberEquals { role, path, value } => {
                self.member(FLAG_MEMBER_EQUALS, role, path, value.cast_unsigned())
            }
            FactReader::ArgumentReaches { argument, role, path } => {
                let (b, _) = self.argument(argument)?;
                let reader = self.member(FLAG_ARGUMENT_REACHES, role, path, 0)?;
                let is_wide = self.prototype.argument_bytes.get(usize::from(b)).is_some_and(|bytes| *bytes == 8);
                if !is_wide || reader.width != 8 {
                    return Err("not observable: only numbers of eight bytes are compared".to_owned());
                }
                Ok(FlagReader { b, ..reader })
            }
            FactReader::MemberBit { role, path, bit } => {
                let enumerator = self.ground.btf.enumerator(bit).filter(|number| *number < 64);
                let number = enumerator.ok_or_else(|| format!("this kernel has no {bit}"))?;
                self.member(FLAG_MEMBER_MASK, role, path, 1 << number)
            }
            FactReader::AtExit(inner) => self.flag(inner),
            FactReader::Slept => Ok(plain(FLAG_SLEPT)),
            FactReader::Atomic => Ok(plain(FLAG_ATOMIC)),
            FactReader::InInterrupt => Ok(plain(FLAG_IN_INTERRUPT)),
            FactReader::InRcuCallback => self.on_stack(&[RCU_CALLBACKS.to_owned()]),
            FactReader::CalledFrom(functions) => self.on_stack(functions),
            FactReader::InRcuWalk => {
                self.ground.btf.offset_of("task_struct", &["nameidata"])?;
                self.ground.btf.offset_of("nameidata", &["flags"])?;
                Ok(FlagReader { value: self.lookup_rcu(), ..plain(FLAG_IN_RCU_WALK) })
            }
            FactReader::InSyscall(names) => in_syscall(names),
            FactReader::Within(op) => {
                self.plan.watched |= WATCH_FRAME;
                let value = self.functions.bits_of_ops(std::slice::from_ref(op))?;
                Ok(FlagReader { value, ..plain(FLAG_WITHIN) })
            }
            FactReader::VmaLocked(area) => self.vma_locked(role(area)?),
            FactReader::ResultNegative => Ok(self.result(FLAG_RESULT_NEGATIVE, 0)),
            FactReader::ResultIsErrorPointer => Ok(plain(FLAG_RESULT_ERROR_POINTER)),
            FactReader::ResultEquals(value) => Ok(self.result(FLAG_RESULT_EQUALS, value.cast_unsigned())),
            FactReader::ResultMask(mask) => Ok(self.result(FLAG_RESULT_MASK, *mask)),
            FactReader::Called(functions) => {
                Ok(FlagReader { value: self.functions.bits(self.ground.kernel(), functions)?, ..plain(FLAG_CALLED) })
            }
            FactReader::CalledOp(ops) => {
                Ok(FlagReader { value: self.functions.bits_of_ops(ops)?, ..plain(FLAG_CALLED) })
            }
            FactReader::Order(first, second) => self.order(first, second),
            FactReader::Acquired(of) => self.acquired(of),
            FactReader::Released(of) => self.released(of),
            FactReader::EventuallyReleased(of) => self.eventually_released(of),
            FactReader::Strays { role, functions } => self.strays(role, functions),
            FactReader::EventuallyCalled(_)
            | FactReader::CountsDown { .. }
            | FactReader::Overlaps { .. }
            | FactReader::AllFoliosLocked(_)
            | FactReader::AllFoliosReleased(_) => {
                Err(format!("not observable: {}", reader.unreadable_live().unwrap_or("the fact is not read live")))
            }
        }
    }

    /// The flag of rcu-walk on this kernel. Types do not tell numbers; but on all kernels known, those that pass a parent
    /// directory to what revalidates a name have the new ones.
    fn lookup_rcu(&self) -> u64 {
        let slots = self.ground.btf.slots("dentry_operations");
        let passes_parent = slots.iter().any(|(name, _, to)| name == "d_revalidate" && to.arguments.len() > 2);
        if passes_parent { LOOKUP_RCU_RENUMBERED } else { LOOKUP_RCU }
    }

    /// A flag of the result; a value is cut to the result's bytes.
    fn result(&self, kind: u8, value: u64) -> FlagReader {
        let width = self.prototype.result_bytes;
        let value = match width {
            1 => value & 0xff,
            2 => value & 0xffff,
            4 => value & 0xffff_ffff,
            _ => value,
        };
        FlagReader { a: ARGUMENT_RESULT, width, value, ..plain(kind) }
    }

    /// A flag of a member; where the way to it leads through pointers, the object at their end gets a role of its own.
    fn member(&mut self, kind: u8, role: &str, path: &[String], value: u64) -> Result<FlagReader, String> {
        let index = self.role(role)?;
        let (steps, offset, width) = self.ground.btf.value_at(&self.roles[index].owner, path)?;
        let reader = chain(FROM_ROLE | index as u8, steps.into_iter(), &path.join("."))?;
        let (a, offset) = if reader.steps == 0 {
            (index, u32::from(reader.add) + offset)
        } else {
            (self.push_role(&format!("{role}.{}", path.join(".")), String::new(), reader)?, offset)
        };
        let offset = u16::try_from(offset).map_err(|_| format!("{role}.{} lies too far in", path.join(".")))?;
        let value = if width == 8 { value } else { value & ((1 << (8 * width)) - 1) };
        // What a tail page has there belongs to the folio's own counts.
        let is_of_page = a == index && self.roles[index].owner == "page";
        let b = if is_of_page { OF_HEAD_PAGE } else { 0 };
        Ok(FlagReader { a: a as u8, b, width, offset, value, ..plain(kind) })
    }

    /// Whether one of the functions is among the nearest callers.
    fn on_stack(&self, functions: &[String]) -> Result<FlagReader, String> {
        let [function] = functions else {
            return Err("not observable: more than one function is looked for on the stack".to_owned());
        };
        let symbols = self.ground.symbols;
        let start = *symbols.addresses(function).first().ok_or_else(|| format!("this kernel has no {function}"))?;
        let len = symbols.end_of(start).map_or(0, |end| end - start);
        let units = u16::try_from(len.div_ceil(16)).map_err(|_| format!("{function} is too long"))?;
        Ok(FlagReader { offset: units, value: start, ..plain(FLAG_ON_STACK) })
    }

    /// The lock of a role's area: an rwsem that it points to (6.4 to 6.12), or a count (later).
    fn vma_locked(&self, a: u8) -> Result<FlagReader, String> {
        let btf = self.ground.btf;
        let at = |owner: &str, field: &str| -> Result<u16, String> {
            u16::try_from(btf.offset_of(owner, &[field])?).map_err(|_| format!("{owner}.{field} lies too far in"))
        };
        if let Ok(offset) = at("vm_area_struct", "vm_refcnt") {
            return Ok(FlagReader { a, b: 2, offset, ..plain(FLAG_VMA_LOCKED) });
        }
        let value = u64::from(at("vma_lock", "lock")?);
        Ok(FlagReader { a, b: 1, offset: at("vm_area_struct", "vm_lock")?, value, ..plain(FLAG_VMA_LOCKED) })
    }

    fn order(&mut self, first: &[String], second: &[String]) -> Result<FlagReader, String> {
        let number = usize::from(self.plan.orders_len);
        if number == ORDERS_MAX {
            return Err(format!("more than {ORDERS_MAX} orders"));
        }
        let reader = OrderReader {
            first: self.functions.bits(self.ground.kernel(), first)?,
            second: self.functions.bits(self.ground.kernel(), second)?,
        };
        self.plan.orders[number] = reader;
        self.plan.orders_len += 1;
        Ok(FlagReader { a: number as u8, ..plain(FLAG_ORDER) })
    }

    fn watch_object(&mut self, reader: WatchReader) -> Result<u8, String> {
        let number = usize::from(self.plan.watches_len);
        if number == WATCH_OBJECTS_MAX {
            return Err(format!("more than {WATCH_OBJECTS_MAX} objects are watched"));
        }
        self.plan.watches[number] = reader;
        self.plan.watches_len += 1;
        Ok(number as u8)
    }

    fn acquired(&mut self, of: &LockOf) -> Result<FlagReader, String> {
        let slot = self.slot(&of.role, &of.lock)?;
        if slot.kind != LOCK_RWSEM {
            return Err(format!("not observable: acquisitions of {} are not tracked", of.lock));
        }
        let a = self.watch_object(WatchReader { kind: WATCH_ACQUIRE, role: slot.role, offset: slot.offset })?;
        Ok(FlagReader { a, ..plain(FLAG_HAPPENED) })
    }

    fn released(&mut self, of: &LockOf) -> Result<FlagReader, String> {
        let slot = self.slot(&of.role, &of.lock)?;
        let kind = match slot.kind {
            LOCK_RWSEM | LOCK_MUTEX => WATCH_RELEASE,
            LOCK_FOLIO | LOCK_PAGE if slot.offset == 0 => {
                self.functions.bits(self.ground.kernel(), UNLOCKING)?;
                WATCH_UNLOCK
            }
            _ => return Err(format!("not observable: releases of {} are not tracked", of.lock)),
        };
        let a = self.watch_object(WatchReader { kind, role: slot.role, offset: slot.offset })?;
        Ok(FlagReader { a, b: slot.kind, ..plain(FLAG_HAPPENED) })
    }

    fn eventually_released(&mut self, of: &LockOf) -> Result<FlagReader, String> {
        let slot = self.slot(&of.role, &of.lock)?;
        if !matches!(slot.kind, LOCK_FOLIO | LOCK_PAGE) || slot.offset != 0 {
            return Err(format!("not observable: later releases of {} are not followed", of.lock));
        }
        Ok(FlagReader { a: slot.role, b: slot.kind, ..plain(FLAG_PENDING) })
    }

    fn strays(&mut self, role: &str, functions: &[String]) -> Result<FlagReader, String> {
        let index = self.role(role)? as u8;
        let bits = self.functions.bits(self.ground.kernel(), functions)?;
        let a = self.watch_object(WatchReader { kind: WATCH_STRAY, role: index, offset: 0 })?;
        if a != 0 {
            return Err("not observable: strays are looked for in the first watched object only".to_owned());
        }
        self.plan.stray_bits = bits;
        Ok(FlagReader { a, ..plain(FLAG_HAPPENED) })
    }
}

/// Whether the task is in one of the system calls `names`.
fn in_syscall(names: &[String]) -> Result<FlagReader, String> {
    let mut value = 0;
    if names.len() > SYSCALLS_MAX {
        return Err(format!("not observable: more than {SYSCALLS_MAX} system calls"));
    }
    for (part, name) in names.iter().enumerate() {
        let number = SYSCALLS.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
        let number = number.ok_or_else(|| format!("not observable: the number of {name} is not known"))?;
        value |= (number.cast_unsigned() + 1) << (16 * part);
    }
    Ok(FlagReader { value, ..plain(FLAG_IN_SYSCALL) })
}

/// System calls by name, as x86-64 numbers them.
const SYSCALLS: &[(&str, i64)] = &[
    ("getdents", libc::SYS_getdents),
    ("getdents64", libc::SYS_getdents64),
    ("ustat", libc::SYS_ustat),
    ("swapon", libc::SYS_swapon),
    ("swapoff", libc::SYS_swapoff),
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
];
