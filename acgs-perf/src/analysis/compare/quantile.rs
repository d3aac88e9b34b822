//! Quantiles of two recordings: how far one may be from what it is in the long run, and by how much they differ.
//!
//! In: latencies by bucket, whole and by block. Out: the value, and both ends of its interval. A quantile lies linearly in its bucket: both
//! recordings have the same buckets. Its interval is by order statistics (`confidence`), at as many requests as tell as much if they were
//! independent; that number comes from how the share of requests above the quantile varies over the blocks (`spread`). Where that leaves too few to
//! tell an end, it is by how much the quantile of eight long pieces varies.
//!
//! The shift's interval, on a logarithmic scale, is that of MOVER, which needs no symmetry: G. Y. Zou and A. Donner, "Construction of
//! confidence limits about effect measures: a general approach", Statistics in Medicine 27 (2008), 1693-1702.

use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_low};

use super::side::ServiceSide;
use super::spread::{OF_ALL, OF_FEW, PIECES, Spread, spread, spread_of_pieces};
use super::student::{normal, student};
use crate::analysis::confidence::ranks;
use crate::sums::Sums;

/// The number of slow requests in a report is taken to vary by so much more than its own intervals have told, and by so much if they, or
/// too few blocks, have told nothing: windows differ by what no window shows.
const REPORT_WIDER: f64 = 2.0;
const UNTOLD: f64 = 20.0;

/// Of quantiles with fewer requests above them chance is most of what varies.
const FEW: f64 = 0.02;
/// A design effect that is more than an accident of the blocks.
const CLEARLY: f64 = 2.5;

/// A piece has a quantile of its own if so many of its requests are on either side of it.
const LEAST_ABOVE: f64 = 20.0;

/// A quantile and its interval, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// The value.
    pub value: f64,
    /// The lower end of its interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

/// The quantile `per_10_000` of both sides; `None` where one has none, or it is over range.
pub fn quantiles(old: &ServiceSide, new: &ServiceSide, per_10_000: u32, level: &Level) -> Option<[Quantile; 2]> {
    let tail = 1.0 - f64::from(per_10_000) / 10_000.0;
    let sides = [Known::new(old, 1.0 - tail)?, Known::new(new, 1.0 - tail)?];
    // Both variances are known as well as their sum is.
    let freedom = together(sides.iter().filter_map(|of| of.spread.as_ref()));
    let wider = student(freedom, level.both) / level.z;
    // A window in which slow times happen to be rare does not show how they vary; if nothing has changed, the other one does.
    let [old, new] = [sides[0].effect(), sides[1].effect()];
    let more = old.max(new);
    let both = if more > CLEARLY { more } else { f64::midpoint(old, new) };
    Some([sides[0].quantile(tail, level, wider, old.max(both)), sides[1].quantile(tail, level, wider, new.max(both))])
}

/// The freedom of a sum of variances (F. E. Satterthwaite, Biometrics Bulletin 2, 1946).
pub fn together<'a>(spreads: impl Iterator<Item = &'a Spread>) -> f64 {
    let (sum, squares) =
        spreads.fold((0.0, 0.0), |(sum, squares), of| (sum + of.variance, squares + of.variance.powi(2) / of.freedom));
    if squares > 0.0 { (sum * sum / squares).min(1e9) } else { 1e9 }
}

/// What is known of a quantile of one side.
struct Known<'a> {
    side: &'a ServiceSide,
    total: u64,
    value: f64,
    /// Of the share of requests above it.
    spread: Option<Spread>,
}

impl<'a> Known<'a> {
    fn new(side: &'a ServiceSide, share: f64) -> Option<Self> {
        let total: u64 = side.latency.iter().sum();
        let (bucket, value) = at_share(&side.latency, total, share)?;
        let blocks: Vec<(f64, f64)> = side.latencies.iter().map(|sums| above(sums, bucket)).collect();
        let of_slow = if 1.0 - share > FEW { OF_ALL } else { OF_FEW };
        let spread = spread(&blocks, of_slow).filter(|spread| spread.ratio > 0.0 && spread.ratio < 1.0);
        Some(Self { side, total, value, spread })
    }

    /// By how much more the number of requests above it varies than that of independent ones would.
    fn effect(&self) -> f64 {
        match &self.spread {
            Some(spread) => spread.variance * self.total as f64 / (spread.ratio * (1.0 - spread.ratio)),
            None => self.side.design_effect.map_or(UNTOLD, |effect| effect * REPORT_WIDER),
        }
    }

