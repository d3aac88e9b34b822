//! The finding `endpoint_objective_missed`: an endpoint does not hold what it is held against.
//!
//! In: a service with its endpoints' verdicts. Out: a finding for each endpoint that misses its own objective.

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{Figure, Finding, Severity, Unit, Verdict};

/// An endpoint misses its objective.
pub const ENDPOINT_OBJECTIVE_MISSED: &str = "endpoint_objective_missed";

/// The endpoints that miss theirs.
pub fn look(context: &Context) -> Vec<Finding> {
    let service = context.service;
    let missed = service.endpoint_objectives.iter().filter(|of| of.verdict == Some(Verdict::Missed));
    let missed = missed.map(|of| {
        let low = of.found_p99_ci95_ns.map(|[low, _]| low).or(of.found_p99_ci95_low_ns);
        let high = of.found_p99_ci95_ns.map(|[_, high]| high);
        let ends = [("p99", of.found_p99_ns), ("p99_ci95_low", low), ("p99_ci95_high", high)];
        let ends = ends.into_iter().filter_map(|(what, value)| Some(Figure::new(what, value?, Unit::Ns)));
        let mut figures: Vec<_> = ends.map(|figure| figure.of(of.name.clone()).against(of.p99_ns)).collect();
        figures.push(Figure::new("requests", of.requests, Unit::Count).of(of.name.clone()));
        let finding = of_service(ENDPOINT_OBJECTIVE_MISSED, Severity::Critical, service, figures);
        Finding { endpoint: Some(of.name.clone()), ..finding }
    });
    missed.collect()
}
