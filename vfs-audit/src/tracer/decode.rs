//! From keys, counts and first-sight events to observations.
//!
//! Keys are all that the checker needs; an event that was lost costs the example, never the count.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use vfs_audit_common::{
    EVENT_SLEEP, Event, FLAG_ATOMIC, FLAG_CALLED, FLAG_IN_INTERRUPT, FLAG_SLEPT, HISTORY_DOUBTED, LOCK_RCU, NAME_BYTES,
    ObservationKey, SLOT_ABSENT, SLOT_TRACKED_EXCLUSIVE, SLOT_TRACKED_MASK, SLOT_TRACKED_SHARED, SLOT_UNTRACKED,
    SLOT_WORD_FREE, SLOT_WORD_MASK, SLOT_WORD_OTHER, SLOT_WORD_READERS, SLOT_WORD_SELF, SLOT_WORD_TAKEN, WIRE_VERSION,
};

use super::{
    call::{Call, call_at},
    hooks::{Hook, HookTable},
    pending,
    plan::{Identity, OpPlan, PlannedSlot, Plans},
    tail_call::{TailCalls, ends_in},
};
use crate::{
    kernel::{Memory, Superblock, Symbols},
    observation::{Example, Held, LockEvidence, LockReading, Observation, Point, Route, Task, Tracked, Word},
};

/// Events by what they are of.
#[derive(Default)]
pub(super) struct Events {
    /// By the key without lockdep's answers.
    first: HashMap<ObservationKey, Box<Event>>,
    /// By the key with them, where lockdep is asked.
    answered: HashMap<ObservationKey, Box<Event>>,
    sleeps: HashMap<u32, Vec<Event>>,
    /// Records of another size or version than ours.
    pub unknown: u64,
}

impl Events {
    /// Takes one record of the ring buffer.
    pub(super) fn take(&mut self, record: &[u8]) {
        if record.len() < size_of::<Event>() {
            self.unknown += 1;
            return;
        }
        // SAFETY: the record is long enough, and an event is integers only; the read copes with any alignment.
        let event = Box::new(unsafe { record.as_ptr().cast::<Event>().read_unaligned() });
        if event.version != WIRE_VERSION {
            self.unknown += 1;
        } else if event.kind == EVENT_SLEEP {
            self.sleeps.entry(event.key.hook.into()).or_default().push(*event);
        } else {
            let key = event.key.without_lockdep();
            if key != event.key {
                self.answered.entry(event.key).or_insert_with(|| event.clone());
            }
            self.first.entry(key).or_insert(event);
        }
    }

    /// Forgets everything so far.
    pub(super) fn clear(&mut self) {
        self.first.clear();
        self.answered.clear();
        self.sleeps.clear();
    }

    /// The first invocation of `key`, which has lockdep's answers, when its event arrived.
    pub(super) fn answered(&self, key: &ObservationKey) -> Option<&Event> {
        self.answered.get(key).map(AsRef::as_ref)
    }

    /// The first invocation of `key`, when its event arrived.
    pub(super) fn first(&self, key: &ObservationKey) -> Option<&Event> {
        self.first.get(key).map(AsRef::as_ref)
    }
}

/// A flag that could not be read has its bit so much above its own.
pub(super) const UNREAD_SHIFT: u32 = 16;

/// What of a run's data can be relied on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// False when a probe on a lock primitive missed runs of which not all can be told: then no history is complete.
    pub history: bool,
    /// False when a probe on a lock primitive missed some run: then the histories that are doubted are not complete.
    pub doubted: bool,
    /// False when it is not known what probing itself adds to a context: then no context is known.
    pub context: bool,
}

impl Known {
    /// Whether the task's lock history was complete at the invocations of `key`.
    pub(super) fn is_complete(self, key: &ObservationKey) -> bool {
        self.history
            && match key.history_complete.into() {
                0 => false,
                HISTORY_DOUBTED => self.doubted,
                _ => true,
            }
    }
}