    fn quantile(&self, tail: f64, level: &Level, wider: f64, effect: f64) -> Quantile {
        // So many independent requests tell as much. Where chance alone makes the variance, it is known.
        let n = self.total as f64 / if effect > 1.0 { effect * wider * wider } else { 1.0 };
        let found = ranks(n as u64, tail, level.both / 2.0, level.z);
        let end = |rank: Option<u64>| {
            let share = (rank? as f64 - 0.5) / (n as u64) as f64;
            at_share(&self.side.latency, self.total, share).map(|(_, value)| value)
        };
        match (end(found.low), end(found.high)) {
            (Some(low), Some(high)) => Quantile { value: self.value, low: Some(low), high: Some(high) },
            (low, high) => {
                let [below, above] = self.by_pieces(tail, level).map_or([None, None], |ends| ends.map(Some));
                Quantile { value: self.value, low: low.or(below), high: high.or(above) }
            }
        }
    }

    /// Both ends by how much the quantile itself varies from piece to piece of the window. Where latencies are much alike, a small drift
    /// moves all of them over the quantile at once: then their number above it tells little, and their value much.
    fn by_pieces(&self, tail: f64, level: &Level) -> Option<[f64; 2]> {
        // Before a load begins, and behind it, there is nothing to take the quantile of.
        let blocks: Vec<&Sums> = self.side.latencies.iter().filter(|sums| sums.iter().next().is_some()).collect();
        let edge = |at: usize| at * blocks.len() / PIECES;
        let mut values = [0.0; PIECES];
        for (at, value) in values.iter_mut().enumerate() {
            let latency = together_of(blocks.get(edge(at)..edge(at + 1))?);
            let total: u64 = latency.iter().sum();
            let enough = LEAST_ABOVE <= total as f64 * tail.min(1.0 - tail);
            *value = enough.then(|| at_share(&latency, total, 1.0 - tail))??.1.max(1.0).ln();
        }
        let of = spread_of_pieces(&values);
        let away = student(of.freedom, level.both) * of.variance.sqrt();
        Some([self.value * (-away).exp(), self.value * away.exp()])
    }
}

/// Latencies by bucket of some blocks.
fn together_of(blocks: &[&Sums]) -> Vec<u64> {
    let mut latency = vec![0; BUCKETS + 1];
    for (at, count) in blocks.iter().flat_map(|sums| sums.iter()) {
        if let Some(bucket) = latency.get_mut(at as usize) {
            *bucket += u64::try_from(count).unwrap_or(0);
        }
    }
    latency
}

/// With which chance an interval may miss.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// On both sides together.
    pub both: f64,
    /// The normal deviate of that.
    pub z: f64,
}

impl Level {
    pub fn new(both: f64) -> Self {
        Self { both, z: normal(both) }
    }
}

/// Requests of a block, and those above a bucket.
pub fn above(sums: &Sums, bucket: usize) -> (f64, f64) {
    sums.iter().fold((0.0, 0.0), |(all, above), (at, count)| {
        (all + count as f64, above + if at as usize > bucket { count as f64 } else { 0.0 })
    })
}

/// The value that a share of the requests of a service is below.
pub fn value_at(side: &ServiceSide, share: f64) -> Option<f64> {
    at_share(&side.latency, side.latency.iter().sum(), share).map(|(_, value)| value)
}

/// The bucket and the value that a share of the requests is below.
fn at_share(latency: &[u64], total: u64, share: f64) -> Option<(usize, f64)> {
    let wanted = share * total as f64;
    let mut seen = 0.0;
    for (bucket, count) in latency.iter().enumerate().take(BUCKETS).filter(|(_, count)| **count > 0) {
        let next = seen + *count as f64;
        if next >= wanted {
            let width = (bucket_high(bucket) - bucket_low(bucket)) as f64 + 1.0;
            let within = ((wanted - seen) / *count as f64).clamp(0.0, 1.0);
            return Some((bucket, bucket_low(bucket) as f64 + width * within));
        }
        seen = next;
    }
    None
}

