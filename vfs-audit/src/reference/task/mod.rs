//! A task: what `current` is in a kernel. It holds locks, is in some context, and calls functions.
//!
//! Interrupts and RCU callbacks run as tasks of their own on top of the one they interrupt, because what that one holds is
//! not theirs.

mod context;
mod deviating;
mod invoke;
mod locking;
mod waiting;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub(crate) use context::Context;
pub(crate) use invoke::invoke;

use super::kernel::Kernel;
use super::lock::{HeldLocks, Lock};
use super::object::{AddressSpace, Mm, Page};
use super::observe::{Event, Function, Recorder};
use super::random::Random;
use super::sched::Mode;

/// A task of the reference kernel.
pub(crate) struct Task<'k> {
    pub(crate) kernel: &'k Kernel,
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    /// User id, for permissions, quota and the owner of locks.
    pub(crate) uid: Cell<u32>,
    pub(crate) mm: Cell<Option<&'static Mm>>,
    /// Choices that the VFS leaves open, from the run's seed.
    pub(crate) random: RefCell<Random>,
    mode: Mode<'k>,
    context: Cell<Context>,
    held: RefCell<HeldLocks<'k>>,
    /// Acquisitions that a deviation left out or turned to another lock, by the lock that was meant.
    phantoms: RefCell<Vec<(usize, Option<&'k Lock>)>>,
    preempt: Cell<u32>,
    rcu: Cell<u32>,
    rcu_walk: Cell<bool>,
    syscall: Cell<&'static str>,
    frames: RefCell<Vec<&'static str>>,
    log: RefCell<Vec<Event>>,
    depth: Cell<u32>,
    recorder: Rc<RefCell<Recorder>>,
}

/// A function that is on the stack.
pub(crate) struct Frame<'t, 'k>(&'t Task<'k>);

impl Drop for Frame<'_, '_> {
    fn drop(&mut self) {
        self.0.frames.borrow_mut().pop();
    }
}

impl<'k> Task<'k> {
    /// A task of a kernel.
    pub(crate) fn new(kernel: &'k Kernel, name: &'static str, mode: Mode<'k>, seed: u64) -> Self {
        Self::with_recorder(kernel, name, mode, Random::new(seed), Rc::default())
    }

    fn with_recorder(
        kernel: &'k Kernel,
        name: &'static str,
        mode: Mode<'k>,
        random: Random,
        recorder: Rc<RefCell<Recorder>>,
    ) -> Self {
        Self {
            kernel,
            id: kernel.next_task(),
            name,
            uid: Cell::new(1000),
            mm: Cell::new(None),
            random: RefCell::new(random),
            mode,
            context: Cell::new(Context::Process),
            held: RefCell::default(),
            phantoms: RefCell::default(),
            preempt: Cell::new(0),
            rcu: Cell::new(0),
            rcu_walk: Cell::new(false),
            syscall: Cell::new(""),
            frames: RefCell::default(),
            log: RefCell::default(),
            depth: Cell::new(0),
            recorder,
        }
    }

    /// A task on top of this one, in another context.
    fn on_top(&self, name: &'static str, context: Context) -> Self {
        let random = Random::new(self.random.borrow_mut().next());
        let task = Self::with_recorder(self.kernel, name, self.mode, random, Rc::clone(&self.recorder));
        task.context.set(context);
        task
    }

    /// Enters a function, until the frame is dropped.
    pub(crate) fn frame(&self, function: &'static str) -> Frame<'_, 'k> {
        self.frames.borrow_mut().push(function);
        Frame(self)
    }

    /// The function that runs.
    pub(crate) fn function(&self) -> &'static str {
        self.frames.borrow().last().copied().unwrap_or(self.name)
    }

    /// The functions on the stack, outermost first.
    pub(crate) fn stack(&self) -> Vec<&'static str> {
        self.frames.borrow().clone()
    }

    /// Whether a function is on the stack.
    pub(crate) fn is_in(&self, function: &str) -> bool {
        self.frames.borrow().contains(&function)
    }

    /// Notes that a function ran for an object.
    pub(crate) fn called(&self, function: Function, subject: usize) {
        self.note(Event::Called(function, subject, 0));
        self.kernel.calls.count(function, subject);
    }

    /// Notes that a function ran for a page, with the mapping that it is in.
    pub(crate) fn called_for_page(&self, function: Function, page: &'static Page) {
        let owner = page.mapping.get().map_or(0, AddressSpace::address);
        self.note(Event::Called(function, page.address(), owner));
        self.kernel.calls.count(function, page.address());
    }

    /// Notes what happened, if anybody asks for it later.
    fn note(&self, event: Event) {
        if self.depth.get() > 0 {
            self.log.borrow_mut().push(event);
        }
    }

    /// The system call that the task is in; empty outside of any.
    pub(crate) fn syscall(&self) -> &'static str {
        self.syscall.get()
    }

    /// Runs a system call: from user space and back, with nothing left held.
    pub(crate) fn syscalls<T>(&self, name: &'static str, body: impl FnOnce() -> T) -> T {
        self.syscall.set(name);
        let result = body();
        self.syscall.set("");
        self.return_to_user(name);
        self.recorder.borrow_mut().syscalls += 1;
        result
    }

    /// System calls that it has made.
    pub(crate) fn syscalls_made(&self) -> u64 {
        self.recorder.borrow().syscalls
    }

    /// A number below a bound, from the run's seed.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }
}

/// What a task recorded goes to the kernel when it ends, however it ends.
impl Drop for Task<'_> {
    fn drop(&mut self) {
        if Rc::strong_count(&self.recorder) == 1 {
            self.kernel.results.take(&mut self.recorder.borrow_mut());
        }
    }
}
