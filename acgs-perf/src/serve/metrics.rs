//! What is shown of the totals: families of counters, gauges and histograms, whatever the format.
//!
//! In: the totals. Out: families. The number of series is bounded by the number of services, which is at most 64: about 120 each, and
//! of its endpoints (`endpoint_metrics`), at most 201 each.
//!
//! What is exposed as a counter never falls. The counts behind it may, by a little and for a moment: a reply that grows leaves one
//! bucket of the latency for another, and whoever scrapes takes a counter that falls for one that began anew. So each series is at least
//! what it was.

use acgs_perf_common::CONSTITUTIONAL_HASH;
use acgs_perf_common::attribution::COMPONENT_NAMES;
use acgs_perf_common::fates::{ABANDONED, CUT_OFF};
use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_index};
use acgs_perf_common::maps::{Counter, Histogram as Kind};

use super::endpoint_metrics;
use super::family::{Family, Type, Value};
use super::native;
use super::progress::Progress;
use super::series::{Page, Shown};
use super::totals::{OfService, Totals};
use crate::live::probes::request::{COUNTERS, FATES, LATENCY, TIMES};
use crate::snapshot::interval::row;
use crate::sums::Sums;

/// Near which the bounds of the buckets lie, in µs. Each is moved to the end of the bucket in which it is counted, at most 0.8 %
/// above, so that counts are exact.
pub const BOUNDS_US: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// What the network-facing process counts itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfServer {
    /// Requests answered.
    pub answered: u64,
    /// Connections that were closed because there were too many.
    pub refused: u64,
    /// Connections on which no TLS came about.
    pub handshakes_failed: u64,
    /// Requests without the token.
    pub unauthorized: u64,
    /// How far the collector has got; `None` if there is none.
    pub export: Option<Progress>,
}

/// Makes the families, and knows what was shown last.
#[derive(Debug, Default)]
pub struct Exposition(Shown);

impl Exposition {
    /// The totals of now.
    pub fn families(&mut self, totals: &Totals, server: OfServer) -> Vec<Family> {
        let mut page = Page { families: Vec::new(), before: &self.0, after: Shown::default() };
        of_agent(&mut page, totals, server);
        of_requests(&mut page, totals);
        of_fates(&mut page, totals);
        for (name, help, section, kind, sum) in [
            (
                "acgs_perf_request_latency_seconds",
                "Time from the arrival of a request to the last byte of its reply.",
                LATENCY,
                Kind::Latency,
                Counter::LatencySum,
            ),
            (
                "acgs_perf_request_queue_time_seconds",
                "Time from the arrival of a request to its read.",
                TIMES,
                Kind::QueueTime,
                Counter::QueueTimeSum,
            ),
            (
                "acgs_perf_request_service_time_seconds",
                "Time from the read of a request to the first byte of its reply.",
                TIMES,
                Kind::ServiceTime,
                Counter::ServiceTimeSum,
            ),
        ] {
            page.head(name, Type::Histogram, help);
            for (service, of) in &totals.services {
                histogram_of(&mut page, name, service, of, (section, kind, sum));
            }
        }
        endpoint_metrics::families(&mut page, totals);
        let Page { families, after, .. } = page;
        self.0 = after;
        families
    }
}

fn of_agent(page: &mut Page<'_>, totals: &Totals, server: OfServer) {
    let context = totals.context.as_ref();
    page.head("acgs_perf_build_info", Type::Gauge, "Version of the agent, and the constitutional hash.");
    let version = context.map_or(env!("CARGO_PKG_VERSION"), |context| &context.agent);
    page.gauge(&[("version", version), ("constitutional_hash", CONSTITUTIONAL_HASH)], Value::Count(1));
    page.head("acgs_perf_intervals", Type::Counter, "Intervals recorded.");
    page.counter(&[], totals.intervals);
    page.head("acgs_perf_lost", Type::Counter, "What was lost, by reason: the loss ledger.");
    for (reason, count) in &totals.ledger {
        page.counter(&[("reason", reason)], *count);
    }
    page.head("acgs_perf_agent_cpu_seconds", Type::Counter, "CPU time of the agent, without its kernel programs.");
    page.counter_nanos(&[], totals.agent_cpu_ns);
    if let Some(context) = context {
        page.head("acgs_perf_agent_memory_max_bytes", Type::Gauge, "Largest resident set of the agent.");
        page.gauge(&[], Value::Count(context.cost.agent_max_rss_bytes));
        page.head("acgs_perf_kernel_maps_bytes", Type::Gauge, "Memory of the kernel maps.");
        page.gauge(&[], Value::Count(context.cost.map_bytes));
        page.head("acgs_perf_probe_active", Type::Gauge, "Whether a probe counts.");
        for probe in &context.probes {
            page.gauge(&[("probe", &probe.name)], Value::Count(probe.is_active().into()));
        }
    }
    page.head("acgs_perf_http_requests", Type::Counter, "Requests answered here.");
    page.counter(&[], server.answered);
    page.head("acgs_perf_http_connections_refused", Type::Counter, "Connections closed because there were too many.");
    page.counter(&[], server.refused);
    page.head("acgs_perf_http_handshakes_failed", Type::Counter, "Connections on which no TLS came about.");
    page.counter(&[], server.handshakes_failed);
    page.head("acgs_perf_http_unauthorized", Type::Counter, "Requests without the token.");
    page.counter(&[], server.unauthorized);
    if let Some(export) = server.export {
        of_export(page, &export);
    }
}

