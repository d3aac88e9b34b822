//! A distribution as a curve: which latency at which quantile, evenly spaced in nines, with the interval of each.
//!
//! In: a `Distribution`, whose histogram is whole. Out: points for a drawing. Values without an end stand where their age puts them, so that
//! the curve is a lower bound there. The quantile of `n` nines is 1 − 10^−n: p90 has one, p99 two.

use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_low};

use super::confidence::{effective, ranks};
use super::distribution::ended_of;
use super::hdr;
use crate::analysis::model::Distribution;

/// Points for each nine.
const PER_NINE: u32 = 20;
/// Beyond this many nines nothing is drawn.
const MOST_NINES: u32 = 6;
/// Of the intervals, as of that of the P99.
const MISS: f64 = 0.025;
const DEVIATE: f64 = 1.959_963_984_540_054;

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The quantile.
    pub nines: f64,
    /// The latency there: the upper bound of its bucket.
    pub ns: u64,
    /// The lower end of the 95 % interval; absent where too few values tell.
    pub low_ns: Option<u64>,
    /// The upper end.
    pub high_ns: Option<u64>,
}

/// The curve, up to the quantile that one value lies above; empty without values, and where the histogram cannot be read.
#[must_use]
pub fn curve(of: &Distribution) -> Vec<CurvePoint> {
    let Some(ended) = ended_of(of) else { return Vec::new() };
    let ages = of.ages.as_deref().and_then(hdr::decode).unwrap_or_default();
    let mut seen = 0u64;
    let count = |at: usize| {
        let of = |buckets: &[u64]| buckets.get(at).copied().unwrap_or(0);
        of(&ended.buckets).saturating_add(of(&ages))
    };
    // (values up to and with this bucket, bucket), of those that hold some.
    let mut up_to: Vec<(u64, usize)> = Vec::new();
    for at in (0..BUCKETS).filter(|at| count(*at) > 0) {
        seen = seen.saturating_add(count(at));
        up_to.push((seen, at));
    }
    if up_to.is_empty() || of.count == 0 {
        return Vec::new();
    }
    // `None` is over range.
    let at = |rank: u64| up_to.get(up_to.partition_point(|(seen, _)| *seen < rank)).map(|(_, bucket)| *bucket);
    let n = of.count;
    let few = effective(n, of.design_effect).max(1);
    let share_of_all = |rank: u64| u128::from(rank) * u128::from(n);
    let last = ((n as f64).log10() * f64::from(PER_NINE)).floor() as u32;
    let points = (0..=last.min(MOST_NINES * PER_NINE)).map_while(|step| {
        let nines = f64::from(step) / f64::from(PER_NINE);
        let tail = 10f64.powf(-nines);
        let rank = (((1.0 - tail) * n as f64).ceil() as u64).clamp(1, n);
        let ends = if step == 0 { None } else { Some(ranks(few, tail, MISS, DEVIATE)) };
        let low = ends.and_then(|ends| at((share_of_all(ends.low?) / u128::from(few)) as u64));
        let high = ends.and_then(|ends| at(share_of_all(ends.high?).div_ceil(u128::from(few)) as u64));
        Some(CurvePoint {
            nines,
            ns: bucket_high(at(rank)?),
            low_ns: low.map(bucket_low),
            high_ns: high.map(bucket_high),
        })
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::distribution;

    #[test]
    fn the_curve_goes_through_the_percentiles_and_their_interval() {
        let of = distribution((1..=100_000u64).map(|at| at * 1_000));
        let curve = curve(&of);
        let at = |nines: f64| *curve.iter().find(|point| (point.nines - nines).abs() < 1e-9).unwrap();
        assert_eq!((at(1.0).ns, at(2.0).ns, at(3.0).ns), (of.p90_ns.unwrap(), of.p99_ns.unwrap(), of.p999_ns.unwrap()));
        let [low, high] = of.p99_ci95_ns.unwrap();
        assert_eq!((at(2.0).low_ns, at(2.0).high_ns), (Some(low), Some(high)));
        assert_eq!(curve.len(), 5 * PER_NINE as usize + 1, "up to p99.999, above which one value lies");
        assert!(curve.windows(2).all(|pair| pair[0].ns <= pair[1].ns));
    }

    #[test]
    fn nothing_is_no_curve_and_one_value_is_a_point() {
        assert!(curve(&Distribution::default()).is_empty());
        let one = curve(&distribution([5_000]));
        assert_eq!(one.len(), 1);
        assert!(one[0].ns >= 5_000 && one[0].high_ns.is_none());
    }

    #[test]
    fn what_is_over_range_ends_the_curve() {
        let of = distribution((0..1_000u64).map(|at| if at < 950 { 1_000 } else { 1 << 40 }));
        let last = curve(&of).last().copied().unwrap();
        assert!((1.0..1.4).contains(&last.nines), "{last:?}");
    }
}
