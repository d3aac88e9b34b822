//! Measurements: what the tool costs, and how near it is to the truth.
//!
//! In: the release build. Out: tables in Markdown; failure when a target is missed.

pub mod accuracy;
pub mod agent;
pub mod attribution;
pub mod causes;
pub mod cost;
pub mod instructions;
mod redis;
mod statistics;
