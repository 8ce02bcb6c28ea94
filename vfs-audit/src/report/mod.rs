//! Reports: findings, hooks, loss and kernel rendered as a table or as JSON. Pure: text out, nothing printed.

mod model;

pub use model::{HookState, HookStatus, KernelInfo, Loss, Report, SCHEMA_VERSION, Source, Tracker};
