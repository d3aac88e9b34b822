//! Rows of the attribution histogram: merged by addition, and divided at a quantile.
//!
//! In: rows of one report, or of several. Out: rows by rising latency, and the sums on both sides of a quantile.
//!
//! A quantile falls into a bucket, and what is known of that bucket are sums. **Assumption:** the requests of this one
//! bucket are alike, so that the part of them above the quantile has the same part of each sum; and their latencies are
//! spread evenly over the bucket, so that the threshold lies linearly in it. The bucket is at most 6.25 % wide, which
//! bounds what the assumption can cost.

use std::collections::BTreeMap;

use crate::analysis::model::AttributionRowReport;

/// The same requests as rows with one row per bucket, by rising latency; rows without requests are left out. Rows of
/// several workers, hosts or runs may be given one after the other: equal buckets are added.
#[must_use]
pub fn merge_rows<'a>(rows: impl IntoIterator<Item = &'a AttributionRowReport>) -> Vec<AttributionRowReport> {
    let mut merged = BTreeMap::<u64, AttributionRowReport>::new();
    for row in rows.into_iter().filter(|row| row.count > 0) {
        match merged.get_mut(&row.low_ns) {
            None => drop(merged.insert(row.low_ns, row.clone())),
            Some(sum) => {
                for (total, value) in [
                    (&mut sum.count, row.count),
                    (&mut sum.latency_ns, row.latency_ns),
                    (&mut sum.shared_ns, row.shared_ns),
                    (&mut sum.calls, row.calls),
                    (&mut sum.one_call_ns, row.one_call_ns),
                    (&mut sum.many_calls_ns, row.many_calls_ns),
                ] {
                    *total = total.saturating_add(value);
                }
                add(&mut sum.component_ns, &row.component_ns);
                add(&mut sum.downstream_ns, &row.downstream_ns);
            }
        }
    }
    merged.into_values().collect()
}

fn add(sums: &mut BTreeMap<String, u64>, values: &BTreeMap<String, u64>) {
    for (name, value) in values {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*value);
    }
}

/// Sums over requests, each multiplied by a weight, so that a part of a bucket needs no fraction. Saturating: a file
/// with figures that no host can produce must not end the program.
#[derive(Debug, Default)]
pub struct Sums<'a> {
    pub count: u128,
    pub latency: u128,
    pub shared: u128,
    pub calls: u128,
    pub one_call: u128,
    pub many_calls: u128,
    pub components: BTreeMap<&'a str, u128>,
    pub peers: BTreeMap<&'a str, u128>,
}

impl<'a> Sums<'a> {
    fn add(&mut self, row: &'a AttributionRowReport, weight: u128) {
        let grow = |sum: &mut u128, value: u64| *sum = sum.saturating_add(u128::from(value).saturating_mul(weight));
        grow(&mut self.count, row.count);
        grow(&mut self.latency, row.latency_ns);
        grow(&mut self.shared, row.shared_ns);
        grow(&mut self.calls, row.calls);
        grow(&mut self.one_call, row.one_call_ns);
        grow(&mut self.many_calls, row.many_calls_ns);
        for (name, value) in &row.component_ns {
            grow(self.components.entry(name).or_default(), *value);
        }
        for (peer, value) in &row.downstream_ns {
            grow(self.peers.entry(peer).or_default(), *value);
        }
    }

    /// `sum` per request, rounded.
    pub fn mean(&self, sum: u128) -> u64 {
        match self.count {
            0 => 0,
            count => u64::try_from(sum.saturating_add(count / 2) / count).unwrap_or(u64::MAX),
        }
    }
}

/// Both sides of a quantile.
pub struct Split<'a> {
    /// The requests above it.
    pub slow: Sums<'a>,
    /// The others.
    pub rest: Sums<'a>,
    /// Requests above it, times `PARTS`.
    pub above: u128,
    /// The latency at the quantile; for what is over range, where that begins.
    pub threshold_ns: u64,
    /// Whether the quantile is over range, so that `threshold_ns` is only a lower bound.
    pub over_range: bool,
}

/// Quantiles are given in parts of this.
pub const PARTS: u128 = 10_000;