/// Both ends of the interval of new less old, in ns; an end is absent where one that it needs is.
pub fn difference(old: &Quantile, new: &Quantile) -> [Option<f64>; 2] {
    let log = |value: f64| value.max(1.0).ln();
    let (of_old, of_new) = (log(old.value), log(new.value));
    let away = |a: Option<f64>, from_a: f64, b: Option<f64>, from_b: f64| {
        Some(((log(a?) - from_a).powi(2) + (log(b?) - from_b).powi(2)).sqrt())
    };
    let shift = of_new - of_old;
    let low = away(new.low, of_new, old.high, of_old).map(|away| old.value * ((shift - away).exp() - 1.0));
    let high = away(new.high, of_new, old.low, of_old).map(|away| old.value * ((shift + away).exp() - 1.0));
    [low, high]
}

/// How much more would be seen, in ns, if nothing had changed.
pub fn visible(old: &Quantile, new: &Quantile) -> Option<f64> {
    let same = Quantile {
        value: old.value,
        low: new.low.map(|low| low / new.value.max(1.0) * old.value),
        high: new.high.map(|high| high / new.value.max(1.0) * old.value),
    };
    difference(old, &same)[0].map(|low| {
        // From shift − away to the shift at which it is 0.
        let away = -(low / old.value.max(1.0)).max(-0.999).ln_1p();
        old.value * away.exp_m1()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(values: impl IntoIterator<Item = u64>) -> ServiceSide {
        let mut latency = vec![0; BUCKETS + 1];
        for value in values {
            latency[acgs_perf_common::histogram::bucket_index(value)] += 1;
        }
        ServiceSide { requests: latency.iter().sum(), latency, design_effect: Some(0.5), ..ServiceSide::default() }
    }

    #[test]
    fn a_quantile_lies_linearly_in_its_bucket() {
        let quantile = |side: &ServiceSide| quantiles(side, side, 9_900, &Level::new(0.05)).map(|both| both[0]);
        let found = quantile(&side((0..10_000).map(|at| 1_000_000 + at * 100))).unwrap();
        assert!((found.value - 1_990_000.0).abs() < 3_000.0, "{found:?}");
        // Of 10,000: ranks 9,880 and 9,920.
        assert!((found.low.unwrap() - 1_988_000.0).abs() < 3_000.0, "{found:?}");
        assert!((found.high.unwrap() - 1_992_000.0).abs() < 3_000.0, "{found:?}");
        assert_eq!(quantile(&side([])), None);
        let few = quantile(&side([5; 100])).unwrap();
        assert_eq!(few.high, None);
    }

    /// Sleeps of 3 ms, of which the timers drift by a third of a percent: in each block nearly all are above the median, or nearly none.
    #[test]
    fn what_is_much_alike_has_a_narrow_interval_although_it_drifts() {
        let block = |at: u64| {
            let mut counts = std::collections::BTreeMap::new();
            for i in 0..50 {
                let bucket = acgs_perf_common::histogram::bucket_index(3_000_000 + at / 10 % 2 * 30_000 + i * 100);
                *counts.entry(bucket as u32).or_insert(0) += 1;
            }
            Sums::sparse(counts)
        };
        let blocks: Vec<Sums> = (0..80).map(block).collect();
        let latency = together_of(&blocks.iter().collect::<Vec<_>>());
        let of = ServiceSide { requests: 4_000, latency, latencies: blocks, ..ServiceSide::default() };
        let [old, _] = quantiles(&of, &of, 5_000, &Level::new(0.001)).unwrap();
        let (low, high) = (old.low.unwrap(), old.high.unwrap());
        assert!(low < old.value && low > 2_700_000.0 && high > old.value && high < 3_400_000.0, "{low} {old:?} {high}");
    }

    #[test]
    fn the_interval_of_a_shift_is_a_bit_wider_than_either() {
        let of = |value| Quantile { value, low: Some(value * 0.97), high: Some(value * 1.04) };
        let [low, high] = difference(&of(1e6), &of(1.1e6));
        let (low, high) = (low.unwrap(), high.unwrap());
        assert!((0.040e6..0.060e6).contains(&low) && (0.140e6..0.165e6).contains(&high), "{low} {high}");
        let seen = visible(&of(1e6), &of(1.1e6)).unwrap();
        assert!((0.045e6..0.055e6).contains(&seen), "{seen}");
        assert_eq!(difference(&Quantile { high: None, ..of(1e6) }, &of(2e6))[0], None);
    }
}
