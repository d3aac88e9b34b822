//! The truth server: a TCP server that stamps its own times around each request.
//!
//! In: service times drawn from a distribution. Out: replies, and a log of (after recv returned, after send returned) per
//! request on CLOCK_MONOTONIC, which is the clock of the kernel side too.

pub mod frame;
pub mod log;
pub mod server;
pub mod work;

pub use log::{Log, Stamp};
pub use work::{Distribution, Work};
