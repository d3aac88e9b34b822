//! What the intervals say beyond their sum: the time series, and how much the number of slow requests varies.

use acgs_perf_common::histogram::{BUCKETS, bucket_high};
use acgs_perf_common::maps::{Counter, Histogram};

use super::columns::Columns;
use crate::analysis::model::{LatencyColumnReport, SeriesPointReport};
use crate::analysis::number::rate;
use crate::live::probes::request::{COUNTERS, LATENCY};
use crate::snapshot::interval::{Interval, bucket_of_p99, row};
use crate::snapshot::{Capture, Fates, Subject};
use crate::sums::Sums;

/// With fewer intervals, or shorter ones, nobody can tell how much they vary.
const MIN_BLOCKS: usize = 20;
pub(in crate::analysis) const MIN_BLOCK_NS: u64 = 100_000_000;
/// (1.96² + 1) ÷ 2.
const WIDER_BY: f64 = 2.42;

/// What the intervals say of one subject.
#[derive(Clone, Debug, Default)]
pub struct OverTime {
    /// A point per interval, oldest first.
    pub series: Vec<SeriesPointReport>,
    /// The latency, in fewer and longer columns.
    pub columns: Vec<LatencyColumnReport>,
    /// Of the latency; see `Counts::design_effect`.
    pub design_effect: Option<f64>,
}

/// Goes through the intervals once, for all services; gives their sum, too.
pub fn over_time(capture: &Capture) -> (Interval, Vec<OverTime>) {
    let subjects: Vec<Subject> = (0..capture.context.services.len()).map(Subject::service).collect();
    let mut all = vec![OverTime::default(); subjects.len()];
    let mut columns = vec![Columns::new(capture.intervals.len()); subjects.len()];
    // Of the intervals that are long enough for a block.
    let mut latencies = vec![Vec::new(); subjects.len()];
    let mut whole: Option<Interval> = None;
    for interval in capture.intervals.iter() {
        for (at, subject) in subjects.iter().enumerate().filter(|_| interval.len_ns > 0) {
            let (point, latency) = (point(&interval, capture, subject), latency(&interval, subject));
            columns[at].add(point.offset_ns, point.duration_ns, latency);
            all[at].series.push(point);
            if interval.len_ns >= MIN_BLOCK_NS {
                latencies[at].push(latency.clone());
            }
        }
        match &mut whole {
            None => whole = Some(interval),
            Some(whole) => whole.merge(&interval),
        }
    }
    let whole = whole.unwrap_or_default();
    for (((of, subject), latencies), columns) in all.iter_mut().zip(&subjects).zip(latencies).zip(columns) {
        if !Fates::of(&whole, subject).has_listener {
            of.series.iter_mut().for_each(|point| point.refused = None);
        }
        if let Some(p99) = bucket_of_p99(latency(&whole, subject)) {
            let blocks: Vec<_> = latencies.iter().map(|latency| block(latency, p99)).collect();
            of.design_effect = design_effect(&blocks);
        }
        of.columns = columns.finish();
    }
    (whole, all)
}

fn latency<'a>(interval: &'a Interval, subject: &Subject) -> &'a Sums {
    &row(interval.of(subject), LATENCY, &[Histogram::Latency as u32]).sums
}

fn point(interval: &Interval, capture: &Capture, subject: &Subject) -> SeriesPointReport {
    let sums = latency(interval, subject);
    // A reply whose last byte falls into a later interval than its first moves from one bucket to another; where it leaves, the
    // difference may be negative, and counts as nothing.
    let counted_again = sums.iter().map(|(_, count)| count).filter(|count| *count < 0).map(i64::unsigned_abs).sum();
    let fates = Fates::of(interval, subject);
    let looked = fates.looked_at_ns.map(|_| ());
    let requests = row(interval.of(subject), COUNTERS, &[]).sums.count(Counter::Requests as u32);
    SeriesPointReport {
        offset_ns: interval.start_ns.saturating_sub(capture.context.start_ns),
        duration_ns: interval.len_ns,
        requests,
        rate_per_s: rate(requests, interval.len_ns),
        p50_ns: quantile(sums, 1, 2),
        p99_ns: quantile(sums, 99, 100),
        unread: looked.map(|()| fates.unread.count),
        in_service: looked.map(|()| fates.in_service.count),
        oldest_ns: Some(fates.unread.oldest_ns.max(fates.in_service.oldest_ns)).filter(|oldest| *oldest > 0),
        abandoned: looked.map(|()| fates.abandoned.count),
        refused: looked.map(|()| fates.refused.drops),
        counted_again: Some(counted_again),
    }
}

