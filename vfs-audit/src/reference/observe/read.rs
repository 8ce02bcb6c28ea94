//! Reads the facts and locks of one invocation.

use super::plan::{From, LockPlan, Plan, Reader, RolePlan};
use super::value::{Member, Value, global_lock};
use super::{Event, Function, Op, Watch};
use crate::observation::{Tracked, Word};
use crate::reference::lock::Lock;
use crate::reference::object::{Errno, Path, Result};
use crate::reference::task::{Context, Task};

/// Roles of an op at most.
pub(crate) const ROLES_MAX: usize = 8;
/// Roles' objects, in the plan's order.
pub(crate) type Objects<'a> = [Value<'a>; ROLES_MAX];

/// What a callback returned, in the terms of C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub(crate) number: i64,
    pub(crate) object: Value<'static>,
    pub(crate) is_error_pointer: bool,
}

/// A callback's result as C would have it.
pub(crate) trait Outcome {
    /// The number, pointer or error pointer.
    fn returned(&self) -> Returned;
}

impl Returned {
    fn number(number: i64) -> Self {
        Self { number, object: Value::Null, is_error_pointer: false }
    }
}

macro_rules! outcomes {
    ($($type:ty: $self:ident => $number:expr;)*) => {$(
        impl Outcome for $type {
            fn returned(&$self) -> Returned {
                Returned::number($number)
            }
        }
    )*};
}

outcomes! {
    (): self => 0;
    bool: self => i64::from(*self);
    u32: self => i64::from(*self);
    u64: self => self.cast_signed();
    i32: self => i64::from(*self);
    usize: self => self.cast_signed() as i64;
    String: self => i64::MAX;
    Vec<(String, u64)>: self => 0;
    Vec<u8>: self => self.len().cast_signed() as i64;
    Vec<String>: self => self.len().cast_signed() as i64;
    Vec<crate::reference::vfs::types::Extent>: self => 0;
    crate::reference::vfs::types::Stat: self => 0;
    crate::reference::vfs::types::Statfs: self => 0;
    crate::reference::vfs::types::Acl: self => i64::MAX;
    crate::reference::vfs::types::Geometry: self => 0;
}

impl Outcome for &'static crate::reference::object::Inode {
    fn returned(&self) -> Returned {
        Returned { object: Value::Inode(self), ..Returned::number(i64::MAX) }
    }
}

impl Outcome for &'static crate::reference::object::SuperBlock {
    fn returned(&self) -> Returned {
        Returned { object: Value::SuperBlock(self), ..Returned::number(i64::MAX) }
    }
}

impl Outcome for &'static crate::reference::object::Dentry {
    fn returned(&self) -> Returned {
        Returned { object: Value::Dentry(self), ..Returned::number(i64::MAX) }
    }
}

impl Outcome for Path {
    fn returned(&self) -> Returned {
        Returned { object: Value::Dentry(self.dentry), ..Returned::number(i64::MAX) }
    }
}

impl<T: Outcome> Outcome for Result<T> {
    fn returned(&self) -> Returned {
        match self {
            Ok(value) => value.returned(),
            Err(Errno(number)) => Returned { is_error_pointer: true, ..Returned::number(-i64::from(*number)) },
        }
    }
}

/// What is known of an invocation at its return.
pub(crate) struct Exit<'e, 'a> {
    pub(crate) returned: Returned,
    /// What happened since the entry.
    pub(crate) events: &'e [Event],
    /// What was noted at the entry, fact by fact.
    pub(crate) before: &'e [Before<'a>],
    /// Whether an invocation of the op overlapped, for the object.
    pub(crate) overlapped: &'e dyn Fn(Op) -> bool,
}

/// What a fact that is known at the return only must note at the entry.
#[derive(Clone, Debug)]
pub(crate) enum Before<'a> {
    Nothing,
    Number(i64),
    /// What to look at beyond the return.
    Watch(Watch),
    /// The object that the role had.
    Object(Value<'a>),
}

/// One fact's value.
pub(crate) enum Read {
    Known(bool),
    /// It will become so when the watch is over, or never.
    Pending(Watch),
    Unread,
}

