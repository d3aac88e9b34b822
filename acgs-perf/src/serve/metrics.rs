//! Counters as text for Prometheus: its own format, and OpenMetrics.
//!
//! In: the totals. Out: the exposition. The number of series is bounded by the number of services, which is at most 64: about 120 each.
//!
//! What is exposed as a counter never falls. The counts behind it may, by a little and for a moment: a reply that grows leaves one
//! bucket of the latency for another, and whoever scrapes takes a counter that falls for one that began anew. So each series is at least
//! what it was.

use std::collections::HashMap;
use std::fmt::Write as _;

use acgs_perf_common::CONSTITUTIONAL_HASH;
use acgs_perf_common::attribution::COMPONENT_NAMES;
use acgs_perf_common::fates::{ABANDONED, CUT_OFF};
use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_index};
use acgs_perf_common::maps::{Counter, Histogram};

use super::totals::{OfService, Totals};
use crate::live::probes::request::{COUNTERS, FATES, LATENCY, TIMES};
use crate::snapshot::interval::row;

/// The content type of what Prometheus has always read.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// That of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Near which the bounds of the buckets lie, in µs. Each is moved to the end of the bucket in which it is counted, at most 0.8 %
/// above, so that counts are exact.
const BOUNDS_US: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// Which text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// That of Prometheus.
    Text,
    /// OpenMetrics.
    OpenMetrics,
}

impl Format {
    /// What a client takes.
    #[must_use]
    pub fn of_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => TEXT,
            Self::OpenMetrics => OPEN_METRICS,
        }
    }
}

/// What the network-facing process counts itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfServer {
    /// Requests answered.
    pub answered: u64,
    /// Connections that were closed because there were too many.
    pub refused: u64,
}

/// Writes expositions, and knows what it has written last.
#[derive(Debug, Default)]
pub struct Exposition {
    shown: HashMap<String, u64>,
}

impl Exposition {
    /// The totals of now.
    pub fn write(&mut self, totals: &Totals, server: OfServer, format: Format) -> String {
        let mut page =
            Page { text: String::with_capacity(32 << 10), format, before: &self.shown, shown: HashMap::new() };
        of_agent(&mut page, totals, server);
        of_requests(&mut page, totals);
        of_fates(&mut page, totals);
        for (name, help, section, histogram, sum) in [
            (
                "acgs_perf_request_latency_seconds",
                "Time from the arrival of a request to the last byte of its reply.",
                LATENCY,
                Histogram::Latency,
                Counter::LatencySum,
            ),
            (
                "acgs_perf_request_queue_time_seconds",
                "Time from the arrival of a request to its read.",
                TIMES,
                Histogram::QueueTime,
                Counter::QueueTimeSum,
            ),
            (
                "acgs_perf_request_service_time_seconds",
                "Time from the read of a request to the first byte of its reply.",
                TIMES,
                Histogram::ServiceTime,
                Counter::ServiceTimeSum,
            ),
        ] {
            page.head(name, "histogram", help);
            for (service, of) in &totals.services {
                histogram_of(&mut page, name, service, of, (section, histogram, sum));
            }
        }
        let Page { mut text, shown, .. } = page;
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        self.shown = shown;
        text
    }
}

