//! Quantiles of the report against the truth.
//!
//! In: the true times and the report's histogram of the same requests. Out: per quantile, how far the report's bucket is
//! from the truth, and whether that is too far.

use hdrhistogram::Histogram;

use super::Score;
use super::truth::Bounds;
use crate::truth::log::quantile;

/// What is compared.
pub const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// How far the report may be from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// One in so many parts of the truth.
    pub part: u64,
    /// An error below this is never too much.
    pub floor_ns: u64,
    /// How many of [`QUANTILES`] are compared.
    pub quantiles: usize,
}

impl Tolerance {
    /// How far from this truth a report may be.
    pub fn allowed(self, truth_ns: u64) -> u64 {
        (truth_ns / self.part).max(self.floor_ns)
    }
}

/// What is claimed: 1 %, or 3 µs where that is more, up to p99.99. For a bench on a quiet machine.
pub const CLAIMED: Tolerance = Tolerance { part: 100, floor_ns: 3_000, quantiles: 5 };
/// What a test may assert where others use the machine: an interrupt between the kernel's event and the stamp moves the
/// outermost values.
pub const WIDE: Tolerance = Tolerance { part: 20, floor_ns: 25_000, quantiles: 3 };

/// One quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    /// `p99`.
    pub name: &'static str,
    /// The truth lies between these.
    pub truth: (u64, u64),
    /// The report's bucket.
    pub report: (u64, u64),
    /// Distance between the two.
    pub off: u64,
    /// What it may be.
    pub allowed: u64,
}

/// How far two intervals are from each other; 0 where they meet.
pub fn distance(one: (u64, u64), other: (u64, u64)) -> u64 {
    other.0.saturating_sub(one.1).max(one.0.saturating_sub(other.1))
}

/// Compares all quantiles of one time.
pub fn compare(truth: &Bounds, report: &Histogram<u64>, tolerance: Tolerance) -> Vec<Quantile> {
    let one = |(name, q): (&'static str, f64)| {
        let truth = (quantile(&truth.low, q), quantile(&truth.high, q));
        let value = report.value_at_quantile(q);
        let report = (report.lowest_equivalent(value), report.highest_equivalent(value));
        Quantile { name, truth, report, off: distance(truth, report), allowed: tolerance.allowed(truth.0) }
    };
    QUANTILES.into_iter().take(tolerance.quantiles).map(one).collect()
}

/// All times of one run.
pub struct Times<'a> {
    /// How the run is called.
    pub run: &'a str,
    /// `latency`, `queue time`, `service time`, each with the truth and the report.
    pub times: Vec<(&'static str, &'a Bounds, Histogram<u64>)>,
    /// How near they must be.
    pub tolerance: Tolerance,
}

/// The table's head.
pub fn head(score: &mut Score) {
    score.line("| service times | time | quantile | truth, µs | report, µs | off, µs | allowed, µs | |");
    score.line("|---|---|---|---|---|---|---|---|");
}

/// The rows of one run.
pub fn rows(Times { run, times, tolerance }: Times<'_>, score: &mut Score) {
    let micros = |ns: u64| format!("{:.1}", ns as f64 / 1000.0);
    for (time, truth, histogram) in times {
        for Quantile { name, truth, report, off, allowed } in compare(truth, &histogram, tolerance) {
            let missed = off > allowed;
            let range =
                |(low, high)| if low == high { micros(low) } else { format!("{}–{}", micros(low), micros(high)) };
            let cells = [run, time, name, &range(truth), &range(report), &micros(off), &micros(allowed)].join(" | ");
            score.line(&format!("| {cells} | {} |", if missed { "MISSED" } else { "met" }));
            if missed {
                let (off, allowed) = (micros(off), micros(allowed));
                score.missed.push(format!("{run}: {name} of {time} is off by {off} µs, allowed {allowed} µs"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 36, 2).unwrap();
        values.iter().for_each(|value| histogram.record(*value).unwrap());
        histogram
    }

    fn bounds(low: u64, high: u64) -> Bounds {
        Bounds { low: vec![low; 1000], high: vec![high; 1000] }
    }

    #[test]
    fn the_distance_is_between_the_bucket_and_the_interval() {
        // 1,000,000 lies in the bucket from 999,424 to 1,003,519.
        let report = histogram(&[1_000_000; 1000]);
        let off = |low, high| compare(&bounds(low, high), &report, CLAIMED)[0].off;
        assert_eq!(off(1_000_000, 1_000_000), 0);
        assert_eq!(off(1_003_519, 1_003_519), 0);
        assert_eq!(off(1_003_529, 1_010_000), 10);
        assert_eq!(off(900_000, 999_400), 24);
        assert_eq!(off(900_000, 1_200_000), 0);
    }

    #[test]
    fn one_percent_or_three_microseconds_are_allowed() {
        let score = |truth: u64, report: u64| {
            let mut score = Score::default();
            let bounds = bounds(truth, truth);
            let times = vec![("latency", &bounds, histogram(&[report; 1000]))];
            rows(Times { run: "constant", times, tolerance: CLAIMED }, &mut score);
            assert_eq!(score.text.lines().count(), QUANTILES.len());
            score.missed.len()
        };
        assert_eq!(score(20_000, 22_900), 0);
        assert_eq!(score(20_000, 23_300), QUANTILES.len());
        assert_eq!(score(10_000_000, 10_090_000), 0);
        assert_eq!(score(10_000_000, 10_300_000), QUANTILES.len());
    }

    #[test]
    fn a_tail_that_is_off_is_missed_at_its_quantiles_only() {
        let mut truth = vec![100_000; 995];
        truth.extend([5_000_000; 5]);
        let mut report = vec![100_000; 995];
        report.extend([6_000_000; 5]);
        let truth = Bounds { low: truth.clone(), high: truth };
        let missed = compare(&truth, &histogram(&report), CLAIMED).into_iter().filter(|row| row.off > row.allowed);
        assert_eq!(missed.map(|row| row.name).collect::<Vec<_>>(), ["p99.9", "p99.99"]);
    }
}
