//! Reports: findings, hooks, loss and kernel rendered as text. Pure: text out, nothing printed.
//!
//! Whatever comes from outside passes [`escape`] on its way into any form, and kernel addresses pass [`Addresses`].

pub mod baseline;
mod cases;
pub mod date;
pub mod escape;
mod exit;
pub mod json;
mod junit;
mod ktap;
mod model;
mod redact;
mod sarif;
mod table;

pub use exit::{Exit, Terms, exit_code};
pub use json::{render_json, render_json_lines, render_schema};
pub use junit::render_junit;
pub use ktap::render_ktap;
pub use model::{
    AuditedCommand, BaselineUse, ByFileSystem, HookState, HookStatus, KernelInfo, KnownCase, Loss, ProgramCost,
    Recording, Report, SCHEMA_VERSION, Source, Timing, Tracker,
};
pub use redact::Addresses;
pub use sarif::render_sarif;
pub use table::{Style, render_table};
pub(crate) use table::{counted, grouped, wrap};
