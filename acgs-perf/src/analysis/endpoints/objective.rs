//! Whether endpoints hold their objectives, and which of a service's is the worst.
//!
//! In: a service of the report, with what its endpoints are held against. Out: a verdict for each, by the rules for a service (`verdict`), but
//! for requests without a reply, of which nobody knows the endpoint. Latencies have buckets 3.1 % wide: the interval of a P99 goes from the lower
//! end of one to the upper end of another, so that a verdict is never better founded than they are.

use std::cmp::Reverse;

use acgs_perf_common::endpoint::POWER;

use super::figures::{EndpointFigures, of_report};
use crate::analysis::counts::Counts;
use crate::analysis::distribution::of_wide;
use crate::analysis::model::{Because, EndpointObjectiveReport, RequestsReport, ServiceReport, Verdict};
use crate::analysis::number::rate;
use crate::analysis::verdict::{decide, judge_by};
use crate::live::probes::endpoints::SECTION;

/// Judges the endpoints of a service, and by the worst of them the service, if its verdict is that. The service has been judged.
pub fn judge(service: &mut ServiceReport, duration_ns: u64) {
    if !service.tables.contains_key(SECTION) {
        return;
    }
    if service.endpoint_objectives.is_empty() && !service.objective.by_worst_endpoint {
        return;
    }
    let figures = of_report(service);
    let mut objectives = std::mem::take(&mut service.endpoint_objectives);
    for objective in &mut objectives {
        judge_one(objective, &figures, duration_ns);
    }
    service.endpoint_objectives = objectives;
    if service.objective.by_worst_endpoint
        && let Some(worst) = worst(service, &figures, duration_ns)
    {
        judge_by(service, worst);
    }
}

fn judge_one(objective: &mut EndpointObjectiveReport, figures: &[EndpointFigures], duration_ns: u64) {
    let (mut counts, mut count) = (Counts { sum_ns: Some(0), ..Counts::default() }, 0u64);
    for of in figures.iter().filter(|of| of.is_of_requests() && of.name == objective.name) {
        counts.add(&of.latency.counts());
        count = count.saturating_add(of.requests);
    }
    counts.design_effect = objective.design_effect;
    let latency = of_wide(&counts, POWER);
    let requests = RequestsReport { count, rate_per_s: rate(count, duration_ns), latency, ..RequestsReport::default() };
    let (verdict, because) = decide(objective.p99_ns, objective.min_rps, &requests, 0, 0);
    let latency = requests.latency;
    *objective = EndpointObjectiveReport {
        requests: count,
        rate_per_s: requests.rate_per_s,
        found_p99_ns: latency.p99_ns,
        found_p99_ci95_ns: latency.p99_ci95_ns,
        found_p99_ci95_low_ns: latency.p99_ci95_low_ns,
        verdict: Some(verdict),
        because: Some(because),
        ..std::mem::take(objective)
    };
}