fn of_export(page: &mut Page<'_>, export: &Progress) {
    for (name, help, count) in export.counters() {
        page.head(name, Type::Counter, help);
        page.counter(&[], count);
    }
    page.head("acgs_perf_otlp_repeated_seconds", Type::Counter, "Recorded time that was sent twice.");
    page.counter_nanos(&[], export.repeated_ns);
    page.head(
        "acgs_perf_otlp_lost_seconds",
        Type::Counter,
        "Recorded time that was not sent: the ring had it no more.",
    );
    page.counter_nanos(&[], export.lost_ns);
    page.head("acgs_perf_otlp_behind_seconds", Type::Gauge, "Age of the end of what the collector has taken.");
    page.gauge(&[], Value::Nanos(export.behind_ns));
}

fn of_requests(page: &mut Page<'_>, totals: &Totals) {
    for (name, help, counter) in [
        ("acgs_perf_requests", "Requests answered.", Counter::Requests),
        ("acgs_perf_request_bytes", "Bytes read from clients.", Counter::BytesIn),
        ("acgs_perf_reply_bytes", "Bytes sent to clients.", Counter::BytesOut),
    ] {
        page.head(name, Type::Counter, help);
        for (service, of) in &totals.services {
            let count = row(Some(&of.sections), COUNTERS, &[]).sums.count(counter as u32);
            page.counter(&[("service", service)], count);
        }
    }
    let help =
        "Requests answered within the objective's P99: to the end of the bucket that holds it, at most 0.8 % above.";
    page.head("acgs_perf_requests_within_objective", Type::Counter, help);
    for (service, of) in &totals.services {
        let bound = bucket_index(of.objective.p99.as_nanos() as u64).min(BUCKETS - 1);
        page.counter(&[("service", service)], within(latency(of), bound as u32));
    }
    of_components(page, totals);
    page.head("acgs_perf_objective_latency_seconds", Type::Gauge, "The P99 of the latency must be below this.");
    for (service, of) in &totals.services {
        let limit = Value::Nanos(of.objective.p99.as_nanos() as u64);
        page.gauge(&[("service", service)], limit);
    }
}

fn of_components(page: &mut Page<'_>, totals: &Totals) {
    let mut family = |name, help, slow: bool| {
        page.head(name, Type::Counter, help);
        for (service, of) in &totals.services {
            let all = if slow { of.slow_components().collect() } else { of.components().collect::<Vec<_>>() };
            for (component, ns) in all.into_iter().filter(|(_, ns)| *ns > 0) {
                let component = COMPONENT_NAMES[component as usize].0;
                page.counter_nanos(&[("service", service), ("component", component)], ns);
            }
        }
    };
    let help = "Time of the answered requests, by what it went to; the parts add up to the latency.";
    family("acgs_perf_request_component_seconds", help, false);
    let help = "The same of those that took longer than the objective, by more than 6 %.";
    family("acgs_perf_slow_request_component_seconds", help, true);
}

fn of_fates(page: &mut Page<'_>, totals: &Totals) {
    for (name, help, word) in [
        ("acgs_perf_requests_abandoned", "Requests whose client left.", ABANDONED),
        ("acgs_perf_requests_cut_off", "Requests whose connection the service closed instead of answering.", CUT_OFF),
    ] {
        page.head(name, Type::Counter, help);
        for (service, of) in &totals.services {
            page.counter(&[("service", service)], row(Some(&of.sections), FATES, &[]).sums.count(word));
        }
    }
    page.head(
        "acgs_perf_connections_refused",
        Type::Counter,
        "What listeners dropped because their queues were full: tries, not clients.",
    );
    for (service, of) in &totals.services {
        if let Some(refused) = of.refused {
            page.counter(&[("service", service)], refused);
        }
    }
    page.head("acgs_perf_requests_open", Type::Gauge, "Requests without a whole reply at the last look.");
    let stages = ["unread", "in_service", "undelivered"];
    let open = || totals.services.iter().filter_map(|(service, of)| Some((service, of.open.as_ref()?.stages())));
    for (service, open) in open() {
        for (stage, open) in stages.iter().zip(open) {
            page.gauge(&[("service", service), ("stage", stage)], Value::Count(open.count));
        }
    }
    page.head("acgs_perf_requests_open_oldest_seconds", Type::Gauge, "Age of the oldest of them.");
    for (service, open) in open() {
        for (stage, open) in stages.iter().zip(open) {
            page.gauge(&[("service", service), ("stage", stage)], Value::Nanos(open.oldest_ns));
        }
    }
}

