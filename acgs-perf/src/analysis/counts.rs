//! Bucket counts of a histogram.
//!
//! In: a row of sums. Out: [`Counts`], from which percentiles are made. A count below 0, of what was taken back without having been recorded, is shown as 0; the
//! ledger has it.

use acgs_perf_common::histogram::BUCKETS;

use crate::sums::{Row, Sums};

/// One histogram: bucket counts (index as in `acgs_perf_common::histogram`), the exact sum, and what was over range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Count per bucket, `BUCKETS` long, or empty when nothing was recorded.
    pub buckets: Vec<u64>,
    /// Sum of all values in ns where the kernel kept it, over range included.
    pub sum_ns: Option<u64>,
    /// Values of 2^36 ns (68.7 s) and more.
    pub over_range: u64,
    /// By how much more the number of large values varies over time than that of independent ones would; `None` where too few
    /// intervals tell.
    pub design_effect: Option<f64>,
}

impl Counts {
    /// Adds others; of the design effects the greater counts.
    pub fn add(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (own, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *own = own.saturating_add(*count);
        }
        self.sum_ns = self.sum_ns.zip(other.sum_ns).map(|(a, b)| a.saturating_add(b));
        self.over_range = self.over_range.saturating_add(other.over_range);
        self.design_effect = [self.design_effect, other.design_effect].into_iter().flatten().max_by(f64::total_cmp);
    }
}

/// The counts of a histogram; `sum_ns` where it is kept.
pub fn counts(row: &Row, sum_ns: Option<u64>) -> Counts {
    counts_from(row, 0, sum_ns)
}

/// The counts of a histogram whose buckets begin at word `first`.
pub fn counts_from(row: &Row, first: u32, sum_ns: Option<u64>) -> Counts {
    of_sums(&row.sums, first, sum_ns)
}

/// The same of words without a row.
pub fn of_sums(sums: &Sums, first: u32, sum_ns: Option<u64>) -> Counts {
    let mut counts = Counts { buckets: vec![0; BUCKETS], sum_ns, ..Counts::default() };
    for (word, count) in sums.iter().filter(|(word, count)| *word >= first && *count > 0) {
        match counts.buckets.get_mut((word - first) as usize) {
            Some(bucket) => *bucket = count as u64,
            None => counts.over_range += count as u64,
        }
    }
    counts
}
