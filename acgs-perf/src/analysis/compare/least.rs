//! The least change that is told: hosts are not steadier, whatever the statistics say.
//!
//! In: what a figure was. Out: how much it must have changed.

use super::side::ServiceSide;

/// Less than this is no change of a latency, of a component, ns: hosts are not steadier.
const LEAST_LATENCY_NS: f64 = 10_000.0;
const LEAST_PART_NS: f64 = 5_000.0;
/// How a comparison is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The chance that anything is told that is not so.
    pub error: f64,
    /// Changes of less than this share are not told.
    pub least_share: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { error: 0.01, least_share: 0.03 }
    }
}

/// The least change of a quantile that was so long.
pub fn least_latency_ns(was_ns: f64, least_share: f64) -> f64 {
    (was_ns * least_share).max(LEAST_LATENCY_NS)
}

/// The least change of a component of a service.
pub fn least_part_ns(was: &ServiceSide, least_share: f64) -> f64 {
    (was.mean_ns() * least_share).max(LEAST_PART_NS)
}
