//! The finding `counts_disagree`: each request is counted in several places, which have to agree.
//!
//! In: a service's requests, and the rows of its attribution if that went on to the end. Out: a finding that names the places
//! with another number than that of the requests answered.

use super::context::Context;
use super::start::of_service;
use crate::analysis::model::{Figure, Finding, ProbeStatus, ServiceReport, Severity, Unit};
use crate::snapshot::Ending;

/// Its id.
pub const COUNTS_DISAGREE: &str = "counts_disagree";

/// At most one.
pub fn look(context: &Context) -> Vec<Finding> {
    let is_stopped = |probe: &ProbeStatus| probe.name == "attribution" && probe.stopped_after_ns.is_some();
    let has_all_rows = !context.report.probes.iter().any(is_stopped);
    // Of a time out of a longer recording the latency is exact to an interval, and what is read more seldom is not.
    let is_whole = context.report.window.ended_by != Ending::Range;
    disagree(context.service, has_all_rows).filter(|_| is_whole).into_iter().collect()
}

/// Whether the histograms and the rows hold as many requests as were answered. `rows` says whether the rows are complete.
fn disagree(service: &ServiceReport, rows: bool) -> Option<Finding> {
    let requests = service.requests.as_ref()?;
    let in_rows = service.attribution.as_ref().filter(|_| rows);
    let in_rows =
        in_rows.map(|attribution| attribution.rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.count)));
    // What the configuration has moved was counted there before.
    let moved = requests
        .by_rule
        .as_ref()
        .map_or(0, |rule| rule.excluded.cast_signed() - rule.unmatched.cast_signed() - rule.included.cast_signed());
    let places = [
        ("latency", Some(requests.latency.count.saturating_sub(without_reply(service)).saturating_add_signed(moved))),
        ("queue time", Some(requests.queue_time.count)),
        ("service time", Some(requests.service_time.count)),
        ("attribution", in_rows),
    ];
    let figures: Vec<_> = places
        .into_iter()
        .filter_map(|(place, count)| Some((place, count?)))
        .filter(|(_, count)| *count != requests.count)
        .map(|(place, count)| Figure::new("requests", count, Unit::Count).of(place).against(requests.count))
        .collect();
    (!figures.is_empty()).then(|| of_service(COUNTS_DISAGREE, Severity::Warning, service, figures))
}

/// Requests that are in the latency without having been answered.
fn without_reply(service: &ServiceReport) -> u64 {
    let without_end = service.requests.as_ref().and_then(|requests| requests.latency.without_end).unwrap_or(0);
    without_end.saturating_sub(service.fates.as_ref().map_or(0, |fates| fates.undelivered.count))
}

#[cfg(test)]
mod tests {
    use crate::analysis::model::{Figure, Report, Unit};
    use crate::analysis::sample::{self, assessed};
    use crate::snapshot::Ending;

    fn figures(report: Report) -> Option<Vec<Figure>> {
        let findings = assessed(report).findings;
        findings.into_iter().find(|finding| finding.id == super::COUNTS_DISAGREE).map(|finding| finding.figures)
    }

    #[test]
    fn each_place_with_another_number_is_named() {
        let mut report = sample::whole();
        assert_eq!(figures(report.clone()), None);
        let api = &mut report.services[1];
        let requests = api.requests.as_mut().expect("there are some");
        let answered = requests.count;
        requests.latency.count += 2;
        api.attribution.as_mut().expect("there is one").rows[0].count += 1;
        let expected = [("latency", 2), ("attribution", 1)]
            .map(|(place, more)| Figure::new("requests", answered + more, Unit::Count).of(place).against(answered));
        assert_eq!(figures(report).expect("they disagree"), expected);
    }

    #[test]
    fn of_a_time_out_of_a_longer_recording_the_counts_may_differ() {
        let mut report = sample::whole();
        report.services[1].requests.as_mut().expect("there are some").queue_time.count += 2;
        assert!(figures(report.clone()).is_some());
        report.window.ended_by = Ending::Range;
        assert_eq!(figures(report), None);
    }

    #[test]
    fn rows_that_end_where_the_attribution_was_stopped_say_nothing() {
        let mut report = sample::whole();
        report.services[1].attribution.as_mut().expect("there is one").rows.pop();
        assert!(figures(report.clone()).is_some());
        let mut stopped = report.probes[0].clone();
        stopped.name = "attribution".into();
        stopped.stopped_after_ns = Some(1_000_000_000);
        report.probes.push(stopped);
        assert_eq!(figures(report), None);
    }
}