/// Upper bound of the bucket that holds the `num/den` quantile; `None` if it is over range, where nobody knows it.
fn quantile(sums: &Sums, num: u64, den: u64) -> Option<u64> {
    let counts = || sums.iter().map(|(bucket, count)| (bucket, count.max(0) as u64));
    let total: u64 = counts().map(|(_, count)| count).sum();
    let rank = (u128::from(total) * u128::from(num)).div_ceil(u128::from(den)) as u64;
    let mut seen = 0;
    let found = counts().find(|(_, count)| {
        seen += count;
        seen >= rank && *count > 0
    });
    found.map(|(bucket, _)| bucket as usize).filter(|bucket| *bucket < BUCKETS).map(bucket_high)
}

/// Requests of an interval, and those above the P99 of all.
fn block(sums: &Sums, p99: u32) -> (f64, f64) {
    let count = |above: bool| sums.iter().filter(|(at, _)| !above || *at > p99).map(|(_, count)| count as f64).sum();
    (count(false), count(true))
}

/// By how much more the number of requests above the P99 varies from block to block than that of independent requests would: the
/// design effect of a sample of clusters, for the ratio of slow requests (Kish, Survey Sampling, 1965, chapter 6). At least 1. A
/// slow time may lie in two blocks, so neighbours are also taken together, as long as enough blocks are left; the greatest effect
/// counts. `None` where the blocks, (requests, slow ones), are too few to tell.
pub(in crate::analysis) fn design_effect(blocks: &[(f64, f64)]) -> Option<f64> {
    let together = 1..=blocks.len() / MIN_BLOCKS;
    together.filter_map(|count| effect_of(&joined(blocks, count))).max_by(f64::total_cmp)
}

/// Neighbouring blocks taken together; what is left over at the end belongs to the last.
fn joined(blocks: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let whole = blocks.len() / count;
    let of = |at: usize| if at + 1 == whole { &blocks[at * count..] } else { &blocks[at * count..(at + 1) * count] };
    (0..whole).map(|at| of(at).iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1))).collect()
}

fn effect_of(blocks: &[(f64, f64)]) -> Option<f64> {
    let (requests, slow) = blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    if blocks.len() < MIN_BLOCKS || slow <= 0.0 || slow >= requests {
        return None;
    }
    let share = slow / requests;
    let squares: f64 = blocks.iter().map(|(n, x)| (x - share * n).powi(2)).sum();
    let freedom = blocks.len() as f64 - 1.0;
    let of_clusters = squares * blocks.len() as f64 / freedom;
    let effect = of_clusters / (requests * share * (1.0 - share));
    // The variance itself is known from few blocks only: what Student's t is wider than the normal deviate at 95 %, squared, to the
    // first order in 1 ÷ n.
    Some((effect * (1.0 + WIDER_BY / freedom)).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_skips_what_was_taken_back() {
        let sums = Sums::sparse([(10, -1), (30, 1), (250, 1)]);
        assert_eq!((quantile(&sums, 1, 2), quantile(&sums, 99, 100)), (Some(30), Some(bucket_high(250))));
        assert_eq!(quantile(&Sums::default(), 99, 100), None);
        let over_range = Sums::sparse([(10, 50), (BUCKETS as u32, 50)]);
        assert_eq!((quantile(&over_range, 1, 2), quantile(&over_range, 99, 100)), (Some(10), None));
    }

    #[test]
    fn independent_requests_have_no_design_effect_and_bursts_have_a_large_one() {
        // One of a hundred is slow in each block: less variation than chance would give.
        assert_eq!(design_effect(&[(1000.0, 10.0); 30]), Some(1.0));
        // All slow ones in one block of thirty.
        let mut bursts = [(1000.0, 0.0); 30];
        bursts[7].1 = 300.0;
        let of_bursts = design_effect(&bursts).unwrap();
        assert!((280.0..360.0).contains(&of_bursts), "{of_bursts}");
        assert_eq!(design_effect(&[(1000.0, 10.0); 19]), None);
    }
}