/// The objects of all roles; an object that only the return gives is absent before.
pub(crate) fn objects<'a>(plan: &Plan, arguments: &[Value<'a>], returned: Option<Returned>) -> Objects<'a> {
    let mut objects = [Value::Null; ROLES_MAX];
    for (index, role) in plan.roles.iter().enumerate().take(ROLES_MAX) {
        let start = match role.from {
            From::Argument(argument) => arguments[argument],
            From::Filled(argument) => filled(arguments[argument], returned.is_some()),
            From::Role(other) => objects[other],
            From::Result => returned.map_or(Value::Null, |returned| returned.object),
        };
        objects[index] = walk(start, &role.path).unwrap_or(Value::Null);
    }
    objects
}

fn filled(value: Value<'_>, at_return: bool) -> Value<'_> {
    match (value, at_return) {
        (Value::PageSlot(slot), true) => slot.get().map_or(Value::Null, Value::Page),
        _ => Value::Null,
    }
}

/// Follows a path; nothing when a type on the way has no such member.
pub(crate) fn walk<'a>(start: Value<'a>, path: &[Member]) -> Option<Value<'a>> {
    path.iter().try_fold(start, |value, member| value.follow(*member))
}

/// Locks in one number: eight bits each, 0xff for no object.
pub(crate) fn locks(task: &Task, plans: &[LockPlan], objects: &Objects<'_>) -> u64 {
    let mut packed = 0;
    for (slot, plan) in plans.iter().enumerate() {
        let code = match plan.index.map(|index| objects[index]) {
            Some(Value::Null) => NO_OBJECT,
            Some(object) => object.lock(plan.class).map_or(NO_OBJECT, |lock| code(task, lock)),
            None => global_lock(task.kernel, plan.class).map_or(NO_OBJECT, |lock| code(task, lock)),
        };
        packed |= code << (slot * 8);
    }
    packed
}

/// The code of a role without object.
pub(crate) const NO_OBJECT: u64 = 0xff;

fn code(task: &Task, lock: &Lock) -> u64 {
    word_code(lock.word(task.id)) << 4 | tracked_code(task.tracked(lock))
}

fn word_code(word: Word) -> u64 {
    match word {
        Word::Unread => 0,
        Word::Free => 1,
        Word::ExclusiveSelf => 2,
        Word::ExclusiveOther => 3,
        Word::Readers => 4,
        Word::Taken => 5,
    }
}

fn tracked_code(tracked: Tracked) -> u64 {
    match tracked {
        Tracked::None => 0,
        Tracked::Shared => 1,
        Tracked::Exclusive => 2,
        Tracked::Untracked => 3,
    }
}

/// A reading from its code.
pub(crate) fn decode(code: u64) -> Option<(Word, Tracked)> {
    let word = match code >> 4 {
        1 => Word::Free,
        2 => Word::ExclusiveSelf,
        3 => Word::ExclusiveOther,
        4 => Word::Readers,
        5 => Word::Taken,
        0 => Word::Unread,
        _ => return None,
    };
    let tracked = match code & 0xf {
        0 => Tracked::None,
        1 => Tracked::Shared,
        2 => Tracked::Exclusive,
        _ => Tracked::Untracked,
    };
    Some((word, tracked))
}

/// A fact as it is before the callback runs, or read once more after it.
pub(crate) fn now(task: &Task, reader: &Reader, objects: &Objects<'_>, arguments: &[Value<'_>]) -> Option<bool> {
    Some(match reader {
        Reader::Differ(a, b) => objects[*a].address() != objects[*b].address(),
        Reader::Present(role) => objects[*role].is_present(),
        Reader::IsDirectory(role) => matches!(objects[*role], Value::Inode(inode) if inode.is_directory()),
        Reader::Mask(argument, mask) => arguments[*argument].number()?.cast_unsigned() as u32 & mask != 0,
        Reader::MemberMask { role, path, mask } => member(objects[*role], path)?.cast_unsigned() & mask != 0,
        Reader::MemberEquals { role, path, value } => member(objects[*role], path)? == *value,
        Reader::ArgumentReaches { argument, role, path } => {
            arguments[*argument].number()? >= member(objects[*role], path)?
        }
        Reader::CalledFrom(names) => names.iter().any(|name| task.is_in(name)),
        Reader::InSyscall(names) => names.iter().any(|name| name == task.syscall()),
        Reader::Never => false,
        Reader::AllLocked(role) => objects[*role].pages().iter().all(|page| page.lock.raw().is_held()),
        Reader::Atomic => task.is_atomic(),
        Reader::InInterrupt => task.context() == Context::Interrupt,
        Reader::InRcuCallback => task.context() == Context::RcuCallback,
        Reader::InRcuWalk => task.is_in_rcu_walk(),
        Reader::Slept
        | Reader::AtExit(_)
        | Reader::ResultNegative
        | Reader::ResultIsErrorPointer
        | Reader::ResultEquals(_)
        | Reader::ResultMask(_)
        | Reader::Called(_)
        | Reader::CalledOp(_)
        | Reader::Order(..)
        | Reader::Acquired(..)
        | Reader::Released(..)
        | Reader::EventuallyReleased(..)
        | Reader::EventuallyCalled(_)
        | Reader::CountsDown { .. }
        | Reader::Strays { .. }
        | Reader::Overlaps(_)
        | Reader::AllReleased(_) => return None,
    })
}