fn of_agent(page: &mut Page<'_>, totals: &Totals, server: OfServer) {
    let context = totals.context.as_ref();
    page.head("acgs_perf_build_info", "gauge", "Version of the agent, and the constitutional hash.");
    let version = context.map_or(env!("CARGO_PKG_VERSION"), |context| &context.agent);
    page.gauge("acgs_perf_build_info", &[("version", version), ("constitutional_hash", CONSTITUTIONAL_HASH)], "1");
    page.head("acgs_perf_intervals", "counter", "Intervals recorded.");
    page.counter("acgs_perf_intervals", &[], totals.intervals);
    page.head("acgs_perf_lost", "counter", "What was lost, by reason: the loss ledger.");
    for (reason, count) in &totals.ledger {
        page.counter("acgs_perf_lost", &[("reason", reason)], *count);
    }
    page.head("acgs_perf_agent_cpu_seconds", "counter", "CPU time of the agent, without its kernel programs.");
    page.counter_seconds("acgs_perf_agent_cpu_seconds", &[], totals.agent_cpu_ns);
    if let Some(context) = context {
        page.head("acgs_perf_agent_memory_max_bytes", "gauge", "Largest resident set of the agent.");
        page.gauge("acgs_perf_agent_memory_max_bytes", &[], &context.cost.agent_max_rss_bytes.to_string());
        page.head("acgs_perf_kernel_maps_bytes", "gauge", "Memory of the kernel maps.");
        page.gauge("acgs_perf_kernel_maps_bytes", &[], &context.cost.map_bytes.to_string());
        page.head("acgs_perf_probe_active", "gauge", "Whether a probe counts.");
        for probe in &context.probes {
            page.gauge("acgs_perf_probe_active", &[("probe", &probe.name)], if probe.is_active() { "1" } else { "0" });
        }
    }
    page.head("acgs_perf_http_requests", "counter", "Requests answered here.");
    page.counter("acgs_perf_http_requests", &[], server.answered);
    page.head("acgs_perf_http_connections_refused", "counter", "Connections closed because there were too many.");
    page.counter("acgs_perf_http_connections_refused", &[], server.refused);
}

fn of_requests(page: &mut Page<'_>, totals: &Totals) {
    for (name, help, counter) in [
        ("acgs_perf_requests", "Requests answered.", Counter::Requests),
        ("acgs_perf_request_bytes", "Bytes read from clients.", Counter::BytesIn),
        ("acgs_perf_reply_bytes", "Bytes sent to clients.", Counter::BytesOut),
    ] {
        page.head(name, "counter", help);
        for (service, of) in &totals.services {
            let count = row(Some(&of.sections), COUNTERS, &[]).sums.count(counter as u32);
            page.counter(name, &[("service", service)], count);
        }
    }
    let name = "acgs_perf_request_component_seconds";
    page.head(name, "counter", "Time of the answered requests, by what it went to; the parts add up to the latency.");
    for (service, of) in &totals.services {
        for (component, ns) in of.components().filter(|(_, ns)| *ns > 0) {
            let component = COMPONENT_NAMES[component as usize].0;
            page.counter_seconds(name, &[("service", service), ("component", component)], ns);
        }
    }
    page.head("acgs_perf_objective_latency_seconds", "gauge", "The P99 of the latency must be below this.");
    for (service, of) in &totals.services {
        let limit = seconds(of.objective.p99.as_nanos() as u64);
        page.gauge("acgs_perf_objective_latency_seconds", &[("service", service)], &limit);
    }
}

fn of_fates(page: &mut Page<'_>, totals: &Totals) {
    for (name, help, word) in [
        ("acgs_perf_requests_abandoned", "Requests whose client left.", ABANDONED),
        ("acgs_perf_requests_cut_off", "Requests whose connection the service closed instead of answering.", CUT_OFF),
    ] {
        page.head(name, "counter", help);
        for (service, of) in &totals.services {
            page.counter(name, &[("service", service)], row(Some(&of.sections), FATES, &[]).sums.count(word));
        }
    }
    page.head(
        "acgs_perf_connections_refused",
        "counter",
        "What listeners dropped because their queues were full: tries, not clients.",
    );
    for (service, of) in &totals.services {
        if let Some(refused) = of.refused {
            page.counter("acgs_perf_connections_refused", &[("service", service)], refused);
        }
    }
    page.head("acgs_perf_requests_open", "gauge", "Requests without a whole reply at the last look.");
    let stages = ["unread", "in_service", "undelivered"];
    let open = || totals.services.iter().filter_map(|(service, of)| Some((service, of.open.as_ref()?.stages())));
    for (service, open) in open() {
        for (stage, open) in stages.iter().zip(open) {
            page.gauge("acgs_perf_requests_open", &[("service", service), ("stage", stage)], &open.count.to_string());
        }
    }
    page.head("acgs_perf_requests_open_oldest_seconds", "gauge", "Age of the oldest of them.");
    for (service, open) in open() {
        for (stage, open) in stages.iter().zip(open) {
            let name = "acgs_perf_requests_open_oldest_seconds";
            page.gauge(name, &[("service", service), ("stage", stage)], &seconds(open.oldest_ns));
        }
    }
}

