//! Rules: the document as data.

mod model;

pub use model::{
    Argument, Catalogue, Condition, Demand, Exception, Fact, FactReader, LockClass, LockKind, Op, Requirement, Role,
    RoleSource, Rule, Table,
};