/// A member's number; a role without object has no members.
fn member(object: Value<'_>, path: &[Member]) -> Option<i64> {
    if object.is_present() { walk(object, path)?.number() } else { None }
}

/// What a fact of the return must note before the callback runs.
pub(crate) fn before<'a>(task: &Task, reader: &Reader, plan: &Plan, objects: &Objects<'a>) -> Before<'a> {
    match reader {
        Reader::EventuallyReleased(role, class) => match objects[*role].lock(*class) {
            Some(lock) => Before::Watch(Watch::released([lock])),
            None => Before::Nothing,
        },
        Reader::AllReleased(role) => {
            let pages = objects[*role].pages();
            Before::Watch(Watch::released(pages.into_iter().map(|page| &page.lock)))
        }
        Reader::EventuallyCalled(functions) => {
            let addresses = (0..plan.roles.len()).map(|role| objects[role].address()).filter(|address| *address != 0);
            Before::Watch(Watch::called(&task.kernel.calls, functions, addresses))
        }
        Reader::CountsDown { role, path, .. } => member(objects[*role], path).map_or(Before::Nothing, Before::Number),
        Reader::Acquired(role, _) | Reader::Released(role, _) => Before::Object(objects[*role]),
        Reader::Differ(..)
        | Reader::Present(_)
        | Reader::IsDirectory(_)
        | Reader::Mask(..)
        | Reader::MemberMask { .. }
        | Reader::MemberEquals { .. }
        | Reader::ArgumentReaches { .. }
        | Reader::CalledFrom(_)
        | Reader::InSyscall(_)
        | Reader::Never
        | Reader::AllLocked(_)
        | Reader::Atomic
        | Reader::InInterrupt
        | Reader::InRcuCallback
        | Reader::InRcuWalk
        | Reader::Slept
        | Reader::AtExit(_)
        | Reader::ResultNegative
        | Reader::ResultIsErrorPointer
        | Reader::ResultEquals(_)
        | Reader::ResultMask(_)
        | Reader::Called(_)
        | Reader::CalledOp(_)
        | Reader::Order(..)
        | Reader::Strays { .. }
        | Reader::Overlaps(_) => Before::Nothing,
    }
}

