//! The time series: per interval the number of requests and the latency's median and P99, from differences of snapshots.

use acgs_perf_common::histogram::bucket_high;
use acgs_perf_common::maps::{Counter, Histogram};

use super::maps::Maps;
use crate::capture::SeriesPoint;

/// After every so many points the intervals become twice as long.
const MAX_POINTS: usize = 3600;

/// The series of all services.
#[derive(Debug)]
pub struct Series {
    services: Vec<OneSeries>,
    interval_ns: u64,
    last_ns: u64,
}

#[derive(Debug, Default)]
struct OneSeries {
    buckets: Vec<u64>,
    requests: u64,
    points: Vec<SeriesPoint>,
}

impl Series {
    /// An empty series with points `interval_ns` apart.
    #[must_use]
    pub fn new(services: usize, interval_ns: u64) -> Self {
        let services = (0..services).map(|_| OneSeries::default()).collect();
        Self { services, interval_ns, last_ns: 0 }
    }

    /// Takes a point if an interval has passed, or at the end of the window if anything has. Timers come a little early or
    /// late, so three quarters of an interval count as one.
    pub fn tick(&mut self, maps: &Maps, elapsed_ns: u64, end: bool) {
        let duration_ns = elapsed_ns.saturating_sub(self.last_ns);
        if duration_ns == 0 || (!end && duration_ns < self.interval_ns / 4 * 3) {
            return;
        }
        for (service, series) in self.services.iter_mut().enumerate() {
            let requests = maps.counter(service, Counter::Requests);
            let buckets = maps.histogram(service, Histogram::Latency as u32);
            series.add(self.last_ns, duration_ns, requests, buckets);
        }
        self.last_ns = elapsed_ns;
        if self.services.first().is_some_and(|series| series.points.len() % MAX_POINTS == 0) {
            self.interval_ns *= 2;
        }
    }

    /// Gives the points of a service away.
    pub fn take(&mut self, service: usize) -> Vec<SeriesPoint> {
        self.services.get_mut(service).map(|series| std::mem::take(&mut series.points)).unwrap_or_default()
    }
}

impl OneSeries {
    fn add(&mut self, offset_ns: u64, duration_ns: u64, requests: u64, buckets: Vec<u64>) {
        // A reply whose last byte falls into a later interval than its first moves from one bucket to another; where it
        // leaves, the difference may be negative, and counts as nothing.
        let before = |at: usize| self.buckets.get(at).copied().unwrap_or(0);
        let difference: Vec<u64> = buckets.iter().enumerate().map(|(at, n)| n.saturating_sub(before(at))).collect();
        let counted_again = buckets.iter().enumerate().map(|(at, n)| before(at).saturating_sub(*n)).sum();
        self.points.push(SeriesPoint {
            offset_ns,
            duration_ns,
            requests: requests.wrapping_sub(self.requests),
            p50_ns: quantile(&difference, 1, 2),
            p99_ns: quantile(&difference, 99, 100),
            counted_again,
        });
        self.requests = requests;
        self.buckets = buckets;
    }
}

/// Upper bound of the bucket that holds the `num/den` quantile.
fn quantile(buckets: &[u64], num: u64, den: u64) -> Option<u64> {
    let total: u64 = buckets.iter().sum();
    let rank = (u128::from(total) * u128::from(num)).div_ceil(u128::from(den)) as u64;
    let mut seen = 0;
    (total > 0).then(|| {
        let at = buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket_high(at.unwrap_or(buckets.len() - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_the_difference_of_two_snapshots() {
        let mut series = OneSeries::default();
        let mut buckets = vec![0; 300];
        buckets[10] = 98;
        buckets[200] = 2;
        series.add(0, 1, 100, buckets.clone());
        assert_eq!((series.points[0].p50_ns, series.points[0].p99_ns), (Some(10), Some(200)));
        // One reply grew from bucket 10 to bucket 250, and one new request came.
        buckets[10] -= 1;
        buckets[250] += 1;
        buckets[30] += 1;
        series.add(1, 1, 101, buckets);
        assert_eq!(series.points[1].requests, 1);
        assert_eq!((series.points[1].p50_ns, series.points[1].counted_again), (Some(30), 1));
        assert_eq!(series.points[0].counted_again, 0);
    }

    #[test]
    fn an_interval_without_requests_has_no_percentiles() {
        let mut series = OneSeries::default();
        series.add(0, 1, 0, vec![0; 300]);
        assert_eq!(series.points[0].p99_ns, None);
        assert_eq!(series.points[0].requests, 0);
    }
}
