//! The controlled scheduler: tasks as coroutines on one thread, every choice from a seed.
//!
//! At each point the seed says whether another task goes on and whether a pending interrupt comes first. When nobody can
//! go on, that is a deadlock, told with what everybody waits for; if somebody's condition holds all the same, its
//! wake-up was lost. The same seed gives the same run, step by step.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Mode, Stuck, Switch};
use crate::reference::kernel::Kernel;
use crate::reference::lock::{Fault, FaultKind};
use crate::reference::random::Random;
use crate::reference::task::Task;

/// Bytes of a task's stack.
const STACK_BYTES: usize = 512 << 10;
/// Steps after which a run counts as going nowhere.
const STEPS_MAX: u64 = 2_000_000;
/// One point in so many lets another task run.
const SWITCH_ONE_IN: u64 = 4;

thread_local! {
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// What a task runs.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) body: Box<dyn FnOnce(&Task)>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Points passed.
    pub(crate) steps: u64,
    /// Times that another task went on.
    pub(crate) switches: u64,
    /// Hash of all choices: two runs with the same hash are the same run.
    pub(crate) hash: u64,
    /// Whether tasks were left that could not go on.
    pub(crate) stuck: bool,
}

enum Status {
    Runnable,
    Blocked { address: usize, what: String },
    Done,
}

struct State {
    random: Random,
    tasks: Vec<(&'static str, Status)>,
    trace: Trace,
    /// Every blocked task looks at its condition and says whether it holds.
    probing: bool,
    lost: Vec<String>,
}

struct Choices<'y> {
    index: usize,
    state: Rc<RefCell<State>>,
    yielder: &'y Yielder<(), ()>,
}

impl Switch for Choices<'_> {
    fn point(&self, task: &Task) {
        let mut state = self.state.borrow_mut();
        state.trace.steps += 1;
        let (switch, interrupt) = (state.random.below(SWITCH_ONE_IN) == 0, state.random.below(2) == 0);
        drop(state);
        if interrupt {
            task.take_interrupts();
        }
        if switch {
            self.yielder.suspend(());
        }
    }

    fn block(&self, task: &Task, address: usize, what: &dyn Fn() -> String, blocked: &dyn Fn() -> bool) {
        let what = format!("{} in {}", what(), task.function());
        self.state.borrow_mut().tasks[self.index].1 = Status::Blocked { address, what: what.clone() };
        loop {
            self.yielder.suspend(());
            let mut state = self.state.borrow_mut();
            if !state.probing {
                return;
            }
            if !blocked() {
                state.lost.push(format!("{} waits for {what}", task.name));
            }
        }
    }

    fn wake(&self, address: usize) {
        for (_, status) in &mut self.state.borrow_mut().tasks {
            if matches!(status, Status::Blocked { address: at, .. } if *at == address) {
                *status = Status::Runnable;
            }
        }
    }
}

type Coro = Coroutine<(), (), (), DefaultStack>;

/// Wakes tasks from outside of any: for interrupts that come while nobody runs.
struct Idle(Rc<RefCell<State>>);

impl Switch for Idle {
    fn point(&self, _: &Task) {}

    fn block(&self, _: &Task, _: usize, _: &dyn Fn() -> String, _: &dyn Fn() -> bool) {
        Stuck::unwind();
    }

    fn wake(&self, address: usize) {
        for (_, status) in &mut self.0.borrow_mut().tasks {
            if matches!(status, Status::Blocked { address: at, .. } if *at == address) {
                *status = Status::Runnable;
            }
        }
    }
}

