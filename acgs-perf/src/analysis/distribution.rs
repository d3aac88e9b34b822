//! From bucket counts to percentiles, with their confidence interval.
//!
//! In: `Counts`. Out: `Distribution`. A percentile is the upper bound of the bucket in which the value of its rank lies
//! (nearest rank: ⌈q·n⌉), as HdrHistogram reports it: never below the true value, at most 0.8 % above. Values over range
//! rank above every bucket; a percentile among them is absent, because its value is not known.

use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_index_of_power, bucket_low, bucket_low_of_power};

use super::confidence::p99_ranks;
use super::counts::Counts;
use super::hdr;
use super::number::round3;
use crate::analysis::model::Distribution;

/// Counts, ready to look up ranks.
pub struct Ranked<'a> {
    buckets: &'a [u64],
    /// Number of all values, over range included.
    total: u64,
    over_range: u64,
    /// See `Counts::design_effect`.
    design_effect: Option<f64>,
}

impl<'a> Ranked<'a> {
    /// Takes the counts; buckets beyond the last one count as over range.
    pub fn new(counts: &'a Counts) -> Self {
        let (buckets, beyond) = counts.buckets.split_at(counts.buckets.len().min(BUCKETS));
        let over_range = beyond.iter().fold(counts.over_range, |sum, count| sum.saturating_add(*count));
        let total = buckets.iter().fold(over_range, |sum, count| sum.saturating_add(*count));
        Self { buckets, total, over_range, design_effect: counts.design_effect }
    }

    /// Bucket of the value of rank `rank`, from 1; `None` if it is over range or there is no such rank.
    fn bucket(&self, rank: u64) -> Option<usize> {
        let mut seen = 0u64;
        self.buckets.iter().position(|count| {
            seen = seen.saturating_add(*count);
            *count > 0 && seen >= rank
        })
    }

    /// Upper bound of the percentile `per_10_000` / 100.
    pub fn percentile(&self, per_10_000: u64) -> Option<u64> {
        let rank = (u128::from(self.total) * u128::from(per_10_000)).div_ceil(10_000);
        self.bucket(u64::try_from(rank.max(1)).ok()?).map(bucket_high)
    }

    /// Lower bound of the 95 % interval of the P99; alone it holds with 97.5 %, as far as what is known of the values' dependence
    /// goes. Exists for few values too.
    pub fn p99_low(&self) -> Option<u64> {
        let rank = p99_ranks(self.total, self.design_effect).low?;
        // Over range: the bound is known to be at least the end of the range.
        Some(self.bucket(rank).map_or(bucket_low(BUCKETS), bucket_low))
    }

    /// Upper bound of the 95 % interval of the P99.
    pub fn p99_high(&self) -> Option<u64> {
        self.bucket(p99_ranks(self.total, self.design_effect).high?).map(bucket_high)
    }

    /// All figures.
    pub fn distribution(&self, sum_ns: Option<u64>) -> Distribution {
        let (low, high) = (self.p99_low(), self.p99_high());
        let in_range = self.total - self.over_range;
        Distribution {
            count: self.total,
            min_ns: self.bucket(1).map(bucket_low),
            max_ns: self.bucket(self.total).map(bucket_high),
            sum_ns: sum_ns.filter(|_| self.total > 0),
            mean_ns: sum_ns.filter(|_| self.total > 0).map(|sum| rounded_quotient(sum, self.total)),
            p50_ns: self.percentile(5_000),
            p90_ns: self.percentile(9_000),
            p99_ns: self.percentile(9_900),
            p99_ci95_ns: low.zip(high).map(|(low, high)| [low, high]),
            p99_ci95_low_ns: low.filter(|_| high.is_none()),
            design_effect: self.design_effect.map(round3),
            p999_ns: self.percentile(9_990),
            p9999_ns: self.percentile(9_999),
            over_range: self.over_range,
            histogram: if in_range > 0 { hdr::encode(self.buckets) } else { None },
            ..Distribution::default()
        }
    }
}

/// The counts of a distribution that was loaded; `None` if its histogram cannot be read, or it has values without an end. They give the
/// same distribution again; of an older agent but for the mean, which is rounded.
#[must_use]
pub fn counts_of(distribution: &Distribution) -> Option<Counts> {
    ended_of(distribution).filter(|counts| Ranked::new(counts).total == distribution.count)
}

/// The counts of those values of a distribution that have an end; `None` if its histogram cannot be read, or has another number of them.
pub fn ended_of(distribution: &Distribution) -> Option<Counts> {
    let buckets = match &distribution.histogram {
        Some(text) => hdr::decode(text)?,
        None => Vec::new(),
    };
    let ended = distribution.count.checked_sub(distribution.without_end.unwrap_or(0))?;
    let counts = Counts {
        buckets,
        sum_ns: distribution.sum_ns.or_else(|| Some(distribution.mean_ns?.saturating_mul(ended))),
        over_range: distribution.over_range,
        design_effect: distribution.design_effect,
    };
    (Ranked::new(&counts).total == ended).then_some(counts)
}

/// All figures of `counts`.
pub fn distribution(counts: &Counts) -> Distribution {
    Ranked::new(counts).distribution(counts.sum_ns)
}

