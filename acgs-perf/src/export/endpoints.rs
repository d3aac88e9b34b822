//! Rows of endpoints.
//!
//! In: a capture, interval by interval, or a report. Out: a [`Point`] for each endpoint in each interval that has read them: every tenth, for the
//! time since the one before. Names are those of the report.

use std::collections::BTreeMap;

use acgs_perf_common::endpoint::{BUCKETS, FAILED, LATENCY, LATENCY_SUM, OVER_RANGE, POWER, REQUESTS};
use acgs_perf_common::histogram::bucket_low_of_power;
use acgs_perf_protocol::Protocol;

use super::points::{Bucket, Point, signed};
use crate::analysis::endpoints::{EndpointFigures, Naming, of_report as endpoints_of, shown, upper};
use crate::discover::EndpointRules;
use crate::live::probes::endpoints::{SECTION, kind_name, kind_of};
use crate::report::{Report, ServiceReport};
use crate::snapshot::interval::section;
use crate::snapshot::{Capture, Interval, ServiceContext, Subject};
use crate::sums::{Key, Row, Sums};

/// A row per endpoint and interval, oldest first.
pub fn of_capture(capture: &Capture) -> impl Iterator<Item = Point> {
    let context = &capture.context;
    let whole = capture.intervals.whole();
    let rows_of = move |at: usize| section(whole.of(&Subject::service(at)), SECTION).clone();
    let namings: Vec<Naming<'_>> =
        context.services.iter().enumerate().map(|(at, of)| Naming::of(&of.endpoints, &rows_of(at))).collect();
    capture.intervals.iter().flat_map(move |interval| {
        let of_service = |(at, service): (usize, &ServiceContext)| {
            let rows = namings[at].recut(section(interval.of(&Subject::service(at)), SECTION));
            rows.iter().map(|(key, row)| of_row(capture, &interval, service, (key, row))).collect::<Vec<_>>()
        };
        context.services.iter().enumerate().flat_map(of_service).collect::<Vec<_>>()
    })
}

fn of_row(capture: &Capture, interval: &Interval, service: &ServiceContext, (key, row): (&Key, &Row)) -> Point {
    let context = &capture.context;
    let start_ns = interval.rest_start_ns.min(interval.start_ns);
    let kind = kind_of(key);
    let protocol = key.first().filter(|_| kind.is_some()).map(|number| Protocol::from_number(*number as u8).name());
    let name = shown(key, row);
    let (p99, min_rps) = objective(&service.endpoints, name);
    let mut point = Point {
        start_unix_ns: context.start_unix_ns.wrapping_add(start_ns.wrapping_sub(context.start_ns)),
        duration_ns: interval.end_ns().saturating_sub(start_ns),
        host: context.host.name.clone(),
        service: service.name.clone(),
        endpoint: name.to_owned(),
        protocol: protocol.unwrap_or_default().to_owned(),
        kind: kind.map_or("", |kind| kind_name(kind as u32)),
        failed: Some(row.sums.get(FAILED)),
        objective_p99_ns: p99.unwrap_or(u64::try_from(service.objective.p99.as_nanos()).unwrap_or(u64::MAX)),
        objective_min_rps: min_rps,
        requests: row.sums.get(REQUESTS),
        latency_sum_ns: Some(row.sums.get(LATENCY_SUM)),
        over_range: row.sums.get(OVER_RANGE),
        ..Point::default()
    };
    let words = row.sums.iter().filter(|(word, _)| (LATENCY..LATENCY + BUCKETS).contains(word));
    take_wide(&mut point, words.map(|(word, count)| (word - LATENCY, count)));
    point
}

fn objective(rules: &EndpointRules, name: &str) -> (Option<u64>, f64) {
    let rule = rules.endpoints.get(name);
    let p99 = rule.and_then(|rule| rule.p99).map(|p99| u64::try_from(p99.as_nanos()).unwrap_or(u64::MAX));
    (p99, rule.and_then(|rule| rule.min_rps).unwrap_or(0.0))
}

