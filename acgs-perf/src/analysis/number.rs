//! Small arithmetic on numbers that end up in the report.
//!
//! In: raw numbers. Out: numbers that survive a round trip through JSON, and grouped digits for sentences.

use std::time::Duration;

/// The largest rate that the report carries; beyond it, three decimals no longer survive a round trip through JSON.
const MAX_RATE: f64 = 1e12;

/// `value` with three decimals, between 0 and 10^12; 0 for what is no number.
pub fn round3(value: f64) -> f64 {
    if value.is_nan() {
        return 0.0;
    }
    (value.clamp(0.0, MAX_RATE) * 1000.0).round() / 1000.0
}

/// `count` per second; `None` for a window without length.
pub fn rate(count: u64, duration_ns: u64) -> Option<f64> {
    (duration_ns > 0).then(|| round3(count as f64 * 1e9 / duration_ns as f64))
}

/// Whole nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `None` for 0, for quantities that cannot be 0 if they were measured.
pub fn measured(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}

pub use crate::output::units::grouped;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_three_decimals() {
        assert_eq!(rate(1, 3_000_000_000), Some(0.333));
        assert_eq!(rate(2_943_690, 30_000_000_000), Some(98_123.0));
        assert_eq!(rate(5, 0), None);
        assert_eq!((round3(f64::INFINITY), round3(-3.0), round3(f64::NAN)), (1e12, 0.0, 0.0));
    }
}