/// The distribution of counts that stand for wider buckets, 2^`power` for every power of two.
pub fn of_wide(counts: &Counts, power: u32) -> Distribution {
    // Lower bounds are those of the wider bucket.
    let lower = |value: u64| bucket_low_of_power(bucket_index_of_power(value, power), power);
    let found = distribution(counts);
    Distribution {
        min_ns: found.min_ns.map(lower),
        p99_ci95_ns: found.p99_ci95_ns.map(|[low, high]| [lower(low), high]),
        p99_ci95_low_ns: found.p99_ci95_low_ns.map(lower),
        ..found
    }
}

fn rounded_quotient(sum: u64, count: u64) -> u64 {
    ((u128::from(sum) + u128::from(count) / 2) / u128::from(count.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::hdr::histogram;
    use crate::analysis::sample::counts;

    #[test]
    fn percentiles_equal_those_of_hdrhistogram() {
        let values: Vec<u64> = (0..20_000u64).map(|i| 100 + i * i * 37 % 9_000_000).collect();
        let c = counts(values.iter().copied());
        let hdr = histogram(&c.buckets).unwrap();
        let d = distribution(&c);
        let all = [(d.p50_ns, 0.5), (d.p90_ns, 0.9), (d.p99_ns, 0.99), (d.p999_ns, 0.999), (d.p9999_ns, 0.9999)];
        for (ours, quantile) in all {
            assert_eq!(ours, Some(hdr.value_at_quantile(quantile)), "{quantile}");
        }
        assert_eq!((d.min_ns, d.max_ns), (Some(hdr.min()), Some(hdr.max())));
        assert_eq!(d.mean_ns, Some((values.iter().sum::<u64>() + 10_000) / 20_000));
    }

    #[test]
    fn percentiles_are_within_a_bucket_above_the_sorted_values() {
        let mut values: Vec<u64> = (0..5_000u64).map(|i| (i * 7919) % 5_003 * 1_001).collect();
        let d = distribution(&counts(values.iter().copied()));
        values.sort_unstable();
        for (ours, rank) in
            [(d.p50_ns, 2500), (d.p90_ns, 4500), (d.p99_ns, 4950), (d.p999_ns, 4995), (d.p9999_ns, 5000)]
        {
            let (ours, truth) = (ours.unwrap(), values[rank - 1]);
            assert!(ours >= truth && (ours - truth) * 128 <= truth, "{ours} {truth}");
        }
        let [low, high] = d.p99_ci95_ns.unwrap();
        assert!(low < d.p99_ns.unwrap() && d.p99_ns.unwrap() <= high && high - low < 100_000, "{low} {high}");
    }

    #[test]
    fn nothing_recorded_is_absent_and_not_zero() {
        let d = distribution(&Counts { sum_ns: Some(0), ..Counts::default() });
        assert_eq!(d, Distribution::default());
        assert_eq!(serde_json::to_string(&d).unwrap(), r#"{"count":0,"over_range":0}"#);
    }

    #[test]
    fn a_measured_zero_is_a_zero() {
        let d = distribution(&counts([0, 0, 0]));
        assert_eq!((d.min_ns, d.p99_ns, d.max_ns, d.mean_ns), (Some(0), Some(0), Some(0), Some(0)));
    }

    #[test]
    fn few_values_have_an_interval_that_is_open_above() {
        let d = distribution(&counts((0..367).map(|i| i * 1000)));
        assert!(
            d.p99_ci95_ns.is_none() && d.p99_ci95_low_ns.is_some_and(|low| (350_000..359_000).contains(&low)),
            "{d:?}"
        );
        let d = distribution(&counts((0..368).map(|i| i * 1000)));
        assert_eq!(d.p99_ci95_low_ns, None);
        let [low, high] = d.p99_ci95_ns.unwrap();
        // Ranks 360 and 368 are the values 359 000 and 367 000.
        assert!(low <= 359_000 && 359_000 - low < 2048 && high >= 367_000 && high - 367_000 < 2048, "{low} {high}");
    }

    #[test]
    fn a_percentile_among_values_over_range_is_absent() {
        let mut c = counts((0..985).map(|_| 1_000));
        c.over_range = 15;
        let d = distribution(&c);
        assert_eq!((d.count, d.over_range), (1000, 15));
        assert!(d.p90_ns.is_some() && d.min_ns.is_some());
        assert_eq!((d.p99_ns, d.p999_ns, d.p9999_ns, d.max_ns), (None, None, None, None));
        assert!(d.p99_ci95_ns.is_none() && d.p99_ci95_low_ns.is_some());
        let d = distribution(&Counts { over_range: 3, ..Counts::default() });
        assert_eq!((d.count, d.min_ns, d.p50_ns, d.histogram), (3, None, None, None));
    }

    #[test]
    fn a_distribution_can_be_counted_again() {
        let mut c = counts((0..5_000u64).map(|i| i * i % 90_007));
        (c.over_range, c.design_effect) = (7, Some(2.5));
        let d = distribution(&c);
        let again = counts_of(&d).unwrap();
        assert_eq!((&again.buckets, again.over_range), (&c.buckets, 7));
        assert_eq!(distribution(&again), d);
        assert_eq!(distribution(&counts_of(&Distribution::default()).unwrap()), Distribution::default());
        assert_eq!(counts_of(&Distribution { count: d.count + 1, ..d }), None);
    }

    #[test]
    fn counts_longer_than_the_range_are_over_range() {
        let mut c = counts([5]);
        c.buckets.push(2);
        assert_eq!((distribution(&c).count, distribution(&c).over_range), (3, 2));
    }
}
