//! The latency over time, for a heat map: the intervals of a recording, several of them together where there are many.
//!
//! In: intervals, oldest first. Out: at most 96 columns per service. Their buckets are an eighth of a power of two wide, so that a column
//! takes some hundred bytes of a report.

use std::collections::BTreeMap;

use acgs_perf_common::histogram::{BUCKETS, bucket_index, bucket_index_of_power, bucket_low, bucket_low_of_power};

use crate::analysis::hdr;
use crate::analysis::model::LatencyColumnReport;
use crate::sums::Sums;

/// At most so many columns.
const MOST: usize = 96;
/// Every power of two is divided into 2^this buckets.
const POWER: u32 = 3;

/// Columns that are put together.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Intervals in a column.
    together: usize,
    taken: usize,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, Default)]
struct Column {
    offset_ns: u64,
    duration_ns: u64,
    counts: BTreeMap<usize, i64>,
}

impl Columns {
    /// For a recording of so many intervals.
    pub fn new(intervals: usize) -> Self {
        Self { together: intervals.div_ceil(MOST).max(1), taken: 0, columns: Vec::new() }
    }

    /// Adds the next interval.
    pub fn add(&mut self, offset_ns: u64, duration_ns: u64, latency: &Sums) {
        if self.taken.is_multiple_of(self.together) {
            self.columns.push(Column { offset_ns, ..Column::default() });
        }
        self.taken += 1;
        let Some(column) = self.columns.last_mut() else { return };
        column.duration_ns = offset_ns.saturating_add(duration_ns).saturating_sub(column.offset_ns);
        for (bucket, count) in latency.iter().filter(|(bucket, _)| (*bucket as usize) < BUCKETS) {
            let wide = bucket_low_of_power(bucket_index_of_power(bucket_low(bucket as usize), POWER), POWER);
            *column.counts.entry(bucket_index(wide)).or_default() += count;
        }
    }

    /// The columns; none where a single one would say nothing of time.
    pub fn finish(self) -> Vec<LatencyColumnReport> {
        if self.columns.len() < 2 {
            return Vec::new();
        }
        let column = |of: Column| {
            let mut buckets = vec![0; BUCKETS];
            of.counts.iter().for_each(|(at, count)| buckets[*at] = u64::try_from(*count).unwrap_or(0));
            LatencyColumnReport {
                offset_ns: of.offset_ns,
                duration_ns: of.duration_ns,
                histogram: buckets.iter().any(|count| *count > 0).then(|| hdr::encode(&buckets)).flatten(),
            }
        };
        self.columns.into_iter().map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_intervals_become_a_bounded_number_of_columns_and_no_request_is_lost() {
        let mut columns = Columns::new(200);
        for at in 0..200u64 {
            let bucket = bucket_index(1_000_000 + at * 10_000) as u32;
            columns.add(at * 10, 10, &Sums::sparse([(bucket, 3), (bucket + 200, if at % 2 == 0 { 1 } else { -1 })]));
        }
        let all = columns.finish();
        // Three together.
        assert_eq!(all.len(), 67);
        assert_eq!((all[1].offset_ns, all[1].duration_ns, all[66].duration_ns), (30, 30, 20));
        let count = |column: &LatencyColumnReport| hdr::decode(column.histogram.as_ref().unwrap()).unwrap();
        let total: u64 = all.iter().flat_map(&count).sum();
        assert!((600..=700).contains(&total), "{total}");
        let used = all.iter().map(|column| count(column).iter().filter(|count| **count > 0).count()).max();
        assert!(used.is_some_and(|used| used <= 4), "{used:?}");
    }

    #[test]
    fn one_interval_is_no_course_of_time() {
        let mut columns = Columns::new(1);
        columns.add(0, 10, &Sums::sparse([(100, 1)]));
        assert!(columns.finish().is_empty());
    }
}
