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

/// `part` of `whole` with four decimals, rounded; 0 without a whole. By integers up to the last division, so that it is
/// the same on every machine.
pub fn share4(part: u128, whole: u128) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    // Beyond 10^12, four decimals no longer survive a round trip through JSON.
    let scaled = part.saturating_mul(10_000).saturating_add(whole / 2) / whole;
    scaled.min(10_000_000_000_000_000) as f64 / 10_000.0
}

/// `part` ÷ `whole` with four decimals; `None` without a whole.
pub fn ratio4(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| share4(part.into(), whole.into()))
}

/// Whole nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `None` for 0, for quantities that cannot be 0 if they were measured.
pub fn measured(value: u64) -> Option<u64> {
    (value > 0).then_some(value)
}

pub use crate::units::grouped;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_three_decimals() {
        assert_eq!(rate(1, 3_000_000_000), Some(0.333));
        assert_eq!(rate(2_943_690, 30_000_000_000), Some(98_123.0));
        assert_eq!(rate(5, 0), None);
        assert_eq!((share4(1, 3), share4(2, 3), share4(1, 0), ratio4(7, 2)), (0.3333, 0.6667, 0.0, Some(3.5)));
        assert_eq!(share4(u128::MAX, 1), 1e12);
        assert_eq!((round3(f64::INFINITY), round3(-3.0), round3(f64::NAN)), (1e12, 0.0, 0.0));
    }
}
