//! What ends a run.
//!
//! In: numbers, times, a flag that a signal may set. Out: nothing; `drive` keeps to them.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What ends a run.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Number of requests at most.
    pub requests: u64,
    /// Nothing is sent after this long.
    pub duration: Option<Duration>,
    /// Nothing is waited for after this long.
    pub limit: Duration,
    /// A request that takes longer has failed, and its connection is closed.
    pub timeout: Option<Duration>,
    /// Keep an entry per reply.
    pub log: bool,
    /// Nothing is sent once this is true.
    pub stop: Option<&'static AtomicBool>,
}
