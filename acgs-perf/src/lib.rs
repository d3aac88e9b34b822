//! Host-level latency profiler: the modules in the order in which data flows through them.

// Printing is for `output`, which survives a terminal that is gone; a macro panics then. Exit codes are for `main`.
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod analysis;
pub mod capture;
pub mod command;
pub mod discover;
#[cfg(test)]
mod golden;
pub mod output;
pub mod probe;
pub mod report;
pub mod snapshot;
pub mod units;
