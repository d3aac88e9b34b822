//! Findings: what deserves attention, each with the numbers that show it.
//!
//! In: the report so far. Out: findings, most severe first, with figures and without words, which are made in `output::words`.
//! Kinds: those below; `counts` has `counts_disagree`, `endpoints` has `endpoint_objective_missed`, `fates` those about requests without a reply, `quota` has `cpu_quota`, `tail` those of the attribution.

mod counts;
mod endpoints;
mod fates;
mod quota;
mod start;
mod tail;

pub use counts::COUNTS_DISAGREE;
pub use endpoints::ENDPOINT_OBJECTIVE_MISSED;
pub use fates::{ABANDONED, CUT_OFF, IN_SERVICE, REFUSED, UNDELIVERED, UNREAD};
pub use quota::CPU_QUOTA;
pub use tail::NOT_CONSERVED;

use crate::analysis::model::{Because, Figure, Finding, ProbeStatus, Report, ServiceReport, Severity, Unit, Verdict};
use crate::snapshot::Ending;
use start::{finding, of_service};

/// An objective is missed.
pub const OBJECTIVE_MISSED: &str = "objective_missed";
/// Fewer requests came than the objective asks for.
pub const NOT_TESTED: &str = "not_tested";
/// Requests wait before they are read.
pub const QUEUE_TIME_DOMINATES: &str = "queue_time_dominates";
/// No request was answered.
pub const NOTHING_ANSWERED: &str = "nothing_answered";
/// Probes were stopped, or the recording was ended, because of `--max-overhead`.
pub const OVERHEAD_LIMITED: &str = "overhead_limited";
/// A service also takes messages over UDP.
pub const UDP_NOT_MEASURED: &str = "udp_not_measured";
/// Something was lost, or could not be read.
pub const MEASUREMENT_INCOMPLETE: &str = "measurement_incomplete";

/// With fewer requests, a P99 is little more than the slowest request, and says nothing about queueing.
const MIN_REQUESTS: u64 = 100;

/// All findings of a report.
pub fn findings(report: &Report) -> Vec<Finding> {
    let mut all: Vec<_> = report.services.iter().flat_map(about_service).collect();
    let is_stopped = |probe: &ProbeStatus| probe.name == "attribution" && probe.stopped_after_ns.is_some();
    let has_all_rows = !report.probes.iter().any(is_stopped);
    // Of a time out of a longer recording the latency is exact to an interval, and what is read more seldom is not.
    if report.window.ended_by != Ending::Range {
        all.extend(report.services.iter().filter_map(|service| counts::disagree(service, has_all_rows)));
    }
    all.extend(overhead_limited(report));
    all.extend(incomplete(report));
    all.sort_by_key(|finding| finding.severity);
    all
}

fn about_service(service: &ServiceReport) -> impl Iterator<Item = Finding> + use<'_> {
    [
        objective_missed(service),
        not_tested(service),
        tail::tail(service),
        tail::not_conserved(service),
        quota::cpu_quota(service),
        queue_time_dominates(service),
        nothing_answered(service),
        udp_not_measured(service),
    ]
    .into_iter()
    .flatten()
    .chain(endpoints::missed(service))
    .chain(fates::fates(service))
}

/// The P99, its interval and the rate, against the objective.
fn against_objective(service: &ServiceReport) -> Vec<Figure> {
    let (objective, Some(requests)) = (&service.objective, &service.requests) else { return Vec::new() };
    let latency = &requests.latency;
    let low = latency.p99_ci95_ns.map(|[low, _]| low).or(latency.p99_ci95_low_ns);
    let ends =
        [("p99", latency.p99_ns), ("p99_ci95_low", low), ("p99_ci95_high", latency.p99_ci95_ns.map(|[_, high]| high))];
    let ends = ends.into_iter().filter_map(|(what, value)| Some(Figure::new(what, value?, Unit::Ns)));
    let rate = requests.rate_per_s.and_then(|rate| Figure::decimal("rate", rate, Unit::PerS));
    let mut figures: Vec<_> = ends.map(|figure| figure.against(objective.p99_ns)).collect();
    figures.extend(rate.map(|rate| rate.against_decimal(objective.min_rps)));
    figures.push(Figure::new("requests", latency.count, Unit::Count));
    figures
}

fn objective_missed(service: &ServiceReport) -> Option<Finding> {
    if service.objective.verdict != Some(Verdict::Missed) {
        return None;
    }
    let is_mild = service.objective.because == Some(Because::LeftAtLowRate);
    let severity = if is_mild { Severity::Warning } else { Severity::Critical };
    Some(of_service(OBJECTIVE_MISSED, severity, service, against_objective(service)))
}

fn not_tested(service: &ServiceReport) -> Option<Finding> {
    let is_not_tested = service.objective.verdict == Some(Verdict::NotTested);
    is_not_tested.then(|| of_service(NOT_TESTED, Severity::Info, service, against_objective(service)))
}

fn queue_time_dominates(service: &ServiceReport) -> Option<Finding> {
    let requests = service.requests.as_ref().filter(|r| r.latency.count >= MIN_REQUESTS)?;
    let (queue, latency) = (requests.queue_time.p99_ns?, requests.latency.p99_ns?);
    if u128::from(queue) * 2 <= u128::from(latency) || tail::tail(service).is_some_and(|f| tail::explains_queue(&f)) {
        return None;
    }
    let severity = match service.objective.verdict {
        Some(Verdict::Met) => Severity::Info,
        _ => Severity::Warning,
    };
    let figure = Figure::new("queue_time_p99", queue, Unit::Ns).against(latency);
    Some(of_service(QUEUE_TIME_DOMINATES, severity, service, vec![figure]))
}

