//! Whether a service holds its objective.
//!
//! In: a service's objective, requests, and what became of those without a reply. Out: a verdict, and what decided it;
//! `output::words` says it in a sentence. In this order:
//!
//! 1. nothing answered: missed if there was something to answer that is as old as the objective, or was when its client left, or that
//!    was refused; otherwise too few requests to tell;
//! 2. the lower end of the P99's 95 % interval is at or above the objective: missed (also with fewer requests than a
//!    two-sided interval needs, because the lower end exists from the first request on);
//! 3. the rate is not above `min_rps`: missed if more than one request in a hundred was left in these ways, otherwise not tested,
//!    because fewer requests came than the objective asks for;
//! 4. listeners refused more than one connection for each hundred requests: missed, because who is refused tries again after a second;
//! 5. the interval has an upper end and that is below the objective: met;
//! 6. else: too few requests to tell, either because there is no upper end or because the interval holds the objective.
//!
//! Where the service's verdict is that of its worst endpoint, 2, 5 and 6 are decided by that endpoint's requests.
//!
//! The interval counts requests without an end that are as old as the objective as slow ones, so that it is never met while they
//! could turn it.

use super::confidence::{P99_MIN_COUNT, effective};
use crate::analysis::model::{Because, EndpointObjectiveReport, RequestsReport, ServiceReport, Verdict};

/// One request in this many may be left without an answer.
const LEFT: u64 = 100;
/// A client whose connection is refused tries again after this, in ns: RFC 6298's first time-out.
const RETRY_NS: u64 = 1_000_000_000;

/// Judges a service.
pub fn judge(service: &mut ServiceReport) {
    let left = left(service);
    let objective = &mut service.objective;
    let (verdict, because) = match &service.requests {
        None => (None, Because::NotMeasured),
        Some(requests) => {
            let refused = service.refused.as_ref().map_or(0, |refused| refused.drops);
            let (verdict, because) = decide(objective.p99_ns, objective.min_rps, requests, left, refused);
            (Some(verdict), because)
        }
    };
    (objective.verdict, objective.because) = (verdict, Some(because));
}

/// Requests that were left: as old as the objective and still open, or abandoned when they were; or refused. Where nobody looked, those
/// that were read and not answered.
#[must_use]
pub fn left(service: &ServiceReport) -> u64 {
    let refused = service.refused.as_ref().map_or(0, |refused| refused.drops);
    match &service.fates {
        Some(fates) => {
            let open = [&fates.unread, &fates.in_service, &fates.undelivered].map(|open| open.beyond_objective);
            open.into_iter().fold(refused, u64::saturating_add).saturating_add(fates.abandoned.beyond_objective)
        }
        None => service.requests.as_ref().map_or(0, |requests| requests.unanswered),
    }
}

/// The verdict on requests of which so many were left, and so many refused.
pub fn decide(p99_ns: u64, min_rps: f64, requests: &RequestsReport, left: u64, refused: u64) -> (Verdict, Because) {
    let latency = &requests.latency;
    if latency.count == latency.without_end.unwrap_or(0) {
        return match left {
            0 => (Verdict::TooFew, Because::NothingAnswered),
            _ => (Verdict::Missed, Because::Unanswered),
        };
    }
    let interval = latency.p99_ci95_ns;
    let low = interval.map(|[low, _]| low).or(latency.p99_ci95_low_ns);
    if low.is_some_and(|low| low >= p99_ns) {
        return (Verdict::Missed, Because::P99AtLeast);
    }
    if let Some(found) = of_load(p99_ns, min_rps, requests, (left, refused)) {
        return found;
    }
    match interval {
        Some([_, high]) if high < p99_ns => (Verdict::Met, Because::P99AtMost),
        Some(_) => (Verdict::TooFew, Because::IntervalHoldsObjective),
        None if effective(latency.count, latency.design_effect) < P99_MIN_COUNT => {
            (Verdict::TooFew, Because::FewRequests)
        }
        None if latency.over_range > 0 => (Verdict::TooFew, Because::OverRange),
        None => (Verdict::TooFew, Because::WithoutEnd),
    }
}

