//! The report as bytes: its seal, its schema, and how it is written and read back.
//!
//! In: what `analysis` found. Out: a sealed JSON file, or a report loaded from one.

mod fit;
mod load;
mod schema;
mod seal;
mod write;

#[cfg(test)]
mod tests;

pub use fit::seal_to_fit;
pub use load::{Document, LoadError, load, load_document, verify, verify_bytes};
pub use schema::schema;
pub use seal::seal;
pub use write::{
    DEFAULT_NAME, WriteError, check_numbered, check_writable, write_aside, write_atomically, write_numbered,
};

pub use crate::analysis::model::*;