fn nothing_answered(service: &ServiceReport) -> Option<Finding> {
    let requests = service.requests.as_ref().filter(|r| r.count == 0)?;
    let figures = [
        ("requests", 0),
        ("unanswered", requests.unanswered),
        ("unsolicited_sends", requests.unsolicited_sends),
        ("processes", service.processes.len() as u64),
    ];
    let figures = figures.map(|(what, value)| Figure::new(what, value, Unit::Count));
    Some(of_service(NOTHING_ANSWERED, Severity::Warning, service, figures.into()))
}

fn udp_not_measured(service: &ServiceReport) -> Option<Finding> {
    let ports = service.udp_ports.iter().map(|port| Figure::new("udp_port", u64::from(*port), Unit::Count));
    let figures: Vec<_> = ports.collect();
    (!figures.is_empty()).then(|| of_service(UDP_NOT_MEASURED, Severity::Info, service, figures))
}

fn overhead_limited(report: &Report) -> Option<Finding> {
    let after = |probe: &ProbeStatus| {
        let after = probe.stopped_after_ns?;
        Some(Figure::new("stopped_after", after, Unit::Ns).of(probe.name.clone()).against(report.window.duration_ns))
    };
    let mut figures: Vec<_> = report.probes.iter().filter_map(after).collect();
    let is_ended = report.window.ended_by == Ending::Overhead;
    if figures.is_empty() && !is_ended {
        return None;
    }
    if let (true, Some(overhead)) = (is_ended, &report.cost.overhead) {
        let last = overhead.last_ppm.map(|last| Figure::new("overhead", last, Unit::Ppm));
        figures.extend(last.map(|last| last.against(overhead.limit_ppm)));
    }
    Some(finding(OVERHEAD_LIMITED, Severity::Warning, figures))
}

fn incomplete(report: &Report) -> Option<Finding> {
    let lost = report.ledger.iter().filter(|(_, count)| **count > 0);
    let figures: Vec<_> =
        lost.map(|(name, count)| Figure::new("lost", *count, Unit::Count).of(name.clone()).against(0)).collect();
    let is_whole = figures.is_empty() && report.notes.is_empty();
    (!is_whole).then(|| finding(MEASUREMENT_INCOMPLETE, Severity::Warning, figures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};

    fn ids(report: &Report) -> Vec<String> {
        assessed(report.clone()).findings.into_iter().map(|finding| finding.id).collect()
    }

    /// The healthy service of the sample.
    fn healthy() -> Report {
        let mut report = sample::whole();
        report.services.truncate(1);
        report
    }

    #[test]
    fn who_refuses_connections_misses_its_objective_beyond_doubt() {
        let mut service = sample::whole().services.remove(1);
        for (because, severity) in [(Because::Refused, Severity::Critical), (Because::LeftAtLowRate, Severity::Warning)]
        {
            (service.objective.verdict, service.objective.because) = (Some(Verdict::Missed), Some(because));
            assert_eq!(objective_missed(&service).map(|finding| finding.severity), Some(severity), "{because:?}");
        }
    }

    #[test]
    fn a_healthy_recording_has_none() {
        assert_eq!(ids(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn each_finding_brings_its_numbers_most_severe_first() {
        let mut report = healthy();
        report.ledger.insert("errno_table_full".into(), 1234);
        let requests = report.services[0].requests.as_mut().unwrap();
        requests.latency = sample::distribution((0..300_000).map(|_| 20_000_000));
        requests.queue_time = sample::distribution((0..300_000).map(|_| 15_000_000));
        assert_eq!(ids(&report), ["objective_missed", "queue_time_dominates", "measurement_incomplete"]);
        let findings = assessed(report).findings;
        let p99 = &findings[0].figures[0];
        assert_eq!((p99.what.as_str(), p99.against.clone()), ("p99", Some(5_000_000.into())));
        assert!(p99.value.as_u64().is_some_and(|p99| (20_000_000..20_200_000).contains(&p99)));
        let lost = Figure::new("lost", 1234, Unit::Count).of("errno_table_full").against(0);
        assert_eq!(findings[2].figures, [lost]);
        assert!(findings[2].service.is_none());
    }

    #[test]
    fn what_could_not_be_read_is_a_finding_without_figures() {
        let mut report = healthy();
        report.notes.push("TCP peers could not be read whole: no permission".into());
        let finding = assessed(report).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.figures.len()), (MEASUREMENT_INCOMPLETE, 0));
    }

    #[test]
    fn a_low_rate_is_for_information_unless_requests_were_left() {
        let mut report = healthy();
        report.services[0].objective.min_rps = 1e6;
        let finding = assessed(report.clone()).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), (NOT_TESTED, Severity::Info));
        let rate = finding.figures.iter().find(|figure| figure.what == "rate").unwrap();
        assert_eq!((rate.value.as_f64(), rate.against.as_ref().and_then(|n| n.as_f64())), (Some(30_000.0), Some(1e6)));
        report.services[0].fates.as_mut().unwrap().abandoned.beyond_objective = 5_000;
        let finding = assessed(report).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), (OBJECTIVE_MISSED, Severity::Warning), "before the others");
    }

    #[test]
    fn udp_is_said_not_to_be_measured() {
        let mut report = healthy();
        report.services[0].udp_ports = vec![53];
        let finding = assessed(report).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), (UDP_NOT_MEASURED, Severity::Info));
        assert_eq!(finding.figures, [Figure::new("udp_port", 53, Unit::Count)]);
    }

    #[test]
    fn a_service_without_an_answer_is_named() {
        let mut report = sample::small();
        report.services[0].requests = Some(Default::default());
        assert_eq!(ids(&report), [NOTHING_ANSWERED]);
        report.services[0].requests = None;
        assert_eq!(ids(&report), Vec::<String>::new());
    }
}
