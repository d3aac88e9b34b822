//! Reads the kernel's counters: the maps as memory, what they hold as a `Capture`, and the time series between.

pub mod attribution;
pub mod collect;
pub mod exemplars;
pub mod maps;
pub mod series;
mod words;
