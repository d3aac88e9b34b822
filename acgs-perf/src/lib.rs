//! Host-level latency profiler. The modules stand in the order in which data flows through them, and each knows those before it
//! only; `sums` and `units` are the ground floor.

// Printing is for `output`, which survives a terminal that is gone; a macro panics then. Exit codes are for `main`.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod sums;
pub mod time;
pub mod units;

pub mod discover;

pub mod live;

pub mod snapshot;

pub mod store;

pub mod merge;

pub mod engine;

pub mod analysis;

pub mod report;

pub mod export;

pub mod output;

pub mod serve;

pub mod command;

#[cfg(test)]
mod golden;
