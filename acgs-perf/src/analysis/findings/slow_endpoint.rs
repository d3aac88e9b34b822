//! `slow_endpoint`: most of the slowest requests are of one endpoint, which is a small part of all.

use super::context::Context;
use super::start::share;
use crate::analysis::counts_of;
use crate::analysis::model::{Confidence, Distribution, Figure, Finding, Unit};
use acgs_perf_common::histogram::bucket_low;

/// Its id.
pub const SLOW_ENDPOINT: &str = "slow_endpoint";

/// It makes at least this share of the slowest requests.
const LEAST_OF_SLOW: f64 = 0.5;
/// And at most this share of all.
const MOST_OF_ALL: f64 = 0.25;
/// With fewer slow requests they say nothing.
const LEAST: u64 = 20;

/// The slowest requests are those above the P99 of the service.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(p99) = context.service.requests.as_ref().and_then(|requests| requests.latency.p99_ns) else {
        return Vec::new();
    };
    let all: u64 = context.endpoints.iter().map(|row| row.requests).sum();
    // Most endpoints are not as slow as that at all, and need no look at their histogram.
    let might = context.endpoints.iter().filter(|row| row.latency.max_ns.is_none_or(|max| max >= p99));
    let slow: Vec<_> = might.filter_map(|row| Some((row, above(&row.latency, p99)?))).collect();
    let slow_of_all: u64 = slow.iter().map(|(_, slow)| slow).sum();
    let Some((row, most)) = slow.into_iter().max_by_key(|(_, slow)| *slow) else { return Vec::new() };
    let (of_slow, of_all) = (most as f64 / slow_of_all.max(1) as f64, row.requests as f64 / all.max(1) as f64);
    if slow_of_all < LEAST || of_slow < LEAST_OF_SLOW || of_all > MOST_OF_ALL {
        return Vec::new();
    }
    let name = row.name.as_str();
    let mut figures = vec![
        Figure::new("slow_requests", most, Unit::Count).of(name).against(slow_of_all),
        Figure::new("requests", row.requests, Unit::Count).of(name).against(all),
    ];
    figures.extend(row.latency.p50_ns.map(|ns| Figure::new("p50", ns, Unit::Ns).of(name)));
    let found = context.found(SLOW_ENDPOINT, context.severity(), Confidence::High, figures);
    vec![Finding { endpoint: Some(name.to_owned()), share: Some(share(of_slow)), ..found }]
}

/// How many requests of an endpoint are slower than `ns`.
fn above(latency: &Distribution, ns: u64) -> Option<u64> {
    let counts = counts_of(latency)?;
    let buckets = counts.buckets.iter().enumerate().filter(|(at, _)| bucket_low(*at) > ns);
    Some(buckets.map(|(_, count)| count).sum::<u64>() + counts.over_range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{endpoint, found, ids, with_endpoints};

    #[test]
    fn one_of_a_quarter_of_the_requests_that_is_slow_is_named() {
        // The P99 of the service is 210 µs.
        let two = |requests, p50| {
            with_endpoints(&[endpoint("GET /a", 300, 0, 0, 100_000), endpoint("GET /b", requests, 0, 0, p50)])
        };
        let finding = found(&two(100, 9_000_000), SLOW_ENDPOINT).expect("a finding");
        assert_eq!((finding.endpoint.as_deref(), finding.share), (Some("GET /b"), Some(1.0)));
        assert!(!ids(&two(101, 9_000_000)).contains(&SLOW_ENDPOINT.to_owned()), "more than a quarter");
        assert!(!ids(&two(100, 200_000)).contains(&SLOW_ENDPOINT.to_owned()), "not slower than the P99");
        assert!(!ids(&two(19, 9_000_000)).contains(&SLOW_ENDPOINT.to_owned()), "too few");
    }
}
