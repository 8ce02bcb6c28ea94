//! How far hooking one by one is, which takes its time.

use std::time::{Duration, Instant};

/// How often it is said.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Tells how far it is, once a second.
pub(super) struct Progress {
    tell: Option<fn(usize, usize)>,
    all: usize,
    told: Instant,
}

impl Progress {
    /// Begins to hook `all`.
    pub(super) fn begin(tell: Option<fn(usize, usize)>, all: usize) -> Self {
        Self { tell, all, told: Instant::now() }
    }

    /// `count` are done.
    pub(super) fn done(&mut self, count: usize) {
        if let Some(tell) = self.tell.filter(|_| self.told.elapsed() >= PROGRESS_EVERY) {
            tell(count, self.all);
            self.told = Instant::now();
        }
    }
}
