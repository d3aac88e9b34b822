//! `objective_missed`, `not_tested` and `too_few_requests`: the verdict, where it is not that the objective is met.

use super::context::Context;
use super::start::of_service;
use crate::analysis::confidence::P99_MIN_COUNT;
use crate::analysis::model::{Because, Figure, Finding, ServiceReport, Severity, Unit, Verdict};

/// An objective is missed.
pub const OBJECTIVE_MISSED: &str = "objective_missed";
/// Fewer requests came than the objective asks for.
pub const NOT_TESTED: &str = "not_tested";
/// The requests seen cannot decide.
pub const TOO_FEW_REQUESTS: &str = "too_few_requests";

/// One of them, or none.
pub fn look(context: &Context) -> Vec<Finding> {
    let service = context.service;
    [objective_missed(service), not_tested(service), too_few(service)].into_iter().flatten().collect()
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

fn too_few(service: &ServiceReport) -> Option<Finding> {
    let is_so = matches!(service.objective.because, Some(Because::FewRequests | Because::IntervalHoldsObjective));
    if service.objective.verdict != Some(Verdict::TooFew) || !is_so {
        return None;
    }
    let mut figures = against_objective(service);
    if service.objective.because == Some(Because::FewRequests) {
        let seen = figures.iter_mut().filter(|figure| figure.what == "requests");
        seen.for_each(|figure| figure.against = Some(P99_MIN_COUNT.into()));
    }
    Some(of_service(TOO_FEW_REQUESTS, Severity::Info, service, figures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};

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
    fn so_many_requests_as_an_upper_end_needs_are_enough() {
        let of = |count: u64| {
            let mut report = sample::small();
            let requests = report.services[0].requests.as_mut().unwrap();
            requests.latency = sample::distribution((0..count).map(|at| 1_000 + at));
            (requests.queue_time, requests.service_time) = (requests.latency.clone(), requests.latency.clone());
            (requests.count, requests.rate_per_s) = (count, Some(500.0));
            assessed(report).findings.into_iter().find(|finding| finding.id == TOO_FEW_REQUESTS)
        };
        assert_eq!(of(P99_MIN_COUNT), None);
        let finding = of(P99_MIN_COUNT - 1).unwrap();
        assert_eq!(finding.figures.last().unwrap().against, Some(P99_MIN_COUNT.into()));
    }
}