/// Divides merged rows so that `tail` ÷ [`PARTS`] of the requests are above. `None` without requests.
pub fn split(rows: &[AttributionRowReport], tail: u128) -> Option<Split<'_>> {
    let total: u128 = rows.iter().map(|row| u128::from(row.count)).sum();
    let above = total.saturating_mul(tail);
    // The lowest row that holds requests above the quantile, and the requests in the rows above it, times PARTS.
    let mut seen = 0u128;
    let cut = rows.iter().rposition(|row| {
        let next = seen.saturating_add(u128::from(row.count).saturating_mul(PARTS));
        let found = next >= above;
        if !found {
            seen = next;
        }
        found
    })?;
    let row = &rows[cut];
    // Of `whole` parts of the cut row, `part` are above.
    let whole = u128::from(row.count).saturating_mul(PARTS);
    let part = above.saturating_sub(seen).min(whole);
    let (mut slow, mut rest) = (Sums::default(), Sums::default());
    for (at, row) in rows.iter().enumerate() {
        let weight = match at.cmp(&cut) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => part,
            std::cmp::Ordering::Greater => whole,
        };
        slow.add(row, weight);
        rest.add(row, whole - weight);
    }
    let width = row.high_ns.map_or(0, |high| u128::from(high.saturating_sub(row.low_ns)) + 1);
    let within = width.saturating_mul(whole - part) / whole.max(1);
    Some(Split {
        slow,
        rest,
        above,
        threshold_ns: row.low_ns.saturating_add(u64::try_from(within).unwrap_or(u64::MAX)),
        over_range: row.high_ns.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(low_ns: u64, high_ns: Option<u64>, count: u64, latency_ns: u64) -> AttributionRowReport {
        AttributionRowReport { low_ns, high_ns, count, latency_ns, ..AttributionRowReport::default() }
    }

    #[test]
    fn a_part_of_a_bucket_takes_the_same_part_of_its_sums() {
        // 90 requests of 100 ns, 10 of 1,000 ns. The slowest 4 % are 4 of the upper 10.
        let rows = [row(100, Some(103), 90, 9_000), row(960, Some(1_023), 10, 10_000)];
        let split = split(&rows, 400).unwrap();
        assert_eq!(split.above, 4 * PARTS);
        assert_eq!(split.slow.mean(split.slow.latency), 1_000);
        // (90 · 100 + 6 · 1,000) / 96 = 156.25
        assert_eq!(split.rest.mean(split.rest.latency), 156);
        // 6 of 10 requests lie below: 960 + 0.6 · 64 = 998.4
        assert_eq!((split.threshold_ns, split.over_range), (998, false));
    }

    #[test]
    fn a_quantile_at_the_edge_of_a_bucket_takes_it_whole() {
        let rows = [row(100, Some(103), 90, 9_000), row(960, Some(1_023), 10, 10_000)];
        let split = split(&rows, 1_000).unwrap();
        assert_eq!((split.threshold_ns, split.rest.mean(split.rest.latency)), (960, 100));
        assert_eq!(split.slow.mean(split.slow.latency), 1_000);
    }

    #[test]
    fn over_range_has_only_a_lower_bound() {
        let rows = [row(100, Some(103), 50, 5_000), row(1 << 36, None, 50, 50 << 36)];
        let split = split(&rows, 100).unwrap();
        assert_eq!((split.threshold_ns, split.over_range), (1 << 36, true));
        assert!(super::split(&[], 100).is_none());
    }

    #[test]
    fn figures_that_no_host_produces_end_nothing() {
        let mut huge = row(1, Some(u64::MAX), u64::MAX, u64::MAX);
        huge.component_ns.insert("on_cpu".into(), u64::MAX);
        let rows = merge_rows(&[huge.clone(), huge.clone(), row(0, Some(0), u64::MAX, 0)]);
        assert_eq!(rows.len(), 2);
        assert!(split(&rows, 5_000).is_some());
    }

    #[test]
    fn equal_buckets_are_added_field_by_field() {
        let mut a = row(100, Some(103), 1, 2);
        (a.shared_ns, a.calls, a.one_call_ns, a.many_calls_ns) = (3, 4, 5, 6);
        a.component_ns = [("lock".to_owned(), 7)].into();
        a.downstream_ns = [("a:1".to_owned(), 8)].into();
        let mut b = a.clone();
        b.component_ns = [("lock".to_owned(), 1), ("disk".to_owned(), 9)].into();
        let lower = row(90, Some(91), 1, 90);
        let merged = merge_rows([&a, &lower, &b, &row(95, Some(97), 0, 0)]);
        assert_eq!(merged.len(), 2);
        assert_eq!(merged[0], lower);
        let sum = &merged[1];
        assert_eq!((sum.count, sum.latency_ns, sum.shared_ns, sum.calls), (2, 4, 6, 8));
        assert_eq!((sum.one_call_ns, sum.many_calls_ns), (10, 12));
        assert_eq!(sum.component_ns, [("disk".to_owned(), 9), ("lock".to_owned(), 8)].into());
        assert_eq!(sum.downstream_ns, [("a:1".to_owned(), 16)].into());
    }
}
