//! SQL, as far as a statement's name needs it. PostgreSQL and MySQL read it in different ways.

mod list;
mod quote;
pub mod statement;
mod text;
