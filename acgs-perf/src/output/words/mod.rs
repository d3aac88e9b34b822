//! The sentences of a report, made from its numbers.
//!
//! In: a report as `analysis` leaves it. Out: the same report, in which verdicts, tails and findings are also said in words.

pub mod compare;
mod endpoints;
mod findings;
mod phrase;
mod tail;
mod verdict;

pub use endpoints::called;
pub use tail::slowest;

use crate::analysis::tail::main_cut;
use crate::report::{Distribution, Report};
use crate::units::{duration, grouped};

/// Where the P99 is, if it has no value.
fn without_end(latency: &Distribution) -> Option<String> {
    let at_least = latency.p99_at_least_ns?;
    let count = latency.without_end.unwrap_or(0);
    Some(format!("The P99 lies among {} requests that have no end, at {} or more.", grouped(count), duration(at_least)))
}

/// Says in words what the report has found.
#[must_use]
pub fn said(mut report: Report) -> Report {
    for service in &mut report.services {
        let worst = service.objective.worst_endpoint.as_deref_mut();
        service.endpoint_objectives.iter_mut().chain(worst).for_each(|of| of.reason = endpoints::reason(of));
        service.objective.reason = verdict::reason(service);
        if let (Some(tail), Some(attribution)) = (&mut service.tail, &service.attribution) {
            let exemplars = service.exemplars.as_deref().unwrap_or_default();
            let sentence = tail::sentence(main_cut(&tail.cuts), &attribution.rows, exemplars);
            tail.sentence = match service.requests.as_ref().and_then(|requests| without_end(&requests.latency)) {
                Some(where_it_is) => format!("{where_it_is} Of the requests that were answered: {sentence}"),
                None => sentence,
            };
            tail.sentence += endpoints::of_tail(&tail.endpoints).as_deref().unwrap_or_default();
        }
    }
    let mut all = std::mem::take(&mut report.findings);
    let of_tails = all.iter().filter(|finding| finding.id.starts_with("tail_"));
    let with_tail: Vec<String> = of_tails.filter_map(|finding| finding.service.clone()).collect();
    for finding in &mut all {
        let has_tail = finding.service.as_ref().is_some_and(|service| with_tail.contains(service));
        findings::say(finding, &report, has_tail);
    }
    report.findings = all;
    report
}