/// The worst of the endpoints that have enough requests for a verdict: the worst verdict, and of several the one that is furthest beyond its
/// objective. One without an objective of its own is held against the service's P99.
fn worst(service: &ServiceReport, figures: &[EndpointFigures], duration_ns: u64) -> Option<EndpointObjectiveReport> {
    let excluded = service.requests.as_ref().and_then(|requests| requests.by_rule.as_ref());
    let is_excluded = |name: &String| excluded.is_some_and(|rule| rule.endpoints.contains(name));
    let mut all = service.endpoint_objectives.clone();
    for of in figures.iter().filter(|of| of.is_of_requests()) {
        if all.iter().all(|known| known.name != of.name) {
            let (name, p99_ns) = (of.name.clone(), service.objective.p99_ns);
            let mut objective = EndpointObjectiveReport { name, p99_ns, ..EndpointObjectiveReport::default() };
            judge_one(&mut objective, figures, duration_ns);
            all.push(objective);
        }
    }
    let has_enough = |of: &EndpointObjectiveReport| {
        !matches!(of.because, None | Some(Because::FewRequests | Because::NothingAnswered))
    };
    all.retain(|of| has_enough(of) && !is_excluded(&of.name));
    let grade = |of: &EndpointObjectiveReport| match of.verdict {
        Some(Verdict::Missed) => 3,
        Some(Verdict::TooFew) => 2,
        Some(Verdict::NotTested) => 1,
        Some(Verdict::Met) | None => 0,
    };
    let beyond = |of: &EndpointObjectiveReport| {
        u128::from(of.found_p99_ns.unwrap_or(u64::MAX)) * 1000 / u128::from(of.p99_ns.max(1))
    };
    all.into_iter().max_by_key(|of| (grade(of), beyond(of), Reverse(of.name.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::endpoints::sample::with_endpoints;
    use crate::analysis::model::Report;
    use crate::analysis::sample::{self, assessed};

    fn objective(name: &str, p99_ns: u64, min_rps: f64) -> EndpointObjectiveReport {
        EndpointObjectiveReport { name: name.into(), p99_ns, min_rps, ..EndpointObjectiveReport::default() }
    }

    /// 4,000 requests of 1 ms and 500 of 9 ms in ten seconds; the service may take 5 ms.
    fn report() -> Report {
        let mut report = sample::small();
        let service = &mut report.services[0];
        report.window.duration_ns = 10_000_000_000;
        let (fast, slow) = (vec![1_000_000; 4_000], vec![9_000_000; 500]);
        let requests = service.requests.as_mut().unwrap();
        requests.latency = sample::distribution(fast.iter().chain(&slow).copied());
        (requests.count, requests.rate_per_s) = (4_500, Some(450.0));
        with_endpoints(service, &[("GET /fast", fast), ("GET /slow", slow), ("GET /rare", vec![50_000; 12])]);
        report
    }

    fn verdicts(report: Report) -> Vec<(String, Option<Verdict>, Option<Because>)> {
        let service = assessed(report).services.remove(0);
        service.endpoint_objectives.into_iter().map(|of| (of.name, of.verdict, of.because)).collect()
    }

    #[test]
    fn each_is_judged_by_the_rules_of_a_service() {
        let mut report = report();
        report.services[0].endpoint_objectives = vec![
            objective("GET /fast", 2_000_000, 0.0),
            objective("GET /slow", 5_000_000, 0.0),
            objective("GET /slow", 20_000_000, 50.0),
            objective("GET /rare", 1_000_000, 0.0),
            objective("GET /none", 1_000_000, 0.0),
        ];
        let wanted = [
            ("GET /fast", Verdict::Met, Because::P99AtMost),
            ("GET /slow", Verdict::Missed, Because::P99AtLeast),
            ("GET /slow", Verdict::NotTested, Because::LowRate),
            ("GET /rare", Verdict::TooFew, Because::FewRequests),
            ("GET /none", Verdict::TooFew, Because::NothingAnswered),
        ];
        let wanted = wanted.map(|(name, verdict, because)| (name.to_owned(), Some(verdict), Some(because)));
        assert_eq!(verdicts(report), wanted);
    }

    #[test]
    fn within_a_bucket_of_the_objective_nobody_can_tell() {
        let mut report = report();
        // 9 ms lies in the bucket from 8.91 to 9.17 ms.
        report.services[0].endpoint_objectives =
            [8_900_000, 9_000_000, 9_100_000, 9_300_000].map(|p99| objective("GET /slow", p99, 0.0)).into();
        let found: Vec<_> = verdicts(report).into_iter().map(|of| of.1.unwrap()).collect();
        assert_eq!(found, [Verdict::Missed, Verdict::TooFew, Verdict::TooFew, Verdict::Met]);
    }

    #[test]
    fn slow_requests_that_come_together_tell_less() {
        let mut report = report();
        let of = |effect| EndpointObjectiveReport { design_effect: effect, ..objective("GET /fast", 2_000_000, 0.0) };
        report.services[0].endpoint_objectives = vec![of(Some(2.0)), of(Some(20.0))];
        let found: Vec<_> = verdicts(report).into_iter().map(|of| of.1.unwrap()).collect();
        assert_eq!(found, [Verdict::Met, Verdict::TooFew]);
    }

    #[test]
    fn the_worst_endpoint_speaks_for_the_service() {
        let verdict = |change: &dyn Fn(&mut ServiceReport)| {
            let mut report = report();
            report.services[0].objective.by_worst_endpoint = true;
            change(&mut report.services[0]);
            let objective = assessed(report).services.remove(0).objective;
            let worst = objective.worst_endpoint.map(|of| of.name);
            (objective.verdict.unwrap(), objective.because.unwrap(), worst.unwrap_or_default())
        };
        let slow = "GET /slow".to_owned();
        assert_eq!(verdict(&|_| {}), (Verdict::Missed, Because::WorstEndpoint, slow.clone()));
        let allowed = |of: &mut ServiceReport| of.endpoint_objectives = vec![objective("GET /slow", 20_000_000, 0.0)];
        assert_eq!(verdict(&allowed), (Verdict::Met, Because::WorstEndpoint, slow.clone()));
        // Too low a rate is no test, unless an endpoint fails even so; and what was left is missed whatever endpoints do.
        let calm = |of: &mut ServiceReport| {
            allowed(of);
            of.objective.min_rps = 1e6;
        };
        assert_eq!(verdict(&calm), (Verdict::NotTested, Because::LowRate, slow.clone()));
        let calm_and_slow = |of: &mut ServiceReport| of.objective.min_rps = 1e6;
        assert_eq!(verdict(&calm_and_slow).1, Because::WorstEndpoint);
        let left = |of: &mut ServiceReport| {
            calm(of);
            of.fates.as_mut().unwrap().abandoned.beyond_objective = 1_000;
        };
        assert_eq!(verdict(&left), (Verdict::Missed, Because::LeftAtLowRate, slow));
        let few = |of: &mut ServiceReport| {
            of.tables.clear();
            with_endpoints(of, &[("GET /rare", vec![50_000; 12])]);
        };
        assert_eq!(verdict(&few), (Verdict::Missed, Because::P99AtLeast, String::new()));
    }
}
