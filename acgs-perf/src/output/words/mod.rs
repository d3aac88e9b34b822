//! The sentences of a report, made from its numbers.
//!
//! In: a report as `analysis` leaves it. Out: the same report, in which verdicts, tails and findings are also said in words.

mod findings;
mod phrase;
mod tail;
mod verdict;

pub use tail::slowest;

use crate::analysis::tail::main_cut;
use crate::report::Report;

/// Says in words what the report has found.
#[must_use]
pub fn said(mut report: Report) -> Report {
    for service in &mut report.services {
        service.objective.reason = verdict::reason(service);
        if let (Some(tail), Some(attribution)) = (&mut service.tail, &service.attribution) {
            tail.sentence = tail::sentence(main_cut(&tail.cuts), &attribution.rows);
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