/// What is decided by the load, however long the requests took.
fn of_load(
    p99_ns: u64,
    min_rps: f64,
    requests: &RequestsReport,
    (left, refused): (u64, u64),
) -> Option<(Verdict, Because)> {
    let count = requests.latency.count;
    // The verdict is about the requests that are in the latency.
    match requests.by_rule.as_ref().map_or(requests.rate_per_s, |rule| rule.rate_per_s) {
        None => return Some((Verdict::TooFew, Because::NoRate)),
        Some(rate) if rate <= min_rps => {
            let is_left = left.saturating_mul(LEFT) > count;
            return Some(match is_left {
                true => (Verdict::Missed, Because::LeftAtLowRate),
                false => (Verdict::NotTested, Because::LowRate),
            });
        }
        Some(_) => {}
    }
    (refused.saturating_mul(LEFT) > count && p99_ns <= RETRY_NS).then_some((Verdict::Missed, Because::Refused))
}

/// Gives a service the verdict of an endpoint, unless what decides is not the latency.
pub fn judge_by(service: &mut ServiceReport, worst: EndpointObjectiveReport) {
    let Some((verdict, requests)) = worst.verdict.zip(service.requests.as_ref()) else { return };
    let objective = &service.objective;
    let refused = service.refused.as_ref().map_or(0, |refused| refused.drops);
    let by_load = match objective.because {
        Some(because @ (Because::Unanswered | Because::NothingAnswered)) => objective.verdict.zip(Some(because)),
        _ => of_load(objective.p99_ns, objective.min_rps, requests, (left(service), refused)),
    };
    let found = by_load.filter(|(of_load, _)| *of_load == Verdict::Missed || verdict != Verdict::Missed);
    let (verdict, because) = found.unwrap_or((verdict, Because::WorstEndpoint));
    (service.objective.verdict, service.objective.because) = (Some(verdict), Some(because));
    service.objective.worst_endpoint = Some(Box::new(worst));
}