fn histogram_of(
    page: &mut Page<'_>,
    name: &str,
    service: &str,
    of: &OfService,
    (section, kind, sum): (&str, Kind, Counter),
) {
    let sums = &row(Some(&of.sections), section, &[kind as u32]).sums;
    let mut bounds: Vec<usize> = BOUNDS_US.iter().map(|us| bucket_index(us * 1000)).collect();
    if kind == Kind::Latency {
        // The objective has a bound of its own, so that what is within it is counted exactly.
        bounds.push(bucket_index(of.objective.p99.as_nanos() as u64).min(BUCKETS - 1));
    }
    bounds.sort_unstable();
    bounds.dedup();
    let within = |bound: u32| within(sums, bound);
    let bounds = bounds.into_iter().map(|bound| (bucket_high(bound), within(bound as u32))).collect();
    let sum_ns = row(Some(&of.sections), COUNTERS, &[]).sums.count(sum as u32);
    let whole = (within(u32::MAX), sum_ns);
    page.histogram(&format!("{name} {service}"), &[("service", service)], bounds, whole, native::buckets(sums));
}

fn latency(of: &OfService) -> &Sums {
    &row(Some(&of.sections), LATENCY, &[Kind::Latency as u32]).sums
}

/// How many are in this bucket, or below.
fn within(sums: &Sums, bound: u32) -> u64 {
    let counts = sums.iter().take_while(|(at, _)| *at <= bound).map(|(_, count)| count);
    counts.sum::<i64>().max(0) as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::analysis::sample;

    /// Those of a capture with 300,000 requests.
    pub fn totals(name: &str) -> Totals {
        let capture = sample::capture();
        let mut totals = Totals::default();
        let mut context = capture.context.clone();
        context.services[0].name = name.into();
        totals.set_context(context);
        capture.intervals.iter().for_each(|interval| totals.add(&interval));
        totals
    }

    #[test]
    fn a_counter_never_falls() {
        let mut exposition = Exposition::default();
        let mut totals = Totals::default();
        let mut shown = |count| {
            totals.ledger.insert("x".into(), count);
            let families = exposition.families(&totals, OfServer::default());
            let lost = families.into_iter().find(|family| family.name == "acgs_perf_lost").unwrap();
            match lost.samples[0].value {
                Value::Count(count) => count,
                ref other => panic!("{other:?}"),
            }
        };
        assert_eq!([shown(5), shown(4), shown(6)], [5, 5, 6]);
    }

    #[test]
    fn a_reply_that_grows_leaves_no_bucket_with_fewer() {
        let mut totals = totals("api");
        let mut exposition = Exposition::default();
        let mut latency = |totals: &Totals| {
            let families = exposition.families(totals, OfServer::default());
            let family =
                families.into_iter().find(|family| family.name == "acgs_perf_request_latency_seconds").unwrap();
            match family.samples.into_iter().next().unwrap().value {
                Value::Histogram(histogram) => histogram,
                other => panic!("{other:?}"),
            }
        };
        let before = latency(&totals);
        assert_eq!((before.count, before.fine.values().sum::<u64>()), (300_000, 300_000));
        let sums = &mut totals.services.get_mut("api").unwrap().sections.get_mut(LATENCY).unwrap();
        let sums = &mut sums.get_mut(&vec![Kind::Latency as u32]).unwrap().sums;
        let (from, _) = sums.iter().find(|(_, count)| *count > 0).unwrap();
        crate::sums::Difference::add(sums, &Sums::sparse([(from, -1), (BUCKETS as u32 - 1, 1)]));
        let after = latency(&totals);
        assert_eq!(after.count, 300_000);
        assert!(before.bounds.iter().zip(&after.bounds).all(|(before, after)| before.1 <= after.1));
        assert!(before.fine.iter().all(|(bucket, count)| after.fine[bucket] >= *count));
    }
}
