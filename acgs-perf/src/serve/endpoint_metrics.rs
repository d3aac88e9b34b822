//! What is shown of endpoints: how often each was asked for, how often it failed, how long it took.
//!
//! In: the totals. Out: families. At most 201 endpoints of a service are shown, each with five series and a histogram. Their buckets are 3.1 % wide: bounds are
//! moved to the upper end of the one in which they lie, so that counts are exact.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acgs_perf_common::endpoint::{FAILED, LATENCY, POWER, REQUESTS};
use acgs_perf_common::histogram::{bucket_index_of_power, bucket_low_of_power};

use super::family::{Type, Value};
use super::native;
use super::series::Page;
use super::totals::Totals;
use crate::analysis::endpoints::{Latency, lower, upper};
use crate::sums::Sums;

/// Near which the bounds lie, in µs.
const BOUNDS_US: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// The families of endpoints.
pub fn families(page: &mut Page<'_>, totals: &Totals) {
    counts(page, totals, "acgs_perf_endpoint_requests", "Requests answered, by endpoint.", REQUESTS);
    counts(page, totals, "acgs_perf_endpoint_requests_failed", "Those of them whose reply is an error.", FAILED);
    let help = "Requests answered within the endpoint's own objective: to the end of the bucket that holds it, at most 3.1 % above.";
    page.head("acgs_perf_endpoint_requests_within_objective", Type::Counter, help);
    for (service, of) in &totals.services {
        for ((protocol, name), sums) in of.endpoints.iter() {
            let Some(p99) = of.rules.endpoints.get(name).and_then(|rule| rule.p99) else { continue };
            let labels = [("service", service.as_str()), ("protocol", protocol), ("endpoint", name)];
            page.counter(&labels, within(sums, bucket(p99)));
        }
    }
    page.head(
        "acgs_perf_endpoint_objective_latency_seconds",
        Type::Gauge,
        "The P99 of the endpoint's latency must be below this.",
    );
    for (service, of) in &totals.services {
        for (name, rule) in of.rules.with_objective() {
            let p99 = rule.p99.unwrap_or(of.objective.p99);
            page.gauge(&[("service", service), ("endpoint", name)], Value::Nanos(p99.as_nanos() as u64));
        }
    }
    let name = "acgs_perf_endpoint_latency_seconds";
    page.head(name, Type::Histogram, "Time from the arrival of a request to the last byte of its reply, by endpoint.");
    for (service, of) in &totals.services {
        for ((protocol, endpoint), sums) in of.endpoints.iter() {
            let own = of.rules.endpoints.get(endpoint).and_then(|rule| rule.p99).unwrap_or(of.objective.p99);
            let mut bounds: BTreeSet<u32> = BOUNDS_US.iter().map(|us| bucket(Duration::from_micros(*us))).collect();
            bounds.insert(bucket(own));
            let bounds = bounds.into_iter().map(|at| (end(at), within(sums, at))).collect();
            let labels = [("service", service.as_str()), ("protocol", protocol), ("endpoint", endpoint)];
            let latency = Latency::of_words(sums);
            let key = format!("{name} {service} {protocol} {endpoint}");
            page.histogram(&key, &labels, bounds, (latency.count(), latency.sum_ns), fine(&latency));
        }
    }
}

fn counts(page: &mut Page<'_>, totals: &Totals, name: &'static str, help: &'static str, word: u32) {
    page.head(name, Type::Counter, help);
    for (service, of) in &totals.services {
        for ((protocol, endpoint), sums) in of.endpoints.iter() {
            page.counter(&[("service", service), ("protocol", protocol), ("endpoint", endpoint)], sums.count(word));
        }
    }
}

/// The bucket in which a time lies.
pub fn bucket(of: Duration) -> u32 {
    let most = acgs_perf_common::endpoint::BUCKETS as usize - 1;
    bucket_index_of_power(u64::try_from(of.as_nanos()).unwrap_or(u64::MAX >> 1), POWER).min(most) as u32
}

fn end(bucket: u32) -> u64 {
    bucket_low_of_power(bucket as usize + 1, POWER) - 1
}

/// How many are in this bucket, or below.
fn within(sums: &Sums, bucket: u32) -> u64 {
    let own = sums.iter().skip_while(|(word, _)| *word < LATENCY).take_while(|(word, _)| *word <= LATENCY + bucket);
    own.map(|(_, count)| count).sum::<i64>().max(0) as u64
}

/// By bucket of a native histogram: each where the middle of its own is.
pub fn fine(latency: &Latency) -> BTreeMap<i32, u64> {
    let mut all = BTreeMap::new();
    let over_range = (acgs_perf_common::endpoint::BUCKETS, latency.over_range as i64);
    for (bucket, count) in latency.buckets.iter().chain([over_range]).filter(|(_, count)| *count > 0) {
        *all.entry(native::index((lower(bucket) + upper(bucket)) / 2)).or_default() += count as u64;
    }
    all
}

#[cfg(test)]
mod tests {
    use acgs_perf_protocol::Kind;

    use super::*;
    use crate::analysis::endpoints::sample::section;
    use crate::discover::EndpointRule;
    use crate::serve::family::Family;
    use crate::serve::metrics::{Exposition, OfServer};
    use crate::serve::text::{Dialect, render};
    use crate::serve::totals::OfService;

    fn totals(names: &[&str]) -> Totals {
        let mut of = OfService::default();
        let p99 = Some(Duration::from_millis(2));
        of.rules.endpoints.insert("GET /a".into(), EndpointRule { p99, ..EndpointRule::default() });
        let values: Vec<u64> = (0..100).map(|at| 100_000 * at).collect();
        let rows: Vec<_> = names.iter().map(|name| (Kind::Request, *name, &values[..])).collect();
        of.endpoints.add(&of.rules.clone(), &section(&rows));
        Totals { services: [("api".to_owned(), of)].into(), ..Totals::default() }
    }

    fn families(names: &[&str]) -> Vec<Family> {
        let all = Exposition::default().families(&totals(names), OfServer::default());
        all.into_iter().filter(|family| family.name.starts_with("acgs_perf_endpoint")).collect()
    }

    #[test]
    fn each_endpoint_has_its_counts_and_its_histogram() {
        let families = families(&["GET /a", "GET /b"]);
        let of = |name: &str| families.iter().find(|of| of.name == name).map(|of| of.samples.clone()).unwrap();
        assert_eq!(of("acgs_perf_endpoint_requests").len(), 2);
        // 0 to 2 ms, and to the end of the bucket that holds that: 2.03 ms.
        let within = of("acgs_perf_endpoint_requests_within_objective");
        assert!(matches!(within[..], [ref only] if matches!(only.value, Value::Count(21))), "{within:?}");
        let latency = of("acgs_perf_endpoint_latency_seconds");
        let Value::Histogram(histogram) = &latency[0].value else { panic!() };
        assert_eq!((histogram.count, histogram.fine.values().sum::<u64>(), histogram.bounds.len()), (100, 100, 15));
        assert_eq!(histogram.sum_ns, 495_000_000);
        assert!(histogram.bounds.iter().any(|(bound, count)| (2_000_000..2_062_500).contains(bound) && *count == 21));
    }

    #[test]
    fn names_do_not_leave_their_quotes() {
        let text = render(&families(&["select \"x\" from \\t"]), Dialect::Prometheus);
        assert!(text.contains(r#"endpoint="select \"x\" from \\t""#), "{text}");
    }
}