/// A fact at the return.
pub(crate) fn at_exit(
    task: &Task,
    (index, reader): (usize, &Reader),
    exit: &Exit<'_, '_>,
    objects: &Objects<'_>,
    arguments: &[Value<'_>],
) -> Read {
    let known = |value: bool| Read::Known(value);
    let called = |functions: &[Function]| {
        exit.events.iter().any(|event| matches!(event, Event::Called(function, ..) if functions.contains(function)))
    };
    match reader {
        Reader::Slept => known(exit.events.contains(&Event::Slept)),
        Reader::AtExit(inner) => now(task, inner, objects, arguments).map_or(Read::Unread, Read::Known),
        Reader::ResultNegative => known(exit.returned.number < 0),
        Reader::ResultIsErrorPointer => known(exit.returned.is_error_pointer),
        Reader::ResultEquals(value) => known(exit.returned.number == *value),
        Reader::ResultMask(mask) => known(exit.returned.number.cast_unsigned() & mask != 0),
        Reader::Called(functions) => known(called(functions)),
        Reader::CalledOp(ops) => {
            known(exit.events.iter().any(|event| matches!(event, Event::Invoked(op) if ops.contains(op))))
        }
        Reader::Order(first, second) => known(in_order(exit.events, first, second)),
        Reader::Acquired(role, class) | Reader::Released(role, class) => {
            let object = match exit.before.get(index) {
                Some(Before::Object(object)) if object.is_present() => *object,
                _ => objects[*role],
            };
            let Some(lock) = object.lock(*class) else { return Read::Unread };
            let address = lock.raw().address();
            let wanted = if matches!(reader, Reader::Acquired(..)) {
                Event::Acquired(address)
            } else {
                Event::Released(address)
            };
            known(exit.events.contains(&wanted))
        }
        Reader::EventuallyReleased(role, class) => match exit.before.get(index) {
            Some(Before::Watch(watch)) => pending(task, watch.clone()),
            // The object came with the return: what counts is what happens to it from now on.
            _ => match objects[*role].lock(*class) {
                Some(lock) => pending(task, Watch::released([lock])),
                None => Read::Unread,
            },
        },
        Reader::EventuallyCalled(_) | Reader::AllReleased(_) => match exit.before.get(index) {
            Some(Before::Watch(watch)) => pending(task, watch.clone()),
            _ => Read::Unread,
        },
        Reader::CountsDown { role, path, functions } => {
            let count = exit.events.iter();
            let count =
                count.filter(|event| matches!(event, Event::Called(function, ..) if functions.contains(function)));
            match (exit.before.get(index), member(objects[*role], path)) {
                (Some(Before::Number(before)), Some(after)) => {
                    known(before - after == count.count().cast_signed() as i64)
                }
                _ => Read::Unread,
            }
        }
        Reader::Strays { role, functions } => known(strays(exit.events, objects[*role], functions)),
        Reader::Overlaps(op) => known((exit.overlapped)(*op)),
        // Known at the entry already.
        Reader::Differ(..)
        | Reader::Present(_)
        | Reader::IsDirectory(_)
        | Reader::Mask(..)
        | Reader::MemberMask { .. }
        | Reader::MemberEquals { .. }
        | Reader::ArgumentReaches { .. }
        | Reader::CalledFrom(_)
        | Reader::InSyscall(_)
        | Reader::Never
        | Reader::AllLocked(_)
        | Reader::Atomic
        | Reader::InInterrupt
        | Reader::InRcuCallback
        | Reader::InRcuWalk => Read::Unread,
    }
}

fn pending(task: &Task, watch: Watch) -> Read {
    if watch.is_over(&task.kernel.calls) { Read::Known(true) } else { Read::Pending(watch) }
}

fn in_order(events: &[Event], first: &[Function], second: &[Function]) -> bool {
    let position = |wanted: &[Function], from: usize| {
        let found = |event: &Event| matches!(event, Event::Called(function, ..) if wanted.contains(function));
        events.iter().skip(from).position(found).map(|position| position + from)
    };
    let Some(begins) = position(first, 0) else { return false };
    // A second one that came before the first breaks the order, even if another comes later.
    position(second, 0).is_some_and(|ends| ends > begins)
}

/// Whether a function ran for a page that belongs to another mapping.
fn strays(events: &[Event], mapping: Value<'_>, functions: &[Function]) -> bool {
    let Value::Mapping(mapping) = mapping else { return false };
    let own = mapping.address();
    events.iter().any(
        |event| matches!(event, Event::Called(function, _, owner) if functions.contains(function) && *owner != own),
    )
}

/// A role's name and object, for an example.
pub(crate) fn named<'a, 'v>(roles: &'a [RolePlan], objects: &Objects<'v>) -> Vec<(&'a str, Value<'v>)> {
    roles.iter().map(|role| role.name.as_str()).zip(objects.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(function: Function) -> Event {
        Event::Called(function, 1, 1)
    }

    #[test]
    fn an_order_holds_when_the_first_of_each_come_in_it() {
        let (wait, start) = ([Function::WaitOnPageWriteback], [Function::SetPageWriteback]);
        let (w, s) = (called(wait[0]), called(start[0]));
        assert!(in_order(&[w, s], &wait, &start));
        assert!(in_order(&[Event::Slept, w, Event::Acquired(1), s], &wait, &start));
        assert!(!in_order(&[s, w], &wait, &start));
        assert!(!in_order(&[s, w, s], &wait, &start), "a start before the wait breaks it, whatever follows");
        assert!(!in_order(&[w], &wait, &start));
        assert!(!in_order(&[s], &wait, &start));
    }

    #[test]
    fn readings_survive_their_packing() {
        let words = [Word::Unread, Word::Free, Word::ExclusiveSelf, Word::ExclusiveOther, Word::Readers, Word::Taken];
        let tables = [Tracked::None, Tracked::Shared, Tracked::Exclusive, Tracked::Untracked];
        for word in words {
            for tracked in tables {
                assert_eq!(decode(word_code(word) << 4 | tracked_code(tracked)), Some((word, tracked)));
            }
        }
        assert_eq!(decode(NO_OBJECT), None);
    }
}