/// Whether the objective is missed, and not only at a low rate: that may be a lack of load as well as of capacity.
#[must_use]
pub fn missed_for_latency(service: &ServiceReport) -> bool {
    service.objective.verdict == Some(Verdict::Missed)
        && matches!(service.objective.because, Some(Because::P99AtLeast | Because::Unanswered | Because::WorstEndpoint))
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::bucket_index;

    use super::*;
    use crate::analysis::censored::{Ages, with_ages};
    use crate::analysis::counts::Counts;
    use crate::analysis::sample::counts;

    /// The objective of ours: 5 ms, 100 requests/s.
    fn of(counts: &Counts, rate: f64, left: u64) -> (Verdict, Because) {
        with(counts, &Ages::default(), rate, left)
    }

    fn with(counts: &Counts, ages: &Ages, rate: f64, left: u64) -> (Verdict, Because) {
        let latency = with_ages(counts, ages, 5_000_000);
        let count = latency.count;
        let requests = RequestsReport { count, rate_per_s: Some(rate), latency, ..RequestsReport::default() };
        decide(5_000_000, 100.0, &requests, left, 0)
    }

    fn verdict(values: impl IntoIterator<Item = u64>, rate: f64) -> (Verdict, Because) {
        of(&counts(values), rate, 0)
    }

    fn micros(range: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        range.map(|v| v * 1000)
    }

    #[test]
    fn met_needs_the_whole_interval_below_and_the_rate_above() {
        assert_eq!(verdict(micros(0..4000), 101.0), (Verdict::Met, Because::P99AtMost));
    }

    #[test]
    fn a_low_rate_is_no_test_unless_requests_were_left() {
        for rate in [0.5, 99.999, 100.0] {
            assert_eq!(verdict(micros(0..4000), rate), (Verdict::NotTested, Because::LowRate));
            assert_eq!(of(&counts(micros(0..4000)), rate, 40), (Verdict::NotTested, Because::LowRate));
            assert_eq!(of(&counts(micros(0..4000)), rate, 41), (Verdict::Missed, Because::LeftAtLowRate));
        }
        assert_eq!(verdict(micros(0..4000), 100.001).0, Verdict::Met);
    }

    #[test]
    fn refused_connections_turn_what_would_be_met() {
        let latency = with_ages(&counts(micros(0..4000)), &Ages::default(), 5_000_000);
        let requests = RequestsReport { count: 4000, rate_per_s: Some(500.0), latency, ..RequestsReport::default() };
        let decided = |p99_ns, refused| decide(p99_ns, 100.0, &requests, refused, refused);
        assert_eq!(decided(5_000_000, 40), (Verdict::Met, Because::P99AtMost));
        assert_eq!(decided(5_000_000, 41), (Verdict::Missed, Because::Refused));
        // Who may wait for seconds can be refused once.
        assert_eq!(decided(1_500_000_000, 41), (Verdict::Met, Because::P99AtMost));
    }

    #[test]
    fn missed_needs_the_whole_interval_at_or_above() {
        assert_eq!(verdict(micros(1000..9000), 500.0), (Verdict::Missed, Because::P99AtLeast));
        assert_eq!(verdict(micros(1000..9000), 5.0), (Verdict::Missed, Because::P99AtLeast));
    }

    #[test]
    fn an_interval_around_the_objective_cannot_tell() {
        let verdict = verdict((0..1000).map(|i| if i < 989 { 1_000_000 } else { 9_000_000 }), 500.0);
        assert_eq!(verdict, (Verdict::TooFew, Because::IntervalHoldsObjective));
    }

    #[test]
    fn few_requests_can_miss_but_not_meet() {
        assert_eq!(verdict(micros(0..367), 500.0), (Verdict::TooFew, Because::FewRequests));
        assert_eq!(verdict(micros(0..368), 500.0).0, Verdict::Met);
        assert_eq!(verdict(micros(50_000..50_010), 500.0).0, Verdict::Missed);
        // One slow request of ten may be the one in a hundred that an objective allows.
        assert_eq!(verdict((0..10).map(|i| if i < 9 { 1_000 } else { 50_000_000 }), 500.0).0, Verdict::TooFew);
    }

    #[test]
    fn nothing_answered_cannot_tell() {
        assert_eq!(verdict([], 0.0), (Verdict::TooFew, Because::NothingAnswered));
        assert_eq!(of(&counts([]), 0.0, 1), (Verdict::Missed, Because::Unanswered));
    }

    #[test]
    fn requests_without_an_end_are_slow_once_they_are_as_old_as_the_objective() {
        let fast = counts(micros(0..4000));
        let open = |ns: u64, count| {
            let mut ages = Ages::default();
            ages.add([(bucket_index(ns) as u32, count)]);
            ages
        };
        assert_eq!(with(&fast, &open(1_000_000, 400), 500.0, 0), (Verdict::Met, Because::P99AtMost));
        assert_eq!(with(&fast, &open(3_000_000_000, 8), 500.0, 8), (Verdict::Met, Because::P99AtMost));
        assert_eq!(with(&fast, &open(3_000_000_000, 45), 500.0, 45), (Verdict::TooFew, Because::WithoutEnd));
        assert_eq!(with(&fast, &open(3_000_000_000, 100), 500.0, 100), (Verdict::Missed, Because::P99AtLeast));
        assert_eq!(with(&counts([]), &open(1_000_000, 3), 0.0, 0), (Verdict::TooFew, Because::NothingAnswered));
    }

    #[test]
    fn values_over_range_count_as_slow() {
        let c = Counts { over_range: 50, ..counts(micros(0..950)) };
        assert_eq!(of(&c, 500.0, 0).0, Verdict::Missed);
        let c = Counts { over_range: 10, ..counts(micros(0..990)) };
        assert_eq!(of(&c, 500.0, 0), (Verdict::TooFew, Because::OverRange));
    }

    #[test]
    fn not_measured_has_no_verdict() {
        let mut service = crate::analysis::sample::small().services.remove(0);
        service.requests = None;
        judge(&mut service);
        assert_eq!((service.objective.verdict, service.objective.because), (None, Some(Because::NotMeasured)));
    }
}
