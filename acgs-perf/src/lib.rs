//! Host-level latency profiler: the modules in the order in which data flows through them.

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
