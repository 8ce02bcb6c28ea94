//! Lock slots: where the lock of a role lies, and what kind its word is of.

use vfs_audit_common::{
    CONSTANTS_MAX, EXIT_SLOTS_MAX, FROM_CONSTANT, LOCK_BUFFER, LOCK_FOLIO, LOCK_MUTEX, LOCK_PAGE, LOCK_RCU, LOCK_RWSEM,
    LOCK_SPIN, RoleReader, SLOTS_MAX, SlotReader,
};

use super::{super::plan::PlannedSlot, Compiler};
use crate::{
    observation::Point,
    rules::{GLOBAL_ROLE, LockClass, LockKind},
};

impl Compiler<'_> {
    /// Adds the lock of a role to the slots of the entry or the exit.
    pub(super) fn add_slot(&mut self, role: &str, lock: &str, point: Point) -> Result<(), String> {
        let is_there = |slots: &[PlannedSlot], roles: &[super::PlannedRole]| {
            slots.iter().any(|slot| roles[slot.role].name == role && slot.lock == lock)
        };
        let (slots, max) = match point {
            Point::Entry => (&self.slots, SLOTS_MAX),
            Point::Exit => (&self.exit_slots, EXIT_SLOTS_MAX),
        };
        if is_there(slots, &self.roles) {
            return Ok(());
        }
        let number = slots.len();
        if number == max {
            return Err(format!("more than {max} locks"));
        }
        let reader = self.slot(role, lock)?;
        let planned = PlannedSlot { role: usize::from(reader.role), lock: lock.to_owned() };
        match point {
            Point::Entry => {
                self.plan.slots[number] = reader;
                self.slots.push(planned);
            }
            Point::Exit => {
                self.plan.exit_slots[number] = reader;
                self.exit_slots.push(planned);
            }
        }
        Ok(())
    }

    /// Where the lock of a role lies.
    pub(super) fn slot(&mut self, role: &str, lock: &str) -> Result<SlotReader, String> {
        let catalogue = self.ground.catalogue;
        let class = catalogue.locks.get(lock).ok_or_else(|| format!("the lock {lock} is not described"))?;
        if role == GLOBAL_ROLE {
            return self.global(class);
        }
        let role = self.role(role)?;
        let places =
            std::iter::once((&class.owner, &class.field)).chain(class.alternatives.iter().map(|(o, f)| (o, f)));
        let owner = self.roles[role].owner.clone();
        let mut why = format!("{lock} is no lock of struct {owner}");
        for (_, field) in places.filter(|(of, _)| **of == owner) {
            let path: Vec<&str> = field.iter().map(String::as_str).collect();
            match self.ground.btf.offset_of(&owner, &path).map(u16::try_from) {
                Ok(Ok(offset)) => {
                    return Ok(SlotReader { role: role as u8, kind: word_kind(class, &owner)?, offset });
                }
                Ok(Err(_)) => why = format!("{owner}.{} lies too far in", path.join(".")),
                Err(e) => why = e,
            }
        }
        if class.kind == LockKind::Gone {
            return Err(format!("no kernel has {lock} any more"));
        }
        Err(why)
    }

    /// A lock that is a variable of the kernel, or of no object at all.
    fn global(&mut self, class: &LockClass) -> Result<SlotReader, String> {
        let kind = word_kind(class, "")?;
        if kind == LOCK_RCU {
            if self.ground.btf.offset_of("task_struct", &["rcu_read_lock_nesting"]).is_err() {
                return Err("this kernel does not count a task's RCU read sides".to_owned());
            }
            let role = self.global_role(0)?;
            return Ok(SlotReader { role: role as u8, kind, offset: 0 });
        }
        let symbol = class.field.first().map_or("", String::as_str);
        let address = *self
            .ground
            .symbols
            .addresses(symbol)
            .first()
            .ok_or_else(|| format!("this kernel has no variable {symbol}"))?;
        let role = self.global_role(address)?;
        let offset = match class.kind {
            LockKind::Seqlock => self
                .ground
                .btf
                .offset_in_typedef("seqlock_t", "lock")
                .and_then(|offset| u16::try_from(offset).ok())
                .ok_or("BTF does not say where a seqlock has its lock")?,
            LockKind::Rwsem
            | LockKind::Mutex
            | LockKind::Spinlock
            | LockKind::PageLock
            | LockKind::BufferLock
            | LockKind::PercpuRwsem
            | LockKind::Rcu
            | LockKind::Gone => 0,
        };
        Ok(SlotReader { role: role as u8, kind, offset })
    }

    /// A role whose object is always the variable at `address`.
    fn global_role(&mut self, address: u64) -> Result<usize, String> {
        let source = |index: usize| FROM_CONSTANT | index as u8;
        if let Some(index) = self.constants.iter().position(|known| *known == address) {
            let readers = self.plan.roles.iter().take(self.roles.len());
            if let Some(role) = readers.clone().position(|reader| reader.source == source(index)) {
                return Ok(role);
            }
        }
        if self.constants.len() == CONSTANTS_MAX {
            return Err(format!("more than {CONSTANTS_MAX} locks of no object"));
        }
        self.constants.push(address);
        let reader = RoleReader { source: source(self.constants.len() - 1), ..RoleReader::default() };
        self.push_role(GLOBAL_ROLE, String::new(), reader)
    }
}

/// The kind of a lock's word, in an object of struct `owner`.
fn word_kind(class: &LockClass, owner: &str) -> Result<u8, String> {
    Ok(match class.kind {
        LockKind::Rwsem => LOCK_RWSEM,
        LockKind::Mutex => LOCK_MUTEX,
        LockKind::Spinlock | LockKind::Seqlock => LOCK_SPIN,
        LockKind::PageLock if owner == "page" => LOCK_PAGE,
        LockKind::PageLock => LOCK_FOLIO,
        LockKind::BufferLock => LOCK_BUFFER,
        LockKind::Rcu => LOCK_RCU,
        LockKind::Gone => return Err(format!("no kernel has {} any more", class.name)),
        LockKind::PercpuRwsem => {
            return Err(format!("{} is a percpu-rwsem, whose readers no word and no table names", class.name));
        }
    })
}
