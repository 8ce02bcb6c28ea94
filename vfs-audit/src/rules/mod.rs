//! Rules: the document as data.
//!
//! `definition` reads the files as they are written, for all releases; `select` and `statement` put one release together;
//! `model` is what the plan compiler, the checker and the commands work with. `expression` reads the small languages
//! inside the files, `fault` says what is wrong with them and where.

mod adopt;
mod definition;
pub mod diff;
mod embedded;
mod explain;
mod expression;
mod fact;
mod fault;
pub mod glob;
pub mod import;
mod limits;
mod listing;
mod load;
mod lookup;
mod model;
mod notation;
mod reader;
mod release;
mod select;
mod statement;

pub use adopt::{Adopted, adopt};
pub use explain::{Explanation, explain};
pub use fact::FactReader;
pub use fault::{Fault, LoadError, Problem, SourceFile};
pub use limits::{Limit, Limits, MISREPORTS, MISSES, RuleLimits};
pub use listing::{ListedRule, list};
pub use model::{
    Argument, Catalogue, Cell, Condition, Demand, Exception, Fact, GLOBAL_ROLE, LockClass, LockKind, LockOf, Op, Read,
    Requirement, Role, RoleSource, Rule, Standing, Table,
};
pub use release::Release;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod listing_tests;
#[cfg(test)]
mod load_tests;
