//! Statistics of the benches: medians with distribution-free intervals, and orders drawn by chance.
//!
//! In: figures of several rounds. Out: the median, and the ranks between which the true median lies with the wanted
//! confidence whatever the distribution: the number of figures below it is binomial with p = 1/2.

use acgs_perf_load::random::Random;

/// What is wanted of an interval.
const CONFIDENCE: f64 = 0.95;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    /// Lower end.
    pub low: f64,
    /// The median itself.
    pub middle: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence of the interval; below 0.95 when even the whole range of so few figures does not reach it.
    pub confidence: f64,
    /// Number of figures.
    pub count: usize,
}

impl Median {
    /// Median and interval; `None` of nothing, or when a figure is not a number.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let (rank, confidence) = rank(count);
        let middle = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
        Some(Self { low: sorted[rank - 1], middle, high: sorted[count - rank], confidence, count })
    }

    /// The same after a function that does not fall; one that does not rise exchanges the ends.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (function(self.low), function(self.high));
        Self { low: a.min(b), middle: function(self.middle), high: a.max(b), ..self }
    }
}

/// The largest rank, counted from 1 at either end, that keeps the confidence; and what it keeps.
fn rank(count: usize) -> (usize, f64) {
    // P(fewer than `rank` of `count` figures lie below the median), for each rank from 1 on.
    let mut probability = 0.5_f64.powi(count as i32);
    let mut below = 0.0;
    let mut best = (1, (1.0 - 2.0 * probability).max(0.0));
    for rank in 1..=count.div_ceil(2) {
        below += probability;
        let confidence = 1.0 - 2.0 * below;
        if confidence < CONFIDENCE {
            break;
        }
        best = (rank, confidence);
        probability *= (count + 1 - rank) as f64 / rank as f64;
    }
    best
}

/// Orders drawn by chance, the same for the same seed.
pub struct Shuffle(Random);

impl Shuffle {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The items in an order drawn anew.
    pub fn order<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for at in (1..items.len()).rev() {
            items.swap(at, (self.0.integer() >> 33) as usize % (at + 1));
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_interval_by_ranks() {
        let values: Vec<f64> = (1..=15).rev().map(f64::from).collect();
        let median = Median::of(&values).unwrap();
        // 1 − 2 · P(Bin(15, 1/2) ≤ 3) = 1 − 2 · 576/32768.
        assert_eq!((median.low, median.middle, median.high), (4.0, 8.0, 12.0));
        assert!((median.confidence - (1.0 - 1152.0 / 32768.0)).abs() < 1e-12, "{}", median.confidence);
        assert_eq!(Median::of(&[2.0, 4.0]).unwrap().middle, 3.0);
    }

    #[test]
    fn few_figures_give_their_range_and_say_how_little_it_is_worth() {
        let median = Median::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((median.low, median.middle, median.high, median.confidence), (1.0, 2.0, 3.0, 0.75));
        assert_eq!(Median::of(&[1.0]).unwrap().confidence, 0.0);
        // Six figures are the fewest whose range is enough: 1 − 2/64.
        let six = Median::of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!((six.low, six.high, six.confidence), (1.0, 6.0, 0.96875));
        assert_eq!(Median::of(&[]), None);
        assert_eq!(Median::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn ranks_agree_with_the_table_of_the_binomial() {
        let known = [(5, 1), (6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (30, 10)];
        for (count, wanted) in known {
            assert_eq!(rank(count).0, wanted, "{count}");
        }
    }

    #[test]
    fn a_falling_function_exchanges_the_ends() {
        let median = Median::of(&[1.0, 2.0, 4.0]).unwrap().map(|value| 1.0 / value);
        assert_eq!((median.low, median.middle, median.high), (0.25, 0.5, 1.0));
    }

    #[test]
    fn orders_are_whole_and_differ() {
        let mut shuffle = Shuffle::new(7);
        let orders: Vec<Vec<u32>> = (0..20).map(|_| shuffle.order((0..6).collect())).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        }
        assert!(orders.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
