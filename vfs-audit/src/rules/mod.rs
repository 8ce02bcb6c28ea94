//! Rules: the document as data.

mod model;

pub use model::*;