/// Runs the programs to their end, or until nobody can go on.
pub(crate) fn explore_once(kernel: &Arc<Kernel>, programs: Vec<Program>, seed: u64) -> Trace {
    let mut random = Random::new(seed);
    let seeds: Vec<u64> = programs.iter().map(|_| random.next()).collect();
    let tasks = programs.iter().map(|program| (program.name, Status::Runnable)).collect();
    let state =
        Rc::new(RefCell::new(State { random, tasks, trace: Trace::default(), probing: false, lost: Vec::new() }));
    let mut coroutines: Vec<Option<Coro>> = programs
        .into_iter()
        .zip(seeds)
        .enumerate()
        .map(|(index, (program, seed))| Some(coroutine(kernel, &state, index, program, seed)))
        .collect();
    let idle = Idle(Rc::clone(&state));
    while let Some(next) = choose(&state) {
        match next {
            Next::Task(index) => resume(&mut coroutines, &state, index),
            Next::Nobody => {
                if !idle_interrupts(kernel, &idle) {
                    report_deadlock(kernel, &state, &mut coroutines);
                    break;
                }
            }
        }
    }
    // Dropping a coroutine that is not done unwinds its stack.
    drop(coroutines);
    let state = state.borrow();
    state.trace
}

fn coroutine(kernel: &Arc<Kernel>, state: &Rc<RefCell<State>>, index: usize, program: Program, seed: u64) -> Coro {
    let stack = STACKS.with_borrow_mut(Vec::pop);
    let stack = stack.unwrap_or_else(|| match DefaultStack::new(STACK_BYTES) {
        Ok(stack) => stack,
        Err(error) => unreachable!("no memory for a task's stack: {error}"),
    });
    let (kernel, state) = (Arc::clone(kernel), Rc::clone(state));
    Coroutine::with_stack(stack, move |yielder, ()| {
        let choices = Choices { index, state, yielder };
        let task = Task::new(&kernel, program.name, Mode::Controlled(&choices), seed);
        (program.body)(&task);
    })
}

enum Next {
    Task(usize),
    Nobody,
}

/// Who goes on; nothing when all are done.
fn choose(state: &Rc<RefCell<State>>) -> Option<Next> {
    let mut state = state.borrow_mut();
    let of = |wanted: fn(&Status) -> bool| {
        let found = state.tasks.iter().enumerate().filter(|(_, (_, status))| wanted(status));
        found.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let runnable = of(|status| matches!(status, Status::Runnable));
    if runnable.is_empty() {
        return (!of(|status| matches!(status, Status::Blocked { .. })).is_empty()).then_some(Next::Nobody);
    }
    if state.trace.steps > STEPS_MAX {
        return Some(Next::Nobody);
    }
    let index = runnable[state.random.below(runnable.len() as u64) as usize];
    state.trace.switches += 1;
    state.trace.hash = (state.trace.hash ^ index as u64).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
    Some(Next::Task(index))
}

fn resume(coroutines: &mut [Option<Coro>], state: &Rc<RefCell<State>>, index: usize) {
    let Some(coroutine) = &mut coroutines[index] else { return };
    if let CoroutineResult::Return(()) = coroutine.resume(()) {
        state.borrow_mut().tasks[index].1 = Status::Done;
        if let Some(done) = coroutines[index].take() {
            STACKS.with_borrow_mut(|stacks| stacks.push(done.into_stack()));
        }
    }
}

/// Nobody runs: the next thing that happens is an interrupt.
fn idle_interrupts(kernel: &Kernel, idle: &Idle) -> bool {
    let task = Task::new(kernel, "idle", Mode::Controlled(idle), 0);
    task.take_interrupts()
}

fn report_deadlock(kernel: &Kernel, state: &Rc<RefCell<State>>, coroutines: &mut [Option<Coro>]) {
    state.borrow_mut().probing = true;
    for index in 0..coroutines.len() {
        let blocked = matches!(state.borrow().tasks[index].1, Status::Blocked { .. });
        if blocked {
            resume(coroutines, state, index);
        }
    }
    let mut state = state.borrow_mut();
    state.trace.stuck = true;
    for what in std::mem::take(&mut state.lost) {
        kernel.report(Fault { kind: FaultKind::LostWakeUp, what });
    }
    let waits: Vec<String> = state
        .tasks
        .iter()
        .filter_map(|(name, status)| match status {
            Status::Blocked { what, .. } => Some(format!("{name} waits for {what}")),
            Status::Runnable | Status::Done => None,
        })
        .collect();
    kernel.report(Fault { kind: FaultKind::Deadlock, what: waits.join("; ") });
}