fn histogram_of(
    page: &mut Page<'_>,
    name: &str,
    service: &str,
    of: &OfService,
    (section, histogram, sum): (&str, Histogram, Counter),
) {
    let sums = &row(Some(&of.sections), section, &[histogram as u32]).sums;
    let mut bounds: Vec<usize> = BOUNDS_US.iter().map(|us| bucket_index(us * 1000)).collect();
    if histogram == Histogram::Latency {
        // The objective has a bound of its own, so that what is within it is counted exactly.
        bounds.push(bucket_index(of.objective.p99.as_nanos() as u64).min(BUCKETS - 1));
    }
    bounds.sort_unstable();
    bounds.dedup();
    let within = |bound: u32| sums.iter().take_while(|(at, _)| *at <= bound).map(|(_, count)| count).sum::<i64>();
    for bound in bounds {
        let le = seconds(bucket_high(bound));
        page.part(name, "_bucket", &[("service", service), ("le", &le)], within(bound as u32).max(0) as u64);
    }
    let all = within(u32::MAX).max(0) as u64;
    page.part(name, "_bucket", &[("service", service), ("le", "+Inf")], all);
    let sum = row(Some(&of.sections), COUNTERS, &[]).sums.count(sum as u32);
    page.part_seconds(name, "_sum", &[("service", service)], sum);
    page.part(name, "_count", &[("service", service)], all);
}

/// Seconds, exactly.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    let text = text.trim_end_matches('0');
    // OpenMetrics wants bounds with a digit behind the point.
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// Text that is being written.
struct Page<'a> {
    text: String,
    format: Format,
    before: &'a HashMap<String, u64>,
    shown: HashMap<String, u64>,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // In OpenMetrics the family has the name without the suffix of its samples.
        let suffix = if kind == "counter" && self.format == Format::Text { "_total" } else { "" };
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
    }

    fn gauge(&mut self, name: &str, labels: &[(&str, &str)], value: &str) {
        let series = series(name, "", labels);
        let _ = writeln!(self.text, "{series} {value}");
    }

    fn counter(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.part(name, "_total", labels, value);
    }

    fn counter_seconds(&mut self, name: &str, labels: &[(&str, &str)], ns: u64) {
        self.part_seconds(name, "_total", labels, ns);
    }

    fn part(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: u64) {
        let (series, value) = self.rising(series(name, suffix, labels), value);
        let _ = writeln!(self.text, "{series} {value}");
    }

    fn part_seconds(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], ns: u64) {
        let (series, ns) = self.rising(series(name, suffix, labels), ns);
        let _ = writeln!(self.text, "{series} {}", seconds(ns));
    }

    /// At least what was shown before.
    fn rising(&mut self, series: String, value: u64) -> (String, u64) {
        let value = self.before.get(&series).map_or(value, |before| value.max(*before));
        self.shown.insert(series.clone(), value);
        (series, value)
    }
}

