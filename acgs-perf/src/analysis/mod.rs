//! From raw counts to a report: percentiles, confidence intervals, verdicts, findings.
//!
//! In: a `Capture`. Out: an unsealed `Report`, of the types in `model`, with numbers only: the sentences about them are made in
//! `output::words`. Pure: no root, no kernel, no clock.

mod censored;
pub mod compare;
mod confidence;
mod counts;
#[cfg(test)]
mod coverage;
mod curve;
mod distribution;
pub mod endpoints;
pub mod findings;
mod hdr;
pub mod merge;
pub mod model;
mod number;
#[cfg(test)]
pub(crate) mod sample;
mod sections;
mod slices;
pub mod tables;
pub mod tail;
mod verdict;

pub use confidence::P99_MIN_COUNT;
pub use counts::Counts;
pub use curve::{CurvePoint, curve};
pub use distribution::counts_of;
pub use hdr::decode as decode_histogram;
pub use sections::calls_outstanding;
pub use sections::client::client;
pub use slices::{PER_NINE as SLICES_PER_NINE, Slice, SlicePart, slices};
pub use verdict::{left, missed_for_latency};

use crate::snapshot::Capture;
use crate::sums::Sums;
use model::Report;

/// Turns a recording into a report. The report still has to be sealed.
#[must_use]
pub fn analyse(capture: &Capture) -> Report {
    let mut report = sections::report(capture);
    assess(&mut report);
    report
}

/// Turns reports that were put together into one. It still has to be sealed.
#[must_use]
pub fn merged(reports: merge::ReportMerger) -> Report {
    let mut report = reports.finish();
    assess(&mut report);
    report
}

/// The distribution of an endpoint's latencies.
#[must_use]
pub fn wide_distribution(of: &endpoints::Latency) -> model::Distribution {
    distribution::of_wide(&of.counts(), acgs_perf_common::endpoint::POWER)
}

/// Upper bound of the percentile `per_10_000` / 100 of these counts by bucket and what is over range, as a report has it of requests that
/// have an end; `None` without any, or where it is over range. A count below 0 is nothing.
#[must_use]
pub fn percentile_of(counts: &Sums, over_range: i64, per_10_000: u64) -> Option<u64> {
    let mut counts = counts::of_sums(counts, 0, None);
    counts.over_range = counts.over_range.saturating_add(u64::try_from(over_range).unwrap_or(0));
    distribution::Ranked::new(&counts).percentile(per_10_000)
}

/// Concludes what the figures of a report mean: tails, verdicts, findings.
pub fn assess(report: &mut Report) {
    let duration_ns = report.window.duration_ns;
    for service in &mut report.services {
        service.tail = service.attribution.as_ref().map(|attribution| {
            let (downstream, exemplars) = (service.downstream.as_deref(), service.exemplars.as_deref());
            tail::tail(&attribution.rows, downstream.unwrap_or_default(), exemplars.unwrap_or_default())
        });
        let part = service.tail.as_ref().and_then(|tail| tail::main_part(&tail.cuts));
        let of_tail = part.map(|part| endpoints::tail(service, part));
        if let Some(tail) = &mut service.tail {
            tail.endpoints = of_tail.unwrap_or_default();
        }
        service.objective.client_time =
            service.attribution.as_ref().and_then(|attribution| tail::client_time(&attribution.rows));
        verdict::judge(service);
        endpoints::judge(service, duration_ns);
    }
    report.findings = findings::findings(report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample;
    use crate::analysis::sample::assessed;

    #[test]
    fn a_section_without_its_probe_is_absent() {
        let mut report = sample::small();
        report.services[0].requests = None;
        let value = serde_json::to_value(assessed(report)).unwrap();
        let service = value["services"][0].as_object().unwrap();
        for key in ["requests", "scheduler", "syscalls", "tcp"] {
            assert!(!service.contains_key(key), "{key}");
        }
        assert!(service["objective"].get("verdict").is_none());
    }

    #[test]
    fn what_was_not_measured_is_not_zero() {
        let value = serde_json::to_value(analyse(&Capture::default())).unwrap();
        assert_eq!(value["cost"], serde_json::json!({"programs_unmeasured": "needs --measure-cost"}));
        assert!(value["host"].get("cpus").is_none() && value["host"].get("memory_bytes").is_none());
    }

    #[test]
    fn figures_arrive_in_their_places() {
        let capture = sample::capture();
        let report = analyse(&capture);
        let service = &report.services[0];
        let requests = service.requests.as_ref().unwrap();
        assert_eq!((requests.count, requests.rate_per_s), (300_000, Some(30_000.0)));
        assert_eq!((requests.latency.count, requests.unanswered), (300_000, 2));
        let scheduler = service.scheduler.as_ref().unwrap();
        assert_eq!(scheduler.on_cpu_ns, Some(6_000_000_000));
        assert_eq!(scheduler.run_queue_ns, Some(500_000_000));
        assert_eq!(scheduler.blocked.len(), 7);
        assert_eq!(scheduler.blocked["poll"].time_ns, Some(3_000_000_000));
        let syscalls = service.syscalls.as_ref().unwrap();
        assert_eq!(syscalls[0].name, "epoll_wait", "longest total time first");
        let tcp = service.tcp.as_ref().unwrap();
        assert!(tcp.accept_wait.is_some() && tcp.accept_wait_unmeasured.is_none());
        assert_eq!(report.ledger.len(), capture.context.ledger.len());
    }
}
