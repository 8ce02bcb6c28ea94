//! Calling a callback: the one place where invocations are observed.

use std::collections::BTreeMap;

use super::Task;
use crate::observation::{Example, Held, Task as TaskName};
use crate::reference::lock::Mode;
use crate::reference::observe::{Event, Key, Op, Outcome, Plan, Value, read, recorder};

/// Calls the callback in a slot, with the observation of its invocation.
macro_rules! invoke {
    ($task:expr, $op:ident, $callback:expr $(, $argument:expr)*) => {{
        let callback = &$callback;
        let arguments = [$($crate::reference::observe::AsValue::as_value(&$argument)),*];
        $task.invoke($crate::reference::observe::Op::$op, callback.name, &arguments, || {
            (callback.call)($task $(, $argument)*)
        })
    }};
}
pub(crate) use invoke;

/// What was read at the entry.
struct Entered<'a> {
    known: u64,
    facts: u64,
    fs: &'static str,
    before: Vec<read::Before<'a>>,
    overlap: Option<u64>,
    mark: usize,
    callback: &'static str,
}

impl Task<'_> {
    /// Runs a callback as an invocation of an op.
    pub(crate) fn invoke<R: Outcome>(
        &self,
        op: Op,
        callback: &'static str,
        arguments: &[Value<'_>],
        body: impl FnOnce() -> R,
    ) -> R {
        self.point();
        let Some(plan) = self.kernel.plans.of(op) else { return body() };
        self.recorder.borrow_mut().invocations += 1;
        let undo = self.deviate_at_entry(op);
        let entered = self.enter(plan, callback, arguments);
        self.undo(&undo);
        self.note(Event::Invoked(op));
        self.depth.set(self.depth.get() + 1);
        let mark = Entered { mark: self.log.borrow().len(), ..entered };
        let frame = self.frame(callback);
        let result = body();
        self.deviate_at_exit(op);
        drop(frame);
        if plan.has_exit {
            self.leave(plan, &mark, arguments, &result);
        } else if let Some(id) = mark.overlap {
            self.kernel.overlaps.end(id);
        }
        self.depth.set(self.depth.get() - 1);
        if self.depth.get() == 0 {
            self.log.borrow_mut().clear();
        }
        result
    }

    fn enter<'a>(&self, plan: &Plan, callback: &'static str, arguments: &[Value<'a>]) -> Entered<'a> {
        let objects = read::objects(plan, arguments, None);
        let (mut known, mut facts) = (0, 0);
        for (bit, fact) in plan.entry_facts.iter().enumerate() {
            if let Some(value) = read::now(self, &fact.reader, &objects, arguments) {
                known |= 1 << bit;
                facts |= u64::from(value) << bit;
            }
        }
        let fs = file_system(plan, &objects, callback);
        let key = Key {
            op: plan.op,
            point: recorder::Side::Entry,
            callback: recorder::Name(callback),
            caller: recorder::Name(self.function()),
            fs: recorder::Name(fs),
            known,
            facts,
            locks: read::locks(self, &plan.entry_locks, &objects),
        };
        self.recorder.borrow_mut().record(key, || self.example(plan, &objects, callback));
        let before = if plan.has_exit && plan.needs_before {
            plan.exit_facts.iter().map(|fact| read::before(self, &fact.reader, plan, &objects)).collect()
        } else {
            Vec::new()
        };
        let overlap = plan.overlaps.then(|| self.kernel.overlaps.begin(plan.op, objects[0].address()));
        Entered { known, facts, fs, before, overlap, mark: 0, callback }
    }

    fn leave<R: Outcome>(&self, plan: &Plan, entered: &Entered<'_>, arguments: &[Value<'_>], result: &R) {
        let returned = result.returned();
        let objects = read::objects(plan, arguments, Some(returned));
        let met = entered.overlap.map(|id| self.kernel.overlaps.end(id)).unwrap_or_default();
        let log = self.log.borrow();
        let exit = read::Exit {
            returned,
            events: &log[entered.mark.min(log.len())..],
            before: &entered.before,
            overlapped: &|op| met.contains(&op),
        };
        let (mut known, mut facts) = (entered.known, entered.facts);
        let mut watches = Vec::new();
        for (index, fact) in plan.exit_facts.iter().enumerate() {
            let bit = 1 << (index + plan.entry_facts.len());
            match read::at_exit(self, (index, &fact.reader), &exit, &objects, arguments) {
                read::Read::Known(value) => {
                    known |= bit;
                    facts |= if value { bit } else { 0 };
                }
                read::Read::Pending(watch) => {
                    known |= bit;
                    watches.push((bit, watch));
                }
                read::Read::Unread => {}
            }
        }
        drop(log);
        let key = Key {
            op: plan.op,
            point: recorder::Side::Exit,
            callback: recorder::Name(entered.callback),
            caller: recorder::Name(self.function()),
            fs: recorder::Name(entered.fs),
            known,
            facts,
            locks: read::locks(self, &plan.exit_locks, &objects),
        };
        let example = || self.example(plan, &objects, entered.callback);
        let mut recorder = self.recorder.borrow_mut();
        if watches.is_empty() {
            recorder.record(key, example);
        } else {
            recorder.postpone(recorder::Pending { key, watches }, &self.kernel.calls, example);
        }
    }

    fn example(&self, plan: &Plan, objects: &read::Objects<'_>, callback: &str) -> Example {
        let named = read::named(&plan.roles, objects);
        let inode = |(role, object): &(&str, Value<'_>)| {
            if let Value::Inode(inode) = object { Some(((*role).to_owned(), inode.number())) } else { None }
        };
        let held = self.held().into_iter().map(|held| {
            let owner = named
                .iter()
                .find(|(_, object)| object.lock(held.class).is_some_and(|lock| lock.raw().address() == held.address));
            let name = held.class.name();
            let lock = owner.map_or_else(|| name.to_owned(), |(role, _)| format!("{role}.{name}"));
            let site = format!("{}:{}", held.site.file().rsplit('/').next().unwrap_or_default(), held.site.line());
            Held { lock, exclusive: held.mode == Mode::Exclusive, site }
        });
        let frames = self.frames.borrow();
        let on_top = std::iter::once(callback).filter(|_| frames.last() != Some(&callback));
        Example {
            task: TaskName { comm: self.name.to_owned(), tid: self.id, tgid: self.id },
            time_ns: self.kernel.now(),
            inodes: named.iter().filter_map(inode).collect::<BTreeMap<_, _>>(),
            held: held.collect(),
            stack: on_top.chain(frames.iter().rev().copied()).map(str::to_owned).collect(),
            sleep_stack: Vec::new(),
        }
    }
}

/// The file system of an invocation: the superblock's, else the one that the callback is named after.
fn file_system(plan: &Plan, objects: &read::Objects<'_>, callback: &'static str) -> &'static str {
    let found = plan.superblock.as_ref().and_then(|path| {
        if let Value::SuperBlock(sb) = read::walk(objects[0], path)? { Some(sb.s_type.get()?.name) } else { None }
    });
    found.unwrap_or_else(|| callback.split('_').next().unwrap_or(callback))
}
