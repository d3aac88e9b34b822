//! What a row of the table is made from.
//!
//! In: a capture, interval by interval, or a report. Out: [`Point`]s, one per interval and service.

use acgs_perf_common::attribution::{
    ALL, ATTRIBUTION_BUCKETS, ATTRIBUTION_POWER, COMPONENT_NAMES, COMPONENTS, COUNT_WORD, LATENCY_WORD, component_word,
};
use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_low, bucket_low_of_power};
use acgs_perf_common::maps::{Counter, Histogram};

use crate::analysis::{counts_of, percentile_of};
use crate::live::probes::attribution::ROWS;
use crate::live::probes::request::{COUNTERS, LATENCY};
use crate::live::status::has_figures;
use crate::report::{AttributionRowReport, Report, ServiceReport};
use crate::snapshot::interval::{row, section};
use crate::snapshot::{Capture, Fates, Interval, ServiceContext, Subject};
use crate::sums::Sums;

/// A bucket: the values of its fields, in their order.
pub type Bucket = Vec<Option<i64>>;

/// An interval of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Begin.
    pub start_unix_ns: u64,
    /// Length.
    pub duration_ns: u64,
    /// Host.
    pub host: String,
    /// Service.
    pub service: String,
    /// Endpoint; empty for the service as a whole.
    pub endpoint: String,
    /// Its protocol.
    pub protocol: String,
    /// What its requests are.
    pub kind: &'static str,
    /// Those of its requests that failed.
    pub failed: Option<i64>,
    /// What it is held against.
    pub objective_p99_ns: u64,
    /// The same.
    pub objective_min_rps: f64,
    /// Requests answered.
    pub requests: i64,
    /// Bytes.
    pub bytes_in: i64,
    /// Bytes.
    pub bytes_out: i64,
    /// Sum of the latencies.
    pub latency_sum_ns: Option<i64>,
    /// The latency: lower and upper edge, count.
    pub latency: Vec<Bucket>,
    /// The same by index.
    pub counts: Sums,
    /// Latencies over range.
    pub over_range: i64,
    /// Requests without an end.
    pub unread: Option<i64>,
    /// The same.
    pub in_service: Option<i64>,
    /// The same.
    pub undelivered: Option<i64>,
    /// Age of the oldest.
    pub oldest_ns: Option<i64>,
    /// Those whose client left.
    pub abandoned: Option<i64>,
    /// Those that the service cut off.
    pub cut_off: Option<i64>,
    /// Drops of listeners.
    pub refused: Option<i64>,
    /// Since when components count.
    pub components_start_unix_ns: Option<i64>,
    /// Components: lower and upper edge, count, sum of the latencies, sum of each component.
    pub components: Vec<Bucket>,
}

/// Where the sum of the latencies and the first component are in a bucket of components.
const OF_LATENCY: usize = 3;
const OF_COMPONENTS: usize = 4;

impl Point {
    /// The percentile `per_10_000` / 100 of the requests that have an end, as in a report.
    pub fn percentile(&self, per_10_000: u64) -> Option<i64> {
        percentile_of(&self.counts, self.over_range, per_10_000).map(signed)
    }

    /// Requests whose components are known.
    pub fn components_requests(&self) -> Option<i64> {
        self.of_components(2)
    }

    /// Sum of their latencies.
    pub fn components_latency_ns(&self) -> Option<i64> {
        self.of_components(OF_LATENCY)
    }

    /// Sum of a component.
    pub fn component_ns(&self, index: usize) -> Option<i64> {
        self.of_components(OF_COMPONENTS + index)
    }

    fn of_components(&self, field: usize) -> Option<i64> {
        self.components_start_unix_ns?;
        Some(self.components.iter().filter_map(|bucket| bucket[field]).fold(0, i64::saturating_add))
    }

    /// Takes counts by index.
    pub fn take_counts(&mut self, counts: Sums) {
        let (within, over): (Vec<_>, Vec<_>) = counts.iter().partition(|(bucket, _)| (*bucket as usize) < BUCKETS);
        self.over_range += over.into_iter().map(|(_, count)| count).sum::<i64>();
        let edges =
            |bucket: u32| [bucket_low(bucket as usize), bucket_high(bucket as usize)].map(|ns| Some(signed(ns)));
        self.latency = within.iter().map(|(bucket, count)| [&edges(*bucket)[..], &[Some(*count)]].concat()).collect();
        self.counts = Sums::sparse(within);
    }
}

/// As the columns have it.
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A row per interval and service, oldest first. Of what was not measured there is none.
pub fn of_capture(capture: &Capture) -> impl Iterator<Item = Point> {
    let context = &capture.context;
    let counts_requests = has_figures(&context.probes, "request");
    let knows_components = has_figures(&context.probes, "attribution");
    let listens: Vec<bool> = {
        let whole = capture.intervals.whole();
        (0..context.services.len()).map(|at| Fates::of(&whole, &Subject::service(at)).has_listener).collect()
    };
    let intervals = capture.intervals.iter().filter(move |interval| interval.len_ns > 0 && counts_requests);
    intervals.flat_map(move |interval| {
        let of = |(at, service)| point(capture, &interval, at, service, (listens[at], knows_components));
        context.services.iter().enumerate().map(of).collect::<Vec<_>>()
    })
}

