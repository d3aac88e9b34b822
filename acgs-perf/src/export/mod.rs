//! Intervals as a table for other engines: a Parquet file, a row per interval and service.
//!
//! In: a capture; or a report, which is one interval. Out: the bytes of the file. Percentiles follow the report's rule, and beside them
//! stand the counts that they are made of, so that a query over many files adds up counts and not percentiles.

mod columns;
mod endpoints;
mod metadata;
mod parquet;
mod points;
mod thrift;

pub use columns::{Column, Field, Kind, all};
pub use metadata::{Rows, VERSION, of_capture, of_report};

#[cfg(test)]
mod tests;