fn series(name: &str, suffix: &str, labels: &[(&str, &str)]) -> String {
    let mut text = format!("{name}{suffix}");
    for (at, (label, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
    }
    if !labels.is_empty() {
        text.push('}');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::analysis::sample;

    fn totals() -> Totals {
        let capture = sample::capture();
        let mut totals = Totals::default();
        let mut context = capture.context.clone();
        context.services[0].name = "a\"b\\c\nd".into();
        totals.set_context(context);
        capture.intervals.iter().for_each(|interval| totals.add(&interval));
        totals
    }

    fn value(text: &str, series: &str) -> String {
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).rsplit(' ').next().unwrap().to_owned()
    }

    #[test]
    fn counts_are_those_of_the_report() {
        let totals = totals();
        let text = Exposition::default().write(&totals, OfServer::default(), Format::Text);
        let label = r#"service="a\"b\\c\nd""#;
        assert_eq!(value(&text, &format!("acgs_perf_requests_total{{{label}}}")), "300000");
        assert_eq!(value(&text, &format!("acgs_perf_request_latency_seconds_count{{{label}}}")), "300000");
        let bucket = |le: &str| {
            value(&text, &format!("acgs_perf_request_latency_seconds_bucket{{{label},le=\"{le}\"}}"))
                .parse::<u64>()
                .unwrap()
        };
        assert_eq!(bucket("+Inf"), 300_000);
        // 5 ms is the objective, and one of the bounds.
        assert!(bucket("0.005013503") <= 300_000);
        let bounds: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with(&format!("acgs_perf_request_latency_seconds_bucket{{{label}")))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(bounds.is_sorted() && bounds.len() == BOUNDS_US.len() + 1, "{bounds:?}");
    }

    #[test]
    fn each_series_is_there_once_and_belongs_to_its_family() {
        let totals = totals();
        for format in [Format::Text, Format::OpenMetrics] {
            let text = Exposition::default().write(&totals, OfServer::default(), format);
            let (mut seen, mut families) = (HashSet::new(), HashSet::new());
            let mut family = (String::new(), String::new());
            for line in text.lines() {
                match line.strip_prefix("# ").map(|rest| rest.splitn(3, ' ').collect::<Vec<_>>()).as_deref() {
                    Some(["TYPE", name, kind]) => {
                        assert!(families.insert((*name).to_owned()), "{name} twice");
                        family = ((*name).to_owned(), (*kind).to_owned());
                    }
                    Some(_) => {}
                    None => {
                        let name = line.split(['{', ' ']).next().unwrap();
                        let suffixes: &[&str] = match (family.1.as_str(), format) {
                            ("counter", Format::OpenMetrics) => &["_total"],
                            ("histogram", _) => &["_bucket", "_sum", "_count"],
                            _ => &[""],
                        };
                        assert!(
                            suffixes.iter().any(|suffix| name == format!("{}{suffix}", family.0)),
                            "{line} in {family:?}"
                        );
                        assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "{line} twice");
                        assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
                    }
                }
            }
            assert!(
                seen.len() < 300 && text.ends_with("# EOF\n") == (format == Format::OpenMetrics),
                "{} series",
                seen.len()
            );
        }
    }

    #[test]
    fn a_counter_never_falls() {
        let mut exposition = Exposition::default();
        let series = r#"acgs_perf_lost_total{reason="x"}"#;
        let mut totals = Totals::default();
        totals.ledger.insert("x".into(), 5);
        let mut write = |count| {
            totals.ledger.insert("x".into(), count);
            value(&exposition.write(&totals, OfServer::default(), Format::Text), series)
        };
        assert_eq!([write(5), write(4), write(6)], ["5", "5", "6"]);
    }

    #[test]
    fn seconds_are_exact() {
        for (ns, text) in [(0, "0.0"), (1, "0.000000001"), (5_013_503, "0.005013503"), (2_000_000_000, "2.0")] {
            assert_eq!(seconds(ns), text);
        }
    }

    #[test]
    fn a_client_gets_what_it_takes() {
        assert_eq!(Format::of_accept("*/*"), Format::Text);
        assert_eq!(
            Format::of_accept("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.4"),
            Format::OpenMetrics
        );
    }
}