fn point(
    capture: &Capture,
    interval: &Interval,
    at: usize,
    service: &ServiceContext,
    (listens, knows_components): (bool, bool),
) -> Point {
    let context = &capture.context;
    let unix = |ns: u64| context.start_unix_ns.wrapping_add(ns.wrapping_sub(context.start_ns));
    let subject = Subject::service(at);
    let sections = interval.of(&subject);
    let counters = &row(sections, COUNTERS, &[]).sums;
    let counter = |counter: Counter| counters.get(counter as u32);
    let fates = Fates::of(interval, &subject);
    let looked = fates.looked_at_ns;
    let seen = |count: u64| looked.map(|_| signed(count));
    let oldest_ns = fates.unread.oldest_ns.max(fates.in_service.oldest_ns);
    let rows = section(sections, ROWS);
    let mut point = Point {
        start_unix_ns: unix(interval.start_ns),
        duration_ns: interval.len_ns,
        host: context.host.name.clone(),
        service: service.name.clone(),
        objective_p99_ns: u64::try_from(service.objective.p99.as_nanos()).unwrap_or(u64::MAX),
        objective_min_rps: service.objective.min_rps,
        requests: counter(Counter::Requests),
        bytes_in: counter(Counter::BytesIn),
        bytes_out: counter(Counter::BytesOut),
        latency_sum_ns: Some(counter(Counter::LatencySum)),
        unread: seen(fates.unread.count),
        in_service: seen(fates.in_service.count),
        undelivered: seen(fates.undelivered.count),
        oldest_ns: Some(signed(oldest_ns)).filter(|oldest| *oldest > 0),
        abandoned: seen(fates.abandoned.count),
        cut_off: seen(fates.cut_off).filter(|count| listens || *count > 0),
        refused: seen(fates.refused.drops).filter(|_| listens),
        components: rows.iter().map(|(key, row)| components(key.first().copied().unwrap_or(0), &row.sums)).collect(),
        ..Point::default()
    };
    let was_read = knows_components && (!rows.is_empty() || interval.rest_start_ns < interval.start_ns);
    point.components_start_unix_ns = was_read.then(|| signed(unix(interval.rest_start_ns)));
    point.take_counts(row(sections, LATENCY, &[Histogram::Latency as u32]).sums.clone());
    point
}

fn components(bucket: u32, sums: &Sums) -> Bucket {
    let bucket = (bucket as usize).min(ATTRIBUTION_BUCKETS);
    let high = (bucket < ATTRIBUTION_BUCKETS).then(|| signed(bucket_low_of_power(bucket + 1, ATTRIBUTION_POWER) - 1));
    let mut fields = vec![Some(signed(bucket_low_of_power(bucket, ATTRIBUTION_POWER))), high];
    fields.extend([COUNT_WORD, LATENCY_WORD].map(|word| Some(sums.get(word as u32))));
    fields.extend(ALL.iter().map(|component| Some(sums.get(component_word(*component) as u32))));
    fields
}

/// A row per service: the whole window as one interval.
pub fn of_report(report: &Report) -> impl Iterator<Item = Point> {
    report.services.iter().filter_map(|service| of_service(report, service))
}

fn of_service(report: &Report, service: &ServiceReport) -> Option<Point> {
    let requests = service.requests.as_ref()?;
    let counts = counts_of(&requests.latency)?;
    let fates = service.fates.as_ref();
    let oldest =
        fates.into_iter().flat_map(|fates| [fates.unread.oldest_ns, fates.in_service.oldest_ns]).flatten().max();
    let rows = service.attribution.as_ref().map(|attribution| &attribution.rows);
    let mut point = Point {
        start_unix_ns: report.window.start_unix_ns,
        duration_ns: report.window.duration_ns,
        host: report.host.name.clone(),
        service: service.name.clone(),
        objective_p99_ns: service.objective.p99_ns,
        objective_min_rps: service.objective.min_rps,
        requests: signed(requests.count),
        bytes_in: signed(requests.bytes_in),
        bytes_out: signed(requests.bytes_out),
        // A mean is rounded, so that the sum is not known.
        latency_sum_ns: None,
        over_range: signed(counts.over_range),
        unread: fates.map(|fates| signed(fates.unread.count)),
        in_service: fates.map(|fates| signed(fates.in_service.count)),
        undelivered: fates.map(|fates| signed(fates.undelivered.count)),
        oldest_ns: oldest.map(signed),
        abandoned: fates.map(|fates| signed(fates.abandoned.count)),
        cut_off: fates.and_then(|fates| fates.cut_off).map(signed),
        refused: service.refused.as_ref().map(|refused| signed(refused.drops)),
        components_start_unix_ns: rows.map(|_| signed(report.window.start_unix_ns)),
        components: rows.into_iter().flatten().map(of_row).collect(),
        ..Point::default()
    };
    point.take_counts(Sums::dense(counts.buckets.iter().map(|count| signed(*count))));
    Some(point)
}

fn of_row(row: &AttributionRowReport) -> Bucket {
    let mut fields =
        vec![Some(signed(row.low_ns)), row.high_ns.map(signed), Some(signed(row.count)), Some(signed(row.latency_ns))];
    let of = |name: &str| row.component_ns.get(name).copied().unwrap_or(0);
    fields.extend((0..COMPONENTS).map(|at| Some(signed(of(COMPONENT_NAMES[at].0)))));
    fields
}