/// What decoding needs to know.
pub(super) struct Decoder<'a> {
    /// Symbols.
    pub symbols: &'a Symbols,
    /// Kernel memory, for the call instruction before a return address.
    pub memory: &'a dyn Memory,
    /// Hooks by number.
    pub hooks: &'a HookTable,
    /// Plans.
    pub plans: &'a Plans,
    /// File system type and `s_id` by superblock.
    pub superblocks: &'a BTreeMap<u64, Superblock>,
    /// Events.
    pub events: &'a Events,
    /// What can be relied on.
    pub known: Known,
    /// Callbacks that end in a jump to another one.
    pub tail_calls: &'a TailCalls,
    calls: RefCell<HashMap<u64, Call>>,
    /// Of a function that is called directly and a callback: whether the one comes to the other by a jump.
    jumps: RefCell<HashMap<(u64, u64), bool>>,
}

pub(super) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl<'a> Decoder<'a> {
    /// A decoder over one run's data.
    pub(super) fn new(
        (symbols, memory): (&'a Symbols, &'a dyn Memory),
        (hooks, plans): (&'a HookTable, &'a Plans),
        superblocks: &'a BTreeMap<u64, Superblock>,
        events: &'a Events,
        (known, tail_calls): (Known, &'a TailCalls),
    ) -> Self {
        let (calls, jumps) = (RefCell::default(), RefCell::default());
        Self { symbols, memory, hooks, plans, superblocks, events, known, tail_calls, calls, jumps }
    }

    /// The observation of `key`, seen `count` times; `None` for a hook number that we never gave.
    pub(super) fn observation(&self, key: &ObservationKey, count: u64) -> Option<Observation> {
        let hook = self.hooks.hooks.get(usize::from(key.hook))?;
        let read_by = self.plans.ops.get(*hook.plans.first()?)?;
        let event = self.events.first(key).or_else(|| self.events.first(&pending::while_waiting(key, read_by)));
        let mut facts = facts(key, read_by, self.known);
        let served = self.served(hook, key.table);
        let route = self.route(hook, key, &served);
        let mut ops = if served.is_empty() { vec![read_by.op.clone()] } else { served };
        if ops.len() > 1 && is_told_apart(read_by, &facts) {
            ops = vec![read_by.op.clone()];
        }
        self.forget_unproven_sleep(key, hook, read_by, &mut facts);
        self.note_itself(hook, read_by, &mut facts);
        let (fs, sb_id) = self.superblock(key, event, hook);
        Some(Observation {
            table: read_by.table.clone(),
            op: ops.remove(0),
            also: ops,
            callback: hook.callback.clone(),
            fs,
            sb_id,
            caller: self.code(key.caller),
            route,
            point: if key.point == 0 { Point::Entry } else { Point::Exit },
            history_complete: self.known.is_complete(key),
            facts,
            locks: self.locks(key, read_by),
            count,
            example: event.map(|event| self.example(event, read_by, Vec::new())),
        })
    }

    /// The ops whose slot in the object's table is this function.
    fn served(&self, hook: &Hook, table: u64) -> Vec<String> {
        let plans = hook.plans.iter().filter_map(|number| self.plans.ops.get(*number));
        let serves = |plan: &&OpPlan| match plan.identity {
            Identity::Table => {
                match self.hooks.slots.get(&(table, plan.slot_offset)) {
                    Some(functions) => functions.contains(&hook.address),
                    // Of an object that no walk came by, a short-lived mapping for one.
                    None => table != 0 && self.memory.word(table + u64::from(plan.slot_offset)) == Some(hook.address),
                }
            }
            Identity::Object | Identity::Call => true,
        };
        plans.filter(serves).map(|plan| plan.op.clone()).collect()
    }

    fn route(&self, hook: &Hook, key: &ObservationKey, served: &[String]) -> Route {
        if served.is_empty() {
            // A table that was never read can hold anything; one that was read holds another function. Of a function that
            // only a symbol's name has made a callback nothing is known.
            let read = self.hooks.slots.range((key.table, 0)..=(key.table, u32::MAX)).next().is_some();
            return if read || !hook.living { Route::Direct } else { Route::Unknown };
        }
        let call = *self
            .calls
            .borrow_mut()
            .entry(key.caller)
            .or_insert_with(|| call_at(self.memory, self.symbols, key.caller));
        match call {
            Call::Direct(target) if target == hook.address || self.comes_to(target, hook.address) => Route::Direct,
            _ if self.tail_calls.is_entered_by(hook.address, key) => Route::Direct,
            Call::Direct(_) | Call::Indirect | Call::Unknown => Route::Table,
        }
    }

    /// Whether a direct call of `called` comes to `callback` by a jump.
    fn comes_to(&self, called: u64, callback: u64) -> bool {
        let find = || ends_in(called, callback, (self.memory, self.symbols));
        *self.jumps.borrow_mut().entry((called, callback)).or_insert_with(find)
    }

    pub(super) fn superblock(&self, key: &ObservationKey, event: Option<&Event>, hook: &Hook) -> (String, String) {
        if key.sb == 0 {
            // The op is called without one; a table that one type alone has tells as much.
            let mut types = hook.fs.iter();
            let only = types.next().filter(|_| types.next().is_none());
            return (only.cloned().unwrap_or_else(|| "-".to_owned()), String::new());
        }
        let known = self.superblocks.get(&key.sb).map(|sb| (sb.fs.clone(), sb.id.clone()));
        let seen = event.map(|event| (name(&event.fs), name(&event.sb_id)));
        seen.filter(|(fs, _)| !fs.is_empty()).or(known).unwrap_or_else(|| ("?".to_owned(), String::new()))
    }

    /// `address` as `symbol+0xoffset [module]`; an address without a symbol is not shown.
    fn code(&self, address: u64) -> String {
        self.symbols.resolve(address).map_or_else(|| "?".to_owned(), |symbol| symbol.to_string())
    }

    pub(super) fn stack(&self, event: &Event) -> Vec<String> {
        let frames = usize::try_from(event.stack_bytes).unwrap_or(0) / 8;
        // Programs and trampolines, ours among them, are no part of what happened.
        let is_program = |address: &&u64| self.symbols.resolve(**address).is_some_and(|symbol| symbol.module == "bpf");
        let own = event.stack.iter().take(frames).filter(|address| !is_program(address));
        own.map(|address| self.code(*address)).collect()
    }

    /// Whether the callback is on the stack of a sleep.
    fn is_inside(&self, event: &Event, hook: &Hook) -> bool {
        let frames = usize::try_from(event.stack_bytes).unwrap_or(0) / 8;
        let stack = event.stack.get(..frames).unwrap_or(&event.stack);
        let function = |address: &u64| self.symbols.resolve(*address).map(|symbol| *address - symbol.offset);
        let inside = |address: &u64| function(address) == Some(hook.address);
        // A callback that has ended in a jump: what it jumped to stands above the callback's return address.
        let after_jump = |pair: &[u64]| {
            pair[1] == event.key.caller
                && function(&pair[0]).is_some_and(|function| self.tail_calls.leads_to(hook.address, function))
        };
        stack.iter().any(inside) || stack.windows(2).any(after_jump)
    }

    /// A sleep of which no stack shows that it was inside the callback is not known.
    fn forget_unproven_sleep(
        &self,
        key: &ObservationKey,
        hook: &Hook,
        plan: &OpPlan,
        facts: &mut BTreeMap<String, bool>,
    ) {
        let sleeps = self.events.sleeps.get(&u32::from(key.hook));
        if sleeps.is_some_and(|events| events.iter().any(|event| self.is_inside(event, hook))) {
            return;
        }
        let slept = plan.readers.flags.iter().zip(&plan.facts).find(|(flag, _)| flag.kind == FLAG_SLEPT);
        if let Some((_, name)) = slept
            && facts.get(name) == Some(&true)
        {
            facts.remove(name);
        }
    }

    /// A callback that is itself one of the functions that are asked for has been called, whether or not the probe on the function
    /// has run.
    fn note_itself(&self, hook: &Hook, plan: &OpPlan, facts: &mut BTreeMap<String, bool>) {
        let Some((_, own)) = self.plans.functions.wanted().find(|(name, _)| *name == hook.callback) else { return };
        for (flag, name) in plan.readers.flags.iter().zip(&plan.facts) {
            if flag.kind == FLAG_CALLED && flag.value >> own & 1 != 0 && facts.contains_key(name) {
                facts.insert(name.clone(), true);
            }
        }
    }

    /// Whether a sleep inside a callback of hook number `hook` is proved by a stack.
    pub(super) fn has_slept(&self, hook: u32) -> bool {
        let Some(of_hook) = self.hooks.hooks.get(hook as usize) else { return false };
        let events = self.events.sleeps.get(&hook).map_or(&[][..], Vec::as_slice);
        events.iter().any(|event| self.is_inside(event, of_hook))
    }

    /// What callbacks that are watched for sleeping alone came to: an observation of the exit for each entry `key`, counted
    /// `count` times, and one for each sleep that a stack proves.
    pub(super) fn exits_without_probe(&self, key: &ObservationKey, count: u64) -> Vec<Observation> {
        let exits = || {
            let hook = self.hooks.hooks.get(usize::from(key.hook))?;
            let plan = self.plans.ops.get(*hook.plans.first()?)?;
            let slept = plan.slept.clone().filter(|_| plan.is_watched_for_sleep_alone())?;
            let is_watched = key.flags & plan.readers.watch_mask == plan.readers.watch_mask;
            if key.point != 0 || !is_watched {
                return None;
            }
            let is_same = |event: &&Event| {
                let of = &event.key;
                (of.flags, of.caller, of.table, of.sb) == (key.flags, key.caller, key.table, key.sb)
            };
            let events = self.events.sleeps.get(&u32::from(key.hook)).map_or(&[][..], Vec::as_slice);
            let mut sleeps = events.iter().filter(is_same).filter(|event| self.is_inside(event, hook)).peekable();
            let example = sleeps.peek().map(|event| self.example(event, plan, self.stack(event)));
            let slept_count = (sleeps.count() as u64).min(count);
            let exit = |is_slept: bool, count: u64, example| {
                let mut observation = self.observation(key, count)?;
                observation.point = Point::Exit;
                observation.locks = Vec::new();
                observation.facts.insert(slept.clone(), is_slept);
                observation.example = example;
                Some(observation)
            };
            let mut exits = Vec::new();
            if count > slept_count {
                exits.extend(exit(false, count - slept_count, None));
            }
            if slept_count > 0 {
                exits.extend(exit(true, slept_count, example));
            }
            Some(exits)
        };
        exits().unwrap_or_default()
    }

    fn locks(&self, key: &ObservationKey, plan: &OpPlan) -> Vec<LockEvidence> {
        let (slots, readers) = if key.point == 0 {
            (&plan.slots, &plan.readers.slots[..])
        } else {
            (&plan.exit_slots, &plan.readers.exit_slots[..])
        };
        let is_known = |kind: u8| kind != LOCK_RCU || self.known.context;
        let evidence = |((slot, reader), state): ((&PlannedSlot, &vfs_audit_common::SlotReader), &u8)| {
            is_known(reader.kind).then(|| LockEvidence {
                role: plan.roles[slot.role].name.clone(),
                lock: slot.lock.clone(),
                reading: reading(*state),
            })
        };
        slots.iter().zip(readers).zip(&key.slots).filter_map(evidence).collect()
    }

    fn example(&self, event: &Event, plan: &OpPlan, sleep_stack: Vec<String>) -> Example {
        let inode = |(n, role): (usize, &super::plan::PlannedRole)| {
            (role.owner == "inode" && event.roles[n] != 0).then(|| (role.name.clone(), event.inos[n]))
        };
        let shared = event.held.iter().take(event.held_len as usize);
        let held = event.exclusive.iter().filter(|lock| lock.instance != 0).chain(shared);
        Example {
            task: Task { comm: name(&event.comm[..NAME_BYTES]), tid: event.tid, tgid: event.tgid },
            time_ns: event.time_ns,
            inodes: plan.roles.iter().enumerate().filter_map(inode).collect(),
            held: held
                .map(|lock| Held {
                    lock: self.lock_name(event, plan, lock.instance),
                    exclusive: lock.mode != vfs_audit_common::ModeBits::Shared as u32,
                    site: self.code(lock.acquire_site),
                })
                .collect(),
            stack: self.stack(event),
            sleep_stack,
        }
    }

    /// `role.lock` for a lock of one of the roles, the variable's name for a static one.
    fn lock_name(&self, event: &Event, plan: &OpPlan, instance: u64) -> String {
        let of_role = plan.slots.iter().zip(&plan.readers.slots).find(|(slot, reader)| {
            let object = event.roles[slot.role];
            object != 0 && object + u64::from(reader.offset) == instance
        });
        if let Some((slot, _)) = of_role {
            return format!("{}.{}", plan.roles[slot.role].name, slot.lock);
        }
        match self.symbols.resolve(instance) {
            Some(symbol) if !self.symbols.is_text(instance) && symbol.offset < 4096 => symbol.name.to_owned(),
            _ => "another object's lock".to_owned(),
        }
    }
}

/// The flags by their facts' names.
fn facts(key: &ObservationKey, plan: &OpPlan, known: Known) -> BTreeMap<String, bool> {
    let flags = &plan.readers.flags;
    let read = if key.point == 0 { plan.readers.flags_len } else { plan.readers.all_flags_len };
    let is_of_context = |bit: usize| matches!(flags[bit].kind, FLAG_ATOMIC | FLAG_IN_INTERRUPT);
    let is_known = |(bit, _): &(usize, &String)| {
        (known.context || !is_of_context(*bit)) && key.flags >> (UNREAD_SHIFT + *bit as u32) & 1 == 0
    };
    let flag = |(bit, name): (usize, &String)| (name.clone(), key.flags >> bit & 1 != 0);
    plan.facts.iter().enumerate().take(read.into()).filter(is_known).map(flag).collect()
}

/// Whether the facts prove that the op is `plan`'s.
fn is_told_apart(plan: &OpPlan, facts: &BTreeMap<String, bool>) -> bool {
    !plan.told_apart_by.is_empty() && plan.told_apart_by.iter().all(|(fact, is)| facts.get(fact) == Some(is))
}

/// A slot byte's meaning.
pub(super) fn reading(state: u8) -> LockReading {
    let word = match state & SLOT_WORD_MASK {
        SLOT_ABSENT => return LockReading::NoObject,
        SLOT_WORD_FREE => Word::Free,
        SLOT_WORD_SELF => Word::ExclusiveSelf,
        SLOT_WORD_OTHER => Word::ExclusiveOther,
        SLOT_WORD_READERS => Word::Readers,
        SLOT_WORD_TAKEN => Word::Taken,
        _ => Word::Unread,
    };
    let tracked = match state & SLOT_TRACKED_MASK {
        SLOT_TRACKED_SHARED => Tracked::Shared,
        SLOT_TRACKED_EXCLUSIVE => Tracked::Exclusive,
        SLOT_UNTRACKED => Tracked::Untracked,
        _ => Tracked::None,
    };
    LockReading::Read { word, tracked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_byte_has_one_meaning() {
        assert_eq!(reading(SLOT_ABSENT), LockReading::NoObject);
        let read = |word, tracked| LockReading::Read { word, tracked };
        assert_eq!(reading(SLOT_WORD_SELF | SLOT_TRACKED_EXCLUSIVE), read(Word::ExclusiveSelf, Tracked::Exclusive));
        assert_eq!(reading(SLOT_WORD_READERS | SLOT_TRACKED_SHARED), read(Word::Readers, Tracked::Shared));
        assert_eq!(reading(SLOT_WORD_FREE), read(Word::Free, Tracked::None));
        assert_eq!(reading(SLOT_WORD_OTHER), read(Word::ExclusiveOther, Tracked::None));
        for state in 1..=u8::MAX {
            let expect_absent = state & SLOT_WORD_MASK == SLOT_ABSENT;
            assert_eq!(reading(state) == LockReading::NoObject, expect_absent, "state {state:#x}");
        }
    }

    #[test]
    fn short_and_foreign_records_are_counted() {
        let mut events = Events::default();
        events.take(&[0; 10]);
        events.take(&[0; size_of::<Event>()]);
        assert_eq!(events.unknown, 2);
        assert!(events.first.is_empty());
    }
}
