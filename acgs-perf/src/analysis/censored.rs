//! Latencies of which some have no end yet: percentiles by Kaplan and Meier, and intervals that hold whatever the rest turns out to be.
//!
//! In: the counts of latencies that have an end, and of the ages of those that have none: requests still open, and requests whose
//! client left. Out: a `Distribution`, in which a percentile that lies among the latter is "at least".
//!
//! A percentile is the product-limit estimate (E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations",
//! JASA 53 (1958), 457-481): the smallest value at which at most the wanted share of the requests is estimated to take longer; of two
//! in one bucket the end comes first. Where the estimate never falls so far, the percentile is at least what it would be if all had
//! ended at their age.
//!
//! The interval of the P99 is that of order statistics. Requests younger than the objective say nothing about it and are left out: eight
//! in flight make no healthy service fail. For the lower end the others end at their age, for the upper one never.

use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_index, bucket_low};

use super::confidence::p99_ranks;
use super::counts::Counts;
use super::distribution::distribution;
use super::hdr;
use crate::analysis::model::Distribution;

/// Ages of requests without an end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ages {
    /// Count per bucket, `BUCKETS` long; behind them what is over range.
    buckets: Vec<u64>,
}

impl Ages {
    /// Adds some: (bucket, count); what is behind the buckets is over range.
    pub fn add(&mut self, ages: impl IntoIterator<Item = (u32, i64)>) {
        self.buckets.resize(BUCKETS + 1, 0);
        for (bucket, count) in ages {
            self.buckets[(bucket as usize).min(BUCKETS)] += u64::try_from(count).unwrap_or(0);
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many are certainly as old as that.
    pub fn of_age(&self, ns: u64) -> u64 {
        let from = (0..=BUCKETS).find(|bucket| bucket_low(*bucket) >= ns).unwrap_or(BUCKETS);
        self.buckets.iter().skip(from).sum()
    }

    fn at(&self, bucket: usize) -> u64 {
        self.buckets.get(bucket).copied().unwrap_or(0)
    }
}

/// The distribution of what has ended and what has not. `objective_ns` is the age from which a request without an end counts in the
/// interval of the P99.
pub fn with_ages(ended: &Counts, ages: &Ages, objective_ns: u64) -> Distribution {
    let of_ended = distribution(ended);
    let without_end = ages.count();
    if without_end == 0 {
        return of_ended;
    }
    let pooled = pooled(ended, ages, 0);
    let estimate = Estimate::new(ended, ages);
    let [p50, p90, p99, p999, p9999] =
        [5_000, 9_000, 9_900, 9_990, 9_999].map(|quantile| estimate.percentile(quantile));
    let at_least = |found: Option<u64>, quantile| match found {
        Some(_) => None,
        None => Some(lower_bound(&pooled, quantile)),
    };
    // The largest is known if it has an end and nothing that has none is as old.
    let oldest = (0..=BUCKETS).rev().find(|bucket| ages.at(*bucket) > 0).unwrap_or(0);
    let max_ns = of_ended.max_ns.filter(|max| bucket_index(*max) > oldest);
    let [low, high] = interval(ended, ages, objective_ns);
    Distribution {
        count: of_ended.count.saturating_add(without_end),
        without_end: Some(without_end),
        min_ns: of_ended.min_ns,
        max_ns,
        max_at_least_ns: if max_ns.is_none() {
            Some(of_ended.max_ns.unwrap_or(0).max(bucket_low(oldest)))
        } else {
            None
        },
        sum_ns: of_ended.sum_ns,
        mean_ns: of_ended.mean_ns,
        p50_ns: p50,
        p50_at_least_ns: at_least(p50, 5_000),
        p90_ns: p90,
        p90_at_least_ns: at_least(p90, 9_000),
        p99_ns: p99,
        p99_at_least_ns: at_least(p99, 9_900),
        p99_ci95_ns: low.zip(high).map(|(low, high)| [low, high]),
        p99_ci95_low_ns: low.filter(|_| high.is_none()),
        design_effect: of_ended.design_effect,
        p999_ns: p999,
        p999_at_least_ns: at_least(p999, 9_990),
        p9999_ns: p9999,
        p9999_at_least_ns: at_least(p9999, 9_999),
        over_range: of_ended.over_range,
        histogram: of_ended.histogram,
        ages: hdr::encode(&ages.buckets[..BUCKETS]),
        ages_over_range: Some(ages.at(BUCKETS)).filter(|count| *count > 0),
    }
}

/// Counts by bucket as if all of a certain age had ended at it; behind the buckets what is over range.
fn pooled(ended: &Counts, ages: &Ages, from: usize) -> Vec<u64> {
    let of = |bucket: usize| match bucket {
        BUCKETS => ended.over_range,
        _ => ended.buckets.get(bucket).copied().unwrap_or(0),
    };
    (0..=BUCKETS).map(|bucket| of(bucket) + if bucket >= from { ages.at(bucket) } else { 0 }).collect()
}

/// The bucket of the value with this rank, from 1.
fn bucket_of_rank(counts: &[u64], rank: u64) -> Option<usize> {
    let mut seen = 0u64;
    counts.iter().position(|count| {
        seen = seen.saturating_add(*count);
        *count > 0 && seen >= rank
    })
}

/// The lower bound of the bucket with the percentile.
fn lower_bound(counts: &[u64], per_10_000: u64) -> u64 {
    let total: u64 = counts.iter().sum();
    let rank = (u128::from(total) * u128::from(per_10_000)).div_ceil(10_000).max(1) as u64;
    bucket_of_rank(counts, rank).map_or(0, bucket_low)
}

/// Both ends of the 95 % interval of the P99.
fn interval(ended: &Counts, ages: &Ages, objective_ns: u64) -> [Option<u64>; 2] {
    let from = (0..=BUCKETS).find(|bucket| bucket_low(*bucket) >= objective_ns).unwrap_or(BUCKETS);
    let ended_at_age = pooled(ended, ages, from);
    let ranks = p99_ranks(ended_at_age.iter().sum(), ended.design_effect);
    let low = ranks.low.and_then(|rank| bucket_of_rank(&ended_at_age, rank)).map(bucket_low);
    // Those without an end come last: the rank has a value only before them.
    let never = pooled(ended, &Ages::default(), 0);
    let high = ranks.high.and_then(|rank| bucket_of_rank(&never, rank)).filter(|bucket| *bucket < BUCKETS);
    [low, high.map(bucket_high)]
}

/// The product-limit estimate of the share that takes longer, by bucket.
struct Estimate {
    longer: Vec<f64>,
}

impl Estimate {
    fn new(ended: &Counts, ages: &Ages) -> Self {
        let in_range = ended.buckets.iter().take(BUCKETS).sum::<u64>();
        let mut at_risk = (in_range + ended.over_range + ages.count()) as f64;
        let mut longer = 1.0;
        let step = |bucket: usize| {
            let ends = ended.buckets.get(bucket).copied().unwrap_or(0) as f64;
            if ends > 0.0 {
                longer *= 1.0 - ends / at_risk;
            }
            at_risk -= ends + ages.at(bucket) as f64;
            longer
        };
        Self { longer: (0..BUCKETS).map(step).collect() }
    }

    /// Upper bound of the percentile's bucket; `None` if it lies among those without an end, or over range.
    fn percentile(&self, per_10_000: u64) -> Option<u64> {
        // What rounding leaves of a product of many factors is no request.
        let share = (10_000 - per_10_000) as f64 / 10_000.0 + 1e-12;
        self.longer.iter().position(|longer| *longer <= share).map(bucket_high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::counts;

    const OBJECTIVE: u64 = 5_000_000;

    fn ages(values: impl IntoIterator<Item = u64>) -> Ages {
        let mut ages = Ages::default();
        ages.add(values.into_iter().map(|ns| (bucket_index(ns) as u32, 1)));
        ages
    }

    fn near(value: Option<u64>, truth: u64) -> bool {
        value.is_some_and(|value| value.abs_diff(truth) * 100 <= truth)
    }

    /// Remission times of the 6-MP arm, in weeks: E. J. Freireich et al., Blood 21 (1963); the estimates are in every textbook of
    /// survival analysis, e.g. D. Collett, Modelling Survival Data.
    #[test]
    fn the_estimate_is_that_of_the_textbooks() {
        let ended = counts([6, 6, 6, 7, 10, 13, 16, 22, 23]);
        let ages = ages([6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]);
        let estimate = Estimate::new(&ended, &ages);
        for (week, longer) in [
            (5, 1.0),
            (6, 0.857),
            (7, 0.807),
            (10, 0.753),
            (13, 0.690),
            (16, 0.627),
            (22, 0.538),
            (23, 0.448),
            (35, 0.448),
        ] {
            assert!(
                (estimate.longer[bucket_index(week)] - longer).abs() < 0.000_6,
                "{week}: {}",
                estimate.longer[bucket_index(week)]
            );
        }
        let d = with_ages(&ended, &ages, 0);
        assert_eq!((d.count, d.without_end, d.p50_ns), (21, Some(12), Some(23)));
        // Nobody knows the P90; if all had relapsed when last seen it would be 32.
        assert_eq!((d.p90_ns, d.p90_at_least_ns), (None, Some(32)));
        assert_eq!((d.max_ns, d.max_at_least_ns), (None, Some(35)));
    }

    #[test]
    fn without_ages_nothing_changes() {
        let ended = counts((0..5_000u64).map(|i| i * 1_000));
        assert_eq!(with_ages(&ended, &Ages::default(), OBJECTIVE), distribution(&ended));
    }

    #[test]
    fn a_sixth_that_nobody_read_is_the_p99() {
        let ended = counts((0..500u64).map(|i| 1_000_000 + i * 1_000));
        let d = with_ages(&ended, &ages([3_000_000_000; 100]), OBJECTIVE);
        assert_eq!((d.count, d.without_end, d.p99_ns), (600, Some(100), None));
        assert!(near(d.p99_at_least_ns, 3_000_000_000) && near(d.p50_ns, 1_300_000), "{d:?}");
        assert!(d.p99_ci95_ns.is_none() && near(d.p99_ci95_low_ns, 3_000_000_000), "{d:?}");
    }

    #[test]
    fn some_in_flight_change_nothing_that_matters() {
        let ended = counts((0..10_000u64).map(|i| 1_000_000 + i * 100));
        let plain = distribution(&ended);
        let d = with_ages(&ended, &ages([300_000; 8]), OBJECTIVE);
        assert_eq!(d.p99_ci95_ns, plain.p99_ci95_ns);
        assert!(near(d.p99_ns, plain.p99_ns.unwrap()) && near(d.p999_ns, plain.p999_ns.unwrap()), "{d:?}");
        assert_eq!((d.count, d.max_ns), (10_008, plain.max_ns));
    }

    #[test]
    fn few_that_hang_open_the_interval_only_where_they_could_be() {
        let ended = counts((0..10_000u64).map(|i| 1_000_000 + i * 100));
        // Two in a hundred hang: the P99 is among them.
        let d = with_ages(&ended, &ages([900_000_000; 204]), OBJECTIVE);
        assert!(
            d.p99_ns.is_none() && near(d.p99_at_least_ns, 900_000_000) && near(d.p99_ci95_low_ns, 900_000_000),
            "{d:?}"
        );
        // One in a thousand: it is not, and the interval knows.
        let d = with_ages(&ended, &ages([900_000_000; 10]), OBJECTIVE);
        assert!(near(d.p99_ns, 1_991_000) && d.p99_ci95_ns.is_some_and(|[_, high]| high < OBJECTIVE), "{d:?}");
        assert!(near(d.p9999_at_least_ns, 900_000_000), "{d:?}");
    }

    #[test]
    fn nothing_has_ended() {
        let d = with_ages(&Counts::default(), &ages([2_000_000_000; 5]), OBJECTIVE);
        assert_eq!((d.count, d.p50_ns, d.min_ns, d.histogram.clone()), (5, None, None, None));
        assert!(near(d.p50_at_least_ns, 2_000_000_000) && near(d.p99_ci95_low_ns, 2_000_000_000), "{d:?}");
    }

    #[test]
    fn ages_are_counted_by_the_objective_and_over_range() {
        let mut some = ages([1_000, 6_000_000, 7_000_000]);
        some.add([(BUCKETS as u32 + 7, 2), (3, -1)]);
        assert_eq!((some.count(), some.of_age(OBJECTIVE), some.of_age(0)), (5, 4, 5));
        let d = with_ages(&counts([1_000]), &some, OBJECTIVE);
        assert_eq!((d.ages_over_range, d.max_at_least_ns), (Some(2), Some(1 << 36)));
    }
}