/// Takes counts by wide bucket: percentiles are the upper bounds of these, and the edges theirs.
fn take_wide(point: &mut Point, counts: impl Iterator<Item = (u32, i64)>) {
    let counts: Vec<(u32, i64)> = counts.collect();
    let mut fine = BTreeMap::<u32, i64>::new();
    counts.iter().for_each(|(bucket, count)| *fine.entry(upper(*bucket) as u32).or_default() += count);
    point.take_counts(Sums::sparse(fine));
    let edge = |bucket: u32| bucket_low_of_power(bucket as usize, POWER);
    let one = |(bucket, count): (u32, i64)| -> Bucket {
        vec![Some(signed(edge(bucket))), Some(signed(edge(bucket + 1) - 1)), Some(count)]
    };
    point.latency = counts.into_iter().map(one).collect();
}

/// A row per endpoint: the whole window as one interval.
pub fn of_report(report: &Report) -> impl Iterator<Item = Point> {
    let of_service = move |service| endpoints_of(service).into_iter().map(move |of| of_figures(report, service, of));
    report.services.iter().flat_map(of_service)
}

fn of_figures(report: &Report, service: &ServiceReport, of: EndpointFigures) -> Point {
    let objective = service.endpoint_objectives.iter().find(|objective| objective.name == of.name);
    let mut point = Point {
        start_unix_ns: report.window.start_unix_ns,
        duration_ns: report.window.duration_ns,
        host: report.host.name.clone(),
        service: service.name.clone(),
        endpoint: of.name,
        protocol: of.protocol,
        kind: of.kind.map_or("", |kind| kind_name(kind as u32)),
        failed: Some(signed(of.failed)),
        objective_p99_ns: objective.map_or(service.objective.p99_ns, |objective| objective.p99_ns),
        objective_min_rps: objective.map_or(0.0, |objective| objective.min_rps),
        requests: signed(of.requests),
        latency_sum_ns: Some(signed(of.latency.sum_ns)),
        over_range: signed(of.latency.over_range),
        ..Point::default()
    };
    take_wide(&mut point, of.latency.buckets.iter());
    point
}

#[cfg(test)]
mod tests {
    use acgs_perf_protocol::Kind;

    use super::*;
    use crate::analysis::endpoints::sample::{section as endpoints, status};
    use crate::analysis::{analyse, sample};
    use crate::snapshot::Timeline;

    #[test]
    fn rows_of_endpoints_add_up_to_the_report() {
        let mut capture = sample::capture();
        capture.context.probes.push(status());
        let mut interval = capture.intervals.iter().next().unwrap();
        let names: Vec<String> = (b'a'..=b'z').map(|letter| format!("GET /p/{}", char::from(letter))).collect();
        let values: Vec<u64> = (0..100).map(|at| 100_000 * at).collect();
        let mut rows: Vec<_> = names.iter().map(|name| (Kind::Request, name.as_str(), &values[..])).collect();
        rows.push((Kind::WaitByDesign, "GET /wait", &values[..7]));
        interval.subjects.values_mut().next().unwrap().insert(SECTION.into(), endpoints(&rows));
        let mut later = interval.clone();
        later.start_ns = interval.end_ns();
        capture.intervals = Timeline::of([interval, later]);
        let points: Vec<Point> = of_capture(&capture).collect();
        let is_p = |point: &&Point| point.endpoint == "GET /p/{name}";
        assert_eq!((points.len(), points.iter().filter(is_p).count()), (4, 2));
        assert_eq!(points.iter().filter(is_p).map(|point| point.requests).sum::<i64>(), 5_200);
        let report = analyse(&capture);
        let of_report: Vec<Point> = of_report(&report).collect();
        assert_eq!(of_report.len(), 2);
        let (one, all) = (points.iter().find(is_p).unwrap(), of_report.iter().find(is_p).unwrap());
        assert_eq!((all.requests, all.protocol.as_str(), all.kind), (5_200, "http", "request"));
        assert_eq!((one.percentile(9_900), one.latency.len()), (all.percentile(9_900), all.latency.len()));
        assert_eq!(one.latency.iter().filter_map(|bucket| bucket[2]).sum::<i64>(), 2_600);
    }
}
